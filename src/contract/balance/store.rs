use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::terms::{AccessType, Balance, BalanceTerms, BalanceType, Origin};
use crate::catalog::credit_type;
use crate::customer;
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, RecurringGrantId};
use crate::money::CreditType;
use crate::time::{Instant, Period};

/// The number of a version; it grows over all versions of a customer's balances, as whoever writes one holds the customer.
pub type Added = i64;

/// Who changed a balance, and when.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub at: Instant,
    /// Unset for due work.
    pub by: Option<&'a str>,
}

/// The columns of the table.
pub(super) struct Columns {
    pub customer_id: CustomerId,
    pub id: BalanceId,
    pub balance_type: BalanceType,
    pub contract_id: Option<ContractId>,
    pub access_type: AccessType,
    pub credit_type_id: Option<CreditTypeId>,
    pub recurring_id: Option<RecurringGrantId>,
    pub origin_id: Option<BalanceId>,
    pub origin_contract_id: Option<ContractId>,
    pub uniqueness_key: Option<String>,
    pub created_at: Instant,
    pub created_by: Option<String>,
    pub terms: Json<BalanceTerms>,
    pub archived_at: Option<Instant>,
    pub added: Added,
}

/// Rows as balances; the names of custom units are looked up.
pub(super) async fn with_units(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rows: Vec<Columns>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let is_custom = |id: &CreditTypeId| CreditType::find_fiat(*id).is_none();
    let mut custom: Vec<Uuid> =
        rows.iter().filter_map(|row| row.credit_type_id).filter(is_custom).map(|id| id.0).collect();
    custom.sort_unstable();
    custom.dedup();
    let units = match custom.as_slice() {
        [] => Vec::new(),
        ids => credit_type::find_many(db, environment_id, ids).await?,
    };
    let units: BTreeMap<CreditTypeId, CreditType> =
        units.into_iter().map(|unit| (unit.id, unit.credit_type())).collect();
    let unit = |id: CreditTypeId| {
        let unit = CreditType::find_fiat(id).or_else(|| units.get(&id));
        unit.cloned().ok_or(sqlx::Error::RowNotFound)
    };
    let balance = |row: Columns| {
        Ok(Balance {
            customer_id: row.customer_id,
            id: row.id,
            balance_type: row.balance_type,
            contract_id: row.contract_id,
            access_type: row.access_type,
            unit: row.credit_type_id.map(unit).transpose()?,
            recurring_id: row.recurring_id,
            origin: row
                .origin_id
                .zip(row.origin_contract_id)
                .map(|(balance_id, contract_id)| Origin { balance_id, contract_id }),
            uniqueness_key: row.uniqueness_key,
            created_at: row.created_at,
            created_by: row.created_by,
            terms: row.terms.0,
            archived_at: row.archived_at,
            added: row.added,
        })
    };
    rows.into_iter().map(balance).collect()
}

/// Keeps a new balance and its first version; `added` of the argument does not count. One with its id is an error.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<(), sqlx::Error> {
    let span = balance.terms.span();
    sqlx::query!(
        "INSERT INTO balance (environment_id, customer_id, id, type, contract_id, access_type, credit_type_id,
                              recurring_id, origin_id, origin_contract_id, uniqueness_key, created_at, created_by,
                              starts_at, ends_at, terms, archived_at, added)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0)",
        environment_id.0,
        balance.customer_id.0,
        balance.id.0,
        balance.balance_type.as_str(),
        balance.contract_id.map(|id| id.0),
        balance.access_type.as_str(),
        balance.unit.as_ref().map(|unit| unit.id.0),
        balance.recurring_id.map(|id| id.0),
        balance.origin.map(|origin| origin.balance_id.0),
        balance.origin.map(|origin| origin.contract_id.0),
        balance.uniqueness_key,
        balance.created_at,
        balance.created_by,
        span.start,
        span.end,
        Json(&balance.terms) as _,
        balance.archived_at,
    )
    .execute(&mut *db)
    .await?;
    let change = Change { at: balance.created_at, by: balance.created_by.as_deref() };
    save(db, environment_id, balance, change).await
}

