//! Making a contract of its terms (the operation is `invoice::create_contract`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::balance::{
    self, BalancesOfContract, Cap, CommitInput, CreditInput, NewBalance, NewBalances, Owner,
};
use super::nameable::Nameables;
use super::rate_override::{self, Nameable, Override, OverrideInput};
use super::recurring_grant::{self, PlannedGrant, RecurringCommitInput, RecurringCreditInput};
use super::scheduled_charge::{self, ITEMS_MAX, ScheduledCharge, ScheduledChargeInput};
use super::statement::{StatementDay, first_statement_at};
use super::store;
use super::terms::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
use super::usage_filter::{self, UsageFilterInput};
use super::whole::WholeContract;
use super::work::{schedule_true_ups, schedule_work};
use crate::access::{Writer, reserve_uniqueness_key};
use crate::catalog::rate_card::{self, RateCardRow};
use crate::catalog::usage_filter::UsageFilters;
use crate::custom_field::{self, CustomFields, CustomFieldsInput, ManagedEntity};
use crate::customer::{self, CustomerRow};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId, Ids, PackageId, RateCardId};
use crate::money::{CreditType, Decimal, InputNumber, is_negative};
use crate::time::{Instant, StatementFrequency, StatementSchedule, shown};
use crate::wire::{HourBoundary, Later, UniquenessKey};

/// The terms of a contract in a request (schema `CreateContractPayload` without its customer and its package).
#[derive(Deserialize, JsonSchema)]
pub struct ContractTerms {
    /// Inclusive; on the hour; past or future.
    starting_at: HourBoundary,
    /// Exclusive; on the hour; open-ended when omitted.
    ending_before: Option<HourBoundary>,
    /// The prices; or `rate_card_alias`.
    rate_card_id: Option<RateCardId>,
    /// The card that holds this alias at `starting_at`; or `rate_card_id`.
    rate_card_alias: Option<String>,
    usage_statement_schedule: Option<UsageStatementScheduleInput>,
    name: Option<String>,
    /// Makes one contract, ever.
    uniqueness_key: Option<UniquenessKey>,
    /// Invoices are due so many days after issue.
    net_payment_terms_days: Option<InputNumber>,
    total_contract_value: Option<InputNumber>,
    netsuite_sales_order_id: Option<String>,
    salesforce_opportunity_id: Option<String>,
    multiplier_override_prioritization: Option<MultiplierPrioritization>,
    /// Payments on agreed dates, each with an invoice as soon as the contract is made.
    scheduled_charges: Option<Vec<ScheduledChargeInput>>,
    /// ALL: a charge that is dated on the day on which a usage statement ends goes onto that statement's invoice.
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    /// Only this usage of the customer is billed; all of it when omitted.
    usage_filter: Option<UsageFilterInput>,
    /// Prices and entitlement that the contract agrees beside its card; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    overrides: Vec<OverrideInput>,
    /// What the contract's usage may draw, or promises to spend; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    commits: Vec<CommitInput>,
    /// What the contract's usage may draw for nothing; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    credits: Vec<CreditInput>,
    /// Commits that are made anew for every period; at most 100.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    recurring_commits: Vec<RecurringCommitInput>,
    /// Credits that are made anew for every period; at most 100.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    recurring_credits: Vec<RecurringCreditInput>,
    #[serde(default, rename = "discounts")]
    #[schemars(skip)]
    _discounts: Later,
    #[serde(default, rename = "professional_services")]
    #[schemars(skip)]
    _professional_services: Later,
    #[serde(default, rename = "reseller_royalties")]
    #[schemars(skip)]
    _reseller_royalties: Later,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
    #[serde(default, rename = "subscriptions")]
    #[schemars(skip)]
    _subscriptions: Later,
    #[serde(default, rename = "billing_provider_configuration")]
    #[schemars(skip)]
    _billing_provider_configuration: Later,
    #[serde(default, rename = "revenue_system_configuration")]
    #[schemars(skip)]
    _revenue_system_configuration: Later,
    #[serde(default, rename = "spend_threshold_configuration")]
    #[schemars(skip)]
    _spend_threshold_configuration: Later,
    #[serde(default, rename = "prepaid_balance_threshold_configuration")]
    #[schemars(skip)]
    _prepaid_balance_threshold_configuration: Later,
    #[serde(default, rename = "spend_trackers")]
    #[schemars(skip)]
    _spend_trackers: Later,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

/// When usage statements close; monthly on the first when omitted.
#[derive(Deserialize, JsonSchema)]
struct UsageStatementScheduleInput {
    frequency: StatementFrequency,
    /// FIRST_OF_MONTH when omitted.
    day: Option<StatementDay>,
    /// For CUSTOM_DATE, and required there; may lie before the contract.
    billing_anchor_date: Option<HourBoundary>,
    /// No usage statements for what lies before.
    invoice_generation_starting_at: Option<HourBoundary>,
}

/// Which rate card a contract is to be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateCardReference {
    Id(RateCardId),
    /// The card that holds it as the contract starts.
    Alias(String),
}

