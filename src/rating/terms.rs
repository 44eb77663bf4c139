use std::collections::BTreeMap;

use crate::catalog::billable_metric::AggregationType;
use crate::catalog::product::ProductState;
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
    /// The rate that was added last, of all that count.
    pub last_rate: Option<i64>,
}

/// A product and its prices.
#[derive(Clone, Debug)]
pub struct ProductTerms {
    pub product_id: ProductId,
    pub state: ProductState,
    pub metric_id: BillableMetricId,
    pub aggregation: AggregationType,
    /// The metric's group names, in the order of the values of a [`Piece`].
    pub group_names: Vec<String>,
    /// One timeline for each combination of pricing group values, entries in the order of addition.
    pub timelines: BTreeMap<GroupValues, Vec<RateEntry>>,
}

/// The customer's usage of a period, cut into the segments that [`super::calc::cuts`] asked for.
#[derive(Clone, Debug)]
pub struct Usage {
    pub pieces: Vec<Piece>,
}
