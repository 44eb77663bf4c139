//! `POST /v1/contracts/get` and `POST /v2/contracts/get`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::store;
use super::terms::Contract;
use super::view::{ContractV1, ContractV2};
use super::whole::{WholeContract, as_of, whole};
use crate::access::{App, Caller};
use crate::customer;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::wire::{Data, Json, JsonBoth, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct GetContract {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// Balances of commits and credits; no contract has any yet.
    #[serde(default, deserialize_with = "crate::wire::or_default", rename = "include_balance")]
    _include_balance: bool,
    /// Ledgers of commits and credits; no contract has any yet.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_ledgers: bool,
}

/// Beside the fields of v1.
#[derive(Deserialize, JsonSchema)]
pub struct AsOf {
    /// The contract as it was known then.
    as_of_date: Option<Timestamp>,
}

pub async fn handler_v1(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<GetContract>,
) -> Result<axum::Json<Data<ContractV1>>, ApiError> {
    let mut db = app.db.acquire().await?;
    let contract =
        store::find(&mut db, caller.environment_id(), request.customer_id, request.contract_id).await?;
    let contract = contract.ok_or_else(|| ApiError::not_found("contract", request.contract_id))?;
    let whole = load(&mut db, caller.environment_id(), contract, caller.now).await?;
    Ok(axum::Json(Data { data: whole.into() }))
}

pub async fn handler_v2(
    State(app): State<App>,
    caller: Caller,
    JsonBoth(request, AsOf { as_of_date }): JsonBoth<GetContract, AsOf>,
) -> Result<axum::Json<Data<ContractV2>>, ApiError> {
    let GetContract { customer_id, contract_id, include_ledgers, .. } = request;
    if as_of_date.is_some() && include_ledgers {
        return Err(ApiError::field("as_of_date", "cannot be combined with include_ledgers"));
    }
    let mut db = app.db.acquire().await?;
    if customer::find(&mut db, caller.environment_id(), customer_id).await?.is_none() {
        return Err(customer_not_found(customer_id));
    }
    let contract = store::find(&mut db, caller.environment_id(), customer_id, contract_id).await?;
    let known = |contract: &Contract| as_of_date.is_none_or(|at| contract.created_at <= at.0);
    let contract = contract.filter(known).ok_or_else(|| ApiError::Coded {
        code: "ContractNotFound",
        message: format!("contract {contract_id} was not found"),
    })?;
    let mut whole = load(&mut db, caller.environment_id(), contract, caller.now).await?;
    if let Some(at) = as_of_date {
        whole = as_of(&mut db, caller.environment_id(), whole, at.0).await?;
    }
    Ok(axum::Json(Data { data: whole.into() }))
}

async fn load(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: Contract,
    now: Instant,
) -> Result<WholeContract, sqlx::Error> {
    let customer_id = contract.customer_id;
    let mut whole = whole(db, environment_id, customer_id, vec![contract], now).await?;
    Ok(whole.pop().expect("one contract was given"))
}

/// What v2 answers where v1 answers 404.
#[must_use]
pub fn customer_not_found(id: CustomerId) -> ApiError {
    ApiError::Coded { code: "CustomerNotFound", message: format!("customer {id} was not found") }
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
