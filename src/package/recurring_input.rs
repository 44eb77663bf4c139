//! The recurring commits and credits of a package as a request brings them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::input::{duration, offset};
use super::terms::RecurringTemplate;
use crate::contract::balance::{AccessType, CommitRateType, SpecifierInput};
use crate::contract::recurring_grant::{
    self, AccessAmountInput, CommitDurationInput, CommitRoundingInput, CreditRoundingInput, GrantInput,
    GrantKind, InvoiceAmountInput, NotOfCredits, PlannedGrant, Proration,
};
use crate::error::ApiError;
use crate::id::{CreditTypeId, Ids, PackageId, ProductId};
use crate::money::{Decimal, InputNumber};
use crate::time::{CycleFrequency, Instant, RelativeDate};
use crate::wire::{Later, NonBlank};

/// A commit that is made anew for every period of a package's contracts (schema `RecurringCommitTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct RecurringCommitTemplateInput {
    /// A FIXED product, which names the purchases.
    product_id: ProductId,
    /// What one full period grants.
    access_amount: AccessAmountTemplateInput,
    /// The lowest is drawn first.
    priority: InputNumber,
    commit_duration: CommitDurationInput,
    /// Of the first period, from the contract's start.
    starting_at_offset: RelativeDate,
    /// No period starts so long after the first or later; as long as the contract when omitted.
    duration: Option<RelativeDate>,
    /// What one full period costs, invoiced as it starts; given away when omitted.
    invoice_amount: Option<InvoiceAmountInput>,
    /// Periods are counted from the first one's start; when omitted they are those of usage statements.
    recurrence_frequency: Option<CycleFrequency>,
    /// Which of its periods are prorated where they are cut; FIRST_AND_LAST when omitted.
    proration: Option<Proration>,
    /// How prorated amounts are rounded; not at all when omitted.
    proration_rounding: Option<CommitRoundingInput>,
    /// LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// How much of each a renewal may take over, of what it began with; 0 to 1.
    rollover_fraction: Option<InputNumber>,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    description: Option<String>,
    /// It pays for these products; not with `specifiers`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    /// It pays for products with any of these tags; not with `specifiers`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// It pays for what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    /// A name by which overrides of the same request speak of it.
    temporary_id: Option<String>,
    #[serde(default, rename = "subscription_config")]
    #[schemars(skip)]
    _subscription_config: Later,
}

/// A credit that is made anew for every period of a package's contracts (schema `RecurringCreditTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct RecurringCreditTemplateInput {
    /// A FIXED product.
    product_id: ProductId,
    /// What one full period grants.
    access_amount: AccessAmountTemplateInput,
    /// The lowest is drawn first.
    priority: InputNumber,
    commit_duration: CommitDurationInput,
    /// Of the first period, from the contract's start.
    starting_at_offset: RelativeDate,
    /// No period starts so long after the first or later; as long as the contract when omitted.
    duration: Option<RelativeDate>,
    /// Periods are counted from the first one's start; when omitted they are those of usage statements.
    recurrence_frequency: Option<CycleFrequency>,
    /// Which of its periods are prorated where they are cut; FIRST_AND_LAST when omitted.
    proration: Option<Proration>,
    /// How prorated amounts are rounded; not at all when omitted.
    proration_rounding: Option<CreditRoundingInput>,
    /// LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// How much of each a renewal may take over, of what it began with; 0 to 1.
    rollover_fraction: Option<InputNumber>,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    description: Option<String>,
    /// It pays for these products; not with `specifiers`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    /// It pays for products with any of these tags; not with `specifiers`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// It pays for what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    /// A name by which overrides of the same request speak of it.
    temporary_id: Option<String>,
    #[serde(default, rename = "subscription_config")]
    #[schemars(skip)]
    _subscription_config: Later,
    #[serde(default, rename = "invoice_amount")]
    #[schemars(skip)]
    _invoice_amount: NotOfCredits,
}

/// `unit_price × quantity`, in a currency or a custom pricing unit; of QUANTITY that is the number of units, so the unit price
/// is 1 as a rule.
#[derive(Deserialize, JsonSchema)]
struct AccessAmountTemplateInput {
    unit_price: InputNumber,
    /// 1 when omitted (a published sample has none).
    quantity: Option<InputNumber>,
    /// USD (cents) when omitted; quantities have none.
    credit_type_id: Option<CreditTypeId>,
    /// Whether what it makes is drawn by what usage costs or by its quantity; SPEND when omitted.
    access_type: Option<AccessType>,
}