/// A contract that is to be made, its own terms checked; nothing that it names was looked at.
pub struct NewContract {
    pub id: ContractId,
    pub customer_id: CustomerId,
    /// The package that its terms come from.
    pub package_id: Option<PackageId>,
    pub name: Option<String>,
    pub rate_card: Option<RateCardReference>,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub schedule: StatementSchedule,
    pub invoice_generation_starting_at: Option<Instant>,
    pub net_payment_terms_days: Option<Decimal>,
    pub total_contract_value: Option<Decimal>,
    pub netsuite_sales_order_id: Option<String>,
    pub salesforce_opportunity_id: Option<String>,
    pub multiplier_override_prioritization: MultiplierPrioritization,
    pub charges: Vec<ScheduledCharge>,
    /// Those of each charge, in the order of the charges.
    pub charge_fields: Vec<CustomFields>,
    pub scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    pub usage_filter: Option<UsageFilterInput>,
    pub overrides: Vec<Override>,
    /// Its commits and credits.
    pub balances: Vec<NewBalance>,
    pub recurring_grants: Vec<PlannedGrant>,
    pub uniqueness_key: Option<UniquenessKey>,
    pub custom_fields: CustomFields,
}

/// What a request may say beside a package.
pub struct BesidePackage {
    pub starting_at: Instant,
    pub uniqueness_key: Option<UniquenessKey>,
    pub custom_fields: CustomFields,
}

