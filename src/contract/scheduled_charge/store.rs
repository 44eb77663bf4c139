use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{ItemPrice, PlannedItem};
use crate::catalog::product;
use crate::contract::Contract;
use crate::id::{
    BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, InvoiceId, ProductId, ScheduleItemId,
    ScheduledChargeId,
};
use crate::money::{CreditType, Decimal};
use crate::time::Instant;

/// A charge of a contract and its schedule.
#[derive(Clone, Debug)]
pub struct ScheduledCharge {
    pub contract_id: ContractId,
    pub id: ScheduledChargeId,
    pub product_id: ProductId,
    pub name: Option<String>,
    /// The currency of its amounts.
    pub unit: CreditType,
    pub netsuite_sales_order_id: Option<String>,
    pub created_at: Instant,
    /// The commit that it pays for.
    pub balance_id: Option<BalanceId>,
    /// Its one item is what is short of a postpaid commit, which is on no ordinary scheduled invoice.
    pub is_true_up: bool,
    /// Removed ones too, in the order in which they were agreed.
    pub items: Vec<ScheduleItem>,
}

/// One payment of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleItem {
    pub id: ScheduleItemId,
    pub dated_at: Instant,
    pub price: ItemPrice,
    /// The stored invoice that it is on.
    pub invoice_id: Option<InvoiceId>,
    /// When it came onto an invoice first.
    pub invoiced_at: Option<Instant>,
    pub removed_at: Option<Instant>,
}

impl ScheduleItem {
    #[must_use]
    pub fn new(id: ScheduleItemId, planned: PlannedItem) -> Self {
        let PlannedItem { dated_at, price } = planned;
        Self { id, dated_at, price, invoice_id: None, invoiced_at: None, removed_at: None }
    }
}

/// An item with what an invoice line says of its charge.
#[derive(Clone, Debug)]
pub struct DueItem {
    pub contract_id: ContractId,
    pub id: ScheduleItemId,
    pub charge_id: ScheduledChargeId,
    pub charge_name: Option<String>,
    pub product_id: ProductId,
    pub unit: CreditType,
    pub dated_at: Instant,
    pub price: ItemPrice,
    /// The commit that it pays for.
    pub balance_id: Option<BalanceId>,
    pub is_true_up: bool,
}

/// An item on a stored invoice.
#[derive(Clone, Debug)]
pub struct InvoicedItem {
    pub item: DueItem,
    /// The payment that this was on the invoice, if that was changed since.
    pub stands_for: Option<ScheduleItemId>,
}

/// A date and a currency on which a contract has pending items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingDate {
    pub contract_id: ContractId,
    pub dated_at: Instant,
    pub unit_id: CreditTypeId,
}

/// Charges and items are made with a fiat unit.
fn fiat(id: CreditTypeId) -> CreditType {
    CreditType::find_fiat(id).expect("charges are created with a fiat unit").clone()
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    charges: &[ScheduledCharge],
) -> Result<(), sqlx::Error> {
    for charge in charges {
        sqlx::query!(
            "INSERT INTO scheduled_charge (environment_id, customer_id, contract_id, id, product_id, name,
                                           credit_type_id, netsuite_sales_order_id, created_at, balance_id, is_true_up)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
        insert_items(db, environment_id, customer_id, charge).await?;
    }
    Ok(())
}

pub(super) async fn insert_items(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    charge: &ScheduledCharge,
) -> Result<(), sqlx::Error> {
    let items = &charge.items;
    let ids: Vec<Uuid> = items.iter().map(|item| item.id.0).collect();
    let dates: Vec<Instant> = items.iter().map(|item| item.dated_at).collect();
    let unit_prices: Vec<Decimal> = items.iter().map(|item| item.price.unit_price.clone()).collect();
    let quantities: Vec<Decimal> = items.iter().map(|item| item.price.quantity.clone()).collect();
    let amounts: Vec<Decimal> = items.iter().map(|item| item.price.amount()).collect();
    sqlx::query!(
        "INSERT INTO scheduled_charge_item (environment_id, customer_id, contract_id, scheduled_charge_id, id,
                                            dated_at, unit_price, quantity, amount)
         SELECT $1, $2, $3, $4, given.*
         FROM unnest($5::uuid[], $6::timestamptz[], $7::numeric[], $8::numeric[], $9::numeric[]) AS given",
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
    Ok(())
}

