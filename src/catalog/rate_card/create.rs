//! `POST /v1/contract-pricing/rate-cards/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::conversion::{self, ConversionInput};
use super::store::{self, RateCardRow};
use crate::access::{App, Record, Writer};
use crate::catalog::alias::{self, AliasHolder, AliasInput};
use crate::custom_field::{self, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::CreditType;
use crate::wire::{Data, IdBody, Json, NonBlank, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreateRateCard {
    name: NonBlank,
    description: Option<String>,
    /// The card's one currency, for life; USD when omitted.
    fiat_credit_type_id: Option<CreditTypeId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    credit_type_conversions: Vec<ConversionInput>,
    /// Names that contracts may use instead of the card's id.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    aliases: Vec<AliasInput>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateRateCard>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let fiat_credit_type_id = request.fiat_credit_type_id.unwrap_or_else(|| CreditType::usd().id);
    if CreditType::find_fiat(fiat_credit_type_id).is_none() {
        return Err(ApiError::field("fiat_credit_type_id", "is not the id of a currency"));
    }
    let aliases = alias::validate(request.aliases)?;
    let fields = request.custom_fields.checked()?;
    let card = RateCardRow {
        id: app.ids.next(),
        name: request.name.0,
        description: request.description,
        fiat_credit_type_id,
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
    };
    let mut change = caller.begin(&app).await?;
    let inputs = request.credit_type_conversions;
    let units = conversion::share_units(&mut change, caller.environment_id(), &inputs).await?;
    let field = "credit_type_conversions";
    let conversions = conversion::validate(field, fiat_credit_type_id, &[], &units, inputs)?;
    store::insert(&mut change, caller.environment_id(), &card).await?;
    store::add_conversions(&mut change, caller.environment_id(), card.id, &conversions).await?;
    alias::assign(&mut change, caller.environment_id(), AliasHolder::RateCard(card.id), &aliases).await?;
    let (entity, id) = (ManagedEntity::RateCard, card.id.0);
    custom_field::set(&mut change, caller.environment_id(), entity, id, &fields).await?;
    let record = Record::new(card.id.0, format!("Created rate card {}", card.name));
    change.commit(record, id_data(card.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createRateCard").tag("Rate cards").summary("Create a rate card").description(
        "An alias that another card holds moves to this one for the window given; the other card keeps the rest.",
    )
}
