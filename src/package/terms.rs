use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::balance::{BalanceType, CommonTerms, Named};
use crate::contract::rate_override::Override;
use crate::contract::recurring_grant::{GrantKind, GrantTerms};
use crate::contract::scheduled_charge::ItemPrice;
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, StatementDay};
use crate::custom_field::{CustomFields, ManagedEntity};
use crate::id::{
    BalanceId, CreditTypeId, OverrideId, PackageId, ProductId, RateCardId, RecurringGrantId, ScheduleItemId,
    ScheduledChargeId, SegmentId,
};
use crate::money::{CreditType, Decimal, Number};
use crate::time::{Instant, RelativeDate, StatementFrequency};
use crate::wire::PageRow;

/// A package without its scheduled charges, commits, credits and overrides.
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

/// A commit or a credit of a package's contracts.
#[derive(Clone, Debug)]
pub struct BalanceTemplate {
    pub id: BalanceId,
    pub balance_type: BalanceType,
    pub terms: BalanceTemplateTerms,
}

/// What it grants and what is paid for it. It is kept as it is written here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BalanceTemplateTerms {
    pub common: CommonTerms,
    /// The unit of the amounts; unset for quantities.
    pub unit_id: Option<CreditTypeId>,
    /// In the order in which they were given; at least one.
    pub segments: Vec<SegmentTemplate>,
    /// Unset: it is given away.
    pub payments: Option<PaymentsTemplate>,
}

/// A time in which it may be drawn, and how much of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SegmentTemplate {
    pub id: SegmentId,
    pub amount: Number,
    /// From the contract's start.
    pub starting_at_offset: RelativeDate,
    /// From there.
    pub duration: RelativeDate,
}

/// What is paid for a commit; for POSTPAID when the true-up falls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaymentsTemplate {
    pub credit_type: CreditType,
    /// The amounts are recorded, and no invoice is made.
    pub do_not_invoice: bool,
    /// In the order in which they were given; at least one.
    pub items: Vec<PaymentTemplate>,
}

/// One payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaymentTemplate {
    pub id: ScheduleItemId,
    /// From the contract's start.
    pub date_offset: RelativeDate,
    pub unit_price: Number,
    pub quantity: Number,
}

/// A recurring commit or credit of a package's contracts.
#[derive(Clone, Debug)]
pub struct RecurringTemplate {
    pub package_id: PackageId,
    pub id: RecurringGrantId,
    pub kind: GrantKind,
    /// The unit of what is granted; unset for quantities.
    pub unit_id: Option<CreditTypeId>,
    /// From the contract's start.
    pub starting_at_offset: RelativeDate,
    /// From there; as long as the contract when unset.
    pub duration: Option<RelativeDate>,
    /// What it grants. Its dates are those of the package's making; a contract puts its own in their place.
    pub terms: GrantTerms,
}

/// A package with everything that its contracts come from.
#[derive(Clone, Debug)]
pub struct WholePackage {
    pub package: Package,
    pub charges: Vec<ChargeTemplate>,
    /// First the commits.
    pub balances: Vec<BalanceTemplate>,
    /// First the commits.
    pub recurring: Vec<RecurringTemplate>,
    pub overrides: Vec<OverrideTemplate>,
    /// Of its charges, commits and credits, by their ids.
    pub custom_fields: BTreeMap<Uuid, CustomFields>,
}

impl BalanceTemplate {
    /// The products and the custom unit that it names.
    #[must_use]
    pub fn named(&self) -> Named<'_> {
        let common = &self.terms.common;
        Named {
            product_id: common.product_id,
            targeting: &common.targeting,
            custom_unit_id: self.terms.unit_id.filter(|id| CreditType::find_fiat(*id).is_none()),
        }
    }

    #[must_use]
    pub fn is_credit(&self) -> bool {
        self.balance_type == BalanceType::Credit
    }

    /// The type whose custom fields it carries.
    #[must_use]
    pub fn entity(&self) -> ManagedEntity {
        if self.is_credit() { ManagedEntity::PackageCredit } else { ManagedEntity::PackageCommit }
    }
}

impl PaymentTemplate {
    /// `unit_price × quantity`, exact.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        (&self.unit_price.0 * &self.quantity.0).normalized()
    }
}

impl PageRow for Package {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}