impl ContractTerms {
    /// The contract that they describe; 400 for terms that make no sense by themselves.
    pub fn checked(
        self,
        id: ContractId,
        customer_id: CustomerId,
        ids: &Ids,
        now: Instant,
    ) -> Result<NewContract, ApiError> {
        let starting_at = self.starting_at.0;
        let ending_before = self.ending_before.map(|end| end.0);
        if ending_before.is_some_and(|end| end <= starting_at) {
            return Err(ApiError::field("ending_before", "must be after starting_at"));
        }
        for (field, value) in [
            ("net_payment_terms_days", &self.net_payment_terms_days),
            ("total_contract_value", &self.total_contract_value),
        ] {
            if value.as_ref().is_some_and(|value| is_negative(&value.0)) {
                return Err(ApiError::field(field, "must not be negative"));
            }
        }
        let rate_card = match (self.rate_card_id, self.rate_card_alias) {
            (Some(_), Some(_)) => {
                let reason = "give either rate_card_id or rate_card_alias, not both";
                return Err(ApiError::field("rate_card_alias", reason));
            }
            (Some(id), None) => Some(RateCardReference::Id(id)),
            (None, alias) => alias.map(RateCardReference::Alias),
        };
        let schedule = schedule(self.usage_statement_schedule.as_ref(), starting_at)?;
        let generation = self.usage_statement_schedule.and_then(|input| input.invoice_generation_starting_at);
        let inputs = self.scheduled_charges.unwrap_or_default();
        let custom_fields = self.custom_fields.checked()?;
        let prioritization =
            self.multiplier_override_prioritization.unwrap_or(MultiplierPrioritization::LowestMultiplier);
        let charge_fields = scheduled_charge::custom_fields(&inputs)?;
        let charges = scheduled_charge::planned(inputs, id, ids, now)?;
        let left = ITEMS_MAX - charges.iter().map(|charge| charge.items.len()).sum::<usize>();
        let owner = Owner { customer_id, contract_id: Some(id), ids, now };
        let NewBalances { balances, by_temporary_id } =
            balance::planned(self.commits, self.credits, owner, left)?;
        let recurring_grants = recurring_grant::planned(self.recurring_commits, self.recurring_credits, ids)?;
        let recurring = recurring_grant::by_temporary_id(&recurring_grants, &by_temporary_id)?;
        let nameable = Nameable { balances: &by_temporary_id, recurring: &recurring, of_customer: true };
        let overrides = rate_override::planned(self.overrides, prioritization, nameable, ids, now)?;
        Ok(NewContract {
            id,
            customer_id,
            package_id: None,
            name: self.name,
            rate_card,
            starting_at,
            ending_before,
            schedule,
            invoice_generation_starting_at: generation.map(|instant| instant.0),
            net_payment_terms_days: self.net_payment_terms_days.map(|days| days.0),
            total_contract_value: self.total_contract_value.map(|value| value.0),
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
            multiplier_override_prioritization: prioritization,
            charges,
            charge_fields,
            scheduled_charges_on_usage_invoices: self.scheduled_charges_on_usage_invoices,
            usage_filter: self.usage_filter,
            overrides,
            balances,
            recurring_grants,
            uniqueness_key: self.uniqueness_key,
            custom_fields,
        })
    }

    /// What stands beside a package; 400 naming any other term, which the package has (schema
    /// `CreateContractPayload`). An empty list asks for nothing.
    pub fn beside_a_package(self) -> Result<BesidePackage, ApiError> {
        let terms = [
            ("ending_before", self.ending_before.is_some()),
            ("rate_card_id", self.rate_card_id.is_some()),
            ("rate_card_alias", self.rate_card_alias.is_some()),
            ("usage_statement_schedule", self.usage_statement_schedule.is_some()),
            ("name", self.name.is_some()),
            ("net_payment_terms_days", self.net_payment_terms_days.is_some()),
            ("total_contract_value", self.total_contract_value.is_some()),
            ("netsuite_sales_order_id", self.netsuite_sales_order_id.is_some()),
            ("salesforce_opportunity_id", self.salesforce_opportunity_id.is_some()),
            ("multiplier_override_prioritization", self.multiplier_override_prioritization.is_some()),
            ("scheduled_charges", self.scheduled_charges.is_some_and(|charges| !charges.is_empty())),
            ("scheduled_charges_on_usage_invoices", self.scheduled_charges_on_usage_invoices.is_some()),
            ("usage_filter", self.usage_filter.is_some()),
            ("overrides", !self.overrides.is_empty()),
            ("commits", !self.commits.is_empty()),
            ("credits", !self.credits.is_empty()),
            ("recurring_commits", !self.recurring_commits.is_empty()),
            ("recurring_credits", !self.recurring_credits.is_empty()),
        ];
        if let Some((field, _)) = terms.into_iter().find(|(_, is_given)| *is_given) {
            let reason = "cannot stand beside a package, which has the terms; only starting_at, uniqueness_key, \
                          transition and custom_fields may";
            return Err(ApiError::field(field, reason));
        }
        Ok(BesidePackage {
            starting_at: self.starting_at.0,
            uniqueness_key: self.uniqueness_key,
            custom_fields: self.custom_fields.checked()?,
        })
    }
}

