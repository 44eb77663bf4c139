//! Loading what a view of contracts shows.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::balance::{BalancesOfContract, Cap};
use super::rate_override::{self, Names};
use super::recurring_grant::{self, RecurringGrant};
use super::renewal::{self, Transition};
use super::scheduled_charge::{ScheduledCharge, of_contracts, product_names};
use super::store;
use super::terms::Contract;
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::id::{CustomerId, EnvironmentId, ProductId};
use crate::time::Instant;

/// A contract with everything that a view of it shows.
#[derive(Clone, Debug)]
pub struct WholeContract {
    pub contract: Contract,
    pub charges: Vec<ScheduledCharge>,
    /// Of charges and recurring grants.
    pub product_names: BTreeMap<ProductId, String>,
    pub grants: Vec<RecurringGrant>,
    pub override_names: Names,
    pub custom_fields: CustomFields,
    pub charge_fields: BTreeMap<Uuid, CustomFields>,
    /// The renewals that it is a side of.
    pub transitions: Vec<Transition>,
    /// Its commits and credits.
    pub balances: BalancesOfContract,
    /// When it is shown.
    pub now: Instant,
}

/// The contracts of one customer with everything that a view of them shows, in a fixed number of queries.
pub async fn whole(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: Vec<Contract>,
    cap: Cap,
    now: Instant,
) -> Result<Vec<WholeContract>, sqlx::Error> {
    let ids: Vec<Uuid> = contracts.iter().map(|contract| contract.id.0).collect();
    let mut charges = of_contracts(db, environment_id, customer_id, &ids).await?;
    let mut grants = recurring_grant::of_contracts(db, environment_id, customer_id, &ids).await?;
    let product_ids = charges.values().flatten().map(|charge| charge.product_id);
    let product_ids = product_ids.chain(grants.values().flatten().map(|grant| grant.terms.product_id));
    let names = product_names(db, environment_id, product_ids, now).await?;
    let overrides = contracts.iter().flat_map(|contract| &contract.overrides);
    let override_names = rate_override::names(db, environment_id, overrides, now).await?;
    let charge_ids: Vec<Uuid> = charges.values().flatten().map(|charge| charge.id.0).collect();
    let charge_fields =
        custom_field::of_many(db, environment_id, ManagedEntity::ScheduledCharge, &charge_ids).await?;
    let mut fields = custom_field::of_many(db, environment_id, ManagedEntity::Contract, &ids).await?;
    let mut balances = BalancesOfContract::load(db, environment_id, &contracts, cap, now).await?;
    let mut transitions = renewal::of_contracts(db, environment_id, customer_id, &ids).await?;
    let whole = contracts.into_iter().map(|contract| WholeContract {
        charges: charges.remove(&contract.id).unwrap_or_default(),
        product_names: names.clone(),
        grants: grants.remove(&contract.id).unwrap_or_default(),
        override_names: override_names.clone(),
        custom_fields: fields.remove(&contract.id.0).unwrap_or_default(),
        charge_fields: charge_fields.clone(),
        transitions: transitions.remove(&contract.id).unwrap_or_default(),
        balances: balances.remove(&contract.id).unwrap_or_default(),
        now,
        contract,
    });
    Ok(whole.collect())
}

/// What was known of a contract at an instant that is not before its creation. An edit at the instant itself was known.
pub async fn as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut whole: WholeContract,
    at: Instant,
) -> Result<WholeContract, sqlx::Error> {
    let contract = &mut whole.contract;
    contract.ending_before = store::ending_before_as_of(db, environment_id, contract, at).await?;
    contract.usage_filters = contract.usage_filters.as_of(at);
    contract.overrides.retain(|one| one.created_at <= at);
    contract.archived_at = contract.archived_at.filter(|archived_at| *archived_at <= at);
    whole.balances.go_back_to(db, environment_id, contract.customer_id, at).await?;
    whole.charges.retain(|charge| charge.created_at <= at);
    whole.transitions.retain(|transition| transition.made_at <= at);
    whole.grants.retain(|grant| grant.created_at <= at);
    for item in whole.charges.iter_mut().flat_map(|charge| &mut charge.items) {
        item.removed_at = item.removed_at.filter(|removed_at| *removed_at <= at);
        item.invoiced_at = item.invoiced_at.filter(|invoiced_at| *invoiced_at <= at);
        item.invoice_id = item.invoice_id.filter(|_| item.invoiced_at.is_some());
    }
    Ok(whole)
}
