//! `POST /v1/ingest`: group commit. Requests are checked one by one, wait in a bounded queue, and are kept many at a
//! time: facts, keys and the note that their usage is to be counted in one transaction, and the answers after it.

mod committer;
mod flush;
mod queue;

pub use committer::Metering;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::OperationInput;
use aide::transform::TransformOperation;
use axum::Extension;
use schemars::JsonSchema;

use crate::access::Writer;
use crate::error::ApiError;
use crate::event::parse_batch;
use crate::wire::{Empty, RawBody};

pub async fn handler(
    Extension(metering): Extension<Metering>,
    caller: Writer,
    EventsBody(body): EventsBody,
) -> Result<Empty, ApiError> {
    let events = parse_batch(&body, caller.environment_id(), caller.now)?;
    metering.queue().submit(caller.environment_id(), events, caller.now).await?;
    Ok(Empty)
}

/// The body: read as text first, so that every bad event can be named.
pub struct EventsBody(axum::body::Bytes);

impl<S: Send + Sync> axum::extract::FromRequest<S> for EventsBody {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        RawBody::from_request(request, state).await.map(|RawBody(bytes)| Self(bytes))
    }
}

/// One usage event (schema `Event`).
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "documents the body that `event::parse_batch` reads")]
struct EventInput {
    /// At most 128 characters. The first event of an id counts, repeats within 34 days do not.
    transaction_id: String,
    /// The customer's id or one of its ingest aliases; it may be set later.
    customer_id: String,
    event_type: String,
    /// RFC 3339 with an offset; at most 34 days old and 24 hours ahead.
    timestamp: String,
    /// At most 2,000; numbers may be sent as strings.
    properties: Option<serde_json::Map<String, serde_json::Value>>,
}

impl OperationInput for EventsBody {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        crate::wire::Json::<Vec<EventInput>>::operation_input(ctx, operation);
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("ingest").tag("Usage").summary("Send usage events").description(
        "1 to 100 events; 200 means that all of them are kept, 400 that none is. A repeat of a transaction id, an \
         unknown customer or an event that no metric counts is not an error. After a network error send the same \
         request again.",
    )
}
