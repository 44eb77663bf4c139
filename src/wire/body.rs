//! Reading a JSON body.

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::{OperationInput, set_body};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt;
use schemars::{JsonSchema, Schema, json_schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body_room::BodyShare;
use super::{WellFormed, may_hold_nul};
use crate::error::ApiError;
use crate::telemetry::causes;

/// Largest body that is read, after decompression.
pub const BODY_LIMIT_BYTES: usize = 10 * 1024 * 1024;

/// A JSON request body. An empty body is `{}`; the content type is not looked at, because SDKs send it on
/// bodies that are empty and leave it out on some that are not.
///
/// Answers 400 naming the JSON path of the first bad field, 413 over [`BODY_LIMIT_BYTES`].
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&read_sound_text(request).await?).map(Self)
    }
}

/// One JSON body read as two shapes, where an operation adds fields of its own to a shape that others share.
/// (serde's `flatten` would lose the path of a bad field.)
pub struct JsonBoth<A, B>(pub A, pub B);

impl<A: DeserializeOwned, B: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBoth<A, B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let text = read_sound_text(request).await?;
        Ok(Self(parse(&text)?, parse(&text)?))
    }
}

/// A JSON body as text, for operations that read it in their own way. The character NUL may be in it.
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        read_text(request).await.map(Self)
    }
}

/// The body, `{}` where it is empty.
async fn read_text(request: Request) -> Result<Bytes, ApiError> {
    let bytes = read_body(request).await?;
    Ok(if bytes.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { bytes })
}

/// The same without NUL.
async fn read_sound_text(request: Request) -> Result<Bytes, ApiError> {
    let text = read_text(request).await?;
    refuse_nul(&text)?;
    Ok(text)
}

/// The whole body, within the limit; 429 where the bodies of other requests take all the room that there is.
pub async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    let share = request.extensions().get::<BodyShare>().cloned();
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::BadRequest(format!("the request body cannot be read: {}", causes(&error)))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_LIMIT_BYTES {
            return Err(ApiError::PayloadTooLarge { limit_bytes: BODY_LIMIT_BYTES });
        }
        if length > bytes.capacity() {
            // Room is had for what came, never for what a client says that it will send.
            let capacity = length.max(2 * bytes.capacity()).min(BODY_LIMIT_BYTES);
            if let Some(share) = &share {
                share.grow_to(capacity)?;
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    // serde would take an array for an object, field by field.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::BadRequest("the request body must be a JSON object".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| refusal(&error))?;
    json.end().map_err(|error| ApiError::BadRequest(describe(&error)))?;
    Ok(value)
}

/// Names the field, except where the JSON itself is broken.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let reason = describe(error.inner());
    if path == "." || !error.inner().is_data() {
        ApiError::BadRequest(reason)
    } else {
        ApiError::field(&path, reason)
    }
}

/// The parser's message; its position helps only where the JSON itself is broken.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.is_data() {
        text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
    } else {
        format!("the request body is not valid JSON: {text}")
    }
}

/// PostgreSQL text cannot hold the character NUL, and nothing that is billed needs it.
fn refuse_nul(text: &[u8]) -> Result<(), ApiError> {
    if !may_hold_nul(text) {
        return Ok(());
    }
    // A second reading tells whether it is there, and where.
    let mut json = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut json).map(|WellFormed| ()).map_err(|error| refusal(&error))
}

impl<T: JsonSchema> OperationInput for Json<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let required = is_required(ctx, &schema);
        document(ctx, operation, schema, required);
    }
}

impl<A: JsonSchema, B: JsonSchema> OperationInput for JsonBoth<A, B> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let parts = [ctx.schema.subschema_for::<A>(), ctx.schema.subschema_for::<B>()];
        let required = parts.iter().any(|part| is_required(ctx, part));
        document(ctx, operation, json_schema!({ "allOf": parts }), required);
    }
}

/// Whether a body must be sent: not where every field may be left out.
fn is_required(ctx: &GenContext, schema: &Schema) -> bool {
    let schema = ctx.resolve_schema(schema);
    let has_required =
        schema.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    has_required || schema.get("minProperties").is_some() || schema.get("type") != Some(&"object".into())
}

fn document(ctx: &mut GenContext, operation: &mut Operation, json_schema: Schema, required: bool) {
    let schema = SchemaObject { json_schema, example: None, external_docs: None };
    let content = MediaType { schema: Some(schema), ..MediaType::default() };
    let body = RequestBody {
        content: [("application/json".to_owned(), content)].into_iter().collect(),
        required,
        ..RequestBody::default()
    };
    set_body(ctx, operation, body);
}
