//! `POST /v1/contract-pricing/rate-cards/update`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::conversion::{self, ConversionInput};
use super::store;
use crate::access::{App, Record, Writer};
use crate::catalog::alias::{self, AliasHolder, AliasInput};
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{Data, IdBody, Json, NonBlank, id_data};

/// What is left out stays as it is; at least one field is given (published document).
#[derive(Deserialize, JsonSchema)]
pub struct UpdateRateCard {
    rate_card_id: RateCardId,
    name: Option<NonBlank>,
    description: Option<String>,
    /// Replaces every alias of the card; an empty list takes them all away.
    aliases: Option<Vec<AliasInput>>,
    /// For units that the card does not convert yet.
    add_credit_type_conversions: Option<Vec<ConversionInput>>,
}

impl UpdateRateCard {
    /// What is to change, in words.
    fn given(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("aliases", self.aliases.is_some()),
            ("conversions", self.add_credit_type_conversions.is_some()),
        ];
        fields.into_iter().filter(|(_, is_given)| *is_given).map(|(field, _)| field).collect()
    }
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<UpdateRateCard>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let given = request.given();
    if given.is_empty() {
        let reason = "give at least one of name, description, aliases, add_credit_type_conversions";
        return Err(ApiError::BadRequest(reason.to_owned()));
    }
    let aliases = request.aliases.map(alias::validate).transpose()?;

    let mut change = caller.begin(&app).await?;
    let card = store::lock_active(&mut change, environment_id, request.rate_card_id).await?;
    let name = request.name.map_or(card.name, |name| name.0);
    let description = request.description.or(card.description);
    store::set_words(&mut change, environment_id, card.id, &name, description.as_deref()).await?;
    if let Some(inputs) = request.add_credit_type_conversions {
        let existing = store::conversions_by_card(&mut change, environment_id, &[card.id.0]).await?;
        let existing = existing.get(&card.id).map(Vec::as_slice).unwrap_or_default();
        let units = conversion::share_units(&mut change, environment_id, &inputs).await?;
        let field = "add_credit_type_conversions";
        let added = conversion::validate(field, card.fiat_credit_type_id, existing, &units, inputs)?;
        store::add_conversions(&mut change, environment_id, card.id, &added).await?;
    }
    if let Some(aliases) = aliases {
        alias::replace(&mut change, environment_id, AliasHolder::RateCard(card.id), &aliases).await?;
    }
    let record = Record::new(card.id.0, format!("Updated {} of rate card {name}", given.join(", ")));
    change.commit(record, id_data(card.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateRateCard").tag("Rate cards").summary("Update a rate card").description(
        "Changes words, aliases and conversions, and no price. An alias that another card holds moves to this one for \
         the window given; the other card keeps the rest. Contracts that exist stay with their card. An archived \
         card is not changed.",
    )
}
