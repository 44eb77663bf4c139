//! The commits and credits of packages, recurring ones too, in the database.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::terms::{BalanceTemplate, BalanceTemplateTerms, RecurringTemplate};
use crate::contract::balance::BalanceType;
use crate::contract::recurring_grant::{GrantKind, GrantTerms};
use crate::id::{BalanceId, CreditTypeId, EnvironmentId, PackageId, RecurringGrantId};
use crate::time::RelativeDate;

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    package_id: PackageId,
    balances: &[BalanceTemplate],
) -> Result<(), sqlx::Error> {
    if balances.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = balances.iter().map(|template| template.id.0).collect();
    let types: Vec<String> =
        balances.iter().map(|template| template.balance_type.as_str().to_owned()).collect();
    let terms: Vec<_> = balances.iter().map(|template| Json(&template.terms)).collect();
    sqlx::query!(
        "INSERT INTO package_balance (environment_id, package_id, id, type, terms)
         SELECT $1, $2, given.* FROM unnest($3::uuid[], $4::text[], $5::jsonb[]) AS given",
        environment_id.0,
        package_id.0,
        &ids,
        &types,
        &terms as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of each of the packages that has any, in the order in which they were brought.
pub async fn of_packages(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    package_ids: &[Uuid],
) -> Result<BTreeMap<PackageId, Vec<BalanceTemplate>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT package_id AS "package_id: PackageId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  terms AS "terms: Json<BalanceTemplateTerms>"
           FROM package_balance WHERE environment_id = $1 AND package_id = ANY($2) ORDER BY id"#,
        environment_id.0,
        package_ids,
    )
    .fetch_all(db)
    .await?;
    let mut balances: BTreeMap<PackageId, Vec<BalanceTemplate>> = BTreeMap::new();
    for row in rows {
        balances.entry(row.package_id).or_default().push(BalanceTemplate {
            id: row.id,
            balance_type: row.balance_type,
            terms: row.terms.0,
        });
    }
    Ok(balances)
}

pub async fn insert_recurring(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    recurring: &[RecurringTemplate],
) -> Result<(), sqlx::Error> {
    for template in recurring {
        sqlx::query!(
            "INSERT INTO package_recurring_grant
                 (environment_id, package_id, id, kind, credit_type_id, starting_at_offset, duration, terms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            environment_id.0,
            template.package_id.0,
            template.id.0,
            template.kind.as_str(),
            template.unit_id.map(|id| id.0),
            Json(template.starting_at_offset) as _,
            template.duration.map(Json) as _,
            Json(&template.terms) as _,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// The recurring ones of each of the packages that has any, in the order in which they were brought.
pub async fn recurring_of_packages(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    package_ids: &[Uuid],
) -> Result<BTreeMap<PackageId, Vec<RecurringTemplate>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT package_id AS "package_id: PackageId", id AS "id: RecurringGrantId", kind AS "kind: GrantKind",
                  credit_type_id AS "credit_type_id: CreditTypeId",
                  starting_at_offset AS "starting_at_offset: Json<RelativeDate>",
                  duration AS "duration: Json<RelativeDate>", terms AS "terms: Json<GrantTerms>"
           FROM package_recurring_grant WHERE environment_id = $1 AND package_id = ANY($2) ORDER BY id"#,
        environment_id.0,
        package_ids,
    )
    .fetch_all(db)
    .await?;
    let mut recurring: BTreeMap<PackageId, Vec<RecurringTemplate>> = BTreeMap::new();
    for row in rows {
        recurring.entry(row.package_id).or_default().push(RecurringTemplate {
            package_id: row.package_id,
            id: row.id,
            kind: row.kind,
            unit_id: row.credit_type_id,
            starting_at_offset: row.starting_at_offset.0,
            duration: row.duration.map(|duration| duration.0),
            terms: row.terms.0,
        });
    }
    Ok(recurring)
}

/// Whether any package has a commit, or a credit, with this id, archived packages included.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
    is_credit: bool,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM package_balance WHERE environment_id = $1 AND id = $2 AND (type = 'CREDIT') = $3
           ) AS "exists!""#,
        environment_id.0,
        id,
        is_credit,
    )
    .fetch_one(db)
    .await
}
