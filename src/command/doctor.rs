//! `upbeat doctor`

use sqlx::PgPool;

use super::{CommandError, require_data};
use crate::config::Storage;
use crate::postgres::tuning::{Setting, machine_memory_bytes, settings, unmet};
use crate::postgres::{Database, MIGRATIONS, applied_migrations, find_binaries};
use crate::telemetry::causes;

/// Checks the set-up, says what to mend, and fails if anything must be.
pub async fn doctor(storage: Storage) -> Result<(), CommandError> {
    let mut faults = 0;
    let mut report = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(detail) => println!("ok    {what}: {detail}"),
        Err(mend) => {
            faults += 1;
            println!("FAIL  {what}: {mend}");
        }
    };
    match storage.database_url() {
        Some(_) => report("database", Ok("DATABASE_URL is set; no private PostgreSQL is needed".to_owned())),
        None => report("PostgreSQL binaries", binaries()),
    }
    if let Err(absent) = require_data(&storage) {
        report("data", Err(absent.to_string()));
        return Err(CommandError::Refused("1 thing to mend".to_owned()));
    }
    match Database::open(&storage).await {
        Ok(database) => {
            report("connection", Ok("PostgreSQL answers".to_owned()));
            report("migrations", migrations(&database.pool).await);
            report("tokens", tokens(&database.pool).await);
            if storage.database_url().is_some() {
                advise(&database.pool).await;
            }
            database.close().await?;
        }
        Err(error) => report("connection", Err(causes(&error))),
    }
    if faults > 0 { Err(CommandError::Refused(format!("{faults} to mend"))) } else { Ok(()) }
}

/// Says which settings of a given server do not suit; what works is no fault. The memory is this machine's, as the
/// server does not tell its own.
async fn advise(pool: &PgPool) {
    match unmet(pool, settings(machine_memory_bytes())).await {
        Ok(unmet) if unmet.is_empty() => println!("ok    settings: as the load wants them"),
        Ok(unmet) => {
            for (Setting { name, wanted, why }, has) in unmet {
                let wanted = wanted.text();
                println!(
                    "hint  settings: {name} is {has}: {why}; ALTER SYSTEM SET {name} = '{wanted}', then restart PostgreSQL"
                );
            }
        }
        Err(error) => println!("hint  settings: cannot be read: {}", causes(&error)),
    }
}

fn binaries() -> Result<String, String> {
    find_binaries().map(|directory| directory.display().to_string()).ok_or_else(|| {
        "none in PATH or /usr/lib/postgresql; run `apt-get install postgresql` or set DATABASE_URL".to_owned()
    })
}

async fn migrations(pool: &PgPool) -> Result<String, String> {
    let applied = applied_migrations(pool)
        .await
        .map_err(|_| "none applied; start `upbeat serve`, which migrates".to_owned())?;
    let known = MIGRATIONS.iter().count();
    match applied.len() {
        count if count < known => {
            Err(format!("{count} of {known} applied; start `upbeat serve`, which migrates"))
        }
        count if count > known => {
            Err(format!("{count} applied, but this version knows {known}; run a newer version"))
        }
        _ => Ok(format!("all {known} applied")),
    }
}

async fn tokens(pool: &PgPool) -> Result<String, String> {
    let in_use =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM access_token WHERE archived_at IS NULL"#);
    match in_use.fetch_one(pool).await {
        Ok(0) => Err("none in use; start `upbeat serve`, which makes the first one".to_owned()),
        Ok(count) => Ok(format!("{count} in use")),
        Err(_) => Err("cannot be read; start `upbeat serve`, which migrates".to_owned()),
    }
}
