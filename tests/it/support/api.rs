//! Speaking HTTP to the router, without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tower::ServiceExt;
use upbeat::access::{self, App, EnvironmentKind, NewToken, Role, Settings};
use upbeat::time::SystemClock;

use super::database;

/// A server with an empty sandbox, seen through its admin token.
#[derive(Clone)]
pub struct Api {
    pub app: App,
    router: Router,
    token: String,
}

/// A status and a body; `null` where it is empty.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
    /// The body as it was sent.
    pub text: String,
}

impl Answer {
    /// The `data` of a success; anything else fails the test.
    #[track_caller]
    pub fn data(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body["data"].clone()
    }

    /// The id in the `data` of a success.
    #[track_caller]
    pub fn id(self) -> String {
        self.data()["id"].as_str().expect("data.id").to_owned()
    }

    /// A header's text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks the status and that the message holds every part.
    #[track_caller]
    pub fn refused(&self, status: u16, parts: &[&str]) {
        let message = self.body["message"].as_str().unwrap_or_default();
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

impl Api {
    /// A new server on a new database, its sandbox clock at the real time.
    pub async fn new() -> Self {
        let app = App::new(database::fresh().await, Arc::new(SystemClock));
        let mut db = app.db.acquire().await.expect("a connection");
        access::ensure_environments(&mut db, &app.ids).await.expect("environments");
        drop(db);
        let token = token(&app, EnvironmentKind::Sandbox, Role::Admin).await;
        Self { router: upbeat::app::app(app.clone(), None), app, token }
    }

    /// A new server whose sandbox clock is frozen at `now`.
    pub async fn at(now: &str) -> Self {
        let api = Self::new().await;
        api.move_clock(now).await;
        api
    }

    /// The same server through a new token.
    pub async fn with_token(&self, kind: EnvironmentKind, role: Role) -> Self {
        Self { token: token(&self.app, kind, role).await, ..self.clone() }
    }

    /// The same server through any bearer text.
    pub fn with_bearer(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Another replica of the server on the same database.
    pub fn replica(&self) -> Self {
        self.replica_with(Settings::default())
    }

    /// Another replica, with settings of its own.
    pub fn replica_with(&self, settings: Settings) -> Self {
        let app = App::new(self.app.db.clone(), Arc::new(SystemClock)).with(settings);
        Self { router: upbeat::app::app(app.clone(), None), app, token: self.token.clone() }
    }

    /// The same server through a token that is made now.
    pub async fn with_new_token(&self, kind: EnvironmentKind, make: impl FnOnce(&mut NewToken)) -> Self {
        let mut db = self.app.db.acquire().await.expect("a connection");
        let environment = access::find_environment(&mut db, kind).await.expect("an environment");
        let mut token = NewToken::new(environment.id, "test token", Role::Admin);
        make(&mut token);
        let now = self.app.clock.now();
        let (_, secret) = access::create(&mut db, &self.app.ids, &token, now).await.expect("a token");
        Self { token: secret, ..self.clone() }
    }

    /// Runs SQL behind the server's back.
    pub async fn sql(&self, statements: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&self.app.db).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The one number that a query answers.
    pub async fn number(&self, query: &str) -> i64 {
        let number = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.app.db).await;
        number.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// How many sessions of this database wait for a lock.
    pub async fn waiting(&self) -> i64 {
        self.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .await
    }

    /// Waits until that many sessions wait for a lock.
    pub async fn until_waiting(&self, count: i64) {
        for _ in 0..500 {
            if self.waiting().await == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} sessions wait for a lock, and not {count}", self.waiting().await);
    }

    /// Moves the sandbox clock; all work that is due on the way is done when this returns.
    pub async fn move_clock(&self, now: &str) {
        self.post("/sandbox/clock", json!({ "now": now })).await.data();
    }

    /// Does what is due now, as the worker would.
    pub async fn work(&self) {
        for environment in access::list_environments(&mut self.app.db.acquire().await.expect("a connection"))
            .await
            .expect("a list")
        {
            upbeat::worker::drain(&self.app, &environment).await.expect("the work is done");
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Body::from(body.to_string())).await
    }

    /// A request with any body.
    pub async fn send(&self, method: Method, path: &str, body: Body) -> Answer {
        self.request(self.builder(method, path).body(body).expect("a request")).await
    }

    /// A POST under an `Idempotency-Key`.
    pub async fn keyed(&self, key: &str, path: &str, body: Value) -> Answer {
        let request = self.builder(Method::POST, path).header("idempotency-key", key);
        self.request(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// A request with the token, for more headers.
    pub fn builder(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
    }

    /// A request as it is, without a token unless it brings one.
    pub async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into())
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, body, text }
    }
}

async fn token(app: &App, kind: EnvironmentKind, role: Role) -> String {
    let mut db = app.db.acquire().await.expect("a connection");
    let environment = access::find_environment(&mut db, kind).await.expect("an environment");
    let now = app.clock.now();
    let token = NewToken::new(environment.id, "test token", role);
    access::create(&mut db, &app.ids, &token, now).await.expect("a token").1
}
