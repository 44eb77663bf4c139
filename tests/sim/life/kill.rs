//! A line to PostgreSQL that dies after a number of messages: to the database that is a server killed between two steps, always
//! at the same one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the sessions of the doomed are called.
const NAME: &str = "doomed";

pub struct Doomed {
    pub db: PgPool,
    dead: watch::Receiver<bool>,
    kill: Arc<watch::Sender<bool>>,
}

/// A pool like another one whose line dies after that many messages, the last of which arrives where `arrives` says so.
pub async fn doomed(db: &PgPool, messages: i64, arrives: bool) -> Doomed {
    let options = PgConnectOptions::clone(&db.connect_options());
    let target = format!("{}:{}", options.get_host(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (kill, dead) = watch::channel(false);
    let (kill, left) = (Arc::new(kill), Arc::new(AtomicI64::new(messages)));
    let own = kill.clone();
    tokio::spawn(async move {
        let mut dies = kill.subscribe();
        loop {
            let near = tokio::select! {
                accepted = listener.accept() => accepted.expect("a connection").0,
                // Nothing listens any more.
                _ = dies.changed() => return,
            };
            let far = TcpStream::connect(&target).await.expect("PostgreSQL answers");
            tokio::spawn(carry(near, far, kill.clone(), left.clone(), arrives));
        }
    });
    let options = options.host("127.0.0.1").port(port).application_name(NAME);
    let db = PgPoolOptions::new().max_connections(8).connect_lazy_with(options);
    Doomed { db, dead, kill: own }
}

async fn carry(
    near: TcpStream,
    far: TcpStream,
    kill: Arc<watch::Sender<bool>>,
    left: Arc<AtomicI64>,
    arrives: bool,
) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let mut dies = kill.subscribe();
    let there = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = from_near.read(&mut buffer).await
            && length > 0
        {
            let left = left.fetch_sub(1, Ordering::Relaxed);
            if (left > 0 || (left == 0 && arrives)) && to_far.write_all(&buffer[..length]).await.is_err() {
                return;
            }
            if left <= 0 {
                kill.send_replace(true);
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
        _ = dies.wait_for(|dead| *dead) => {}
    }
}

impl Doomed {
    /// Does something that ends early where the line dies.
    pub async fn until_dead<T>(&mut self, doing: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.dead.wait_for(|dead| *dead) => None,
            done = doing => Some(done),
        }
    }

    /// Kills it in any case, and waits until PostgreSQL has done with all its sessions; a pool of the living asks.
    pub async fn bury(self, living: &PgPool) {
        self.kill.send_replace(true);
        self.db.close().await;
        for _ in 0..2000 {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            )
            .bind(NAME)
            .fetch_one(living)
            .await
            .expect("PostgreSQL answers");
            if count == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        panic!("a session outlives its server");
    }
}
