//! The products of scheduled charges over time.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::product::{self, ProductRow, Timeline};
use crate::contract::scheduled_charge::DueItem;
use crate::id::{EnvironmentId, ProductId};

/// The products of scheduled charges, with their updates.
pub struct FixedProducts(BTreeMap<ProductId, (ProductRow, Timeline)>);

impl FixedProducts {
    /// The items' products.
    pub async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        items: &[DueItem],
    ) -> Result<Self, sqlx::Error> {
        if items.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let products = product::find_many(db, environment_id, &ids(items)).await?;
        Ok(products.into_iter().collect())
    }

    /// The items' products, held until the transaction ends, for what is to be kept from a request: nobody numbers an
    /// update of them meanwhile, so the last one says which were seen. (A worker's snapshot is settled as it is.)
    pub async fn hold(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        items: &[DueItem],
    ) -> Result<Self, sqlx::Error> {
        let products = product::share_many(db, environment_id, &ids(items)).await?;
        Ok(products.into_iter().collect())
    }

    /// The last update of all.
    #[must_use]
    pub fn newest_update(&self) -> Option<i64> {
        let updates = self.0.values().flat_map(|(product, _)| &product.updates);
        updates.map(|update| update.added).max()
    }

    /// Without the updates that came after this one.
    #[must_use]
    pub fn up_to(self, last: Option<i64>) -> Self {
        let then = |(_, (mut product, _)): (ProductId, (ProductRow, Timeline))| {
            product.updates.retain(|update| Some(update.added) <= last);
            product
        };
        self.0.into_iter().map(then).collect()
    }

    /// The states of a product of one of the items.
    #[must_use]
    pub fn states(&self, id: ProductId) -> &Timeline {
        &self.0[&id].1
    }
}

impl FromIterator<ProductRow> for FixedProducts {
    fn from_iter<I: IntoIterator<Item = ProductRow>>(products: I) -> Self {
        let with_states = |product: ProductRow| {
            let states = product.timeline();
            (product.id, (product, states))
        };
        Self(products.into_iter().map(with_states).collect())
    }
}

fn ids(items: &[DueItem]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = items.iter().map(|item| item.product_id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
