use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::calc::Regeneration;
use super::compute::{Seen, SeenTerms};
use super::model::{Invoice, InvoiceStatus, InvoiceType};
use super::purse::SeenBalances;
use crate::contract::Contract;
use crate::contract::balance::{self, Added, TrueUp};
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, InvoiceId, SubjectId};
use crate::money::Decimal;
use crate::rating::Newest;
use crate::time::{Instant, Period};

/// What a list of invoices is narrowed to.
#[derive(Clone, Copy)]
pub struct InvoiceFilter {
    pub status: Option<InvoiceStatus>,
    pub invoice_type: Option<InvoiceType>,
    pub credit_type_id: Option<CreditTypeId>,
    pub contract_id: Option<ContractId>,
    /// Periods that start then or later.
    pub starting_on: Option<Instant>,
    /// Periods that end then or earlier; an invoice of an instant, earlier (our decision: a period's end is exclusive
    /// itself, an instant is not).
    pub ending_before: Option<Instant>,
}

impl InvoiceFilter {
    /// Whether an invoice with these headers passes.
    #[must_use]
    pub fn passes(&self, invoice: &Invoice) -> bool {
        self.status.is_none_or(|status| status == invoice.status)
            && self.invoice_type.is_none_or(|invoice_type| invoice_type == invoice.invoice_type)
            && self.credit_type_id.is_none_or(|unit| unit == invoice.credit_type_id())
            && self.contract_id.is_none_or(|contract| contract == invoice.contract_id)
            && self.starting_on.is_none_or(|start| invoice.start_timestamp >= start)
            && self.ending_before.is_none_or(|end| {
                let is_of_an_instant = invoice.start_timestamp == invoice.end_timestamp;
                invoice.end_timestamp < end || (invoice.end_timestamp == end && !is_of_an_instant)
            })
    }
}

/// An invoice's place in a list: by issue, then by id.
pub type InvoicePosition = (Instant, InvoiceId);

/// Keeps a finalized invoice. One that is there already is an error: every statement is finalized once, with the
/// watermark of its contract, and one invoice at most stands for it.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoice: &Invoice,
    finalized_at: Instant,
    arrival: i64,
    seen: &Seen,
    regeneration: Option<&Regeneration>,
) -> Result<(), sqlx::Error> {
    let subjects: Vec<Uuid> = seen.subject_ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "INSERT INTO invoice (environment_id, customer_id, id, contract_id, type, status, credit_type_id, starts_at,
                              ends_at, issued_at, total, document, finalized_at, seen_arrival,
                              seen_subjects, seen_rate, seen_product_update, seen_usage_filter, seen_override,
                              seen_others, seen_balances, original_id, generation)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
        environment_id.0,
        invoice.customer_id.0,
        invoice.id.0,
        invoice.contract_id.0,
        invoice.invoice_type.as_str(),
        invoice.status.as_str(),
        invoice.credit_type_id().0,
        invoice.start_timestamp,
        invoice.end_timestamp,
        invoice.issued_at,
        invoice.total.0,
        Json(invoice) as _,
        finalized_at,
        arrival,
        &subjects,
        seen.terms.newest.rate,
        seen.terms.newest.product_update,
        seen.terms.usage_filter,
        seen.terms.rate_override,
        Json(&seen.others) as _,
        seen.balances.as_ref().map(Json) as _,
        regeneration.map(|regeneration| regeneration.original.0) as Option<Uuid>,
        regeneration.map_or(0, |regeneration| regeneration.generation),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps scheduled invoices of one contract, finalized or void. Beside the charges they see no more than the products.
