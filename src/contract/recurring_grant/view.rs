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
    common: RecurringView,
    /// What one full period costs; missing where it is given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_amount: Option<InvoiceAmountView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proration_rounding: Option<CommitRounding>,
}

/// A recurring credit.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "RecurringCredit")]
pub struct RecurringCreditView {
    #[serde(flatten)]
    common: RecurringView,
    #[serde(skip_serializing_if = "Option::is_none")]
    proration_rounding: Option<CreditRounding>,
}

/// What both are shown with.
#[derive(Clone, Serialize, JsonSchema)]
struct RecurringView {
    id: RecurringGrantId,
    contract: ContractReference,
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
    starting_at: Instant,
    /// The instant from which its periods are counted.
    anchor_date: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
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

impl RecurringView {
    fn new(grant: &RecurringGrant, contract: &Contract, product_names: &BTreeMap<ProductId, String>) -> Self {
        let anchor_date = Calendar::of(grant, contract).anchor();
        let GrantTerms {
            product_id,
            name,
            description,
            priority,
            rate_type,
            access,
            invoice: _,
            duration,
            starting_at,
            ending_before,
            frequency,
            proration,
            access_rounding: _,
            invoice_rounding: _,
            rollover_fraction,
            targeting,
            netsuite_sales_order_id,
        } = grant.terms.clone();
        Self {
            id: grant.id,
            contract: ContractReference { id: grant.contract_id },
            product: ProductName {
                id: product_id,
                name: product_names.get(&product_id).cloned().unwrap_or_default(),
            },
            name,
            description,
            access_amount: AccessAmountView {
                unit_price: access.unit_price,
                quantity: access.quantity,
                credit_type_id: grant.unit.as_ref().map_or(CreditTypeId::NONE, |unit| unit.id),
                access_type: grant.access_type(),
            },
            priority,
            rate_type,
            commit_duration: CommitDuration { value: duration, unit: DurationUnit::Periods },
            starting_at,
            anchor_date,
            ending_before,
            recurrence_frequency: frequency,
            proration,
            rollover_fraction,
            applicable_product_ids: targeting.product_ids,
            applicable_product_tags: targeting.product_tags,
            specifiers: targeting.specifiers,
            netsuite_sales_order_id,
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
    let view = |grant: &RecurringGrant| {
        let GrantTerms { invoice, access_rounding: access, invoice_rounding: invoice_rounds, .. } =
            grant.terms.clone();
        let rounding = CommitRounding { access, invoice: invoice_rounds };
        RecurringCommitView {
            common: RecurringView::new(grant, contract, product_names),
            invoice_amount: invoice.map(|invoice| InvoiceAmountView {
                unit_price: invoice.price.unit_price,
                quantity: invoice.price.quantity,
                credit_type_id: invoice.credit_type.id,
            }),
            proration_rounding: (access.is_some() || invoice_rounds.is_some()).then_some(rounding),
        }
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
        common: RecurringView::new(grant, contract, product_names),
        proration_rounding: grant.terms.access_rounding.map(|access| CreditRounding { access }),
    };
    credits.map(view).collect()
}
