//! What requests say of every commit and credit beside its schedules, and whether it makes sense by itself.

use serde::{Deserialize, Serialize};

use super::targeting_input::{SpecifierInput, targeting};
use super::terms::{CommitRateType, TargetingOfBalance};
use crate::error::ApiError;
use crate::id::ProductId;
use crate::money::{Decimal, InputNumber, Number, is_negative};
use crate::wire::NonBlank;

/// The fields of a request that every kind of commit and credit has, of a contract, of a customer or of a package.
pub struct CommonInput {
    pub product_id: ProductId,
    pub name: Option<NonBlank>,
    pub description: Option<String>,
    pub priority: Option<InputNumber>,
    pub rate_type: Option<CommitRateType>,
    pub rollover_fraction: Option<InputNumber>,
    pub applicable_product_ids: Vec<ProductId>,
    pub applicable_product_tags: Vec<String>,
    pub specifiers: Vec<SpecifierInput>,
}

/// What they say, each part looked at by itself. Packages keep it as it is written here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonTerms {
    /// A FIXED product, which names purchases and true-ups.
    pub product_id: ProductId,
    pub name: Option<String>,
    pub description: Option<String>,
    /// The lowest is drawn first; unset counts as 100.
    pub priority: Option<Number>,
    pub rate_type: CommitRateType,
    /// How much of it a renewal may take over: 0 to 1.
    pub rollover_fraction: Option<Number>,
    pub targeting: TargetingOfBalance,
}

impl CommonInput {
    /// 400 for a fraction beyond its bounds, and for a targeting that makes no sense. Products are not looked at.
    pub fn checked(self) -> Result<CommonTerms, ApiError> {
        let one = Decimal::from(1);
        let is_fraction = |fraction: &Decimal| !is_negative(fraction) && *fraction <= one;
        if self.rollover_fraction.as_ref().is_some_and(|fraction| !is_fraction(&fraction.0)) {
            return Err(ApiError::field("rollover_fraction", "must be from 0 to 1, such as 0.25 for 25 %"));
        }
        let number = |input: InputNumber| Number(input.0);
        Ok(CommonTerms {
            product_id: self.product_id,
            name: self.name.map(|name| name.0),
            description: self.description,
            priority: self.priority.map(number),
            rate_type: self.rate_type.unwrap_or(CommitRateType::ListRate),
            rollover_fraction: self.rollover_fraction.map(number),
            targeting: targeting(self.applicable_product_ids, self.applicable_product_tags, self.specifiers)?,
        })
    }
}