pub async fn insert_scheduled(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    invoices: &[Invoice],
    finalized_at: Instant,
    seen_product_update: Option<i64>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = invoices.iter().map(|invoice| invoice.id.0).collect();
    let statuses: Vec<&str> = invoices.iter().map(|invoice| invoice.status.as_str()).collect();
    let units: Vec<Uuid> = invoices.iter().map(|invoice| invoice.credit_type_id().0).collect();
    let dates: Vec<Instant> = invoices.iter().map(|invoice| invoice.start_timestamp).collect();
    let issued: Vec<Instant> = invoices.iter().map(|invoice| invoice.issued_at).collect();
    let totals: Vec<Decimal> = invoices.iter().map(|invoice| invoice.total.0.clone()).collect();
    let documents: Vec<Json<&Invoice>> = invoices.iter().map(Json).collect();
    sqlx::query!(
        "INSERT INTO invoice (environment_id, customer_id, contract_id, type, finalized_at, seen_arrival,
                              seen_subjects, seen_product_update, id, status, voided_at, credit_type_id, starts_at,
                              ends_at, issued_at, total, document)
         SELECT $1, $2, $3, $4, $5::timestamptz, 0, '{}', $12, id, status,
                CASE WHEN status = 'VOID' THEN $5::timestamptz END, unit, dated_at, dated_at, issued_at, total, document
         FROM unnest($6::uuid[], $7::text[], $8::uuid[], $9::timestamptz[], $10::numeric[], $11::json[],
                     $13::timestamptz[]) AS given (id, status, unit, dated_at, total, document, issued_at)",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        InvoiceType::Scheduled.as_str(),
        finalized_at,
        &ids,
        &statuses as _,
        &units,
        &dates,
        &totals,
        &documents as _,
        seen_product_update,
        &issued,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the finalization of a true-up saw beside the products: the newest version of any balance of its customer, as renewals
/// take over from one to another, and the newest draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenOfTrueUp {
    pub balance: balance::Added,
    pub draw: i64,
}

/// Keeps the invoice of a true-up, finalized or void.
pub async fn insert_true_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoice: &Invoice,
    finalized_at: Instant,
    seen_product_update: Option<i64>,
    seen: SeenOfTrueUp,
    regeneration: Option<&Regeneration>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO invoice (environment_id, customer_id, id, contract_id, type, status, credit_type_id, starts_at,
                              ends_at, issued_at, total, document, finalized_at, seen_arrival, seen_subjects,
                              seen_product_update, seen_of_true_up, voided_at, original_id, generation)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, '{}', $14, $15, $16, $17, $18)",
        environment_id.0,
        invoice.customer_id.0,
        invoice.id.0,
        invoice.contract_id.0,
        invoice.invoice_type.as_str(),
        invoice.status.as_str(),
        invoice.credit_type_id().0,
        invoice.start_timestamp,
        invoice.end_timestamp,
        invoice.issued_at,
        invoice.total.0,
        Json(invoice) as _,
        finalized_at,
        seen_product_update,
        Json(seen) as _,
        (invoice.status == InvoiceStatus::Void).then_some(finalized_at),
        regeneration.map(|regeneration| regeneration.original.0) as Option<Uuid>,
        regeneration.map_or(0, |regeneration| regeneration.generation),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The ids of the stored scheduled invoices of each of these contracts on the date beside it.
pub async fn scheduled_ids(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    dates: &[(CustomerId, ContractId, Instant)],
) -> Result<BTreeSet<InvoiceId>, sqlx::Error> {
    let customers: Vec<Uuid> = dates.iter().map(|(customer, _, _)| customer.0).collect();
    let contracts: Vec<Uuid> = dates.iter().map(|(_, contract, _)| contract.0).collect();
    let dates: Vec<Instant> = dates.iter().map(|(_, _, dated_at)| *dated_at).collect();
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: InvoiceId"
           FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) AS given (customer_id, contract_id, dated_at)
           JOIN invoice ON invoice.environment_id = $1 AND invoice.customer_id = given.customer_id
                AND invoice.contract_id = given.contract_id AND ends_at = dated_at
           WHERE type = 'SCHEDULED'"#,
        environment_id.0,
        &customers,
        &contracts,
        &dates,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().collect())
}

/// The ids that true-up invoices of these commits have taken, each after its customer; of those that stand in for others, the
/// first one's.
pub async fn true_up_ids(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    commits: &[(CustomerId, BalanceId)],
) -> Result<BTreeSet<InvoiceId>, sqlx::Error> {
    let customers: Vec<Uuid> = commits.iter().map(|(customer, _)| customer.0).collect();
    let balances: Vec<Uuid> = commits.iter().map(|(_, balance)| balance.0).collect();
    let ids = sqlx::query_scalar!(
        r#"SELECT coalesce(invoice.original_id, invoice.id) AS "id!: InvoiceId"
           FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, balance_id)
           JOIN scheduled_charge charge ON charge.environment_id = $1 AND charge.customer_id = given.customer_id
                AND charge.balance_id = given.balance_id AND charge.is_true_up
           JOIN scheduled_charge_item item ON item.environment_id = $1 AND item.customer_id = given.customer_id
                AND item.contract_id = charge.contract_id AND item.scheduled_charge_id = charge.id
           JOIN invoice ON invoice.environment_id = $1 AND invoice.customer_id = given.customer_id
                AND invoice.id = item.invoice_id"#,
        environment_id.0,
        &customers,
        &balances,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().collect())
}

