//! What an edit names.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::create::{contracts, contracts_of};
use super::named::targeted;
use super::payments::charge_of;
use super::terms::{Balance, BalanceTerms};
use crate::catalog::product::{self, ProductType};
use crate::error::ApiError;
use crate::id::{ContractId, EnvironmentId, ProductId};

/// Looks at the products and contracts that a commit or credit names and did not name before; they are kept from being
/// archived until the transaction ends. 400 for one that is not there, is archived or of the wrong type, and for payments that are
/// added or changed where the contract that bills them is archived since: nobody would.
pub async fn check_named(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    before: &Balance,
    after: &Balance,
) -> Result<(), ApiError> {
    check_products(db, environment_id, &before.terms, &after.terms).await?;
    let old: BTreeSet<ContractId> = contracts_of(&before.terms).map(|(_, id)| id).collect();
    let new: Vec<(String, ContractId)> =
        contracts_of(&after.terms).filter(|(_, id)| !old.contains(id)).collect();
    let asked = payments_asked(before, after);
    let billing = after.terms.invoice_contract_id.zip(asked);
    let billing_id = billing.map(|(id, _)| id);
    let ids: Vec<Uuid> = new.iter().map(|(_, id)| *id).chain(billing_id).map(|id| id.0).collect();
    let known = contracts(db, environment_id, after.customer_id, &ids).await?;
    for (field, id) in new {
        match known.get(&id) {
            None => return Err(ApiError::field(&field, format!("contract {id} was not found"))),
            Some(Some(_)) => return Err(ApiError::field(&field, "the contract is archived")),
            Some(None) => {}
        }
    }
    match billing {
        Some((id, field)) if matches!(known.get(&id), Some(Some(_))) => {
            let reason = format!(
                "contract {id}, which bills it, is archived; name another one as invoice_contract_id"
            );
            Err(ApiError::field(field, reason))
        }
        _ => Ok(()),
    }
}

/// The field that asks for payments to be invoiced that were not there before, or not like that.
fn payments_asked(before: &Balance, after: &Balance) -> Option<&'static str> {
    charge_of(after)?;
    let payments = |balance: &Balance| balance.terms.payments.clone().map_or_else(Vec::new, |all| all.items);
    let before = payments(before);
    let asked = payments(after).into_iter().find(|payment| !before.contains(payment))?;
    Some(if before.iter().any(|one| one.id == asked.id) {
        "invoice_schedule.update_schedule_items"
    } else {
        "invoice_schedule.add_schedule_items"
    })
}

async fn check_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    before: &BalanceTerms,
    after: &BalanceTerms,
) -> Result<(), ApiError> {
    let old: BTreeSet<ProductId> = targeted(&before.targeting).map(|(_, id)| id).collect();
    let targets: Vec<(String, ProductId)> =
        targeted(&after.targeting).filter(|(_, id)| !old.contains(id)).collect();
    let own = Some(after.product_id).filter(|id| *id != before.product_id);
    let ids: BTreeSet<Uuid> = targets.iter().map(|(_, id)| *id).chain(own).map(|id| id.0).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let products = product::share_many(db, environment_id, &ids).await?;
    let find = |field: &str, id: ProductId| {
        let product = products.iter().find(|product| product.id == id);
        product.ok_or_else(|| ApiError::field(field, format!("product {id} was not found")))
    };
    for (field, id) in targets {
        find(&field, id)?;
    }
    if let Some(id) = own {
        let product = find("product_id", id)?;
        if product.product_type != ProductType::Fixed {
            return Err(ApiError::field("product_id", "must be a FIXED product"));
        }
        if product.archived_at.is_some() {
            return Err(ApiError::field("product_id", "the product is archived"));
        }
    }
    Ok(())
}
