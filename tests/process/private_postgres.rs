//! The private PostgreSQL: made at the first start, kept, found again, wherever the data directory lies.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Launch, PATIENCE, Place, Seeded, Server, is_root, wait_until};

const NOBODY: &str = "65534";

/// Starts twice, writes, and reads back: the directory serves.
#[track_caller]
fn holds_data(launch: &Launch) {
    let server = launch.serve();
    let customer = create_customer(&server);
    server.stop();
    let server = launch.serve();
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    server.stop();
}

#[track_caller]
fn create_customer(server: &Server) -> String {
    server.client.post("/v1/customers", &json!({ "name": "kept" })).id()
}

/// What the server printed after a label, up to the next blank.
#[track_caller]
fn printed(server: &Server, label: &str) -> String {
    let stdout = server.stdout();
    let (_, rest) = stdout.split_once(label).unwrap_or_else(|| panic!("`{label}` is not in: {stdout}"));
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Runs the command that the server printed for newcomers, to the letter.
#[track_caller]
fn try_printed_command(server: &Server) -> Value {
    let stdout = server.stdout();
    let command = stdout.lines().find(|line| line.contains("curl ")).expect("a command to try");
    let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("`{command}` answers `{text}`"))
}

#[test]
fn the_first_start_needs_nothing_and_is_ready_in_five_seconds() {
    let mut fastest = Duration::MAX;
    // The best of some, as other tests run on the same machine.
    for _ in 0..6 {
        let place = Place::new();
        let start = Instant::now();
        let mut server = Launch::new(&place).serve();
        fastest = fastest.min(start.elapsed());

        let file = place.data().join("sandbox-token");
        let secret = printed(&server, "Sandbox token: ");
        assert_eq!(fs::read_to_string(&file).expect("the token's file").trim(), secret);
        assert_eq!(fs::metadata(&file).expect("the token's file").permissions().mode() & 0o7777, 0o600);
        assert_eq!(server.stdout().matches(&secret).count(), 1, "{}", server.stdout());
        assert!(!server.stderr().contains(&secret));
        assert_eq!(printed(&server, "listens on "), format!("http://{}", server.client.address));

        assert_eq!(server.client.get("/sandbox/clock").status, 401);
        server.client.token = secret;
        assert_eq!(server.client.get("/sandbox/clock").data()["frozen"], false);
        assert_eq!(try_printed_command(&server)["data"]["frozen"], false);
        server.stop();
        assert!(place.postgres_is_gone());
        if fastest < Duration::from_secs(5) {
            return;
        }
    }
    panic!("the first start takes {fastest:?}");
}

#[test]
fn the_next_start_has_the_data_and_keeps_the_secret_to_itself() {
    let place = Place::new();
    let mut server = Launch::new(&place).serve();
    let secret = printed(&server, "Sandbox token: ");
    server.client.token.clone_from(&secret);
    let customer = create_customer(&server);
    server.stop();

    let mut server = Launch::new(&place).serve();
    let (stdout, stderr) = (server.stdout(), server.stderr());
    let file = place.data().join("sandbox-token");
    assert!(stdout.contains(&format!("Sandbox token: in {}", file.display())), "{stdout}");
    assert!(!format!("{stdout}{stderr}").contains(&secret));
    assert_eq!(try_printed_command(&server)["data"]["frozen"], false);
    server.client.token = secret;
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    server.stop();
}

#[test]
fn the_data_directory_may_have_a_longer_path_than_a_socket() {
    let place = Place::new();
    let data = place.path.join("long".repeat(50)).join("data");
    holds_data(&Launch::new(&place).data_dir(&data).bootstrapped());
}

#[track_caller]
fn serves_in(name: &str) {
    let place = Place::new();
    let launch = Launch::new(&place).data_dir(&place.path.join(name));
    let server = launch.serve();
    assert_eq!(try_printed_command(&server)["data"]["frozen"], false);
    server.stop();
    holds_data(&launch.bootstrapped());
}

#[test]
fn the_data_directory_may_have_blanks_in_its_name() {
    serves_in("my data");
}

#[test]
fn the_data_directory_may_have_quotes_and_dollars_in_its_name() {
    serves_in("it's-\"my\"-$HOME");
}

