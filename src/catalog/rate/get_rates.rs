//! `POST /v1/contract-pricing/rate-cards/getRates`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calc;
use super::entry::{GroupValues, RateEntry};
use super::store;
use super::view::RateSchedule;
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::catalog::product::ProductState;
use crate::catalog::rate_card;
use crate::error::ApiError;
use crate::id::{ProductId, RateCardId};
use crate::wire::{CursorKey, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetRates {
    rate_card_id: RateCardId,
    /// The instant whose prices are asked for.
    at: Timestamp,
    /// A rate is shown when it meets any selector; every rate when there is none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    selectors: Vec<RateSelector>,
}

wire_enum! {
    /// How often a subscription is billed.
    pub enum BillingFrequency {
        Monthly = "MONTHLY",
        Quarterly = "QUARTERLY",
        Annual = "ANNUAL",
        Weekly = "WEEKLY",
    }
}

/// Conditions that must all hold.
#[derive(Deserialize, Serialize, JsonSchema)]
struct RateSelector {
    product_id: Option<ProductId>,
    /// Any of these.
    product_tags: Option<Vec<String>>,
    /// The rate's whole map.
    pricing_group_values: Option<GroupValues>,
    /// A part of the rate's map.
    partial_pricing_group_values: Option<GroupValues>,
    /// Only subscription rates have one.
    billing_frequency: Option<BillingFrequency>,
}

impl RateSelector {
    /// `state` is the product's at the instant that is asked for.
    fn selects(&self, product_id: ProductId, state: &ProductState, values: &GroupValues) -> bool {
        let tags = state.tags.as_deref().unwrap_or_default();
        self.product_id.is_none_or(|id| id == product_id)
            && self.product_tags.as_ref().is_none_or(|wanted| wanted.iter().any(|tag| tags.contains(tag)))
            && self.pricing_group_values.as_ref().is_none_or(|wanted| wanted == values)
            && self
                .partial_pricing_group_values
                .as_ref()
                .is_none_or(|wanted| wanted.iter().all(|(name, value)| values.get(name) == Some(value)))
            && self.billing_frequency.is_none()
    }
}

/// Where a page ends: the place of the product on the card and the rate's group values.
type Position = (i32, ProductId, GroupValues);

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetRates>,
) -> Result<axum::Json<Page<RateSchedule>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("rates", "next_page", environment_id, &request);
    let after: Option<Position> = key.decode(page.next_page.as_deref())?;

    let mut db = app.db.acquire().await?;
    let card = rate_card::find(&mut db, environment_id, request.rate_card_id).await?;
    let card = card.ok_or_else(|| ApiError::not_found("rate card", request.rate_card_id))?;
    let unit = card.unit();
    let products = store::card_products(&mut db, environment_id, card.id).await?;
    let entries = store::entries(&mut db, environment_id, card.id).await?;

    let mut rows: Vec<(Position, RateSchedule)> = Vec::new();
    for on_card in &products {
        let product_id = on_card.product.id;
        let states = on_card.product.timeline();
        let state = states.at(request.at.0);
        for (values, timeline) in timelines(&entries, product_id) {
            let position = (on_card.position, product_id, values.clone());
            let selected = request.selectors.is_empty()
                || request.selectors.iter().any(|selector| selector.selects(product_id, state, values));
            if !selected || after.as_ref().is_some_and(|after| position <= *after) {
                continue;
            }
            if let Some(segment) = calc::segment_at(&timeline, request.at.0) {
                rows.push((position, RateSchedule::new(product_id, state, &segment, &unit)));
            }
        }
    }
    let limit = page.limit.get();
    rows.truncate(limit + 1);
    Ok(axum::Json(Page::cut(rows, limit, |(position, _)| key.encode(position)).map(|(_, rate)| rate)))
}

/// The entries of one product by group values: each is a timeline of its own.
fn timelines(entries: &[RateEntry], product_id: ProductId) -> BTreeMap<&GroupValues, Vec<&RateEntry>> {
    let mut timelines: BTreeMap<&GroupValues, Vec<&RateEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.product_id == product_id) {
        timelines.entry(&entry.pricing_group_values).or_default().push(entry);
    }
    timelines
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getRates").tag("Rate cards").summary("Get the rates at an instant").description(
        "One row for each product and combination of pricing group values that has a rate at that instant, entitled \
         or not, with the bounds of the stretch of time under it. The product is shown as it is at that instant.",
    )
}