/// The newest version of any balance of each of these customers, and the number of the last draw of any; 0 where there is none. The
/// numbers of draws grow over all of a customer, as whoever makes one holds the customer.
pub async fn newest_of_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, (Added, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!: CustomerId",
                  coalesce((SELECT max(added) FROM balance
                            WHERE environment_id = $1 AND customer_id = given.id), 0) AS "version!",
                  coalesce((SELECT max(added) FROM balance_draw
                            WHERE environment_id = $1 AND customer_id = given.id), 0) AS "draw!"
           FROM unnest($2::uuid[]) AS given (id)"#,
        environment_id.0,
        customer_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, (row.version, row.draw))).collect())
}

/// What finalized true-up invoices bill of these commits, each after its customer: above zero.
pub async fn trued_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    commits: &[(CustomerId, BalanceId)],
) -> Result<BTreeMap<BalanceId, Decimal>, sqlx::Error> {
    let customers: Vec<Uuid> = commits.iter().map(|(customer, _)| customer.0).collect();
    let balances: Vec<Uuid> = commits.iter().map(|(_, balance)| balance.0).collect();
    let rows = sqlx::query!(
        r#"SELECT charge.balance_id AS "balance_id!: BalanceId", sum(invoice.total) AS "billed!"
           FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, balance_id)
           JOIN scheduled_charge charge ON charge.environment_id = $1 AND charge.customer_id = given.customer_id
                AND charge.balance_id = given.balance_id AND charge.is_true_up
           JOIN scheduled_charge_item item ON item.environment_id = $1 AND item.customer_id = given.customer_id
                AND item.contract_id = charge.contract_id AND item.scheduled_charge_id = charge.id
           JOIN invoice ON invoice.environment_id = $1 AND invoice.customer_id = given.customer_id
                AND invoice.id = item.invoice_id AND invoice.status = 'FINALIZED'
           GROUP BY charge.balance_id"#,
        environment_id.0,
        &customers,
        &balances,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.balance_id, row.billed)).collect())
}

/// A statement whose invoice is void and was not made anew.
#[derive(Clone, Copy, Debug)]
pub struct VoidUsage {
    /// The newest of its invoices.
    pub id: InvoiceId,
    pub contract_id: ContractId,
    pub period: Period,
}

impl VoidUsage {
    /// Whether it may spend a promise, of which it is not known before what is short.
    #[must_use]
    pub fn holds_up(&self, true_up: &TrueUp) -> bool {
        true_up.may_be_spent(self.contract_id, self.period)
    }
}

/// The customer's statements whose invoices are all void, by end.
pub async fn void_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<VoidUsage>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: InvoiceId", contract_id AS "contract_id: ContractId", starts_at, ends_at
           FROM invoice void
           WHERE environment_id = $1 AND customer_id = $2 AND type = 'USAGE' AND status = 'VOID'
             AND NOT EXISTS (
                 SELECT FROM invoice later
                 WHERE later.environment_id = $1 AND later.customer_id = $2 AND later.generation > void.generation
                   AND later.original_id = coalesce(void.original_id, void.id))
           ORDER BY ends_at, id"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(db)
    .await?;
    let void = rows.into_iter().map(|row| VoidUsage {
        id: row.id,
        contract_id: row.contract_id,
        period: Period { start: row.starts_at, end: row.ends_at },
    });
    Ok(void.collect())
}

/// The status is the row's: an invoice may be voided after it was stored.
fn invoice(document: Json<Invoice>, status: InvoiceStatus) -> Invoice {
    let mut invoice = document.0;
    invoice.status = status;
    invoice
}

pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: InvoiceId,
) -> Result<Option<Invoice>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT document AS "document: Json<Invoice>", status AS "status: InvoiceStatus"
           FROM invoice WHERE environment_id = $1 AND customer_id = $2 AND id = $3"#,
        environment_id.0,
        customer_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| invoice(row.document, row.status)))
}

