use std::collections::BTreeMap;

use uuid::Uuid;

use crate::contract::rate_override::Override;
use crate::contract::scheduled_charge::ItemPrice;
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, StatementDay};
use crate::custom_field::CustomFields;
use crate::id::{OverrideId, PackageId, ProductId, RateCardId, ScheduleItemId, ScheduledChargeId};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, RelativeDate, StatementFrequency};
use crate::wire::PageRow;

/// A package without its scheduled charges and overrides.
#[derive(Clone, Debug)]
pub struct Package {
    pub id: PackageId,
    pub name: String,
    /// The name of its contracts.
    pub contract_name: Option<String>,
    pub rate_card: Option<CardReference>,
    /// How long its contracts last; unset, they are open-ended.
    pub duration: Option<RelativeDate>,
    pub net_payment_terms_days: Option<Decimal>,
    pub statements: StatementTemplate,
    pub scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    pub multiplier_override_prioritization: MultiplierPrioritization,
    pub uniqueness_key: Option<String>,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
}

/// The rate card of a package's contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardReference {
    Id(RateCardId),
    /// Whichever card holds it as a contract starts.
    Alias(String),
}

/// The statement calendar of a package's contracts.
#[derive(Clone, Copy, Debug)]
pub struct StatementTemplate {
    pub frequency: StatementFrequency,
    pub day: StatementDay,
    /// No usage statements for what lies before.
    pub invoice_generation_offset: Option<RelativeDate>,
}

/// A scheduled charge of a package's contracts.
#[derive(Clone, Debug)]
pub struct ChargeTemplate {
    pub package_id: PackageId,
    pub id: ScheduledChargeId,
    pub product_id: ProductId,
    pub name: Option<String>,
    /// The currency of its amounts.
    pub unit: CreditType,
    /// In the order in which they were given.
    pub items: Vec<ItemTemplate>,
}

/// One payment of a charge.
#[derive(Clone, Debug)]
pub struct ItemTemplate {
    pub id: ScheduleItemId,
    pub date_offset: RelativeDate,
    pub price: ItemPrice,
}

/// An override of a package's contracts.
#[derive(Clone, Debug)]
pub struct OverrideTemplate {
    pub package_id: PackageId,
    pub id: OverrideId,
    /// From the contract's start.
    pub starting_at_offset: RelativeDate,
    /// From there; for ever when unset.
    pub duration: Option<RelativeDate>,
    /// What it does and to what. Its dates are those of the package's making; a contract puts its own in their place.
    pub rule: Override,
}

/// A package with everything that its contracts come from.
#[derive(Clone, Debug)]
pub struct WholePackage {
    pub package: Package,
    pub charges: Vec<ChargeTemplate>,
    pub charge_fields: BTreeMap<Uuid, CustomFields>,
    pub overrides: Vec<OverrideTemplate>,
}

impl PageRow for Package {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}
