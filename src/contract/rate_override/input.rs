//! Overrides in a request, and whether they make sense by themselves.

use std::collections::BTreeMap;
use std::fmt::Display;

use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::overwrite::OverwriteRateInput;
use super::terms::{
    Exclusion, Override, OverrideKind, OverrideTier, OverrideType, PresentationValues, RateTarget, Specifier,
    Targeting,
};
use crate::catalog::rate::{BillingFrequency, GroupValues};
use crate::contract::MultiplierPrioritization;
use crate::error::ApiError;
use crate::id::{BalanceId, Ids, OverrideId, ProductId, RecurringGrantId};
use crate::money::{Decimal, InputNumber, is_negative, is_positive};
use crate::time::Instant;
use crate::wire::HourBoundary;

/// Most overrides of one request (our decision: each is held against every line of the contract).
pub const OVERRIDES_MAX: usize = 1000;

/// Most specifiers of one override (our decision, as above).
const SPECIFIERS_MAX: usize = 1000;

/// A rule about prices or entitlement, beside the rate card (schema `OverrideInput`).
#[derive(Deserialize, JsonSchema)]
pub struct OverrideInput {
    /// Inclusive; on the hour; may lie before the contract's start.
    starting_at: HourBoundary,
    /// Exclusive; on the hour; for ever when omitted.
    ending_before: Option<HourBoundary>,
    /// OVERWRITE replaces the rate, MULTIPLIER multiplies it, TIERED multiplies it by quantity ranges; without a type
    /// only `entitled` counts.
    #[serde(rename = "type")]
    override_type: Option<OverrideType>,
    /// For MULTIPLIER; 0.8 is 20 % off.
    multiplier: Option<InputNumber>,
    /// The lowest goes first; greater than 0; for every TIERED, and under EXPLICIT for every MULTIPLIER.
    priority: Option<InputNumber>,
    /// For OVERWRITE.
    overwrite_rate: Option<OverwriteRateInput>,
    /// For TIERED; at least one.
    tiers: Option<Vec<OverrideTier>>,
    /// Whether the products may be billed; as the card says when omitted.
    entitled: Option<bool>,
    /// The one product that is meant; not with `override_specifiers`.
    product_id: Option<ProductId>,
    /// Products with any of these tags are meant; not with `override_specifiers`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// What meets any of these is meant.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    override_specifiers: Vec<SpecifierInput>,
    /// True: it prices only what a commit or credit pays for.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    is_commit_specific: bool,
    /// LIST_RATE when omitted; COMMIT_RATE only with `is_commit_specific`.
    #[serde(alias = "rate_target")]
    target: Option<RateTarget>,
}

/// Conditions that must all hold (schema `OverrideSpecifierInput`).
#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(rename = "OverrideSpecifierInput")]
pub struct SpecifierInput {
    product_id: Option<ProductId>,
    /// All of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    product_tags: Vec<String>,
    /// A part of the group values of the rate; for OVERWRITE all of them or none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    pricing_group_values: GroupValues,
    /// A part of the line's presentation group values, null where an event lacked the property; for MULTIPLIER.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    presentation_group_values: PresentationValues,
    billing_frequency: Option<BillingFrequency>,
    /// For `is_commit_specific`: commits of the customer, or of the same request by their temporary ids.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    commit_ids: Vec<String>,
    /// Likewise, of recurring commits: what they make.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    recurring_commit_ids: Vec<String>,
    /// In place of both others; credits and recurring credits too.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    any_commit_or_credit_ids: Vec<String>,
    /// Products that meet any of these are not meant.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    exclude: Vec<Exclusion>,
}

/// The commits and credits that overrides may name.
#[derive(Clone, Copy)]
pub struct Nameable<'a> {
    /// The commits of the request by their temporary ids.
    pub balances: &'a BTreeMap<String, BalanceId>,
    /// Its recurring ones, likewise.
    pub recurring: &'a BTreeMap<String, RecurringGrantId>,
    /// Whether those of a customer may be named by their ids, which are yet to be looked up. Nobody knows whose the contracts
    /// of a package will be.
    pub of_customer: bool,
}

/// The fields that together say what an override does and to what, wherever a request has them.
pub struct RuleInput {
    pub override_type: Option<OverrideType>,
    pub multiplier: Option<InputNumber>,
    pub priority: Option<InputNumber>,
    pub overwrite_rate: Option<OverwriteRateInput>,
    pub tiers: Option<Vec<OverrideTier>>,
    pub entitled: Option<bool>,
    pub product_id: Option<ProductId>,
    pub applicable_product_tags: Vec<String>,
    pub override_specifiers: Vec<SpecifierInput>,
    pub is_commit_specific: bool,
    pub target: Option<RateTarget>,
}

