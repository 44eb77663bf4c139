use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::wire::PageRow;

/// A customer without its aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRow {
    pub id: CustomerId,
    pub name: String,
    pub salesforce_account_id: Option<String>,
    /// Unset: what the billing provider's account says.
    pub leave_stripe_invoices_in_draft: Option<bool>,
    pub created_at: Instant,
    pub updated_at: Instant,
    pub archived_at: Option<Instant>,
}

impl PageRow for CustomerRow {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}

/// A position before every customer: no clock stands before 1970.
const BEFORE_ALL: (Instant, Uuid) = (Instant::UNIX_EPOCH, Uuid::nil());

/// What a list of customers is narrowed to.
pub struct CustomerFilter {
    pub ingest_alias: Option<String>,
    /// Empty: any id.
    pub customer_ids: Vec<Uuid>,
    /// Empty: any account.
    pub salesforce_account_ids: Vec<String>,
    pub only_archived: bool,
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer: &CustomerRow,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO customer (environment_id, id, name, salesforce_account_id, leave_stripe_invoices_in_draft,
                               created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        environment_id.0,
        customer.id.0,
        customer.name,
        customer.salesforce_account_id,
        customer.leave_stripe_invoices_in_draft,
        customer.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The customer, archived ones included.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<Option<CustomerRow>, sqlx::Error> {
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name, salesforce_account_id, leave_stripe_invoices_in_draft, created_at,
                  updated_at, archived_at
           FROM customer WHERE environment_id = $1 AND id = $2"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await
}

/// The customer, archived ones included; 404 where there is none.
pub async fn get(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<CustomerRow, ApiError> {
    find(db, environment_id, id).await?.ok_or_else(|| ApiError::not_found("customer", id))
}

/// The customers that are not archived, by id from `from` on; at most `limit`.
pub async fn active_ids(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    from: Option<CustomerId>,
    limit: usize,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: CustomerId" FROM customer
           WHERE environment_id = $1 AND archived_at IS NULL AND ($2::uuid IS NULL OR id >= $2)
           ORDER BY id LIMIT $3"#,
        environment_id.0,
        from.map(|id| id.0) as Option<Uuid>,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// Locks the customer until the transaction ends; 404 where there is none.
///
/// Whoever holds a customer changes its row, whatever else changes: a transaction whose snapshot is from before does
/// not see what came of it, so it cannot hold the customer after that (`is_transient`).
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<CustomerRow, ApiError> {
    sqlx::query_as!(
        CustomerRow,
        r#"UPDATE customer SET holds = holds + 1 WHERE environment_id = $1 AND id = $2
           RETURNING id AS "id: CustomerId", name, salesforce_account_id, leave_stripe_invoices_in_draft, created_at,
                     updated_at, archived_at"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| ApiError::not_found("customer", id))
}

/// [`lock`], and 400 where the customer is archived.
pub async fn lock_active(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<CustomerRow, ApiError> {
    let customer = lock(db, environment_id, id).await?;
    match customer.archived_at {
        Some(_) => Err(ApiError::field("customer_id", "the customer is archived")),
        None => Ok(customer),
    }
}

/// Locks the customer for a step of due work until the transaction ends.
///
/// The step holds its due work already, while requests lock a customer before they reach for its due work: so it
/// does not wait long enough to stand in their way, but gives up (`is_transient`) and runs again. So it does where
/// somebody else held the customer since its snapshot was taken (see [`lock`]).
pub async fn hold(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<(), sqlx::Error> {
    hold_all(db, environment_id, &[id.0]).await
}

/// [`hold`] for several customers.
pub async fn hold_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    db.execute("SET LOCAL lock_timeout = '100ms'").await?;
    sqlx::query!(
        "WITH held AS MATERIALIZED (
             SELECT id FROM customer WHERE environment_id = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE
         )
         UPDATE customer SET holds = holds + 1 FROM held WHERE environment_id = $1 AND customer.id = held.id",
        environment_id.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Says that balances of customers, which the caller has locked, are not what they were. A step of due work whose snapshot is
/// older gives up as it [`hold`]s the customer, and runs again: what it saw to draw may be drawn already.
pub async fn balances_changed(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE customer SET balance_changes = balance_changes + 1 WHERE environment_id = $1 AND id = ANY($2)",
        environment_id.0,
        ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Oldest first. Each way of narrowing the list has a statement of its own, so that each has its index whatever
/// the values and however the statement was planned.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &CustomerFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let accounts = &filter.salesforce_account_ids;
    let after = after.unwrap_or(BEFORE_ALL);
    match named(db, environment_id, filter).await? {
        Some(ids) if ids.is_empty() => Ok(Vec::new()),
        Some(ids) => list_named(db, environment_id, filter, &ids, after, limit).await,
        None if accounts.is_empty() => list_all(db, environment_id, filter.only_archived, after, limit).await,
        None => list_of_accounts(db, environment_id, filter, after, limit).await,
    }
}

/// The customers that the filter names, by id or by alias; nothing where it names none.
async fn named(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &CustomerFilter,
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    let ids = &filter.customer_ids;
    let Some(alias) = &filter.ingest_alias else {
        return Ok(Some(ids.clone()).filter(|ids| !ids.is_empty()));
    };
    let holder = sqlx::query_scalar!(
        "SELECT customer_id FROM ingest_alias WHERE environment_id = $1 AND alias = $2",
        environment_id.0,
        alias,
    )
    .fetch_optional(db)
    .await?;
    Ok(Some(holder.into_iter().filter(|holder| ids.is_empty() || ids.contains(holder)).collect()))
}

async fn list_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    only_archived: bool,
    after: (Instant, Uuid),
    limit: usize,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let (after_created_at, after_id) = after;
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name, salesforce_account_id, leave_stripe_invoices_in_draft, created_at,
                  updated_at, archived_at
           FROM customer
           WHERE environment_id = $1 AND is_archived = $2
             AND (created_at, id) > ($3, $4)
           ORDER BY created_at, id LIMIT $5"#,
        environment_id.0,
        only_archived,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

async fn list_named(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &CustomerFilter,
    ids: &[Uuid],
    after: (Instant, Uuid),
    limit: usize,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let (after_created_at, after_id) = after;
    // Materialized: an account may have most of the customers, the ids never do.
    sqlx::query_as!(
        CustomerRow,
        r#"WITH named AS MATERIALIZED (SELECT * FROM customer WHERE environment_id = $1 AND id = ANY($2))
           SELECT id AS "id!: CustomerId", name AS "name!", salesforce_account_id, leave_stripe_invoices_in_draft,
                  created_at AS "created_at!", updated_at AS "updated_at!", archived_at
           FROM named
           WHERE is_archived = $3 AND (cardinality($4::text[]) = 0 OR salesforce_account_id = ANY($4))
             AND (created_at, id) > ($5, $6)
           ORDER BY created_at, id LIMIT $7"#,
        environment_id.0,
        ids,
        filter.only_archived,
        &filter.salesforce_account_ids,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// The first of each account in the order of the list, merged: no account is read further than the page. Rows are
/// read for the page alone; up to it the index is enough.
async fn list_of_accounts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &CustomerFilter,
    after: (Instant, Uuid),
    limit: usize,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let accounts: BTreeSet<&String> = filter.salesforce_account_ids.iter().collect();
    let accounts: Vec<String> = accounts.into_iter().cloned().collect();
    let (after_created_at, after_id) = after;
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT customer.id AS "id: CustomerId", name, salesforce_account_id, leave_stripe_invoices_in_draft,
                  customer.created_at, updated_at, archived_at
           FROM (
               SELECT of_account.id
               FROM unnest($2::text[]) AS given (account), LATERAL (
                   SELECT created_at, id FROM customer
                   WHERE environment_id = $1 AND salesforce_account_id = given.account AND is_archived = $3
                     AND (created_at, id) > ($4, $5)
                   ORDER BY created_at, id LIMIT $6) AS of_account
               ORDER BY of_account.created_at, of_account.id LIMIT $6) AS page
           JOIN customer ON customer.environment_id = $1 AND customer.id = page.id
           ORDER BY customer.created_at, customer.id"#,
        environment_id.0,
        &accounts,
        filter.only_archived,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// Keeps the customer's name and configuration.
pub async fn update(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer: &CustomerRow,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE customer SET name = $3, salesforce_account_id = $4, leave_stripe_invoices_in_draft = $5, updated_at = $6
         WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        customer.id.0,
        customer.name,
        customer.salesforce_account_id,
        customer.leave_stripe_invoices_in_draft,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Something that belongs to the customer changed. Work on an older snapshot will not pass (see [`hold`]).
pub async fn touch(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE customer SET updated_at = $3 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE customer SET archived_at = $3, updated_at = $3 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces the customer's aliases. An alias that another customer holds, or that is another customer's id, is
/// 409.
pub async fn replace_aliases(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    aliases: &[String],
    now: Instant,
) -> Result<(), ApiError> {
    refuse_ids_of_other_customers(db, environment_id, id, aliases).await?;
    // The rows that go and the rows in the way, in one order for everybody: two customers who swap aliases wait
    // for one another and never deadlock.
    let held = sqlx::query!(
        r#"SELECT alias, customer_id AS "customer_id: CustomerId" FROM ingest_alias
           WHERE environment_id = $1 AND (customer_id = $2 OR alias = ANY($3)) ORDER BY alias FOR UPDATE"#,
        environment_id.0,
        id.0,
        aliases,
    )
    .fetch_all(&mut *db)
    .await?;
    if let Some(held) = held.iter().find(|held| held.customer_id != id) {
        return Err(taken(&held.alias, held.customer_id));
    }
    sqlx::query!(
        "DELETE FROM ingest_alias WHERE environment_id = $1 AND customer_id = $2",
        environment_id.0,
        id.0
    )
    .execute(&mut *db)
    .await?;
    insert_aliases(db, environment_id, id, aliases).await?;
    Ok(touch(db, environment_id, id, now).await?)
}

/// Gives the customer aliases that nobody held a moment ago; 409 where another customer was faster.
async fn insert_aliases(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    aliases: &[String],
) -> Result<(), ApiError> {
    let positions: Vec<i32> = (0..).take(aliases.len()).collect();
    // In the order of the aliases themselves, so that two customers who claim several of the same cannot
    // deadlock.
    let inserted = sqlx::query_scalar!(
        "INSERT INTO ingest_alias (environment_id, alias, customer_id, position)
         SELECT $1, alias, $2, position FROM unnest($3::text[], $4::int[]) AS given (alias, position) ORDER BY alias
         ON CONFLICT ON CONSTRAINT ingest_alias_pkey DO NOTHING RETURNING alias",
        environment_id.0,
        id.0,
        aliases,
        &positions,
    )
    .fetch_all(&mut *db)
    .await?;
    if inserted.len() == aliases.len() {
        return Ok(());
    }
    let inserted: HashSet<&String> = inserted.iter().collect();
    let lost = aliases.iter().find(|alias| !inserted.contains(alias)).expect("one was not inserted");
    let reason = format!("`{lost}` is held by another customer, which took it just now");
    Err(ApiError::Conflict(format!("ingest_aliases: {reason}")))
}

fn taken(alias: &str, holder: CustomerId) -> ApiError {
    ApiError::Conflict(format!(
        "ingest_aliases: `{alias}` is held by customer {holder}; it must be removed there first"
    ))
}

async fn refuse_ids_of_other_customers(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    aliases: &[String],
) -> Result<(), ApiError> {
    let ids: Vec<Uuid> = aliases.iter().filter_map(|alias| Uuid::parse_str(alias).ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let other = sqlx::query_scalar!(
        "SELECT id FROM customer WHERE environment_id = $1 AND id = ANY($2) AND id <> $3 LIMIT 1",
        environment_id.0,
        &ids,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    match other {
        Some(other) => {
            Err(ApiError::Conflict(format!("ingest_aliases: `{other}` is the id of another customer")))
        }
        None => Ok(()),
    }
}

/// The aliases of each customer, in the order in which they were set.
pub async fn aliases_by_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, Vec<String>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT customer_id AS "customer_id: CustomerId", alias FROM ingest_alias
           WHERE environment_id = $1 AND customer_id = ANY($2) ORDER BY customer_id, position"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut aliases: BTreeMap<CustomerId, Vec<String>> = BTreeMap::new();
    for row in rows {
        aliases.entry(row.customer_id).or_default().push(row.alias);
    }
    Ok(aliases)
}

/// The strings in events that mean each customer: its id and its aliases.
pub async fn subjects_by_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, Vec<String>>, sqlx::Error> {
    Ok(with_own_ids(aliases_by_customer(db, environment_id, ids).await?, ids))
}

/// Adds to the aliases of each customer its id.
fn with_own_ids(
    mut subjects: BTreeMap<CustomerId, Vec<String>>,
    ids: &[Uuid],
) -> BTreeMap<CustomerId, Vec<String>> {
    for id in ids {
        let own = subjects.entry(CustomerId(*id)).or_default();
        for spelling in spellings(*id) {
            if !own.contains(&spelling) {
                own.push(spelling);
            }
        }
    }
    subjects
}

/// The same of customers that must be there, in one look; 404 where one is not.
pub async fn subjects_of_known(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, Vec<String>>, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: CustomerId",
                  ARRAY(SELECT alias FROM ingest_alias alias
                        WHERE alias.environment_id = $1 AND alias.customer_id = customer.id ORDER BY position)
                  AS "aliases!"
           -- not looked into by the planner, who would make another plan for each call
           FROM customer WHERE environment_id = $1 AND id = ANY((SELECT $2::uuid[])::uuid[])"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let aliases: BTreeMap<CustomerId, Vec<String>> =
        rows.into_iter().map(|row| (row.id, row.aliases)).collect();
    match ids.iter().find(|id| !aliases.contains_key(&CustomerId(**id))) {
        Some(missing) => Err(ApiError::not_found("customer", missing)),
        None => Ok(with_own_ids(aliases, ids)),
    }
}

/// The customer that each string in events means, archived ones included: by its id, else by an alias. A string that
/// means nobody is left out.
pub async fn find_by_subjects(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    received: &[String],
) -> Result<HashMap<String, CustomerRow>, sqlx::Error> {
    let as_id = |text: &String| Uuid::parse_str(text).ok().filter(|id| spellings(*id).contains(text));
    let ids: Vec<Option<Uuid>> = received.iter().map(as_id).collect();
    let rows = sqlx::query!(
        r#"SELECT given.received AS "received!", customer.id AS "id!: CustomerId", customer.name AS "name!",
                  customer.salesforce_account_id AS "salesforce_account_id?",
                  customer.leave_stripe_invoices_in_draft AS "leave_stripe_invoices_in_draft?",
                  customer.created_at AS "created_at!", customer.updated_at AS "updated_at!",
                  customer.archived_at AS "archived_at?"
           -- not looked into by the planner, who would make another plan for each call
           FROM unnest((SELECT $2::text[]), (SELECT $3::uuid[])) AS given (received, id)
           LEFT JOIN LATERAL (
               SELECT id FROM customer WHERE customer.environment_id = $1 AND customer.id = given.id OFFSET 0
           ) AS own ON true
           LEFT JOIN LATERAL (
               SELECT customer_id FROM ingest_alias alias
               WHERE alias.environment_id = $1 AND alias.alias = given.received
               OFFSET 0
           ) AS alias ON true
           CROSS JOIN LATERAL (
               SELECT * FROM customer
               WHERE customer.environment_id = $1 AND customer.id = coalesce(own.id, alias.customer_id)
               OFFSET 0
           ) AS customer"#,
        environment_id.0,
        received,
        &ids as _,
    )
    .fetch_all(db)
    .await?;
    let customer = rows.into_iter().map(|row| {
        let customer = CustomerRow {
            id: row.id,
            name: row.name,
            salesforce_account_id: row.salesforce_account_id,
            leave_stripe_invoices_in_draft: row.leave_stripe_invoices_in_draft,
            created_at: row.created_at,
            updated_at: row.updated_at,
            archived_at: row.archived_at,
        };
        (row.received, customer)
    });
    Ok(customer.collect())
}

/// How events may spell a customer's id.
fn spellings(id: Uuid) -> [String; 2] {
    [id.to_string(), id.to_string().to_uppercase()]
}
