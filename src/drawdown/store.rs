use std::collections::BTreeMap;

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

/// Keeps what a finalized invoice drew.
pub async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    draws: &[Draw],
) -> Result<(), sqlx::Error> {
    if draws.is_empty() {
        return Ok(());
    }
    let balances: Vec<Uuid> = draws.iter().map(|draw| draw.balance_id.0).collect();
    let segments: Vec<Uuid> = draws.iter().map(|draw| draw.segment_id.0).collect();
    let invoices: Vec<Uuid> = draws.iter().map(|draw| draw.invoice_id.0).collect();
    let contracts: Vec<Uuid> = draws.iter().map(|draw| draw.contract_id.0).collect();
    let amounts: Vec<Decimal> = draws.iter().map(|draw| draw.amount.clone()).collect();
    let dates: Vec<Instant> = draws.iter().map(|draw| draw.dated_at).collect();
    sqlx::query!(
        "INSERT INTO balance_draw (environment_id, customer_id, balance_id, segment_id, invoice_id, contract_id, amount,
                                   dated_at)
         SELECT $1, $2, given.*
         FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::numeric[], $8::timestamptz[]) AS given",
        environment_id.0,
        customer_id.0,
        &balances,
        &segments,
        &invoices,
        &contracts,
        &amounts,
        &dates,
    )
    .execute(&mut *db)
    .await?;
    customer::balances_changed(db, environment_id, customer_id).await
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
    customer::balances_changed(db, environment_id, customer_id).await
}

/// What was drawn of each segment of these balances, net of what was given back: zero or below. `up_to` leaves out draws that
/// came later.
pub async fn drawn(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: &[Uuid],
    up_to: Option<i64>,
) -> Result<BTreeMap<SegmentId, Decimal>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT segment_id AS "segment_id: SegmentId", sum(amount) AS "amount!"
           FROM balance_draw
           WHERE environment_id = $1 AND customer_id = $2 AND balance_id = ANY($3) AND added <= coalesce($4, added)
           GROUP BY segment_id"#,
        environment_id.0,
        customer_id.0,
        balance_ids,
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
           WHERE environment_id = $1 AND customer_id = $2 AND balance_id = ANY($3)
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

/// The number of the customer's last draw; 0 where there is none. It grows over all draws of a customer, as whoever makes one
/// holds the customer.
pub async fn newest_draw(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(added), 0) AS "newest!" FROM balance_draw
           WHERE environment_id = $1 AND customer_id = $2"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_one(db)
    .await
}
