use std::collections::BTreeMap;

use crate::catalog::billable_metric::AggregationType;
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::catalog::product::{ProductState, Timeline};
use crate::catalog::rate::{GroupValues, RateEntry};
use crate::id::{BillableMetricId, ProductId};
use crate::money::{CreditType, Decimal};
use crate::time::Instant;
use crate::usage::Piece;

/// Everything that prices one contract.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The unit of the invoice.
    pub unit: CreditType,
    /// In the order of the rate card, which is the order of lines.
    pub products: Vec<ProductTerms>,
    /// Every metric that counts for one of the products at any time.
    pub metrics: BTreeMap<BillableMetricId, MetricTerms>,
    /// The newest entries of all that count.
    pub newest: Newest,
}

/// The newest entries of the append-only catalog that a calculation saw, of one rate card and its products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    pub rate: Option<i64>,
    pub product_update: Option<i64>,
}

/// A product and its prices.
#[derive(Clone, Debug)]
pub struct ProductTerms {
    pub product_id: ProductId,
    /// Its states over time.
    pub states: Timeline,
    /// One timeline for each combination of pricing group values, entries in the order of addition.
    pub timelines: BTreeMap<GroupValues, Vec<RateEntry>>,
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
    pub quantity: Decimal,
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
    /// The metrics that count at these instants, and how.
    #[must_use]
    pub fn metrics_at(&self, instants: &[Instant]) -> BTreeMap<BillableMetricId, &MetricTerms> {
        let states =
            instants.iter().flat_map(|at| self.products.iter().map(|product| product.states.at(*at)));
        states.map(|state| self.metric_of(state)).collect()
    }

    /// The metric of a product's state, and how it counts.
    #[must_use]
    pub fn metric_of(&self, state: &ProductState) -> (BillableMetricId, &MetricTerms) {
        let id = state.billable_metric_id.expect("only usage products have rates, and each has a metric");
        (id, self.metrics.get(&id).expect("a metric of a product: a foreign key"))
    }
}