#[test]
fn the_data_directory_may_have_a_comma_in_its_name() {
    serves_in("mine,yours");
}

#[test]
fn the_data_directory_may_be_given_by_a_relative_path() {
    let place = Place::new();
    holds_data(&Launch::new(&place).data_dir(Path::new("here/.upbeat")).bootstrapped());
}

#[test]
fn the_data_directory_may_lie_below_one_that_is_closed_to_others() {
    let place = Place::new();
    let closed = place.directory("closed", 0o700);
    holds_data(&Launch::new(&place).data_dir(&closed.join("data")).bootstrapped());
}

#[test]
fn the_data_directory_may_be_moved() {
    let place = Place::new();
    let server = Launch::new(&place).bootstrapped().serve();
    let customer = create_customer(&server);
    server.stop();

    let moved = place.path.join("moved");
    fs::rename(place.data(), &moved).expect("the directory moves");
    let server = Launch::new(&place).data_dir(&moved).bootstrapped().serve();
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    server.stop();
}

#[test]
fn the_cluster_is_closed_to_other_users() {
    let place = Place::new();
    let server = Launch::new(&place).bootstrapped().serve();
    for directory in ["postgres", "socket"] {
        let mode = fs::metadata(place.data().join(directory)).expect(directory).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{directory}: {mode:o}");
    }
    server.stop();
}

#[test]
fn an_ordinary_user_can_serve() {
    if !is_root() {
        return; // then every other test proves it
    }
    let place = Place::new();
    let home = place.directory("home", 0o700);
    chown(&home, Some(65534), Some(65534)).expect("a directory of another user");
    let binary = place.path.join("upbeat");
    fs::copy(env!("CARGO_BIN_EXE_upbeat"), &binary).expect("a copy for another user");
    let binary = binary.to_str().expect("a plain path");
    let as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--", binary];
    let launch = Launch::new(&place).program(as_nobody).data_dir(&home.join("data")).bootstrapped();
    let server = launch.serve();
    let postmaster = place.postmasters()[0];
    let status = fs::read_to_string(format!("/proc/{postmaster}/status")).expect("its status");
    assert!(status.contains(&format!("Uid:\t{NOBODY}\t{NOBODY}")), "{status}");
    server.stop();
    assert!(place.postgres_is_gone());
    holds_data(&launch);
}

/// A PostgreSQL that was just killed still looks alive for a moment.
#[test]
fn a_postgres_that_dies_while_it_is_joined_is_started_again() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    launch.serve().stop();
    let data = place.data();
    let mut dying = Command::new("sleep")
        .arg("1")
        .current_dir(data.join("postgres"))
        .stdin(Stdio::null())
        .spawn()
        .expect("a process in the cluster");
    let pid_file =
        format!("{}\n{}/postgres\n1\n5432\n{}/socket\n", dying.id(), data.display(), data.display());
    fs::write(data.join("postgres/postmaster.pid"), pid_file).expect("its pid file");
    let server = launch.start(&[]);
    dying.wait().expect("it ends");
    server.ready().stop();
}

/// After a power cut the pid file names a process of the boot before, and the number may be another's now.
#[test]
fn a_pid_file_that_names_another_process_is_no_obstacle() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let server = launch.serve();
    let customer = create_customer(&server);
    server.stop();

    let mut other = Command::new("bash");
    if is_root() {
        other = Command::new("setpriv");
        other.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--", "bash"]);
    }
    let other = other.args(["-c", "exec -a postgres sleep 60"]).current_dir("/").stdin(Stdio::null()).spawn();
    let mut other = other.expect("another process");
    let data = place.data();
    let pid_file =
        format!("{}\n{}/postgres\n1\n5432\n{}/socket\n", other.id(), data.display(), data.display());
    fs::write(data.join("postgres/postmaster.pid"), pid_file).expect("a stale pid file");

    let mut server = launch.start(&[]);
    let is_ready = server.becomes_ready(PATIENCE);
    let found = is_ready.then(|| server.client.get(&format!("/v1/customers/{customer}")).status);
    server.signal("TERM");
    let ended = server.wait(PATIENCE);
    let other_lives = other.try_wait().expect("it can be waited for").is_none();
    let _ = other.kill();
    let _ = other.wait();
    assert_eq!(found, Some(200), "{}", server.stderr());
    assert!(ended.is_some_and(|status| status.success()));
    assert!(other_lives, "the other process was taken for PostgreSQL and signalled");
}

