use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::terms::{GrantKind, GrantTerms, RecurringGrant};
use crate::catalog::credit_type;
use crate::contract::balance::{self, Balance};
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, RecurringGrantId};
use crate::money::CreditType;
use crate::time::Instant;

struct Columns {
    customer_id: CustomerId,
    contract_id: ContractId,
    id: RecurringGrantId,
    kind: GrantKind,
    credit_type_id: Option<CreditTypeId>,
    created_at: Instant,
    created_by: String,
    terms: Json<GrantTerms>,
    granted_until: Instant,
}

/// Keeps a new grant and the first version of its terms.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grant: &RecurringGrant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO recurring_grant (environment_id, customer_id, contract_id, id, kind, credit_type_id, created_at,
                                      created_by, terms, added, granted_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)",
        environment_id.0,
        grant.customer_id.0,
        grant.contract_id.0,
        grant.id.0,
        grant.kind.as_str(),
        grant.unit.as_ref().map(|unit| unit.id.0),
        grant.created_at,
        grant.created_by,
        Json(&grant.terms) as _,
        grant.granted_until,
    )
    .execute(&mut *db)
    .await?;
    save(db, environment_id, grant, grant.created_at, &grant.created_by).await
}

/// Keeps the terms of a grant as a new version.
pub async fn save(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grant: &RecurringGrant,
    changed_at: Instant,
    changed_by: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH version AS (
             INSERT INTO recurring_grant_version (environment_id, customer_id, grant_id, terms, changed_at, changed_by)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING added
         )
         UPDATE recurring_grant SET terms = $4, added = version.added
         FROM version WHERE environment_id = $1 AND customer_id = $2 AND id = $3",
        environment_id.0,
        grant.customer_id.0,
        grant.id.0,
        Json(&grant.terms) as _,
        changed_at,
        changed_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps for which periods there is a commit or credit. Two steps that do so at once are never both kept: the later one
/// fails and is made again.
pub async fn advance(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grant: &RecurringGrant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE recurring_grant SET granted_until = $4 WHERE environment_id = $1 AND customer_id = $2 AND id = $3",
        environment_id.0,
        grant.customer_id.0,
        grant.id.0,
        grant.granted_until,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The grants of these contracts, in the order in which they were agreed.
pub async fn of_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
) -> Result<BTreeMap<ContractId, Vec<RecurringGrant>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", contract_id AS "contract_id: ContractId",
                  id AS "id: RecurringGrantId", kind AS "kind: GrantKind",
                  credit_type_id AS "credit_type_id: CreditTypeId", created_at, created_by,
                  terms AS "terms: Json<GrantTerms>", granted_until
           FROM recurring_grant WHERE environment_id = $1 AND customer_id = $2 AND contract_id = ANY($3)
           ORDER BY contract_id, id"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let custom = rows.iter().filter_map(|row| row.credit_type_id);
    let custom = custom.filter(|id| CreditType::find_fiat(*id).is_none());
    let custom: Vec<Uuid> = custom.map(|id| id.0).collect();
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
    let mut grants: BTreeMap<ContractId, Vec<RecurringGrant>> = BTreeMap::new();
    for row in rows {
        let unit = row.credit_type_id.map(unit).transpose()?;
        grants.entry(row.contract_id).or_default().push(RecurringGrant {
            customer_id: row.customer_id,
            contract_id: row.contract_id,
            id: row.id,
            kind: row.kind,
            unit,
            created_at: row.created_at,
            created_by: row.created_by,
            terms: row.terms.0,
            granted_until: row.granted_until,
        });
    }
    Ok(grants)
}

/// The contracts of these customers that have any, each after its customer.
pub async fn contracts_with_grants(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
) -> Result<Vec<(CustomerId, ContractId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT customer_id AS "customer_id: CustomerId", contract_id AS "contract_id: ContractId"
           FROM recurring_grant WHERE environment_id = $1 AND customer_id = ANY($2)
           ORDER BY customer_id, contract_id"#,
        environment_id.0,
        customer_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row.contract_id)).collect())
}

/// What the customer's grants with these ids make.
pub async fn kinds(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<RecurringGrantId, GrantKind>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: RecurringGrantId", kind AS "kind: GrantKind" FROM recurring_grant
           WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)"#,
        environment_id.0,
        customer_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.kind)).collect())
}

/// The grants of one contract, in the order in which they were agreed.
pub async fn of_contract(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_id: ContractId,
) -> Result<Vec<RecurringGrant>, sqlx::Error> {
    let mut found = of_contracts(db, environment_id, customer_id, &[contract_id.0]).await?;
    Ok(found.remove(&contract_id).unwrap_or_default())
}

/// The commits and credits of a grant that have not started at `now` and are not archived, by start.
pub async fn upcoming(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grant: &RecurringGrant,
    now: Instant,
) -> Result<Vec<Balance>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: BalanceId" FROM balance
           WHERE environment_id = $1 AND customer_id = $2 AND recurring_id = $3 AND starts_at > $4
             AND archived_at IS NULL
           ORDER BY starts_at, id"#,
        environment_id.0,
        grant.customer_id.0,
        grant.id.0,
        now,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(balance::find(db, environment_id, grant.customer_id, id).await?);
    }
    Ok(found)
}

/// The commits and credits of a grant that have started at `now`, are not archived and end at `first_end` or later, by start; none
/// without one.
pub async fn started_and_open_at(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grant: &RecurringGrant,
    now: Instant,
    first_end: Option<Instant>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: BalanceId" FROM balance
           WHERE environment_id = $1 AND customer_id = $2 AND recurring_id = $3 AND starts_at <= $4 AND ends_at >= $5
             AND archived_at IS NULL
           ORDER BY starts_at, id"#,
        environment_id.0,
        grant.customer_id.0,
        grant.id.0,
        now,
        first_end,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(balance::find(db, environment_id, grant.customer_id, id).await?);
    }
    Ok(found)
}
