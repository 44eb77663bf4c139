use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::alias::Alias;
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, RateCardId};
use crate::money::{CreditType, Decimal};
use crate::time::Instant;
use crate::wire::PageRow;

/// A rate card without its rates.
#[derive(Clone, Debug)]
pub struct RateCardRow {
    pub id: RateCardId,
    pub name: String,
    pub description: Option<String>,
    pub fiat_credit_type_id: CreditTypeId,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
}

impl RateCardRow {
    /// The card's currency.
    #[must_use]
    pub fn unit(&self) -> CreditType {
        CreditType::find_fiat(self.fiat_credit_type_id).expect("cards are created with a fiat unit").clone()
    }
}

impl PageRow for RateCardRow {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}

/// What one custom pricing unit costs in the card's currency.
#[derive(Clone, Debug)]
pub struct Conversion {
    pub custom_credit_type_id: CreditTypeId,
    pub fiat_per_custom_credit: Decimal,
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    card: &RateCardRow,
    conversions: &[Conversion],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO rate_card (environment_id, id, name, description, fiat_credit_type_id, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        environment_id.0,
        card.id.0,
        card.name,
        card.description,
        card.fiat_credit_type_id.0,
        card.created_at,
        card.created_by,
    )
    .execute(&mut *db)
    .await?;
    for (position, conversion) in (0_i32..).zip(conversions) {
        sqlx::query!(
            "INSERT INTO rate_card_conversion
                 (environment_id, rate_card_id, position, custom_credit_type_id, fiat_per_custom_credit)
             VALUES ($1, $2, $3, $4, $5)",
            environment_id.0,
            card.id.0,
            position,
            conversion.custom_credit_type_id.0,
            conversion.fiat_per_custom_credit,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// The card, archived ones included.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<Option<RateCardRow>, sqlx::Error> {
    sqlx::query_as!(
        RateCardRow,
        r#"SELECT id AS "id: RateCardId", name, description,
                  fiat_credit_type_id AS "fiat_credit_type_id: CreditTypeId", created_at, created_by, archived_at
           FROM rate_card WHERE environment_id = $1 AND id = $2"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await
}

/// Locks the card until the transaction ends; 404 where there is none.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<RateCardRow, ApiError> {
    sqlx::query_as!(
        RateCardRow,
        r#"SELECT id AS "id: RateCardId", name, description,
                  fiat_credit_type_id AS "fiat_credit_type_id: CreditTypeId", created_at, created_by, archived_at
           FROM rate_card WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| ApiError::not_found("rate card", id))
}

/// Active cards, oldest first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<RateCardRow>, sqlx::Error> {
    let (after_created_at, after_id) = after.unzip();
    sqlx::query_as!(
        RateCardRow,
        r#"SELECT id AS "id: RateCardId", name, description,
                  fiat_credit_type_id AS "fiat_credit_type_id: CreditTypeId", created_at, created_by, archived_at
           FROM rate_card
           WHERE environment_id = $1 AND archived_at IS NULL
             AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3))
           ORDER BY created_at, id LIMIT $4"#,
        environment_id.0,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

pub async fn conversions_by_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<RateCardId, Vec<Conversion>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT rate_card_id AS "rate_card_id: RateCardId",
                  custom_credit_type_id AS "custom_credit_type_id: CreditTypeId", fiat_per_custom_credit
           FROM rate_card_conversion WHERE environment_id = $1 AND rate_card_id = ANY($2) ORDER BY position"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut conversions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        conversions.entry(row.rate_card_id).or_default().push(Conversion {
            custom_credit_type_id: row.custom_credit_type_id,
            fiat_per_custom_credit: row.fiat_per_custom_credit,
        });
    }
    Ok(conversions)
}

pub async fn aliases_by_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<RateCardId, Vec<Alias>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT rate_card_id AS "rate_card_id: RateCardId", name, starting_at, ending_before
           FROM rate_card_alias WHERE environment_id = $1 AND rate_card_id = ANY($2)
           ORDER BY name, starting_at NULLS FIRST"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut aliases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let alias = Alias { name: row.name, starting_at: row.starting_at, ending_before: row.ending_before };
        aliases.entry(row.rate_card_id).or_default().push(alias);
    }
    Ok(aliases)
}
