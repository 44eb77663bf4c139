//! Charges that pay for commits: unlike others, what is pending of them may change.

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::ItemPrice;
use super::store::{ScheduleItem, ScheduledCharge, insert_items};
use crate::id::{
    BalanceId, ContractId, CustomerId, EnvironmentId, InvoiceId, ScheduleItemId, ScheduledChargeId,
    deterministic,
};
use crate::money::Decimal;
use crate::time::Instant;

/// A payment for a commit.
#[derive(Clone, Debug)]
pub struct PaymentItem {
    pub balance_id: BalanceId,
    pub contract_id: ContractId,
    pub charge_id: ScheduledChargeId,
    pub item: ScheduleItem,
    pub standing: Standing,
}

/// How a payment stands with invoices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is on drafts alone, or was removed.
    Pending,
    Finalized,
    /// Its invoice is void, and bills it again when it is regenerated.
    Void,
    /// Its invoice became void as its contract was archived, or after that: nothing of it is regenerated.
    VoidWithContract,
}

/// A payment on a void invoice as it is to be.
#[derive(Clone, Debug)]
pub struct VoidChange {
    pub charge_id: ScheduledChargeId,
    pub contract_id: ContractId,
    pub item: ScheduleItem,
    /// It stays on the invoice, and is billed when that is regenerated; else it is pending again.
    pub stays: bool,
}

/// All payments for these commits, those that were removed too, in the order of their ids.
pub async fn items_of_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: &[Uuid],
) -> Result<Vec<PaymentItem>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT charge.balance_id AS "balance_id!: BalanceId", charge.contract_id AS "contract_id: ContractId",
                  charge.id AS "charge_id: ScheduledChargeId", item.id AS "id: ScheduleItemId", dated_at, unit_price,
                  quantity, invoice_id AS "invoice_id: InvoiceId", invoiced_at, removed_at,
                  coalesce(invoice.status = 'VOID', false) AS "is_void!",
                  coalesce(invoice.voided_at >= contract.archived_at, false) AS "is_void_with_contract!"
           FROM scheduled_charge charge
           JOIN scheduled_charge_item item ON item.environment_id = charge.environment_id
                AND item.customer_id = charge.customer_id AND item.contract_id = charge.contract_id
                AND item.scheduled_charge_id = charge.id
           JOIN contract ON contract.environment_id = charge.environment_id
                AND contract.customer_id = charge.customer_id AND contract.id = charge.contract_id
           LEFT JOIN invoice ON invoice.environment_id = item.environment_id
                AND invoice.customer_id = item.customer_id AND invoice.id = item.invoice_id
           WHERE charge.environment_id = $1 AND charge.customer_id = $2 AND charge.balance_id = ANY($3)
             AND stands_for IS NULL
           ORDER BY item.id"#,
        environment_id.0,
        customer_id.0,
        balance_ids,
    )
    .fetch_all(db)
    .await?;
    let item = rows.into_iter().map(|row| PaymentItem {
        balance_id: row.balance_id,
        contract_id: row.contract_id,
        charge_id: row.charge_id,
        standing: match row.invoice_id {
            None => Standing::Pending,
            Some(_) if row.is_void_with_contract => Standing::VoidWithContract,
            Some(_) if row.is_void => Standing::Void,
            Some(_) => Standing::Finalized,
        },
        item: ScheduleItem {
            id: row.id,
            dated_at: row.dated_at,
            price: ItemPrice { unit_price: row.unit_price, quantity: row.quantity },
            invoice_id: row.invoice_id,
            invoiced_at: row.invoiced_at,
            removed_at: row.removed_at,
        },
    });
    Ok(item.collect())
}

/// The commits that these invoices bill payments of.
pub async fn balances_paid_on(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    invoice_ids: &[Uuid],
) -> Result<Vec<BalanceId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT charge.balance_id AS "balance_id!: BalanceId"
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = $1 AND charge.customer_id = $2
                AND charge.contract_id = item.contract_id AND charge.id = item.scheduled_charge_id
           WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.invoice_id = ANY($3)
             AND stands_for IS NULL AND charge.balance_id IS NOT NULL
           ORDER BY 1"#,
        environment_id.0,
        customer_id.0,
        invoice_ids,
    )
    .fetch_all(db)
    .await
}

