//! The rate of an OVERWRITE: in a request, and kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::terms::OverwriteRate;
use crate::catalog::rate::{MinimumConfig, Price, PriceInput, RateType, Tier};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::{InputNumber, Number, zero};
use crate::wire::Later;

/// What stands in the place of the card's rate (schema `OverwriteRateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct OverwriteRateInput {
    /// One that the card may have for the product.
    rate_type: RateType,
    /// The price of one unit for FLAT and SUBSCRIPTION; the fraction for PERCENTAGE, such as 0.1 for 10 %.
    price: Option<InputNumber>,
    /// For TIERED and TIERED_PERCENTAGE.
    tiers: Option<Vec<Tier>>,
    /// For the legacy SUBSCRIPTION.
    quantity: Option<InputNumber>,
    /// For the legacy SUBSCRIPTION, where it must be true.
    is_prorated: Option<bool>,
    /// The least of a billing period; for PERCENTAGE and TIERED_PERCENTAGE.
    minimum_config: Option<MinimumConfig>,
    /// The card's currency or a unit that it converts; the unit of the product's rates when omitted.
    credit_type_id: Option<CreditTypeId>,
    #[serde(default, rename = "custom_rate")]
    #[schemars(skip)]
    _custom_rate: Later,
}

impl OverwriteRateInput {
    /// The rate, or what is wrong with it; `path` is where it is in the request.
    pub fn validate(self, path: &str) -> Result<OverwriteRate, ApiError> {
        let price = PriceInput {
            rate_type: self.rate_type,
            price: self.price,
            tiers: self.tiers,
            quantity: self.quantity,
            is_prorated: self.is_prorated,
            minimum_config: self.minimum_config,
            use_list_prices: None,
        };
        let price = price.validate(&format!("{path}."))?;
        Ok(OverwriteRate { price, credit_type_id: self.credit_type_id })
    }
}

/// The rate as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredRate {
    rate_type: RateType,
    price: Option<Number>,
    tiers: Option<Vec<Tier>>,
    quantity: Option<Number>,
    is_prorated: Option<bool>,
    minimum: Option<Number>,
    credit_type_id: Option<CreditTypeId>,
}

impl From<&OverwriteRate> for StoredRate {
    fn from(OverwriteRate { price, credit_type_id }: &OverwriteRate) -> Self {
        let (quantity, is_prorated) = match price {
            Price::Subscription { quantity, is_prorated, .. } => {
                (Some(Number(quantity.clone())), Some(*is_prorated))
            }
            _ => (None, None),
        };
        Self {
            rate_type: price.rate_type(),
            price: price.single().cloned().map(Number),
            tiers: price.tiers().map(<[Tier]>::to_vec),
            quantity,
            is_prorated,
            minimum: price.minimum().cloned().map(Number),
            credit_type_id: *credit_type_id,
        }
    }
}

impl From<StoredRate> for OverwriteRate {
    fn from(stored: StoredRate) -> Self {
        let price = stored.price.map_or_else(zero, |price| price.0);
        let tiers = stored.tiers.unwrap_or_default();
        let minimum = stored.minimum.map(|minimum| minimum.0);
        // No request says `use_list_prices` of an OVERWRITE (schema `OverwriteRateInput`).
        let use_list_prices = false;
        let price = match stored.rate_type {
            RateType::Flat => Price::Flat(price),
            RateType::Tiered => Price::Tiered(tiers),
            RateType::Percentage => Price::Percentage { fraction: price, minimum, use_list_prices },
            RateType::TieredPercentage => Price::TieredPercentage { tiers, minimum, use_list_prices },
            RateType::Subscription => Price::Subscription {
                price,
                quantity: stored.quantity.map_or_else(zero, |quantity| quantity.0),
                is_prorated: stored.is_prorated.unwrap_or(true),
            },
        };
        Self { price, credit_type_id: stored.credit_type_id }
    }
}
