//! `POST /v1/contract-pricing/rate-cards/getRateSchedule`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calc::{self, Segment};
use super::selector::{RateSelector, Selection};
use super::timelines::{CardRates, Place, Timeline};
use super::view::RateSchedule;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetRateSchedule {
    rate_card_id: RateCardId,
    /// Inclusive; rates that ended before it are left out.
    starting_at: Timestamp,
    /// Exclusive; every later rate when omitted.
    ending_before: Option<Timestamp>,
    /// A rate is shown when it meets any selector; every rate when there is none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    selectors: Vec<RateSelector>,
}

/// Where a page ends: the place of the timeline, and the start of the stretch.
type Position = (Place, Timestamp);

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetRateSchedule>,
) -> Result<axum::Json<Page<RateSchedule>>, ApiError> {
    let (start, end) = (request.starting_at.0, request.ending_before.map(|end| end.0));
    if end.is_some_and(|end| end <= start) {
        return Err(ApiError::field("ending_before", "must be after starting_at"));
    }
    let environment_id = caller.environment_id();
    let key = CursorKey::new("rate schedule", "next_page", environment_id, &request);
    let (from, last_start) = key.decode::<Position>(page.next_page.as_deref())?.unzip();
    let selection = Selection::new(request.selectors);

    let mut db = app.db.acquire().await?;
    let rates =
        CardRates::load(&mut db, environment_id, request.rate_card_id, start, &selection, from.as_ref())
            .await?;
    let timelines = rates.timelines(&selection, from.as_ref());
    let was_shown = |timeline: &Timeline<'_>, segment: &Segment<'_>| {
        from.as_ref().zip(last_start).is_some_and(|((position, key), last_start)| {
            timeline.place() == (*position, key) && segment.start <= last_start.0
        })
    };
    let limit = page.limit.get();
    let rows: Vec<(&Timeline<'_>, Segment<'_>)> = timelines
        .iter()
        .flat_map(|timeline| {
            calc::segments(&timeline.entries).into_iter().map(move |segment| (timeline, segment))
        })
        .filter(|(timeline, segment)| segment.meets(start, end) && !was_shown(timeline, segment))
        .take(limit + 1)
        .collect();
    let page = Page::cut(rows, limit, |(timeline, segment)| {
        key.encode(&(timeline.place(), Timestamp(segment.start)))
    });
    let mut page = page.map(|(timeline, segment)| RateSchedule::new(timeline, &segment));
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getRateSchedule").tag("Rate cards").summary("Get the rates over time").description(
        "One row for each stretch of time under one rate that has a part in the window, entitled or not, with its own \
         bounds rather than the window's. In the order of the card's products, then by pricing group values and billing \
         frequency, then by start.",
    )
}
