//! How a package is shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use super::terms::{
    CardReference, ChargeTemplate, ItemTemplate, OverrideTemplate, Package, StatementTemplate, WholePackage,
};
use crate::catalog::alias::{self, Alias, AliasHolderType};
use crate::catalog::product;
use crate::contract::rate_override::{self, Names, RuleView, Specifier};
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, NoTerm, StatementDay};
use crate::custom_field::CustomFields;
use crate::id::{
    EnvironmentId, OverrideId, PackageId, ProductId, RateCardId, ScheduleItemId, ScheduledChargeId,
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
    commits: Vec<NoTerm>,
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OverrideTemplate")]
struct OverrideTemplateView {
    id: OverrideId,
    /// From the contract's start.
    starting_at_offset: RelativeDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<RelativeDate>,
    override_specifiers: Vec<Specifier>,
    #[serde(flatten)]
    rule: RuleView,
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
struct ProductName {
    id: ProductId,
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct RelativeSchedulePointInTime {
    credit_type: CreditType,
    schedule_items: Vec<RelativeScheduleItem>,
}

#[derive(Serialize, JsonSchema)]
struct RelativeScheduleItem {
    id: ScheduleItemId,
    unit_price: Number,
    quantity: Number,
    /// From the contract's start.
    date_offset: RelativeDate,
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

impl OverrideTemplateView {
    fn new(template: &OverrideTemplate, names: &Names) -> Self {
        Self {
            id: template.id,
            starting_at_offset: template.starting_at_offset,
            duration: template.duration,
            override_specifiers: rate_override::specifiers(&template.rule),
            rule: RuleView::new(&template.rule, names),
        }
    }
}

impl ChargeTemplateView {
    fn new(
        charge: ChargeTemplate,
        product_names: &BTreeMap<ProductId, String>,
        custom_fields: CustomFields,
    ) -> Self {
        Self {
            id: charge.id,
            product: ProductName {
                id: charge.product_id,
                name: product_names.get(&charge.product_id).cloned().unwrap_or_default(),
            },
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
    fn new(
        whole: WholePackage,
        aliases: Vec<Alias>,
        product_names: &BTreeMap<ProductId, String>,
        override_names: &Names,
    ) -> Self {
        let WholePackage { package, charges, mut charge_fields, overrides } = whole;
        let charge = |charge: ChargeTemplate| {
            let fields = charge_fields.remove(&charge.id.0).unwrap_or_default();
            ChargeTemplateView::new(charge, product_names, fields)
        };
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
            commits: Vec::new(),
            overrides: overrides.iter().map(|one| OverrideTemplateView::new(one, override_names)).collect(),
            multiplier_override_prioritization: package.multiplier_override_prioritization,
            scheduled_charges: charges.into_iter().map(charge).collect(),
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
    let charges = whole.iter().flat_map(|whole| &whole.charges);
    let product_ids: Vec<Uuid> = charges.map(|charge| charge.product_id.0).collect();
    let products = product::find_many(db, environment_id, &product_ids).await?;
    let names: BTreeMap<ProductId, String> =
        products.into_iter().map(|product| (product.id, product.timeline().at(now).name.clone())).collect();
    let rules = whole.iter().flat_map(|whole| &whole.overrides).map(|template| &template.rule);
    let override_names = rate_override::names(db, environment_id, rules, now).await?;
    let views = whole.into_iter().map(|whole| {
        let aliases = aliases.remove(&whole.package.id.0).unwrap_or_default();
        PackageView::new(whole, aliases, &names, &override_names)
    });
    Ok(views.collect())
}
