//! `POST /v1/contract-pricing/rate-cards/addRates`

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::input::{RateInput, ValidRate};
use super::store;
use crate::access::{App, Record, Writer};
use crate::catalog::product::{self, ProductRow};
use crate::catalog::{rate_card, usage_filter};
use crate::error::ApiError;
use crate::id::{CreditTypeId, ProductId, RateCardId};
use crate::wire::{Data, IdBody, Json, id_data};

/// Most rates of one request (our decision: they are one transaction, which holds the card for its length).
const RATES_MAX: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
pub struct AddRates {
    rate_card_id: RateCardId,
    /// Added in this order, all or none; at most 10,000.
    rates: Vec<RateInput>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<AddRates>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    if request.rates.is_empty() {
        return Err(ApiError::field("rates", "must not be empty"));
    }
    if request.rates.len() > RATES_MAX {
        return Err(ApiError::field("rates", format!("at most {RATES_MAX} in one request")));
    }
    let rates = request
        .rates
        .into_iter()
        .enumerate()
        .map(|(index, rate)| (format!("rates[{index}]."), rate))
        .collect();
    let mut change = caller.begin(&app).await?;
    let added = append_all(&mut change, &caller, request.rate_card_id, rates).await?;
    let record = Record::new(request.rate_card_id.0, format!("Added {} rates", added.len()));
    change.commit(record, id_data(request.rate_card_id.0)).await
}

/// Appends the rates, each with its path in the request; answers them.
pub async fn append_all(
    db: &mut PgConnection,
    caller: &Writer,
    rate_card_id: RateCardId,
    rates: Vec<(String, RateInput)>,
) -> Result<Vec<ValidRate>, ApiError> {
    let environment_id = caller.environment_id();
    let card = rate_card::lock_active(&mut *db, environment_id, rate_card_id).await?;
    let units = rate_card::units_for_new_rates(&mut *db, environment_id, &card).await?;

    let product_ids = product_ids(&rates);
    let products = product::share_many(&mut *db, environment_id, &product_ids).await?;
    let products: BTreeMap<_, ProductRow> =
        products.into_iter().map(|product| (product.id, product)).collect();
    let mut units_on_card =
        store::units_on_card(&mut *db, environment_id, rate_card_id, &product_ids).await?;
    let mut valid = Vec::with_capacity(rates.len());
    let mut priced: BTreeMap<ProductId, (String, &ProductRow)> = BTreeMap::new();
    let mut put_on_card: Vec<(ProductId, CreditTypeId)> = Vec::new();
    for (path, rate) in rates {
        let id = rate.product_id;
        let product = products
            .get(&id)
            .ok_or_else(|| ApiError::NotFound(format!("{path}product_id: product {id} was not found")))?;
        let rate = rate.validate(&path, product, &units, units_on_card.get(&product.id).copied())?;
        priced.entry(product.id).or_insert_with(|| (format!("{path}product_id"), product));
        if let Entry::Vacant(place) = units_on_card.entry(product.id) {
            put_on_card.push((product.id, *place.insert(rate.unit.id)));
        }
        valid.push(rate);
    }
    let priced: Vec<(String, &ProductRow)> = priced.into_values().collect();
    usage_filter::refuse_products(&mut *db, environment_id, rate_card_id, &priced).await?;
    store::put_products_on_card(&mut *db, environment_id, rate_card_id, &put_on_card).await?;
    store::append(&mut *db, environment_id, rate_card_id, &valid, caller.now, &caller.token_name).await?;
    Ok(valid)
}

/// The products of the rates, each once, in the order in which they come first.
fn product_ids(rates: &[(String, RateInput)]) -> Vec<Uuid> {
    let mut seen = BTreeSet::new();
    rates.iter().map(|(_, rate)| rate.product_id.0).filter(|id| seen.insert(*id)).collect()
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("addRates")
        .tag("Rate cards")
        .summary("Add rates")
        .description("Appends all rates to the card's timeline in the order given, or none.")
}
