//! `POST /v1/contracts/create`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rate_override::{self, Override, OverrideInput};
use super::scheduled_charge::{self, ScheduledCharge, ScheduledChargeInput};
use super::statement::{StatementDay, first_statement_at};
use super::store;
use super::terms::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
use super::usage_filter::{self, UsageFilterInput};
use super::view::ContractV2;
use super::whole::WholeContract;
use super::work::schedule_work;
use crate::access::{App, Record, Writer, reserve_uniqueness_key};
use crate::catalog::product::{self, ProductRow, ProductType};
use crate::catalog::rate_card::{self, RateCardRow};
use crate::catalog::usage_filter::UsageFilters;
use crate::custom_field::{self, CustomFields, CustomFieldsInput, ManagedEntity};
use crate::customer;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId, ProductId, RateCardId};
use crate::money::{CreditType, InputNumber, is_negative};
use crate::time::{Instant, StatementFrequency, StatementSchedule, shown};
use crate::wire::{Data, HourBoundary, Json, Later, UniquenessKey};

#[derive(Deserialize, JsonSchema)]
pub struct CreateContract {
    customer_id: CustomerId,
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
    #[serde(default, rename = "package_id")]
    #[schemars(skip)]
    _package_id: Later,
    #[serde(default, rename = "package_alias")]
    #[schemars(skip)]
    _package_alias: Later,
    #[serde(default, rename = "commits")]
    #[schemars(skip)]
    _commits: Later,
    #[serde(default, rename = "credits")]
    #[schemars(skip)]
    _credits: Later,
    #[serde(default, rename = "recurring_commits")]
    #[schemars(skip)]
    _recurring_commits: Later,
    #[serde(default, rename = "recurring_credits")]
    #[schemars(skip)]
    _recurring_credits: Later,
    #[serde(default, rename = "discounts")]
    #[schemars(skip)]
    _discounts: Later,
    #[serde(default, rename = "professional_services")]
    #[schemars(skip)]
    _professional_services: Later,
    #[serde(default, rename = "reseller_royalties")]
    #[schemars(skip)]
    _reseller_royalties: Later,
    #[serde(default, rename = "transition")]
    #[schemars(skip)]
    _transition: Later,
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

/// The answer: the id, and the contract as v2 shows it.
#[derive(Serialize, JsonSchema)]
pub struct CreatedContract {
    id: ContractId,
    contract: ContractV2,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateContract>,
) -> Result<axum::Json<Data<CreatedContract>>, ApiError> {
    let environment_id = caller.environment_id();
    let starting_at = request.starting_at.0;
    let ending_before = request.ending_before.map(|end| end.0);
    check_terms(&request)?;
    let schedule = schedule(request.usage_statement_schedule.as_ref(), starting_at)?;
    let generation = request.usage_statement_schedule.and_then(|input| input.invoice_generation_starting_at);
    let generation = generation.map(|instant| instant.0);
    let contract_id = app.ids.next();
    let inputs = request.scheduled_charges.unwrap_or_default();
    let fields = request.custom_fields.checked()?;
    let charge_fields = scheduled_charge::custom_fields(&inputs)?;
    let charges = scheduled_charge::planned(inputs, contract_id, &app.ids, caller.now)?;
    let prioritization =
        request.multiplier_override_prioritization.unwrap_or(MultiplierPrioritization::LowestMultiplier);
    let mut overrides = rate_override::planned(request.overrides, prioritization, &app.ids, caller.now)?;

    let mut change = caller.begin(&app).await?;
    let customer = customer::lock(&mut change, environment_id, request.customer_id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("customer_id", "the customer is archived"));
    }
    let card = resolve_rate_card(
        &mut change,
        environment_id,
        request.rate_card_id,
        request.rate_card_alias.as_deref(),
        starting_at,
    )
    .await?;
    let product_names = fixed_products(&mut change, environment_id, &charges, caller.now).await?;
    check_overrides(&mut change, environment_id, card.as_ref(), &mut overrides).await?;
    let mut contract = Contract {
        customer_id: customer.id,
        id: contract_id,
        name: request.name,
        rate_card_id: card.as_ref().map(|card| card.id),
        unit: card.as_ref().map_or_else(CreditType::usd, RateCardRow::unit),
        starting_at,
        ending_before,
        initial_ending_before: ending_before,
        schedule,
        invoice_generation_starting_at: generation,
        net_payment_terms_days: request.net_payment_terms_days.map(|days| days.0),
        total_contract_value: request.total_contract_value.map(|value| value.0),
        netsuite_sales_order_id: request.netsuite_sales_order_id,
        salesforce_opportunity_id: request.salesforce_opportunity_id,
        multiplier_override_prioritization: prioritization,
        scheduled_charges_on_usage_invoices: request.scheduled_charges_on_usage_invoices,
        usage_filters: UsageFilters::default(),
        overrides: Vec::new(),
        uniqueness_key: request.uniqueness_key.as_ref().map(|key| key.0.clone()),
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
        finalized_until: first_statement_at(starting_at, generation),
    };
    if let Some(key) = &request.uniqueness_key {
        reserve_uniqueness_key(&mut change, environment_id, "contract", key, contract.id.0).await?;
    }
    store::insert(&mut change, environment_id, &contract).await?;
    if let Some(input) = request.usage_filter {
        add_filter(&mut change, environment_id, &mut contract, input, &caller)
            .await
            .map_err(|error| error.within("usage_filter"))?;
    }
    let overrides =
        rate_override::insert(&mut change, environment_id, &contract, overrides, &caller.token_name).await?;
    let names = rate_override::names(&mut change, environment_id, overrides.iter(), caller.now).await?;
    contract.overrides = overrides;
    scheduled_charge::insert(&mut change, environment_id, customer.id, &charges).await?;
    schedule_work(&mut change, environment_id, &contract).await?;
    custom_field::set(&mut change, environment_id, ManagedEntity::Contract, contract.id.0, &fields).await?;
    let charge_fields: BTreeMap<Uuid, CustomFields> =
        charges.iter().map(|charge| charge.id.0).zip(charge_fields).collect();
    for (index, charge) in charges.iter().enumerate() {
        let (entity, fields) = (ManagedEntity::ScheduledCharge, &charge_fields[&charge.id.0]);
        custom_field::set(&mut change, environment_id, entity, charge.id.0, fields)
            .await
            .map_err(|error| error.within(&format!("scheduled_charges[{index}]")))?;
    }
    let record = Record::new(contract.id.0, format!("Created a contract of customer {}", customer.name));
    let whole = WholeContract {
        contract,
        charges,
        product_names,
        override_names: names,
        custom_fields: fields,
        charge_fields,
        now: caller.now,
    };
    let created = CreatedContract { id: contract_id, contract: whole.into() };
    let answer = change.commit(record, axum::Json(Data { data: created })).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// 404 and 400 for overrides that do not fit the contract's card.
async fn check_overrides(
    db: &mut sqlx::PgConnection,
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

/// 400 for terms that make no sense by themselves.
fn check_terms(request: &CreateContract) -> Result<(), ApiError> {
    if request.ending_before.is_some_and(|end| end <= request.starting_at) {
        return Err(ApiError::field("ending_before", "must be after starting_at"));
    }
    for (field, value) in [
        ("net_payment_terms_days", &request.net_payment_terms_days),
        ("total_contract_value", &request.total_contract_value),
    ] {
        if value.as_ref().is_some_and(|value| is_negative(&value.0)) {
            return Err(ApiError::field(field, "must not be negative"));
        }
    }
    Ok(())
}

/// Adds the filter that the contract is made with.
async fn add_filter(
    db: &mut sqlx::PgConnection,
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

/// The names of the charges' products, kept from being archived until the transaction ends: 404 where there is none,
/// 400 for one that is archived or not FIXED.
async fn fixed_products(
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    charges: &[ScheduledCharge],
    now: Instant,
) -> Result<BTreeMap<ProductId, String>, ApiError> {
    let ids: Vec<Uuid> = charges.iter().map(|charge| charge.product_id.0).collect();
    let products = product::share_many(db, environment_id, &ids).await?;
    let products: BTreeMap<ProductId, ProductRow> =
        products.into_iter().map(|product| (product.id, product)).collect();
    for (index, charge) in charges.iter().enumerate() {
        let product = products.get(&charge.product_id);
        let product = product.ok_or_else(|| ApiError::not_found("product", charge.product_id))?;
        let refused =
            |reason: &str| ApiError::field(&format!("scheduled_charges[{index}].product_id"), reason);
        if product.product_type != ProductType::Fixed {
            return Err(refused("a scheduled charge is of a FIXED product"));
        }
        if product.archived_at.is_some() {
            return Err(refused("the product is archived"));
        }
    }
    Ok(products.into_iter().map(|(id, product)| (id, product.timeline().at(now).name.clone())).collect())
}

/// The card of the contract: none, the one named by id, or the one that holds the alias as the contract starts.
/// It is resolved once and never moved by later changes of the alias.
async fn resolve_rate_card(
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    id: Option<RateCardId>,
    alias: Option<&str>,
    starting_at: Instant,
) -> Result<Option<RateCardRow>, ApiError> {
    let id = match (id, alias) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let reason = "give either rate_card_id or rate_card_alias, not both";
            return Err(ApiError::field("rate_card_alias", reason));
        }
        (Some(id), None) => id,
        (None, Some(alias)) => {
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

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createContract").tag("Contracts").summary("Create a contract").description(
        "Every statement period since its start gets its usage invoice; those that are over are finalized soon after. \
         Scheduled charges have their invoices at once, as drafts until their dates. Without a rate card no usage is \
         priced.",
    )
}
