//! Names that stand for a rate card or a package during a window of time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::casing::wire_enum;
use crate::error::ApiError;
use crate::id::{EnvironmentId, PackageId, RateCardId};
use crate::time::Instant;
use crate::wire::{NonBlank, Timestamp};

/// Longest alias (our decision: an index holds it).
const NAME_LENGTH_MAX: usize = 255;

/// Most windows of aliases of one card or package (our decision).
const ALIASES_MAX: usize = 100;

wire_enum! {
    /// The types of objects that aliases are given to, each a space of names of its own.
    pub enum AliasHolderType {
        RateCard = "rate_card",
        Package = "package",
    }
}

/// Whom an alias is given to.
#[derive(Clone, Copy, Debug)]
pub enum AliasHolder {
    RateCard(RateCardId),
    Package(PackageId),
}

impl AliasHolder {
    const fn of_type(self) -> AliasHolderType {
        match self {
            Self::RateCard(_) => AliasHolderType::RateCard,
            Self::Package(_) => AliasHolderType::Package,
        }
    }

    const fn id(self) -> Uuid {
        match self {
            Self::RateCard(id) => id.0,
            Self::Package(id) => id.0,
        }
    }
}

/// An alias and when it names its holder; without bounds, always (schemas `RateCardAlias` and `PackageAlias`).
#[derive(Deserialize, JsonSchema)]
pub struct AliasInput {
    pub name: NonBlank,
    pub starting_at: Option<Timestamp>,
    pub ending_before: Option<Timestamp>,
}

/// An alias as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Alias {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_before: Option<Instant>,
}

/// The aliases of a request; 400 for an empty window or two windows of one name that overlap.
pub fn validate(aliases: Vec<AliasInput>) -> Result<Vec<Alias>, ApiError> {
    if aliases.len() > ALIASES_MAX {
        return Err(ApiError::field("aliases", format!("at most {ALIASES_MAX}")));
    }
    let mut valid: Vec<Alias> = Vec::new();
    for (index, alias) in aliases.into_iter().enumerate() {
        let alias = Alias {
            name: alias.name.0,
            starting_at: alias.starting_at.map(|instant| instant.0),
            ending_before: alias.ending_before.map(|instant| instant.0),
        };
        let path = format!("aliases[{index}]");
        if alias.name.chars().count() > NAME_LENGTH_MAX {
            return Err(ApiError::field(
                &format!("{path}.name"),
                format!("at most {NAME_LENGTH_MAX} characters"),
            ));
        }
        if let (Some(start), Some(end)) = (alias.starting_at, alias.ending_before)
            && end <= start
        {
            return Err(ApiError::field(&format!("{path}.ending_before"), "must be after starting_at"));
        }
        if valid.iter().any(|other| other.name == alias.name && overlap(other, &alias)) {
            return Err(ApiError::field(&path, format!("overlaps another window of `{}`", alias.name)));
        }
        valid.push(alias);
    }
    Ok(valid)
}

fn overlap(one: &Alias, other: &Alias) -> bool {
    let starts_before_end = |start: Option<Instant>, end: Option<Instant>| match (start, end) {
        (Some(start), Some(end)) => start < end,
        _ => true,
    };
    starts_before_end(one.starting_at, other.ending_before)
        && starts_before_end(other.starting_at, one.ending_before)
}

/// Gives the aliases to a holder. The newest assignment wins: the same windows are cut out of every other holder's
/// schedule (operations `createRateCard` and `createPackage`).
pub async fn assign(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holder: AliasHolder,
    aliases: &[Alias],
) -> Result<(), sqlx::Error> {
    if !aliases.is_empty() {
        lock_aliases(db, environment_id, holder.of_type()).await?;
    }
    for alias in aliases {
        cut_out(db, environment_id, holder.of_type(), alias).await?;
        sqlx::query!(
            "INSERT INTO alias (environment_id, holder_type, holder_id, name, starting_at, ending_before)
             VALUES ($1, $2, $3, $4, $5, $6)",
            environment_id.0,
            holder.of_type().as_str(),
            holder.id(),
            alias.name,
            alias.starting_at,
            alias.ending_before,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Gives the aliases to a holder in place of all that it has. What it gives up names nothing until another one takes
/// it: a hand-over is not undone by taking it back.
pub async fn replace(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holder: AliasHolder,
    aliases: &[Alias],
) -> Result<(), sqlx::Error> {
    lock_aliases(db, environment_id, holder.of_type()).await?;
    sqlx::query!(
        "DELETE FROM alias WHERE environment_id = $1 AND holder_type = $2 AND holder_id = $3",
        environment_id.0,
        holder.of_type().as_str(),
        holder.id(),
    )
    .execute(&mut *db)
    .await?;
    assign(db, environment_id, holder, aliases).await
}

/// Two assignments happen one after the other, also of names that nobody holds yet.
async fn lock_aliases(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holders: AliasHolderType,
) -> Result<(), sqlx::Error> {
    let key = format!("{} aliases {environment_id}", holders.as_str());
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key).execute(db).await?;
    Ok(())
}

/// Takes the window away from whoever holds a part of it, and leaves what lies before and after it.
async fn cut_out(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holders: AliasHolderType,
    alias: &Alias,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH held AS (
             DELETE FROM alias
             WHERE environment_id = $1 AND holder_type = $5 AND name = $2
               AND tstzrange(starting_at, ending_before) && tstzrange($3, $4)
             RETURNING holder_id, starting_at, ending_before
         ), kept AS (
             SELECT holder_id, starting_at, $3::timestamptz AS ending_before FROM held
             WHERE starting_at < $3 OR (starting_at IS NULL AND $3 IS NOT NULL)
             UNION ALL
             SELECT holder_id, $4::timestamptz, ending_before FROM held
             WHERE ending_before > $4 OR (ending_before IS NULL AND $4 IS NOT NULL)
         )
         INSERT INTO alias (environment_id, holder_type, holder_id, name, starting_at, ending_before)
         SELECT $1, $5, holder_id, $2, starting_at, ending_before FROM kept",
        environment_id.0,
        alias.name,
        alias.starting_at,
        alias.ending_before,
        holders.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who holds the alias at `at`, archived or not.
pub async fn holder(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holders: AliasHolderType,
    name: &str,
    at: Instant,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT holder_id FROM alias
         WHERE environment_id = $1 AND holder_type = $2 AND name = $3
           AND tstzrange(starting_at, ending_before) @> $4::timestamptz",
        environment_id.0,
        holders.as_str(),
        name,
        at,
    )
    .fetch_optional(db)
    .await
}

/// The aliases of each of these holders that has any, by name and start.
pub async fn of_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    holders: AliasHolderType,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<Alias>>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT holder_id, name, starting_at, ending_before FROM alias
         WHERE environment_id = $1 AND holder_type = $2 AND holder_id = ANY($3)
         ORDER BY name, starting_at NULLS FIRST",
        environment_id.0,
        holders.as_str(),
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut aliases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let alias = Alias { name: row.name, starting_at: row.starting_at, ending_before: row.ending_before };
        aliases.entry(row.holder_id).or_default().push(alias);
    }
    Ok(aliases)
}
