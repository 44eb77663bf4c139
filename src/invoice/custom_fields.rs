//! The custom fields of everything that an invoice names.
//!
//! A draft shows those of its customer, its contract, its products and charges as they are now; finalizing it keeps
//! them as they are then. Its own fields are what it shows at any time, finalized or not (our decision: they are
//! mostly set when it is done, such as an id in another system).

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Invoice, InvoiceStatus, LineItem};
use crate::catalog::version::CatalogVersion;
use crate::contract::balance::BalanceType;
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::id::EnvironmentId;

/// Gives invoices the fields that they are shown with; `catalog` is the state that the transaction sees, if it has a name.
pub async fn show(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoices: &mut [Invoice],
    catalog: Option<CatalogVersion>,
) -> Result<(), sqlx::Error> {
    let own = invoices.iter().map(|invoice| (ManagedEntity::Invoice, invoice.id.0));
    let is_draft = |invoice: &&Invoice| invoice.status == InvoiceStatus::Draft;
    let named = invoices.iter().filter(is_draft).flat_map(objects);
    let (objects, state) = (own.chain(named).collect(), catalog.map(|catalog| catalog.0));
    let fields = custom_field::of_all_in(db, environment_id, objects, state).await?;
    for invoice in invoices {
        invoice.custom_fields = of(&fields, ManagedEntity::Invoice, invoice.id.0);
        if invoice.status == InvoiceStatus::Draft {
            write(invoice, &fields);
        }
    }
    Ok(())
}

/// Writes onto invoices the fields of everything that they name, as they are now.
pub async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoices: Vec<&mut Invoice>,
) -> Result<(), sqlx::Error> {
    let named = invoices.iter().flat_map(|invoice| objects(invoice)).collect();
    let fields = custom_field::of_all(db, environment_id, named).await?;
    for invoice in invoices {
        write(invoice, &fields);
    }
    Ok(())
}

type Fields = BTreeMap<(ManagedEntity, Uuid), CustomFields>;

fn of(fields: &Fields, entity: ManagedEntity, id: Uuid) -> CustomFields {
    fields.get(&(entity, id)).cloned().unwrap_or_default()
}

/// Everything that an invoice names and that may have fields.
fn objects(invoice: &Invoice) -> Vec<(ManagedEntity, Uuid)> {
    let mut named = vec![
        (ManagedEntity::Customer, invoice.customer_id.0),
        (ManagedEntity::Contract, invoice.contract_id.0),
    ];
    for line in &invoice.line_items {
        named.extend(line.product_id.map(|id| (ManagedEntity::ContractProduct, id.0)));
        named.extend(line.scheduled_charge_id.map(|id| (ManagedEntity::ScheduledCharge, id.0)));
        named.extend(line.commit_id.map(|id| (entity_of_commit(line), id.0)));
    }
    named
}

fn write(invoice: &mut Invoice, fields: &Fields) {
    invoice.customer_custom_fields = of(fields, ManagedEntity::Customer, invoice.customer_id.0);
    invoice.contract_custom_fields = of(fields, ManagedEntity::Contract, invoice.contract_id.0);
    for line in &mut invoice.line_items {
        let product = line.product_id.map(|id| of(fields, ManagedEntity::ContractProduct, id.0));
        line.product_custom_fields = product.unwrap_or_default();
        let charge = line.scheduled_charge_id;
        line.scheduled_charge_custom_fields =
            charge.map(|id| of(fields, ManagedEntity::ScheduledCharge, id.0));
        line.commit_custom_fields = line.commit_id.map(|id| of(fields, entity_of_commit(line), id.0));
    }
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
