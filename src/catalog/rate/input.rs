//! A rate in a request, and whether it makes sense.

use schemars::JsonSchema;
use serde::Deserialize;

use super::entry::{GroupValues, Price, RateType, Tier};
use crate::catalog::product::{ProductRow, ProductType};
use crate::error::ApiError;
use crate::id::{CreditTypeId, ProductId};
use crate::money::{CreditType, InputNumber, is_negative, is_positive};
use crate::time::Instant;
use crate::wire::{HourBoundary, Later};

/// The fields of a rate (schema `AddRatePayload` without its card).
#[derive(Deserialize, JsonSchema)]
pub struct RateInput {
    pub product_id: ProductId,
    /// One value for each property of the product's pricing group key.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    pub pricing_group_values: GroupValues,
    /// Inclusive; on the hour.
    pub starting_at: HourBoundary,
    /// Exclusive; on the hour; for ever when omitted.
    pub ending_before: Option<HourBoundary>,
    /// False takes the product out of sale under this rate.
    pub entitled: bool,
    pub rate_type: RateType,
    /// The price of one unit for FLAT.
    pub price: Option<InputNumber>,
    /// For TIERED.
    pub tiers: Option<Vec<Tier>>,
    /// The unit of the prices; USD (cents) when omitted.
    pub credit_type_id: Option<CreditTypeId>,
    #[serde(default, rename = "billing_frequency")]
    #[schemars(skip)]
    _billing_frequency: Later,
    #[serde(default, rename = "quantity")]
    #[schemars(skip)]
    _quantity: Later,
    #[serde(default, rename = "is_prorated")]
    #[schemars(skip)]
    _is_prorated: Later,
    #[serde(default, rename = "minimum_config")]
    #[schemars(skip)]
    _minimum_config: Later,
    #[serde(default, rename = "custom_rate")]
    #[schemars(skip)]
    _custom_rate: Later,
    #[serde(default, rename = "commit_rate")]
    #[schemars(skip)]
    _commit_rate: Later,
    #[serde(default, rename = "use_list_prices")]
    #[schemars(skip)]
    _use_list_prices: Later,
}

/// A rate that may be added.
pub struct ValidRate {
    pub product_id: ProductId,
    pub pricing_group_values: GroupValues,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub entitled: bool,
    pub price: Price,
}

impl RateInput {
    /// Checks the rate against its product and its card's unit. `path` is where the rate is in the request:
    /// empty, or `rates[3].`.
    pub fn validate(
        self,
        path: &str,
        product: &ProductRow,
        card_unit: &CreditType,
    ) -> Result<ValidRate, ApiError> {
        let field = |name: &str, reason: &str| ApiError::field(&format!("{path}{name}"), reason);
        if product.archived_at.is_some() {
            return Err(field("product_id", "the product is archived"));
        }
        if product.product_type == ProductType::Fixed {
            return Err(field("product_id", "a FIXED product has no rates; contracts price it"));
        }
        let unit = self.credit_type_id.unwrap_or_else(|| CreditType::usd().id);
        if unit != card_unit.id {
            let reason = format!("must be {} ({}), the unit of the rate card", card_unit.id, card_unit.name);
            return Err(field("credit_type_id", &reason));
        }
        if let Some(end) = self.ending_before
            && end <= self.starting_at
        {
            return Err(field("ending_before", "must be after starting_at"));
        }
        self.check_group_values(product).map_err(|reason| field("pricing_group_values", &reason))?;
        let price = match (self.rate_type, self.price, self.tiers) {
            (RateType::Flat, Some(InputNumber(price)), None) if is_negative(&price) => {
                return Err(field("price", "must not be negative"));
            }
            (RateType::Flat, Some(InputNumber(price)), None) => Price::Flat(price),
            (RateType::Flat, None, _) => return Err(field("price", "is required for FLAT")),
            (RateType::Flat, Some(_), Some(_)) => return Err(field("tiers", "are not for FLAT")),
            (RateType::Tiered, Some(_), _) => {
                return Err(field("price", "is not for TIERED; each tier has its own"));
            }
            (RateType::Tiered, None, None) => return Err(field("tiers", "are required for TIERED")),
            (RateType::Tiered, None, Some(tiers)) => Price::Tiered(valid_tiers(path, tiers)?),
        };
        Ok(ValidRate {
            product_id: self.product_id,
            pricing_group_values: self.pricing_group_values,
            starting_at: self.starting_at.0,
            ending_before: self.ending_before.map(|end| end.0),
            entitled: self.entitled,
            price,
        })
    }

    /// The keys must be the product's pricing group key at some time under the rate, which else could never
    /// price anything (our decision: a rate may be added before its key comes into force, and may begin before
    /// that).
    fn check_group_values(&self, product: &ProductRow) -> Result<(), String> {
        let end = self.ending_before.map(|end| end.0);
        let timeline = product.timeline();
        let matches = |key: &[String]| {
            key.len() == self.pricing_group_values.len()
                && key.iter().all(|name| self.pricing_group_values.contains_key(name))
        };
        let mut keys = timeline.during(self.starting_at.0, end).map(|version| version.state.pricing_key());
        if keys.any(matches) {
            return Ok(());
        }
        Err(match timeline.at(self.starting_at.0).pricing_key() {
            [] => "the product has no pricing group key".to_owned(),
            key => format!("must have exactly the keys {}", key.join(", ")),
        })
    }
}

/// The tiers, the last of them without an end: a size on it is dropped so that no usage escapes billing (our
/// decision).
fn valid_tiers(path: &str, mut tiers: Vec<Tier>) -> Result<Vec<Tier>, ApiError> {
    let Some(last) = tiers.len().checked_sub(1) else {
        return Err(ApiError::field(&format!("{path}tiers"), "must not be empty"));
    };
    for (index, tier) in tiers.iter().enumerate() {
        let field =
            |name: &str, reason: &str| ApiError::field(&format!("{path}tiers[{index}].{name}"), reason);
        if is_negative(&tier.price.0) {
            return Err(field("price", "must not be negative"));
        }
        match &tier.size {
            Some(InputNumber(size)) if !is_positive(size) => {
                return Err(field("size", "must be greater than 0"));
            }
            None if index < last => return Err(field("size", "is required on every tier but the last")),
            _ => {}
        }
    }
    tiers[last].size = None;
    Ok(tiers)
}