/// What an override does and to what, without when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub targeting: Targeting,
    pub kind: Option<OverrideKind>,
    pub entitled: Option<bool>,
    pub priority: Option<Decimal>,
    pub is_commit_specific: bool,
    pub target: RateTarget,
}

impl Rule {
    /// The override of a contract that does it.
    #[must_use]
    pub fn in_force(
        self,
        id: OverrideId,
        starting_at: Instant,
        ending_before: Option<Instant>,
        created_at: Instant,
    ) -> Override {
        Override {
            id,
            added: i64::MAX,
            is_initial: true,
            created_at,
            starting_at,
            ending_before,
            targeting: self.targeting,
            kind: self.kind,
            entitled: self.entitled,
            priority: self.priority,
            is_commit_specific: self.is_commit_specific,
            target: self.target,
        }
    }
}

/// The overrides that a contract is made with, each looked at by itself: neither products nor cards are.
pub fn planned(
    inputs: Vec<OverrideInput>,
    prioritization: MultiplierPrioritization,
    nameable: Nameable<'_>,
    ids: &Ids,
    now: Instant,
) -> Result<Vec<Override>, ApiError> {
    if inputs.len() > OVERRIDES_MAX {
        return Err(ApiError::field("overrides", format!("at most {OVERRIDES_MAX} in one request")));
    }
    let planned = |(index, input): (usize, OverrideInput)| {
        let path = format!("overrides[{index}]");
        let (starting_at, ending_before) = (input.starting_at.0, input.ending_before.map(|end| end.0));
        if ending_before.is_some_and(|end| end <= starting_at) {
            return Err(ApiError::field(&format!("{path}.ending_before"), "must be after starting_at"));
        }
        let rule = RuleInput::from(input).validate(&path, prioritization, nameable)?;
        Ok(rule.in_force(ids.next(), starting_at, ending_before, now))
    };
    inputs.into_iter().enumerate().map(planned).collect()
}

impl From<OverrideInput> for RuleInput {
    fn from(input: OverrideInput) -> Self {
        Self {
            override_type: input.override_type,
            multiplier: input.multiplier,
            priority: input.priority,
            overwrite_rate: input.overwrite_rate,
            tiers: input.tiers,
            entitled: input.entitled,
            product_id: input.product_id,
            applicable_product_tags: input.applicable_product_tags,
            override_specifiers: input.override_specifiers,
            is_commit_specific: input.is_commit_specific,
            target: input.target,
        }
    }
}

impl RuleInput {
    /// The rule, or what is wrong with it by itself; `path` is where it is in the request, such as `overrides[2]`. What
    /// it says about products and their card is for [`super::Card::check`].
    pub fn validate(
        self,
        path: &str,
        prioritization: MultiplierPrioritization,
        nameable: Nameable<'_>,
    ) -> Result<Rule, ApiError> {
        let field = |name: &str, reason: &str| ApiError::field(&format!("{path}.{name}"), reason);
        let target = self.target.unwrap_or(RateTarget::ListRate);
        if target == RateTarget::CommitRate && !self.is_commit_specific {
            return Err(field("target", "COMMIT_RATE is only for overrides with is_commit_specific"));
        }
        if self.entitled.is_some() && self.is_commit_specific {
            return Err(field("entitled", "is not for overrides with is_commit_specific"));
        }
        if self.override_type.is_none() && self.entitled.is_none() {
            return Err(field("type", "is required where entitled is not given"));
        }
        let priority = self.priority.map(|priority| priority.0);
        if priority.as_ref().is_some_and(|priority| !is_positive(priority)) {
            return Err(field("priority", "must be greater than 0"));
        }
        let is_explicit = prioritization == MultiplierPrioritization::Explicit;
        match self.override_type {
            Some(OverrideType::Tiered) if !is_explicit => {
                let reason = "TIERED needs the multiplier_override_prioritization EXPLICIT";
                return Err(field("type", reason));
            }
            Some(OverrideType::Tiered) if priority.is_none() => {
                return Err(field("priority", "is required for TIERED"));
            }
            Some(OverrideType::Multiplier) if is_explicit && priority.is_none() => {
                let reason =
                    "is required for MULTIPLIER where multiplier_override_prioritization is EXPLICIT";
                return Err(field("priority", reason));
            }
            _ => {}
        }
        let targeting = targeting(
            path,
            self.product_id,
            self.applicable_product_tags,
            self.override_specifiers,
            self.is_commit_specific,
            nameable,
        )?;
        let kind = kind(path, self.override_type, self.multiplier, self.overwrite_rate, self.tiers)?;
        check_targeting(path, &targeting, kind.as_ref())?;
        Ok(Rule {
            targeting,
            kind,
            entitled: self.entitled,
            priority,
            is_commit_specific: self.is_commit_specific,
            target,
        })
    }
}

