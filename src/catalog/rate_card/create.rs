//! `POST /v1/contract-pricing/rate-cards/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::alias::{self, AliasInput};
use super::store::{self, Conversion, RateCardRow};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::{CreditType, InputNumber, is_positive};
use crate::wire::{Data, IdBody, Json, Later, NonBlank, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreateRateCard {
    name: NonBlank,
    description: Option<String>,
    /// The card's one currency, for life; USD when omitted.
    fiat_credit_type_id: Option<CreditTypeId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    credit_type_conversions: Vec<CreditTypeConversionInput>,
    /// Names that contracts may use instead of the card's id.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    aliases: Vec<AliasInput>,
    #[serde(default, rename = "custom_fields")]
    #[schemars(skip)]
    _custom_fields: Later,
}

#[derive(Deserialize, JsonSchema)]
struct CreditTypeConversionInput {
    custom_credit_type_id: CreditTypeId,
    /// The price of one custom unit in the card's currency; greater than 0.
    fiat_per_custom_credit: InputNumber,
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
    let conversions = conversions(fiat_credit_type_id, request.credit_type_conversions)?;
    let aliases = alias::validate(request.aliases)?;
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
    store::insert(&mut change, caller.environment_id(), &card, &conversions).await?;
    alias::assign(&mut change, caller.environment_id(), card.id, &aliases).await?;
    let record = Record::new(card.id.0, format!("Created rate card {}", card.name));
    change.commit(record, id_data(card.id.0)).await
}

/// The conversions of the request. The published example names the card's own currency as the custom unit; that
/// is kept and never used. Custom units themselves are not supported yet.
fn conversions(
    card_unit: CreditTypeId,
    inputs: Vec<CreditTypeConversionInput>,
) -> Result<Vec<Conversion>, ApiError> {
    let mut conversions: Vec<Conversion> = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let path = |field: &str| format!("credit_type_conversions[{index}].{field}");
        if !is_positive(&input.fiat_per_custom_credit.0) {
            return Err(ApiError::field(&path("fiat_per_custom_credit"), "must be greater than 0"));
        }
        if input.custom_credit_type_id != card_unit {
            let reason = "is not a pricing unit of this server (custom pricing units are not supported yet)";
            return Err(ApiError::field(&path("custom_credit_type_id"), reason));
        }
        if conversions.iter().any(|other| other.custom_credit_type_id == input.custom_credit_type_id) {
            return Err(ApiError::field(&path("custom_credit_type_id"), "is converted twice"));
        }
        conversions.push(Conversion {
            custom_credit_type_id: input.custom_credit_type_id,
            fiat_per_custom_credit: input.fiat_per_custom_credit.0,
        });
    }
    Ok(conversions)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createRateCard").tag("Rate cards").summary("Create a rate card").description(
        "An alias that another card holds moves to this one for the window given; the other card keeps the rest.",
    )
}
