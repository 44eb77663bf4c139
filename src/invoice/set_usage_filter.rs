//! `POST /v1/contracts/setUsageFilter`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::catch_up::begin_caught_up;
use crate::access::{App, Record, Writer};
use crate::contract::{self, UsageFilterInput};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId};
use crate::time::shown;
use crate::wire::{Empty, HourBoundary, Json};

#[derive(Deserialize, JsonSchema)]
pub struct SetUsageFilter {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// A property of events, which must be a group key of every metric behind the rate card.
    group_key: String,
    /// Only events whose property is one of these are billed; at least one.
    group_values: Vec<String>,
    /// On the hour, within the contract's term; past or future. One that was set with the same start is replaced.
    starting_at: HourBoundary,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<SetUsageFilter>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let (mut change, _) = begin_caught_up(&app, &caller, request.customer_id).await?;
    let mut contract =
        contract::lock(&mut change, environment_id, request.customer_id, request.contract_id).await?;
    if contract.archived_at.is_some() {
        return Err(ApiError::field("contract_id", "the contract is archived"));
    }
    let input = UsageFilterInput {
        group_key: request.group_key,
        group_values: request.group_values,
        starting_at: Some(request.starting_at),
    };
    let filter = contract::planned_usage_filter(&contract, input, false, caller.now)?;
    let (key, from) = (filter.group_key.clone(), shown(filter.starting_at));
    contract::add_usage_filter(&mut change, environment_id, &mut contract, filter, &caller.token_name)
        .await?;
    let record =
        Record::new(contract.id.0, format!("Set the contract's usage filter by {key} from {from} on"));
    change.commit(record, Empty).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("setUsageFilter").tag("Contracts").summary("Set the usage filter of a contract").description(
        "From an hour on the contract bills only those events of its customer whose property is one of the values. \
         Each event goes by the filter in force at its timestamp, before the first filter by none; an event that no \
         contract's filter passes is billed nowhere. Drafts follow at once, finalized invoices never.",
    )
}
