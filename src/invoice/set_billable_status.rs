//! `POST /v1/customers/setBillableStatus`: from when on a customer's invoices go out, or do not.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::catch_up::begin_caught_up;
use super::store;
use crate::access::{App, Record, Writer};
use crate::customer;
use crate::customer::billable_status::{self, BillableStatus, NewStatus};
use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId};
use crate::time::{Instant, shown};
use crate::wire::{Data, Json, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct SetBillableStatus {
    customer_id: CustomerId,
    billable_status: BillableStatus,
    /// Of usage invoices those whose period starts then or later, of others those issued then or later; past or
    /// future, but after every finalized invoice.
    effective_at: Timestamp,
}

/// The answer: the status as of now, which one that is effective later does not change yet.
#[derive(Serialize, JsonSchema)]
pub struct BillableStatusSet {
    id: CustomerId,
    current_billable_status: BillableStatus,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<SetBillableStatus>,
) -> Result<axum::Json<Data<BillableStatusSet>>, ApiError> {
    let environment_id = caller.environment_id();
    let effective_at = request.effective_at.0;
    // Whoever finalizes an invoice of the customer holds it too: from here on, what is finalized is known.
    let (mut change, customer) = begin_caught_up(&app, &caller, request.customer_id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("customer_id", "the customer is archived"));
    }
    refuse_finalized(&mut change, environment_id, customer.id, effective_at).await?;
    let entry = NewStatus {
        status: request.billable_status,
        effective_at,
        created_at: caller.now,
        created_by: &caller.token_name,
    };
    billable_status::append(&mut change, environment_id, customer.id, &entry).await?;
    customer::touch(&mut change, environment_id, customer.id, caller.now).await?;
    let now = [(customer.id, caller.now)];
    let current = billable_status::statuses_at(&mut change, environment_id, &now).await?.remove(0);
    let (status, since) = (request.billable_status.as_str(), shown(effective_at));
    let record = Record::new(customer.id.0, format!("Set customer {} {status} from {since}", customer.name));
    let data = BillableStatusSet { id: customer.id, current_billable_status: current };
    change.commit(record, axum::Json(Data { data })).await
}

/// 400 where the change would reach an invoice that is finalized: it never changes, and may be on its way. (Our
/// decision on "not earlier than the last finalized invoice"; a void invoice is in nobody's way.)
async fn refuse_finalized(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    effective_at: Instant,
) -> Result<(), ApiError> {
    let last = store::last_finalized_at(db, environment_id, customer_id).await?;
    match last.filter(|last| effective_at <= *last) {
        Some(last) => {
            let reason = format!("must be after {}, because an invoice of then is finalized", shown(last));
            Err(ApiError::field("effective_at", reason))
        }
        None => Ok(()),
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("setCustomerBillableStatus").tag("Customers").summary("Set a customer billable or not").description(
        "Unbillable invoices are made and finalized like others, and never sent to a billing provider. What was set \
         last counts from its `effective_at` on, also before a status that was set earlier for later.",
    )
}
