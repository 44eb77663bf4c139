//! How a package is shown.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::balance_view::{self, CommitTemplateView, CreditTemplateView};
use super::override_view::OverrideTemplateView;
use super::recurring_view::{self, RecurringCommitTemplateView, RecurringCreditTemplateView};
use super::store;
use super::terms::{CardReference, ChargeTemplate, ItemTemplate, Package, StatementTemplate, WholePackage};
use crate::catalog::alias::{self, Alias, AliasHolderType};
use crate::catalog::credit_type;
use crate::catalog::product::{self, ProductRow};
use crate::contract::rate_override::{self, Names};
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, StatementDay};
use crate::custom_field::CustomFields;
use crate::id::{
    CreditTypeId, EnvironmentId, PackageId, ProductId, RateCardId, ScheduleItemId, ScheduledChargeId,
};
use crate::money::{CreditType, Number};
use crate::time::{Instant, RelativeDate, StatementFrequency};

/// A package (schema `Package`). The alias by which it names its rate card is not shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Package")]
pub struct PackageView {
    id: PackageId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniqueness_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_card_id: Option<RateCardId>,
    aliases: Vec<Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<RelativeDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_payment_terms_days: Option<Number>,
    usage_statement_schedule: StatementTemplateView,
    commits: Vec<CommitTemplateView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credits: Vec<CreditTemplateView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recurring_commits: Vec<RecurringCommitTemplateView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recurring_credits: Vec<RecurringCreditTemplateView>,
    overrides: Vec<OverrideTemplateView>,
    multiplier_override_prioritization: MultiplierPrioritization,
    scheduled_charges: Vec<ChargeTemplateView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    created_at: Instant,
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

/// The offset from which on invoices are made is not shown (schema `UsageStatementScheduleTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UsageStatementScheduleTemplate")]
struct StatementTemplateView {
    frequency: StatementFrequency,
    day: StatementDay,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduledChargeTemplate")]
struct ChargeTemplateView {
    id: ScheduledChargeId,
    product: ProductName,
    schedule: RelativeSchedulePointInTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    custom_fields: CustomFields,
}

#[derive(Serialize, JsonSchema)]
pub struct ProductName {
    id: ProductId,
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct RelativeSchedulePointInTime {
    credit_type: CreditType,
    schedule_items: Vec<RelativeScheduleItem>,
}

#[derive(Serialize, JsonSchema)]
pub struct RelativeScheduleItem {
    pub id: ScheduleItemId,
    pub unit_price: Number,
    pub quantity: Number,
    /// From the contract's start.
    pub date_offset: RelativeDate,
}

/// The names that packages are shown with.
pub struct Shown {
    pub product_names: BTreeMap<ProductId, String>,
    custom_units: BTreeMap<CreditTypeId, CreditType>,
    overrides: Names,
}

impl From<StatementTemplate> for StatementTemplateView {
    fn from(statements: StatementTemplate) -> Self {
        Self { frequency: statements.frequency, day: statements.day }
    }
}

impl From<ItemTemplate> for RelativeScheduleItem {
    fn from(item: ItemTemplate) -> Self {
        Self {
            id: item.id,
            unit_price: Number(item.price.unit_price),
            quantity: Number(item.price.quantity),
            date_offset: item.date_offset,
        }
    }
}

impl Shown {
    /// The names as they are at `now`, in a fixed number of queries.
    async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        packages: &[WholePackage],
        now: Instant,
    ) -> Result<Self, sqlx::Error> {
        let product_ids: BTreeSet<Uuid> = packages.iter().flat_map(products_of).map(|id| id.0).collect();
        let product_ids: Vec<Uuid> = product_ids.into_iter().collect();
        let products = product::find_many(db, environment_id, &product_ids).await?;
        let balances = packages.iter().flat_map(|whole| &whole.balances);
        let unit_ids: BTreeSet<Uuid> =
            balances.filter_map(|template| template.named().custom_unit_id).map(|id| id.0).collect();
        let unit_ids: Vec<Uuid> = unit_ids.into_iter().collect();
        let units = match unit_ids.as_slice() {
            [] => Vec::new(),
            ids => credit_type::find_many(db, environment_id, ids).await?,
        };
        let rules = packages.iter().flat_map(|whole| &whole.overrides).map(|template| &template.rule);
        let name = |product: ProductRow| (product.id, product.timeline().at(now).name.clone());
        Ok(Self {
            product_names: products.into_iter().map(name).collect(),
            custom_units: units.into_iter().map(|unit| (unit.id, unit.credit_type())).collect(),
            overrides: rate_override::names(db, environment_id, rules, now).await?,
        })
    }

