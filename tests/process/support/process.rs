//! The binary, started.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::place::signal;
use super::{Client, PATIENCE, Place, wait_until};

/// The token of servers that are started with [`Launch::bootstrapped`].
pub const BOOTSTRAP: &str = "bootstrap-secret-of-the-process-tests";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// How to start the binary: nothing of the surrounding environment reaches it.
pub struct Launch {
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    logs: PathBuf,
    temporary: PathBuf,
}

/// A command that ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running `upbeat serve` or `upbeat worker`.
pub struct Server {
    child: Child,
    pub client: Client,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Launch {
    /// On the place's usual data directory.
    pub fn new(place: &Place) -> Self {
        let launch = Self {
            program: vec![env!("CARGO_BIN_EXE_upbeat").into()],
            environment: Vec::new(),
            logs: place.path.clone(),
            temporary: place.path.join("tmp"),
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        launch.environment("PATH", path).data_dir(&place.data())
    }

    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn data_dir(self, path: &Path) -> Self {
        self.environment("UPBEAT_DATA_DIR", path)
    }

    pub fn database(self, url: &str) -> Self {
        self.environment("DATABASE_URL", url)
    }

    /// A token that tests know.
    pub fn bootstrapped(self) -> Self {
        self.environment("UPBEAT_BOOTSTRAP_TOKEN", BOOTSTRAP)
    }

    /// Another program that starts the binary at the end of its command line.
    pub fn program<const N: usize>(mut self, program: [&str; N]) -> Self {
        self.program = program.into_iter().map(Into::into).collect();
        self
    }

    fn spawn(&self, arguments: &[&str]) -> Server {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stdout = self.logs.join(format!("stdout.{number}"));
        let stderr = self.logs.join(format!("stderr.{number}"));
        let child = Command::new(&self.program[0])
            .args(&self.program[1..])
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("TMPDIR", &self.temporary)
            .current_dir(&self.temporary)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("a file"))
            .stderr(File::create(&stderr).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("the binary starts");
        let client = Client { address: String::new(), token: BOOTSTRAP.to_owned() };
        Server { child, client, stdout, stderr }
    }

    /// Starts `upbeat serve`, not waiting for anything.
    pub fn start(&self, more: &[&str]) -> Server {
        self.spawn(&[&["serve", "--listen", "127.0.0.1:0"], more].concat())
    }

    /// Starts `upbeat serve` and waits until it is ready.
    #[track_caller]
    pub fn serve(&self) -> Server {
        self.start(&[]).ready()
    }

    /// Starts `upbeat worker` and waits until it works.
    #[track_caller]
    pub fn work(&self) -> Server {
        let mut worker = self.spawn(&["worker"]);
        let works = wait_until(PATIENCE, || worker.stderr().contains("working") || worker.has_ended());
        assert!(works && !worker.has_ended(), "{}", worker.stderr());
        worker
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut process = self.spawn(arguments);
        let code = process.wait(Duration::from_secs(90)).map(|status| status.code());
        let code =
            code.unwrap_or_else(|| panic!("upbeat {} hangs: {}", arguments.join(" "), process.stderr()));
        Output { code, stdout: process.stdout(), stderr: process.stderr() }
    }
}

impl Output {
    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.text());
        self
    }

    /// Not only a failure, but one that says each of these.
    #[track_caller]
    pub fn failed(self, parts: &[&str]) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        for part in parts {
            assert!(self.text().contains(part), "`{part}` is not in: {}", self.text());
        }
        self
    }
}

impl Server {
    /// Waits until it is ready.
    #[track_caller]
    pub fn ready(mut self) -> Self {
        assert!(self.becomes_ready(PATIENCE), "it is not ready:\n{}{}", self.stdout(), self.stderr());
        self
    }

    /// Whether it listens and is ready in time; false also when it ends.
    pub fn becomes_ready(&mut self, deadline: Duration) -> bool {
        let mut is_ready = false;
        wait_until(deadline, || {
            is_ready = self.is_ready();
            is_ready || self.has_ended()
        });
        is_ready
    }

    pub fn is_ready(&mut self) -> bool {
        let stdout = self.stdout();
        let Some((_, rest)) = stdout.split_once("Upbeat listens on http://") else {
            return false;
        };
        rest.split(' ').next().unwrap_or_default().clone_into(&mut self.client.address);
        self.client.try_get("/readyz").is_ok_and(|answer| answer.status == 200)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        signal(name, &[self.pid()]);
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_some()
    }

    pub fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let mut status = None;
        wait_until(deadline, || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status
    }

    /// Stops it with SIGTERM; anything but exit code 0 in good time fails the test.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        self.stops();
    }

    /// Waits until it ends with exit code 0.
    #[track_caller]
    pub fn stops(&mut self) {
        let status = self.wait(PATIENCE).unwrap_or_else(|| panic!("it does not stop: {}", self.stderr()));
        assert_eq!(status.code(), Some(0), "{status}: {}", self.stderr());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- upbeat {}:\n{}{}", self.pid(), self.stdout(), self.stderr());
        }
        self.kill();
    }
}
