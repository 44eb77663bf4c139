//! `upbeat migrate`

use super::{CommandError, with_database};
use crate::config::Storage;

/// Brings the database to this version.
pub async fn migrate(storage: Storage) -> Result<(), CommandError> {
    with_database(&storage, async |_| {
        println!("The database is migrated.");
        Ok(())
    })
    .await
}