/// Makes the contract, with what is due for it; answers its customer too.
///
/// 404 for a customer, a card or a product that is not there, 400 for one that is archived or of the wrong type, 409
/// for a uniqueness key that was used before.
pub async fn create(
    db: &mut PgConnection,
    caller: &Writer,
    mut new: NewContract,
) -> Result<(CustomerRow, WholeContract), ApiError> {
    let environment_id = caller.environment_id();
    let customer = customer::lock(db, environment_id, new.customer_id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("customer_id", "the customer is archived"));
    }
    let card = resolve_rate_card(db, environment_id, new.rate_card.as_ref(), new.starting_at).await?;
    let products = new.charges.iter().map(|charge| charge.product_id);
    let product_names = scheduled_charge::fixed_products(db, environment_id, products, caller.now).await?;
    check_overrides(db, environment_id, card.as_ref(), &mut new.overrides).await?;
    let named = recurring_grant::share_named(db, environment_id, &new.recurring_grants, caller.now).await?;
    let mut contract = Contract {
        customer_id: customer.id,
        id: new.id,
        package_id: new.package_id,
        name: new.name,
        rate_card_id: card.as_ref().map(|card| card.id),
        unit: card.as_ref().map_or_else(CreditType::usd, RateCardRow::unit),
        starting_at: new.starting_at,
        ending_before: new.ending_before,
        initial_ending_before: new.ending_before,
        schedule: new.schedule,
        invoice_generation_starting_at: new.invoice_generation_starting_at,
        net_payment_terms_days: new.net_payment_terms_days,
        total_contract_value: new.total_contract_value,
        netsuite_sales_order_id: new.netsuite_sales_order_id,
        salesforce_opportunity_id: new.salesforce_opportunity_id,
        multiplier_override_prioritization: new.multiplier_override_prioritization,
        scheduled_charges_on_usage_invoices: new.scheduled_charges_on_usage_invoices,
        usage_filters: UsageFilters::default(),
        overrides: Vec::new(),
        uniqueness_key: new.uniqueness_key.as_ref().map(|key| key.0.clone()),
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
        finalized_until: first_statement_at(new.starting_at, new.invoice_generation_starting_at),
    };
    if let Some(key) = &new.uniqueness_key {
        reserve_uniqueness_key(db, environment_id, "contract", key, contract.id.0).await?;
    }
    store::insert(db, environment_id, &contract).await?;
    if let Some(input) = new.usage_filter {
        add_filter(db, environment_id, &mut contract, input, caller)
            .await
            .map_err(|error| error.within("usage_filter"))?;
    }
    let balances = balance::create(db, caller, new.balances).await?;
    let targetings = || new.overrides.iter().map(|one| &one.targeting);
    let mut known = Nameables::of_customer(db, environment_id, customer.id, targetings()).await?;
    known.balances.extend(balances.iter().map(|balance| (balance.id, balance.balance_type)));
    known.recurring.extend(new.recurring_grants.iter().map(|grant| (grant.id, grant.kind)));
    known.check(targetings())?;
    contract.overrides =
        rate_override::insert(db, environment_id, &contract, new.overrides, &caller.token_name).await?;
    let override_names =
        rate_override::names(db, environment_id, contract.overrides.iter(), caller.now).await?;
    scheduled_charge::insert(db, environment_id, customer.id, &new.charges).await?;
    let grants =
        recurring_grant::begin(db, environment_id, &contract, new.recurring_grants, &named, caller).await?;
    schedule_work(db, environment_id, &contract).await?;
    schedule_true_ups(db, environment_id, customer.id).await?;
    let fields = new.custom_fields;
    custom_field::set(db, environment_id, ManagedEntity::Contract, contract.id.0, &fields).await?;
    let charge_fields: BTreeMap<Uuid, CustomFields> =
        new.charges.iter().map(|charge| charge.id.0).zip(new.charge_fields).collect();
    for (index, charge) in new.charges.iter().enumerate() {
        let (entity, fields) = (ManagedEntity::ScheduledCharge, &charge_fields[&charge.id.0]);
        custom_field::set(db, environment_id, entity, charge.id.0, fields)
            .await
            .map_err(|error| error.within(&format!("scheduled_charges[{index}]")))?;
    }
    let balances =
        BalancesOfContract::load(db, environment_id, std::slice::from_ref(&contract), Cap::All, caller.now)
            .await?;
    let whole = WholeContract {
        balances: balances.into_values().next().unwrap_or_default(),
        contract,
        charges: new.charges,
        product_names: product_names.into_iter().chain(named.product_names).collect(),
        grants,
        override_names,
        custom_fields: fields,
        charge_fields,
        transitions: Vec::new(),
        now: caller.now,
    };
    Ok((customer, whole))
}

