use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::balance_store;
use super::terms::{
    BalanceTemplate, CardReference, ChargeTemplate, ItemTemplate, OverrideTemplate, Package,
    StatementTemplate, WholePackage,
};
use crate::casing::wire_enum;
use crate::contract::rate_override;
use crate::contract::scheduled_charge::ItemPrice;
use crate::contract::{ChargesOnUsageInvoices, MultiplierPrioritization, StatementDay};
use crate::custom_field::{self, ManagedEntity};
use crate::error::ApiError;
use crate::id::{
    CreditTypeId, EnvironmentId, OverrideId, PackageId, ProductId, RateCardId, ScheduleItemId,
    ScheduledChargeId,
};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, RelativeDate, StatementFrequency};

wire_enum! {
    /// Which packages to list.
    pub enum ArchiveFilter {
        Archived = "ARCHIVED",
        NotArchived = "NOT_ARCHIVED",
        All = "ALL",
    }
}

/// The columns of the table.
struct Columns {
    id: PackageId,
    name: String,
    contract_name: Option<String>,
    rate_card_id: Option<RateCardId>,
    rate_card_alias: Option<String>,
    duration: Option<Json<RelativeDate>>,
    net_payment_terms_days: Option<Decimal>,
    statement_frequency: StatementFrequency,
    statement_day: StatementDay,
    invoice_generation_offset: Option<Json<RelativeDate>>,
    charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    multiplier_override_prioritization: MultiplierPrioritization,
    uniqueness_key: Option<String>,
    created_at: Instant,
    created_by: String,
    archived_at: Option<Instant>,
}

