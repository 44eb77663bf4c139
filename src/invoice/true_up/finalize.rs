//! Due work: the last statement that may spend a postpaid commit is final. And what becomes of a true-up whose contract is
//! archived.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{due_item, empty_true_up_invoice, true_up_invoice};
use crate::contract::balance::{self, Balance, Rollovers, TrueUp, charge_of, shortfall};
use crate::contract::scheduled_charge::{DueItem, ItemPrice, mark_invoiced, remove_pending};
use crate::contract::{self, Contract};
use crate::customer;
use crate::drawdown::drawn;
use crate::error::NotComputable;
use crate::id::{BalanceId, CustomerId, EnvironmentId, InvoiceId, SegmentId};
use crate::invoice::billable_status::set_billable_status;
use crate::invoice::calc::Regeneration;
use crate::invoice::custom_fields;
use crate::invoice::model::{Invoice, InvoiceStatus};
use crate::invoice::renewal;
use crate::invoice::scheduled::FixedProducts;
use crate::invoice::scheduled::calc::empty_scheduled_invoice;
use crate::invoice::store::{self, SeenOfTrueUp, newest_of_balances};
use crate::job::{self, DueWork};
use crate::money::{Decimal, is_positive};
use crate::time::{Instant, shown};

/// Finalizes the true-up of the commit that is due, in the transaction that holds the work; where nothing is short, there is
/// no invoice.
///
/// A statement that may spend the commit and is not final yet, as it could not be computed, is an error: the work is put
/// off until it is. Where one is void and was not made anew, nothing is due until it is: regenerating it makes the true-up due
/// again ([`held_up_by`]). A commit that has no true-up any more has nothing to finalize.
pub async fn finalize_true_up(db: &mut PgConnection, work: &DueWork) -> Result<(), sqlx::Error> {
    let environment_id = work.environment_id;
    let balance_id = BalanceId(work.subject_id);
    customer::hold(db, environment_id, work.customer_id).await?;
    let found =
        balance::with_pending_true_up(db, environment_id, work.customer_id, Some(balance_id)).await?.pop();
    let contracts = contract::list_of_customer(db, environment_id, work.customer_id).await?;
    let found = found.and_then(|balance| Some((TrueUp::of(&balance, &contracts)?, balance)));
    let Some((true_up, balance)) = found else {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    };
    if true_up.due_at > work.due_at {
        // The contracts and the queue disagree: the contracts are right.
        return contract::schedule_true_up(db, environment_id, &balance, &true_up).await;
    }
    if let Some(contract_id) = true_up.unsettled(&contracts) {
        let reason =
            format!("a usage statement of contract {contract_id} before the true-up is not finalized");
        return Err(NotComputable::new(reason).into());
    }
    if store::void_usage(db, environment_id, work.customer_id)
        .await?
        .iter()
        .any(|void| void.holds_up(&true_up))
    {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    }
    renewal::settle_promise(db, environment_id, work.customer_id, balance_id, work.now).await?;
    let balance = balance::find(db, environment_id, work.customer_id, balance_id).await?;
    let balance = balance.ok_or(sqlx::Error::RowNotFound)?;
    let contract = contracts.iter().find(|contract| contract.id == true_up.contract_id);
    let contract = contract.ok_or(sqlx::Error::RowNotFound)?;
    let status = InvoiceStatus::Finalized;
    let kept = keep(db, environment_id, contract, &balance, &true_up, status, work.now).await?;
    job::remove(db, environment_id, &work.kind, work.subject_id).await?;
    if let Some(invoice) = kept {
        let description = format!("Finalized the true-up invoice of {}", shown(true_up.dated_at));
        job::record(db, work, "invoice", invoice.id.0, "finalize", description).await?;
        metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    }
    Ok(())
}

