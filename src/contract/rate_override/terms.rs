//! An override and what it is aimed at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::casing::wire_enum;
use crate::catalog::rate::{BillingFrequency, GroupValues, Price};
use crate::id::{CreditTypeId, OverrideId, ProductId};
use crate::money::{Decimal, InputNumber};
use crate::time::Instant;

wire_enum! {
    /// How an override changes a price.
    pub enum OverrideType {
        /// It replaces the rate.
        Overwrite = "OVERWRITE",
        /// It multiplies the rate.
        Multiplier = "MULTIPLIER",
        /// It multiplies the rate by quantity ranges.
        Tiered = "TIERED",
    }
}

wire_enum! {
    /// Which of the two prices of a rate an override changes.
    pub enum RateTarget {
        ListRate = "LIST_RATE",
        /// The price while a commit at the commit rate is drawn.
        CommitRate = "COMMIT_RATE",
    }
}

/// Values of presentation group keys by property name; null where an event lacked the property.
pub type PresentationValues = BTreeMap<String, Option<String>>;

/// A rule of a contract about prices or entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub id: OverrideId,
    /// The order of addition, over all contracts.
    pub added: i64,
    /// Whether the contract was made with it.
    pub is_initial: bool,
    pub created_at: Instant,
    /// Inclusive; may lie before the contract.
    pub starting_at: Instant,
    /// Exclusive; for ever when unset.
    pub ending_before: Option<Instant>,
    pub targeting: Targeting,
    /// Unset: the price stays.
    pub kind: Option<OverrideKind>,
    /// Unset: as the card says.
    pub entitled: Option<bool>,
    /// The lowest goes first.
    pub priority: Option<Decimal>,
    /// It prices only what a commit or a credit pays for.
    pub is_commit_specific: bool,
    pub target: RateTarget,
}

/// How an override changes a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverrideKind {
    Overwrite(OverwriteRate),
    /// 0.8 is 20 % off; more than 1 raises the price.
    Multiplier(Decimal),
    /// Never empty.
    Tiered(Vec<OverrideTier>),
}

/// What an OVERWRITE puts in the place of the rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverwriteRate {
    pub price: Price,
    /// The unit of the price; that of the rate it replaces when unset.
    pub credit_type_id: Option<CreditTypeId>,
}

/// A quantity range and its multiplier (schema `OverrideTier`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OverrideTier {
    /// How many units it holds, not where it ends; without one it has no end. What lies beyond the last tier is not
    /// covered by the override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<InputNumber>,
    pub multiplier: InputNumber,
}

/// What an override is aimed at: everything on the card where nothing is said.
///
/// Where both halves are given, both must hold: a published sample names a product beside a specifier that holds only
/// the ids of commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targeting {
    pub product_id: Option<ProductId>,
    /// Any of these; all products when empty.
    pub applicable_product_tags: Vec<String>,
    /// Alternatives of which one must hold; no further condition when empty.
    pub specifiers: Vec<Specifier>,
}

/// Conditions that must all hold (schema `OverrideSpecifier`). It is kept as it is written here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "OverrideSpecifier")]
pub struct Specifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub product_tags: Vec<String>,
    /// A part of the line's map.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pricing_group_values: GroupValues,
    /// A part of the line's map; null is a missing value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presentation_group_values: PresentationValues,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_frequency: Option<BillingFrequency>,
    /// The commit that is drawn is one of these, or was made by one of `recurring_commit_ids`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commit_ids: Vec<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recurring_commit_ids: Vec<Uuid>,
    /// The commit or credit that is drawn is one of these, or was made by one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_commit_or_credit_ids: Vec<Uuid>,
    /// No product that meets any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
}

/// Products that a specifier leaves out (schema `ExcludeSpecifier`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ExcludeSpecifier")]
pub struct Exclusion {
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub product_tags: Vec<String>,
}

impl Override {
    /// Whether it is in force at an instant.
    #[must_use]
    pub fn covers(&self, at: Instant) -> bool {
        self.starting_at <= at && self.ending_before.is_none_or(|end| at < end)
    }
}

impl OverrideKind {
    #[must_use]
    pub fn override_type(&self) -> OverrideType {
        match self {
            Self::Overwrite(_) => OverrideType::Overwrite,
            Self::Multiplier(_) => OverrideType::Multiplier,
            Self::Tiered(_) => OverrideType::Tiered,
        }
    }
}

impl Specifier {
    /// Whether it says something about products or groups, not only about what is drawn.
    #[must_use]
    pub fn is_about_products(&self) -> bool {
        self.product_id.is_some()
            || !self.product_tags.is_empty()
            || !self.pricing_group_values.is_empty()
            || !self.presentation_group_values.is_empty()
            || self.billing_frequency.is_some()
            || !self.exclude.is_empty()
    }

    /// Whether it names commits or credits.
    #[must_use]
    pub fn names_commits(&self) -> bool {
        !(self.commit_ids.is_empty()
            && self.recurring_commit_ids.is_empty()
            && self.any_commit_or_credit_ids.is_empty())
    }
}
