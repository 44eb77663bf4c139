//! `POST /v1/customers/{customer_id}/previewEvents`

use std::collections::{BTreeSet, HashSet};

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::compute::{Calculator, Preview};
use super::custom_fields;
use super::model::{Invoice, InvoiceView};
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::contract::{self, Contract};
use crate::customer::{self, CustomerPath};
use crate::error::ApiError;
use crate::event::{
    BACKDATING, BatchLog, EventLog, PREVIEWED_MAX, PreviewEvent, PreviewedEvent, Screens, previewed,
};
use crate::id::EnvironmentId;
use crate::time::{Instant, Period};
use crate::usage::begin_usage_snapshot;
use crate::usage::ingest::Metering;
use crate::wire::{Data, Json, Path};

wire_enum! {
    /// What becomes of the usage that is there.
    pub enum PreviewMode {
        /// The events are taken for the customer's only ones.
        Replace = "replace",
        /// The events are added to it.
        Merge = "merge",
    }
}

/// Unlike elsewhere an unknown field is refused (published document).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewEvents {
    /// 1 to 100.
    #[schemars(length(min = 1, max = PREVIEWED_MAX))]
    events: Vec<PreviewEvent>,
    /// `replace` when omitted.
    mode: Option<PreviewMode>,
    /// Without lines of quantity 0.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    skip_zero_qty_line_items: bool,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Path(path): Path<CustomerPath>,
    Json(request): Json<PreviewEvents>,
) -> Result<axum::Json<Data<Vec<Invoice>>>, ApiError> {
    let environment_id = caller.environment_id();
    let events = previewed(request.events, caller.now)?;
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    customer::get(&mut snapshot, environment_id, path.customer_id).await?;
    let screens = metering.screens();
    let events = without_repeats(&mut snapshot, screens, environment_id, events, caller.now).await?;
    let contracts = contract::list_of_customer(&mut snapshot, environment_id, path.customer_id).await?;

    let mut invoices = Vec::new();
    let replaces = request.mode.unwrap_or(PreviewMode::Replace) == PreviewMode::Replace;
    let preview = Preview { events: events.clone(), replaces };
    let mut calculator = Calculator::previewing(&mut snapshot, environment_id, preview);
    for contract in &contracts {
        for period in statements(contract, &events, caller.now) {
            if let Some(metric_id) = calculator.sql_metric(contract, period).await? {
                return Err(ApiError::BadRequest(format!(
                    "contract {} cannot be previewed: SQL counts billable metric {metric_id}, by which it is charged",
                    contract.id
                )));
            }
            invoices.push(calculator.statement(contract, period, caller.now).await?);
        }
    }
    custom_fields::show(&mut snapshot, environment_id, &mut invoices, None).await?;
    let view = InvoiceView {
        skip_zero_qty_line_items: request.skip_zero_qty_line_items,
        include_list_prices: false,
    };
    Ok(axum::Json(Data { data: invoices.into_iter().map(|invoice| invoice.shown(view)).collect() }))
}

/// The contract's statement of now, and each other one that is not finalized and has one of the events: in its grace,
/// or to begin within a day.
fn statements(contract: &Contract, events: &[PreviewedEvent], now: Instant) -> BTreeSet<Period> {
    let instants = events.iter().map(|event| event.timestamp).chain([now]);
    instants.filter_map(|instant| contract.open_statement_at(instant)).collect()
}

/// Without the events whose transaction id is held by one that was sent: they would be taken for its repeats.
async fn without_repeats(
    db: &mut PgConnection,
    screens: &Screens,
    environment_id: EnvironmentId,
    mut events: Vec<PreviewedEvent>,
    now: Instant,
) -> Result<Vec<PreviewedEvent>, sqlx::Error> {
    let ids: Vec<String> = events.iter().filter_map(|event| event.transaction_id.clone()).collect();
    if ids.is_empty() {
        return Ok(events);
    }
    // An id is held from the later of arrival and timestamp on, and no event was older than that when it arrived.
    let since = now - BACKDATING - BACKDATING;
    let sent = BatchLog.find(db, screens, environment_id, &ids, since, 0).await?;
    let is_held = |received_at: Instant, timestamp: Instant| received_at.max(timestamp) + BACKDATING >= now;
    let held: HashSet<String> = sent
        .into_iter()
        .filter(|event| is_held(event.received_at, event.timestamp))
        .map(|event| event.transaction_id)
        .collect();
    events.retain(|event| event.transaction_id.as_ref().is_none_or(|id| !held.contains(id)));
    Ok(events)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("previewEvents").tag("Invoices").summary("Preview what events would cost").description(
        "The drafts of the customer's contracts as they would be with the events, each of the whole statement: what the \
         events cost is the difference of two totals. Nothing is kept, and no transaction id is used up. What SQL counts \
         cannot be previewed.",
    )
}
