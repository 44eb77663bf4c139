//! `POST /v1/contract-pricing/rate-cards/getNamedSchedule` and `…/updateNamedSchedule`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::input::{Asked, Properties, Update};
use super::store::{self, Owner};
use super::view::SegmentView;
use crate::access::{App, Caller, Record, Writer};
use crate::catalog::rate_card;
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{Data, Empty, JsonBoth};

#[derive(Deserialize, JsonSchema)]
pub struct OfRateCard {
    rate_card_id: RateCardId,
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    JsonBoth(OfRateCard { rate_card_id }, asked): JsonBoth<OfRateCard, Asked>,
) -> Result<axum::Json<Data<Vec<SegmentView>>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut db = app.db.acquire().await?;
    if rate_card::find(&mut db, environment_id, rate_card_id).await?.is_none() {
        return Err(ApiError::not_found("rate card", rate_card_id));
    }
    let (name, covering) = (&asked.schedule_name.0, asked.covering_date.map(|date| date.0));
    let owner = Owner::RateCard(rate_card_id);
    let segments = store::find(&mut db, environment_id, owner, name, &Properties::new(), covering).await?;
    Ok(axum::Json(Data { data: segments.into_iter().map(Into::into).collect() }))
}

pub async fn update(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(OfRateCard { rate_card_id }, update): JsonBoth<OfRateCard, Update>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let (name, segment) = update.checked()?;
    let mut change = caller.begin(&app).await?;
    let card = rate_card::lock_active(&mut change, environment_id, rate_card_id).await?;
    let owner = Owner::RateCard(card.id);
    store::set(&mut change, environment_id, owner, &name, &Properties::new(), segment).await?;
    let record = Record::new(card.id.0, format!("Set the schedule {name} of rate card {}", card.name));
    change.commit(record, Empty).await
}

pub fn get_doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getRateCardNamedSchedule")
        .tag("Named schedules")
        .summary("Get a schedule of a rate card")
        .description("In the order of time; empty where the card has no schedule with this name.")
}

pub fn update_doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateRateCardNamedSchedule").tag("Named schedules").summary("Update a schedule of a rate card").description(
        "Sets a value over a window of time; what held there is cut off or split, the rest of the schedule stays. An \
         archived card is not changed.",
    )
}