/// 404 and 400 for overrides that do not fit the contract's card.
async fn check_overrides(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card: Option<&RateCardRow>,
    overrides: &mut [Override],
) -> Result<(), ApiError> {
    if overrides.is_empty() {
        return Ok(());
    }
    let targetings = overrides.iter().map(|one| &one.targeting);
    let card = rate_override::Card::load(db, environment_id, card, targetings).await?;
    for (index, one) in overrides.iter_mut().enumerate() {
        let path = format!("overrides[{index}]");
        card.check(&path, &one.targeting, &mut one.kind, one.starting_at, one.ending_before)?;
    }
    Ok(())
}

/// Adds the filter that the contract is made with.
async fn add_filter(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &mut Contract,
    input: UsageFilterInput,
    caller: &Writer,
) -> Result<(), ApiError> {
    let filter = usage_filter::planned(contract, input, true, caller.now)?;
    usage_filter::add(db, environment_id, contract, filter, &caller.token_name).await
}

fn schedule(
    input: Option<&UsageStatementScheduleInput>,
    starting_at: Instant,
) -> Result<StatementSchedule, ApiError> {
    let frequency = input.map_or(StatementFrequency::Monthly, |input| input.frequency);
    let day = input.and_then(|input| input.day).unwrap_or(StatementDay::FirstOfMonth);
    let custom = input.and_then(|input| input.billing_anchor_date);
    let path = "usage_statement_schedule.billing_anchor_date";
    let anchor = match (day, custom) {
        (StatementDay::FirstOfMonth, None) => StatementSchedule::first_of_month(starting_at),
        (StatementDay::ContractStart, None) => starting_at,
        (StatementDay::CustomDate, Some(anchor)) => anchor.0,
        (StatementDay::CustomDate, None) => return Err(ApiError::field(path, "is required for CUSTOM_DATE")),
        (_, Some(_)) => return Err(ApiError::field(path, "is only for the day CUSTOM_DATE")),
    };
    Ok(StatementSchedule { frequency, anchor })
}

/// The card of the contract: none, the one named by id, or the one that holds the alias as the contract starts.
/// It is resolved once and never moved by later changes of the alias.
async fn resolve_rate_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    reference: Option<&RateCardReference>,
    starting_at: Instant,
) -> Result<Option<RateCardRow>, ApiError> {
    let id = match reference {
        None => return Ok(None),
        Some(RateCardReference::Id(id)) => *id,
        Some(RateCardReference::Alias(alias)) => {
            let holder = rate_card::resolve_alias(db, environment_id, alias, starting_at).await?;
            holder.ok_or_else(|| {
                ApiError::NotFound(format!(
                    "rate_card_alias: no rate card holds the alias `{alias}` at {}",
                    shown(starting_at)
                ))
            })?
        }
    };
    let card = rate_card::find(db, environment_id, id).await?;
    let card = card.ok_or_else(|| ApiError::not_found("rate card", id))?;
    if card.archived_at.is_some() {
        return Err(ApiError::field("rate_card_id", "the rate card is archived"));
    }
    Ok(Some(card))
}
