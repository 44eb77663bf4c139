//! A private PostgreSQL from the distribution's binaries, so that a newcomer needs no database of their own.
//!
//! The crate `postgresql_embedded` was considered and refused: it downloads its binaries and cannot run as
//! root. PostgreSQL refuses to run as root too, so for root it runs as the user `postgres`. Where the data
//! directory lies behind a directory that is closed to that user (a checkout under `/root`), the server is
//! given the capability to read and search past it.
//!
//! Every process that uses the cluster holds `users` shared for life; the last one out stops the server.
//! Starting and stopping happen one at a time under `gate`. A server that outlived killed processes is adopted
//! by the next one.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, Executor, PgConnection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::tuning;
use crate::id::hex;

const ROLE: &str = "upbeat";
const DATABASE: &str = "upbeat";
/// Only names the socket's file; nothing listens on it.
const PORT: u16 = 5432;
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);

/// A Unix socket's path must fit in 107 bytes, with `/.s.PGSQL.5432` at its end.
const SOCKET_DIRECTORY_LENGTH_MAX: usize = 90;

/// How long a server that gives up at once is started again: the one before it may not be quite gone.
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Settings beside those that the load wants ([`tuning::settings`]). All are given at every start, so that a data
/// directory may be moved, also to a machine of another size.
const SETTINGS: [&str; 4] = [
    "listen_addresses=",
    "max_connections=100",
    "autovacuum_vacuum_scale_factor=0.02",
    "log_min_messages=warning",
];

/// Why the private server does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no PostgreSQL server binaries in PATH or /usr/lib/postgresql; install the package `postgresql`, or set DATABASE_URL"
    )]
    NoBinaries,
    #[error(
        "running as root needs the user `postgres` and the program `setpriv`; install the package `postgresql`, or set DATABASE_URL"
    )]
    NoUser,
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed: {output}")]
    Program { program: &'static str, output: String },
    #[error("it did not answer within {seconds} s; its log is {log}", seconds = START_TIMEOUT.as_secs(), log = log.display())]
    StartTimeout { log: PathBuf },
    #[error("another process has been starting or stopping it for too long")]
    Busy,
    #[error("it did not stop within {} s", STOP_TIMEOUT.as_secs())]
    StopTimeout,
    #[error("it does not answer")]
    Connect(#[from] sqlx::Error),
}

/// A running private server.
pub struct EmbeddedPostgres {
    layout: Layout,
    binaries: PathBuf,
    user: Option<SystemUser>,
    /// Locked shared for as long as this process uses the cluster.
    users: File,
}

/// Where things are under the data directory.
#[derive(Clone)]
struct Layout {
    root: PathBuf,
    cluster: PathBuf,
    socket: PathBuf,
    log: PathBuf,
}

/// The account that PostgreSQL runs as when this process is root.
#[derive(Clone, Copy)]
struct SystemUser {
    uid: u32,
    gid: u32,
}

/// The directory of `postgres` and `initdb`: the newest that the distribution installed, else from PATH.
#[must_use]
pub fn find_binaries() -> Option<PathBuf> {
    let version =
        |directory: &PathBuf| directory.parent().and_then(Path::file_name)?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|directory| is_complete(directory))
        .collect();
    installed.sort_by_key(version);
    installed.pop().or_else(|| {
        let path = std::env::var_os("PATH")?;
        let directory = std::env::split_paths(&path).find(|directory| is_complete(directory))?;
        // initdb looks for postgres beside itself, behind the links
        fs::canonicalize(directory.join("initdb")).ok()?.parent().map(Path::to_owned)
    })
}

fn is_complete(directory: &Path) -> bool {
    directory.join("initdb").is_file() && directory.join("postgres").is_file()
}

/// The binaries for a cluster: those of the version that made it, where the distribution still has them.
fn binaries_for(layout: &Layout) -> Option<PathBuf> {
    let version = fs::read_to_string(layout.cluster.join("PG_VERSION")).ok();
    let of_cluster = version.map(|version| Path::new("/usr/lib/postgresql").join(version.trim()).join("bin"));
    of_cluster.filter(|directory| is_complete(directory)).or_else(find_binaries)
}

