//! What custom pricing units cost in a card's currency.

use schemars::JsonSchema;
use serde::Deserialize;

use super::store::Conversion;
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::{InputNumber, is_positive};

/// The price of one custom unit (schema `CreditTypeConversionInput`).
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CreditTypeConversionInput")]
pub struct ConversionInput {
    custom_credit_type_id: CreditTypeId,
    /// The price of one custom unit in the card's currency; greater than 0.
    fiat_per_custom_credit: InputNumber,
}

/// The conversions in `field` of a request, to be added to those that the card has; 400 for a unit that is
/// converted already. The published example names the card's own currency as the custom unit; that is kept and
/// never used. Custom units themselves are not supported yet.
pub fn validate(
    field: &str,
    card_unit: CreditTypeId,
    existing: &[Conversion],
    inputs: Vec<ConversionInput>,
) -> Result<Vec<Conversion>, ApiError> {
    let mut conversions: Vec<Conversion> = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let path = |name: &str| format!("{field}[{index}].{name}");
        if !is_positive(&input.fiat_per_custom_credit.0) {
            return Err(ApiError::field(&path("fiat_per_custom_credit"), "must be greater than 0"));
        }
        let unit = input.custom_credit_type_id;
        if unit != card_unit {
            let reason = "is not a pricing unit of this server (custom pricing units are not supported yet)";
            return Err(ApiError::field(&path("custom_credit_type_id"), reason));
        }
        if existing.iter().any(|other| other.custom_credit_type_id == unit) {
            let reason = "is converted by the card already, and a conversion never changes";
            return Err(ApiError::field(&path("custom_credit_type_id"), reason));
        }
        if conversions.iter().any(|other| other.custom_credit_type_id == unit) {
            return Err(ApiError::field(&path("custom_credit_type_id"), "is converted twice"));
        }
        conversions.push(Conversion {
            custom_credit_type_id: unit,
            fiat_per_custom_credit: input.fiat_per_custom_credit.0,
        });
    }
    Ok(conversions)
}
