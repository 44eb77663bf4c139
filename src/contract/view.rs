//! How a contract is shown: nested in v1, flat in v2.

use schemars::JsonSchema;
use serde::Serialize;

use super::balance::{CommitV1, CommitV2, CreditV1, CreditV2};
use super::rate_override::{Override, OverrideV1, OverrideV2};
use super::recurring_grant::{self, RecurringCommitView, RecurringCreditView};
use super::renewal::Transition;
use super::scheduled_charge::{Items, ScheduledCharge, ScheduledChargeView};
use super::terms::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
use super::usage_filter::{UsageFilterHistory, UsageFilterSegment};
use super::whole::WholeContract;
use crate::custom_field::CustomFields;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, PackageId, RateCardId};
use crate::money::Number;
use crate::time::{Instant, StatementFrequency};

/// A term that no contract has yet; always an empty list.
#[derive(Clone, Serialize, JsonSchema)]
pub struct NoTerm {}

/// A contract as v1 shows it (schema `Contract`).
#[derive(Serialize, JsonSchema)]
pub struct ContractV1 {
    id: ContractId,
    customer_id: CustomerId,
    /// The package that its terms came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    package_id: Option<PackageId>,
    /// As it was created.
    initial: ContractTerms,
    /// As it is now.
    current: ContractTerms,
    amendments: Vec<NoTerm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    subscriptions: Vec<NoTerm>,
    custom_fields: CustomFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniqueness_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

/// The terms of a contract inside [`ContractV1`] (schema `ContractWithoutAmendments`).
#[derive(Clone, Serialize, JsonSchema)]
struct ContractTerms {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_card_id: Option<RateCardId>,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
    /// By creation.
    commits: Vec<CommitV1>,
    /// By creation.
    credits: Vec<CreditV1>,
    recurring_commits: Vec<RecurringCommitView>,
    recurring_credits: Vec<RecurringCreditView>,
    overrides: Vec<OverrideV1>,
    scheduled_charges: Vec<ScheduledChargeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    /// The renewals that it is a side of.
    transitions: Vec<Transition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_filter: Option<UsageFilterHistory>,
    usage_statement_schedule: UsageStatementSchedule,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_payment_terms_days: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_contract_value: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netsuite_sales_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salesforce_opportunity_id: Option<String>,
    created_at: Instant,
    created_by: String,
}

/// A contract as v2 shows it (schema `ContractV2`).
#[derive(Serialize, JsonSchema)]
pub struct ContractV2 {
    id: ContractId,
    customer_id: CustomerId,
    /// The package that its terms came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    package_id: Option<PackageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_card_id: Option<RateCardId>,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
    /// By creation; see `has_more`.
    commits: Vec<CommitV2>,
    /// By creation; see `has_more`.
    credits: Vec<CreditV2>,
    recurring_commits: Vec<RecurringCommitView>,
    recurring_credits: Vec<RecurringCreditView>,
    has_more: HasMore,
    overrides: Vec<OverrideV2>,
    scheduled_charges: Vec<ScheduledChargeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    /// The renewals that it is a side of.
    transitions: Vec<Transition>,
    usage_filter: Vec<UsageFilterSegment>,
    usage_statement_schedule: UsageStatementSchedule,
    multiplier_override_prioritization: MultiplierPrioritization,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_payment_terms_days: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_contract_value: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netsuite_sales_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salesforce_opportunity_id: Option<String>,
    custom_fields: CustomFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniqueness_key: Option<String>,
    created_at: Instant,
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

/// Whether there are more than are shown. The 100 that end last are; the lists of commits and credits have all.
#[derive(Serialize, JsonSchema)]
struct HasMore {
    commits: bool,
    credits: bool,
}

/// The statement calendar; the day and the start of generation are not shown (schema `UsageStatementSchedule`).
#[derive(Clone, Serialize, JsonSchema)]
struct UsageStatementSchedule {
    frequency: StatementFrequency,
    billing_anchor_date: Instant,
}

impl UsageStatementSchedule {
    fn of(contract: &Contract) -> Self {
        Self { frequency: contract.schedule.frequency, billing_anchor_date: contract.schedule.anchor }
    }
}

impl WholeContract {
    fn charges(&self, items: Items) -> Vec<ScheduledChargeView> {
        let view = |charge: &ScheduledCharge| {
            let fields = self.charge_fields.get(&charge.id.0).cloned().unwrap_or_default();
            ScheduledChargeView::new(charge, &self.product_names, fields, items)
        };
        self.charges.iter().map(view).collect()
    }

