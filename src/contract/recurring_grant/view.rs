//! How recurring commits and credits are shown inside their contract (schemas `RecurringCommit` and `RecurringCredit`, the
//! same in v1 and v2).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::calc::Calendar;
use super::terms::{GrantKind, GrantTerms, Proration, RecurringGrant};
use crate::casing::wire_enum;
use crate::contract::Contract;
use crate::contract::balance::{AccessType, CommitRateType, SpecifierOfBalance};
use crate::id::{ContractId, CreditTypeId, ProductId, RecurringGrantId};
use crate::money::{Number, ProrationRounding};
use crate::time::{CycleFrequency, Instant};

wire_enum! {
    /// What the length of access is counted in.
    pub enum DurationUnit {
        Periods = "PERIODS",
    }
}

/// A recurring commit.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "RecurringCommit")]
pub struct RecurringCommitView {
    #[serde(flatten)]
    dated: DatedView,
    #[serde(flatten)]
    rule: CommitRule,
}

/// A recurring credit.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "RecurringCredit")]
pub struct RecurringCreditView {
    #[serde(flatten)]
    dated: DatedView,
    #[serde(flatten)]
    rule: CreditRule,
}

/// Whose it is, and when it grants.
#[derive(Clone, Serialize, JsonSchema)]
struct DatedView {
    id: RecurringGrantId,
    contract: ContractReference,
    starting_at: Instant,
    /// The instant from which its periods are counted.
    anchor_date: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
}

/// What a recurring commit grants, without when, wherever one is shown.
#[derive(Clone, Serialize, JsonSchema)]
pub struct CommitRule {
    #[serde(flatten)]
    common: RuleView,
    /// What one full period costs; missing where it is given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_amount: Option<InvoiceAmountView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proration_rounding: Option<CommitRounding>,
}

/// What a recurring credit grants, without when, wherever one is shown.
#[derive(Clone, Serialize, JsonSchema)]
pub struct CreditRule {
    #[serde(flatten)]
    common: RuleView,
    #[serde(skip_serializing_if = "Option::is_none")]
    proration_rounding: Option<CreditRounding>,
}

/// What both are shown with.
#[derive(Clone, Serialize, JsonSchema)]
struct RuleView {
    product: ProductName,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// What one full period grants.
    access_amount: AccessAmountView,
    priority: Number,
    rate_type: CommitRateType,
    /// For so many periods each commit or credit may be drawn.
    commit_duration: CommitDuration,
    /// Missing where the periods are those of usage statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence_frequency: Option<CycleFrequency>,
    proration: Proration,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollover_fraction: Option<Number>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specifiers: Vec<SpecifierOfBalance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netsuite_sales_order_id: Option<String>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct ContractReference {
    id: ContractId,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct ProductName {
    id: ProductId,
    name: String,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct AccessAmountView {
    unit_price: Number,
    quantity: Number,
    /// The null id, `00000000-0000-0000-0000-000000000000`, where it is of quantities; a request names none there.
    credit_type_id: CreditTypeId,
    access_type: AccessType,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct InvoiceAmountView {
    unit_price: Number,
    quantity: Number,
    credit_type_id: CreditTypeId,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct CommitDuration {
    value: u32,
    unit: DurationUnit,
}

/// How prorated amounts of a commit are rounded.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct CommitRounding {
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<ProrationRounding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<ProrationRounding>,
}

/// How prorated amounts of a credit are rounded.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
struct CreditRounding {
    access: ProrationRounding,
}

impl DatedView {
    fn new(grant: &RecurringGrant, contract: &Contract) -> Self {
        Self {
            id: grant.id,
            contract: ContractReference { id: grant.contract_id },
            starting_at: grant.terms.starting_at,
            anchor_date: Calendar::of(grant, contract).anchor(),
            ending_before: grant.terms.ending_before,
        }
    }
}

impl RuleView {
    fn new(
        terms: &GrantTerms,
        unit_id: Option<CreditTypeId>,
        product_names: &BTreeMap<ProductId, String>,
    ) -> Self {
        let terms = terms.clone();
        Self {
            product: ProductName {
                id: terms.product_id,
                name: product_names.get(&terms.product_id).cloned().unwrap_or_default(),
            },
            name: terms.name,
            description: terms.description,
            access_amount: AccessAmountView {
                unit_price: terms.access.unit_price,
                quantity: terms.access.quantity,
                credit_type_id: unit_id.unwrap_or(CreditTypeId::NONE),
                access_type: unit_id.map_or(AccessType::Quantity, |_| AccessType::Spend),
            },
            priority: terms.priority,
            rate_type: terms.rate_type,
            commit_duration: CommitDuration { value: terms.duration, unit: DurationUnit::Periods },
            recurrence_frequency: terms.frequency,
            proration: terms.proration,
            rollover_fraction: terms.rollover_fraction,
            applicable_product_ids: terms.targeting.product_ids,
            applicable_product_tags: terms.targeting.product_tags,
            specifiers: terms.targeting.specifiers,
            netsuite_sales_order_id: terms.netsuite_sales_order_id,
        }
    }
}

impl CommitRule {
    /// `unit_id` is the unit of what is granted; unset for quantities.
    #[must_use]
    pub fn new(
        terms: &GrantTerms,
        unit_id: Option<CreditTypeId>,
        product_names: &BTreeMap<ProductId, String>,
    ) -> Self {
        let (access, invoice) = (terms.access_rounding, terms.invoice_rounding);
        let is_rounded = access.is_some() || invoice.is_some();
        Self {
            common: RuleView::new(terms, unit_id, product_names),
            invoice_amount: terms.invoice.clone().map(|invoice| InvoiceAmountView {
                unit_price: invoice.price.unit_price,
                quantity: invoice.price.quantity,
                credit_type_id: invoice.credit_type.id,
            }),
            proration_rounding: is_rounded.then_some(CommitRounding { access, invoice }),
        }
    }
}

impl CreditRule {
    /// `unit_id` is the unit of what is granted; unset for quantities.
    #[must_use]
    pub fn new(
        terms: &GrantTerms,
        unit_id: Option<CreditTypeId>,
        product_names: &BTreeMap<ProductId, String>,
    ) -> Self {
        Self {
            common: RuleView::new(terms, unit_id, product_names),
            proration_rounding: terms.access_rounding.map(|access| CreditRounding { access }),
        }
    }
}

/// The recurring commits among the grants of a contract.
#[must_use]
pub fn commits(
    grants: &[RecurringGrant],
    contract: &Contract,
    product_names: &BTreeMap<ProductId, String>,
) -> Vec<RecurringCommitView> {
    let commits = grants.iter().filter(|grant| grant.kind == GrantKind::Commit);
    let view = |grant: &RecurringGrant| RecurringCommitView {
        dated: DatedView::new(grant, contract),
        rule: CommitRule::new(&grant.terms, grant.unit.as_ref().map(|unit| unit.id), product_names),
    };
    commits.map(view).collect()
}

/// The recurring credits among the grants of a contract.
#[must_use]
pub fn credits(
    grants: &[RecurringGrant],
    contract: &Contract,
    product_names: &BTreeMap<ProductId, String>,
) -> Vec<RecurringCreditView> {
    let credits = grants.iter().filter(|grant| grant.kind == GrantKind::Credit);
    let view = |grant: &RecurringGrant| RecurringCreditView {
        dated: DatedView::new(grant, contract),
        rule: CreditRule::new(&grant.terms, grant.unit.as_ref().map(|unit| unit.id), product_names),
    };
    credits.map(view).collect()
}
