//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use upbeat::command::{self, CommandError, Serve, TokenCommand};
use upbeat::config::Storage;
use upbeat::telemetry::causes;

/// It serves many small pieces from many threads in less time than the C library's, and gives back what is not used any more
/// (how soon is in `.cargo/config.toml`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Usage billing that speaks the Metronome HTTP API.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and do due work.
    Serve(Serve),
    /// Do due work only, beside servers that run elsewhere.
    Worker(Storage),
    /// Bring the database to this version.
    Migrate(Storage),
    /// Check the set-up and say what to mend.
    Doctor(Storage),
    /// Print the OpenAPI document.
    Openapi,
    /// Recompute rollups, finalized invoices and what commits and credits follow from, and compare.
    Verify(Storage),
    /// Make, list and archive API tokens.
    Token {
        #[command(flatten)]
        storage: Storage,
        #[command(subcommand)]
        command: TokenCommand,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upbeat: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve(config) => command::serve(config).await,
        Command::Worker(storage) => command::work(storage).await,
        Command::Migrate(storage) => command::migrate(storage).await,
        Command::Doctor(storage) => command::doctor(storage).await,
        Command::Openapi => {
            command::openapi();
            Ok(())
        }
        Command::Verify(storage) => command::verify(storage).await,
        Command::Token { storage, command } => command::token(storage, command).await,
    }
}
