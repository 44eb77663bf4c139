//! `POST /v1/contracts/get` and `POST /v2/contracts/get`

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::of_contracts::{begin_read, reckon};
use super::view::Asked;
use crate::access::{App, Caller};
use crate::contract::balance::Cap;
use crate::contract::{self, Contract, ContractV1, ContractV2, WholeContract, as_of};
use crate::customer;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::usage::ingest::Metering;
use crate::wire::{Data, Json, JsonBoth, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct GetContract {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// With what is left of each commit and credit, as it is now.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_balance: bool,
    /// With the ledger of each commit and credit, as it is now.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_ledgers: bool,
}

impl GetContract {
    fn asked(&self) -> Asked {
        Asked { balance: self.include_balance, ledger: self.include_ledgers }
    }
}

/// Beside the fields of v1.
#[derive(Deserialize, JsonSchema)]
pub struct AsOf {
    /// The contract as it was known then.
    as_of_date: Option<Timestamp>,
}

pub async fn handler_v1(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Json(request): Json<GetContract>,
) -> Result<axum::Json<Data<ContractV1>>, ApiError> {
    let environment_id = caller.environment_id();
    let asked = request.asked();
    let (mut db, uncounted) = begin_read(&app, environment_id, request.customer_id, &metering, asked).await?;
    let contract = contract::find(&mut db, environment_id, request.customer_id, request.contract_id).await?;
    let contract = contract.ok_or_else(|| ApiError::not_found("contract", request.contract_id))?;
    let whole = whole(&mut db, environment_id, contract, Cap::All, caller.now).await?;
    let whole = reckon(&mut db, environment_id, vec![whole], asked, uncounted, caller.now).await?;
    Ok(axum::Json(Data { data: only(whole).into() }))
}

pub async fn handler_v2(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    JsonBoth(request, AsOf { as_of_date }): JsonBoth<GetContract, AsOf>,
) -> Result<axum::Json<Data<ContractV2>>, ApiError> {
    let environment_id = caller.environment_id();
    let asked = request.asked();
    let GetContract { customer_id, contract_id, include_ledgers, .. } = request;
    if as_of_date.is_some() && include_ledgers {
        return Err(ApiError::field("as_of_date", "cannot be combined with include_ledgers"));
    }
    let (mut db, uncounted) = begin_read(&app, environment_id, customer_id, &metering, asked).await?;
    if customer::find(&mut db, environment_id, customer_id).await?.is_none() {
        return Err(contract::customer_not_found(customer_id));
    }
    let contract = contract::find(&mut db, environment_id, customer_id, contract_id).await?;
    let known = |contract: &Contract| as_of_date.is_none_or(|at| contract.created_at <= at.0);
    let contract = contract.filter(known).ok_or_else(|| ApiError::Coded {
        code: "ContractNotFound",
        message: format!("contract {contract_id} was not found"),
    })?;
    let whole = whole(&mut db, environment_id, contract, Cap::Last, caller.now).await?;
    let whole = reckon(&mut db, environment_id, vec![whole], asked, uncounted, caller.now).await?;
    let mut whole = only(whole);
    if let Some(at) = as_of_date {
        whole = as_of(&mut db, environment_id, whole, at.0).await?;
    }
    Ok(axum::Json(Data { data: whole.into() }))
}

async fn whole(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: Contract,
    cap: Cap,
    now: Instant,
) -> Result<WholeContract, sqlx::Error> {
    let customer_id = contract.customer_id;
    contract::whole(db, environment_id, customer_id, vec![contract], cap, now).await.map(only)
}

fn only(mut whole: Vec<WholeContract>) -> WholeContract {
    whole.pop().expect("one contract was given")
}

pub fn doc_v1(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getContract")
        .tag("Contracts")
        .summary("Get a contract")
        .description("Archived contracts too.")
}

pub fn doc_v2(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getContractV2")
        .tag("Contracts")
        .summary("Get a contract, flat")
        .description("Archived contracts too; `as_of_date` shows what was known at an instant.")
}
