//! The one transaction of a request that changes something.

use std::ops::{Deref, DerefMut};

use axum::http::StatusCode;
use serde::Serialize;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::audit::{self, Outcome};
use super::idempotency::{self, KeptAnswer};
use super::operation::WriteOperation;
use super::{App, Caller, Writer};
use crate::error::ApiError;
use crate::wire::Empty;

/// A change that has begun. Nothing of it is there until [`Change::commit`]: the rows that the handler writes
/// through it, the line of the audit log, and the answer for a repeat of the request commit together.
pub struct Change {
    transaction: Transaction<'static, Postgres>,
    app: App,
    caller: Caller,
    operation: &'static WriteOperation,
}

/// What the audit log says of a change.
pub struct Record {
    resource_type: Option<String>,
    resource_id: Uuid,
    description: String,
}

impl Record {
    /// `description` says in one line what changed, for people.
    pub fn new(resource_id: Uuid, description: impl Into<String>) -> Self {
        Self { resource_type: None, resource_id, description: description.into() }
    }

    /// For operations that change resources of several types.
    #[must_use]
    pub fn of(self, resource_type: &str) -> Self {
        Self { resource_type: Some(resource_type.to_owned()), ..self }
    }
}

/// What a handler answers after a change.
pub trait Answer {
    /// What is sent, to keep it for a repeat.
    fn kept(&self) -> Result<KeptAnswer, serde_json::Error>;
}

impl<T: Serialize> Answer for axum::Json<T> {
    fn kept(&self) -> Result<KeptAnswer, serde_json::Error> {
        Ok(KeptAnswer {
            status: StatusCode::OK,
            content_type: Some("application/json".to_owned()),
            body: serde_json::to_vec(&self.0)?,
        })
    }
}

impl Answer for Empty {
    fn kept(&self) -> Result<KeptAnswer, serde_json::Error> {
        Ok(KeptAnswer { status: StatusCode::OK, content_type: None, body: Vec::new() })
    }
}

impl Writer {
    /// Begins the change that this request is about.
    ///
    /// Under an `Idempotency-Key`, 409 while another request with the key is at work.
    pub async fn begin(&self, app: &App) -> Result<Change, ApiError> {
        self.begin_in(app, app.db.begin().await?).await
    }

    /// [`Self::begin`] in a transaction that has begun already.
    pub async fn begin_in(
        &self,
        app: &App,
        mut transaction: Transaction<'static, Postgres>,
    ) -> Result<Change, ApiError> {
        let operation = self.operation.ok_or_else(|| {
            ApiError::internal("a change began", "in an operation that is not listed as one")
        })?;
        if let Some(claim) = &self.claim {
            idempotency::hold(&mut transaction, self.environment_id(), claim).await?;
        }
        Ok(Change { transaction, app: app.clone(), caller: self.caller().clone(), operation })
    }
}

impl Change {
    /// Commits, and hands back what to answer.
    pub async fn commit<A: Answer>(mut self, record: Record, answer: A) -> Result<A, ApiError> {
        let environment_id = self.caller.environment_id();
        if let Some(claim) = &self.caller.claim {
            let kept = answer.kept().map_err(|error| ApiError::internal("an answer is not JSON", error))?;
            let now = self.app.clock.now();
            if !idempotency::keep(&mut self.transaction, environment_id, claim, &kept, now).await? {
                // A refusal of the same request has used the key up meanwhile: that is the answer, so this may not be.
                return Err(ApiError::SameKeyAtWork);
            }
        }
        let entry = audit::Entry {
            id: self.app.ids.next(),
            recorded_at: self.caller.now,
            actor: self.caller.actor(),
            origin: &self.caller.origin,
            resource_type: record.resource_type.as_deref().unwrap_or(self.operation.resource_type),
            resource_id: Some(record.resource_id.to_string()),
            action: self.operation.action,
            outcome: Outcome::Success,
            description: record.description,
        };
        audit::append(&mut self.transaction, environment_id, &entry).await?;
        // Given up from here on, the change might be there and the answer say that it is not.
        self.caller.lift_time_limit();
        self.transaction.commit().await?;
        if let Some(claim) = &self.caller.claim {
            claim.mark_kept();
        }
        Ok(answer)
    }

    /// Undoes everything at once, where the same request is to begin another change.
    pub async fn abandon(self) -> Result<(), sqlx::Error> {
        self.transaction.rollback().await
    }
}

impl Deref for Change {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
