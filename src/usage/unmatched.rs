//! How many events found no customer or no metric, for `/metrics`.
//!
//! `upbeat_usage_unmatched_events_total` counts events as their usage is counted, by the process that counts it: with
//! `NO_METRIC` those that no streaming metric counts (a metric with SQL may), with `NO_CUSTOMER` those whose
//! `customer_id` no customer claims by then. An alias that is set later takes nothing back, as counters only grow.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::Counts;
use super::store::subjects_by_id;
use crate::customer;
use crate::id::{EnvironmentId, SubjectId};
use crate::telemetry::causes;

/// How many events came, by whom they name.
pub type Arrived = HashMap<SubjectId, u64>;

/// Subjects that are remembered as somebody's, 32 bytes each, and how often they are believed before all are looked up
/// again: an alias may be taken from a customer.
const CLAIMED_MAX: usize = 100_000;
const BELIEVED_MAX: u32 = 500;

#[derive(Default)]
struct Claimed {
    subjects: HashSet<(EnvironmentId, SubjectId)>,
    believed: u32,
}

static CLAIMED: Mutex<Option<Claimed>> = Mutex::new(None);

/// Counts what was just counted. What it cannot find out is left out: no usage depends on it.
pub async fn record(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    counts: &Counts,
    mut arrived: Arrived,
) {
    let unmetered: i64 = counts.unmetered.values().flat_map(|types| types.values()).sum();
    add("NO_METRIC", u64::try_from(unmetered).unwrap_or(0));
    let mut unknown = believe(environment_id, arrived.keys().copied());
    arrived.retain(|subject_id, events| unknown.contains(subject_id) && *events > 0);
    unknown.retain(|subject_id| arrived.contains_key(subject_id));
    match unclaimed(db, environment_id, &unknown).await {
        Ok(unclaimed) => {
            add("NO_CUSTOMER", unclaimed.iter().filter_map(|subject_id| arrived.get(subject_id)).sum());
        }
        Err(error) => tracing::warn!(cause = causes(&error), "events without a customer are not counted"),
    }
}

fn add(reason: &'static str, events: u64) {
    metrics::counter!("upbeat_usage_unmatched_events_total", "reason" => reason).increment(events);
}

/// Those of the subjects that are not remembered as somebody's.
fn believe(environment_id: EnvironmentId, subjects: impl Iterator<Item = SubjectId>) -> HashSet<SubjectId> {
    let mut claimed = CLAIMED.lock().expect("no thread panics while it holds what is claimed");
    let claimed = claimed.get_or_insert_default();
    claimed.believed += 1;
    if claimed.believed > BELIEVED_MAX || claimed.subjects.len() > CLAIMED_MAX {
        *claimed = Claimed::default();
    }
    subjects.filter(|subject_id| !claimed.subjects.contains(&(environment_id, *subject_id))).collect()
}

/// Those of the subjects that no customer claims; the others are remembered.
async fn unclaimed(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subjects: &HashSet<SubjectId>,
) -> Result<Vec<SubjectId>, sqlx::Error> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = subjects.iter().map(|id| id.0).collect();
    let rows = subjects_by_id(db, environment_id, &ids).await?;
    let received: Vec<String> = rows.iter().map(|row| row.received.clone()).collect();
    let customers = customer::find_by_subjects(db, environment_id, &received).await?;
    let (claimed, unclaimed): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| customers.contains_key(&row.received));
    let mut remembered = CLAIMED.lock().expect("no thread panics while it holds what is claimed");
    let remembered = &mut remembered.get_or_insert_default().subjects;
    remembered.extend(claimed.into_iter().map(|row| (environment_id, row.id)));
    Ok(unclaimed.into_iter().map(|row| row.id).collect())
}
