use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::timeline::RateTimelines;
use crate::catalog::billable_metric::AggregationType;
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::catalog::product::{CompositeScope, ProductState, ProductType, Timeline};
use crate::catalog::rate::GroupValues;
use crate::catalog::usage_filter::UsageFilters;
use crate::contract::rate_override::Override;
use crate::contract::{Contract, MultiplierPrioritization, Statement};
use crate::id::{BillableMetricId, CreditTypeId, ProductId};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, Period};
use crate::usage::Piece;
use crate::usage::calc::Tally;

/// Everything that a rate card says.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The card's currency, which is the unit of invoices.
    pub unit: CreditType,
    /// What custom pricing units cost in it.
    pub conversions: Vec<UnitConversion>,
    /// In the order of the rate card, which is the order of lines.
    pub products: Vec<ProductTerms>,
    /// Every metric that counts for one of the products at any time.
    pub metrics: BTreeMap<BillableMetricId, MetricTerms>,
    /// The newest entries of all that count.
    pub newest: Newest,
}

/// The newest entries of the append-only catalog that a calculation saw, of one rate card and its products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Newest {
    pub rate: Option<i64>,
    pub product_update: Option<i64>,
}

/// What one unit of a custom pricing unit costs in the currency of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitConversion {
    pub unit: CreditType,
    pub fiat_per_unit: Decimal,
}

/// What prices one statement of a contract: the card, and what the contract says of its own.
#[derive(Clone, Copy, Debug)]
pub struct Agreement<'a> {
    pub terms: &'a Terms,
    /// Its own prices and entitlements.
    pub overrides: &'a [Override],
    pub prioritization: MultiplierPrioritization,
    /// Which of its customer's usage it bills.
    pub filters: &'a UsageFilters,
    pub statement: Statement,
}

impl<'a> Agreement<'a> {
    /// That of a contract whose card says `terms`.
    #[must_use]
    pub fn of(contract: &'a Contract, terms: &'a Terms, statement: Statement) -> Self {
        Self {
            terms,
            overrides: &contract.overrides,
            prioritization: contract.multiplier_override_prioritization,
            filters: &contract.usage_filters,
            statement,
        }
    }
}

/// A product and its prices.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductTerms {
    pub product_id: ProductId,
    pub product_type: ProductType,
    /// Its states over time.
    pub states: Timeline,
    pub rates: RateTimelines,
}

impl ProductTerms {
    /// Every metric that counts for it at any time of a period.
    #[must_use]
    pub fn metric_ids_during(&self, period: Period) -> BTreeSet<BillableMetricId> {
        let versions = self.states.during(period.start, Some(period.end));
        versions.filter_map(|version| version.state.billable_metric_id).collect()
    }

    /// Whether it is a share of what its customer spends under all contracts.
    #[must_use]
    pub fn is_of_customer(&self, at: Instant) -> bool {
        self.states.at(at).composite_scope == Some(CompositeScope::Customer)
    }
}

/// How a metric counts.
#[derive(Clone, Debug)]
pub struct MetricTerms {
    pub counting: MetricCounting,
    /// In the order of the values of a [`Piece`].
    pub group_names: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum MetricCounting {
    Streaming(AggregationType),
    Sql(Box<SqlDefinition>),
}

impl MetricTerms {
    #[must_use]
    pub fn is_sql(&self) -> bool {
        matches!(self.counting, MetricCounting::Sql(_))
    }

    /// How tallies of the metric become a quantity: those of a query hold what it counted, which adds up.
    #[must_use]
    pub fn aggregation(&self) -> AggregationType {
        match self.counting {
            MetricCounting::Streaming(aggregation) => aggregation,
            MetricCounting::Sql(_) => AggregationType::Sum,
        }
    }
}

/// What one segment of a period adds to the quantity of one combination of columns of a query.
#[derive(Clone, Debug)]
pub struct Increment {
    pub metric_id: BillableMetricId,
    /// Of the columns that are not null.
    pub groups: GroupValues,
    pub segment: usize,
    /// Its total is the quantity.
    pub tally: Tally,
}

/// The customer's usage of a period, cut into the segments that [`super::calc::cuts`] asked for.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Of streaming metrics.
    pub pieces: Vec<Piece>,
    /// Of queries, and of those events alone that the contract bills.
    pub increments: Vec<Increment>,
}

impl Terms {
    /// The metrics that count in a period, and how.
    #[must_use]
    pub fn metrics_during(&self, period: Period) -> BTreeMap<BillableMetricId, &MetricTerms> {
        let ids = self.products.iter().flat_map(|product| product.metric_ids_during(period));
        ids.map(|id| (id, self.metric(id))).collect()
    }

    /// The metric of a product's state, and how it counts; only usage products have one.
    #[must_use]
    pub fn metric_of(&self, state: &ProductState) -> Option<(BillableMetricId, &MetricTerms)> {
        state.billable_metric_id.map(|id| (id, self.metric(id)))
    }

    fn metric(&self, id: BillableMetricId) -> &MetricTerms {
        self.metrics.get(&id).expect("a metric of a product: a foreign key")
    }

    /// The unit of one of the card's prices: its currency or one of its custom pricing units.
    #[must_use]
    pub fn unit(&self, id: CreditTypeId) -> &CreditType {
        self.find_unit(id).expect("a card prices in its units alone")
    }

    /// A unit in which the card prices.
    #[must_use]
    pub fn find_unit(&self, id: CreditTypeId) -> Option<&CreditType> {
        let custom = self.conversions.iter().map(|conversion| &conversion.unit);
        std::iter::once(&self.unit).chain(custom).find(|unit| unit.id == id)
    }
}
