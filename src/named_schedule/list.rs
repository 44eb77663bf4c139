//! `POST /v1/contracts/listNamedSchedules`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::Properties;
use super::store::{self, ContractSchedule, ScheduleFilter, SchedulePosition};
use super::view::SegmentView;
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId};
use crate::wire::{CursorKey, Json, Page, PageLimit, Timestamp};
use crate::{contract, customer};

#[derive(Deserialize, JsonSchema)]
pub struct ListNamedSchedules {
    customer_id: CustomerId,
    /// Only schedules of this contract.
    contract_id: Option<ContractId>,
    /// Only schedules of this name.
    schedule_name: Option<String>,
    /// Only schedules that have at least these properties.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    properties: Properties,
    /// Of each schedule only the value that holds then.
    covering_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    limit: PageLimit,
    next_page: Option<String>,
}

/// A schedule of one of the customer's contracts (schema `CustomerContractNamedSchedule`).
#[derive(Serialize, JsonSchema)]
pub struct ContractNamedSchedule {
    contract_id: ContractId,
    schedule_name: String,
    #[serde(skip_serializing_if = "Properties::is_empty")]
    properties: Properties,
    /// In the order of time.
    segments: Vec<SegmentView>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ListNamedSchedules>,
) -> Result<axum::Json<Page<ContractNamedSchedule>>, ApiError> {
    let ListNamedSchedules { customer_id, contract_id, schedule_name, properties, covering_date, .. } =
        request;
    let environment_id = caller.environment_id();
    let filters = (customer_id, contract_id, &schedule_name, &properties, covering_date);
    let key = CursorKey::new("named schedules", "next_page", environment_id, &filters);
    let after: Option<SchedulePosition> = key.decode(request.next_page.as_deref())?;
    let limit = request.limit.get();
    let mut db = app.db.acquire().await?;
    customer::get(&mut db, environment_id, customer_id).await?;
    if let Some(contract_id) = contract_id
        && contract::find(&mut db, environment_id, customer_id, contract_id).await?.is_none()
    {
        return Err(ApiError::not_found("contract", contract_id));
    }
    let filter = ScheduleFilter { contract_id, name: schedule_name.as_deref(), properties: &properties };
    let rows =
        store::list_of_contracts(&mut db, environment_id, customer_id, &filter, after, limit + 1).await?;
    let position = |row: &ContractSchedule| key.encode(&(row.contract_id.0, &row.name, row.id));
    let page = Page::cut(rows, limit, position);
    let ids: Vec<_> = page.data.iter().map(|row| row.id).collect();
    let covering = covering_date.map(|date| date.0);
    let mut segments = store::segments_of(&mut db, environment_id, &ids, covering).await?;
    let page = page.map(|row| ContractNamedSchedule {
        contract_id: row.contract_id,
        schedule_name: row.name,
        properties: row.properties,
        segments: segments.remove(&row.id).unwrap_or_default().into_iter().map(Into::into).collect(),
    });
    Ok(axum::Json(page))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listContractsNamedSchedules")
        .tag("Named schedules")
        .summary("List the schedules of a customer's contracts")
        .description(
            "By contract and name. A schedule without a value at `covering_date` is listed without segments.",
        )
}
