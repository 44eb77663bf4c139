//! Finding tokens, for many requests at a time.
//!
//! Every request is served by a look into the database that began after the request came, so an archived token is out
//! of use at once, on every replica. Requests that come while one look is under way share the next: their number does
//! not matter, and a thousand senders of single events do not wait for a thousand round trips.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::PgPool;
use tokio::sync::oneshot;

use super::token::Role;
use super::{Environment, EnvironmentKind};
use crate::id::{EnvironmentId, TokenId};
use crate::time::Instant;

/// A token that is in use, and the environment it belongs to.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub role: Role,
    pub environment: Environment,
    pub secret_hash: Vec<u8>,
    pub endpoints: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub expires_at: Option<Instant>,
}

type Answer = Result<Option<Arc<Token>>, Arc<sqlx::Error>>;

/// The looks of this process.
#[derive(Clone, Default)]
pub struct Lookups(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// Who waits for the next look, by the hash of the secret.
    next: HashMap<Vec<u8>, Vec<oneshot::Sender<Answer>>>,
    is_under_way: bool,
}

impl Lookups {
    /// The token with the secret of this hash; nothing where it is unknown or archived.
    pub async fn find(&self, db: &PgPool, hash: Vec<u8>) -> Answer {
        let (sender, answer) = oneshot::channel();
        if self.join(hash, sender) {
            let (lookups, db) = (self.clone(), db.clone());
            // In a task of its own: whoever began it may give up, and others wait for it.
            tokio::spawn(async move {
                while let Some(asked) = lookups.take() {
                    // A panic loses one look, and those that it would have served are told.
                    let _ = tokio::spawn(look(db.clone(), asked)).await;
                }
            });
        }
        answer.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::WorkerCrashed)))
    }

    /// Waits for the next look; whether nobody is about to begin it.
    fn join(&self, hash: Vec<u8>, sender: oneshot::Sender<Answer>) -> bool {
        let mut waiting = self.0.lock().expect("no thread panics while it holds the looks");
        waiting.next.entry(hash).or_default().push(sender);
        !std::mem::replace(&mut waiting.is_under_way, true)
    }

    /// Whom the next look serves; nothing ends the looking.
    fn take(&self) -> Option<HashMap<Vec<u8>, Vec<oneshot::Sender<Answer>>>> {
        let mut waiting = self.0.lock().expect("no thread panics while it holds the looks");
        waiting.is_under_way = !waiting.next.is_empty();
        waiting.is_under_way.then(|| std::mem::take(&mut waiting.next))
    }
}

async fn look(db: PgPool, mut asked: HashMap<Vec<u8>, Vec<oneshot::Sender<Answer>>>) {
    let hashes: Vec<Vec<u8>> = asked.keys().cloned().collect();
    let mut send = |hash: &[u8], answer: &Answer| {
        for sender in asked.remove(hash).into_iter().flatten() {
            let _ = sender.send(answer.clone());
        }
    };
    match read(&db, &hashes).await {
        Ok(tokens) => {
            for token in tokens {
                let hash = token.secret_hash.clone();
                send(&hash, &Ok(Some(Arc::new(token))));
            }
            for hash in &hashes {
                send(hash, &Ok(None));
            }
        }
        Err(error) => {
            let answer = Err(Arc::new(error));
            for hash in &hashes {
                send(hash, &answer);
            }
        }
    }
}

async fn read(db: &PgPool, hashes: &[Vec<u8>]) -> Result<Vec<Token>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT environment.id AS "environment_id: EnvironmentId", kind AS "kind: EnvironmentKind", frozen_at,
                  token.id AS "id: TokenId", name, role AS "role: Role", secret_hash, endpoints, networks, expires_at
           FROM access_token token JOIN environment ON environment.id = token.environment_id
           WHERE secret_hash = ANY($1) AND archived_at IS NULL"#,
        hashes,
    )
    .fetch_all(db)
    .await?;
    let token = rows.into_iter().map(|row| Token {
        id: row.id,
        name: row.name,
        role: row.role,
        environment: Environment { id: row.environment_id, kind: row.kind, frozen_at: row.frozen_at },
        secret_hash: row.secret_hash,
        endpoints: row.endpoints,
        networks: row.networks,
        expires_at: row.expires_at,
    });
    Ok(token.collect())
}
