//! The extractors that authenticate: a handler that takes one cannot forget its tenant.

use std::ops::Deref;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::OperationInput;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::token::{Role, secret_hash};
use super::{App, Environment, EnvironmentKind};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::time::Instant;

/// Whoever holds a token that is in use. Handlers that only read take this.
#[derive(Clone, Debug)]
pub struct Caller {
    pub environment: Environment,
    /// The environment's time at which this request is served.
    pub now: Instant,
    /// The token's name: the `created_by` of what this caller makes.
    pub token_name: String,
    role: Role,
}

/// A caller whose role may change things. Handlers that write take this.
#[derive(Clone, Debug)]
pub struct Writer(Caller);

impl Caller {
    #[must_use]
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment.id
    }
}

impl Deref for Writer {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<S> FromRequestParts<S> for Caller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let app = App::from_ref(state);
        let secret = bearer_token(parts)?;
        let row = sqlx::query!(
            r#"SELECT environment.id AS "id: EnvironmentId", kind AS "kind: EnvironmentKind", frozen_at,
                      name, role AS "role: Role"
               FROM access_token token JOIN environment ON environment.id = token.environment_id
               WHERE secret_hash = $1 AND archived_at IS NULL"#,
            secret_hash(secret),
        )
        .fetch_optional(&app.db)
        .await?
        .ok_or(ApiError::Unauthorized("the bearer token is unknown or archived"))?;
        let environment = Environment { id: row.id, kind: row.kind, frozen_at: row.frozen_at };
        let now = environment.now(app.clock.now());
        Ok(Self { environment, now, token_name: row.name, role: row.role })
    }
}

impl<S> FromRequestParts<S> for Writer
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match caller.role {
            Role::Admin | Role::Writer => Ok(Self(caller)),
            Role::Reader => Err(ApiError::Forbidden("a reader token may not change anything")),
        }
    }
}

fn bearer_token(parts: &Parts) -> Result<&str, ApiError> {
    let missing = ApiError::Unauthorized("the header `Authorization: Bearer <token>` is missing");
    let Some(header) = parts.headers.get(AUTHORIZATION) else {
        return Err(missing);
    };
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(missing),
    }
}

impl OperationInput for Caller {
    fn operation_input(_: &mut GenContext, _: &mut Operation) {}
}

impl OperationInput for Writer {
    fn operation_input(_: &mut GenContext, _: &mut Operation) {}
}
