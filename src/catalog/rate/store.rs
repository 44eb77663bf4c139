use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::entry::{BillingFrequency, GroupValues, Price, RateEntry, RateType, Tier, TimelineKey};
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
    /// The unit of its prices on the card; for composites the card's currency.
    pub credit_type_id: CreditTypeId,
    pub product: ProductRow,
}

/// Puts products on a card, each with the unit of its prices there, behind those that are there; what is there stays.
pub async fn put_products_on_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    products: &[(ProductId, CreditTypeId)],
) -> Result<(), sqlx::Error> {
    let (product_ids, units): (Vec<Uuid>, Vec<Uuid>) =
        products.iter().map(|(product_id, unit)| (product_id.0, unit.0)).unzip();
    sqlx::query!(
        "INSERT INTO rate_card_product (environment_id, rate_card_id, product_id, position, credit_type_id)
         SELECT $1, $2, product_id, $5 + ordinal::int, credit_type_id
         FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS given (product_id, credit_type_id, ordinal)
         ON CONFLICT (environment_id, rate_card_id, product_id) DO NOTHING",
        environment_id.0,
        rate_card_id.0,
        &product_ids,
        &units,
        last_position(db, environment_id, rate_card_id).await?,
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

/// The units of those of the products that are on the card.
pub async fn units_on_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    product_ids: &[Uuid],
) -> Result<BTreeMap<ProductId, CreditTypeId>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT product_id AS "product_id: ProductId", credit_type_id AS "credit_type_id: CreditTypeId"
           FROM rate_card_product WHERE environment_id = $1 AND rate_card_id = $2 AND product_id = ANY($3)"#,
        environment_id.0,
        rate_card_id.0,
        product_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.product_id, row.credit_type_id)).collect())
}

