use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::entry::{GroupValues, Price, RateEntry, RateType, Tier};
use super::input::ValidRate;
use crate::catalog::product::{self, ProductRow};
use crate::id::{CreditTypeId, EnvironmentId, ProductId, RateCardId};
use crate::money::Decimal;
use crate::time::Instant;

/// A product on a card.
#[derive(Clone, Debug)]
pub struct CardProduct {
    /// Its place in the card's order, which is the order of invoice lines.
    pub position: i32,
    pub product: ProductRow,
}

/// Puts products on a card, behind those that are there; what is there stays.
pub async fn put_products_on_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    product_ids: &[Uuid],
    unit: CreditTypeId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO rate_card_product (environment_id, rate_card_id, product_id, position, credit_type_id)
         SELECT $1, $2, product_id, $4 + ordinal::int, $5
         FROM unnest($3::uuid[]) WITH ORDINALITY AS given (product_id, ordinal)
         ON CONFLICT (environment_id, rate_card_id, product_id) DO NOTHING",
        environment_id.0,
        rate_card_id.0,
        product_ids,
        last_position(db, environment_id, rate_card_id).await?,
        unit.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn last_position(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(position), 0) AS "position!" FROM rate_card_product
           WHERE environment_id = $1 AND rate_card_id = $2"#,
        environment_id.0,
        rate_card_id.0,
    )
    .fetch_one(db)
    .await
}

/// Appends the rates to the card's timelines in the order given.
pub async fn append(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    rates: &[ValidRate],
    created_at: Instant,
    created_by: &str,
) -> Result<(), sqlx::Error> {
    let product_ids: Vec<Uuid> = rates.iter().map(|rate| rate.product_id.0).collect();
    let values: Vec<_> = rates.iter().map(|rate| Json(&rate.pricing_group_values)).collect();
    let starts: Vec<Instant> = rates.iter().map(|rate| rate.starting_at).collect();
    let ends: Vec<Option<Instant>> = rates.iter().map(|rate| rate.ending_before).collect();
    let entitled: Vec<bool> = rates.iter().map(|rate| rate.entitled).collect();
    let (mut types, mut prices, mut tiers) = (Vec::new(), Vec::new(), Vec::new());
    for rate in rates {
        let (rate_type, price, own_tiers) = match &rate.price {
            Price::Flat(price) => (RateType::Flat, Some(price.clone()), None),
            Price::Tiered(tiers) => (RateType::Tiered, None, Some(Json(tiers))),
        };
        types.push(rate_type.as_str().to_owned());
        prices.push(price);
        tiers.push(own_tiers);
    }
    // `added` is counted above the sort, so the entry that stands last in the request was added last.
    sqlx::query!(
        "INSERT INTO rate (environment_id, rate_card_id, product_id, pricing_group_values, starting_at, ending_before,
                           entitled, rate_type, price, tiers, created_at, created_by)
         SELECT $1, $2, product_id, pricing_group_values, starting_at, ending_before, entitled, rate_type, price,
                tiers, $11, $12
         FROM unnest($3::uuid[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[], $7::boolean[], $8::text[],
                     $9::numeric[], $10::jsonb[])
              WITH ORDINALITY AS given (product_id, pricing_group_values, starting_at, ending_before, entitled,
                                        rate_type, price, tiers, ordinal)
         ORDER BY ordinal",
        environment_id.0,
        rate_card_id.0,
        &product_ids,
        &values as _,
        &starts,
        &ends as _,
        &entitled,
        &types,
        &prices as _,
        &tiers as _,
        created_at,
        created_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The columns of the table.
struct Columns {
    added: i64,
    product_id: ProductId,
    pricing_group_values: Json<GroupValues>,
    starting_at: Instant,
    ending_before: Option<Instant>,
    entitled: bool,
    price: Option<Decimal>,
    tiers: Option<Json<Vec<Tier>>>,
    created_at: Instant,
}

impl From<Columns> for RateEntry {
    fn from(row: Columns) -> Self {
        let price = match (row.price, row.tiers) {
            (Some(price), _) => Price::Flat(price),
            (None, Some(tiers)) => Price::Tiered(tiers.0),
            (None, None) => unreachable!("a constraint of the table: FLAT has a price, TIERED has tiers"),
        };
        Self {
            added: row.added,
            product_id: row.product_id,
            pricing_group_values: row.pricing_group_values.0,
            starting_at: row.starting_at,
            ending_before: row.ending_before,
            entitled: row.entitled,
            price,
            created_at: row.created_at,
        }
    }
}

/// Every entry of the card's timelines, in the order of addition.
pub async fn entries(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
) -> Result<Vec<RateEntry>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT added, product_id AS "product_id: ProductId",
                  pricing_group_values AS "pricing_group_values: Json<GroupValues>", starting_at, ending_before,
                  entitled, price, tiers AS "tiers: Json<Vec<Tier>>", created_at
           FROM rate WHERE environment_id = $1 AND rate_card_id = $2 ORDER BY added"#,
        environment_id.0,
        rate_card_id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The entries of some of the card's products, in the order of addition.
pub async fn entries_of_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    product_ids: &[Uuid],
) -> Result<Vec<RateEntry>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT added, product_id AS "product_id: ProductId",
                  pricing_group_values AS "pricing_group_values: Json<GroupValues>", starting_at, ending_before,
                  entitled, price, tiers AS "tiers: Json<Vec<Tier>>", created_at
           FROM rate WHERE environment_id = $1 AND rate_card_id = $2 AND product_id = ANY($3) ORDER BY added"#,
        environment_id.0,
        rate_card_id.0,
        product_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The products of a card, in its order.
pub async fn card_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
) -> Result<Vec<CardProduct>, sqlx::Error> {
    let positions: BTreeMap<Uuid, i32> = sqlx::query!(
        "SELECT product_id, position FROM rate_card_product WHERE environment_id = $1 AND rate_card_id = $2",
        environment_id.0,
        rate_card_id.0,
    )
    .fetch_all(&mut *db)
    .await?
    .into_iter()
    .map(|row| (row.product_id, row.position))
    .collect();
    let ids: Vec<Uuid> = positions.keys().copied().collect();
    let products = product::find_many(db, environment_id, &ids).await?;
    let mut products: Vec<CardProduct> = products
        .into_iter()
        .map(|product| CardProduct { position: positions[&product.id.0], product })
        .collect();
    products.sort_by_key(|card_product| (card_product.position, card_product.product.id));
    Ok(products)
}
