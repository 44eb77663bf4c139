//! `upbeat migrate`

use super::{CommandError, open};
use crate::config::Storage;

/// Brings the database to this version.
pub async fn migrate(storage: Storage) -> Result<(), CommandError> {
    let (database, _) = open(&storage).await?;
    println!("The database is migrated.");
    database.close().await?;
    Ok(())
}
