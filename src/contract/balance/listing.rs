//! The commits and credits of a customer or of its contracts, some of them at a time.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::store::{Columns, with_units};
use super::terms::{AccessType, Balance, BalanceTerms, BalanceType};
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, RecurringGrantId};
use crate::time::Instant;

/// Which balances a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commits,
    Credits,
    Both,
}

/// Which of a customer's balances are meant; all conditions hold (texts of the list operations).
#[derive(Clone, Debug)]
pub struct BalanceFilter {
    pub kind: Kind,
    pub id: Option<BalanceId>,
    /// With a segment that is open then.
    pub covering_date: Option<Instant>,
    /// With a segment that is open then or later.
    pub starting_at: Option<Instant>,
    /// With a segment that starts before.
    pub effective_before: Option<Instant>,
    /// Those of contracts too, not only the customer's own.
    pub include_contract_balances: bool,
    pub include_archived: bool,
    pub access_type: Option<AccessType>,
}

/// The customer's balances that a filter lets through, by creation and id, after a position; at most `limit`.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    filter: &BalanceFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<Balance>, sqlx::Error> {
    let (after_created_at, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  contract_id AS "contract_id: ContractId", access_type AS "access_type: AccessType",
                  credit_type_id AS "credit_type_id: CreditTypeId", recurring_id AS "recurring_id: RecurringGrantId",
                  origin_id AS "origin_id: BalanceId", origin_contract_id AS "origin_contract_id: ContractId",
                  uniqueness_key, created_at, created_by, terms AS "terms: Json<BalanceTerms>", archived_at, added
           FROM balance
           WHERE environment_id = $1 AND customer_id = $2
             AND ($3::boolean IS NULL OR (type = 'CREDIT') = $3)
             AND ($4::uuid IS NULL OR id = $4)
             AND ($5::timestamptz IS NULL OR (starts_at <= $5 AND ends_at > $5 AND EXISTS (
                      SELECT FROM jsonb_array_elements(terms -> 'segments') AS segment
                      WHERE (segment ->> 'starting_at')::timestamptz <= $5
                        AND (segment ->> 'ending_before')::timestamptz > $5)))
             AND ($6::timestamptz IS NULL OR ends_at > $6)
             AND ($7::timestamptz IS NULL OR starts_at < $7)
             AND ($8 OR contract_id IS NULL)
             AND ($9 OR archived_at IS NULL)
             AND ($10::text IS NULL OR access_type = $10)
             AND ($11::timestamptz IS NULL OR (created_at, id) > ($11, $12))
           ORDER BY created_at, id LIMIT $13"#,
        environment_id.0,
        customer_id.0,
        match filter.kind {
            Kind::Commits => Some(false),
            Kind::Credits => Some(true),
            Kind::Both => None,
        },
        filter.id.map(|id| id.0),
        filter.covering_date,
        filter.starting_at,
        filter.effective_before,
        filter.include_contract_balances,
        filter.include_archived,
        filter.access_type.map(AccessType::as_str),
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}

/// The balances of contracts of a customer, archived ones too, by creation and id; with `most`, of each contract only
/// so many commits and so many credits, those that end last.
pub async fn of_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
    most: Option<usize>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  contract_id AS "contract_id: ContractId", access_type AS "access_type: AccessType",
                  credit_type_id AS "credit_type_id: CreditTypeId", recurring_id AS "recurring_id: RecurringGrantId",
                  origin_id AS "origin_id: BalanceId", origin_contract_id AS "origin_contract_id: ContractId",
                  uniqueness_key, created_at, created_by, terms AS "terms: Json<BalanceTerms>", archived_at, added
           FROM balance
           WHERE environment_id = $1 AND customer_id = $2 AND id IN (
               SELECT id FROM (
                   SELECT id, row_number() OVER (PARTITION BY contract_id, type = 'CREDIT'
                                                 ORDER BY ends_at DESC, id DESC) AS place
                   FROM balance WHERE environment_id = $1 AND customer_id = $2 AND contract_id = ANY($3)
               ) AS placed WHERE $4::bigint IS NULL OR place <= $4
           )
           ORDER BY created_at, id"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
        most.map(|most| i64::try_from(most).expect("caps are small")),
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}

/// What those of the ids are that the customer has.
pub async fn types(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<BalanceId, BalanceType>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT id AS "id: BalanceId", type AS "balance_type: BalanceType" FROM balance
           WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)"#,
        environment_id.0,
        customer_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.balance_type)).collect())
}

/// Whether any customer has a commit with this id, or a credit.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
    is_credit: bool,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM balance
                          WHERE environment_id = $1 AND id = $2 AND (type = 'CREDIT') = $3) AS "exists!""#,
        environment_id.0,
        id,
        is_credit,
    )
    .fetch_one(db)
    .await
}
