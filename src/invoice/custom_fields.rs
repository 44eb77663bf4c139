//! The custom fields of everything that an invoice names.
//!
//! A draft shows those of its customer, its contract, its products and charges as they are now; finalizing it keeps
//! them as they are then. Its own fields are what it shows at any time, finalized or not (our decision: they are
//! mostly set when it is done, such as an id in another system).

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Invoice, InvoiceStatus, LineItem};
use crate::contract::balance::BalanceType;
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::id::EnvironmentId;

/// Gives invoices the fields that they are shown with.
pub async fn show(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoices: &mut [Invoice],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = invoices.iter().map(|invoice| invoice.id.0).collect();
    let own = custom_field::of_many(db, environment_id, ManagedEntity::Invoice, &ids).await?;
    for invoice in &mut *invoices {
        invoice.custom_fields = own.get(&invoice.id.0).cloned().unwrap_or_default();
    }
    let drafts = invoices.iter_mut().filter(|invoice| invoice.status == InvoiceStatus::Draft);
    keep(db, environment_id, drafts.collect()).await
}

/// Writes onto invoices the fields of everything that they name, as they are now.
pub async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoices: Vec<&mut Invoice>,
) -> Result<(), sqlx::Error> {
    let mut named: BTreeMap<ManagedEntity, Vec<Uuid>> = BTreeMap::new();
    for invoice in &invoices {
        named.entry(ManagedEntity::Customer).or_default().push(invoice.customer_id.0);
        named.entry(ManagedEntity::Contract).or_default().push(invoice.contract_id.0);
        for line in &invoice.line_items {
            let product = line.product_id.map(|id| id.0);
            named.entry(ManagedEntity::ContractProduct).or_default().extend(product);
            let charge = line.scheduled_charge_id.map(|id| id.0);
            named.entry(ManagedEntity::ScheduledCharge).or_default().extend(charge);
            if let Some(commit_id) = line.commit_id {
                named.entry(entity_of_commit(line)).or_default().push(commit_id.0);
            }
        }
    }
    let mut fields: BTreeMap<(ManagedEntity, Uuid), CustomFields> = BTreeMap::new();
    for (entity, mut ids) in named {
        ids.sort_unstable();
        ids.dedup();
        let found = custom_field::of_many(db, environment_id, entity, &ids).await?;
        fields.extend(found.into_iter().map(|(id, fields)| ((entity, id), fields)));
    }
    let of = |entity, id| fields.get(&(entity, id)).cloned().unwrap_or_default();
    for invoice in invoices {
        invoice.customer_custom_fields = of(ManagedEntity::Customer, invoice.customer_id.0);
        invoice.contract_custom_fields = of(ManagedEntity::Contract, invoice.contract_id.0);
        for line in &mut invoice.line_items {
            let product = line.product_id.map(|id| of(ManagedEntity::ContractProduct, id.0));
            line.product_custom_fields = product.unwrap_or_default();
            let charge = line.scheduled_charge_id;
            line.scheduled_charge_custom_fields = charge.map(|id| of(ManagedEntity::ScheduledCharge, id.0));
            line.commit_custom_fields = line.commit_id.map(|id| of(entity_of_commit(line), id.0));
        }
    }
    Ok(())
}

/// What carries the custom fields of a line's commit or credit.
fn entity_of_commit(line: &LineItem) -> ManagedEntity {
    let applied = line.applied_commit_or_credit.as_ref().map(|applied| applied.balance_type);
    if applied == Some(BalanceType::Credit) { ManagedEntity::ContractCredit } else { ManagedEntity::Commit }
}

/// The invoice without any, for comparing what was calculated.
#[must_use]
pub fn without(mut invoice: Invoice) -> Invoice {
    invoice.custom_fields.clear();
    invoice.customer_custom_fields.clear();
    invoice.contract_custom_fields.clear();
    for line in &mut invoice.line_items {
        line.product_custom_fields.clear();
        line.scheduled_charge_custom_fields = None;
        line.commit_custom_fields = None;
    }
    invoice
}
