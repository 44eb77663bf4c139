//! A new contract of its own terms, or of a package's (the operation is `invoice::create_contract`).

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{self, Copies};
use super::copy::{Copying, too_late};
use super::store;
use super::terms::{CardReference, WholePackage};
use crate::catalog::alias::{self, AliasHolderType};
use crate::contract::RateCardReference;
use crate::contract::create::{BesidePackage, ContractTerms, NewContract};
use crate::contract::renewal::TransitionInput;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId, Ids, PackageId};
use crate::time::{Instant, shown};

/// Whose contract it is, and the package that it comes from.
#[derive(Deserialize, JsonSchema)]
pub struct ContractParties {
    pub customer_id: CustomerId,
    /// The contract that it renews.
    pub transition: Option<TransitionInput>,
    /// The terms; beside it stand `starting_at`, `uniqueness_key`, `transition` and `custom_fields` alone.
    package_id: Option<PackageId>,
    /// The package that holds this alias at `starting_at`; or `package_id`.
    package_alias: Option<String>,
}

/// Which package a request names.
enum PackageReference {
    Id(PackageId),
    Alias(String),
}

impl ContractParties {
    fn package(self) -> Result<Option<PackageReference>, ApiError> {
        match (self.package_id, self.package_alias) {
            (Some(_), Some(_)) => {
                let reason = "give either package_id or package_alias, not both";
                Err(ApiError::field("package_alias", reason))
            }
            (Some(id), None) => Ok(Some(PackageReference::Id(id))),
            (None, alias) => Ok(alias.map(PackageReference::Alias)),
        }
    }
}

/// A new contract before anything that it names was looked at.
pub struct Planned(Terms);

enum Terms {
    Own(Box<NewContract>),
    OfPackage(ContractId, CustomerId, PackageReference, BesidePackage),
}

impl Planned {
    /// 400 for terms that make no sense by themselves, or that cannot stand beside a package.
    pub fn new(
        parties: ContractParties,
        terms: ContractTerms,
        id: ContractId,
        ids: &Ids,
        now: Instant,
    ) -> Result<Self, ApiError> {
        let customer_id = parties.customer_id;
        Ok(Self(match parties.package()? {
            None => Terms::Own(Box::new(terms.checked(id, customer_id, ids, now)?)),
            Some(reference) => Terms::OfPackage(id, customer_id, reference, terms.beside_a_package()?),
        }))
    }

    /// The contract with the terms of its package, which nobody archives until the transaction ends: 404 for an id or an alias
    /// that names none, 400 for one that is archived (both our decisions).
    pub async fn resolved(
        self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        ids: &Ids,
        now: Instant,
    ) -> Result<NewContract, ApiError> {
        match self.0 {
            Terms::Own(new) => Ok(*new),
            Terms::OfPackage(id, customer_id, reference, beside) => {
                let package = find(db, environment_id, reference, beside.starting_at).await?;
                contract_of(package, id, customer_id, beside, ids, now)
            }
        }
    }
}

/// The package, which nobody archives until the transaction ends: 404 for an id or an alias that names none, 400 for
/// one that is archived (both our decisions).
async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    reference: PackageReference,
    starting_at: Instant,
) -> Result<WholePackage, ApiError> {
    let package = match &reference {
        PackageReference::Id(id) => {
            let package = store::share(db, environment_id, *id).await?;
            package.ok_or_else(|| ApiError::not_found("package", id))?
        }
        PackageReference::Alias(name) => {
            let holder =
                alias::holder(db, environment_id, AliasHolderType::Package, name, starting_at).await?;
            let package = match holder {
                Some(id) => store::share(db, environment_id, PackageId(id)).await?,
                None => None,
            };
            package.filter(|package| package.archived_at.is_none()).ok_or_else(|| {
                let at = shown(starting_at);
                ApiError::NotFound(format!("package_alias: no package holds the alias `{name}` at {at}"))
            })?
        }
    };
    if package.archived_at.is_some() {
        return Err(ApiError::field("package_id", "the package is archived"));
    }
    let mut whole = store::whole(db, environment_id, vec![package]).await?;
    Ok(whole.pop().expect("one package in, one out"))
}

/// The terms of the package for this contract, taken over once.
fn contract_of(
    whole: WholePackage,
    id: ContractId,
    customer_id: CustomerId,
    beside: BesidePackage,
    ids: &Ids,
    now: Instant,
) -> Result<NewContract, ApiError> {
    let WholePackage { package, charges, balances, recurring, overrides, mut custom_fields } = whole;
    let starting_at = beside.starting_at;
    let term = calc::term(&package, starting_at).map_err(too_late)?;
    let ending_before = term.ending_before;
    let copying = Copying { customer_id, contract_id: id, starting_at, ending_before, ids, now };
    let mut fields_of = |id: Uuid| custom_fields.remove(&id).unwrap_or_default();
    let charge_fields = charges.iter().map(|charge| fields_of(charge.id.0)).collect();
    let charges = charges.into_iter().enumerate().map(|(index, charge)| copying.charge(index, charge));
    let charges = charges.collect::<Result<_, _>>()?;
    let mut copies = Copies::new();
    let balances = copying.balances(balances, fields_of, &mut copies)?;
    let recurring_grants = copying.recurring(recurring, &mut copies)?;
    let overrides = copying.overrides(overrides, &copies)?;
    Ok(NewContract {
        id,
        customer_id,
        package_id: Some(package.id),
        name: package.contract_name,
        rate_card: package.rate_card.map(|card| match card {
            CardReference::Id(id) => RateCardReference::Id(id),
            CardReference::Alias(alias) => RateCardReference::Alias(alias),
        }),
        starting_at,
        ending_before,
        schedule: term.schedule,
        invoice_generation_starting_at: term.invoice_generation_starting_at,
        net_payment_terms_days: package.net_payment_terms_days,
        total_contract_value: None,
        netsuite_sales_order_id: None,
        salesforce_opportunity_id: None,
        multiplier_override_prioritization: package.multiplier_override_prioritization,
        charges,
        charge_fields,
        scheduled_charges_on_usage_invoices: package.scheduled_charges_on_usage_invoices,
        usage_filter: None,
        overrides,
        balances,
        recurring_grants,
        uniqueness_key: beside.uniqueness_key,
        custom_fields: beside.custom_fields,
    })
}