/// Keeps the terms and the archival of a balance as a new version.
pub async fn save(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    let span = balance.terms.span();
    sqlx::query!(
        "WITH version AS (
             INSERT INTO balance_version (environment_id, customer_id, balance_id, terms, archived_at, changed_at,
                                          changed_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING added
         )
         UPDATE balance SET terms = $4, archived_at = $5, starts_at = $8, ends_at = $9, added = version.added
         FROM version WHERE environment_id = $1 AND customer_id = $2 AND id = $3",
        environment_id.0,
        balance.customer_id.0,
        balance.id.0,
        Json(&balance.terms) as _,
        balance.archived_at,
        change.at,
        change.by,
        span.start,
        span.end,
    )
    .execute(&mut *db)
    .await?;
    customer::balances_changed(db, environment_id, &[balance.customer_id.0]).await
}

/// Archives a balance.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    let archived = Balance { archived_at: Some(change.at), ..balance.clone() };
    save(db, environment_id, &archived, change).await
}

/// One balance of a customer, archived or not.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: BalanceId,
) -> Result<Option<Balance>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  contract_id AS "contract_id: ContractId", access_type AS "access_type: AccessType",
                  credit_type_id AS "credit_type_id: CreditTypeId", recurring_id AS "recurring_id: RecurringGrantId",
                  origin_id AS "origin_id: BalanceId", origin_contract_id AS "origin_contract_id: ContractId",
                  uniqueness_key, created_at, created_by, terms AS "terms: Json<BalanceTerms>", archived_at, added
           FROM balance WHERE environment_id = $1 AND customer_id = $2 AND id = $3"#,
        environment_id.0,
        customer_id.0,
        id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(with_units(db, environment_id, rows).await?.pop())
}

/// The balances of customers that are not archived and have a segment in the period beside the customer, whichever contract may
/// draw them; by creation and id.
pub async fn drawable(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    periods: impl IntoIterator<Item = (CustomerId, Period)>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let (mut customers, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (customer_id, period) in periods {
        customers.push(customer_id.0);
        starts.push(period.start);
        ends.push(period.end);
    }
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT balance.customer_id AS "customer_id: CustomerId", id AS "id: BalanceId",
                  type AS "balance_type: BalanceType", contract_id AS "contract_id: ContractId",
                  access_type AS "access_type: AccessType", credit_type_id AS "credit_type_id: CreditTypeId",
                  recurring_id AS "recurring_id: RecurringGrantId", origin_id AS "origin_id: BalanceId",
                  origin_contract_id AS "origin_contract_id: ContractId", uniqueness_key, created_at, created_by,
                  terms AS "terms: Json<BalanceTerms>", archived_at, added
           -- not looked into by the planner, who would make another plan for each call
           FROM unnest((SELECT $2::uuid[]), (SELECT $3::timestamptz[]), (SELECT $4::timestamptz[]))
                AS given (customer_id, since, until)
           CROSS JOIN LATERAL (
               SELECT * FROM balance
               WHERE environment_id = $1 AND balance.customer_id = given.customer_id AND ends_at > given.since
                 AND starts_at < given.until AND archived_at IS NULL
               -- by customer and end alone: many may have ended
               OFFSET 0
           ) AS balance
           ORDER BY created_at, id"#,
        environment_id.0,
        &customers,
        &starts,
        &ends,
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}

/// [`drawable`] as it was when `up_to` was the newest version.
pub async fn drawable_as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    period: Period,
    up_to: Added,
) -> Result<Vec<Balance>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT balance.customer_id AS "customer_id: CustomerId", id AS "id: BalanceId",
                  type AS "balance_type: BalanceType", contract_id AS "contract_id: ContractId",
                  access_type AS "access_type: AccessType", credit_type_id AS "credit_type_id: CreditTypeId",
                  recurring_id AS "recurring_id: RecurringGrantId", origin_id AS "origin_id: BalanceId",
                  origin_contract_id AS "origin_contract_id: ContractId", uniqueness_key, created_at, created_by,
                  version.terms AS "terms: Json<BalanceTerms>", version.archived_at, version.added
           FROM balance
           CROSS JOIN LATERAL (
               SELECT terms, archived_at, added FROM balance_version
               WHERE balance_version.environment_id = $1 AND balance_version.customer_id = $2
                 AND balance_version.balance_id = balance.id AND balance_version.added <= $3
               ORDER BY added DESC LIMIT 1
           ) AS version
           WHERE balance.environment_id = $1 AND balance.customer_id = $2 AND version.archived_at IS NULL
           ORDER BY created_at, id"#,
        environment_id.0,
        customer_id.0,
        up_to,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut balances = with_units(db, environment_id, rows).await?;
    balances.retain(|balance| {
        let span = balance.terms.span();
        span.end > period.start && span.start < period.end
    });
    Ok(balances)
}

