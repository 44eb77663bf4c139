//! `POST /v1/contracts/create`: a contract of its own terms or of a package's, which may renew another one.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::catch_up::begin_caught_up;
use super::renewal;
use crate::access::{App, Record, Writer};
use crate::contract::ContractV2;
use crate::contract::create::{ContractTerms, create};
use crate::error::ApiError;
use crate::id::ContractId;
use crate::package::{ContractParties, Planned};
use crate::wire::{Data, JsonBoth};

/// The answer: the id, and the contract as v2 shows it.
#[derive(Serialize, JsonSchema)]
pub struct CreatedContract {
    id: ContractId,
    contract: ContractV2,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(parties, terms): JsonBoth<ContractParties, ContractTerms>,
) -> Result<axum::Json<Data<CreatedContract>>, ApiError> {
    let environment_id = caller.environment_id();
    let id: ContractId = app.ids.next();
    let (customer_id, transition) = (parties.customer_id, parties.transition.clone());
    let planned = Planned::new(parties, terms, id, &app.ids, caller.now)?;
    let mut change = match &transition {
        None => caller.begin(&app).await?,
        Some(_) => begin_caught_up(&app, &caller, customer_id).await?.0,
    };
    let new = planned.resolved(&mut change, environment_id, &app.ids, caller.now).await?;
    let (customer, whole) = match &transition {
        None => create(&mut change, &caller, new).await?,
        Some(transition) => renewal::create(&mut change, &caller, transition, new).await?,
    };
    let words = match &transition {
        None => format!("Created a contract of customer {}", customer.name),
        Some(transition) => {
            let old = transition.from_contract_id;
            format!("Created a contract of customer {} that renews {old}", customer.name)
        }
    };
    let record = Record::new(id.0, words);
    let created = CreatedContract { id, contract: whole.into() };
    let answer = change.commit(record, axum::Json(Data { data: created })).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createContract").tag("Contracts").summary("Create a contract").description(
        "Every statement period since its start gets its usage invoice; those that are over are finalized soon after. \
         Scheduled charges have their invoices at once, as drafts until their dates. Without a rate card no usage is \
         priced. A contract of a package takes over what the package says, its dates counted from `starting_at`. One with a \
         `transition` ends the contract that it renews where it starts, and takes over what is left of those of its commits and \
         credits that have a `rollover_fraction`, at most that fraction of what they began with. What it takes over may still \
         change until its first usage invoice is finalized.",
    )
}