/// What it does to prices; each field belongs to one type.
fn kind(
    path: &str,
    override_type: Option<OverrideType>,
    multiplier: Option<InputNumber>,
    overwrite_rate: Option<OverwriteRateInput>,
    tiers: Option<Vec<OverrideTier>>,
) -> Result<Option<OverrideKind>, ApiError> {
    let field = |name: &str, reason: String| ApiError::field(&format!("{path}.{name}"), reason);
    let fields = [
        ("multiplier", OverrideType::Multiplier, multiplier.is_some()),
        ("overwrite_rate", OverrideType::Overwrite, overwrite_rate.is_some()),
        ("tiers", OverrideType::Tiered, tiers.is_some()),
    ];
    for (name, of_type, is_given) in fields {
        if is_given && override_type != Some(of_type) {
            return Err(field(name, format!("is only for the type {}", of_type.as_str())));
        }
        if !is_given && override_type == Some(of_type) {
            return Err(field(name, format!("is required for {}", of_type.as_str())));
        }
    }
    if let Some(InputNumber(multiplier)) = multiplier {
        if is_negative(&multiplier) {
            return Err(field("multiplier", "must not be negative".to_owned()));
        }
        return Ok(Some(OverrideKind::Multiplier(multiplier)));
    }
    if let Some(rate) = overwrite_rate {
        let rate = rate.validate(&format!("{path}.overwrite_rate"))?;
        return Ok(Some(OverrideKind::Overwrite(rate)));
    }
    let Some(tiers) = tiers else { return Ok(None) };
    check_tiers(path, &tiers)?;
    Ok(Some(OverrideKind::Tiered(tiers)))
}

fn check_tiers(path: &str, tiers: &[OverrideTier]) -> Result<(), ApiError> {
    let Some(last) = tiers.len().checked_sub(1) else {
        return Err(ApiError::field(&format!("{path}.tiers"), "must not be empty"));
    };
    for (index, tier) in tiers.iter().enumerate() {
        let field =
            |name: &str, reason: &str| ApiError::field(&format!("{path}.tiers[{index}].{name}"), reason);
        if is_negative(&tier.multiplier.0) {
            return Err(field("multiplier", "must not be negative"));
        }
        match &tier.size {
            Some(InputNumber(size)) if !is_positive(size) => {
                return Err(field("size", "must be greater than 0"));
            }
            None if index < last => return Err(field("size", "is required on every tier but the last")),
            _ => {}
        }
    }
    Ok(())
}

/// What it is aimed at.
fn targeting(
    path: &str,
    product_id: Option<ProductId>,
    applicable_product_tags: Vec<String>,
    specifiers: Vec<SpecifierInput>,
    is_commit_specific: bool,
    nameable: Nameable<'_>,
) -> Result<Targeting, ApiError> {
    if product_id.is_some() && !applicable_product_tags.is_empty() {
        // Two readings, either and both, that differ in money (our decision).
        let reason = "give either product_id or applicable_product_tags";
        return Err(ApiError::field(&format!("{path}.applicable_product_tags"), reason));
    }
    if specifiers.len() > SPECIFIERS_MAX {
        let reason = format!("at most {SPECIFIERS_MAX} for one override");
        return Err(ApiError::field(&format!("{path}.override_specifiers"), reason));
    }
    let outer = match (&product_id, applicable_product_tags.is_empty()) {
        (Some(_), _) => Some("product_id"),
        (None, false) => Some("applicable_product_tags"),
        (None, true) => None,
    };
    let mut kept = Vec::with_capacity(specifiers.len());
    for (index, specifier) in specifiers.into_iter().enumerate() {
        let path = format!("{path}.override_specifiers[{index}]");
        let specifier = specifier.validate(&path, is_commit_specific, nameable)?;
        // A published sample names a product beside a specifier that holds only the ids of commits.
        if let Some(outer) = outer
            && (specifier.is_about_products() || !specifier.names_commits())
        {
            let reason =
                format!("cannot be combined with {outer}, except by the ids of commits or credits alone");
            return Err(ApiError::field(&path, reason));
        }
        kept.push(specifier);
    }
    Ok(Targeting { product_id, applicable_product_tags, specifiers: kept })
}

