//! The extractors that authenticate: a handler that takes one cannot forget its tenant.

use std::net::IpAddr;
use std::ops::Deref;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::OperationInput;
use axum::extract::{FromRef, FromRequestParts, MatchedPath};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::audit::{Actor, CallerSlot};
use super::idempotency::Claim;
use super::operation::{WriteOperation, find_write};
use super::origin::Origin;
use super::token::{Role, is_same_secret, secret_hash};
use super::{App, Environment, TimeLimit, endpoint};
use crate::error::ApiError;
use crate::id::{EnvironmentId, TokenId};
use crate::time::Instant;

/// What the document calls authentication by a bearer token.
pub const SECURITY_SCHEME: &str = "bearerAuth";

/// Whoever holds a token that is in use. Handlers that only read take this.
#[derive(Clone, Debug)]
pub struct Caller {
    pub environment: Environment,
    /// The environment's time at which this request is served.
    pub now: Instant,
    /// The token's name: the `created_by` of what this caller makes.
    pub token_name: String,
    /// Where the request comes from.
    pub origin: Origin,
    /// The request's `Idempotency-Key`.
    pub(super) claim: Option<Claim>,
    pub(super) time_limit: TimeLimit,
    token_id: TokenId,
    role: Role,
}

/// A caller whose role may change things. Handlers that write take this.
#[derive(Clone, Debug)]
pub struct Writer {
    caller: Caller,
    /// What is being changed; nothing for usage events.
    pub(super) operation: Option<&'static WriteOperation>,
}

impl Caller {
    #[must_use]
    pub fn environment_id(&self) -> EnvironmentId {
        self.environment.id
    }

    /// Who the audit log says it was.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { id: Some(self.token_id.0), name: self.token_name.clone() }
    }

    /// Lets this request take what it needs, where giving it up half-way would help nobody.
    pub fn lift_time_limit(&self) {
        self.time_limit.lift();
    }

    pub(super) fn may_write(&self) -> bool {
        matches!(self.role, Role::Admin | Role::Writer)
    }
}

impl Writer {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl Deref for Writer {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<S> FromRequestParts<S> for Caller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // A layer around the route may have asked already.
        let known = parts.extensions.get::<Self>().cloned();
        let mut caller = match known {
            Some(caller) => caller,
            None => authenticate(parts, &App::from_ref(state)).await?,
        };
        caller.claim = parts.extensions.get::<Claim>().cloned();
        caller.time_limit = parts.extensions.get::<TimeLimit>().cloned().unwrap_or_default();
        Ok(caller)
    }
}

/// Looks the token up, at every request: an archived one is out of use at once, on every replica.
///
/// 401 for no token, or one that is unknown, archived or expired; 403 where a token that is in use may not be
/// used from here, or for this.
async fn authenticate(parts: &Parts, app: &App) -> Result<Caller, ApiError> {
    let secret = bearer_token(parts)?;
    let hash = secret_hash(secret);
    let token = app.lookups.find(&app.reserved_db, hash.clone()).await?;
    let token = token
        .filter(|token| is_same_secret(&token.secret_hash, &hash))
        .ok_or(ApiError::Unauthorized("the bearer token is unknown or archived"))?;
    let real_now = app.clock.now();
    if token.expires_at.is_some_and(|end| end <= real_now) {
        return Err(ApiError::Unauthorized("the bearer token has expired"));
    }
    let caller = Caller {
        now: token.environment.now(real_now),
        environment: token.environment,
        token_name: token.name.clone(),
        origin: Origin::of(parts, &app.settings.trusted_proxies),
        claim: None,
        time_limit: TimeLimit::default(),
        token_id: token.id,
        role: token.role,
    };
    if let Some(slot) = parts.extensions.get::<CallerSlot>() {
        // Only the first extractor of a request finds it empty.
        let _ = slot.0.set(caller.clone());
    }
    if token.networks.as_ref().is_some_and(|networks| !is_inside(caller.origin.ip, networks)) {
        return Err(ApiError::Forbidden("the bearer token may not be used from this address"));
    }
    let is_listed = |allowed: &Vec<String>| endpoint::allows(allowed, &parts.method, route_of(parts));
    if token.endpoints.as_ref().is_some_and(|allowed| !is_listed(allowed)) {
        return Err(ApiError::Forbidden("the bearer token may not be used for this operation"));
    }
    Ok(caller)
}

/// Whether the address lies in one of the networks; an unknown address lies in none.
fn is_inside(ip: Option<IpAddr>, networks: &[String]) -> bool {
    let Some(ip) = ip else { return false };
    networks.iter().filter_map(|text| text.parse::<IpNet>().ok()).any(|network| network.contains(&ip))
}

/// The route's template; empty where there is none.
pub(super) fn route_of(parts: &Parts) -> &str {
    parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

impl<S> FromRequestParts<S> for Writer
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if !caller.may_write() {
            return Err(ApiError::Forbidden("a reader token may not change anything"));
        }
        Ok(Self { caller, operation: find_write(&parts.method, route_of(parts)) })
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
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        require(operation, Role::Reader);
    }
}

impl OperationInput for Writer {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        require(operation, Role::Writer);
    }
}

/// The least role that may call, as the document says it.
fn require(operation: &mut Operation, role: Role) {
    let requirement = (SECURITY_SCHEME.to_owned(), vec![role.as_str().to_owned()]);
    operation.security.push([requirement].into_iter().collect());
}
