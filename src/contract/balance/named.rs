//! The products and units that commits and credits name, of contracts, of customers and of packages.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::grant::NewBalance;
use super::terms::TargetingOfBalance;
use crate::catalog::credit_type::{self, CustomUnit};
use crate::catalog::product::{self, ProductRow, ProductType};
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, ProductId};
use crate::money::CreditType;

/// What one commit or credit names.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    pub product_id: ProductId,
    pub targeting: &'a TargetingOfBalance,
    /// Unset where it is of a currency, or of quantities.
    pub custom_unit_id: Option<CreditTypeId>,
}

impl<'a> Named<'a> {
    /// What a new one names.
    #[must_use]
    pub fn of(new: &'a NewBalance) -> Self {
        let terms = &new.balance.terms;
        Self { product_id: terms.product_id, targeting: &terms.targeting, custom_unit_id: new.custom_unit_id }
    }
}

/// What was found of it, kept from being archived until the transaction ends.
pub struct Found {
    products: BTreeMap<ProductId, ProductRow>,
    units: BTreeMap<CreditTypeId, CustomUnit>,
}

impl Found {
    pub async fn load<'a>(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        named: impl Iterator<Item = Named<'a>>,
    ) -> Result<Self, sqlx::Error> {
        let (mut product_ids, mut unit_ids) = (BTreeSet::new(), BTreeSet::new());
        for one in named {
            product_ids.insert(one.product_id.0);
            product_ids.extend(targeted(one.targeting).map(|(_, id)| id.0));
            unit_ids.extend(one.custom_unit_id.map(|id| id.0));
        }
        let product_ids: Vec<Uuid> = product_ids.into_iter().collect();
        let products = product::share_many(db, environment_id, &product_ids).await?;
        let unit_ids: Vec<Uuid> = unit_ids.into_iter().collect();
        let units = match unit_ids.as_slice() {
            [] => Vec::new(),
            ids => credit_type::share_many(db, environment_id, ids).await?,
        };
        Ok(Self {
            products: products.into_iter().map(|product| (product.id, product)).collect(),
            units: units.into_iter().map(|unit| (unit.id, unit)).collect(),
        })
    }

    /// 404 for a product that is not there, 400 for one that is archived or not FIXED and for a unit that is not there or
    /// archived; what it pays for must be there, no more. Answers the custom unit that it names.
    pub fn check(&self, named: Named<'_>) -> Result<Option<CreditType>, ApiError> {
        let id = named.product_id;
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
        for (field, id) in targeted(named.targeting) {
            if !self.products.contains_key(&id) {
                return Err(ApiError::NotFound(format!("{field}: product {id} was not found")));
            }
        }
        named.custom_unit_id.map(|id| self.custom_unit(id)).transpose()
    }

    fn custom_unit(&self, id: CreditTypeId) -> Result<CreditType, ApiError> {
        let field = "access_schedule.credit_type_id";
        match self.units.get(&id) {
            None => Err(ApiError::field(field, format!("no pricing unit has the id {id}"))),
            Some(unit) if unit.archived_at.is_some() => {
                Err(ApiError::field(field, "the pricing unit is archived"))
            }
            Some(unit) => Ok(unit.credit_type()),
        }
    }
}

/// The mistake with the place of its balance in the request; what is not found is said by its field, too.
#[must_use]
pub fn at(path: &str, error: ApiError) -> ApiError {
    match error {
        error if path.is_empty() => error,
        ApiError::NotFound(message) => ApiError::NotFound(format!("{path}.{message}")),
        error => error.within(path),
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
