//! This program again, in a process of its own: a job goes in as JSON, an outcome comes out as JSON.

use std::io;
use std::process::Stdio;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs the subcommand and waits for its outcome.
pub async fn call<J: Serialize, O: DeserializeOwned>(subcommand: &str, job: &J) -> O {
    let job = serde_json::to_vec(job).expect("a job is JSON");
    let mut child = Command::new(std::env::current_exe().expect("this program has a file"))
        .arg(subcommand)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this program runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(&job).await.expect("the process reads its job");
    drop(input);
    let output = child.wait_with_output().await.expect("the process ends");
    assert!(output.status.success(), "`bench {subcommand}` failed");
    serde_json::from_slice(&output.stdout).expect("an outcome is JSON")
}

/// The other side: the job of this process.
pub fn job<J: DeserializeOwned>() -> J {
    serde_json::from_reader(io::stdin().lock()).expect("a job on standard input")
}

pub fn finish<O: Serialize>(outcome: &O) {
    serde_json::to_writer(io::stdout().lock(), outcome).expect("somebody reads the outcome");
}
