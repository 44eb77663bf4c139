//! `POST /v1/contracts/customerCommits/updateEndDate` and `POST /v1/contracts/customerCredits/updateEndDate`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::change::{Subject, access_is_open, find, keep, payments_are_open, settled};
use crate::access::{App, Record, Writer};
use crate::contract::balance::{BalanceTerms, BalanceType, Settled, remove_segment};
use crate::error::ApiError;
use crate::id::{BalanceId, CustomerId, SegmentId};
use crate::invoice::begin_caught_up;
use crate::time::{Instant, shown};
use crate::wire::{Data, HourBoundary, IdBody, Json, Timestamp, id_data};

/// At least one of the ends.
#[derive(Deserialize, JsonSchema)]
pub struct UpdateCommitEndDate {
    customer_id: CustomerId,
    /// A PREPAID commit.
    commit_id: BalanceId,
    /// Exclusive; on the hour; not after the end that it has.
    access_ending_before: Option<HourBoundary>,
    /// Exclusive: payments dated then or later that are on no invoice but drafts are dropped.
    invoices_ending_before: Option<Timestamp>,
}

#[derive(Deserialize, JsonSchema)]
pub struct UpdateCreditEndDate {
    customer_id: CustomerId,
    credit_id: BalanceId,
    /// Exclusive; on the hour; not after the end that it has.
    access_ending_before: HourBoundary,
}

/// The new ends of a commit or credit.
struct Ends {
    customer_id: CustomerId,
    id: BalanceId,
    access: Option<Instant>,
    invoices: Option<Instant>,
}

pub async fn of_commit(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<UpdateCommitEndDate>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let ends = Ends {
        customer_id: request.customer_id,
        id: request.commit_id,
        access: request.access_ending_before.map(|end| end.0),
        invoices: request.invoices_ending_before.map(|end| end.0),
    };
    if ends.access.is_none() && ends.invoices.is_none() {
        let reason = "give access_ending_before, invoices_ending_before or both";
        return Err(ApiError::field("access_ending_before", reason));
    }
    update(&app, &caller, Subject::Commit, ends).await
}

pub async fn of_credit(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<UpdateCreditEndDate>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let UpdateCreditEndDate { customer_id, credit_id, access_ending_before } = request;
    let ends = Ends { customer_id, id: credit_id, access: Some(access_ending_before.0), invoices: None };
    update(&app, &caller, Subject::Credit, ends).await
}

async fn update(
    app: &App,
    caller: &Writer,
    subject: Subject,
    ends: Ends,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let (mut change, _) = begin_caught_up(app, caller, ends.customer_id).await?;
    let balance = find(&mut change, environment_id, ends.customer_id, subject, ends.id).await?;
    let mut balance = balance.ok_or_else(|| ApiError::not_found(subject.name(), ends.id))?;
    if balance.archived_at.is_some() {
        return Err(subject.archived());
    }
    if balance.balance_type == BalanceType::Postpaid {
        return Err(ApiError::field("commit_id", "only a PREPAID commit can be ended early so"));
    }
    if balance.origin.is_some() {
        let field = format!("{}_id", subject.name());
        return Err(ApiError::field(&field, "what a renewal took over cannot be ended by itself"));
    }
    if ends.access.is_some() {
        access_is_open(&mut change, environment_id, &balance, "access_ending_before").await?;
    }
    if ends.invoices.is_some() {
        payments_are_open(&mut change, environment_id, &balance, "invoices_ending_before", caller.now)
            .await?;
    }
    let settled = settled(&mut change, environment_id, &balance).await?;
    let mut said = Vec::new();
    if let Some(end) = ends.access {
        end_access(&mut balance.terms, end, &settled)?;
        said.push(format!("access of the {} to end before {}", subject.name(), shown(end)));
    }
    if let Some(end) = ends.invoices {
        end_payments(&mut balance.terms, end, &settled);
        said.push(format!("its payments to end before {}", shown(end)));
    }
    keep(&mut change, caller, &balance).await?;
    let record = Record::new(balance.id.0, format!("Made {}", said.join(" and ")));
    let answer = change.commit(record, id_data(balance.id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// Cuts the segment that is open at `end` and removes those that start then or later.
fn end_access(terms: &mut BalanceTerms, end: Instant, settled: &Settled) -> Result<(), ApiError> {
    let refused = |reason: &str| Err(ApiError::field("access_ending_before", reason));
    let span = terms.span();
    if end > span.end {
        return refused("is later than the end that it has; edit its access_schedule to lengthen it");
    }
    if end <= span.start {
        return refused("must be after the start of its first segment; archive it to take it back");
    }
    let later = terms.segments.iter().filter(|segment| segment.starting_at >= end);
    let later: Vec<SegmentId> = later.map(|segment| segment.id).collect();
    if later.iter().any(|id| settled.drawn.contains(id)) {
        return refused("a finalized invoice drew a segment that starts then or later; void it before");
    }
    for id in later {
        remove_segment(terms, id);
    }
    for segment in &mut terms.segments {
        segment.ending_before = segment.ending_before.min(end);
    }
    Ok(())
}

/// Drops the payments from `end` on that are on no invoice but drafts.
fn end_payments(terms: &mut BalanceTerms, end: Instant, settled: &Settled) {
    let Some(payments) = &mut terms.payments else { return };
    payments.items.retain(|item| item.dated_at < end || settled.invoiced.contains(&item.id));
}

pub fn doc_of_commit(operation: TransformOperation) -> TransformOperation {
    operation
        .id("updateCommitEndDate")
        .tag("Credits and commits")
        .summary("End a prepaid commit earlier")
        .description(
            "Cuts its access, its payments or both. What is unused at the new end expires; drafts follow at once, finalized \
             invoices never.",
        )
}

pub fn doc_of_credit(operation: TransformOperation) -> TransformOperation {
    operation
        .id("updateCreditEndDate")
        .tag("Credits and commits")
        .summary("End a credit earlier")
        .description(
            "What is unused at the new end expires; drafts follow at once, finalized invoices never.",
        )
}
