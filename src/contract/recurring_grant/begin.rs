//! Giving a contract the recurring grants that it is made with.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::Calendar;
use super::grow::{AT_ONCE, grow};
use super::input::PlannedGrant;
use super::store;
use super::terms::RecurringGrant;
use crate::access::Writer;
use crate::catalog::credit_type;
use crate::catalog::product::{self, ProductRow, ProductType};
use crate::contract::Contract;
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, ProductId};
use crate::money::CreditType;
use crate::time::Instant;

/// What grants name, found.
#[derive(Default)]
pub struct Named {
    pub product_names: BTreeMap<ProductId, String>,
    units: BTreeMap<CreditTypeId, CreditType>,
}

/// The products and units that grants name, kept from being archived until the transaction ends: 404 where there is none,
/// 400 for one that is archived or a product that is not FIXED; what a grant pays for must be there, no more.
pub async fn share_named(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grants: &[PlannedGrant],
    now: Instant,
) -> Result<Named, ApiError> {
    let mut named = Named::default();
    if grants.is_empty() {
        return Ok(named);
    }
    let ids: Vec<Uuid> = grants.iter().flat_map(product_ids).map(|(_, id)| id.0).collect();
    let products = product::share_many(db, environment_id, &ids).await?;
    let products: BTreeMap<ProductId, ProductRow> =
        products.into_iter().map(|product| (product.id, product)).collect();
    let custom = grants.iter().filter_map(|grant| grant.unit_id);
    let custom: Vec<Uuid> = custom.filter(|id| CreditType::find_fiat(*id).is_none()).map(|id| id.0).collect();
    let custom = credit_type::share_many(db, environment_id, &custom).await?;
    for grant in grants {
        let refused = |field: &str, reason: &str| ApiError::field(&format!("{}.{field}", grant.path), reason);
        for (field, id) in product_ids(grant) {
            let found = products.get(&id);
            found.ok_or_else(|| {
                ApiError::NotFound(format!("{}.{field}: product {id} was not found", grant.path))
            })?;
        }
        let product = &products[&grant.terms.product_id];
        if product.product_type != ProductType::Fixed {
            return Err(refused("product_id", "a commit or credit is of a FIXED product"));
        }
        if product.archived_at.is_some() {
            return Err(refused("product_id", "the product is archived"));
        }
        named.product_names.insert(product.id, product.timeline().at(now).name.clone());
        let Some(unit_id) = grant.unit_id else { continue };
        let field = "access_amount.credit_type_id";
        let unit = match CreditType::find_fiat(unit_id) {
            Some(unit) => unit.clone(),
            None => match custom.iter().find(|unit| unit.id == unit_id) {
                None => {
                    let reason = format!("no pricing unit has the id {unit_id}");
                    return Err(refused(field, &reason));
                }
                Some(unit) if unit.archived_at.is_some() => {
                    return Err(refused(field, "the pricing unit is archived"));
                }
                Some(unit) => unit.credit_type(),
            },
        };
        named.units.insert(unit.id, unit);
    }
    Ok(named)
}

/// Every product that a grant names, with its place in the grant.
fn product_ids(grant: &PlannedGrant) -> impl Iterator<Item = (String, ProductId)> {
    let targeting = &grant.terms.targeting;
    let listed = targeting.product_ids.iter().enumerate();
    let listed = listed.map(|(index, id)| (format!("applicable_product_ids[{index}]"), *id));
    let specified = targeting.specifiers.iter().enumerate().filter_map(|(index, specifier)| {
        Some((format!("specifiers[{index}].product_id"), specifier.product_id?))
    });
    std::iter::once(("product_id".to_owned(), grant.terms.product_id)).chain(listed).chain(specified)
}

/// Keeps the grants of a new contract and makes what they have made by now, but no more than [`AT_ONCE`]: the rest is due
/// work. The caller holds the customer.
pub async fn begin(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    planned: Vec<PlannedGrant>,
    named: &Named,
    caller: &Writer,
) -> Result<Vec<RecurringGrant>, sqlx::Error> {
    let mut grants = Vec::with_capacity(planned.len());
    for PlannedGrant { id, kind, unit_id, terms, .. } in planned {
        let mut grant = RecurringGrant {
            customer_id: contract.customer_id,
            contract_id: contract.id,
            id,
            kind,
            unit: unit_id.map(|id| named.units[&id].clone()),
            created_at: caller.now,
            created_by: caller.token_name.clone(),
            granted_until: terms.starting_at,
            terms,
        };
        grant.granted_until = Calendar::of(&grant, contract).start;
        store::insert(db, environment_id, &grant).await?;
        grants.push(grant);
    }
    if !grants.is_empty() {
        grow(db, environment_id, contract, caller.now, AT_ONCE).await?;
    }
    Ok(grants)
}
