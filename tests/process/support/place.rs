//! A directory for one test and every process of that test.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::wait_until;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that ends with the test, and with it every private PostgreSQL inside.
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not TMPDIR: root's own may be closed to the user that PostgreSQL runs as.
        let path = PathBuf::from(format!("/tmp/upbeat-process-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let place = Self { path };
        place.directory("tmp", 0o777);
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).expect("its mode is set");
        place
    }

    /// The usual data directory; nothing is there yet.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes a directory with a mode.
    pub fn directory(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode is set");
        path
    }

    /// What runs here apart from `upbeat` itself: postgres and initdb.
    pub fn postgres_processes(&self) -> Vec<u32> {
        processes_naming(&self.path)
            .into_iter()
            .filter(|(_, program)| program != "upbeat")
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Whether everything of PostgreSQL is gone, after a moment for what is going.
    pub fn postgres_is_gone(&self) -> bool {
        wait_until(Duration::from_secs(2), || self.postgres_processes().is_empty())
    }

    /// Ends everything at once, as a power cut does.
    pub fn kill_everything(&self) {
        let names_it =
            || -> Vec<u32> { processes_naming(&self.path).into_iter().map(|(pid, _)| pid).collect() };
        // A killed postmaster leaves its children to find out; SIGQUIT takes them along.
        signal("QUIT", &self.postmasters());
        wait_until(Duration::from_secs(5), || {
            let rest = names_it();
            signal("KILL", &rest);
            rest.is_empty()
        });
    }

    /// The main processes of the private PostgreSQLs here.
    pub fn postmasters(&self) -> Vec<u32> {
        processes_naming(&self.path)
            .into_iter()
            .filter(|(_, program)| program == "postgres")
            .map(|(pid, _)| pid)
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill_everything();
        if std::thread::panicking() {
            print_logs(&self.path);
        }
        let removed = wait_until(Duration::from_secs(5), || fs::remove_dir_all(&self.path).is_ok());
        if !removed {
            eprintln!("{} stays behind", self.path.display());
        }
    }
}

/// What the private PostgreSQLs below a directory said.
fn print_logs(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.join("PG_VERSION").exists() {
            let log = fs::read_to_string(path.with_file_name("postgres.log")).unwrap_or_default();
            eprintln!("--- PostgreSQL in {}:\n{log}", path.display());
        } else if path.is_dir() {
            print_logs(&path);
        }
    }
}

/// Processes with the path in their arguments, environment or working directory, and the program's name. What
/// initdb starts names it in its environment alone.
fn processes_naming(path: &Path) -> Vec<(u32, String)> {
    let text = format!("{}/", path.display());
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let process = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let read = |name: &str| {
            String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default()).into_owned()
        };
        let command_line = read("cmdline");
        let program = Path::new(command_line.split('\0').next()?).file_name()?.to_str()?.to_owned();
        let works_there = || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(path));
        let names_it = command_line.contains(&text) || read("environ").contains(&text) || works_there();
        (pid != std::process::id() && names_it).then_some((pid, program))
    };
    entries.flatten().filter_map(process).collect()
}

pub fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let pids = pids.iter().map(ToString::to_string);
    let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status();
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
