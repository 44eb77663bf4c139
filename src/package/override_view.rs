//! How the overrides of a package are shown.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::terms::OverrideTemplate;
use crate::catalog::rate::{BillingFrequency, GroupValues};
use crate::contract::rate_override::{self, Exclusion, Names, PresentationValues, RuleView, Specifier};
use crate::id::{OverrideId, ProductId};
use crate::time::RelativeDate;

/// An override (schema `OverrideTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OverrideTemplate")]
pub struct OverrideTemplateView {
    id: OverrideId,
    /// From the contract's start.
    starting_at_offset: RelativeDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<RelativeDate>,
    override_specifiers: Vec<SpecifierTemplateView>,
    #[serde(flatten)]
    rule: RuleView,
}

/// Conditions that must all hold (schema `OverrideSpecifierTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OverrideSpecifierTemplate")]
struct SpecifierTemplateView {
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<ProductId>,
    /// All of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    product_tags: Vec<String>,
    #[serde(skip_serializing_if = "GroupValues::is_empty")]
    pricing_group_values: GroupValues,
    /// Null is a missing value.
    #[serde(skip_serializing_if = "PresentationValues::is_empty")]
    presentation_group_values: PresentationValues,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_frequency: Option<BillingFrequency>,
    /// Commits of the package: those of the contract that were made of them are meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commit_template_ids: Vec<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recurring_commit_template_ids: Vec<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    any_commit_or_credit_template_ids: Vec<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<Exclusion>,
}

impl OverrideTemplateView {
    pub fn new(template: &OverrideTemplate, names: &Names) -> Self {
        let specifiers = rate_override::specifiers(&template.rule);
        Self {
            id: template.id,
            starting_at_offset: template.starting_at_offset,
            duration: template.duration,
            override_specifiers: specifiers.into_iter().map(Into::into).collect(),
            rule: RuleView::new(&template.rule, names),
        }
    }
}

impl From<Specifier> for SpecifierTemplateView {
    fn from(specifier: Specifier) -> Self {
        Self {
            product_id: specifier.product_id,
            product_tags: specifier.product_tags,
            pricing_group_values: specifier.pricing_group_values,
            presentation_group_values: specifier.presentation_group_values,
            billing_frequency: specifier.billing_frequency,
            commit_template_ids: specifier.commit_ids,
            recurring_commit_template_ids: specifier.recurring_commit_ids,
            any_commit_or_credit_template_ids: specifier.any_commit_or_credit_ids,
            exclude: specifier.exclude,
        }
    }
}
