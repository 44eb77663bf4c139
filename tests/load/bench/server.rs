//! A server under measurement, in a process of its own.

use std::env;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::http::{Http, get};
use crate::machine;

pub const TOKEN: &str = "a-token-for-measuring-speed";

/// One that knows many transaction ids may need a while to read them.
const START_TIMEOUT: Duration = Duration::from_mins(5);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
/// A server is at rest when it uses less than so much CPU time in so long.
const REST: Duration = Duration::from_millis(250);
const REST_CPU_MICROS: u64 = 30_000;
const POLL: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Upbeat,
    Naive,
}

/// It ends with this value.
pub struct Server {
    kind: Kind,
    child: Child,
    pub address: String,
}

impl Server {
    pub async fn start(kind: Kind, database_url: &str) -> Self {
        Self::start_with(kind, database_url, &[]).await
    }

    /// An Upbeat that leaves what is due undone.
    pub async fn start_without_worker(database_url: &str) -> Self {
        Self::start_with(Kind::Upbeat, database_url, &["--no-worker"]).await
    }

    async fn start_with(kind: Kind, database_url: &str, options: &[&str]) -> Self {
        let address = free_address();
        let mut command = match kind {
            Kind::Upbeat => {
                let mut command = Command::new("target/release/upbeat");
                for (name, _) in env::vars().filter(|(name, _)| name.starts_with("UPBEAT_")) {
                    command.env_remove(name);
                }
                command
                    .args(["serve", "--listen", &address])
                    .args(options)
                    .env("UPBEAT_BOOTSTRAP_TOKEN", TOKEN)
                    .env("UPBEAT_LOG", "error")
                    .env("UPBEAT_RATE_LIMITS", "POST /v1/events/search=off");
                command
            }
            Kind::Naive => {
                let mut command = Command::new(env::current_exe().expect("this program has a file"));
                command.args(["naive", &address]);
                command
            }
        };
        let child = command.env("DATABASE_URL", database_url).stdout(Stdio::null()).spawn();
        let mut server = Self { kind, child: child.expect("the server's program is built"), address };
        let give_up = Instant::now() + START_TIMEOUT;
        while !server.is_ready().await {
            let ended = server.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < give_up,
                "the {kind:?} server does not start: {ended:?}"
            );
            sleep(POLL).await;
        }
        server
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut http) = Http::open(&self.address).await else { return false };
        http.call(&get("/readyz", None)).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until it has done what it does at its start, such as reading in the transaction ids that it knows.
    pub async fn rest(&self) {
        let give_up = Instant::now() + START_TIMEOUT;
        let mut quiet = 0;
        while quiet < 2 && Instant::now() < give_up {
            let before = self.cpu_micros();
            sleep(REST).await;
            let is_quiet = self.cpu_micros() - before < REST_CPU_MICROS && self.has_all_filters().await;
            quiet = if is_quiet { quiet + 1 } else { 0 };
        }
    }

    /// Whether the ids of every sealed slot are behind a filter.
    async fn has_all_filters(&self) -> bool {
        if self.kind == Kind::Naive {
            return true;
        }
        let Ok(mut http) = Http::open(&self.address).await else { return false };
        let answer = http.call(&get("/metrics", None)).await.expect("the server answers");
        String::from_utf8_lossy(answer.body)
            .lines()
            .any(|line| line == "upbeat_sealed_slots_without_filter 0")
    }

    pub fn cpu_micros(&self) -> u64 {
        machine::cpu_micros(self.child.id())
    }

    pub fn peak_memory_kib(&self) -> u64 {
        machine::peak_memory_kib(self.child.id())
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        let pid = self.child.id().to_string();
        let signal = Command::new("kill").args(["-TERM", &pid]).status().expect("every system has kill");
        assert!(signal.success(), "the server is still there");
        let give_up = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < give_up, "the server does not stop");
            sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
