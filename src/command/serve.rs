//! `upbeat serve`

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::listen::listen;
use super::options::Serve;
use super::{CommandError, StopSignal, with_limited_database};
use crate::access::audit::append_operators;
use crate::access::{self, App, EnvironmentKind, NewToken, Role, find_environment};
use crate::telemetry::{start_logging, start_metrics};
use crate::worker;

/// How long requests, and then the step of due work at hand, may take to end after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer than a request a statement may take: the request is answered first.
const STATEMENT_TIME: Duration = Duration::from_secs(1);

/// Shortest secret that may be given.
const BOOTSTRAP_TOKEN_LENGTH_MIN: usize = 16;

/// How a newcomer gets at the sandbox.
enum SandboxToken {
    /// Given by the operator, who knows it.
    Given,
    /// Made now: shown this once, and kept in the file.
    Made { secret: String, file: PathBuf },
    /// Made at an earlier start.
    InFile(PathBuf),
    /// Made by hand.
    Elsewhere,
}

/// Serves the API, and the worker unless it runs elsewhere, until SIGTERM.
pub async fn serve(config: Serve) -> Result<(), CommandError> {
    let mut stop_signal = StopSignal::listen();
    start_logging();
    let metrics = start_metrics();
    check_bootstrap_token(config.bootstrap_token())?;
    let listener = TcpListener::bind(config.listen).await.map_err(|source| CommandError::Io {
        action: format!("cannot listen on {}; choose another address with UPBEAT_LISTEN", config.listen),
        source,
    })?;
    let settings = config.settings();
    let statement_limit = settings.request_timeout + STATEMENT_TIME;
    with_limited_database(&config.storage, Some(statement_limit), async |app| {
        let app = app.with(settings);
        let token = sandbox_token(&app, &config).await?;
        greet(listener.local_addr().unwrap_or(config.listen), &token);

        let (stop, stopped) = watch::channel(false);
        let worker = (!config.no_worker).then(|| tokio::spawn(worker::run(app.clone(), stopped.clone())));
        let router = crate::app::app(app, Some(metrics));
        let server = tokio::spawn(listen(listener, router, config.header_timeout(), stopped));

        stop_signal.received().await;
        tracing::info!("stopping");
        stop.send_replace(true);
        end(server, "requests", DRAIN_TIMEOUT).await;
        if let Some(worker) = worker {
            end(worker, "due work", STEP_TIMEOUT).await;
        }
        Ok(())
    })
    .await
}

/// Waits for a task to end in order, for a while.
async fn end<T>(mut task: JoinHandle<T>, what: &str, limit: Duration) {
    if timeout(limit, &mut task).await.is_err() {
        tracing::warn!("{what} still running after {} s is cut off", limit.as_secs());
        task.abort();
    }
}

fn check_bootstrap_token(secret: Option<&str>) -> Result<(), CommandError> {
    if secret.is_some_and(|secret| secret.len() < BOOTSTRAP_TOKEN_LENGTH_MIN) {
        let reason =
            format!("UPBEAT_BOOTSTRAP_TOKEN must have at least {BOOTSTRAP_TOKEN_LENGTH_MIN} characters");
        return Err(CommandError::Refused(reason));
    }
    Ok(())
}

async fn sandbox_token(app: &App, config: &Serve) -> Result<SandboxToken, CommandError> {
    let now = app.clock.now();
    let mut transaction = app.db.begin().await?;
    let sandbox = find_environment(&mut transaction, EnvironmentKind::Sandbox).await?;
    let file = config.storage.data_dir.join("sandbox-token");
    if let Some(secret) = config.bootstrap_token() {
        if !access::bootstrap(&mut transaction, &app.ids, sandbox.id, secret, now).await? {
            let reason = "UPBEAT_BOOTSTRAP_TOKEN was archived or belongs to another token; choose a new one";
            return Err(CommandError::Refused(reason.to_owned()));
        }
        transaction.commit().await?;
        return Ok(SandboxToken::Given);
    }
    // Of several servers that start on one new database, one makes the token.
    access::lock_environment(&mut transaction, sandbox.id).await?;
    if access::count(&mut transaction, sandbox.id).await? > 0 {
        return Ok(if file.exists() { SandboxToken::InFile(file) } else { SandboxToken::Elsewhere });
    }
    let token = NewToken::new(sandbox.id, "first", Role::Admin);
    let (id, secret) = access::create(&mut transaction, &app.ids, &token, now).await?;
    let change = access::token_change("first start", id, "create", &token.name);
    append_operators(&mut transaction, &app.ids, sandbox.id, now, change).await?;
    // Saved before it counts: a token that nobody knows would stand in the way of the next start.
    save_secret(&file, &secret)?;
    transaction.commit().await?;
    Ok(SandboxToken::Made { secret, file })
}

/// Writes the secret where only this account can read it.
fn save_secret(file: &Path, secret: &str) -> Result<(), CommandError> {
    let failed = |source| CommandError::Io { action: format!("cannot write {}", file.display()), source };
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::write(file, "").map_err(failed)?;
    fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(failed)?;
    fs::write(file, format!("{secret}\n")).map_err(failed)
}

/// The shell's word for what a file holds.
fn cat(file: &Path) -> String {
    let path = file.display().to_string();
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if is_plain { format!("$(cat {path})") } else { format!("$(cat '{}')", path.replace('\'', r"'\''")) }
}

/// What a newcomer needs next, on standard output, if anybody reads that.
fn greet(address: SocketAddr, token: &SandboxToken) {
    let _ = write_greeting(&mut std::io::stdout().lock(), address, token);
}

fn write_greeting(to: &mut impl Write, address: SocketAddr, token: &SandboxToken) -> std::io::Result<()> {
    writeln!(to, "\nUpbeat listens on http://{address} (reference: http://{address}/docs)")?;
    let shell = match token {
        SandboxToken::Given => {
            writeln!(to, "Sandbox token: the one in UPBEAT_BOOTSTRAP_TOKEN")?;
            "$UPBEAT_BOOTSTRAP_TOKEN".to_owned()
        }
        SandboxToken::Made { secret, file } => {
            writeln!(to, "Sandbox token: {secret} (shown once; saved in {})", file.display())?;
            cat(file)
        }
        SandboxToken::InFile(file) => {
            writeln!(to, "Sandbox token: in {}", file.display())?;
            cat(file)
        }
        SandboxToken::Elsewhere => {
            writeln!(
                to,
                "Sandbox token: one that is in use, or a new one from `upbeat token create --environment sandbox --name NAME`"
            )?;
            "TOKEN".to_owned()
        }
    };
    writeln!(to, "\nTry:\n  curl -s http://{address}/sandbox/clock -H \"Authorization: Bearer {shell}\"\n")
}
