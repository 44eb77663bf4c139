//! Recurring commits and credits in a request, and whether they make sense by themselves (schemas `RecurringCommitInput`
//! and `RecurringCreditInput`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::terms::{GrantKind, GrantTerms, InvoiceAmount, Proration, UnitAmount};
use super::view::DurationUnit;
use crate::contract::balance::{AccessType, CommitRateType, SpecifierInput, access_unit, targeting};
use crate::error::ApiError;
use crate::id::{BalanceId, CreditTypeId, Ids, ProductId, RecurringGrantId};
use crate::money::{
    CreditType, Decimal, InputNumber, Number, ProrationRounding, is_negative, is_positive, to_count,
};
use crate::time::{CycleFrequency, Instant};
use crate::wire::{HourBoundary, Later, NonBlank};

/// Most recurring commits and credits of one request (our decision: each is made anew for every period).
pub const GRANTS_MAX: usize = 100;

/// Most periods in which one commit or credit may be drawn (our decision).
const PERIODS_MAX: usize = 1000;

/// A commit that is made anew for every period.
#[derive(Deserialize, JsonSchema)]
pub struct RecurringCommitInput {
    /// A FIXED product, which names the purchases.
    product_id: ProductId,
    /// What one full period grants.
    access_amount: AccessAmountInput,
    /// The lowest is drawn first.
    priority: InputNumber,
    commit_duration: CommitDurationInput,
    /// Of the first period; on the hour; the contract's start where it is earlier.
    starting_at: HourBoundary,
    /// No period starts then or later; on the hour; the contract's end when omitted.
    ending_before: Option<HourBoundary>,
    /// What one full period costs, invoiced as it starts; given away when omitted.
    invoice_amount: Option<InvoiceAmountInput>,
    /// Periods are counted from `starting_at`; when omitted they are those of usage statements.
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
    netsuite_sales_order_id: Option<String>,
    /// A name by which overrides of the same request speak of it.
    temporary_id: Option<String>,
    #[serde(default, rename = "subscription_config")]
    #[schemars(skip)]
    _subscription_config: Later,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
}

/// A credit that is made anew for every period.
#[derive(Deserialize, JsonSchema)]
pub struct RecurringCreditInput {
    /// A FIXED product.
    product_id: ProductId,
    /// What one full period grants.
    access_amount: AccessAmountInput,
    /// The lowest is drawn first.
    priority: InputNumber,
    commit_duration: CommitDurationInput,
    /// Of the first period; on the hour; the contract's start where it is earlier.
    starting_at: HourBoundary,
    /// No period starts then or later; on the hour; the contract's end when omitted.
    ending_before: Option<HourBoundary>,
    /// Periods are counted from `starting_at`; when omitted they are those of usage statements.
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
    netsuite_sales_order_id: Option<String>,
    /// A name by which overrides of the same request speak of it.
    temporary_id: Option<String>,
    #[serde(default, rename = "subscription_config")]
    #[schemars(skip)]
    _subscription_config: Later,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
    #[serde(default, rename = "invoice_amount")]
    #[schemars(skip)]
    _invoice_amount: NotOfCredits,
}

/// Something that only commits have.
#[derive(Default)]
pub struct NotOfCredits;

impl<'de> Deserialize<'de> for NotOfCredits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<IgnoredAny>::deserialize(deserializer)? {
            None => Ok(Self),
            Some(_) => Err(de::Error::custom("is only for recurring commits; nothing is paid for credits")),
        }
    }
}

/// `unit_price × quantity`, in a currency or a custom pricing unit; of QUANTITY that is the number of units, so the unit price
/// is 1 as a rule.
#[derive(Deserialize, JsonSchema)]
pub struct AccessAmountInput {
    pub unit_price: InputNumber,
    /// Required.
    pub quantity: Option<InputNumber>,
    /// USD (cents) when omitted; quantities have none.
    pub credit_type_id: Option<CreditTypeId>,
    /// Whether what it makes is drawn by what usage costs or by its quantity; SPEND when omitted.
    pub access_type: Option<AccessType>,
}

/// `unit_price × quantity`, in a currency.
#[derive(Deserialize, JsonSchema)]
pub struct InvoiceAmountInput {
    unit_price: InputNumber,
    quantity: InputNumber,
    credit_type_id: CreditTypeId,
}

/// How long each may be drawn.
#[derive(Deserialize, JsonSchema)]
pub struct CommitDurationInput {
    /// Periods; a whole number from 1 to 1,000.
    value: InputNumber,
    /// PERIODS when omitted.
    #[serde(rename = "unit")]
    _unit: Option<DurationUnit>,
}

