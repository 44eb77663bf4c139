//! `GET /v1/customers`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::store::{self, CustomerFilter};
use super::view::{self, CustomerDetail};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::wire::{CursorKey, Page, PageLimit, Query};

/// Most values of one list filter.
const FILTER_VALUES_MAX: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub struct ListCustomers {
    #[serde(default)]
    limit: PageLimit,
    next_page: Option<String>,
    /// Only the customer that holds exactly this alias.
    ingest_alias: Option<String>,
    /// Only these customers; at most 100.
    #[serde(default)]
    customer_ids: Vec<Uuid>,
    /// Only customers of these accounts; at most 100.
    #[serde(default)]
    salesforce_account_ids: Vec<String>,
    /// Archived customers instead of active ones.
    #[serde(default)]
    only_archived: bool,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(request): Query<ListCustomers>,
) -> Result<axum::Json<Page<CustomerDetail>>, ApiError> {
    let environment_id = caller.environment_id();
    let limits = [
        ("customer_ids", request.customer_ids.len()),
        ("salesforce_account_ids", request.salesforce_account_ids.len()),
    ];
    if let Some((field, _)) = limits.iter().find(|(_, count)| *count > FILTER_VALUES_MAX) {
        return Err(ApiError::field(field, format!("at most {FILTER_VALUES_MAX} values")));
    }
    let filters = (
        &request.ingest_alias,
        &request.customer_ids,
        &request.salesforce_account_ids,
        request.only_archived,
    );
    let key = CursorKey::new("customers", "next_page", environment_id, &filters);
    let after = key.creation_position(request.next_page.as_deref())?;
    let limit = request.limit.get();
    let filter = CustomerFilter {
        ingest_alias: request.ingest_alias,
        customer_ids: request.customer_ids,
        salesforce_account_ids: request.salesforce_account_ids,
        only_archived: request.only_archived,
    };
    let mut db = app.db.acquire().await?;
    let rows = store::list(&mut db, environment_id, &filter, after, limit + 1).await?;
    let page = Page::by_creation(rows, limit, &key);
    let data = view::details(&mut db, environment_id, page.data, caller.now).await?;
    Ok(axum::Json(Page { data, next_page: page.next_page }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listCustomers").tag("Customers").summary("List customers").description(
        "In the order of their creation. Filters narrow together; an unknown id yields fewer rows.",
    )
}
