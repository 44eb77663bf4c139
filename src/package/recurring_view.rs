//! How the recurring commits and credits of a package are shown.

use schemars::JsonSchema;
use serde::Serialize;

use super::terms::RecurringTemplate;
use super::view::Shown;
use crate::contract::recurring_grant::{CommitRule, CreditRule, GrantKind};
use crate::id::RecurringGrantId;
use crate::time::RelativeDate;

/// A recurring commit (schema `RecurringCommitTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecurringCommitTemplate")]
pub struct RecurringCommitTemplateView {
    #[serde(flatten)]
    time: TimeView,
    #[serde(flatten)]
    rule: CommitRule,
}

/// A recurring credit (schema `RecurringCreditTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecurringCreditTemplate")]
pub struct RecurringCreditTemplateView {
    #[serde(flatten)]
    time: TimeView,
    #[serde(flatten)]
    rule: CreditRule,
}

/// When one grants.
#[derive(Serialize, JsonSchema)]
struct TimeView {
    id: RecurringGrantId,
    /// From the contract's start.
    starting_at_offset: RelativeDate,
    /// From there; as long as the contract where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<RelativeDate>,
}

/// The recurring commits and the recurring credits of a package.
pub fn recurring(
    templates: &[RecurringTemplate],
    shown: &Shown,
) -> (Vec<RecurringCommitTemplateView>, Vec<RecurringCreditTemplateView>) {
    let (mut commits, mut credits) = (Vec::new(), Vec::new());
    for template in templates {
        let RecurringTemplate { id, unit_id, starting_at_offset, duration, terms, .. } = template;
        let time = TimeView { id: *id, starting_at_offset: *starting_at_offset, duration: *duration };
        match template.kind {
            GrantKind::Commit => {
                let rule = CommitRule::new(terms, *unit_id, &shown.product_names);
                commits.push(RecurringCommitTemplateView { time, rule });
            }
            GrantKind::Credit => {
                let rule = CreditRule::new(terms, *unit_id, &shown.product_names);
                credits.push(RecurringCreditTemplateView { time, rule });
            }
        }
    }
    (commits, credits)
}
