use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::catalog::product::ProductType;
use crate::id::{CreditTypeId, ProductId};
use crate::money::{Decimal, InputNumber};
use crate::time::Instant;

wire_enum! {
    /// How a rate turns a quantity into money.
    pub enum RateType {
        /// Every unit costs the same.
        Flat = "FLAT",
        /// Graduated: each tier's units cost that tier's price.
        Tiered = "TIERED",
        /// A share of what other products cost.
        Percentage = "PERCENTAGE",
        /// Graduated: of the spend in each tier, that tier's share.
        TieredPercentage = "TIERED_PERCENTAGE",
        /// A price for a fixed quantity in every billing period, for each contract on the card. Superseded by FLAT with
        /// a billing frequency.
        Subscription = "SUBSCRIPTION",
    }
    later ["CUSTOM"]
}

wire_enum! {
    /// How often a subscription is billed.
    pub enum BillingFrequency {
        Monthly = "MONTHLY",
        Quarterly = "QUARTERLY",
        Annual = "ANNUAL",
        Weekly = "WEEKLY",
    }
    also [Annual = "YEARLY"]
}

impl RateType {
    /// The types that rates of a product may have; none where contracts price it.
    #[must_use]
    pub fn of_product(product_type: ProductType) -> &'static [Self] {
        match product_type {
            ProductType::Usage => &[Self::Flat, Self::Tiered],
            ProductType::Subscription => &[Self::Flat, Self::Subscription],
            ProductType::Composite => &[Self::Percentage, Self::TieredPercentage],
            ProductType::Fixed | ProductType::ProService => &[],
        }
    }

    /// Whether rates of a product may have this type, or why not.
    pub fn check_product(self, product_type: ProductType) -> Result<(), String> {
        let allowed = Self::of_product(product_type);
        if allowed.contains(&self) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(|rate_type| rate_type.as_str()).collect();
        Err(format!(
            "{} is not for a {} product; {} are",
            self.as_str(),
            product_type.as_str(),
            names.join(" and ")
        ))
    }
}

/// Values of a product's pricing group key, by property name.
pub type GroupValues = BTreeMap<String, String>;

/// One tier: its width in units and what each of them costs (schema `Tier`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tier {
    /// How many units it holds, not where it ends; unset on the last tier, which has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<InputNumber>,
    pub price: InputNumber,
}

/// What something costs under one rate, in the unit of the product on its card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// Of one unit; of a subscription, of one unit for a billing period.
    Flat(Decimal),
    /// The last tier has no size, every other one has.
    Tiered(Vec<Tier>),
    /// A share of spend.
    Percentage {
        /// Of the whole spend: 0.1 is a tenth; it may exceed 1.
        fraction: Decimal,
        /// The least that is charged for a billing period, in the currency of the card. Where it is set, overrides for
        /// commits alone do not apply (schema `MinimumConfig`).
        minimum: Option<Decimal>,
        /// Of spend at the card's prices, whatever the contract pays for the members.
        use_list_prices: bool,
    },
    /// Shares of spend, graduated.
    TieredPercentage {
        /// The sizes are of spend in the currency of the card, the prices are fractions; as with [`Price::Tiered`] the
        /// last has no size.
        tiers: Vec<Tier>,
        /// As with [`Price::Percentage`].
        minimum: Option<Decimal>,
        use_list_prices: bool,
    },
    /// Legacy: `price` × `quantity` for each billing period.
    Subscription { price: Decimal, quantity: Decimal, is_prorated: bool },
}

impl Price {
    #[must_use]
    pub fn rate_type(&self) -> RateType {
        match self {
            Self::Flat(_) => RateType::Flat,
            Self::Tiered(_) => RateType::Tiered,
            Self::Percentage { .. } => RateType::Percentage,
            Self::TieredPercentage { .. } => RateType::TieredPercentage,
            Self::Subscription { .. } => RateType::Subscription,
        }
    }

    /// The one price or fraction, where there is one.
    #[must_use]
    pub fn single(&self) -> Option<&Decimal> {
        match self {
            Self::Flat(price)
            | Self::Percentage { fraction: price, .. }
            | Self::Subscription { price, .. } => Some(price),
            Self::Tiered(_) | Self::TieredPercentage { .. } => None,
        }
    }

    /// The tiers, where there are any.
    #[must_use]
    pub fn tiers(&self) -> Option<&[Tier]> {
        match self {
            Self::Tiered(tiers) | Self::TieredPercentage { tiers, .. } => Some(tiers),
            Self::Flat(_) | Self::Percentage { .. } | Self::Subscription { .. } => None,
        }
    }

    /// The least that is charged for a billing period, where one is set.
    #[must_use]
    pub fn minimum(&self) -> Option<&Decimal> {
        match self {
            Self::Percentage { minimum, .. } | Self::TieredPercentage { minimum, .. } => minimum.as_ref(),
            Self::Flat(_) | Self::Tiered(_) | Self::Subscription { .. } => None,
        }
    }

    /// Of which prices it is a share, the card's (true) or the contract's; nothing where it is none.
    #[must_use]
    pub fn uses_list_prices(&self) -> Option<bool> {
        match self {
            Self::Percentage { use_list_prices, .. } | Self::TieredPercentage { use_list_prices, .. } => {
                Some(*use_list_prices)
            }
            Self::Flat(_) | Self::Tiered(_) | Self::Subscription { .. } => None,
        }
    }
}

/// What a timeline prices: of its entries at most one is in force at an instant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimelineKey {
    pub product_id: ProductId,
    pub pricing_group_values: GroupValues,
    /// Set for flat rates of subscriptions, and for no other.
    pub billing_frequency: Option<BillingFrequency>,
}

/// One entry of a card's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateEntry {
    /// The order of addition within the card.
    pub added: i64,
    pub key: TimelineKey,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    /// Whether the product may be billed under this rate.
    pub entitled: bool,
    pub price: Price,
    /// What units cost that a commit at commit rate pays for: flat or tiered, of usage products only. Unset: `price`.
    pub commit_rate: Option<Price>,
    /// The unit of all its prices; of shares of spend, which are in the unit of the spend, the currency of the card: that
    /// of a minimum and of the tiers' sizes.
    pub credit_type_id: CreditTypeId,
    pub created_at: Instant,
}

impl RateEntry {
    #[must_use]
    pub fn covers(&self, at: Instant) -> bool {
        self.starting_at <= at && self.ending_before.is_none_or(|end| at < end)
    }

    /// Whether both price alike, so that where one follows the other nothing changes.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.price == other.price
            && self.commit_rate == other.commit_rate
            && self.entitled == other.entitled
            && self.credit_type_id == other.credit_type_id
    }
}
