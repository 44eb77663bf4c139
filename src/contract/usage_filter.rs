//! Usage filters in requests and in views of a contract.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::terms::Contract;
use crate::catalog::usage_filter::{self, FilterOwner, FilterSegment, OpenTime, UsageFilter, UsageFilters};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::time::Instant;
use crate::wire::HourBoundary;

/// Most values of one filter (our decision: every piece of usage is held against them).
const VALUES_MAX: usize = 10_000;

/// Which usage the contract bills (schema `BaseUsageFilter`).
#[derive(Deserialize, JsonSchema)]
pub struct UsageFilterInput {
    /// A property of events, which must be a group key of every metric behind the rate card.
    pub group_key: String,
    /// Only events whose property is one of these are billed; at least one.
    pub group_values: Vec<String>,
    /// On the hour; the contract's start when omitted.
    pub starting_at: Option<HourBoundary>,
}

/// What the request asks for, before it is kept: 400 where it makes no sense for the contract, whatever its card.
pub fn planned(
    contract: &Contract,
    input: UsageFilterInput,
    is_initial: bool,
    now: Instant,
) -> Result<UsageFilter, ApiError> {
    let UsageFilterInput { group_key, group_values, starting_at } = input;
    if group_key.is_empty() {
        return Err(ApiError::field("group_key", "must not be empty"));
    }
    if group_values.is_empty() || group_values.len() > VALUES_MAX {
        return Err(ApiError::field("group_values", format!("must hold 1 to {VALUES_MAX} values")));
    }
    let starting_at = starting_at.map_or(contract.starting_at, |start| start.0);
    if starting_at < contract.starting_at {
        return Err(ApiError::field("starting_at", "must not be before the contract's starting_at"));
    }
    if contract.ending_before.is_some_and(|end| starting_at >= end) {
        return Err(ApiError::field("starting_at", "must be before the contract's ending_before"));
    }
    Ok(UsageFilter { added: i64::MAX, group_key, group_values, starting_at, is_initial, set_at: now })
}

/// Adds the filter to the contract's; 400 naming `group_key` where a product on its card cannot be counted through it.
pub async fn add(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &mut Contract,
    filter: UsageFilter,
    set_by: &str,
) -> Result<(), ApiError> {
    let mut entries = contract.usage_filters.entries().to_vec();
    entries.push(filter.clone());
    let filters = UsageFilters::new(entries.clone());
    if let Some(reason) = contradiction(db, environment_id, contract, &filters).await? {
        return Err(ApiError::field("group_key", reason));
    }
    let owner = FilterOwner {
        customer_id: contract.customer_id,
        contract_id: contract.id,
        rate_card_id: contract.rate_card_id,
    };
    let kept = usage_filter::insert(db, environment_id, owner, filter, set_by).await?;
    entries.pop();
    entries.push(kept);
    contract.usage_filters = UsageFilters::new(entries);
    Ok(())
}

/// Why a product on the contract's card cannot be counted through these filters in what is not finalized; the card
/// and its products are kept from being changed until the transaction ends. Without a card nothing is counted.
pub async fn contradiction(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    filters: &UsageFilters,
) -> Result<Option<String>, sqlx::Error> {
    let Some(rate_card_id) = contract.rate_card_id.filter(|_| !filters.is_empty()) else {
        return Ok(None);
    };
    let open = OpenTime { from: contract.finalized_until, until: contract.ending_before };
    usage_filter::contradiction_on_card(db, environment_id, rate_card_id, filters, open).await
}

/// A filter as v1 shows it (schema `BaseUsageFilter`).
#[derive(Clone, Serialize, JsonSchema)]
pub struct UsageFilterView {
    group_key: String,
    group_values: Vec<String>,
    starting_at: Instant,
}

/// The filters of a contract as v1 shows them (schema `UsageFilter`).
#[derive(Clone, Serialize, JsonSchema)]
pub struct UsageFilterHistory {
    /// The first one.
    initial: UsageFilterView,
    /// The one in force now; null while none is.
    current: Option<UsageFilterView>,
    /// The others, by start; of one start the one that was set last.
    updates: Vec<UsageFilterView>,
}

/// A filter with its time as v2 shows it (schema `UsageFilterV2`).
#[derive(Clone, Serialize, JsonSchema)]
pub struct UsageFilterSegment {
    group_key: String,
    group_values: Vec<String>,
    starting_at: Instant,
    /// Where the next one starts or the contract ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
}

impl From<&UsageFilter> for UsageFilterView {
    fn from(filter: &UsageFilter) -> Self {
        Self {
            group_key: filter.group_key.clone(),
            group_values: filter.group_values.clone(),
            starting_at: filter.starting_at,
        }
    }
}

impl UsageFilterHistory {
    /// Nothing where there is no filter. `ending_before` is the contract's.
    #[must_use]
    pub fn of(filters: &UsageFilters, ending_before: Option<Instant>, now: Instant) -> Option<Self> {
        let (first, later) = filters.entries().split_first()?;
        let in_force = filters.at(now).filter(|_| ending_before.is_none_or(|end| now < end));
        let later = UsageFilters::new(later.to_vec());
        Some(Self {
            initial: first.into(),
            current: in_force.map(Into::into),
            updates: later.segments(None).into_iter().map(|segment| segment.filter.into()).collect(),
        })
    }
}

impl From<FilterSegment<'_>> for UsageFilterSegment {
    fn from(segment: FilterSegment<'_>) -> Self {
        let UsageFilterView { group_key, group_values, starting_at } = segment.filter.into();
        Self { group_key, group_values, starting_at, ending_before: segment.end }
    }
}
