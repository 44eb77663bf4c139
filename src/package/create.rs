//! `POST /v1/packages/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::balance_input::{self, BalanceTemplates, CommitTemplateInput, CreditTemplateInput};
use super::balance_store;
use super::input::{self, OverrideTemplateInput, ScheduledChargeTemplateInput, StatementTemplateInput};
use super::recurring_input::{
    self, RecurringCommitTemplateInput, RecurringCreditTemplateInput, RecurringTemplates,
};
use super::store;
use super::terms::{BalanceTemplate, CardReference, ChargeTemplate, OverrideTemplate, Package};
use crate::access::{App, Record, Writer, reserve_uniqueness_key};
use crate::catalog::alias::{self, AliasHolder, AliasInput};
use crate::catalog::rate_card::{self, RateCardRow};
use crate::contract::balance::{self, Found};
use crate::contract::rate_override::{Card, Nameable};
use crate::contract::recurring_grant;
use crate::contract::scheduled_charge::{self, ITEMS_MAX};
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, Nameables};
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::error::ApiError;
use crate::id::{EnvironmentId, RateCardId};
use crate::money::{InputNumber, is_negative};
use crate::time::{Instant, RelativeDate};
use crate::wire::{Data, IdBody, Json, Later, NonBlank, UniquenessKey, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreatePackage {
    /// For people of your own; customers never see it.
    name: NonBlank,
    /// The name of its contracts.
    contract_name: Option<String>,
    /// Makes one package, ever.
    uniqueness_key: Option<UniquenessKey>,
    /// The prices; or `rate_card_alias`.
    rate_card_id: Option<RateCardId>,
    /// The card that holds this alias as a contract starts; or `rate_card_id`.
    rate_card_alias: Option<String>,
    /// Names that contracts may use instead of the package's id.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    aliases: Vec<AliasInput>,
    /// How long its contracts last; open-ended when omitted.
    duration: Option<RelativeDate>,
    /// Invoices are due so many days after issue.
    net_payment_terms_days: Option<InputNumber>,
    usage_statement_schedule: Option<StatementTemplateInput>,
    multiplier_override_prioritization: Option<MultiplierPrioritization>,
    /// Payments of each contract.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    scheduled_charges: Vec<ScheduledChargeTemplateInput>,
    /// ALL: a charge that is dated on the day on which a usage statement ends goes onto that statement's invoice.
    scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    /// Prices and entitlement beside the card; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    overrides: Vec<OverrideTemplateInput>,
    /// What the usage of each contract may draw, or what each promises to spend; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    commits: Vec<CommitTemplateInput>,
    /// What the usage of each contract may draw for nothing; at most 1,000.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    credits: Vec<CreditTemplateInput>,
    /// Commits that are made anew for every period; at most 100.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    recurring_commits: Vec<RecurringCommitTemplateInput>,
    /// Credits that are made anew for every period; at most 100.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    recurring_credits: Vec<RecurringCreditTemplateInput>,
    #[serde(default, rename = "subscriptions")]
    #[schemars(skip)]
    _subscriptions: Later,
    #[serde(default, rename = "billing_provider")]
    #[schemars(skip)]
    _billing_provider: Later,
    #[serde(default, rename = "delivery_method")]
    #[schemars(skip)]
    _delivery_method: Later,
    #[serde(default, rename = "spend_threshold_configuration")]
    #[schemars(skip)]
    _spend_threshold_configuration: Later,
    #[serde(default, rename = "prepaid_balance_threshold_configuration")]
    #[schemars(skip)]
    _prepaid_balance_threshold_configuration: Later,
    #[serde(default, rename = "spend_trackers")]
    #[schemars(skip)]
    _spend_trackers: Later,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreatePackage>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    if request.net_payment_terms_days.as_ref().is_some_and(|days| is_negative(&days.0)) {
        return Err(ApiError::field("net_payment_terms_days", "must not be negative"));
    }
    let rate_card = match (request.rate_card_id, request.rate_card_alias) {
        (Some(_), Some(_)) => {
            let reason = "give either rate_card_id or rate_card_alias, not both";
            return Err(ApiError::field("rate_card_alias", reason));
        }
        (Some(id), None) => Some(CardReference::Id(id)),
        (None, alias) => alias.map(CardReference::Alias),
    };
    let package = Package {
        id: app.ids.next(),
        name: request.name.0,
        contract_name: request.contract_name,
        rate_card,
        duration: request.duration.map(|given| input::duration("duration", given)).transpose()?,
        net_payment_terms_days: request.net_payment_terms_days.map(|days| days.0),
        statements: input::statements(request.usage_statement_schedule.as_ref())?,
        scheduled_charges_on_usage_invoices: request.scheduled_charges_on_usage_invoices,
        multiplier_override_prioritization: request
            .multiplier_override_prioritization
            .unwrap_or(MultiplierPrioritization::LowestMultiplier),
        uniqueness_key: request.uniqueness_key.as_ref().map(|key| key.0.clone()),
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
    };
    let aliases = alias::validate(request.aliases)?;
    let charges = input::charges(request.scheduled_charges, package.id, &app.ids)?;
    let (charges, charge_fields): (Vec<ChargeTemplate>, Vec<_>) = charges.into_iter().unzip();
    let left = ITEMS_MAX - charges.iter().map(|charge| charge.items.len()).sum::<usize>();
    let BalanceTemplates { templates, by_temporary_id } =
        balance_input::balances(request.commits, request.credits, left, &app.ids)?;
    let (balances, balance_fields): (Vec<BalanceTemplate>, Vec<_>) = templates.into_iter().unzip();
    let recurring = recurring_input::recurring(
        request.recurring_commits,
        request.recurring_credits,
        &app.ids,
        caller.now,
    )?;
    let recurring_names = recurring_grant::by_temporary_id(&recurring.planned, &by_temporary_id)?;
    let nameable = Nameable { balances: &by_temporary_id, recurring: &recurring_names, of_customer: false };
    let prioritization = package.multiplier_override_prioritization;
    let overrides =
        input::overrides(request.overrides, package.id, prioritization, nameable, &app.ids, caller.now)?;
    nameables(&balances, &recurring).check(overrides.iter().map(|template| &template.rule.targeting))?;

    let mut change = caller.begin(&app).await?;
    let card = match package.rate_card {
        Some(CardReference::Id(id)) => Some(active_card(&mut change, environment_id, id).await?),
        Some(CardReference::Alias(_)) | None => None,
    };
    check_overrides(&mut change, environment_id, card.as_ref(), &overrides, caller.now).await?;
    let products = charges.iter().map(|charge| charge.product_id);
    scheduled_charge::fixed_products(&mut change, environment_id, products, caller.now).await?;
    check_balances(&mut change, environment_id, &balances).await?;
    recurring_grant::share_named(&mut change, environment_id, &recurring.planned, caller.now).await?;
    if let Some(key) = &request.uniqueness_key {
        reserve_uniqueness_key(&mut change, environment_id, "package", key, package.id.0).await?;
    }
    store::insert(&mut change, environment_id, &package).await?;
    store::insert_charges(&mut change, environment_id, &charges).await?;
    balance_store::insert(&mut change, environment_id, package.id, &balances).await?;
    let recurring = recurring.of_package(package.id);
    balance_store::insert_recurring(&mut change, environment_id, &recurring).await?;
    store::insert_overrides(&mut change, environment_id, &overrides).await?;
    alias::assign(&mut change, environment_id, AliasHolder::Package(package.id), &aliases).await?;
    set_charge_fields(&mut change, environment_id, &charges, &charge_fields).await?;
    set_balance_fields(&mut change, environment_id, &balances, &balance_fields).await?;
    let record = Record::new(package.id.0, format!("Created package {}", package.name));
    change.commit(record, id_data(package.id.0)).await
}

/// Gives each charge its custom fields.
async fn set_charge_fields(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    charges: &[ChargeTemplate],
    custom_fields: &[CustomFields],
) -> Result<(), ApiError> {
    for (index, (charge, fields)) in charges.iter().zip(custom_fields).enumerate() {
        let entity = ManagedEntity::PackageScheduledCharge;
        custom_field::set(db, environment_id, entity, charge.id.0, fields)
            .await
            .map_err(|error| error.within(&format!("scheduled_charges[{index}]")))?;
    }
    Ok(())
}

/// Gives each commit and credit its custom fields.
async fn set_balance_fields(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: &[BalanceTemplate],
    custom_fields: &[CustomFields],
) -> Result<(), ApiError> {
    // Both are in the order of the request, the commits first.
    for ((path, template), fields) in placed(balances).zip(custom_fields) {
        custom_field::set(db, environment_id, template.entity(), template.id.0, fields)
            .await
            .map_err(|error| error.within(&path))?;
    }
    Ok(())
}

/// What the overrides of a package may name.
fn nameables(balances: &[BalanceTemplate], recurring: &RecurringTemplates) -> Nameables {
    Nameables {
        balances: balances.iter().map(|template| (template.id, template.balance_type)).collect(),
        recurring: recurring.planned.iter().map(|grant| (grant.id, grant.kind)).collect(),
    }
}

/// Commits and credits, each with its place in the request.
fn placed(balances: &[BalanceTemplate]) -> impl Iterator<Item = (String, &BalanceTemplate)> {
    let commits = balances.iter().filter(|template| !template.is_credit()).enumerate();
    let credits = balances.iter().filter(|template| template.is_credit()).enumerate();
    let commits = commits.map(|(index, template)| (format!("commits[{index}]"), template));
    commits.chain(credits.map(|(index, template)| (format!("credits[{index}]"), template)))
}

/// 404 and 400 for products and custom units that commits and credits cannot name.
async fn check_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: &[BalanceTemplate],
) -> Result<(), ApiError> {
    let found = Found::load(db, environment_id, balances.iter().map(BalanceTemplate::named)).await?;
    for (path, template) in placed(balances) {
        found.check(template.named()).map_err(|error| balance::at(&path, error))?;
    }
    Ok(())
}

