//! Speaking HTTP to the router, without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use upbeat::access::{self, App, EnvironmentKind, NewToken, Role};
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
        let app = App::new(self.app.db.clone(), Arc::new(SystemClock));
        Self { router: upbeat::app::app(app.clone(), None), app, token: self.token.clone() }
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
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(body)
            .expect("a request");
        self.request(request).await
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
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

async fn token(app: &App, kind: EnvironmentKind, role: Role) -> String {
    let mut db = app.db.acquire().await.expect("a connection");
    let environment = access::find_environment(&mut db, kind).await.expect("an environment");
    let now = app.clock.now();
    let token = NewToken::new(environment.id, "test token", role);
    access::create(&mut db, &app.ids, &token, now).await.expect("a token").1
}
