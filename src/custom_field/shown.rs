use sqlx::PgConnection;
use uuid::Uuid;

use super::{CustomFields, ManagedEntity, store};
use crate::id::EnvironmentId;

/// An object as it is shown, with its custom fields.
pub trait Carries {
    const ENTITY: ManagedEntity;

    fn entity_id(&self) -> Uuid;

    /// Where they are shown.
    fn custom_fields(&mut self) -> &mut CustomFields;
}

/// Gives each object its custom fields.
pub async fn show<T: Carries>(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    objects: &mut [T],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = objects.iter().map(Carries::entity_id).collect();
    let fields = store::of_many(db, environment_id, T::ENTITY, &ids).await?;
    for object in objects {
        if let Some(fields) = fields.get(&object.entity_id()) {
            object.custom_fields().clone_from(fields);
        }
    }
    Ok(())
}

/// Gives one object its custom fields.
pub async fn show_one<T: Carries>(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut object: T,
) -> Result<T, sqlx::Error> {
    show(db, environment_id, std::slice::from_mut(&mut object)).await?;
    Ok(object)
}
