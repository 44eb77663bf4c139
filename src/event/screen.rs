//! Filters that say which keys a sealed slot certainly does not hold.
//!
//! A filter is never believed when it says yes, and a slot without one is asked itself; so filters may come late, be
//! lost with the process or never be there, and only cost time.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;
use xorf::{BinaryFuse16, Filter};

use super::slot::{self, SealedSlot};
use crate::id::EnvironmentId;

/// A filter is built in so many parts, by the first bits of the key, so that building one of 16 million keys takes
/// little memory beside the filter itself.
const PARTS: usize = 16;

/// Parts whose keys are read together: each reading goes through the whole table.
const PARTS_AT_ONCE: usize = 4;

/// The filters of this process. A database that lost its last commits may seal a slot once more, with other keys: so the
/// time of the sealing tells filters apart.
#[derive(Clone, Default)]
pub struct Screens(Arc<RwLock<HashMap<SealedSlot, Arc<Screen>>>>);

/// The filter of one slot: 2.3 bytes for each key, one false yes in 65,000.
struct Screen {
    environment_id: EnvironmentId,
    parts: Vec<Option<BinaryFuse16>>,
}

impl Screen {
    fn may_hold(&self, key: Uuid) -> bool {
        self.parts[part_of(key)].as_ref().is_some_and(|part| part.contains(&folded(key)))
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
    /// The slots of an environment that have a filter.
    #[must_use]
    pub fn screened(&self, environment_id: EnvironmentId) -> Vec<SealedSlot> {
        let screens = self.0.read().expect("no thread panics while it holds the filters");
        let of_environment = screens.iter().filter(|(_, screen)| screen.environment_id == environment_id);
        of_environment.map(|(slot, _)| *slot).collect()
    }

    /// The keys, by slot, that the slots must be asked for.
    #[must_use]
    pub fn suspects(&self, slots: &[SealedSlot], keys: &[Uuid]) -> (Vec<i32>, Vec<Uuid>) {
        if slots.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let screens = self.0.read().expect("no thread panics while it holds the filters");
        let of_slot = |sealed: &SealedSlot| {
            let screen = screens.get(sealed).cloned();
            let asks = move |key: &&Uuid| screen.as_ref().is_none_or(|screen| screen.may_hold(**key));
            let slot = sealed.slot;
            keys.iter().filter(asks).map(move |key| (slot, *key))
        };
        slots.iter().flat_map(of_slot).unzip()
    }

    /// The slots that have no filter, each with its environment; forgets those of slots that are gone.
    pub async fn missing(
        &self,
        db: &mut PgConnection,
        environments: &[EnvironmentId],
    ) -> Result<Vec<(EnvironmentId, SealedSlot)>, sqlx::Error> {
        let mut sealed = HashMap::new();
        for environment_id in environments {
            let slots = slot::sealed(db, *environment_id).await?;
            sealed.extend(slots.into_iter().map(|slot| (slot, *environment_id)));
        }
        let mut screens = self.0.write().expect("no thread panics while it holds the filters");
        screens.retain(|slot, _| sealed.contains_key(slot));
        let missing = sealed.into_iter().filter(|(slot, _)| !screens.contains_key(slot));
        Ok(missing.map(|(slot, environment_id)| (environment_id, slot)).collect())
    }

    /// Builds the filter of a slot.
    pub async fn build(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        slot: SealedSlot,
    ) -> Result<(), sqlx::Error> {
        let mut reading = db.begin().await?;
        // All of the table is read: by the index, the rows of a range would be looked up all over it. One processor is left
        // to others.
        let by_the_table = "SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = off; \
             SET LOCAL enable_indexscan = off; SET LOCAL max_parallel_workers_per_gather = 0";
        reading.execute(by_the_table).await?;
        let mut parts = Vec::with_capacity(PARTS);
        for first in (0..PARTS).step_by(PARTS_AT_ONCE) {
            for keys in read_keys(&mut reading, slot.slot, first).await? {
                let part = tokio::task::spawn_blocking(move || build_part(keys)).await;
                parts.push(part.map_err(|error| sqlx::Error::Decode(error.into()))??);
            }
        }
        reading.commit().await?;
        let mut screens = self.0.write().expect("no thread panics while it holds the filters");
        screens.insert(slot, Arc::new(Screen { environment_id, parts }));
        Ok(())
    }
}

/// The halves of the keys in some parts of a slot, from the first of these on.
async fn read_keys(db: &mut PgConnection, slot: i32, first: usize) -> Result<Vec<Vec<u64>>, sqlx::Error> {
    let mut parts = vec![Vec::new(); PARTS_AT_ONCE];
    // (No parameter can stand in a COPY: these are numbers of ours.)
    let (least, greatest) = (first_of_part(first), first_of_part(first + PARTS_AT_ONCE).wrapping_sub(1));
    let statement = format!(
        "COPY (SELECT key FROM event_key WHERE slot = {slot} AND key BETWEEN '{}' AND '{}') TO STDOUT (FORMAT binary)",
        Uuid::from_u128(least),
        Uuid::from_u128(greatest),
    );
    let mut copied = CopiedKeys::default();
    let mut messages = db.copy_out_raw(&statement).await?;
    while let Some(message) = messages.try_next().await? {
        copied.read(&message, |key| parts[part_of(key) - first].push(folded(key)))?;
    }
    Ok(parts)
}

/// The least key of a part; of the one behind the last, 0.
fn first_of_part(part: usize) -> u128 {
    (part as u128).wrapping_mul(u128::MAX / (PARTS as u128) + 1)
}

/// What a COPY of keys in binary has brought: a row is mostly one message, but need not be.
#[derive(Default)]
struct CopiedKeys {
    unread: Vec<u8>,
    is_begun: bool,
}

impl CopiedKeys {
    /// Before the rows: a signature, flags, and the length of nothing.
    const HEADER: usize = 11 + 4 + 4;
    /// The number of columns, the length of the first, and the key.
    const ROW: usize = 2 + 4 + 16;