impl SpecifierInput {
    fn validate(
        self,
        path: &str,
        is_commit_specific: bool,
        nameable: Nameable<'_>,
    ) -> Result<Specifier, ApiError> {
        let named = [
            ("commit_ids", "commit", &self.commit_ids),
            ("recurring_commit_ids", "recurring commit", &self.recurring_commit_ids),
            ("any_commit_or_credit_ids", "commit or credit", &self.any_commit_or_credit_ids),
        ];
        let given = named.iter().find(|(_, _, ids)| !ids.is_empty());
        if let Some((name, ..)) = given
            && !is_commit_specific
        {
            let reason = "is only for overrides with is_commit_specific";
            return Err(ApiError::field(&format!("{path}.{name}"), reason));
        }
        let names_others = !self.commit_ids.is_empty() || !self.recurring_commit_ids.is_empty();
        if names_others && !self.any_commit_or_credit_ids.is_empty() {
            let reason = "is in place of commit_ids and recurring_commit_ids";
            return Err(ApiError::field(&format!("{path}.any_commit_or_credit_ids"), reason));
        }
        let [commit_ids, recurring_commit_ids, any_commit_or_credit_ids] = named;
        let recurring_commit_ids = named_ids(path, recurring_commit_ids, nameable)?;
        let commit_ids = named_ids(path, commit_ids, nameable)?;
        let any_commit_or_credit_ids = named_ids(path, any_commit_or_credit_ids, nameable)?;
        Ok(Specifier {
            product_id: self.product_id,
            product_tags: self.product_tags,
            pricing_group_values: self.pricing_group_values,
            presentation_group_values: self.presentation_group_values,
            billing_frequency: self.billing_frequency,
            commit_ids,
            recurring_commit_ids,
            any_commit_or_credit_ids,
            exclude: self.exclude,
        })
    }
}

/// The ids that a field names: 404 for what cannot be one.
fn named_ids(
    path: &str,
    (field, what, texts): (&str, &str, &Vec<String>),
    nameable: Nameable<'_>,
) -> Result<Vec<Uuid>, ApiError> {
    let Nameable { balances, recurring, of_customer } = nameable;
    let of_request = |text: &String| {
        let balance = balances.get(text).filter(|_| field != "recurring_commit_ids").map(|id| id.0);
        balance.or_else(|| recurring.get(text).filter(|_| field != "commit_ids").map(|id| id.0))
    };
    let id = |(index, text): (usize, &String)| {
        let of_customer = || Uuid::parse_str(text).ok().filter(|_| of_customer);
        of_request(text).or_else(of_customer).ok_or_else(|| unknown(path, field, index, what, text))
    };
    texts.iter().enumerate().map(id).collect()
}

/// 404 for a commit or credit that a specifier names.
pub fn unknown(path: &str, field: &str, index: usize, what: &str, id: impl Display) -> ApiError {
    ApiError::NotFound(format!("{path}.{field}[{index}]: {what} {id} was not found"))
}

/// What each type may be aimed at.
fn check_targeting(path: &str, targeting: &Targeting, kind: Option<&OverrideKind>) -> Result<(), ApiError> {
    let field = |name: &str, reason: &str| ApiError::field(&format!("{path}.{name}"), reason);
    let is_overwrite = matches!(kind, Some(OverrideKind::Overwrite(_)));
    if is_overwrite {
        if !targeting.applicable_product_tags.is_empty() {
            let reason = "an OVERWRITE is of one product, named by product_id";
            return Err(field("applicable_product_tags", reason));
        }
        if targeting.product_id.is_none() && targeting.specifiers.is_empty() {
            return Err(field("product_id", "is required for OVERWRITE, here or in every specifier"));
        }
    }
    for (index, specifier) in targeting.specifiers.iter().enumerate() {
        let name = |field: &str| format!("override_specifiers[{index}].{field}");
        if !specifier.presentation_group_values.is_empty()
            && !matches!(kind, Some(OverrideKind::Multiplier(_)))
        {
            return Err(field(&name("presentation_group_values"), "is only for the type MULTIPLIER"));
        }
        if is_overwrite && !specifier.product_tags.is_empty() {
            let reason = "an OVERWRITE is of one product, named by product_id";
            return Err(field(&name("product_tags"), reason));
        }
        if is_overwrite && targeting.product_id.or(specifier.product_id).is_none() {
            return Err(field(&name("product_id"), "is required for OVERWRITE"));
        }
    }
    Ok(())
}

/// Every product that a rule names, with its place under the rule.
pub fn named_products(targeting: &Targeting) -> BTreeMap<String, ProductId> {
    let outer = targeting.product_id.map(|id| ("product_id".to_owned(), id));
    let inner = targeting.specifiers.iter().enumerate().filter_map(|(index, specifier)| {
        Some((format!("override_specifiers[{index}].product_id"), specifier.product_id?))
    });
    outer.into_iter().chain(inner).collect()
}
