//! Names that stand for a card during a window of time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::error::ApiError;
use crate::id::{EnvironmentId, RateCardId};
use crate::time::Instant;
use crate::wire::{NonBlank, Timestamp};

/// Longest alias (our decision: an index holds it).
const NAME_LENGTH_MAX: usize = 255;

/// Most windows of aliases of one card (our decision).
const ALIASES_MAX: usize = 100;

/// An alias and when it names the card; without bounds, always (schema `RateCardAlias`).
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RateCardAliasInput")]
pub struct AliasInput {
    pub name: NonBlank,
    pub starting_at: Option<Timestamp>,
    pub ending_before: Option<Timestamp>,
}

/// An alias as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RateCardAlias")]
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

/// Gives the aliases to a card. The newest assignment wins: the same windows are cut out of every other card's
/// schedule (operation `createRateCard`).
pub async fn assign(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    aliases: &[Alias],
) -> Result<(), sqlx::Error> {
    if !aliases.is_empty() {
        lock_aliases(db, environment_id).await?;
    }
    for alias in aliases {
        cut_out(db, environment_id, alias).await?;
        sqlx::query!(
            "INSERT INTO rate_card_alias (environment_id, rate_card_id, name, starting_at, ending_before)
             VALUES ($1, $2, $3, $4, $5)",
            environment_id.0,
            id.0,
            alias.name,
            alias.starting_at,
            alias.ending_before,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Gives the aliases to a card in place of all that it has. What it gives up names nothing until another card
/// takes it: a hand-over is not undone by taking it back.
pub async fn replace(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    aliases: &[Alias],
) -> Result<(), sqlx::Error> {
    lock_aliases(db, environment_id).await?;
    sqlx::query!(
        "DELETE FROM rate_card_alias WHERE environment_id = $1 AND rate_card_id = $2",
        environment_id.0,
        id.0,
    )
    .execute(&mut *db)
    .await?;
    assign(db, environment_id, id, aliases).await
}

/// Two assignments happen one after the other, also of names that no card holds yet.
async fn lock_aliases(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
    let key = format!("rate card aliases {environment_id}");
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key).execute(db).await?;
    Ok(())
}

/// Takes the window away from whichever card holds a part of it, and leaves what lies before and after it.
async fn cut_out(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    alias: &Alias,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH held AS (
             DELETE FROM rate_card_alias
             WHERE environment_id = $1 AND name = $2 AND tstzrange(starting_at, ending_before) && tstzrange($3, $4)
             RETURNING rate_card_id, starting_at, ending_before
         ), kept AS (
             SELECT rate_card_id, starting_at, $3::timestamptz AS ending_before FROM held
             WHERE starting_at < $3 OR (starting_at IS NULL AND $3 IS NOT NULL)
             UNION ALL
             SELECT rate_card_id, $4::timestamptz, ending_before FROM held
             WHERE ending_before > $4 OR (ending_before IS NULL AND $4 IS NOT NULL)
         )
         INSERT INTO rate_card_alias (environment_id, rate_card_id, name, starting_at, ending_before)
         SELECT $1, rate_card_id, $2, starting_at, ending_before FROM kept",
        environment_id.0,
        alias.name,
        alias.starting_at,
        alias.ending_before,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The card that the alias names at `at`, archived cards left out.
pub async fn resolve_alias(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    name: &str,
    at: Instant,
) -> Result<Option<RateCardId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT rate_card_id AS "id: RateCardId"
           FROM rate_card_alias alias
           JOIN rate_card card ON card.environment_id = alias.environment_id AND card.id = alias.rate_card_id
           WHERE alias.environment_id = $1 AND alias.name = $2 AND card.archived_at IS NULL
             AND tstzrange(alias.starting_at, alias.ending_before) @> $3::timestamptz"#,
        environment_id.0,
        name,
        at,
    )
    .fetch_optional(db)
    .await
}