/// The charges of these contracts with all their items, in the order in which they were agreed; without those that pay
/// for commits.
pub async fn of_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
) -> Result<BTreeMap<ContractId, Vec<ScheduledCharge>>, sqlx::Error> {
    let mut items = items_by_charge(db, environment_id, customer_id, contract_ids).await?;
    let rows = sqlx::query!(
        r#"SELECT contract_id AS "contract_id: ContractId", id AS "id: ScheduledChargeId",
                  product_id AS "product_id: ProductId", name, credit_type_id AS "unit_id: CreditTypeId",
                  netsuite_sales_order_id, created_at
           FROM scheduled_charge WHERE environment_id = $1 AND customer_id = $2 AND contract_id = ANY($3) AND balance_id IS NULL
           ORDER BY contract_id, id"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
    )
    .fetch_all(db)
    .await?;
    let mut charges: BTreeMap<ContractId, Vec<ScheduledCharge>> = BTreeMap::new();
    for row in rows {
        charges.entry(row.contract_id).or_default().push(ScheduledCharge {
            contract_id: row.contract_id,
            id: row.id,
            product_id: row.product_id,
            name: row.name,
            unit: fiat(row.unit_id),
            netsuite_sales_order_id: row.netsuite_sales_order_id,
            created_at: row.created_at,
            balance_id: None,
            is_true_up: false,
            items: items.remove(&row.id).unwrap_or_default(),
        });
    }
    Ok(charges)
}

async fn items_by_charge(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
) -> Result<BTreeMap<ScheduledChargeId, Vec<ScheduleItem>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT scheduled_charge_id AS "charge_id: ScheduledChargeId", id AS "id: ScheduleItemId", dated_at,
                  unit_price, quantity, invoice_id AS "invoice_id: InvoiceId", invoiced_at, removed_at
           FROM scheduled_charge_item WHERE environment_id = $1 AND customer_id = $2 AND contract_id = ANY($3)
           ORDER BY contract_id, id"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
    )
    .fetch_all(db)
    .await?;
    let mut items: BTreeMap<ScheduledChargeId, Vec<ScheduleItem>> = BTreeMap::new();
    for row in rows {
        items.entry(row.charge_id).or_default().push(ScheduleItem {
            id: row.id,
            dated_at: row.dated_at,
            price: ItemPrice { unit_price: row.unit_price, quantity: row.quantity },
            invoice_id: row.invoice_id,
            invoiced_at: row.invoiced_at,
            removed_at: row.removed_at,
        });
    }
    Ok(items)
}

/// The dates and currencies of what is pending for any contract of the customer that is not archived, by date.
pub async fn pending_dates(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<PendingDate>, sqlx::Error> {
    sqlx::query_as!(
        PendingDate,
        r#"SELECT DISTINCT item.contract_id AS "contract_id: ContractId", dated_at,
                  credit_type_id AS "unit_id: CreditTypeId"
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           JOIN contract ON contract.environment_id = item.environment_id
                AND contract.customer_id = item.customer_id AND contract.id = item.contract_id
           WHERE item.environment_id = $1 AND item.customer_id = $2
             AND item.invoice_id IS NULL AND item.removed_at IS NULL AND contract.archived_at IS NULL
             AND NOT charge.is_true_up
           ORDER BY dated_at, 1, 3"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(db)
    .await
}

/// The dates and currencies of what is pending for any of the contracts, archived ones too, by date.
pub async fn pending_dates_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[Contract],
) -> Result<Vec<PendingDate>, sqlx::Error> {
    let customer_ids: Vec<Uuid> = contracts.iter().map(|contract| contract.customer_id.0).collect();
    let contract_ids: Vec<Uuid> = contracts.iter().map(|contract| contract.id.0).collect();
    sqlx::query_as!(
        PendingDate,
        r#"SELECT DISTINCT item.contract_id AS "contract_id: ContractId", dated_at,
                  credit_type_id AS "unit_id: CreditTypeId"
           FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, contract_id)
           JOIN scheduled_charge_item item ON item.environment_id = $1
                AND item.customer_id = given.customer_id AND item.contract_id = given.contract_id
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           WHERE item.invoice_id IS NULL AND item.removed_at IS NULL AND NOT charge.is_true_up
           ORDER BY dated_at, 1, 3"#,
        environment_id.0,
        &customer_ids,
        &contract_ids,
    )
    .fetch_all(db)
    .await
}

/// Whether any contract has a charge with this id; those that pay for commits are none.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM scheduled_charge WHERE environment_id = $1 AND id = $2 AND balance_id IS NULL)
                  AS "exists!""#,
        environment_id.0,
        id,
    )
    .fetch_one(db)
    .await
}

/// The first date on which the contract has pending items.
pub async fn first_pending_date(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Option<Instant>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT min(dated_at) FROM scheduled_charge_item item
         JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
              AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
         WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.contract_id = $3
           AND invoice_id IS NULL AND removed_at IS NULL AND NOT is_true_up",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
    )
    .fetch_one(db)
    .await
}