#[test]
fn a_first_start_that_loses_power_at_any_moment_is_finished_by_the_next() {
    let mut seeded = Seeded::new(1);
    for delay in [30, 150, 400, 700, 1000].map(|delay| delay + seeded.between(0, 100)) {
        let place = Place::new();
        let launch = Launch::new(&place).bootstrapped();
        let mut server = launch.start(&[]);
        sleep(Duration::from_millis(delay));
        server.kill();
        place.kill_everything();
        let mut server = launch.start(&[]);
        let is_ready = server.becomes_ready(Duration::from_secs(15));
        assert!(is_ready, "killed after {delay} ms: {}", server.stderr());
        server.stop();
    }
}

#[test]
fn a_first_start_whose_server_alone_is_killed_is_finished_by_the_next() {
    let mut seeded = Seeded::new(2);
    for delay in [30, 150, 400, 700, 1000].map(|delay| delay + seeded.between(0, 100)) {
        let place = Place::new();
        let launch = Launch::new(&place).bootstrapped();
        let mut server = launch.start(&[]);
        sleep(Duration::from_millis(delay));
        server.kill();
        let mut server = launch.start(&[]);
        let is_ready = server.becomes_ready(Duration::from_secs(15));
        assert!(is_ready, "killed after {delay} ms: {}", server.stderr());
        server.stop();
        assert!(place.postgres_is_gone(), "killed after {delay} ms");
    }
}

#[test]
fn what_a_killed_first_start_left_is_no_obstacle_and_goes() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let left_over = place.data().join("postgres.new.1");
    fs::create_dir_all(&left_over).expect("a directory");
    fs::write(left_over.join("PG_VERSION"), "15").expect("a file");
    holds_data(&launch);
    assert!(!left_over.exists());
}

#[test]
fn a_stop_during_the_first_start_leaves_nothing_running() {
    let mut seeded = Seeded::new(3);
    for (signal, delay) in [("TERM", 100), ("INT", 500), ("TERM", 800), ("INT", 1100)] {
        let delay = delay + seeded.between(0, 100);
        let place = Place::new();
        let launch = Launch::new(&place).bootstrapped();
        let mut server = launch.start(&[]);
        sleep(Duration::from_millis(delay));
        server.signal(signal);
        assert!(server.wait(PATIENCE).is_some(), "SIG{signal} after {delay} ms does not stop it");
        assert!(place.postgres_is_gone(), "SIG{signal} after {delay} ms leaves PostgreSQL running");
        launch.serve().stop();
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_running() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    Launch::new(&place).run(&["serve", "--listen", &address]).failed(&["cannot listen on", &address]);
    assert!(place.postgres_is_gone(), "PostgreSQL is left running");
}

#[test]
fn two_first_starts_at_once_share_one_postgres() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let (mut one, mut other) = (launch.start(&[]), launch.start(&[]));
    assert!(one.becomes_ready(PATIENCE), "{}", one.stderr());
    assert!(other.becomes_ready(PATIENCE), "{}", other.stderr());
    // a new session bears the name of the main process for a moment
    assert!(wait_until(Duration::from_secs(2), || place.postmasters().len() == 1));
    let customer = create_customer(&one);
    assert_eq!(other.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    for server in [&one, &other] {
        server.signal("TERM");
    }
    one.stops();
    other.stops();
    assert!(place.postgres_is_gone());
}

/// A command such as `upbeat verify` may start the private PostgreSQL just before a server joins it.
#[test]
fn a_server_outlives_the_process_that_started_its_postgres() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let starter = launch.work();
    let mut server = launch.serve();
    let customer = create_customer(&server);
    starter.stop();
    let works = |server: &mut Server| {
        server.is_ready()
            && server
                .client
                .try_post("/v1/customers", &json!({ "name": "new" }))
                .is_ok_and(|answer| answer.status == 200)
    };
    assert!(wait_until(PATIENCE, || works(&mut server)), "it is left without PostgreSQL");
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    server.stop();
    assert!(place.postgres_is_gone());
}