/// The customer's postpaid commits, or the one that is given, whose true-up is not on an invoice yet and not removed; by
/// creation and id.
pub async fn with_pending_true_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    only: Option<BalanceId>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  contract_id AS "contract_id: ContractId", access_type AS "access_type: AccessType",
                  credit_type_id AS "credit_type_id: CreditTypeId", recurring_id AS "recurring_id: RecurringGrantId",
                  origin_id AS "origin_id: BalanceId", origin_contract_id AS "origin_contract_id: ContractId",
                  uniqueness_key, created_at, created_by, terms AS "terms: Json<BalanceTerms>", archived_at, added
           FROM balance
           WHERE environment_id = $1 AND customer_id = $2 AND ($3::uuid IS NULL OR id = $3) AND type = 'POSTPAID'
             AND EXISTS (
                 SELECT FROM scheduled_charge charge
                 JOIN scheduled_charge_item item ON item.environment_id = $1 AND item.customer_id = $2
                      AND item.contract_id = charge.contract_id AND item.scheduled_charge_id = charge.id
                 WHERE charge.environment_id = $1 AND charge.customer_id = $2 AND charge.balance_id = balance.id
                   AND is_true_up AND invoice_id IS NULL AND removed_at IS NULL)
           ORDER BY created_at, id"#,
        environment_id.0,
        customer_id.0,
        only.map(|id| id.0) as Option<Uuid>,
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}

/// The postpaid commits of an environment whose true-up is not on an invoice yet and not removed, each after its customer.
pub async fn ids_with_pending_true_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<(CustomerId, BalanceId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT charge.customer_id AS "customer_id: CustomerId", charge.balance_id AS "id!: BalanceId"
           FROM scheduled_charge charge
           JOIN scheduled_charge_item item ON item.environment_id = $1 AND item.customer_id = charge.customer_id
                AND item.contract_id = charge.contract_id AND item.scheduled_charge_id = charge.id
           WHERE charge.environment_id = $1 AND is_true_up AND invoice_id IS NULL AND removed_at IS NULL"#,
        environment_id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row.id)).collect())
}

/// [`find`] as it was when `up_to` was the newest version.
pub async fn find_as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: BalanceId,
    up_to: Added,
) -> Result<Option<Balance>, sqlx::Error> {
    let Some(balance) = find(db, environment_id, customer_id, id).await? else { return Ok(None) };
    let version = sqlx::query!(
        r#"SELECT terms AS "terms: Json<BalanceTerms>", archived_at, added FROM balance_version
           WHERE environment_id = $1 AND customer_id = $2 AND balance_id = $3 AND added <= $4
           ORDER BY added DESC LIMIT 1"#,
        environment_id.0,
        customer_id.0,
        id.0,
        up_to,
    )
    .fetch_optional(db)
    .await?;
    Ok(version.map(|version| Balance {
        terms: version.terms.0,
        archived_at: version.archived_at,
        added: version.added,
        ..balance
    }))
}
