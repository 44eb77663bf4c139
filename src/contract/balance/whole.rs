//! Loading what a view of commits and credits shows.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::payments::payments_of;
use super::rollover::{origins, origins_of};
use super::terms::{Balance, BalanceTerms};
use crate::catalog::product;
use crate::catalog::version::CatalogVersion;
use crate::contract::scheduled_charge::ScheduleItem;
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::id::{BalanceId, CustomerId, EnvironmentId, ProductId, ScheduleItemId};
use crate::time::Instant;

/// A commit or credit with everything that a view of it shows, but for what has to be reckoned.
#[derive(Clone, Debug)]
pub struct WholeBalance {
    pub balance: Balance,
    pub product_name: String,
    pub custom_fields: CustomFields,
    /// What became of the payments that are to be invoiced.
    pub payments: BTreeMap<ScheduleItemId, ScheduleItem>,
    /// The terms, as they are now, of what a renewal took it over from.
    pub origin_terms: Option<BalanceTerms>,
}

/// The type whose custom fields a balance carries.
#[must_use]
pub fn entity_of(balance: &Balance) -> ManagedEntity {
    if balance.is_credit() { ManagedEntity::ContractCredit } else { ManagedEntity::Commit }
}

/// Balances of one customer with everything that a view of them shows, in a fixed number of queries; fewer where the state of the
/// catalog that the transaction sees has a name.
pub async fn whole_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balances: Vec<Balance>,
    catalog: Option<CatalogVersion>,
    now: Instant,
) -> Result<Vec<WholeBalance>, sqlx::Error> {
    if balances.is_empty() {
        return Ok(Vec::new());
    }
    let mut product_ids: Vec<Uuid> = balances.iter().map(|balance| balance.terms.product_id.0).collect();
    product_ids.sort_unstable();
    product_ids.dedup();
    let products = product::find_known(db, environment_id, product_ids, catalog).await?;
    let names: BTreeMap<ProductId, String> =
        products.iter().map(|product| (product.id, product.timeline().at(now).name.clone())).collect();
    let objects = balances.iter().map(|balance| (entity_of(balance), balance.id.0)).collect();
    let state = catalog.map(|catalog| catalog.0);
    let mut fields = custom_field::of_all_in(db, environment_id, objects, state).await?;
    let paid = balances.iter().filter(|balance| balance.terms.payments.is_some());
    let paid: Vec<Uuid> = paid.map(|balance| balance.id.0).collect();
    let mut payments = match paid.as_slice() {
        [] => BTreeMap::new(),
        ids => payments_of(db, environment_id, customer_id, ids).await?,
    };
    let origins = terms_of_origins(db, environment_id, &balances).await?;
    let whole = balances.into_iter().map(|balance| WholeBalance {
        origin_terms: balance.origin.and_then(|origin| origins.get(&origin.balance_id).cloned()),
        product_name: names.get(&balance.terms.product_id).cloned().unwrap_or_default(),
        custom_fields: fields.remove(&(entity_of(&balance), balance.id.0)).unwrap_or_default(),
        payments: of_balance(&balance, &mut payments),
        balance,
    });
    Ok(whole.collect())
}

/// The terms, as they are now, of what renewals took balances over from.
async fn terms_of_origins(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: &[Balance],
) -> Result<BTreeMap<BalanceId, BalanceTerms>, sqlx::Error> {
    let ids: Vec<_> = origins_of(balances).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let origins = origins(db, environment_id, &ids, None).await?;
    Ok(origins.into_iter().map(|origin| (origin.id, origin.terms)).collect())
}

/// Takes the payments of one balance from those of all.
fn of_balance(
    balance: &Balance,
    payments: &mut BTreeMap<ScheduleItemId, ScheduleItem>,
) -> BTreeMap<ScheduleItemId, ScheduleItem> {
    let own = balance.terms.payments.iter().flat_map(|payments| &payments.items);
    own.filter_map(|payment| payments.remove_entry(&payment.id)).collect()
}
