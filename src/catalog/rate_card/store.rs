use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::alias::{self, AliasHolderType};
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, ProductId, RateCardId};
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
    .execute(db)
    .await?;
    Ok(())
}

/// Adds conversions to a card, behind those that it has.
pub async fn add_conversions(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    conversions: &[Conversion],
) -> Result<(), sqlx::Error> {
    for conversion in conversions {
        sqlx::query!(
            "INSERT INTO rate_card_conversion
                 (environment_id, rate_card_id, position, custom_credit_type_id, fiat_per_custom_credit)
             SELECT $1, $2, count(*), $3, $4
             FROM rate_card_conversion WHERE environment_id = $1 AND rate_card_id = $2",
            environment_id.0,
            id.0,
            conversion.custom_credit_type_id.0,
            conversion.fiat_per_custom_credit,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Sets what only people read.
pub async fn set_words(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    name: &str,
    description: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE rate_card SET name = $3, description = $4 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        name,
        description,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Archives the card; the first time counts.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE rate_card SET archived_at = coalesce(archived_at, $3) WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The products of a card, in its order.
pub async fn product_order(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<Vec<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT product_id AS "product_id: ProductId" FROM rate_card_product
           WHERE environment_id = $1 AND rate_card_id = $2 ORDER BY position, product_id"#,
        environment_id.0,
        id.0,
    )
    .fetch_all(db)
    .await
}

/// Gives every product of a card its place, from 1.
pub async fn set_product_order(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
    order: &[ProductId],
) -> Result<(), sqlx::Error> {
    let order: Vec<Uuid> = order.iter().map(|product_id| product_id.0).collect();
    sqlx::query!(
        "UPDATE rate_card_product SET position = ordinal
         FROM unnest($3::uuid[]) WITH ORDINALITY AS given (listed_id, ordinal)
         WHERE environment_id = $1 AND rate_card_id = $2 AND product_id = listed_id AND position <> ordinal",
        environment_id.0,
        id.0,
        &order,
    )
    .execute(db)
    .await?;
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

/// [`lock`] for changes: 400 where the card is archived (our decision: what an archived card says stays as it
/// was for the contracts that are left on it).
pub async fn lock_active(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<RateCardRow, ApiError> {
    let card = lock(db, environment_id, id).await?;
    if card.archived_at.is_some() {
        return Err(ApiError::field("rate_card_id", "the rate card is archived"));
    }
    Ok(card)
}

/// Keeps the card from being changed until the transaction ends.
pub async fn share(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: RateCardId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT id FROM rate_card WHERE environment_id = $1 AND id = $2 FOR SHARE",
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
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

/// The card that the alias names at `at`, archived cards left out.
pub async fn resolve_alias(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    name: &str,
    at: Instant,
) -> Result<Option<RateCardId>, sqlx::Error> {
    let Some(id) = alias::holder(db, environment_id, AliasHolderType::RateCard, name, at).await? else {
        return Ok(None);
    };
    let card = find(db, environment_id, RateCardId(id)).await?;
    Ok(card.filter(|card| card.archived_at.is_none()).map(|card| card.id))
}