/// 404 where there is no such card, 400 where it is archived; it stays active until the transaction ends.
async fn active_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<RateCardRow, ApiError> {
    rate_card::share(db, environment_id, id).await?;
    let card = rate_card::find(db, environment_id, id).await?;
    let card = card.ok_or_else(|| ApiError::not_found("rate card", id))?;
    match card.archived_at {
        Some(_) => Err(ApiError::field("rate_card_id", "the rate card is archived")),
        None => Ok(card),
    }
}

/// 404 for products that are not there. Where the package names its card by id, 400 for what does not fit the card: by
/// an alias the card is known only as a contract is made, and so is what fits it.
async fn check_overrides(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card: Option<&RateCardRow>,
    overrides: &[OverrideTemplate],
    now: Instant,
) -> Result<(), ApiError> {
    if overrides.is_empty() {
        return Ok(());
    }
    let targetings = overrides.iter().map(|template| &template.rule.targeting);
    let known = Card::load(db, environment_id, card, targetings).await?;
    for (index, template) in overrides.iter().enumerate() {
        let (path, rule) = (format!("overrides[{index}]"), &template.rule);
        if card.is_some() {
            // The unit that this fills in is that of the day; each contract finds its own.
            known.check(&path, &rule.targeting, &mut rule.kind.clone(), now, None)?;
        } else {
            known.check_existence(&path, &rule.targeting)?;
        }
    }
    Ok(())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createPackage").tag("Packages").summary("Create a package").description(
        "A package never changes: a new version is another package that takes its alias over, and the older one keeps \
         the rest of the alias. Dates are counted from the start of each contract; days have 24 hours, months and \
         years keep the day, the last of the month where it is shorter.",
    )
}