    fn read(&mut self, message: &[u8], mut take: impl FnMut(Uuid)) -> Result<(), sqlx::Error> {
        let mut rest = message;
        if !self.unread.is_empty() {
            self.unread.extend_from_slice(message);
            rest = &self.unread;
        }
        if !self.is_begun && rest.len() >= Self::HEADER {
            rest = &rest[Self::HEADER..];
            self.is_begun = true;
        }
        while self.is_begun && rest.len() >= Self::ROW {
            let (row, behind) = rest.split_at(Self::ROW);
            let (shape, key) = row.split_at(Self::ROW - 16);
            if shape != [0, 1, 0, 0, 0, 16] {
                return Err(sqlx::Error::Decode("a row of a COPY is no key".into()));
            }
            take(Uuid::from_slice(key).expect("sixteen bytes"));
            rest = behind;
        }
        // The end, two bytes, is never a row.
        self.unread = rest.to_vec();
        Ok(())
    }
}

/// The filter of one part; nothing where the part has no keys.
fn build_part(mut keys: Vec<u64>) -> Result<Option<BinaryFuse16>, sqlx::Error> {
    // Two digests may share a half, and a filter is made of distinct ones.
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(None);
    }
    BinaryFuse16::try_from(&keys).map(Some).map_err(|reason| sqlx::Error::Decode(reason.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn screen(keys: &[Uuid]) -> Screen {
        let of_part =
            |part| keys.iter().copied().filter(move |key| part_of(*key) == part).map(folded).collect();
        let parts = (0..PARTS).map(|part| build_part(of_part(part)).expect("a filter")).collect();
        Screen { environment_id: EnvironmentId(Uuid::nil()), parts }
    }

    fn copied(messages: &[&[u8]]) -> Result<Vec<Uuid>, sqlx::Error> {
        let (mut copied, mut keys) = (CopiedKeys::default(), Vec::new());
        for message in messages {
            copied.read(message, |key| keys.push(key))?;
        }
        Ok(keys)
    }

    #[test]
    fn the_parts_are_all_keys() {
        assert_eq!(first_of_part(0), 0);
        assert_eq!(first_of_part(PARTS), 0);
        for part in 0..PARTS {
            let first = first_of_part(part);
            assert_eq!(part_of(Uuid::from_u128(first)), part);
            assert_eq!(part_of(Uuid::from_u128(first_of_part(part + 1).wrapping_sub(1))), part);
        }
    }

    proptest! {
        #[test]
        fn no_key_of_a_slot_is_denied(keys in prop::collection::vec(any::<u128>(), 0..500)) {
            let mut keys: Vec<Uuid> = keys.into_iter().map(Uuid::from_u128).collect();
            // A half that two share.
            keys.extend(keys.first().map(|key| Uuid::from_u64_pair(key.as_u64_pair().0 ^ 1, key.as_u64_pair().1)));
            let screen = screen(&keys);
            prop_assert!(keys.iter().all(|key| screen.may_hold(*key)));
            let others = (0..1000_u32).map(|number| Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes()));
            prop_assert!(others.filter(|key| screen.may_hold(*key)).count() < 10);
        }

        #[test]
        fn keys_are_read_however_the_messages_are_cut(
            keys in prop::collection::vec(any::<u128>(), 0..9), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let keys: Vec<Uuid> = keys.into_iter().map(Uuid::from_u128).collect();
            let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
            for key in &keys {
                bytes.extend_from_slice(&[0, 1, 0, 0, 0, 16]);
                bytes.extend_from_slice(key.as_bytes());
            }
            bytes.extend_from_slice(&[0xff, 0xff]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let messages: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(copied(&messages).expect("keys"), keys);
        }
    }
}
