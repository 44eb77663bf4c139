//! `upbeat verify`

use super::{CommandError, require_data, with_database};
use crate::access::{App, list_environments};
use crate::config::Storage;
use crate::invoice::{verify_balances, verify_invoices};
use crate::usage::verify_rollups;

/// Recounts rollups, recomputes finalized invoices and holds commits and credits against what they follow from; fails where
/// anything differs without a reason.
pub async fn verify(storage: Storage) -> Result<(), CommandError> {
    require_data(&storage)?;
    with_database(&storage, async |app| run(&app).await).await
}

async fn run(app: &App) -> Result<(), CommandError> {
    let environments = list_environments(&mut *app.db.acquire().await?).await?;
    let mut faults = 0;
    for environment in environments {
        let kind = environment.kind.as_str().to_lowercase();
        let rollups = verify_rollups(&app.db, environment.id).await?;
        for difference in &rollups {
            let (subject, metric, hour) = (difference.subject_id, difference.metric_id, difference.hour);
            match metric {
                Some(metric) => println!(
                    "{kind}: the rollup of metric {metric} for subject {subject} in the hour {hour} is wrong"
                ),
                None => println!(
                    "{kind}: the count of events for subject {subject} that no metric counts, of the day {hour}, is \
                     wrong"
                ),
            }
        }
        let (count, invoices) = verify_invoices(&app.db, environment.id).await?;
        for fault in &invoices {
            println!("{kind}: invoice {} of customer {} {}", fault.id, fault.customer_id, fault.finding);
        }
        let (balance_count, balances) = verify_balances(&app.db, environment.id).await?;
        for fault in &balances {
            println!(
                "{kind}: commit or credit {} of customer {} {}",
                fault.id, fault.customer_id, fault.finding
            );
        }
        println!(
            "{kind}: {} rollup hours are wrong; of {count} finalized invoices, {} are wrong or missing; of \
             {balance_count} commits and credits, {} are wrong",
            rollups.len(),
            invoices.len(),
            balances.len(),
        );
        faults += rollups.len() + invoices.len() + balances.len();
    }
    if faults > 0 {
        return Err(CommandError::Refused(format!("{faults} numbers do not follow from the facts")));
    }
    Ok(())
}
