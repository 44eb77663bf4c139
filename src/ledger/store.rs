use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{ContractTerm, TrueUp};
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, InvoiceId};
use crate::money::Decimal;
use crate::time::Instant;

/// When the contracts end, and when they were archived.
pub async fn contract_terms(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
) -> Result<BTreeMap<ContractId, ContractTerm>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: ContractId", ending_before, archived_at FROM contract
           WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
    )
    .fetch_all(db)
    .await?;
    let term = |ending_before, archived_at| ContractTerm { ending_before, archived_at };
    Ok(rows.into_iter().map(|row| (row.id, term(row.ending_before, row.archived_at))).collect())
}

/// A true-up as it is scheduled.
struct ScheduledTrueUp {
    balance_id: BalanceId,
    contract_id: ContractId,
    removed_at: Option<Instant>,
    /// The contract bills nothing any more.
    is_archived: bool,
    /// The finalized invoice, which has nothing else.
    invoice_id: Option<InvoiceId>,
    total: Option<Decimal>,
    dated_at: Option<Instant>,
}

/// What became of the true-ups of these commits, as far as they are scheduled.
pub async fn true_ups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: &[Uuid],
) -> Result<BTreeMap<BalanceId, TrueUp>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ScheduledTrueUp,
        r#"SELECT charge.balance_id AS "balance_id!: BalanceId", item.contract_id AS "contract_id: ContractId",
                  item.removed_at, contract.archived_at IS NOT NULL AS "is_archived!",
                  invoice.id AS "invoice_id?: InvoiceId", invoice.total AS "total?",
                  invoice.starts_at AS "dated_at?"
           FROM scheduled_charge charge
           JOIN scheduled_charge_item item ON item.environment_id = charge.environment_id
                AND item.customer_id = charge.customer_id AND item.contract_id = charge.contract_id
                AND item.scheduled_charge_id = charge.id AND item.stands_for IS NULL
           JOIN contract ON contract.environment_id = charge.environment_id
                AND contract.customer_id = charge.customer_id AND contract.id = charge.contract_id
           LEFT JOIN invoice ON invoice.environment_id = item.environment_id
                AND invoice.customer_id = item.customer_id AND invoice.id = item.invoice_id
                AND invoice.status = 'FINALIZED'
           WHERE charge.environment_id = $1 AND charge.customer_id = $2 AND charge.balance_id = ANY($3)
             AND charge.is_true_up
           ORDER BY item.id"#,
        environment_id.0,
        customer_id.0,
        balance_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.balance_id, row.true_up())).collect())
}

impl ScheduledTrueUp {
    fn true_up(self) -> TrueUp {
        match (self.invoice_id, self.total, self.dated_at) {
            (Some(invoice_id), Some(amount), Some(dated_at)) => {
                TrueUp::Billed { invoice_id, contract_id: self.contract_id, amount, dated_at }
            }
            _ if self.removed_at.is_some() || self.is_archived => TrueUp::Lapsed,
            _ => TrueUp::Open,
        }
    }
}

/// Whether a finalized invoice has a payment for the commit on it.
pub async fn has_final_payment(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_id: BalanceId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM scheduled_charge charge
               JOIN scheduled_charge_item item ON item.environment_id = charge.environment_id
                    AND item.customer_id = charge.customer_id AND item.contract_id = charge.contract_id
                    AND item.scheduled_charge_id = charge.id
               JOIN invoice ON invoice.environment_id = item.environment_id
                    AND invoice.customer_id = item.customer_id AND invoice.id = item.invoice_id
               WHERE charge.environment_id = $1 AND charge.customer_id = $2 AND charge.balance_id = $3
                 AND invoice.status = 'FINALIZED'
           ) AS "exists!""#,
        environment_id.0,
        customer_id.0,
        balance_id.0,
    )
    .fetch_one(db)
    .await
}