    pub fn product(&self, id: ProductId) -> ProductName {
        ProductName { id, name: self.product_names.get(&id).cloned().unwrap_or_default() }
    }

    /// A unit in which something is granted.
    pub fn unit(&self, id: CreditTypeId) -> CreditType {
        let unit = CreditType::find_fiat(id).or_else(|| self.custom_units.get(&id));
        unit.expect("units are never removed, and a package is made with those that are there").clone()
    }
}

/// The products that a package names itself; its overrides name theirs.
fn products_of(whole: &WholePackage) -> impl Iterator<Item = ProductId> {
    let charges = whole.charges.iter().map(|charge| charge.product_id);
    let balances = whole.balances.iter().map(|template| template.terms.common.product_id);
    let recurring = whole.recurring.iter().map(|template| template.terms.product_id);
    charges.chain(balances).chain(recurring)
}

impl ChargeTemplateView {
    fn new(charge: ChargeTemplate, shown: &Shown, custom_fields: CustomFields) -> Self {
        Self {
            id: charge.id,
            product: shown.product(charge.product_id),
            schedule: RelativeSchedulePointInTime {
                credit_type: charge.unit,
                schedule_items: charge.items.into_iter().map(Into::into).collect(),
            },
            name: charge.name,
            custom_fields,
        }
    }
}

impl PackageView {
    fn new(whole: WholePackage, aliases: Vec<Alias>, shown: &Shown) -> Self {
        let WholePackage { package, charges, balances, recurring, overrides, mut custom_fields } = whole;
        let charge = |charge: ChargeTemplate| {
            let fields = custom_fields.remove(&charge.id.0).unwrap_or_default();
            ChargeTemplateView::new(charge, shown, fields)
        };
        let scheduled_charges = charges.into_iter().map(charge).collect();
        let (commits, credits) = balance_view::balances(balances, shown, custom_fields);
        let (recurring_commits, recurring_credits) = recurring_view::recurring(&recurring, shown);
        Self {
            id: package.id,
            name: package.name,
            contract_name: package.contract_name,
            uniqueness_key: package.uniqueness_key,
            rate_card_id: match package.rate_card {
                Some(CardReference::Id(id)) => Some(id),
                Some(CardReference::Alias(_)) | None => None,
            },
            aliases,
            duration: package.duration,
            net_payment_terms_days: package.net_payment_terms_days.map(Number),
            usage_statement_schedule: package.statements.into(),
            commits,
            credits,
            recurring_commits,
            recurring_credits,
            overrides: overrides
                .iter()
                .map(|template| OverrideTemplateView::new(template, &shown.overrides))
                .collect(),
            multiplier_override_prioritization: package.multiplier_override_prioritization,
            scheduled_charges,
            scheduled_charges_on_usage_invoices: package.scheduled_charges_on_usage_invoices,
            created_at: package.created_at,
            created_by: package.created_by,
            archived_at: package.archived_at,
        }
    }
}

/// The packages as they stand at `now`, in the order given.
pub async fn packages(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    packages: Vec<Package>,
    now: Instant,
) -> Result<Vec<PackageView>, sqlx::Error> {
    let ids: Vec<Uuid> = packages.iter().map(|package| package.id.0).collect();
    let mut aliases = alias::of_many(db, environment_id, AliasHolderType::Package, &ids).await?;
    let whole = store::whole(db, environment_id, packages).await?;
    let shown = Shown::load(db, environment_id, &whole, now).await?;
    let views = whole.into_iter().map(|whole| {
        let aliases = aliases.remove(&whole.package.id.0).unwrap_or_default();
        PackageView::new(whole, aliases, &shown)
    });
    Ok(views.collect())
}
