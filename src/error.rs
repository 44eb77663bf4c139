//! The one error of the edge and its one match to a status and a body.
//!
//! Inside, each module has its own small error; a handler turns it into an [`ApiError`]. Mistakes of the caller
//! carry a message that names the field and the reason; faults of the server carry their cause to the log and
//! only an opaque sentence to the caller.

use std::sync::Arc;

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as ApiResponse, SchemaObject};
use aide::operation::OperationOutput;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: malformed JSON, a missing or invalid field, a bad cursor, a business rule that refuses.
    #[error("{0}")]
    BadRequest(String),
    /// 400 with one of the closed `code`s that a v2 operation documents.
    #[error("{message}")]
    Coded { code: &'static str, message: String },
    /// 401: no bearer token, or one that is unknown, archived or not of this server.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: a valid token that may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// 404: an unknown id, or one of another environment; also an unknown path.
    #[error("{0}")]
    NotFound(String),
    /// 405: a known path, another method.
    #[error("this path does not answer that method")]
    MethodNotAllowed,
    /// 409: a key or alias that is taken. Never worth a retry, and says so to the SDKs.
    #[error("{0}")]
    Conflict(String),
    /// 409: a request with the same `Idempotency-Key` is being served; worth a retry.
    #[error("a request with this Idempotency-Key is being served; try again")]
    SameKeyAtWork,
    /// 429: too many requests; the header says whether in all or for this customer.
    #[error("too many requests for this operation; at most {per_second} a second are served")]
    TooManyRequests { per_second: u32, limit_type: &'static str, retry_after_seconds: u64 },
    /// 429: other requests take all the memory that there is for bodies or for events that wait to be kept; nothing of
    /// this one was done.
    #[error("the server has more requests waiting than it can hold; send this one again later")]
    Overloaded,
    /// 413: a body over the limit.
    #[error("the request body is larger than {limit_bytes} bytes")]
    PayloadTooLarge { limit_bytes: usize },
    /// 501: an operation of the reference that is not built yet.
    #[error("{0} is not supported by this server yet")]
    NotImplemented(String),
    /// 503: the database cannot be reached in time.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// 503: the transaction gave way to another one that wanted the same rows; nothing was done.
    #[error("another request is changing the same things; try again")]
    Busy(#[source] Arc<sqlx::Error>),
    /// 503: the customer's invoices that are due are not all final yet; nothing was done.
    #[error("invoices of this customer that are due are still being finalized; try again")]
    Behind,
    /// 503: by the clock that was set meanwhile the events of the request may be too old; nothing was kept.
    #[error("the clock of the sandbox was set while the events came in; send them again")]
    ClockMoved,
    /// 503: the request was not served in time and given up.
    #[error("the request was not served within {seconds} seconds")]
    TooSlow { seconds: u64 },
    /// 500: a fault of this server.
    #[error("{context}")]
    Internal {
        context: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ApiError {
    /// A field of the request and what is wrong with it.
    pub fn field(path: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadRequest(format!("{path}: {reason}"))
    }

    /// The same mistake further down in the request: its field is one of `path`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        match self {
            Self::BadRequest(message) => Self::BadRequest(format!("{path}.{message}")),
            other => other,
        }
    }

    /// An id that names nothing in the caller's environment.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("{what} {id} was not found"))
    }

    /// A fault: what was being done and what went wrong.
    pub fn internal(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal { context, source: source.into() }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::Coded { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) | Self::SameKeyAtWork => StatusCode::CONFLICT,
            Self::TooManyRequests { .. } | Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) | Self::Busy(_) | Self::Behind | Self::ClockMoved | Self::TooSlow { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Internal { .. } => {
                "the server failed to answer; the log has the cause under this request id".to_owned()
            }
            mistake => mistake.to_string(),
        }
    }

    /// The body of a v2 answer: the operation's documented code, else `BadRequest` (our decision).
    #[must_use]
    pub fn v2_body(&self) -> Option<CodedErrorBody> {
        let code = match self {
            Self::Coded { code, .. } => code,
            Self::BadRequest(_) => "BadRequest",
            _ => return None,
        };
        Some(CodedErrorBody { code: code.to_owned(), message: self.public_message() })
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Arc::new(error).into()
    }
}

