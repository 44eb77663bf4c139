//! Which types have custom field keys, looked up once for each state of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{of_all, types_with_keys};
use super::{CustomFields, ManagedEntity};
use crate::id::EnvironmentId;
use crate::memo::Memo;

/// Lists of types that are remembered.
const LISTS_MAX: u64 = 1000;

static KNOWN: LazyLock<Memo<Uuid, BTreeSet<ManagedEntity>>> = LazyLock::new(|| Memo::new(LISTS_MAX, 1));

/// [`of_all`] in a state that the transaction sees and that the keys are part of: there is nothing to look up of a type without
/// any.
pub async fn of_all_in(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut objects: BTreeSet<(ManagedEntity, Uuid)>,
    state: Option<Uuid>,
) -> Result<BTreeMap<(ManagedEntity, Uuid), CustomFields>, sqlx::Error> {
    if state.is_some() {
        let with_keys = KNOWN.find_or(state, |_| 1, types_with_keys(db, environment_id)).await?;
        objects.retain(|(entity, _)| with_keys.contains(entity));
    }
    of_all(db, environment_id, objects).await
}
