//! `POST /v1/contract-pricing/rate-cards/getRates`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calc::{self, Segment};
use super::selector::{RateSelectorWithProductTags, Selection};
use super::timelines::{CardRates, Place, Timeline};
use super::view::RateSchedule;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetRates {
    rate_card_id: RateCardId,
    /// The instant whose prices are asked for.
    at: Timestamp,
    /// A rate is shown when it meets any selector; every rate when there is none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    selectors: Vec<RateSelectorWithProductTags>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetRates>,
) -> Result<axum::Json<Page<RateSchedule>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("rates", "next_page", environment_id, &request);
    let after: Option<Place> = key.decode(page.next_page.as_deref())?;
    let selection = Selection::new(request.selectors);

    let mut db = app.db.acquire().await?;
    let rates = CardRates::load(
        &mut db,
        environment_id,
        request.rate_card_id,
        request.at.0,
        &selection,
        after.as_ref(),
    )
    .await?;
    let timelines = rates.timelines(&selection, after.as_ref());
    let limit = page.limit.get();
    let rows: Vec<(&Timeline<'_>, Segment<'_>)> = timelines
        .iter()
        .filter(|timeline| after.as_ref().is_none_or(|(position, key)| timeline.place() > (*position, key)))
        .filter_map(|timeline| Some((timeline, calc::segment_at(&timeline.entries, request.at.0)?)))
        .take(limit + 1)
        .collect();
    let page = Page::cut(rows, limit, |(timeline, _)| key.encode(&timeline.place()));
    let mut page = page.map(|(timeline, segment)| RateSchedule::new(timeline, &segment));
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getRates").tag("Rate cards").summary("Get the rates at an instant").description(
        "One row for each product and combination of pricing group values, or billing frequency, that has a rate at \
         that instant, entitled or not, with the bounds of the stretch of time under it.",
    )
}
