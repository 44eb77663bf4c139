//! `POST /v1/contracts/getNamedSchedule` and `/v1/contracts/updateNamedSchedule`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::input::{Asked, Properties, Update};
use super::store::{self, Owner};
use super::view::SegmentView;
use crate::access::{App, Caller, Record, Writer};
use crate::contract;
use crate::customer;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId};
use crate::wire::{Data, Empty, JsonBoth};

#[derive(Deserialize, JsonSchema)]
pub struct OfContract {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// All properties of the schedule; schedules of one name with others are others.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    properties: Properties,
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    JsonBoth(of, asked): JsonBoth<OfContract, Asked>,
) -> Result<axum::Json<Data<Vec<SegmentView>>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut db = app.db.acquire().await?;
    let contract = contract::find(&mut db, environment_id, of.customer_id, of.contract_id).await?;
    contract.ok_or_else(|| ApiError::not_found("contract", of.contract_id))?;
    let (name, covering) = (&asked.schedule_name.0, asked.covering_date.map(|date| date.0));
    let owner = Owner::Contract(of.customer_id, of.contract_id);
    let segments = store::find(&mut db, environment_id, owner, name, &of.properties, covering).await?;
    Ok(axum::Json(Data { data: segments.into_iter().map(Into::into).collect() }))
}

pub async fn update(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(of, update): JsonBoth<OfContract, Update>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let (name, segment) = update.checked()?;
    let mut change = caller.begin(&app).await?;
    // Whoever archives a contract locks its customer first.
    customer::lock_active(&mut change, environment_id, of.customer_id).await?;
    let contract = contract::find(&mut change, environment_id, of.customer_id, of.contract_id).await?;
    let contract = contract.ok_or_else(|| ApiError::not_found("contract", of.contract_id))?;
    if contract.archived_at.is_some() {
        return Err(ApiError::field("contract_id", "the contract is archived"));
    }
    let owner = Owner::Contract(of.customer_id, of.contract_id);
    store::set(&mut change, environment_id, owner, &name, &of.properties, segment).await?;
    let record = Record::new(contract.id.0, format!("Set the contract's schedule {name}"));
    change.commit(record, Empty).await
}

pub fn get_doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getContractNamedSchedule")
        .tag("Named schedules")
        .summary("Get a schedule of a contract")
        .description(
            "In the order of time; empty where the contract has no schedule with this name and properties.",
        )
}

pub fn update_doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateContractNamedSchedule").tag("Named schedules").summary("Update a schedule of a contract").description(
        "Sets a value over a window of time; what held there is cut off or split, the rest of the schedule stays. An \
         archived contract is not changed.",
    )
}
