//! A commit or credit that is to be made, wherever its terms come from: a request, or the package of a contract.

use super::common::CommonTerms;
use super::promise::{Promise, check_true_up_date};
use super::schedule_input::Access;
use super::targeting_input::once_each;
use super::terms::{Balance, BalanceTerms, BalanceType, Payment, PaymentSchedule};
use crate::custom_field::CustomFields;
use crate::error::ApiError;
use crate::id::{ContractId, CreditTypeId, CustomerId, Ids};
use crate::money::CreditType;
use crate::time::Instant;
use crate::wire::UniquenessKey;

/// Most contracts that one commit or credit of a customer names (our decision).
const CONTRACTS_MAX: usize = 1000;

/// What is to be granted, each part of it looked at by itself.
pub struct Grant {
    pub balance_type: BalanceType,
    pub access: Access,
    pub payments: Option<PaymentSchedule>,
    pub common: CommonTerms,
    pub applicable_contract_ids: Vec<ContractId>,
    pub invoice_contract_id: Option<ContractId>,
    pub netsuite_sales_order_id: Option<String>,
    pub salesforce_opportunity_id: Option<String>,
    pub custom_fields: CustomFields,
    pub uniqueness_key: Option<UniquenessKey>,
}

/// Whose a new balance is, and when it is made.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub customer_id: CustomerId,
    /// Unset: the customer itself.
    pub contract_id: Option<ContractId>,
    pub ids: &'a Ids,
    pub now: Instant,
}

/// A commit or credit that is to be made, its own terms checked; nothing that it names was looked at.
pub struct NewBalance {
    /// Where it is in the request, such as `commits[2]`; empty where it is the request.
    pub path: String,
    /// Its unit is unset where it is a custom one, which is yet to be looked up.
    pub balance: Balance,
    pub custom_unit_id: Option<CreditTypeId>,
    pub custom_fields: CustomFields,
    pub uniqueness_key: Option<UniquenessKey>,
}

impl Grant {
    /// The commit or credit of an owner; 400 for parts that do not go together.
    pub fn planned(self, owner: Owner<'_>) -> Result<NewBalance, ApiError> {
        if self.applicable_contract_ids.len() > CONTRACTS_MAX {
            let reason = format!("at most {CONTRACTS_MAX} of one commit or credit");
            return Err(ApiError::field("applicable_contract_ids", reason));
        }
        if self.balance_type == BalanceType::Postpaid {
            self.promise().check()?;
            let payments = self.payments.as_ref().map_or(&[][..], |payments| &payments.items);
            check_true_up_date(&self.access.segments, payments)?;
        }
        let access_type = self.access.access_type();
        let unit = self.access.unit_id.and_then(CreditType::find_fiat).cloned();
        let CommonTerms { product_id, name, description, priority, rate_type, rollover_fraction, targeting } =
            self.common;
        let terms = BalanceTerms {
            product_id,
            name,
            description,
            priority,
            rate_type,
            segments: self.access.segments,
            manual_entries: Vec::new(),
            targeting,
            applicable_contract_ids: once_each(self.applicable_contract_ids),
            invoice_contract_id: self.invoice_contract_id,
            payments: self.payments,
            rollover_fraction,
            rolled_over: None,
            taken_away: None,
            is_true_up_disabled: false,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
        };
        let custom_unit_id = self.access.unit_id.filter(|_| unit.is_none());
        let balance = Balance {
            customer_id: owner.customer_id,
            id: owner.ids.next(),
            balance_type: self.balance_type,
            contract_id: owner.contract_id,
            access_type,
            unit,
            recurring_id: None,
            origin: None,
            uniqueness_key: self.uniqueness_key.as_ref().map(|key| key.0.clone()),
            created_at: owner.now,
            created_by: None,
            terms,
            archived_at: None,
            added: 0,
        };
        Ok(NewBalance {
            path: String::new(),
            balance,
            custom_unit_id,
            custom_fields: self.custom_fields,
            uniqueness_key: self.uniqueness_key,
        })
    }

    fn promise(&self) -> Promise<'_> {
        let billed = self
            .payments
            .as_ref()
            .map(|payments| (payments.credit_type.id, payments.items.iter().map(Payment::amount).collect()));
        Promise {
            unit_id: self.access.unit_id,
            granted: self.access.segments.iter().map(|segment| &segment.amount.0).collect(),
            billed,
        }
    }
}