/// The void usage invoice that must be regenerated before what is short of a commit is known, if any.
///
/// A true-up comes after the last usage invoice (documentation page on how invoicing works), and a statement whose invoice is
/// void is not billed. Billed before, the true-up would take what the statement spends once it is billed again, which would
/// then be paid twice (our decision). A contract that is archived is waited for no more.
pub async fn held_up_by(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<Option<InvoiceId>, sqlx::Error> {
    let contracts = contract::list_of_customer(db, environment_id, balance.customer_id).await?;
    let Some(true_up) = TrueUp::of(balance, &contracts) else { return Ok(None) };
    let void = store::void_usage(db, environment_id, balance.customer_id).await?;
    Ok(void.iter().find(|void| void.holds_up(&true_up)).map(|void| void.id))
}

/// Makes the true-ups void ones that a contract's invoices were to bill, as it is archived. Its usage drafts disappear with
/// it, so what is short is what finalized invoices leave (our decision).
pub async fn void_upcoming(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let customer_id = contract.customer_id;
    let balances = balance::with_pending_true_up(db, environment_id, customer_id, None).await?;
    if balances.is_empty() {
        return Ok(());
    }
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    for balance in &balances {
        let own = charge_of(balance).filter(|charge| charge.contract_id == contract.id);
        let Some(charge) = own else { continue };
        if let Some(true_up) = TrueUp::of(balance, &contracts) {
            keep(db, environment_id, contract, balance, &true_up, InvoiceStatus::Void, now).await?;
        } else if balance.contract_id.is_some() {
            // The contract left no time to spend it.
            let items: Vec<Uuid> = charge.items.iter().map(|item| item.id.0).collect();
            remove_pending(db, environment_id, customer_id, &items, now).await?;
        }
        job::remove(db, environment_id, job::kind::FINALIZE_TRUE_UP, balance.id.0).await?;
    }
    Ok(())
}

/// Keeps the invoice of what is short; nothing is pending of the commit any more. Where nothing is short there is none, and it
/// stays pending: voiding usage, a manual entry or a larger promise may leave something to bill later. Not so with the commits
/// of a contract that is archived; one of the customer may still be billed on another contract.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    balance: &Balance,
    true_up: &TrueUp,
    status: InvoiceStatus,
    now: Instant,
) -> Result<Option<Invoice>, sqlx::Error> {
    let customer_id = balance.customer_id;
    let seen = seen_now(db, environment_id, customer_id).await?;
    let short = what_was_short(db, environment_id, balance, seen).await?;
    let taken = store::true_up_ids(db, environment_id, &[(customer_id, balance.id)]).await?;
    let header = empty_true_up_invoice(contract, balance, true_up, &taken);
    let Some((item, mut header)) = due_item(balance, true_up, short).zip(header) else { return Ok(None) };
    if !is_positive(&item.price.amount()) {
        if status == InvoiceStatus::Void && balance.contract_id.is_some() {
            remove_pending(db, environment_id, customer_id, &[item.id.0], now).await?;
        }
        return Ok(None);
    }
    set_billable_status(db, environment_id, &mut header).await?;
    let items = std::slice::from_ref(&item);
    let products = match status {
        // Kept from a request.
        InvoiceStatus::Void => FixedProducts::hold(db, environment_id, items).await?,
        _ => FixedProducts::load(db, environment_id, items).await?,
    };
    let item_id = item.id;
    let mut invoice = Invoice { status, ..true_up_invoice(header, item, &products, now) };
    custom_fields::keep(db, environment_id, vec![&mut invoice]).await?;
    store::insert_true_up(db, environment_id, &invoice, now, products.newest_update(), seen, None).await?;
    mark_invoiced(db, environment_id, customer_id, &[(item_id, invoice.id)], now).await?;
    Ok(Some(invoice))
}

/// Keeps a true-up invoice that stands in for a void one, of what is short by now; nothing where that is nothing, and where the
/// true-up was disabled since. The caller holds the customer, and says on the item that it is there.
pub async fn finalize_again(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    void: &Invoice,
    item: &DueItem,
    now: Instant,
    regeneration: &Regeneration,
) -> Result<Option<Invoice>, sqlx::Error> {
    let customer_id = contract.customer_id;
    let balance_id = item.balance_id.ok_or(sqlx::Error::RowNotFound)?;
    // What was agreed since the first one, too.
    renewal::settle_promise(db, environment_id, customer_id, balance_id, now).await?;
    let balance = balance::find(db, environment_id, customer_id, balance_id).await?;
    let balance = balance.ok_or(sqlx::Error::RowNotFound)?;
    let seen = seen_now(db, environment_id, customer_id).await?;
    let short = what_was_short(db, environment_id, &balance, seen).await?;
    if balance.terms.is_true_up_disabled || !is_positive(&short) {
        return Ok(None);
    }
    let dated_at = void.start_timestamp;
    let item = DueItem { price: ItemPrice::of_amount(short), dated_at, ..item.clone() };
    let mut header = empty_scheduled_invoice(contract, &item.unit, dated_at, regeneration.original);
    regeneration.mark(&mut header);
    set_billable_status(db, environment_id, &mut header).await?;
    let products = FixedProducts::load(db, environment_id, std::slice::from_ref(&item)).await?;
    let status = InvoiceStatus::Finalized;
    let mut invoice = Invoice { status, ..true_up_invoice(header, item, &products, now) };
    custom_fields::keep(db, environment_id, vec![&mut invoice]).await?;
    let update = products.newest_update();
    store::insert_true_up(db, environment_id, &invoice, now, update, seen, Some(regeneration)).await?;
    metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    Ok(Some(invoice))
}

/// All that there is by now.
pub async fn seen_now(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<SeenOfTrueUp, sqlx::Error> {
    let newest = newest_of_balances(db, environment_id, &[customer_id.0]).await?;
    let (balance, draw) = newest.get(&customer_id).copied().unwrap_or_default();
    Ok(SeenOfTrueUp { balance, draw })
}

/// What was short of a commit whose terms are those that were seen, by the draws and the renewals that were.
pub async fn what_was_short(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    seen: SeenOfTrueUp,
) -> Result<Decimal, sqlx::Error> {
    let customer_id = balance.customer_id;
    let rollovers = Rollovers::load(db, environment_id, customer_id, Some(seen.balance)).await?;
    let ids = rollovers.origins_of_live().chain([(customer_id, balance.id)]);
    let drawn = drawn(db, environment_id, ids, Some(seen.draw)).await?;
    Ok(left_of(balance, &rollovers, &drawn))
}

/// What is short of a commit of whose segments so much was drawn: zero or below. `drawn` has those of origins too.
pub(super) fn left_of(
    balance: &Balance,
    rollovers: &Rollovers,
    drawn: &BTreeMap<SegmentId, Decimal>,
) -> Decimal {
    let drawn_of = |id: SegmentId| drawn.get(&id).cloned().unwrap_or_default();
    let mut balance = balance.clone();
    rollovers.resolve(&mut balance, drawn_of);
    let spent: Decimal = balance.terms.segments.iter().map(|segment| drawn_of(segment.id)).sum();
    let taken = rollovers.taken(drawn_of);
    let taken: Decimal =
        taken.iter().filter(|taken| taken.origin_id == balance.id).map(|taken| &taken.amount).sum();
    shortfall(&balance, &(spent - taken))
}
