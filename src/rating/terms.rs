use std::collections::BTreeMap;

use crate::catalog::billable_metric::AggregationType;
use crate::catalog::product::{ProductState, Timeline};
use crate::catalog::rate::{GroupValues, RateEntry};
use crate::id::{BillableMetricId, ProductId};
use crate::money::CreditType;
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
    pub aggregation: AggregationType,
    /// In the order of the values of a [`Piece`].
    pub group_names: Vec<String>,
}

/// The customer's usage of a period, cut into the segments that [`super::calc::cuts`] asked for.
#[derive(Clone, Debug)]
pub struct Usage {
    pub pieces: Vec<Piece>,
}

impl Terms {
    /// The metric of a product's state, and how it counts.
    #[must_use]
    pub fn metric_of(&self, state: &ProductState) -> (BillableMetricId, &MetricTerms) {
        let id = state.billable_metric_id.expect("only usage products have rates, and each has a metric");
        (id, self.metrics.get(&id).expect("a metric of a product: a foreign key"))
    }
}
