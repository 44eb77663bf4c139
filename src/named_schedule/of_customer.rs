//! `POST /v1/customers/getNamedSchedule` and `/v1/customers/updateNamedSchedule`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::input::{Asked, Properties, Update};
use super::store::{self, Owner};
use super::view::SegmentView;
use crate::access::{App, Caller, Record, Writer};
use crate::customer;
use crate::error::ApiError;
use crate::id::CustomerId;
use crate::wire::{Data, Empty, JsonBoth};

#[derive(Deserialize, JsonSchema)]
pub struct OfCustomer {
    customer_id: CustomerId,
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    JsonBoth(OfCustomer { customer_id }, asked): JsonBoth<OfCustomer, Asked>,
) -> Result<axum::Json<Data<Vec<SegmentView>>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut db = app.db.acquire().await?;
    customer::get(&mut db, environment_id, customer_id).await?;
    let (name, covering) = (&asked.schedule_name.0, asked.covering_date.map(|date| date.0));
    let owner = Owner::Customer(customer_id);
    let segments = store::find(&mut db, environment_id, owner, name, &Properties::new(), covering).await?;
    Ok(axum::Json(Data { data: segments.into_iter().map(Into::into).collect() }))
}

pub async fn update(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(OfCustomer { customer_id }, update): JsonBoth<OfCustomer, Update>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let (name, segment) = update.checked()?;
    let mut change = caller.begin(&app).await?;
    let customer = customer::lock_active(&mut change, environment_id, customer_id).await?;
    let owner = Owner::Customer(customer.id);
    store::set(&mut change, environment_id, owner, &name, &Properties::new(), segment).await?;
    let record = Record::new(customer.id.0, format!("Set the schedule {name} of customer {}", customer.name));
    change.commit(record, Empty).await
}

pub fn get_doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getCustomerNamedSchedule")
        .tag("Named schedules")
        .summary("Get a schedule of a customer")
        .description("In the order of time; empty where the customer has no schedule with this name.")
}

pub fn update_doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateCustomerNamedSchedule").tag("Named schedules").summary("Update a schedule of a customer").description(
        "Sets a value over a window of time; what held there is cut off or split, the rest of the schedule stays. An \
         archived customer is not changed.",
    )
}