/// Appends the rates to the card's timelines in the order given; their products are on the card.
pub async fn append(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    rates: &[ValidRate],
    created_at: Instant,
    created_by: &str,
) -> Result<(), sqlx::Error> {
    let product_ids: Vec<Uuid> = rates.iter().map(|rate| rate.key.product_id.0).collect();
    let values: Vec<_> = rates.iter().map(|rate| Json(&rate.key.pricing_group_values)).collect();
    let frequencies: Vec<Option<String>> = rates
        .iter()
        .map(|rate| rate.key.billing_frequency.map(|frequency| frequency.as_str().to_owned()))
        .collect();
    let starts: Vec<Instant> = rates.iter().map(|rate| rate.starting_at).collect();
    let ends: Vec<Option<Instant>> = rates.iter().map(|rate| rate.ending_before).collect();
    let entitled: Vec<bool> = rates.iter().map(|rate| rate.entitled).collect();
    let types: Vec<String> = rates.iter().map(|rate| rate.price.rate_type().as_str().to_owned()).collect();
    let prices: Vec<Option<&Decimal>> = rates.iter().map(|rate| rate.price.single()).collect();
    let tiers: Vec<_> = rates.iter().map(|rate| rate.price.tiers().map(Json)).collect();
    let minimums: Vec<Option<&Decimal>> = rates.iter().map(|rate| rate.price.minimum()).collect();
    let of_list: Vec<Option<bool>> = rates.iter().map(|rate| rate.price.uses_list_prices()).collect();
    let (quantities, prorated): (Vec<Option<&Decimal>>, Vec<Option<bool>>) = rates
        .iter()
        .map(|rate| match &rate.price {
            Price::Subscription { quantity, is_prorated, .. } => (Some(quantity), Some(*is_prorated)),
            _ => (None, None),
        })
        .unzip();
    let commit_prices: Vec<Option<&Decimal>> =
        rates.iter().map(|rate| rate.commit_rate.as_ref().and_then(Price::single)).collect();
    let commit_tiers: Vec<_> =
        rates.iter().map(|rate| rate.commit_rate.as_ref().and_then(Price::tiers).map(Json)).collect();
    // `added` is counted above the sort, so the entry that stands last in the request was added last.
    sqlx::query!(
        "INSERT INTO rate (environment_id, rate_card_id, product_id, pricing_group_values, billing_frequency,
                           starting_at, ending_before, entitled, rate_type, price, tiers, minimum, use_list_prices,
                           quantity, is_prorated, commit_price, commit_tiers, created_at, created_by)
         SELECT $1, $2, product_id, pricing_group_values, billing_frequency, starting_at, ending_before, entitled,
                rate_type, price, tiers, minimum, use_list_prices, quantity, is_prorated, commit_price, commit_tiers,
                $18, $19
         FROM unnest($3::uuid[], $4::jsonb[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::boolean[],
                     $9::text[], $10::numeric[], $11::jsonb[], $12::numeric[], $13::boolean[], $14::numeric[],
                     $15::boolean[], $16::numeric[], $17::jsonb[])
              WITH ORDINALITY AS given (product_id, pricing_group_values, billing_frequency, starting_at,
                                        ending_before, entitled, rate_type, price, tiers, minimum, use_list_prices,
                                        quantity, is_prorated, commit_price, commit_tiers, ordinal)
         ORDER BY ordinal",
        environment_id.0,
        rate_card_id.0,
        &product_ids,
        &values as _,
        &frequencies as _,
        &starts,
        &ends as _,
        &entitled,
        &types,
        &prices as _,
        &tiers as _,
        &minimums as _,
        &of_list as _,
        &quantities as _,
        &prorated as _,
        &commit_prices as _,
        &commit_tiers as _,
        created_at,
        created_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The columns of the table, and the unit of the product on its card.
struct Columns {
    added: i64,
    product_id: ProductId,
    pricing_group_values: Json<GroupValues>,
    billing_frequency: Option<BillingFrequency>,
    starting_at: Instant,
    ending_before: Option<Instant>,
    entitled: bool,
    rate_type: RateType,
    price: Option<Decimal>,
    tiers: Option<Json<Vec<Tier>>>,
    minimum: Option<Decimal>,
    use_list_prices: Option<bool>,
    quantity: Option<Decimal>,
    is_prorated: Option<bool>,
    commit_price: Option<Decimal>,
    commit_tiers: Option<Json<Vec<Tier>>>,
    credit_type_id: CreditTypeId,
    created_at: Instant,
}

impl From<Columns> for RateEntry {
    /// What each type has is a constraint of the table.
    fn from(row: Columns) -> Self {
        let single = |price: Option<Decimal>| price.expect("a constraint: without tiers there is a price");
        let tiers = |tiers: Option<Json<Vec<Tier>>>| tiers.expect("a constraint: tiered rates have tiers").0;
        let of_list = |of_list: Option<bool>| of_list.expect("a constraint: shares say of which prices");
        let price = match row.rate_type {
            RateType::Flat => Price::Flat(single(row.price)),
            RateType::Tiered => Price::Tiered(tiers(row.tiers)),
            RateType::Percentage => Price::Percentage {
                fraction: single(row.price),
                minimum: row.minimum,
                use_list_prices: of_list(row.use_list_prices),
            },
            RateType::TieredPercentage => Price::TieredPercentage {
                tiers: tiers(row.tiers),
                minimum: row.minimum,
                use_list_prices: of_list(row.use_list_prices),
            },
            RateType::Subscription => Price::Subscription {
                price: single(row.price),
                quantity: row.quantity.expect("a constraint: a legacy subscription has a quantity"),
                is_prorated: row.is_prorated.expect("a constraint: a legacy subscription is prorated or not"),
            },
        };
        let commit_rate = match (row.commit_price, row.commit_tiers) {
            (Some(price), _) => Some(Price::Flat(price)),
            (None, Some(tiers)) => Some(Price::Tiered(tiers.0)),
            (None, None) => None,
        };
        Self {
            added: row.added,
            key: TimelineKey {
                product_id: row.product_id,
                pricing_group_values: row.pricing_group_values.0,
                billing_frequency: row.billing_frequency,
            },
            starting_at: row.starting_at,
            ending_before: row.ending_before,
            entitled: row.entitled,
            price,
            commit_rate,
            credit_type_id: row.credit_type_id,
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
                  pricing_group_values AS "pricing_group_values: Json<GroupValues>",
                  billing_frequency AS "billing_frequency: BillingFrequency", starting_at, ending_before, entitled,
                  rate_type AS "rate_type: RateType", price, tiers AS "tiers: Json<Vec<Tier>>", minimum,
                  use_list_prices, quantity, is_prorated, commit_price,
                  commit_tiers AS "commit_tiers: Json<Vec<Tier>>",
                  on_card.credit_type_id AS "credit_type_id: CreditTypeId", rate.created_at
           FROM rate JOIN rate_card_product on_card USING (environment_id, rate_card_id, product_id)
           WHERE environment_id = $1 AND rate_card_id = $2 ORDER BY added"#,
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
                  pricing_group_values AS "pricing_group_values: Json<GroupValues>",
                  billing_frequency AS "billing_frequency: BillingFrequency", starting_at, ending_before, entitled,
                  rate_type AS "rate_type: RateType", price, tiers AS "tiers: Json<Vec<Tier>>", minimum,
                  use_list_prices, quantity, is_prorated, commit_price,
                  commit_tiers AS "commit_tiers: Json<Vec<Tier>>",
                  on_card.credit_type_id AS "credit_type_id: CreditTypeId", rate.created_at
           FROM rate JOIN rate_card_product on_card USING (environment_id, rate_card_id, product_id)
           WHERE environment_id = $1 AND rate_card_id = $2 AND product_id = ANY($3) ORDER BY added"#,
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
    let places: BTreeMap<Uuid, (i32, CreditTypeId)> = sqlx::query!(
        r#"SELECT product_id, position, credit_type_id AS "credit_type_id: CreditTypeId"
           FROM rate_card_product WHERE environment_id = $1 AND rate_card_id = $2"#,
        environment_id.0,
        rate_card_id.0,
    )
    .fetch_all(&mut *db)
    .await?
    .into_iter()
    .map(|row| (row.product_id, (row.position, row.credit_type_id)))
    .collect();
    let ids: Vec<Uuid> = places.keys().copied().collect();
    let products = product::find_many(db, environment_id, &ids).await?;
    let on_card = |product: ProductRow| {
        let (position, credit_type_id) = places[&product.id.0];
        CardProduct { position, credit_type_id, product }
    };
    let mut products: Vec<CardProduct> = products.into_iter().map(on_card).collect();
    products.sort_by_key(|card_product| (card_product.position, card_product.product.id));
    Ok(products)
}
