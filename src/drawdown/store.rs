use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::customer;
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, InvoiceId, SegmentId};
use crate::money::Decimal;
use crate::time::Instant;

/// What one invoice drew of a segment, or what voiding it gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    pub balance_id: BalanceId,
    pub segment_id: SegmentId,
    pub invoice_id: InvoiceId,
    /// The contract whose usage it was.
    pub contract_id: ContractId,
    /// Below zero where it was drawn, above where it was given back.
    pub amount: Decimal,
    /// The end of the invoice's service period, or of the segment where that is earlier.
    pub dated_at: Instant,
}

/// Keeps what finalized invoices drew, each after its customer.
pub async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    draws: &[(CustomerId, Draw)],
) -> Result<(), sqlx::Error> {
    if draws.is_empty() {
        return Ok(());
    }
    let customers: Vec<Uuid> = draws.iter().map(|(customer, _)| customer.0).collect();
    let draws = || draws.iter().map(|(_, draw)| draw);
    let balances: Vec<Uuid> = draws().map(|draw| draw.balance_id.0).collect();
    let segments: Vec<Uuid> = draws().map(|draw| draw.segment_id.0).collect();
    let invoices: Vec<Uuid> = draws().map(|draw| draw.invoice_id.0).collect();
    let contracts: Vec<Uuid> = draws().map(|draw| draw.contract_id.0).collect();
    let amounts: Vec<Decimal> = draws().map(|draw| draw.amount.clone()).collect();
    let dates: Vec<Instant> = draws().map(|draw| draw.dated_at).collect();
    sqlx::query!(
        "INSERT INTO balance_draw (environment_id, customer_id, balance_id, segment_id, invoice_id, contract_id, amount,
                                   dated_at)
         SELECT $1, given.*
         FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::numeric[], $8::timestamptz[])
             AS given",
        environment_id.0,
        &customers,
        &balances,
        &segments,
        &invoices,
        &contracts,
        &amounts,
        &dates,
    )
    .execute(&mut *db)
    .await?;
    customer::balances_changed(db, environment_id, &customers).await
}

/// Gives back what invoices drew, as they become void. What was given back already stays so.
pub async fn cancel(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    invoice_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO balance_draw (environment_id, customer_id, balance_id, segment_id, invoice_id, contract_id, amount,
                                   dated_at)
         SELECT environment_id, customer_id, balance_id, segment_id, invoice_id, contract_id, -sum(amount), min(dated_at)
         FROM balance_draw WHERE environment_id = $1 AND customer_id = $2 AND invoice_id = ANY($3)
         GROUP BY environment_id, customer_id, balance_id, segment_id, invoice_id, contract_id
         HAVING sum(amount) <> 0
         ORDER BY balance_id, segment_id, invoice_id",
        environment_id.0,
        customer_id.0,
        invoice_ids,
    )
    .execute(&mut *db)
    .await?;
    customer::balances_changed(db, environment_id, &[customer_id.0]).await
}

/// What was drawn of each segment of these balances, each after its customer, net of what was given back: zero or below.
/// `up_to` leaves out draws that came later.
pub async fn drawn(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: impl IntoIterator<Item = (CustomerId, BalanceId)>,
    up_to: Option<i64>,
) -> Result<BTreeMap<SegmentId, Decimal>, sqlx::Error> {
    // One that is named twice was not drawn twice.
    let balances: BTreeSet<(CustomerId, BalanceId)> = balances.into_iter().collect();
    let (customers, balances): (Vec<Uuid>, Vec<Uuid>) =
        balances.into_iter().map(|(customer, balance)| (customer.0, balance.0)).unzip();
    if balances.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT segment_id AS "segment_id: SegmentId", sum(amount) AS "amount!"
           -- not looked into by the planner, who would make another plan for each call
           FROM unnest((SELECT $2::uuid[]), (SELECT $3::uuid[])) AS given (customer_id, balance_id)
           CROSS JOIN LATERAL (
               SELECT segment_id, amount FROM balance_draw
               WHERE environment_id = $1 AND balance_draw.customer_id = given.customer_id
                 AND balance_draw.balance_id = given.balance_id AND added <= coalesce($4, added)
               OFFSET 0
           ) AS draw
           GROUP BY segment_id"#,
        environment_id.0,
        &customers,
        &balances,
        up_to,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.segment_id, row.amount)).collect())
}

/// The draws of these balances in the order in which they were made.
pub async fn of_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: &[Uuid],
) -> Result<Vec<Draw>, sqlx::Error> {
    sqlx::query_as!(
        Draw,
        r#"SELECT balance_id AS "balance_id: BalanceId", segment_id AS "segment_id: SegmentId",
                  invoice_id AS "invoice_id: InvoiceId", contract_id AS "contract_id: ContractId", amount, dated_at
           FROM balance_draw
           -- not looked into by the planner, who would make another plan for each call
           WHERE environment_id = $1 AND customer_id = $2 AND balance_id = ANY((SELECT $3::uuid[])::uuid[])
           ORDER BY added"#,
        environment_id.0,
        customer_id.0,
        balance_ids,
    )
    .fetch_all(db)
    .await
}

/// All draws of a customer's invoices in the order in which they were made.
pub async fn of_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<Draw>, sqlx::Error> {
    sqlx::query_as!(
        Draw,
        r#"SELECT balance_id AS "balance_id: BalanceId", segment_id AS "segment_id: SegmentId",
                  invoice_id AS "invoice_id: InvoiceId", contract_id AS "contract_id: ContractId", amount, dated_at
           FROM balance_draw
           WHERE environment_id = $1 AND customer_id = $2
           ORDER BY added"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(db)
    .await
}