#[derive(Deserialize, JsonSchema)]
pub struct CommitRoundingInput {
    pub access: Option<ProrationRounding>,
    pub invoice: Option<ProrationRounding>,
}

#[derive(Deserialize, JsonSchema)]
pub struct CreditRoundingInput {
    pub access: Option<ProrationRounding>,
}

/// A grant that is to be made, checked by itself; nothing that it names was looked at.
pub struct PlannedGrant {
    pub id: RecurringGrantId,
    pub kind: GrantKind,
    /// The unit of what is granted; unset for quantities.
    pub unit_id: Option<CreditTypeId>,
    pub terms: GrantTerms,
    pub temporary_id: Option<String>,
    /// Where it is in the request, such as `recurring_commits[0]`.
    pub path: String,
}

/// What every kind of recurring commit and credit in a request says, of a contract or of a package.
pub struct GrantInput {
    pub kind: GrantKind,
    pub product_id: ProductId,
    pub access_amount: AccessAmountInput,
    pub priority: InputNumber,
    pub commit_duration: CommitDurationInput,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub invoice_amount: Option<InvoiceAmountInput>,
    pub frequency: Option<CycleFrequency>,
    pub proration: Option<Proration>,
    pub access_rounding: Option<ProrationRounding>,
    pub invoice_rounding: Option<ProrationRounding>,
    pub rate_type: Option<CommitRateType>,
    pub rollover_fraction: Option<InputNumber>,
    pub name: Option<NonBlank>,
    pub description: Option<String>,
    pub applicable_product_ids: Vec<ProductId>,
    pub applicable_product_tags: Vec<String>,
    pub specifiers: Vec<SpecifierInput>,
    pub netsuite_sales_order_id: Option<String>,
    pub temporary_id: Option<String>,
}

impl From<RecurringCommitInput> for GrantInput {
    fn from(input: RecurringCommitInput) -> Self {
        let (access_rounding, invoice_rounding) =
            input.proration_rounding.map_or((None, None), |rounding| (rounding.access, rounding.invoice));
        Self {
            kind: GrantKind::Commit,
            product_id: input.product_id,
            access_amount: input.access_amount,
            priority: input.priority,
            commit_duration: input.commit_duration,
            starting_at: input.starting_at.0,
            ending_before: input.ending_before.map(|end| end.0),
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
            netsuite_sales_order_id: input.netsuite_sales_order_id,
            temporary_id: input.temporary_id,
        }
    }
}

impl From<RecurringCreditInput> for GrantInput {
    fn from(input: RecurringCreditInput) -> Self {
        Self {
            kind: GrantKind::Credit,
            product_id: input.product_id,
            access_amount: input.access_amount,
            priority: input.priority,
            commit_duration: input.commit_duration,
            starting_at: input.starting_at.0,
            ending_before: input.ending_before.map(|end| end.0),
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
            netsuite_sales_order_id: input.netsuite_sales_order_id,
            temporary_id: input.temporary_id,
        }
    }
}

/// The recurring commits and credits that a contract or a package is made with, each looked at by itself.
pub fn planned(
    commits: Vec<impl Into<GrantInput>>,
    credits: Vec<impl Into<GrantInput>>,
    ids: &Ids,
) -> Result<Vec<PlannedGrant>, ApiError> {
    for (field, count) in [("recurring_commits", commits.len()), ("recurring_credits", credits.len())] {
        if count > GRANTS_MAX {
            return Err(ApiError::field(field, format!("at most {GRANTS_MAX} in one request")));
        }
    }
    let path = |list: &str, index: usize| format!("{list}[{index}]");
    let commits = commits.into_iter().enumerate();
    let commits =
        commits.map(|(index, input)| (path("recurring_commits", index), Into::<GrantInput>::into(input)));
    let credits = credits.into_iter().enumerate();
    let credits =
        credits.map(|(index, input)| (path("recurring_credits", index), Into::<GrantInput>::into(input)));
    let inputs: Vec<(String, GrantInput)> = commits.chain(credits).collect();
    let mut planned: Vec<PlannedGrant> = Vec::with_capacity(inputs.len());
    for (path, input) in inputs {
        let temporary_id = input.temporary_id.clone();
        let kind = input.kind;
        let AccessAmountInput { access_type, credit_type_id, .. } = input.access_amount;
        let unit_id = access_unit("access_amount.credit_type_id", access_type, credit_type_id);
        let unit_id = unit_id.map_err(|error| error.within(&path))?;
        let terms = input.checked().map_err(|error| error.within(&path))?;
        let is_daily = |terms: &GrantTerms| terms.frequency == Some(CycleFrequency::Daily);
        if is_daily(&terms) && planned.iter().any(|other| is_daily(&other.terms)) {
            let reason = "at most one recurring commit or credit of a contract is DAILY";
            return Err(ApiError::field(&format!("{path}.recurrence_frequency"), reason));
        }
        if let Some(name) = &temporary_id
            && planned.iter().any(|other| other.temporary_id.as_ref() == Some(name))
        {
            let reason = format!("another recurring commit or credit of the request has `{name}`");
            return Err(ApiError::field(&format!("{path}.temporary_id"), reason));
        }
        planned.push(PlannedGrant { id: ids.next(), kind, unit_id, terms, temporary_id, path });
    }
    Ok(planned)
}