impl From<Columns> for Package {
    fn from(row: Columns) -> Self {
        let alias = row.rate_card_alias.map(CardReference::Alias);
        Self {
            id: row.id,
            name: row.name,
            contract_name: row.contract_name,
            rate_card: row.rate_card_id.map(CardReference::Id).or(alias),
            duration: row.duration.map(|duration| duration.0),
            net_payment_terms_days: row.net_payment_terms_days,
            statements: StatementTemplate {
                frequency: row.statement_frequency,
                day: row.statement_day,
                invoice_generation_offset: row.invoice_generation_offset.map(|offset| offset.0),
            },
            scheduled_charges_on_usage_invoices: row.charges_on_usage_invoices,
            multiplier_override_prioritization: row.multiplier_override_prioritization,
            uniqueness_key: row.uniqueness_key,
            created_at: row.created_at,
            created_by: row.created_by,
            archived_at: row.archived_at,
        }
    }
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    package: &Package,
) -> Result<(), sqlx::Error> {
    let (card_id, card_alias) = match &package.rate_card {
        None => (None, None),
        Some(CardReference::Id(id)) => (Some(id.0), None),
        Some(CardReference::Alias(alias)) => (None, Some(alias)),
    };
    sqlx::query!(
        "INSERT INTO package (environment_id, id, name, contract_name, rate_card_id, rate_card_alias, duration,
                              net_payment_terms_days, statement_frequency, statement_day, invoice_generation_offset,
                              scheduled_charges_on_usage_invoices, multiplier_override_prioritization, uniqueness_key,
                              created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        environment_id.0,
        package.id.0,
        package.name,
        package.contract_name,
        card_id,
        card_alias,
        package.duration.map(Json) as _,
        package.net_payment_terms_days,
        package.statements.frequency.as_str(),
        package.statements.day.as_str(),
        package.statements.invoice_generation_offset.map(Json) as _,
        package.scheduled_charges_on_usage_invoices.map(ChargesOnUsageInvoices::as_str),
        package.multiplier_override_prioritization.as_str(),
        package.uniqueness_key,
        package.created_at,
        package.created_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn insert_charges(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    charges: &[ChargeTemplate],
) -> Result<(), sqlx::Error> {
    for charge in charges {
        sqlx::query!(
            "INSERT INTO package_scheduled_charge (environment_id, package_id, id, product_id, name, credit_type_id)
             VALUES ($1, $2, $3, $4, $5, $6)",
            environment_id.0,
            charge.package_id.0,
            charge.id.0,
            charge.product_id.0,
            charge.name,
            charge.unit.id.0,
        )
        .execute(&mut *db)
        .await?;
        insert_items(db, environment_id, charge).await?;
    }
    Ok(())
}

async fn insert_items(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    charge: &ChargeTemplate,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = charge.items.iter().map(|item| item.id.0).collect();
    let offsets: Vec<_> = charge.items.iter().map(|item| Json(item.date_offset)).collect();
    let unit_prices: Vec<Decimal> = charge.items.iter().map(|item| item.price.unit_price.clone()).collect();
    let quantities: Vec<Decimal> = charge.items.iter().map(|item| item.price.quantity.clone()).collect();
    sqlx::query!(
        "INSERT INTO package_scheduled_charge_item (environment_id, charge_id, id, date_offset, unit_price, quantity)
         SELECT $1, $2, given.*
         FROM unnest($3::uuid[], $4::jsonb[], $5::numeric[], $6::numeric[]) AS given",
        environment_id.0,
        charge.id.0,
        &ids,
        &offsets as _,
        &unit_prices,
        &quantities,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn insert_overrides(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    overrides: &[OverrideTemplate],
) -> Result<(), sqlx::Error> {
    for template in overrides {
        sqlx::query!(
            "INSERT INTO package_override (environment_id, package_id, id, starting_at_offset, duration, rule)
             VALUES ($1, $2, $3, $4, $5, $6)",
            environment_id.0,
            template.package_id.0,
            template.id.0,
            Json(template.starting_at_offset) as _,
            template.duration.map(Json) as _,
            Json(rate_override::Row::from(&template.rule)) as _,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn overrides_by_package(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<PackageId, Vec<OverrideTemplate>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT package_id AS "package_id: PackageId", id AS "id: OverrideId",
                  starting_at_offset AS "starting_at_offset: Json<RelativeDate>",
                  duration AS "duration: Json<RelativeDate>", rule AS "rule: Json<rate_override::Row>"
           FROM package_override WHERE environment_id = $1 AND package_id = ANY($2) ORDER BY id"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut overrides: BTreeMap<PackageId, Vec<OverrideTemplate>> = BTreeMap::new();
    for row in rows {
        overrides.entry(row.package_id).or_default().push(OverrideTemplate {
            package_id: row.package_id,
            id: row.id,
            starting_at_offset: row.starting_at_offset.0,
            duration: row.duration.map(|duration| duration.0),
            rule: row.rule.0.into(),
        });
    }
    Ok(overrides)
}

/// The package, archived ones included.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: PackageId,
) -> Result<Option<Package>, sqlx::Error> {
    let row = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: PackageId", name, contract_name, rate_card_id AS "rate_card_id: RateCardId",
                  rate_card_alias, duration AS "duration: Json<RelativeDate>", net_payment_terms_days,
                  statement_frequency AS "statement_frequency: StatementFrequency",
                  statement_day AS "statement_day: StatementDay",
                  invoice_generation_offset AS "invoice_generation_offset: Json<RelativeDate>",
                  scheduled_charges_on_usage_invoices AS "charges_on_usage_invoices: ChargesOnUsageInvoices",
                  multiplier_override_prioritization AS "multiplier_override_prioritization: MultiplierPrioritization",
                  uniqueness_key, created_at, created_by, archived_at
           FROM package WHERE environment_id = $1 AND id = $2"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Into::into))
}

/// The package, not archived by others until the transaction ends.
pub async fn share(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: PackageId,
) -> Result<Option<Package>, sqlx::Error> {
    sqlx::query!(
        "SELECT id FROM package WHERE environment_id = $1 AND id = $2 FOR SHARE",
        environment_id.0,
        id.0
    )
    .fetch_optional(&mut *db)
    .await?;
    find(db, environment_id, id).await
}

/// The package, locked until the transaction ends; 404 where there is none.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: PackageId,
) -> Result<Package, ApiError> {
    sqlx::query!(
        "SELECT id FROM package WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE",
        environment_id.0,
        id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    find(db, environment_id, id).await?.ok_or_else(|| ApiError::not_found("package", id))
}

/// Archives the package; the first time counts.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: PackageId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE package SET archived_at = coalesce(archived_at, $3) WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Packages, oldest first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: ArchiveFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<Package>, sqlx::Error> {
    let is_archived = match filter {
        ArchiveFilter::Archived => Some(true),
        ArchiveFilter::NotArchived => Some(false),
        ArchiveFilter::All => None,
    };
    let (after_created_at, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: PackageId", name, contract_name, rate_card_id AS "rate_card_id: RateCardId",
                  rate_card_alias, duration AS "duration: Json<RelativeDate>", net_payment_terms_days,
                  statement_frequency AS "statement_frequency: StatementFrequency",
                  statement_day AS "statement_day: StatementDay",
                  invoice_generation_offset AS "invoice_generation_offset: Json<RelativeDate>",
                  scheduled_charges_on_usage_invoices AS "charges_on_usage_invoices: ChargesOnUsageInvoices",
                  multiplier_override_prioritization AS "multiplier_override_prioritization: MultiplierPrioritization",
                  uniqueness_key, created_at, created_by, archived_at
           FROM package
           WHERE environment_id = $1 AND ($2::boolean IS NULL OR (archived_at IS NOT NULL) = $2)
             AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
           ORDER BY created_at, id LIMIT $5"#,
        environment_id.0,
        is_archived,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The packages with everything that their contracts come from, in the order given.
pub async fn whole(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    packages: Vec<Package>,
) -> Result<Vec<WholePackage>, sqlx::Error> {
    let ids: Vec<Uuid> = packages.iter().map(|package| package.id.0).collect();
    let mut charges = charges_by_package(db, environment_id, &ids).await?;
    let mut overrides = overrides_by_package(db, environment_id, &ids).await?;
    let mut balances = balance_store::of_packages(db, environment_id, &ids).await?;
    let mut recurring = balance_store::recurring_of_packages(db, environment_id, &ids).await?;
    let of_charges = charges.values().flatten().map(entity_of_charge);
    let of_balances = balances.values().flatten().map(entity_of_balance);
    let mut fields =
        custom_field::of_all(db, environment_id, of_charges.chain(of_balances).collect()).await?;
    let whole = packages.into_iter().map(|package| {
        let charges = charges.remove(&package.id).unwrap_or_default();
        let balances = balances.remove(&package.id).unwrap_or_default();
        let own = charges.iter().map(entity_of_charge).chain(balances.iter().map(entity_of_balance));
        let own = own.filter_map(|key| Some((key.1, fields.remove(&key)?)));
        WholePackage {
            custom_fields: own.collect(),
            charges,
            balances,
            recurring: recurring.remove(&package.id).unwrap_or_default(),
            overrides: overrides.remove(&package.id).unwrap_or_default(),
            package,
        }
    });
    Ok(whole.collect())
}

fn entity_of_charge(charge: &ChargeTemplate) -> (ManagedEntity, Uuid) {
    (ManagedEntity::PackageScheduledCharge, charge.id.0)
}

fn entity_of_balance(template: &BalanceTemplate) -> (ManagedEntity, Uuid) {
    (template.entity(), template.id.0)
}

async fn charges_by_package(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<PackageId, Vec<ChargeTemplate>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT package_id AS "package_id: PackageId", id AS "id: ScheduledChargeId",
                  product_id AS "product_id: ProductId", name, credit_type_id AS "credit_type_id: CreditTypeId"
           FROM package_scheduled_charge WHERE environment_id = $1 AND package_id = ANY($2) ORDER BY id"#,
        environment_id.0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let charge_ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let mut items = items_by_charge(db, environment_id, &charge_ids).await?;
    let mut charges: BTreeMap<PackageId, Vec<ChargeTemplate>> = BTreeMap::new();
    for row in rows {
        let unit = CreditType::find_fiat(row.credit_type_id).expect("charges are created with a fiat unit");
        charges.entry(row.package_id).or_default().push(ChargeTemplate {
            package_id: row.package_id,
            id: row.id,
            product_id: row.product_id,
            name: row.name,
            unit: unit.clone(),
            items: items.remove(&row.id).unwrap_or_default(),
        });
    }
    Ok(charges)
}

async fn items_by_charge(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    charge_ids: &[Uuid],
) -> Result<BTreeMap<ScheduledChargeId, Vec<ItemTemplate>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT charge_id AS "charge_id: ScheduledChargeId", id AS "id: ScheduleItemId",
                  date_offset AS "date_offset: Json<RelativeDate>", unit_price, quantity
           FROM package_scheduled_charge_item WHERE environment_id = $1 AND charge_id = ANY($2)
           ORDER BY charge_id, id"#,
        environment_id.0,
        charge_ids,
    )
    .fetch_all(db)
    .await?;
    let mut items: BTreeMap<ScheduledChargeId, Vec<ItemTemplate>> = BTreeMap::new();
    for row in rows {
        items.entry(row.charge_id).or_default().push(ItemTemplate {
            id: row.id,
            date_offset: row.date_offset.0,
            price: ItemPrice { unit_price: row.unit_price, quantity: row.quantity },
        });
    }
    Ok(items)
}

/// Whether any package has a scheduled charge with this id, archived ones included.
pub async fn charge_exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM package_scheduled_charge WHERE environment_id = $1 AND id = $2
           ) AS "exists!""#,
        environment_id.0,
        id,
    )
    .fetch_one(db)
    .await
}
