//! Keeping new commits and credits.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::input::NewBalance;
use super::payments::charge_of;
use super::store;
use super::terms::{Balance, BalanceTerms, TargetingOfBalance};
use super::whole::entity_of;
use crate::access::{Writer, reserve_uniqueness_key};
use crate::catalog::credit_type::{self, CustomUnit};
use crate::catalog::product::{self, ProductRow, ProductType};
use crate::contract::scheduled_charge;
use crate::custom_field;
use crate::error::ApiError;
use crate::id::{ContractId, CreditTypeId, CustomerId, EnvironmentId, ProductId};
use crate::time::Instant;

/// What every kind of balance calls its key: commits and credits share one space (schema
/// `UniquenessKeyForCommitsAndCredits`).
const UNIQUENESS_RESOURCE: &str = "balance";

/// Keeps new balances of one customer with their custom fields and the charges that pay for them. The caller holds the
/// customer, and makes due what is to be paid.
///
/// 404 for a product or a contract that is not there, 400 for one that is archived or of the wrong type and for an unknown
/// unit, 409 for a uniqueness key that was used before.
pub async fn create(
    db: &mut PgConnection,
    caller: &Writer,
    new: Vec<NewBalance>,
) -> Result<Vec<Balance>, ApiError> {
    let environment_id = caller.environment_id();
    let Some(customer_id) = new.first().map(|one| one.balance.customer_id) else {
        return Ok(Vec::new());
    };
    let named = Named::load(db, environment_id, customer_id, &new).await?;
    let mut made = Vec::with_capacity(new.len());
    for one in new {
        let NewBalance { path, mut balance, custom_unit_id, custom_fields, uniqueness_key } = one;
        let within = |error: ApiError| at(&path, error);
        named.check(&balance.terms).map_err(within)?;
        if let Some(id) = custom_unit_id {
            balance.unit = Some(named.custom_unit(id).map_err(within)?.credit_type());
        }
        balance.created_by = Some(caller.token_name.clone());
        if let Some(key) = &uniqueness_key {
            reserve_uniqueness_key(db, environment_id, UNIQUENESS_RESOURCE, key, balance.id.0).await?;
        }
        store::insert(db, environment_id, &balance).await?;
        scheduled_charge::insert(db, environment_id, customer_id, charge_of(&balance).as_slice()).await?;
        custom_field::set(db, environment_id, entity_of(&balance), balance.id.0, &custom_fields)
            .await
            .map_err(within)?;
        made.push(balance);
    }
    Ok(made)
}

/// The mistake with the place of its balance in the request; what is not found is said by its field, too.
fn at(path: &str, error: ApiError) -> ApiError {
    match error {
        error if path.is_empty() => error,
        ApiError::NotFound(message) => ApiError::NotFound(format!("{path}.{message}")),
        error => error.within(path),
    }
}

/// What balances name, kept from being archived until the transaction ends.
struct Named {
    products: BTreeMap<ProductId, ProductRow>,
    units: BTreeMap<CreditTypeId, CustomUnit>,
    /// When each contract of the customer was archived.
    contracts: BTreeMap<ContractId, Option<Instant>>,
}

impl Named {
    async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        new: &[NewBalance],
    ) -> Result<Self, sqlx::Error> {
        let terms = || new.iter().map(|one| &one.balance.terms);
        let product_ids: BTreeSet<Uuid> = terms()
            .flat_map(|terms| {
                std::iter::once(terms.product_id).chain(targeted(&terms.targeting).map(|(_, id)| id))
            })
            .map(|id| id.0)
            .collect();
        let product_ids: Vec<Uuid> = product_ids.into_iter().collect();
        let products = product::share_many(db, environment_id, &product_ids).await?;
        let mut unit_ids: Vec<Uuid> =
            new.iter().filter_map(|one| one.custom_unit_id).map(|id| id.0).collect();
        unit_ids.sort_unstable();
        unit_ids.dedup();
        let units = match unit_ids.as_slice() {
            [] => Vec::new(),
            ids => credit_type::share_many(db, environment_id, ids).await?,
        };
        let contract_ids: Vec<Uuid> = terms()
            .flat_map(|terms| terms.applicable_contract_ids.iter().chain(&terms.invoice_contract_id))
            .map(|id| id.0)
            .collect();
        Ok(Self {
            products: products.into_iter().map(|product| (product.id, product)).collect(),
            units: units.into_iter().map(|unit| (unit.id, unit)).collect(),
            contracts: contracts(db, environment_id, customer_id, &contract_ids).await?,
        })
    }

    fn check(&self, terms: &BalanceTerms) -> Result<(), ApiError> {
        let id = terms.product_id;
        let product = self.products.get(&id);
        let product =
            product.ok_or_else(|| ApiError::NotFound(format!("product_id: product {id} was not found")))?;
        if product.product_type != ProductType::Fixed {
            let reason = "must be a FIXED product, which names the commit or credit on invoices; what it pays for is \
                          said by applicable_product_ids, applicable_product_tags or specifiers";
            return Err(ApiError::field("product_id", reason));
        }
        if product.archived_at.is_some() {
            return Err(ApiError::field("product_id", "the product is archived"));
        }
        for (field, id) in targeted(&terms.targeting) {
            if !self.products.contains_key(&id) {
                return Err(ApiError::NotFound(format!("{field}: product {id} was not found")));
            }
        }
        let applicable = terms.applicable_contract_ids.iter().enumerate();
        let applicable = applicable.map(|(index, id)| (format!("applicable_contract_ids[{index}]"), *id));
        let invoiced = terms.invoice_contract_id.map(|id| ("invoice_contract_id".to_owned(), id));
        for (field, id) in applicable.chain(invoiced) {
            match self.contracts.get(&id) {
                None => return Err(ApiError::NotFound(format!("{field}: contract {id} was not found"))),
                Some(Some(_)) => return Err(ApiError::field(&field, "the contract is archived")),
                Some(None) => {}
            }
        }
        Ok(())
    }

    fn custom_unit(&self, id: CreditTypeId) -> Result<&CustomUnit, ApiError> {
        let field = "access_schedule.credit_type_id";
        match self.units.get(&id) {
            None => Err(ApiError::field(field, format!("no pricing unit has the id {id}"))),
            Some(unit) if unit.archived_at.is_some() => {
                Err(ApiError::field(field, "the pricing unit is archived"))
            }
            Some(unit) => Ok(unit),
        }
    }
}

/// The products that a balance pays for, each with the field that names it.
pub(super) fn targeted(targeting: &TargetingOfBalance) -> impl Iterator<Item = (String, ProductId)> {
    let listed = targeting.product_ids.iter().enumerate();
    let listed = listed.map(|(index, id)| (format!("applicable_product_ids[{index}]"), *id));
    let specifiers = targeting.specifiers.iter().enumerate();
    let specified = specifiers.filter_map(|(index, specifier)| {
        Some((format!("specifiers[{index}].product_id"), specifier.product_id?))
    });
    listed.chain(specified)
}

/// When each of the contracts was archived that the customer has.
pub(super) async fn contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<ContractId, Option<Instant>>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT id AS "id: ContractId", archived_at FROM contract
           WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)"#,
        environment_id.0,
        customer_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.archived_at)).collect())
}