/// What a query of due items answers.
struct DueColumns {
    contract_id: ContractId,
    id: ScheduleItemId,
    charge_id: ScheduledChargeId,
    charge_name: Option<String>,
    product_id: ProductId,
    unit_id: CreditTypeId,
    dated_at: Instant,
    unit_price: Decimal,
    quantity: Decimal,
    balance_id: Option<BalanceId>,
    is_true_up: bool,
}

impl From<DueColumns> for DueItem {
    fn from(row: DueColumns) -> Self {
        Self {
            contract_id: row.contract_id,
            id: row.id,
            charge_id: row.charge_id,
            charge_name: row.charge_name,
            product_id: row.product_id,
            unit: fiat(row.unit_id),
            dated_at: row.dated_at,
            price: ItemPrice { unit_price: row.unit_price, quantity: row.quantity },
            balance_id: row.balance_id,
            is_true_up: row.is_true_up,
        }
    }
}

/// The contract's pending items that are dated in `[from, until)`, where unset is without bound, by charge and item, and
/// those that pay for commits after the others. No true-up is among them.
pub async fn pending_items(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    from: Option<Instant>,
    until: Option<Instant>,
) -> Result<Vec<DueItem>, sqlx::Error> {
    let rows = sqlx::query_as!(
        DueColumns,
        r#"SELECT item.contract_id AS "contract_id: ContractId", item.id AS "id: ScheduleItemId",
                  charge.id AS "charge_id: ScheduledChargeId",
                  charge.name AS charge_name, product_id AS "product_id: ProductId",
                  credit_type_id AS "unit_id: CreditTypeId", dated_at, unit_price, quantity,
                  balance_id AS "balance_id: BalanceId", is_true_up
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.contract_id = $3
             AND invoice_id IS NULL AND removed_at IS NULL
             AND NOT is_true_up
             AND ($4::timestamptz IS NULL OR dated_at >= $4) AND ($5::timestamptz IS NULL OR dated_at < $5)
           ORDER BY balance_id IS NOT NULL, charge.id, item.id"#,
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        from,
        until,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The items that are on stored invoices of the customer, by invoice, charge and item, as on the invoice. Those of a void
/// invoice that was regenerated are on the newest one, and what was changed since is there as it was.
pub async fn items_of_invoices(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<BTreeMap<InvoiceId, Vec<InvoicedItem>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT item.contract_id AS "contract_id: ContractId", item.id AS "id: ScheduleItemId",
                  charge.id AS "charge_id: ScheduledChargeId",
                  charge.name AS charge_name, product_id AS "product_id: ProductId",
                  credit_type_id AS "unit_id: CreditTypeId", dated_at, unit_price, quantity,
                  balance_id AS "balance_id: BalanceId", is_true_up, invoice_id AS "invoice_id!: InvoiceId",
                  stands_for AS "stands_for: ScheduleItemId"
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           WHERE item.environment_id = $1 AND item.customer_id = $2 AND invoice_id IS NOT NULL
           ORDER BY balance_id IS NOT NULL, charge.id, item.id"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(db)
    .await?;
    let mut items: BTreeMap<InvoiceId, Vec<InvoicedItem>> = BTreeMap::new();
    for row in rows {
        let item = DueItem {
            contract_id: row.contract_id,
            id: row.id,
            charge_id: row.charge_id,
            charge_name: row.charge_name,
            product_id: row.product_id,
            unit: fiat(row.unit_id),
            dated_at: row.dated_at,
            price: ItemPrice { unit_price: row.unit_price, quantity: row.quantity },
            balance_id: row.balance_id,
            is_true_up: row.is_true_up,
        };
        items.entry(row.invoice_id).or_default().push(InvoicedItem { item, stands_for: row.stands_for });
    }
    Ok(items)
}

/// The items that are on one invoice, by charge and item, and those that pay for commits after the others.
pub async fn items_of_invoice(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    invoice_id: InvoiceId,
) -> Result<Vec<DueItem>, sqlx::Error> {
    let rows = sqlx::query_as!(
        DueColumns,
        r#"SELECT item.contract_id AS "contract_id: ContractId", item.id AS "id: ScheduleItemId",
                  charge.id AS "charge_id: ScheduledChargeId",
                  charge.name AS charge_name, product_id AS "product_id: ProductId",
                  credit_type_id AS "unit_id: CreditTypeId", dated_at, unit_price, quantity,
                  balance_id AS "balance_id: BalanceId", is_true_up
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           WHERE item.environment_id = $1 AND item.customer_id = $2 AND invoice_id = $3 AND stands_for IS NULL
           ORDER BY balance_id IS NOT NULL, charge.id, item.id"#,
        environment_id.0,
        customer_id.0,
        invoice_id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Puts items of a void invoice onto the one that stands in for it. They are on one invoice at any time; the void one had
/// the same, but for those that were changed since, which are kept there as they were, and those that stay on it.
pub async fn move_to_invoice(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    items: &[DueItem],
    from: InvoiceId,
    to: InvoiceId,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.id.0).collect();
    sqlx::query!(
        "UPDATE scheduled_charge_item SET invoice_id = $4
         WHERE environment_id = $1 AND customer_id = $2 AND invoice_id = $3 AND id = ANY($5)",
        environment_id.0,
        customer_id.0,
        from.0,
        to.0,
        &ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts pending items onto stored invoices. An item that is not pending any more is an error: the caller holds the
/// contract, so there is none.
pub async fn mark_invoiced(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    items: &[(ScheduleItemId, InvoiceId)],
    at: Instant,
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = items.iter().map(|(item, _)| item.0).collect();
    let invoice_ids: Vec<Uuid> = items.iter().map(|(_, invoice)| invoice.0).collect();
    let result = sqlx::query!(
        "UPDATE scheduled_charge_item item SET invoice_id = given.invoice_id, invoiced_at = $5
         FROM unnest($3::uuid[], $4::uuid[]) AS given (id, invoice_id)
         WHERE environment_id = $1 AND customer_id = $2 AND item.id = given.id
           AND item.invoice_id IS NULL AND removed_at IS NULL",
        environment_id.0,
        customer_id.0,
        &ids,
        &invoice_ids,
        at,
    )
    .execute(db)
    .await?;
    if result.rows_affected() == items.len() as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Removes the contract's pending items that are dated at `end` or later; those of the unit `kept_at_end` only if
/// they are later, or pay for a commit that begins at `end` or later. What is short of a postpaid commit stays due, and so does what is paid for commits of the customer: these
/// do not end with the contract that carries their invoices, so what was agreed for them is owed on, and goes on being
/// billed on that contract's own scheduled invoices (our decision; the operation text speaks of the terms of the contract).
pub async fn remove_from(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    end: Instant,
    kept_at_end: Option<CreditTypeId>,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE scheduled_charge_item item SET removed_at = $6
         FROM scheduled_charge charge
         WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.contract_id = $3
           AND charge.environment_id = $1 AND charge.customer_id = $2 AND charge.id = item.scheduled_charge_id
           AND invoice_id IS NULL AND removed_at IS NULL AND NOT is_true_up AND dated_at >= $4
           AND (dated_at > $4 OR credit_type_id IS DISTINCT FROM $5
                OR EXISTS (SELECT FROM balance
                           WHERE balance.environment_id = $1 AND balance.customer_id = $2
                             AND balance.id = charge.balance_id AND starts_at >= $4))
           AND NOT EXISTS (SELECT FROM balance
                           WHERE balance.environment_id = $1 AND balance.customer_id = $2
                             AND balance.id = charge.balance_id AND balance.contract_id IS NULL)",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        end,
        kept_at_end.map(|id| id.0) as Option<Uuid>,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes all pending items of a contract that is archived, but for what is short of postpaid commits.
pub async fn remove_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE scheduled_charge_item item SET removed_at = $4
         FROM scheduled_charge charge
         WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.contract_id = $3
           AND charge.environment_id = $1 AND charge.customer_id = $2 AND charge.id = item.scheduled_charge_id
           AND invoice_id IS NULL AND removed_at IS NULL AND NOT is_true_up",
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The ids of those of a contract's pending items that pay for commits of its customer.
pub async fn pending_of_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<BTreeSet<ScheduleItemId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT item.id AS "id: ScheduleItemId"
           FROM scheduled_charge_item item
           JOIN scheduled_charge charge ON charge.environment_id = item.environment_id
                AND charge.customer_id = item.customer_id AND charge.id = item.scheduled_charge_id
           JOIN balance ON balance.environment_id = item.environment_id
                AND balance.customer_id = item.customer_id AND balance.id = charge.balance_id
           WHERE item.environment_id = $1 AND item.customer_id = $2 AND item.contract_id = $3
             AND invoice_id IS NULL AND removed_at IS NULL AND balance.contract_id IS NULL"#,
        environment_id.0,
        contract.customer_id.0,
        contract.id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().collect())
}

/// The names of these products at an instant.
pub async fn product_names(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product_ids: impl Iterator<Item = ProductId>,
    at: Instant,
) -> Result<BTreeMap<ProductId, String>, sqlx::Error> {
    let ids: Vec<Uuid> = product_ids.map(|id| id.0).collect();
    let products = product::find_many(db, environment_id, &ids).await?;
    Ok(products.into_iter().map(|product| (product.id, product.timeline().at(at).name.clone())).collect())
}