/// Stored invoices in the order asked for, after `after`.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    filter: &InvoiceFilter,
    descending: bool,
    after: Option<InvoicePosition>,
    limit: usize,
) -> Result<Vec<Invoice>, sqlx::Error> {
    let (after_issued_at, after_id) = after.map(|(issued_at, id)| (issued_at, id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT document AS "document: Json<Invoice>", status AS "status: InvoiceStatus"
           FROM invoice
           WHERE environment_id = $1 AND customer_id = $2
             AND ($3::text IS NULL OR status = $3)
             AND ($4::text IS NULL OR type = $4)
             AND ($5::uuid IS NULL OR credit_type_id = $5)
             AND ($6::uuid IS NULL OR contract_id = $6)
             AND ($7::timestamptz IS NULL OR starts_at >= $7)
             AND ($8::timestamptz IS NULL OR ends_at < $8 OR (ends_at = $8 AND starts_at < ends_at))
             AND ($9::timestamptz IS NULL
                  OR CASE WHEN $11 THEN (issued_at, id) < ($9, $10) ELSE (issued_at, id) > ($9, $10) END)
           ORDER BY CASE WHEN $11 THEN issued_at END DESC, CASE WHEN $11 THEN id END DESC, issued_at, id
           LIMIT $12"#,
        environment_id.0,
        customer_id.0,
        filter.status.map(InvoiceStatus::as_str),
        filter.invoice_type.map(InvoiceType::as_str),
        filter.credit_type_id.map(|id| id.0),
        filter.contract_id.map(|id| id.0),
        filter.starting_on,
        filter.ending_before,
        after_issued_at,
        after_id as Option<Uuid>,
        descending,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| invoice(row.document, row.status)).collect())
}

/// The latest instant that decided about the billable status of an invoice that is finalized (see
/// [`Invoice::billable_status_at`]).
pub async fn last_finalized_at(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Option<Instant>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT max(CASE type WHEN 'SCHEDULED' THEN issued_at ELSE starts_at END) FROM invoice
         WHERE environment_id = $1 AND customer_id = $2 AND status = 'FINALIZED'",
        environment_id.0,
        customer_id.0,
    )
    .fetch_one(db)
    .await
}

/// The invoices of a customer, or of one of its contracts, that are finalized or that are void.
pub async fn ids_with_status(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_id: Option<ContractId>,
    status: InvoiceStatus,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM invoice
         WHERE environment_id = $1 AND customer_id = $2 AND ($3::uuid IS NULL OR contract_id = $3)
           AND status = $4 ORDER BY id",
        environment_id.0,
        customer_id.0,
        contract_id.map(|id| id.0) as Option<Uuid>,
        status.as_str(),
    )
    .fetch_all(db)
    .await
}

/// Makes finalized invoices void; their lines stay.
pub async fn set_void(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
    at: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE invoice SET status = 'VOID', voided_at = $4
         WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3) AND status = 'FINALIZED'",
        environment_id.0,
        customer_id.0,
        ids,
        at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The invoices of one statement, or of one date and currency.
pub struct Lineage {
    pub original: InvoiceId,
    /// The newest of them.
    pub newest: InvoiceId,
    /// How many the newest one had before.
    pub generation: i32,
    /// The one that is not void.
    pub standing: Option<InvoiceId>,
}

/// The invoices that one is of.
pub async fn lineage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: InvoiceId,
) -> Result<Lineage, sqlx::Error> {
    let original = sqlx::query_scalar!(
        r#"SELECT coalesce(original_id, id) AS "original!: InvoiceId" FROM invoice
           WHERE environment_id = $1 AND customer_id = $2 AND id = $3"#,
        environment_id.0,
        customer_id.0,
        id.0,
    )
    .fetch_one(&mut *db)
    .await?;
    let rows = sqlx::query!(
        r#"SELECT id AS "id: InvoiceId", generation, status AS "status: InvoiceStatus" FROM invoice
           WHERE environment_id = $1 AND customer_id = $2 AND (id = $3 OR original_id = $3)
           ORDER BY generation"#,
        environment_id.0,
        customer_id.0,
        original.0,
    )
    .fetch_all(db)
    .await?;
    let standing = rows.iter().find(|row| row.status == InvoiceStatus::Finalized).map(|row| row.id);
    let newest = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Lineage { original, newest: newest.id, generation: newest.generation, standing })
}

/// Whether any finalized usage invoice of the contract ends after `instant`.
pub async fn has_usage_invoice_after(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    instant: Instant,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM invoice WHERE environment_id = $1 AND customer_id = $2 AND contract_id = $3
                          AND type = 'USAGE' AND status = 'FINALIZED' AND ends_at > $4) AS "any!""#,
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        instant,
    )
    .fetch_one(db)
    .await
}

/// A stored invoice with what it was calculated from.
pub struct FinalizedInvoice {
    pub invoice: Invoice,
    /// The instant as of which it was calculated.
    pub finalized_at: Instant,
    pub arrival: i64,
    pub seen: Seen,
    /// Of a true-up.
    pub seen_of_true_up: Option<SeenOfTrueUp>,
    /// On one that stands in for a void one.
    pub regeneration: Option<Regeneration>,
    /// Whether the columns that filters use say what the document says.
    pub columns_agree: bool,
}

