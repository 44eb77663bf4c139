//! Filters that say which keys a sealed slot certainly does not hold.
//!
//! A filter is never believed when it says yes, and a slot without one is asked itself; so filters may come late, be
//! lost with the process or never be there, and only cost time.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use sqlx::PgConnection;
use uuid::Uuid;
use xorf::{BinaryFuse16, Filter};

use super::slot;
use crate::id::EnvironmentId;

/// A filter is built in so many parts, by the first bits of the key, so that building one of 25 million keys takes
/// little memory beside the filter itself.
const PARTS: usize = 16;

/// The filters of this process.
#[derive(Clone, Default)]
pub struct Screens(Arc<RwLock<HashMap<i32, Arc<Screen>>>>);

/// The filter of one slot: 2.3 bytes for each key, one false yes in 65,000.
struct Screen(Vec<Option<BinaryFuse16>>);

impl Screen {
    fn may_hold(&self, key: Uuid) -> bool {
        self.0[part_of(key)].as_ref().is_some_and(|part| part.contains(&folded(key)))
    }
}

fn part_of(key: Uuid) -> usize {
    usize::from(key.as_bytes()[0]) * PARTS / 256
}

/// Keys are digests: any half of one is as good as the whole for a filter.
fn folded(key: Uuid) -> u64 {
    key.as_u64_pair().1
}

impl Screens {
    /// The keys, by slot, that the slots must be asked for.
    #[must_use]
    pub fn suspects(&self, slots: &[i32], keys: &[Uuid]) -> (Vec<i32>, Vec<Uuid>) {
        if slots.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let screens = self.0.read().expect("no thread panics while it holds the filters");
        let of_slot = |slot: &i32| {
            let screen = screens.get(slot).cloned();
            let asks = move |key: &&Uuid| screen.as_ref().is_none_or(|screen| screen.may_hold(**key));
            let slot = *slot;
            keys.iter().filter(asks).map(move |key| (slot, *key))
        };
        slots.iter().flat_map(of_slot).unzip()
    }

    /// Builds the filters that are missing and forgets those of slots that are gone.
    pub async fn refresh(
        &self,
        db: &mut PgConnection,
        environments: &[EnvironmentId],
    ) -> Result<(), sqlx::Error> {
        let mut sealed = Vec::new();
        for environment_id in environments {
            sealed.extend(slot::sealed(db, *environment_id).await?);
        }
        let missing: Vec<i32> = {
            let mut screens = self.0.write().expect("no thread panics while it holds the filters");
            screens.retain(|slot, _| sealed.contains(slot));
            sealed.into_iter().filter(|slot| !screens.contains_key(slot)).collect()
        };
        for slot in missing {
            let screen = Arc::new(build(db, slot).await?);
            self.0.write().expect("no thread panics while it holds the filters").insert(slot, screen);
        }
        Ok(())
    }
}

async fn build(db: &mut PgConnection, slot: i32) -> Result<Screen, sqlx::Error> {
    let mut parts = Vec::with_capacity(PARTS);
    for part in 0..PARTS {
        parts.push(build_part(db, slot, part).await?);
    }
    Ok(Screen(parts))
}

/// The filter of one part; nothing where the part has no keys.
async fn build_part(
    db: &mut PgConnection,
    slot: i32,
    part: usize,
) -> Result<Option<BinaryFuse16>, sqlx::Error> {
    let step = u128::MAX / (PARTS as u128) + 1;
    let first = step * (part as u128);
    let last = first + (step - 1);
    let keys = sqlx::query_scalar!(
        "SELECT key FROM event_key WHERE slot = $1 AND key BETWEEN $2 AND $3",
        slot,
        Uuid::from_u128(first),
        Uuid::from_u128(last),
    )
    .fetch_all(db)
    .await?;
    let mut keys: Vec<u64> = keys.into_iter().map(folded).collect();
    // Two digests may share a half, and a filter is made of distinct ones.
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(None);
    }
    tokio::task::spawn_blocking(move || BinaryFuse16::try_from(&keys))
        .await
        .map_err(|error| sqlx::Error::Decode(error.into()))?
        .map(Some)
        .map_err(|reason| sqlx::Error::Decode(reason.into()))
}
