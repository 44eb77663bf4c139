//! A rate in a request, and whether it makes sense.

use schemars::JsonSchema;
use serde::Deserialize;

use super::entry::{BillingFrequency, GroupValues, Price, RateType, Tier, TimelineKey};
use super::price_input::{CommitRateInput, PriceInput};
use super::view::MinimumConfig;
use crate::catalog::product::{ProductRow, ProductType};
use crate::catalog::rate_card::CardUnits;
use crate::error::ApiError;
use crate::id::{CreditTypeId, ProductId};
use crate::money::{CreditType, InputNumber};
use crate::time::Instant;
use crate::wire::{HourBoundary, Later};

/// The fields of a rate (schema `AddRatePayload` without its card).
#[derive(Deserialize, JsonSchema)]
pub struct RateInput {
    pub product_id: ProductId,
    /// One value for each property of the product's pricing group key.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    pricing_group_values: GroupValues,
    /// Inclusive; on the hour.
    starting_at: HourBoundary,
    /// Exclusive; on the hour; for ever when omitted.
    ending_before: Option<HourBoundary>,
    /// False takes the product out of sale under this rate.
    entitled: bool,
    rate_type: RateType,
    /// The price of one unit for FLAT and SUBSCRIPTION; the fraction for PERCENTAGE, such as 0.1 for 10 %.
    price: Option<InputNumber>,
    /// For TIERED and TIERED_PERCENTAGE.
    tiers: Option<Vec<Tier>>,
    /// The unit of the prices: the card's currency or a unit that it converts, and on one card always the same for a
    /// product. USD (cents) when omitted. Ignored for PERCENTAGE and TIERED_PERCENTAGE, which are in the unit of the
    /// spend.
    credit_type_id: Option<CreditTypeId>,
    /// How often a subscription at this rate is billed: required for FLAT of a SUBSCRIPTION product, and for it alone.
    billing_frequency: Option<BillingFrequency>,
    /// For the legacy SUBSCRIPTION: how many units each contract is charged.
    quantity: Option<InputNumber>,
    /// For the legacy SUBSCRIPTION, where it must be true.
    is_prorated: Option<bool>,
    /// The least of a billing period; for PERCENTAGE and TIERED_PERCENTAGE.
    minimum_config: Option<MinimumConfig>,
    /// A share of what the members cost at the card's prices rather than at the contract's; for PERCENTAGE and
    /// TIERED_PERCENTAGE. False when omitted.
    use_list_prices: Option<bool>,
    /// What units cost that a commit or credit at commit rate pays for; USAGE products only.
    commit_rate: Option<CommitRateInput>,
    #[serde(default, rename = "custom_rate")]
    #[schemars(skip)]
    _custom_rate: Later,
}

/// A rate that may be added.
pub struct ValidRate {
    pub key: TimelineKey,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub entitled: bool,
    pub price: Price,
    pub commit_rate: Option<Price>,
    pub unit: CreditType,
}

impl RateInput {
    /// Checks the rate against its product and its card's units; `unit_on_card` is the product's unit where it has rates
    /// on the card already. `path` is where the rate is in the request: empty, or `rates[3].`.
    pub fn validate(
        self,
        path: &str,
        product: &ProductRow,
        units: &CardUnits,
        unit_on_card: Option<CreditTypeId>,
    ) -> Result<ValidRate, ApiError> {
        let field = |name: &str, reason: &str| ApiError::field(&format!("{path}{name}"), reason);
        if product.archived_at.is_some() {
            return Err(field("product_id", "the product is archived"));
        }
        self.check_type(path, product.product_type)?;
        let unit = self.unit(units, unit_on_card).map_err(|reason| field("credit_type_id", &reason))?;
        if let Some(end) = self.ending_before
            && end <= self.starting_at
        {
            return Err(field("ending_before", "must be after starting_at"));
        }
        self.check_group_values(product).map_err(|reason| field("pricing_group_values", &reason))?;
        let price = PriceInput {
            rate_type: self.rate_type,
            price: self.price,
            tiers: self.tiers,
            quantity: self.quantity,
            is_prorated: self.is_prorated,
            minimum_config: self.minimum_config,
            use_list_prices: self.use_list_prices,
        };
        Ok(ValidRate {
            key: TimelineKey {
                product_id: self.product_id,
                pricing_group_values: self.pricing_group_values,
                billing_frequency: self.billing_frequency,
            },
            starting_at: self.starting_at.0,
            ending_before: self.ending_before.map(|end| end.0),
            entitled: self.entitled,
            price: price.validate(path)?,
            commit_rate: self.commit_rate.map(|commit_rate| commit_rate.validate(path)).transpose()?,
            unit,
        })
    }

    /// The rate types of a product's type, and the fields that come with them.
    fn check_type(&self, path: &str, product_type: ProductType) -> Result<(), ApiError> {
        let field = |name: &str, reason: String| ApiError::field(&format!("{path}{name}"), reason);
        let product_name = product_type.as_str();
        if RateType::of_product(product_type).is_empty() {
            let reason = format!("a {product_name} product has no rates; contracts price it");
            return Err(field("product_id", reason));
        }
        self.rate_type.check_product(product_type).map_err(|reason| field("rate_type", reason))?;
        let is_recurring = product_type == ProductType::Subscription && self.rate_type == RateType::Flat;
        match self.billing_frequency {
            None if is_recurring => {
                let reason = "is required for a FLAT rate of a SUBSCRIPTION product".to_owned();
                return Err(field("billing_frequency", reason));
            }
            Some(_) if !is_recurring => {
                let reason = "is only for a FLAT rate of a SUBSCRIPTION product".to_owned();
                return Err(field("billing_frequency", reason));
            }
            _ => {}
        }
        if self.commit_rate.is_some() && product_type != ProductType::Usage {
            return Err(field("commit_rate", format!("is only for USAGE products, not for {product_name}")));
        }
        Ok(())
    }

    /// The unit of the prices. Shares of spend are in the unit of the spend whatever the rate says (schema
    /// `AddRatePayload`), and what goes with them in the currency of the card (our decision).
    fn unit(&self, units: &CardUnits, unit_on_card: Option<CreditTypeId>) -> Result<CreditType, String> {
        if matches!(self.rate_type, RateType::Percentage | RateType::TieredPercentage) {
            return Ok(units.fiat.clone());
        }
        let id = self.credit_type_id.unwrap_or_else(|| CreditType::usd().id);
        let unit = units.for_new_rate(id)?;
        // Documentation page on currencies: the unit of a product on a card is for good.
        if let Some(on_card) = unit_on_card.filter(|on_card| *on_card != unit.id) {
            let CreditType { id, name } = units.find(on_card).expect("a card prices in its units alone");
            return Err(format!(
                "must be {id} ({name}), the unit of the product's other rates on the rate card"
            ));
        }
        Ok(unit)
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
