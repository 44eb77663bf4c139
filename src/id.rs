//! Typed ids, and where their bytes come from.
//!
//! Ids that are only keys are version-7 UUIDs from [`Ids`], which never go backwards within a process: lists
//! that sort by `(created_at, id)` show objects in the order of their creation even while an environment's
//! clock is frozen. Ids that a retry or a preview must produce again are version 5 from their natural key
//! ([`deterministic`]). Identities that a tenant could try to forge a collision for (transaction ids, subjects,
//! group values) are 128 bits of SHA-256 ([`digest`]).

use std::fmt::{self, Write};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::time::Clock;

/// The namespace of every deterministic id of this server.
const NAMESPACE: Uuid = Uuid::from_u128(0x7570_6265_6174_5f69_6473_5f6e_616d_6573);

/// Source of new ids; an argument, like the clock.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    context: Arc<std::sync::Mutex<ContextV7>>,
}

impl Ids {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, context: Arc::new(std::sync::Mutex::new(ContextV7::new())) }
    }

    /// A new version-7 id, greater than every id made before it by this source.
    #[must_use]
    pub fn next<T: From<Uuid>>(&self) -> T {
        let now = self.clock.now();
        let context = self.context.lock().expect("no thread panics while it holds the id context");
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let timestamp = Timestamp::from_unix(&*context, seconds, now.timestamp_subsec_nanos());
        T::from(Uuid::new_v7(timestamp))
    }
}

/// The version-5 id of a natural key: the same parts give the same id in every process and at every retry.
#[must_use]
pub fn deterministic(kind: &str, parts: &[&str]) -> Uuid {
    let mut key = kind.as_bytes().to_vec();
    for part in parts {
        key.push(0);
        key.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &key)
}

/// 128 bits of SHA-256 over length-prefixed parts, as a UUID. Used where equality decides about money.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> Uuid {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(bytes)
}

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, sqlx::Type)]
        #[serde(transparent)]
        #[schemars(transparent, inline)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

impl CreditTypeId {
    /// What is shown as the unit of quantities, which have none.
    pub const NONE: Self = Self(Uuid::nil());
}

typed_ids! {
    /// A sandbox or production environment: the tenant of every row.
    EnvironmentId,
    /// An API token.
    TokenId,
    /// A customer.
    CustomerId,
    /// A billable metric.
    BillableMetricId,
    /// A product.
    ProductId,
    /// A rate card.
    RateCardId,
    /// A pricing unit: a fiat currency or a custom unit.
    CreditTypeId,
    /// A contract.
    ContractId,
    /// A package.
    PackageId,
    /// A scheduled charge of a contract, or of a package.
    ScheduledChargeId,
    /// One payment of a schedule.
    ScheduleItemId,
    /// An override of a contract, or of a package.
    OverrideId,
    /// A commit or a credit of a contract or a customer, or of a package.
    BalanceId,
    /// A time in which a commit or a credit may be drawn, and how much of it.
    SegmentId,
    /// An entry that somebody wrote into a ledger.
    ManualEntryId,
    /// A recurring commit or a recurring credit of a contract, or of a package.
    RecurringGrantId,
    /// An invoice; version 5, see [`deterministic`].
    InvoiceId,
    /// The `customer_id` string of an event exactly as it was sent, by digest.
    SubjectId,
    /// A tuple of group values of one billable metric, by digest.
    GroupId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemClock;

    #[test]
    fn new_ids_only_grow() {
        let ids = Ids::new(Arc::new(SystemClock));
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(deterministic("k", &["ab", "c"]), deterministic("k", &["a", "bc"]));
    }
}
