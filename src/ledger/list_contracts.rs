//! `POST /v1/contracts/list` and `POST /v2/contracts/list`

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::of_contracts::{begin_read, reckon};
use super::view::Asked;
use crate::access::{App, Caller};
use crate::contract::balance::Cap;
use crate::contract::{
    self, ContractFilter, ContractV1, ContractV2, WholeContract, customer_not_found, whole,
};
use crate::customer;
use crate::error::ApiError;
use crate::id::CustomerId;
use crate::usage::ingest::Metering;
use crate::wire::{ContractPageLimit, CursorKey, Json, Page, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct ListContracts {
    customer_id: CustomerId,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_archived: bool,
    /// Only contracts that start then or later; not together with `covering_date`.
    starting_at: Option<Timestamp>,
    /// Only contracts in force then; not together with `starting_at`.
    covering_date: Option<Timestamp>,
    /// With what is left of each commit and credit.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_balance: bool,
    /// With the ledger of each commit and credit.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_ledgers: bool,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    limit: ContractPageLimit,
    cursor: Option<String>,
}

/// A page of contracts (`cursor` is null on the last one).
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ContractPage<T> {
    data: Vec<T>,
    cursor: Option<String>,
}

pub async fn handler_v1(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Json(request): Json<ListContracts>,
) -> Result<axum::Json<ContractPage<ContractV1>>, ApiError> {
    let not_found = ApiError::not_found("customer", request.customer_id);
    list(&app, &metering, &caller, request, Cap::All, not_found).await
}

pub async fn handler_v2(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Json(request): Json<ListContracts>,
) -> Result<axum::Json<ContractPage<ContractV2>>, ApiError> {
    let not_found = customer_not_found(request.customer_id);
    list(&app, &metering, &caller, request, Cap::Last, not_found).await
}

async fn list<T: From<WholeContract>>(
    app: &App,
    metering: &Metering,
    caller: &Caller,
    request: ListContracts,
    cap: Cap,
    customer_not_found: ApiError,
) -> Result<axum::Json<ContractPage<T>>, ApiError> {
    if request.starting_at.is_some() && request.covering_date.is_some() {
        return Err(ApiError::field("covering_date", "cannot be combined with starting_at"));
    }
    let environment_id = caller.environment_id();
    let filters = (request.customer_id, request.include_archived, request.starting_at, request.covering_date);
    let key = CursorKey::new("contracts", "cursor", environment_id, &filters);
    let after: Option<(Timestamp, Timestamp, Uuid)> = key.decode(request.cursor.as_deref())?;
    let after = after.map(|(starting_at, created_at, id)| (starting_at.0, created_at.0, id));
    let filter = ContractFilter {
        include_archived: request.include_archived,
        starting_at: request.starting_at.map(|instant| instant.0),
        covering_date: request.covering_date.map(|instant| instant.0),
    };
    let limit = request.limit.get();
    let asked = Asked { balance: request.include_balance, ledger: request.include_ledgers };
    let (mut db, uncounted) = begin_read(app, environment_id, request.customer_id, metering, asked).await?;
    if customer::find(&mut db, environment_id, request.customer_id).await?.is_none() {
        return Err(customer_not_found);
    }
    let rows =
        contract::list(&mut db, environment_id, request.customer_id, &filter, after, Some(limit + 1)).await?;
    let page = Page::cut(rows, limit, |row| key.encode(&(row.starting_at, row.created_at, row.id)));
    let whole = whole(&mut db, environment_id, request.customer_id, page.data, cap, caller.now).await?;
    let whole = reckon(&mut db, environment_id, whole, asked, uncounted, caller.now).await?;
    let data = whole.into_iter().map(T::from).collect();
    Ok(axum::Json(ContractPage { data, cursor: page.next_page }))
}

pub fn doc_v1(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listContracts")
        .tag("Contracts")
        .summary("List the contracts of a customer")
        .description("By start, then by creation.")
}

pub fn doc_v2(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listContractsV2")
        .tag("Contracts")
        .summary("List the contracts of a customer, flat")
        .description("By start, then by creation.")
}
