//! `POST /v1/contract-pricing/rate-cards/addRate`, and `…/rate-cards/rates/add` as the API quickstart spells
//! it.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::add_many::append_all;
use super::entry::TimelineKey;
use super::input::RateInput;
use super::view::{Rate, RateWithCommitRate};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{Data, JsonBoth};

/// Beside the fields of the rate.
#[derive(Deserialize, JsonSchema)]
pub struct AddRate {
    rate_card_id: RateCardId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(request, rate): JsonBoth<AddRate, RateInput>,
) -> Result<axum::Json<Data<RateWithCommitRate>>, ApiError> {
    let mut change = caller.begin(&app).await?;
    let rates = vec![(String::new(), rate)];
    let added = append_all(&mut change, &caller, request.rate_card_id, rates).await?;
    let rate = added.first().expect("one rate in, one out");
    let TimelineKey { product_id, pricing_group_values, .. } = &rate.key;
    let record = Record::new(request.rate_card_id.0, format!("Added a rate for product {product_id}"));
    let data = RateWithCommitRate {
        rate: Rate::new(&rate.price, pricing_group_values, &rate.unit),
        commit_rate: rate.commit_rate.as_ref().map(Into::into),
    };
    change.commit(record, axum::Json(Data { data })).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("addRate").tag("Rate cards").summary("Add a rate").description(
        "Appends to the card's timeline; where entries overlap, the one added last is in force. Every contract on the \
         card follows. USAGE products have FLAT and TIERED rates, SUBSCRIPTION products FLAT ones for each billing \
         frequency and the legacy SUBSCRIPTION, COMPOSITE products PERCENTAGE and TIERED_PERCENTAGE.",
    )
}