impl From<AccessAmountTemplateInput> for AccessAmountInput {
    fn from(input: AccessAmountTemplateInput) -> Self {
        let AccessAmountTemplateInput { unit_price, quantity, credit_type_id, access_type } = input;
        let quantity = quantity.unwrap_or_else(|| InputNumber(Decimal::from(1)));
        Self { unit_price, quantity: Some(quantity), credit_type_id, access_type }
    }
}

/// When one grants, in a contract.
struct Time {
    starting_at_offset: RelativeDate,
    duration: Option<RelativeDate>,
}

/// The recurring commits and credits of a request.
pub struct RecurringTemplates {
    /// What each grants, with its dates those of now.
    pub planned: Vec<PlannedGrant>,
    /// When each does.
    times: Vec<Time>,
}

/// The recurring commits and credits of a package, each looked at by itself: products and custom units are not.
pub fn recurring(
    commits: Vec<RecurringCommitTemplateInput>,
    credits: Vec<RecurringCreditTemplateInput>,
    ids: &Ids,
    now: Instant,
) -> Result<RecurringTemplates, ApiError> {
    let (times_of_commits, commits): (Vec<Time>, Vec<GrantInput>) =
        commits.into_iter().map(|input| of_commit(input, now)).unzip();
    let (times_of_credits, credits): (Vec<Time>, Vec<GrantInput>) =
        credits.into_iter().map(|input| of_credit(input, now)).unzip();
    let planned = recurring_grant::planned(commits, credits, ids)?;
    let times: Vec<Time> = times_of_commits.into_iter().chain(times_of_credits).collect();
    for (grant, time) in planned.iter().zip(&times) {
        offset(&format!("{}.starting_at_offset", grant.path), time.starting_at_offset)?;
        time.duration.map(|given| duration(&format!("{}.duration", grant.path), given)).transpose()?;
    }
    Ok(RecurringTemplates { planned, times })
}

impl RecurringTemplates {
    /// As the package keeps them.
    pub fn of_package(self, package_id: PackageId) -> Vec<RecurringTemplate> {
        let template = |(grant, time): (PlannedGrant, Time)| RecurringTemplate {
            package_id,
            id: grant.id,
            kind: grant.kind,
            unit_id: grant.unit_id,
            starting_at_offset: time.starting_at_offset,
            duration: time.duration,
            terms: grant.terms,
        };
        self.planned.into_iter().zip(self.times).map(template).collect()
    }
}

fn of_commit(input: RecurringCommitTemplateInput, now: Instant) -> (Time, GrantInput) {
    let rounding = input.proration_rounding;
    let (access_rounding, invoice_rounding) =
        rounding.map_or((None, None), |rounding| (rounding.access, rounding.invoice));
    let time = Time { starting_at_offset: input.starting_at_offset, duration: input.duration };
    let grant = GrantInput {
        kind: GrantKind::Commit,
        product_id: input.product_id,
        access_amount: input.access_amount.into(),
        priority: input.priority,
        commit_duration: input.commit_duration,
        starting_at: now,
        ending_before: None,
        invoice_amount: input.invoice_amount,
        frequency: input.recurrence_frequency,
        proration: input.proration,
        access_rounding,
        invoice_rounding,
        rate_type: input.rate_type,
        rollover_fraction: input.rollover_fraction,
        name: input.name,
        description: input.description,
        applicable_product_ids: input.applicable_product_ids,
        applicable_product_tags: input.applicable_product_tags,
        specifiers: input.specifiers,
        netsuite_sales_order_id: None,
        temporary_id: input.temporary_id,
    };
    (time, grant)
}

fn of_credit(input: RecurringCreditTemplateInput, now: Instant) -> (Time, GrantInput) {
    let time = Time { starting_at_offset: input.starting_at_offset, duration: input.duration };
    let grant = GrantInput {
        kind: GrantKind::Credit,
        product_id: input.product_id,
        access_amount: input.access_amount.into(),
        priority: input.priority,
        commit_duration: input.commit_duration,
        starting_at: now,
        ending_before: None,
        invoice_amount: None,
        frequency: input.recurrence_frequency,
        proration: input.proration,
        access_rounding: input.proration_rounding.and_then(|rounding| rounding.access),
        invoice_rounding: None,
        rate_type: input.rate_type,
        rollover_fraction: input.rollover_fraction,
        name: input.name,
        description: input.description,
        applicable_product_ids: input.applicable_product_ids,
        applicable_product_tags: input.applicable_product_tags,
        specifiers: input.specifiers,
        netsuite_sales_order_id: None,
        temporary_id: input.temporary_id,
    };
    (time, grant)
}
