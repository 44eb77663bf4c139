//! What a POSTPAID commit, which is a promise to spend, must satisfy.

use super::terms::{Payment, Segment};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::{CreditType, Decimal};

/// What is granted and what is billed, without the dates.
pub struct Promise<'a> {
    /// The unit of what is granted; unset for quantities.
    pub unit_id: Option<CreditTypeId>,
    /// The amount of each segment.
    pub granted: Vec<&'a Decimal>,
    /// The currency of the payments and the amount of each; unset where no schedule was given.
    pub billed: Option<(CreditTypeId, Vec<Decimal>)>,
}

impl Promise<'_> {
    /// A promise is of one amount over one time, and what is short of it is billed once (schema
    /// `CreateCustomerCommitPayload`; documentation page on commits): 400 for any other.
    pub fn check(&self) -> Result<(), ApiError> {
        let Some(unit_id) = self.unit_id else {
            // Our decision: a promise is to spend money, and what units would be short of has no price.
            let reason = "a POSTPAID commit cannot be of `QUANTITY`, because what is short of it is billed";
            return Err(ApiError::field("access_schedule.access_type", reason));
        };
        let [granted] = self.granted.as_slice() else {
            let reason = "a POSTPAID commit has one item";
            return Err(ApiError::field("access_schedule.schedule_items", reason));
        };
        let Some((currency_id, billed)) = &self.billed else {
            return Err(ApiError::field("invoice_schedule", "is required for POSTPAID"));
        };
        let [billed] = billed.as_slice() else {
            return Err(ApiError::field("invoice_schedule", "a POSTPAID commit has one payment"));
        };
        if CreditType::find_fiat(unit_id).is_none() {
            let reason = "a POSTPAID commit is in a currency, because what is short of it is billed";
            return Err(ApiError::field("access_schedule.credit_type_id", reason));
        }
        if unit_id != *currency_id {
            let reason = "must be that of access_schedule for POSTPAID";
            return Err(ApiError::field("invoice_schedule.credit_type_id", reason));
        }
        if *billed != **granted {
            let reason = "the amount must be that of access_schedule for POSTPAID";
            return Err(ApiError::field("invoice_schedule", reason));
        }
        Ok(())
    }
}

/// What is short of a promise is known when its time is over (documentation page on commits): 400 for a true-up before.
pub fn check_true_up_date(segments: &[Segment], payments: &[Payment]) -> Result<(), ApiError> {
    let end = segments.iter().map(|segment| segment.ending_before).max();
    if payments.iter().any(|payment| Some(payment.dated_at) < end) {
        let reason =
            "the true-up of a POSTPAID commit must not be dated before access_schedule's ending_before";
        return Err(ApiError::field("invoice_schedule", reason));
    }
    Ok(())
}