impl EmbeddedPostgres {
    /// Starts the cluster under `data_dir`, making it first where there is none, or joins it where it runs.
    pub async fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let user = SystemUser::for_this_process()?;
        let layout = Layout::prepare(data_dir, user)?;
        let binaries = binaries_for(&layout).ok_or(EmbeddedError::NoBinaries)?;
        let gate = layout.lock_gate().await?;
        let users = layout.open_lock("users")?;
        users.lock_shared().map_err(|source| layout.failed("lock", "users", source))?;
        let server = Self { layout, binaries, user, users };
        let started = server.start_if_needed().await;
        drop(gate);
        match started {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop().await?;
                Err(error)
            }
        }
    }

    async fn start_if_needed(&self) -> Result<(), EmbeddedError> {
        let mut child = None;
        if !self.is_running() {
            if !self.layout.cluster.join("PG_VERSION").exists() {
                self.init().await?;
            }
            child = Some(self.spawn()?);
        }
        let ready = self.wait_until_ready(child);
        timeout(START_TIMEOUT, ready)
            .await
            .map_err(|_| EmbeddedError::StartTimeout { log: self.layout.log.clone() })?
    }

    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        // The user's own PG* variables are about other servers.
        PgConnectOptions::new_without_pgpass()
            .socket(&self.layout.socket)
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
            .username(ROLE)
            .password("")
            .database(DATABASE)
    }

    /// Leaves the cluster, and stops the server if nobody else uses it.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        let _gate = self.layout.lock_gate().await?;
        self.users.unlock().map_err(|source| self.layout.failed("unlock", "users", source))?;
        let is_last = self.users.try_lock().is_ok();
        let (true, Some(pid)) = (is_last && self.is_running(), self.pid()) else { return Ok(()) };
        // SIGINT is PostgreSQL's fast shutdown: it rolls back what runs and writes a checkpoint
        let kill = Command::new("kill").args(["-INT", &pid.to_string()]).output().await;
        kill.map_err(|source| EmbeddedError::Io { action: "signal", path: pid.to_string().into(), source })?;
        let stopped = async {
            while self.is_running() {
                sleep(POLL).await;
            }
        };
        timeout(STOP_TIMEOUT, stopped).await.map_err(|_| EmbeddedError::StopTimeout)
    }

    /// Makes the cluster beside its place and moves it there when it is whole: a half-made one is never
    /// started.
    async fn init(&self) -> Result<(), EmbeddedError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| EmbeddedError::Io { action, path, source }
        };
        let cluster = &self.layout.cluster;
        let drafts = |number: &u32| self.layout.root.join(format!("postgres.new.{number}"));
        // A free name: an initdb that outlived a killed start may still write under its own.
        let number =
            (1..=u32::MAX).find(|number| !drafts(number).exists()).expect("a directory holds fewer entries");
        let draft = drafts(&number);
        make_private(&draft, self.user)?;
        let output = self
            .command("initdb")
            .arg("--pgdata")
            .arg(&draft)
            .args([
                "--username",
                ROLE,
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-instructions",
            ])
            .kill_on_drop(true)
            .output()
            .await
            .map_err(failed("run initdb for", &draft))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(EmbeddedError::Program { program: "initdb", output });
        }
        fs::remove_dir(cluster).map_err(failed("replace", cluster))?;
        fs::rename(&draft, cluster).map_err(failed("move the new cluster to", cluster))?;
        for left_over in (1..number).map(|number| drafts(&number)) {
            if let Err(error) = fs::remove_dir_all(&left_over) {
                tracing::warn!(path = %left_over.display(), %error, "a half-made cluster is left over");
            }
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Child, EmbeddedError> {
        let log = &self.layout.log;
        let failed =
            |source| EmbeddedError::Io { action: "start postgres with the log", path: log.clone(), source };
        let file = File::options().create(true).append(true).open(log).map_err(failed)?;
        let mut command = self.command("postgres");
        command.arg("-p").arg(PORT.to_string()).arg("-D").arg(&self.layout.cluster);
        let wanted = tuning::settings(tuning::machine_memory_bytes());
        let wanted = wanted.iter().map(|setting| format!("{}={}", setting.name, setting.wanted.text()));
        for setting in SETTINGS.map(str::to_owned).into_iter().chain(wanted) {
            command.args(["-c", &setting]);
        }
        command
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.layout.socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::from(file.try_clone().map_err(failed)?))
            .stderr(Stdio::from(file))
            // a terminal's Ctrl-C is for this process, which stops the server in order
            .process_group(0)
            .spawn()
            .map_err(failed)
    }

    /// Waits until the server answers and the database exists. A server that ends instead is started again for
    /// a while.
    async fn wait_until_ready(&self, mut child: Option<Child>) -> Result<(), EmbeddedError> {
        let maintenance = self.connect_options().database("postgres");
        let retry_until = Instant::now() + RETRY_FOR;
        loop {
            if let Ok(mut db) = PgConnection::connect_with(&maintenance).await {
                return Ok(create_database(&mut db).await?);
            }
            let has_ended = match &mut child {
                Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
                // a server that was found running may have been about to die
                None => !self.is_running(),
            };
            if has_ended && Instant::now() > retry_until {
                return Err(EmbeddedError::Program { program: "postgres", output: self.end_of_log() });
            }
            if has_ended {
                sleep(RETRY_PAUSE).await;
                child = Some(self.spawn()?);
            }
            sleep(POLL).await;
        }
    }

    /// The last lines that the server wrote.
    fn end_of_log(&self) -> String {
        let text = fs::read_to_string(&self.layout.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    /// A program of the cluster, run as the account that may run it.
    fn command(&self, program: &str) -> Command {
        let mut command = self.command_of_account(&self.binaries.join(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command
    }

    fn command_of_account(&self, program: &Path) -> Command {
        match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([
                    "--reuid",
                    &user.uid.to_string(),
                    "--regid",
                    &user.gid.to_string(),
                    "--clear-groups",
                ]);
                if !self.layout.is_reachable() {
                    command.args(["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]);
                }
                command.arg("--").arg(program);
                command
            }
        }
    }

    fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.layout.cluster.join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Whether the process that wrote the pid file lives and works in this cluster: the number alone may be
    /// another's by now.
    fn is_running(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|directory| directory == self.layout.cluster)
    }
}

/// Makes the database, unless another process did.
async fn create_database(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    const DUPLICATE_DATABASE: &str = "42P04";
    const UNIQUE_VIOLATION: &str = "23505";
    let created = db.execute("CREATE DATABASE upbeat TEMPLATE template0").await;
    match created {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some(DUPLICATE_DATABASE | UNIQUE_VIOLATION)) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Layout {
    /// Makes the directories. The cluster and its socket are closed to everyone but their account.
    fn prepare(data_dir: &Path, user: Option<SystemUser>) -> Result<Self, EmbeddedError> {
        let make = |path: &Path| {
            fs::create_dir_all(path).map_err(|source| EmbeddedError::Io {
                action: "create the directory",
                path: path.to_owned(),
                source,
            })
        };
        make(data_dir)?;
        let root = fs::canonicalize(data_dir).map_err(|source| EmbeddedError::Io {
            action: "open",
            path: data_dir.to_owned(),
            source,
        })?;
        let cluster = root.join("postgres");
        let near = root.join("socket");
        let socket = if is_plain(&near) { near } else { far_socket(&root) };
        let log = root.join("postgres.log");
        for directory in [&cluster, &socket] {
            make_private(directory, user)?;
        }
        Ok(Self { root, cluster, socket, log })
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> EmbeddedError {
        EmbeddedError::Io { action, path: self.root.join(name), source }
    }

    fn open_lock(&self, name: &str) -> Result<File, EmbeddedError> {
        let file = File::options().create(true).truncate(false).write(true).open(self.root.join(name));
        file.map_err(|source| self.failed("open the lock", name, source))
    }

    /// Waits until no other process starts or stops the server.
    async fn lock_gate(&self) -> Result<File, EmbeddedError> {
        let gate = self.open_lock("gate")?;
        let locked = async {
            loop {
                match gate.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => sleep(POLL).await,
                    Err(TryLockError::Error(source)) => return Err(self.failed("lock", "gate", source)),
                }
            }
        };
        timeout(START_TIMEOUT, locked).await.map_err(|_| EmbeddedError::Busy)??;
        Ok(gate)
    }

    /// Whether anyone may search every directory above the cluster.
    fn is_reachable(&self) -> bool {
        let is_open = |directory: &Path| {
            fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
        };
        self.root.ancestors().all(is_open)
    }
}

/// Whether PostgreSQL takes the path for one socket directory as it is: short, and without marks that its
/// settings give a meaning.
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    bytes.len() <= SOCKET_DIRECTORY_LENGTH_MAX && bytes.iter().all(is_plain)
}

/// A short directory for the socket of any other data directory.
fn far_socket(root: &Path) -> PathBuf {
    let hash = Sha256::digest(root.as_os_str().as_encoded_bytes());
    std::env::temp_dir().join(format!("upbeat-{}", hex(&hash[..6])))
}

/// Makes a directory that is closed to everyone but the account of the server.
fn make_private(directory: &Path, user: Option<SystemUser>) -> Result<(), EmbeddedError> {
    let failed = |source| EmbeddedError::Io { action: "take over", path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    // The far socket's parent is open to everyone: nobody else's directory or link may be taken for ours.
    let found = fs::symlink_metadata(directory).map_err(failed)?;
    let own_uids = [own_uid(), user.map_or(u32::MAX, |user| user.uid)];
    if !found.is_dir() || !own_uids.contains(&found.uid()) {
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "it belongs to somebody else")));
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
    match user {
        Some(user) => chown(directory, Some(user.uid), Some(user.gid)).map_err(failed),
        None => Ok(()),
    }
}

/// The account of this process.
fn own_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}

impl SystemUser {
    /// The account to run as: none unless this process is root.
    fn for_this_process() -> Result<Option<Self>, EmbeddedError> {
        if own_uid() != 0 {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_postgres = fields.next() == Some("postgres");
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            is_postgres.then_some(Self { uid, gid })
        });
        account.map(Some).ok_or(EmbeddedError::NoUser)
    }
}