/// A failure that several requests share.
impl From<Arc<sqlx::Error>> for ApiError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        match error {
            unreachable if is_unreachable(&unreachable) => Self::Unavailable(unreachable),
            lost if is_transient(&lost) || is_timed_out(&lost) => Self::Busy(lost),
            fault => match NotComputable::of(&fault) {
                Some(not_computable) => Self::BadRequest(not_computable.to_string()),
                None => Self::internal("a database statement failed", fault),
            },
        }
    }
}

/// What somebody set up or sent asks for more than can be computed: a query that runs too long, a quantity beyond all
/// bounds. It fails what needs it and nothing beside it: the transaction in which it is found goes on.
///
/// It travels as a database error, because everything that counts and prices usage reads the database.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NotComputable {
    reason: String,
}

impl NotComputable {
    /// `reason` is for the caller: it names what asks for too much.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// That an error is, if it is one.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Option<&Self> {
        let sqlx::Error::AnyDriverError(cause) = error else { return None };
        cause.downcast_ref()
    }
}

impl From<NotComputable> for sqlx::Error {
    fn from(not_computable: NotComputable) -> Self {
        Self::AnyDriverError(Box::new(not_computable))
    }
}

/// The database is not there, is going away, or takes no more connections.
fn is_unreachable(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else {
        return matches!(
            error,
            sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed
        );
    };
    // connection exceptions, shutdowns, too many connections
    code.starts_with("08") || ["57P01", "57P02", "57P03", "53300"].contains(&code.as_ref())
}

/// The statement ran for longer than any of a request may.
fn is_timed_out(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("57014")
}

/// A deadlock, a serialization failure or a lock not had in time: the transaction was rolled back in favour of
/// another one and may run again.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40P01" | "40001" | "55P03"))
}

/// The body of every error (schema `Error`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// What is wrong, naming the field by its JSON path.
    pub message: String,
}

/// The body of a v2 error.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CodedError")]
pub struct CodedErrorBody {
    /// Which mistake it is.
    pub code: String,
    /// What is wrong, naming the field by its JSON path.
    pub message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response =
            (self.status(), Json(ErrorBody { message: self.public_message() })).into_response();
        if matches!(self, Self::Conflict(_) | Self::NotImplemented(_)) {
            // Both official SDKs retry a 409 and any 5xx unless they are told not to.
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if matches!(
            self,
            Self::Unavailable(_)
                | Self::Busy(_)
                | Self::Behind
                | Self::ClockMoved
                | Self::TooSlow { .. }
                | Self::SameKeyAtWork
                | Self::Overloaded
        ) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::TooManyRequests { limit_type, retry_after_seconds, .. } = &self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
            let limit_type = HeaderValue::from_static(limit_type);
            response.headers_mut().insert("x-metronome-rate-limit-type", limit_type);
        }
        // The error rides along so that the log line and the v2 body are made in one place each.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl OperationOutput for ApiError {
    type Inner = ErrorBody;

    fn operation_response(ctx: &mut GenContext, _: &mut Operation) -> Option<ApiResponse> {
        let json_schema = ctx.schema.subschema_for::<ErrorBody>();
        let schema = SchemaObject { json_schema, example: None, external_docs: None };
        Some(ApiResponse {
            description: "The request was not served.".to_owned(),
            content: [(
                "application/json".to_owned(),
                MediaType { schema: Some(schema), ..MediaType::default() },
            )]
            .into_iter()
            .collect(),
            ..ApiResponse::default()
        })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, ApiResponse)> {
        Self::operation_response(ctx, operation).map(|response| (None, response)).into_iter().collect()
    }
}