    fn overrides_v1(&self, is_shown: impl Fn(&Override) -> bool) -> Vec<OverrideV1> {
        let shown = self.contract.overrides.iter().filter(|one| is_shown(one));
        shown.map(|one| OverrideV1::new(one, &self.override_names)).collect()
    }
}

impl From<WholeContract> for ContractV1 {
    fn from(whole: WholeContract) -> Self {
        let agreed = whole.charges(Items::Agreed);
        let standing = whole.charges(Items::Standing);
        let recurring_commits =
            recurring_grant::commits(&whole.grants, &whole.contract, &whole.product_names);
        let recurring_credits =
            recurring_grant::credits(&whole.grants, &whole.contract, &whole.product_names);
        let now = whole.now;
        let overrides = whole.overrides_v1(|_| true);
        let initial_overrides = whole.overrides_v1(|one| one.is_initial);
        let (commits, credits) = (whole.balances.commits_v1(), whole.balances.credits_v1());
        let (initial_commits, initial_credits) = whole.balances.initial_v1();
        let contract = whole.contract;
        let filters = &contract.usage_filters;
        let usage_filter = UsageFilterHistory::of(filters, contract.ending_before, now);
        let initial_filter = UsageFilterHistory::of(&filters.initial(), contract.initial_ending_before, now);
        let current = ContractTerms {
            usage_statement_schedule: UsageStatementSchedule::of(&contract),
            name: contract.name,
            rate_card_id: contract.rate_card_id,
            starting_at: contract.starting_at,
            ending_before: contract.ending_before,
            commits,
            credits,
            recurring_commits,
            recurring_credits,
            overrides,
            scheduled_charges: standing,
            scheduled_charges_on_usage_invoices: contract.scheduled_charges_on_usage_invoices,
            transitions: whole.transitions,
            usage_filter,
            net_payment_terms_days: contract.net_payment_terms_days.map(Number),
            total_contract_value: contract.total_contract_value.map(Number),
            netsuite_sales_order_id: contract.netsuite_sales_order_id,
            salesforce_opportunity_id: contract.salesforce_opportunity_id,
            created_at: contract.created_at,
            created_by: contract.created_by,
        };
        let mut first_transitions = current.transitions.clone();
        first_transitions.retain(|transition| transition.to_contract_id == contract.id);
        let initial = ContractTerms {
            transitions: first_transitions,
            ending_before: contract.initial_ending_before,
            commits: initial_commits,
            credits: initial_credits,
            overrides: initial_overrides,
            scheduled_charges: agreed,
            usage_filter: initial_filter,
            ..current.clone()
        };
        Self {
            id: contract.id,
            customer_id: contract.customer_id,
            package_id: contract.package_id,
            initial,
            current,
            amendments: Vec::new(),
            scheduled_charges_on_usage_invoices: contract.scheduled_charges_on_usage_invoices,
            subscriptions: Vec::new(),
            custom_fields: whole.custom_fields,
            uniqueness_key: contract.uniqueness_key,
            archived_at: contract.archived_at,
        }
    }
}

impl From<WholeContract> for ContractV2 {
    fn from(whole: WholeContract) -> Self {
        let scheduled_charges = whole.charges(Items::Standing);
        let recurring_commits =
            recurring_grant::commits(&whole.grants, &whole.contract, &whole.product_names);
        let recurring_credits =
            recurring_grant::credits(&whole.grants, &whole.contract, &whole.product_names);
        let overrides = whole.contract.overrides.iter();
        let overrides = overrides.map(|one| OverrideV2::new(one, &whole.override_names)).collect();
        let (commits, credits) = (whole.balances.commits_v2(), whole.balances.credits_v2());
        let has_more =
            HasMore { commits: whole.balances.has_more_commits, credits: whole.balances.has_more_credits };
        let contract = whole.contract;
        let segments = contract.usage_filters.segments(contract.ending_before);
        Self {
            usage_statement_schedule: UsageStatementSchedule::of(&contract),
            id: contract.id,
            customer_id: contract.customer_id,
            package_id: contract.package_id,
            name: contract.name,
            rate_card_id: contract.rate_card_id,
            starting_at: contract.starting_at,
            ending_before: contract.ending_before,
            commits,
            credits,
            recurring_commits,
            recurring_credits,
            has_more,
            overrides,
            scheduled_charges,
            scheduled_charges_on_usage_invoices: contract.scheduled_charges_on_usage_invoices,
            transitions: whole.transitions,
            usage_filter: segments.into_iter().map(Into::into).collect(),
            multiplier_override_prioritization: contract.multiplier_override_prioritization,
            net_payment_terms_days: contract.net_payment_terms_days.map(Number),
            total_contract_value: contract.total_contract_value.map(Number),
            netsuite_sales_order_id: contract.netsuite_sales_order_id,
            salesforce_opportunity_id: contract.salesforce_opportunity_id,
            custom_fields: whole.custom_fields,
            uniqueness_key: contract.uniqueness_key,
            created_at: contract.created_at,
            created_by: contract.created_by,
            archived_at: contract.archived_at,
        }
    }
}

/// What v2 answers where v1 answers 404.
#[must_use]
pub fn customer_not_found(id: CustomerId) -> ApiError {
    ApiError::Coded { code: "CustomerNotFound", message: format!("customer {id} was not found") }
}
