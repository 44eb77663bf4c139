//! The settings of PostgreSQL that a billing server's writes want, and what a server has instead.
//!
//! Measured with this server's own load: a checkpoint that comes early makes every page be written whole once more, an
//! index of keys that does not fit into the buffers is read from disk for every event, and a commit that is not on disk
//! is no answer to a sender. The private server is started with them; `doctor` compares a given one.

use std::fs;

use sqlx::PgPool;

/// What a server has that does not say how much memory it has.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

/// A setting and the value that suits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub wanted: Wanted,
    /// What it costs otherwise.
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// At least so many megabytes.
    Megabytes(u64),
    /// At least so many minutes.
    Minutes(u64),
    On,
}

impl Wanted {
    /// As a configuration file says it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Megabytes(count) => format!("{count}MB"),
            Self::Minutes(count) => format!("{count}min"),
            Self::On => "on".to_owned(),
        }
    }

    /// Whether a value of `pg_settings` is as good; `unit` is what it is counted in.
    fn is_met(&self, setting: &str, unit: Option<&str>) -> bool {
        let count = || setting.parse::<u64>().unwrap_or(0);
        match self {
            Self::Megabytes(wanted) => count() * kilobytes(unit) >= wanted * 1024,
            Self::Minutes(wanted) => count() >= wanted * per_minute(unit),
            // Compression has values of its own beside `on`.
            Self::On => setting != "off",
        }
    }
}

fn kilobytes(unit: Option<&str>) -> u64 {
    match unit {
        Some("8kB") => 8,
        Some("MB") => 1024,
        Some("16MB") => 16 * 1024,
        _ => 1,
    }
}

fn per_minute(unit: Option<&str>) -> u64 {
    match unit {
        Some("min") => 1,
        Some("ms") => 60_000,
        _ => 60,
    }
}

/// The settings for a server with so much memory.
#[must_use]
pub fn settings(memory_bytes: u64) -> Vec<Setting> {
    let quarter = (memory_bytes >> 20) / 4;
    let setting = |name, wanted, why| Setting { name, wanted, why };
    vec![
        setting("fsync", Wanted::On, "a crash of the machine loses events that were answered"),
        setting("full_page_writes", Wanted::On, "a crash of the machine may leave half a page"),
        setting("synchronous_commit", Wanted::On, "a crash loses events that were answered"),
        setting(
            "shared_buffers",
            Wanted::Megabytes(quarter.max(128)),
            "the keys of new events do not stay in memory",
        ),
        setting("wal_buffers", Wanted::Megabytes(64), "commits wait for the log under load"),
        setting(
            "max_wal_size",
            Wanted::Megabytes(16 * 1024),
            "checkpoints come early, and pages are logged whole after each",
        ),
        setting("checkpoint_timeout", Wanted::Minutes(15), "pages are logged whole after each checkpoint"),
        setting("wal_compression", Wanted::On, "pages that are logged whole take several times the space"),
    ]
}

/// What this machine, or the container that it is, may use.
#[must_use]
pub fn machine_memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(total.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse::<u64>().ok());
    [machine, container].into_iter().flatten().min().unwrap_or(MEMORY_BYTES_UNKNOWN)
}

/// Those of the settings that the server does not have, each with what it has.
pub async fn unmet(pool: &PgPool, settings: Vec<Setting>) -> Result<Vec<(Setting, String)>, sqlx::Error> {
    let names: Vec<String> = settings.iter().map(|setting| setting.name.to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT name AS "name!", setting AS "setting!", unit, current_setting(name) AS "shown!"
           FROM pg_settings WHERE name = ANY($1)"#,
        &names,
    )
    .fetch_all(pool)
    .await?;
    let unmet = settings.into_iter().filter_map(|setting| {
        let row = rows.iter().find(|row| row.name == setting.name)?;
        let is_met = setting.wanted.is_met(&row.setting, row.unit.as_deref());
        (!is_met).then(|| (setting, row.shown.clone()))
    });
    Ok(unmet.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_in_their_units() {
        let cases = [
            (Wanted::Megabytes(128), "16384", Some("8kB"), true),
            (Wanted::Megabytes(128), "16383", Some("8kB"), false),
            (Wanted::Megabytes(64), "8192", Some("8kB"), true),
            (Wanted::Megabytes(16_384), "16384", Some("MB"), true),
            (Wanted::Megabytes(16_384), "1024", Some("MB"), false),
            (Wanted::Minutes(15), "900", Some("s"), true),
            (Wanted::Minutes(15), "300", Some("s"), false),
            (Wanted::On, "on", None, true),
            (Wanted::On, "lz4", None, true),
            (Wanted::On, "off", None, false),
        ];
        for (wanted, setting, unit, expected) in cases {
            assert_eq!(wanted.is_met(setting, unit), expected, "{wanted:?} {setting} {unit:?}");
        }
    }

    #[test]
    fn buffers_are_a_quarter_of_the_memory() {
        let buffers = |memory: u64| settings(memory)[3].wanted.text();
        assert_eq!((buffers(8 << 30), buffers(256 << 20)), ("2048MB".to_owned(), "128MB".to_owned()));
    }
}
