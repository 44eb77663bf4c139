//! A price in a request, and whether it makes sense.

use schemars::JsonSchema;
use serde::Deserialize;

use super::entry::{Price, RateType, Tier};
use super::view::MinimumConfig;
use crate::error::ApiError;
use crate::money::{Decimal, InputNumber, is_negative, is_positive};

/// The fields that together say a price, wherever a request has them.
#[derive(Clone, Debug)]
pub struct PriceInput {
    pub rate_type: RateType,
    /// For every type but the tiered ones.
    pub price: Option<InputNumber>,
    /// For TIERED and TIERED_PERCENTAGE.
    pub tiers: Option<Vec<Tier>>,
    /// For SUBSCRIPTION.
    pub quantity: Option<InputNumber>,
    /// For SUBSCRIPTION, where it must be true (schema `AddRatePayload`).
    pub is_prorated: Option<bool>,
    /// For PERCENTAGE and TIERED_PERCENTAGE.
    pub minimum_config: Option<MinimumConfig>,
    /// For PERCENTAGE and TIERED_PERCENTAGE; false says nothing.
    pub use_list_prices: Option<bool>,
}

/// The price of what a commit at commit rate pays for (schema `CommitRate`): flat or tiered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct CommitRateInput {
    /// FLAT or TIERED.
    rate_type: RateType,
    /// The price of one unit for FLAT.
    price: Option<InputNumber>,
    /// For TIERED.
    tiers: Option<Vec<Tier>>,
    /// For neither, and so refused.
    minimum_config: Option<MinimumConfig>,
}

impl PriceInput {
    /// The price, or what is wrong with it; `path` is where its fields are in the request: empty, or `rates[3].`.
    ///
    /// A fraction has no upper bound: the published document says 1, the pages on composite products more.
    pub fn validate(self, path: &str) -> Result<Price, ApiError> {
        let field = |name: &str, reason: String| ApiError::field(&format!("{path}{name}"), reason);
        let rate_type = self.rate_type;
        let type_name = rate_type.as_str();
        let is_tiered = matches!(rate_type, RateType::Tiered | RateType::TieredPercentage);
        let is_share = matches!(rate_type, RateType::Percentage | RateType::TieredPercentage);
        if is_tiered && self.price.is_some() {
            return Err(field("price", format!("is not for {type_name}; each tier has its own")));
        }
        if !is_tiered && self.tiers.is_some() {
            return Err(field("tiers", format!("are not for {type_name}")));
        }
        let of_subscription =
            [("quantity", self.quantity.is_some()), ("is_prorated", self.is_prorated.is_some())];
        if let Some((name, _)) = of_subscription.into_iter().find(|(_, is_given)| *is_given)
            && rate_type != RateType::Subscription
        {
            return Err(field(name, format!("is not for {type_name}, only for SUBSCRIPTION")));
        }
        let of_share = [
            ("minimum_config", self.minimum_config.is_some()),
            ("use_list_prices", self.use_list_prices == Some(true)),
        ];
        if let Some((name, _)) = of_share.into_iter().find(|(_, is_given)| *is_given)
            && !is_share
        {
            return Err(field(
                name,
                format!("is not for {type_name}, only for PERCENTAGE and TIERED_PERCENTAGE"),
            ));
        }
        let single = |price: Option<InputNumber>| required(path, "price", rate_type, price);
        let minimum = match self.minimum_config {
            Some(MinimumConfig { minimum: InputNumber(minimum) }) if is_negative(&minimum) => {
                return Err(field("minimum_config.minimum", "must not be negative".to_owned()));
            }
            Some(MinimumConfig { minimum: InputNumber(minimum) }) => Some(minimum),
            None => None,
        };
        let use_list_prices = self.use_list_prices.unwrap_or_default();
        let tiers = |tiers: Option<Vec<Tier>>| match tiers {
            None => Err(field("tiers", format!("are required for {type_name}"))),
            Some(tiers) => valid_tiers(path, tiers),
        };
        Ok(match rate_type {
            RateType::Flat => Price::Flat(single(self.price)?),
            RateType::Tiered => Price::Tiered(tiers(self.tiers)?),
            RateType::Percentage => {
                Price::Percentage { fraction: single(self.price)?, minimum, use_list_prices }
            }
            RateType::TieredPercentage => {
                Price::TieredPercentage { tiers: tiers(self.tiers)?, minimum, use_list_prices }
            }
            RateType::Subscription => {
                let (price, quantity) =
                    (single(self.price)?, required(path, "quantity", rate_type, self.quantity)?);
                if self.is_prorated != Some(true) {
                    return Err(field("is_prorated", "must be true for SUBSCRIPTION".to_owned()));
                }
                Price::Subscription { price, quantity, is_prorated: true }
            }
        })
    }
}

/// A number from 0 that the type needs.
fn required(
    path: &str,
    name: &str,
    rate_type: RateType,
    number: Option<InputNumber>,
) -> Result<Decimal, ApiError> {
    let refuse = |reason: String| Err(ApiError::field(&format!("{path}{name}"), reason));
    match number {
        None => refuse(format!("is required for {}", rate_type.as_str())),
        Some(InputNumber(number)) if is_negative(&number) => refuse("must not be negative".to_owned()),
        Some(InputNumber(number)) => Ok(number),
    }
}

impl CommitRateInput {
    /// The price; `path` as with [`PriceInput::validate`].
    pub fn validate(self, path: &str) -> Result<Price, ApiError> {
        let path = format!("{path}commit_rate.");
        if !matches!(self.rate_type, RateType::Flat | RateType::Tiered) {
            let reason = "a commit rate is FLAT or TIERED";
            return Err(ApiError::field(&format!("{path}rate_type"), reason));
        }
        let CommitRateInput { rate_type, price, tiers, minimum_config } = self;
        let price = PriceInput {
            rate_type,
            price,
            tiers,
            minimum_config,
            quantity: None,
            is_prorated: None,
            use_list_prices: None,
        };
        price.validate(&path)
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