impl GrantInput {
    fn checked(self) -> Result<GrantTerms, ApiError> {
        let refused = |field: &str, reason: &str| Err(ApiError::field(field, reason));
        for (field, value) in [
            ("access_amount.unit_price", Some(&self.access_amount.unit_price)),
            ("access_amount.quantity", self.access_amount.quantity.as_ref()),
            ("invoice_amount.unit_price", self.invoice_amount.as_ref().map(|amount| &amount.unit_price)),
            ("invoice_amount.quantity", self.invoice_amount.as_ref().map(|amount| &amount.quantity)),
        ] {
            if value.is_some_and(|value| is_negative(&value.0)) {
                return refused(field, "must not be negative");
            }
        }
        if self.ending_before.is_some_and(|end| end <= self.starting_at) {
            return refused("ending_before", "must be after starting_at");
        }
        if let Some(InputNumber(fraction)) = &self.rollover_fraction
            && (is_negative(fraction) || is_positive(&(fraction - Decimal::from(1))))
        {
            return refused("rollover_fraction", "must be from 0 to 1");
        }
        let duration =
            to_count(&self.commit_duration.value.0).filter(|count| (1..=PERIODS_MAX).contains(count));
        let Some(duration) = duration.and_then(|count| u32::try_from(count).ok()) else {
            return refused("commit_duration.value", "must be a whole number from 1 to 1,000");
        };
        let Some(quantity) = self.access_amount.quantity else {
            return refused("access_amount.quantity", "is required");
        };
        let invoice = self.invoice_amount.map(|amount| -> Result<InvoiceAmount, ApiError> {
            let credit_type = CreditType::find_fiat(amount.credit_type_id).cloned().ok_or_else(|| {
                let reason = format!("no currency has the id {}", amount.credit_type_id);
                ApiError::field("invoice_amount.credit_type_id", reason)
            })?;
            let price =
                UnitAmount { unit_price: Number(amount.unit_price.0), quantity: Number(amount.quantity.0) };
            Ok(InvoiceAmount { price, credit_type })
        });
        let invoice = invoice.transpose()?;
        Ok(GrantTerms {
            product_id: self.product_id,
            name: self.name.map(|name| name.0),
            description: self.description,
            priority: Number(self.priority.0),
            rate_type: self.rate_type.unwrap_or(CommitRateType::ListRate),
            access: UnitAmount {
                unit_price: Number(self.access_amount.unit_price.0),
                quantity: Number(quantity.0),
            },
            invoice,
            duration,
            starting_at: self.starting_at,
            ending_before: self.ending_before,
            frequency: self.frequency,
            proration: self.proration.unwrap_or(Proration::FirstAndLast),
            access_rounding: self.access_rounding,
            invoice_rounding: self.invoice_rounding,
            rollover_fraction: self.rollover_fraction.map(|fraction| Number(fraction.0)),
            targeting: targeting(self.applicable_product_ids, self.applicable_product_tags, self.specifiers)?,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
        })
    }
}

/// The grants of a request by their temporary ids; 400 for one that a commit of the request has too.
pub fn by_temporary_id(
    grants: &[PlannedGrant],
    balances: &BTreeMap<String, BalanceId>,
) -> Result<BTreeMap<String, RecurringGrantId>, ApiError> {
    let mut named = BTreeMap::new();
    for grant in grants {
        let Some(name) = &grant.temporary_id else { continue };
        if balances.contains_key(name) {
            let reason = format!("a commit of the request has `{name}`");
            return Err(ApiError::field(&format!("{}.temporary_id", grant.path), reason));
        }
        named.insert(name.clone(), grant.id);
    }
    Ok(named)
}