/// Every stored invoice of a customer, void ones too; or one of them.
pub async fn list_for_check(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    only: Option<InvoiceId>,
) -> Result<Vec<FinalizedInvoice>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: InvoiceId", contract_id AS "contract_id: ContractId",
                  type AS "invoice_type: InvoiceType", credit_type_id AS "credit_type_id: CreditTypeId", starts_at,
                  ends_at, issued_at, total, document AS "document: Json<Invoice>",
                  status AS "status: InvoiceStatus", finalized_at, seen_arrival,
                  seen_subjects AS "seen_subjects: Vec<SubjectId>", seen_rate, seen_product_update,
                  seen_usage_filter, seen_override, seen_of_true_up AS "seen_of_true_up: Json<SeenOfTrueUp>",
                  seen_others AS "seen_others: Json<BTreeMap<ContractId, SeenTerms>>",
                  seen_balances AS "seen_balances: Json<SeenBalances>",
                  original_id AS "original_id: InvoiceId", generation
           FROM invoice WHERE environment_id = $1 AND customer_id = $2 AND ($3::uuid IS NULL OR id = $3)
           ORDER BY issued_at, id"#,
        environment_id.0,
        customer_id.0,
        only.map(|id| id.0),
    )
    .fetch_all(db)
    .await?;
    let finalized =
        rows.into_iter().map(|row| {
            let document = &row.document.0;
            let columns_agree = (row.id, row.contract_id, row.invoice_type, row.credit_type_id)
                == (document.id, document.contract_id, document.invoice_type, document.credit_type_id())
                && (row.starts_at, row.ends_at, row.issued_at)
                    == (document.start_timestamp, document.end_timestamp, document.issued_at)
                && row.total == document.total.0
                && row.original_id.is_some() == document.regenerated_from_invoice_id.is_some();
            let regeneration =
                row.original_id.zip(document.regenerated_from_invoice_id).map(|(original, from)| {
                    Regeneration { from, original, generation: row.generation, issued_at: row.issued_at }
                });
            FinalizedInvoice {
                invoice: invoice(row.document, row.status),
                finalized_at: row.finalized_at,
                arrival: row.seen_arrival,
                seen: Seen {
                    subject_ids: row.seen_subjects,
                    terms: SeenTerms {
                        newest: Newest { rate: row.seen_rate, product_update: row.seen_product_update },
                        usage_filter: row.seen_usage_filter,
                        rate_override: row.seen_override,
                        ending_before: None,
                    },
                    others: row.seen_others.0,
                    balances: row.seen_balances.map(|seen| seen.0),
                },
                seen_of_true_up: row.seen_of_true_up.map(|seen| seen.0),
                regeneration,
                columns_agree,
            }
        });
    Ok(finalized.collect())
}

/// The periods of a customer's final usage invoices that overlap a period, by contract and start, each with the terms that it was
/// calculated from.
pub async fn final_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    period: Period,
) -> Result<BTreeMap<ContractId, Vec<(Period, SeenTerms)>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT contract_id AS "contract_id: ContractId", starts_at, ends_at, seen_rate, seen_product_update,
                  seen_usage_filter, seen_override
           FROM invoice
           WHERE environment_id = $1 AND customer_id = $2 AND type <> 'SCHEDULED' AND status = 'FINALIZED'
             AND starts_at < $3 AND ends_at > $4
           ORDER BY contract_id, starts_at"#,
        environment_id.0,
        customer_id.0,
        period.end,
        period.start,
    )
    .fetch_all(db)
    .await?;
    let mut found: BTreeMap<ContractId, Vec<(Period, SeenTerms)>> = BTreeMap::new();
    for row in rows {
        let seen = SeenTerms {
            newest: Newest { rate: row.seen_rate, product_update: row.seen_product_update },
            usage_filter: row.seen_usage_filter,
            rate_override: row.seen_override,
            ending_before: None,
        };
        let period = Period { start: row.starts_at, end: row.ends_at };
        found.entry(row.contract_id).or_default().push((period, seen));
    }
    Ok(found)
}

/// Whose stored invoice has this id.
pub async fn owner(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: InvoiceId,
) -> Result<Option<CustomerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT customer_id AS "customer_id: CustomerId" FROM invoice WHERE environment_id = $1 AND id = $2"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await
}
