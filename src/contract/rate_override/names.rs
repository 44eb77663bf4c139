//! The names that overrides are shown with.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::input::named_products;
use super::terms::{Override, OverrideKind};
use super::view::Names;
use crate::catalog::{credit_type, product};
use crate::id::EnvironmentId;
use crate::money::CreditType;
use crate::time::Instant;

/// The names of the products as they are at an instant, and of the units, in two queries.
pub async fn names<'a>(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    overrides: impl Iterator<Item = &'a Override> + Clone,
    at: Instant,
) -> Result<Names, sqlx::Error> {
    let product_ids: BTreeSet<Uuid> = overrides
        .clone()
        .flat_map(|one| named_products(&one.targeting).into_values())
        .map(|id| id.0)
        .collect();
    let product_ids: Vec<Uuid> = product_ids.into_iter().collect();
    let mut names = Names::default();
    if !product_ids.is_empty() {
        let products = product::find_many(db, environment_id, &product_ids).await?;
        names.products = products
            .into_iter()
            .map(|product| (product.id, product.timeline().at(at).name.clone()))
            .collect();
    }
    let mut custom = BTreeSet::new();
    for one in overrides {
        let Some(OverrideKind::Overwrite(rate)) = &one.kind else { continue };
        let Some(id) = rate.credit_type_id else { continue };
        match CreditType::find_fiat(id) {
            Some(unit) => {
                names.units.insert(id, unit.clone());
            }
            None => {
                custom.insert(id.0);
            }
        }
    }
    if !custom.is_empty() {
        let custom: Vec<Uuid> = custom.into_iter().collect();
        let found = credit_type::find_many(db, environment_id, &custom).await?;
        names.units.extend(found.into_iter().map(|unit| (unit.id, unit.credit_type())));
    }
    Ok(names)
}
