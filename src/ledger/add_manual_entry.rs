//! `POST /v1/contracts/addManualBalanceLedgerEntry`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::accounts::accounts;
use super::calc::{Account, TrueUp};
use super::change::keep;
use crate::access::{App, Record, Writer, reserve_uniqueness_key};
use crate::contract::balance::{self, Balance, ManualEntry, Segment};
use crate::error::ApiError;
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, SegmentId};
use crate::invoice::{Drafts, begin_caught_up};
use crate::money::{InputNumber, Number, plain, zero};
use crate::time::{Instant, Period};
use crate::wire::{Empty, Json, Later, NonBlank, Timestamp, UniquenessKey};

/// Most entries of one commit or credit (our decision: each of its states keeps them all).
const ENTRIES_MAX: usize = 1000;

#[derive(Deserialize, JsonSchema)]
pub struct AddManualBalanceLedgerEntry {
    customer_id: CustomerId,
    /// The contract that it belongs to; left out for a customer's own.
    contract_id: Option<ContractId>,
    /// A commit or a credit.
    id: BalanceId,
    segment_id: SegmentId,
    /// Above zero it adds value, below zero it takes some away.
    amount: InputNumber,
    reason: NonBlank,
    /// Within the segment, or its end; its start when omitted. Whatever it is, the entry counts at once.
    timestamp: Option<Timestamp>,
    // The amount of each seat.
    #[serde(default, rename = "per_group_amounts")]
    #[schemars(skip)]
    _per_group_amounts: Later,
    /// Makes one entry, ever.
    uniqueness_key: Option<UniquenessKey>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<AddManualBalanceLedgerEntry>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    if request.amount.0 == zero() {
        return Err(ApiError::field("amount", "must not be 0"));
    }
    let (mut change, _) = begin_caught_up(&app, &caller, request.customer_id).await?;
    let account = account(&mut change, environment_id, &request).await?;
    let dated_at = date(&account, &request)?;
    let mut balance = account.balance;
    let entry = ManualEntry {
        id: app.ids.next(),
        segment_id: request.segment_id,
        amount: Number(request.amount.0.clone()),
        reason: request.reason.0,
        dated_at,
        written_at: caller.now,
    };
    if let Some(key) = &request.uniqueness_key {
        reserve_uniqueness_key(&mut change, environment_id, "manual_ledger_entry", key, entry.id.0).await?;
    }
    balance.terms.manual_entries.push(entry);
    keep(&mut change, &caller, &balance).await?;
    let what = if balance.is_credit() { "credit" } else { "commit" };
    let description = format!("Wrote {} into the ledger of a {what}", plain(&request.amount.0));
    change.commit(Record::new(balance.id.0, description).of(what), Empty).await
}

/// The account that the entry goes to; 404 where there is none, also where it belongs to another contract.
async fn account(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    request: &AddManualBalanceLedgerEntry,
) -> Result<Account, ApiError> {
    let customer_id = request.customer_id;
    let balance = balance::find(db, environment_id, customer_id, request.id).await?;
    // Without a contract the id alone says which is meant.
    let is_meant =
        |balance: &Balance| request.contract_id.is_none() || request.contract_id == balance.contract_id;
    let balance = balance.filter(is_meant).ok_or_else(|| match request.contract_id {
        Some(contract_id) => ApiError::NotFound(format!(
            "commit or credit {} of contract {contract_id} was not found",
            request.id
        )),
        None => ApiError::not_found("commit or credit", request.id),
    })?;
    let accounts = accounts(db, environment_id, customer_id, vec![balance], &Drafts::none(None)).await?;
    Ok(accounts.into_iter().next().expect("one balance was given"))
}

/// When the entry is dated. 404 for an unknown segment; 400 where it cannot have entries, or not then.
fn date(account: &Account, request: &AddManualBalanceLedgerEntry) -> Result<Instant, ApiError> {
    let balance = &account.balance;
    if balance.archived_at.is_some() {
        return Err(ApiError::field("id", "it is archived"));
    }
    let segment = balance.segment(request.segment_id);
    let segment: &Segment = segment.ok_or_else(|| ApiError::not_found("segment", request.segment_id))?;
    if balance.terms.manual_entries.len() >= ENTRIES_MAX {
        return Err(ApiError::field(
            "id",
            format!("it has {ENTRIES_MAX} manual entries, the most that there may be"),
        ));
    }
    if matches!(account.true_up, TrueUp::Billed { .. }) {
        return Err(ApiError::field("id", "what was left of the commit is billed already"));
    }
    let Some(Period { start, end }) = account.access(segment) else {
        return Err(ApiError::field("segment_id", "the contract ends before the segment begins"));
    };
    let dated_at = request.timestamp.map_or(start, |timestamp| timestamp.0);
    if dated_at < start || dated_at > end {
        return Err(ApiError::field("timestamp", "must be within the segment"));
    }
    Ok(dated_at)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("addManualBalanceLedgerEntry")
        .tag("Credits and commits")
        .summary("Add a manual entry to a ledger")
        .description(
            "Adds value to a segment of a commit or credit, or takes some away. Drafts follow at once, finalized invoices \
             never. A segment may go below zero: then there is nothing left of it, and nothing is owed elsewhere.",
        )
}