/// Keeps a charge that may be there already, and `added` of its items.
pub async fn insert_or_add(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    charge: &ScheduledCharge,
    added: Vec<ScheduleItem>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO scheduled_charge (environment_id, customer_id, contract_id, id, product_id, name,
                                       credit_type_id, netsuite_sales_order_id, created_at, balance_id, is_true_up)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (environment_id, customer_id, id) DO NOTHING",
        environment_id.0,
        customer_id.0,
        charge.contract_id.0,
        charge.id.0,
        charge.product_id.0,
        charge.name,
        charge.unit.id.0,
        charge.netsuite_sales_order_id,
        charge.created_at,
        charge.balance_id.map(|id| id.0),
        charge.is_true_up,
    )
    .execute(&mut *db)
    .await?;
    let added = ScheduledCharge { items: added, ..charge.clone() };
    insert_items(db, environment_id, customer_id, &added).await
}

/// Makes pending items, by their ids, what they are in this charge, whichever they were in before. One that is not
/// pending is an error.
pub async fn change_pending(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    charge: &ScheduledCharge,
    changed: &[ScheduleItem],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = changed.iter().map(|item| item.id.0).collect();
    let dates: Vec<Instant> = changed.iter().map(|item| item.dated_at).collect();
    let unit_prices: Vec<Decimal> = changed.iter().map(|item| item.price.unit_price.clone()).collect();
    let quantities: Vec<Decimal> = changed.iter().map(|item| item.price.quantity.clone()).collect();
    let amounts: Vec<Decimal> = changed.iter().map(|item| item.price.amount()).collect();
    let result = sqlx::query!(
        "UPDATE scheduled_charge_item item
         SET contract_id = $3, scheduled_charge_id = $4, dated_at = given.dated_at, unit_price = given.unit_price,
             quantity = given.quantity, amount = given.amount
         FROM unnest($5::uuid[], $6::timestamptz[], $7::numeric[], $8::numeric[], $9::numeric[])
              AS given (id, dated_at, unit_price, quantity, amount)
         WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.id = given.id
           AND invoice_id IS NULL AND removed_at IS NULL",
        environment_id.0,
        customer_id.0,
        charge.contract_id.0,
        charge.id.0,
        &ids,
        &dates,
        &unit_prices,
        &quantities,
        &amounts,
    )
    .execute(db)
    .await?;
    if result.rows_affected() == changed.len() as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Changes items that are on void invoices, by their ids. What an invoice has of an item that was not changed there before stays
/// on it as a row of its own, so that what was billed once can be told for ever. One that is on no invoice is an error.
pub async fn change_void(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    changed: &[VoidChange],
) -> Result<(), sqlx::Error> {
    for VoidChange { charge_id, contract_id, item, stays } in changed {
        let on = item.invoice_id.ok_or(sqlx::Error::RowNotFound)?;
        let copy = deterministic("payment on a void invoice", &[&item.id.to_string(), &on.to_string()]);
        sqlx::query!(
            "INSERT INTO scheduled_charge_item (environment_id, customer_id, contract_id, scheduled_charge_id, id, dated_at,
                                                unit_price, quantity, amount, invoice_id, invoiced_at, stands_for)
             SELECT environment_id, customer_id, contract_id, scheduled_charge_id, $4, dated_at, unit_price, quantity, amount,
                    invoice_id, invoiced_at, id
             FROM scheduled_charge_item WHERE environment_id = $1 AND customer_id = $2 AND id = $3
             ON CONFLICT (environment_id, customer_id, id) DO NOTHING",
            environment_id.0,
            customer_id.0,
            item.id.0,
            copy,
        )
        .execute(&mut *db)
        .await?;
        let result = sqlx::query!(
            "UPDATE scheduled_charge_item
             SET contract_id = $5, scheduled_charge_id = $6, dated_at = $7, unit_price = $8, quantity = $9, amount = $10,
                 invoice_id = CASE WHEN $11 THEN invoice_id END, invoiced_at = CASE WHEN $11 THEN invoiced_at END
             WHERE environment_id = $1 AND customer_id = $2 AND id = $3 AND invoice_id = $4",
            environment_id.0,
            customer_id.0,
            item.id.0,
            on.0,
            contract_id.0,
            charge_id.0,
            item.dated_at,
            item.price.unit_price,
            item.price.quantity,
            item.price.amount(),
            *stays,
        )
        .execute(&mut *db)
        .await?;
        if result.rows_affected() != 1 {
            return Err(sqlx::Error::RowNotFound);
        }
    }
    Ok(())
}

/// Removes pending items.
pub async fn remove_pending(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE scheduled_charge_item SET removed_at = $4
         WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)
           AND invoice_id IS NULL AND removed_at IS NULL",
        environment_id.0,
        customer_id.0,
        ids,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes removed items pending again, by their ids; those that are not removed stay as they are.
pub async fn bring_back(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE scheduled_charge_item SET removed_at = NULL
         WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3) AND removed_at IS NOT NULL",
        environment_id.0,
        customer_id.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}
