//! Whether invoices go out.

use sqlx::PgConnection;

use super::model::Invoice;
use crate::customer::billable_status::statuses_at;
use crate::id::EnvironmentId;

/// Sets on each invoice whether it goes out, as its customer's status says.
pub async fn set_billable_statuses(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoices: Vec<&mut Invoice>,
) -> Result<(), sqlx::Error> {
    let asked: Vec<_> =
        invoices.iter().map(|invoice| (invoice.customer_id, invoice.billable_status_at())).collect();
    let statuses = statuses_at(db, environment_id, &asked).await?;
    for (invoice, status) in invoices.into_iter().zip(statuses) {
        invoice.billable_status = status;
    }
    Ok(())
}

/// [`set_billable_statuses`] of one invoice.
pub async fn set_billable_status(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoice: &mut Invoice,
) -> Result<(), sqlx::Error> {
    set_billable_statuses(db, environment_id, vec![invoice]).await
}
