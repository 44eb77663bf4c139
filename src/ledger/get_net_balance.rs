//! `POST /v1/contracts/customerBalances/getNetBalance`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{accounts, of_drafts};
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::catalog::credit_type;
use crate::contract::balance::{self, AccessType, Balance, BalanceType, access_unit};
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::error::ApiError;
use crate::id::{CreditTypeId, CustomerId, EnvironmentId};
use crate::invoice::Drafts;
use crate::money::{CreditType, Decimal, Number};
use crate::time::{Instant, Period};
use crate::usage::begin_usage_read;
use crate::usage::ingest::Metering;
use crate::wire::{Data, Json};

wire_enum! {
    /// What is a kind of balance here.
    pub enum BalanceKind {
        PrepaidCommit = "PREPAID_COMMIT",
        PostpaidCommit = "POSTPAID_COMMIT",
        Credit = "CREDIT",
    }
}

wire_enum! {
    /// Which invoices draw.
    pub enum InvoiceInclusion {
        Finalized = "FINALIZED",
        FinalizedAndDraft = "FINALIZED_AND_DRAFT",
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct GetNetBalance {
    customer_id: CustomerId,
    /// The unit of what is summed; USD (cents) when omitted. Quantities have none.
    credit_type_id: Option<CreditTypeId>,
    /// Only balances that pass any of these; all when omitted or empty.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    filters: Vec<BalanceFilter>,
    /// Whether what drafts draw is taken off; FINALIZED_AND_DRAFT when omitted.
    invoice_inclusion_mode: Option<InvoiceInclusion>,
    /// Whether those are summed that are drawn by what usage costs, or those that are drawn by its quantity; SPEND when omitted.
    access_type: Option<AccessType>,
}

/// Conditions that must all hold; one that is left out or empty always does.
#[derive(Deserialize, JsonSchema)]
struct BalanceFilter {
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    balance_types: Vec<BalanceKind>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    ids: Vec<Uuid>,
    /// The balance has each of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: BTreeMap<String, String>,
}

impl BalanceFilter {
    fn passes(&self, balance: &Balance, fields: Option<&CustomFields>) -> bool {
        let kind = match balance.balance_type {
            BalanceType::Prepaid => BalanceKind::PrepaidCommit,
            BalanceType::Postpaid => BalanceKind::PostpaidCommit,
            BalanceType::Credit => BalanceKind::Credit,
        };
        let has = |(key, value): (&String, &String)| fields.and_then(|fields| fields.get(key)) == Some(value);
        (self.balance_types.is_empty() || self.balance_types.contains(&kind))
            && (self.ids.is_empty() || self.ids.contains(&balance.id.0))
            && self.custom_fields.iter().all(has)
    }
}

#[derive(Serialize, JsonSchema)]
pub struct NetBalance {
    balance: Number,
    /// The null id, `00000000-0000-0000-0000-000000000000`, where it is of quantities; a request names none there.
    credit_type_id: CreditTypeId,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Json(request): Json<GetNetBalance>,
) -> Result<axum::Json<Data<NetBalance>>, ApiError> {
    let environment_id = caller.environment_id();
    let customer_id = request.customer_id;
    let asked = access_unit("credit_type_id", request.access_type, request.credit_type_id)?;
    let (mut snapshot, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(customer_id), metering.recent()).await?;
    let counts_drafts = request.invoice_inclusion_mode != Some(InvoiceInclusion::Finalized);
    let unit_id = unit(&mut snapshot, environment_id, asked).await?;
    let counts = |balance: &Balance| balance.unit_id() == unit_id && is_active(balance, caller.now);
    let Some((_, state)) = uncounted.customer() else {
        return Err(ApiError::field("customer_id", format!("customer {customer_id} was not found")));
    };
    let (drafts, balances);
    if counts_drafts {
        drafts = of_drafts(&mut snapshot, environment_id, customer_id, uncounted, caller.now, counts).await?;
        balances = drafts.holdings.balances.iter().filter(|balance| counts(balance)).cloned().collect();
    } else {
        drafts = Drafts::none(Some(state));
        let now = Period::at(caller.now);
        let drawable = balance::drawable(&mut snapshot, environment_id, [(customer_id, now)]).await?;
        balances = drawable.into_iter().filter(counts).collect();
    }
    let balances = passing(&mut snapshot, environment_id, balances, &request.filters).await?;
    let accounts = accounts(&mut snapshot, environment_id, customer_id, balances, &drafts).await?;
    let balance: Decimal = accounts.iter().map(|account| account.balance_at(caller.now)).sum();
    Ok(axum::Json(Data { data: NetBalance { balance: Number(balance), credit_type_id: unit_id } }))
}

/// Whether one of its segments has begun and has not ended: many may lie between others.
fn is_active(balance: &Balance, now: Instant) -> bool {
    balance.terms.segments.iter().any(|segment| segment.period().contains(now))
}

/// The unit, which must be there; the null id for quantities.
async fn unit(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    asked: Option<CreditTypeId>,
) -> Result<CreditTypeId, ApiError> {
    let Some(id) = asked else { return Ok(CreditTypeId::NONE) };
    if CreditType::find_fiat(id).is_none()
        && credit_type::find_many(db, environment_id, &[id.0]).await?.is_empty()
    {
        return Err(ApiError::field("credit_type_id", format!("pricing unit {id} was not found")));
    }
    Ok(id)
}

/// The balances that pass any of the filters. Custom fields are looked up only where a filter names one.
async fn passing(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut balances: Vec<Balance>,
    filters: &[BalanceFilter],
) -> Result<Vec<Balance>, sqlx::Error> {
    if filters.is_empty() {
        return Ok(balances);
    }
    let mut fields = BTreeMap::new();
    if filters.iter().any(|filter| !filter.custom_fields.is_empty()) {
        for (entity, is_credit) in [(ManagedEntity::Commit, false), (ManagedEntity::ContractCredit, true)] {
            let own = balances.iter().filter(|balance| balance.is_credit() == is_credit);
            let ids: Vec<Uuid> = own.map(|balance| balance.id.0).collect();
            fields.extend(custom_field::of_many(db, environment_id, entity, &ids).await?);
        }
    }
    balances.retain(|balance| {
        let fields = fields.get(&balance.id.0);
        filters.iter().any(|filter| filter.passes(balance, fields))
    });
    Ok(balances)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getNetBalance").tag("Credits and commits").summary("Get the net balance of a customer").description(
        "What is left, at this moment, of all commits and credits in one unit, those of contracts too; of a postpaid \
         commit, what is still to be spent. A segment that was drawn below zero counts as zero. With access_type QUANTITY: \
         how many units of usage are left, of whatever they are.",
    )
}
