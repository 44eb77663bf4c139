//! The terms of a package, copied for one contract.

use uuid::Uuid;

use super::calc::{self, Copies, PlannedSegment, TooLate};
use super::terms::{BalanceTemplate, ChargeTemplate, OverrideTemplate, PaymentsTemplate, RecurringTemplate};
use crate::contract::balance::{
    Access, BalanceType, Grant, NewBalance, Owner, Payment, PaymentSchedule, Segment,
};
use crate::contract::rate_override::Override;
use crate::contract::recurring_grant::{GrantKind, PlannedGrant};
use crate::contract::scheduled_charge::{PlannedItem, ScheduleItem, ScheduledCharge};
use crate::custom_field::CustomFields;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, Ids};
use crate::money::Number;
use crate::time::Instant;

/// The contract that terms are copied for.
#[derive(Clone, Copy)]
pub struct Copying<'a> {
    pub customer_id: CustomerId,
    pub contract_id: ContractId,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub ids: &'a Ids,
    pub now: Instant,
}

/// 400 for a term whose date would lie after the year 9999.
pub fn too_late(error: TooLate) -> ApiError {
    ApiError::field("starting_at", error)
}

/// The places of terms in the lists of their package: commits are counted apart from credits.
#[derive(Default)]
struct Places {
    commits: usize,
    credits: usize,
}

impl Places {
    fn next(&mut self, is_credit: bool, list: (&str, &str)) -> String {
        let (list, count) = if is_credit { (list.1, &mut self.credits) } else { (list.0, &mut self.commits) };
        *count += 1;
        format!("{list}[{}]", *count - 1)
    }
}

impl Copying<'_> {
    /// The charge of the contract that stands there among the package's.
    pub fn charge(&self, index: usize, charge: ChargeTemplate) -> Result<ScheduledCharge, ApiError> {
        let path = format!("scheduled_charges[{index}]");
        let items = calc::items(&charge, self.starting_at).map_err(|error| too_late(error.within(&path)))?;
        Ok(ScheduledCharge {
            contract_id: self.contract_id,
            id: self.ids.next(),
            product_id: charge.product_id,
            name: charge.name,
            unit: charge.unit,
            netsuite_sales_order_id: None,
            created_at: self.now,
            balance_id: None,
            is_true_up: false,
            items: items.into_iter().map(|item| ScheduleItem::new(self.ids.next(), item)).collect(),
        })
    }

    /// The commits and credits of the contract, planned as those of a request are; `copies` learns of each.
    pub fn balances(
        &self,
        templates: Vec<BalanceTemplate>,
        mut fields_of: impl FnMut(Uuid) -> CustomFields,
        copies: &mut Copies,
    ) -> Result<Vec<NewBalance>, ApiError> {
        let mut places = Places::default();
        let mut balances = Vec::with_capacity(templates.len());
        for template in templates {
            let path = places.next(template.is_credit(), ("commits", "credits"));
            let (id, fields) = (template.id.0, fields_of(template.id.0));
            let grant = self.grant(template, fields).map_err(|error| too_late(error.within(&path)))?;
            let Some(grant) = grant else { continue };
            let planned = grant.planned(self.owner()).map_err(|error| error.within(&path))?;
            copies.insert(id, planned.balance.id.0);
            balances.push(NewBalance { path, ..planned });
        }
        Ok(balances)
    }

    /// What the contract is granted; nothing where no part of it would begin before the contract's end. Then nothing is paid for
    /// it either: nobody owes anything for what can never be drawn (our decision).
    fn grant(
        &self,
        template: BalanceTemplate,
        custom_fields: CustomFields,
    ) -> Result<Option<Grant>, TooLate> {
        let (is_credit, terms) = (template.is_credit(), template.terms);
        let is_postpaid = template.balance_type == BalanceType::Postpaid;
        let segments = calc::segments(&terms.segments, is_postpaid, self.starting_at, self.ending_before)?;
        if segments.is_empty() {
            return Ok(None);
        }
        let segment = |PlannedSegment { amount, starting_at, ending_before }: PlannedSegment| Segment {
            id: self.ids.next(),
            amount,
            starting_at,
            ending_before,
        };
        let segments = segments.into_iter().map(segment).collect();
        Ok(Some(Grant {
            balance_type: template.balance_type,
            access: Access { unit_id: terms.unit_id, segments },
            payments: terms.payments.map(|payments| self.payments(payments)).transpose()?,
            common: terms.common,
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: Some(self.contract_id).filter(|_| !is_credit),
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
            custom_fields,
            uniqueness_key: None,
        }))
    }

    fn payments(&self, template: PaymentsTemplate) -> Result<PaymentSchedule, TooLate> {
        let items = calc::payments(&template.items, self.starting_at)?;
        let payment = |PlannedItem { dated_at, price }: PlannedItem| Payment {
            id: self.ids.next(),
            dated_at,
            unit_price: Number(price.unit_price),
            quantity: Number(price.quantity),
        };
        Ok(PaymentSchedule {
            credit_type: template.credit_type,
            do_not_invoice: template.do_not_invoice,
            items: items.into_iter().map(payment).collect(),
        })
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            customer_id: self.customer_id,
            contract_id: Some(self.contract_id),
            ids: self.ids,
            now: self.now,
        }
    }

    /// The recurring commits and credits of the contract; `copies` learns of each.
    pub fn recurring(
        &self,
        templates: Vec<RecurringTemplate>,
        copies: &mut Copies,
    ) -> Result<Vec<PlannedGrant>, ApiError> {
        let mut places = Places::default();
        let mut planned = Vec::with_capacity(templates.len());
        for template in templates {
            let RecurringTemplate { id, kind, unit_id, .. } = template;
            let is_credit = kind == GrantKind::Credit;
            let path = places.next(is_credit, ("recurring_commits", "recurring_credits"));
            let terms = calc::recurring(template, self.starting_at, self.ending_before)
                .map_err(|error| too_late(error.within(&path)))?;
            let Some(terms) = terms else { continue };
            let grant = PlannedGrant { id: self.ids.next(), kind, unit_id, terms, temporary_id: None, path };
            copies.insert(id.0, grant.id.0);
            planned.push(grant);
        }
        Ok(planned)
    }

    /// The overrides of the contract.
    pub fn overrides(
        &self,
        templates: Vec<OverrideTemplate>,
        copies: &Copies,
    ) -> Result<Vec<Override>, ApiError> {
        let mut overrides = Vec::with_capacity(templates.len());
        for (index, template) in templates.into_iter().enumerate() {
            let term = (self.starting_at, self.ending_before);
            let copy = calc::override_of(template, self.ids.next(), term, copies, self.now);
            overrides.extend(copy.map_err(|error| too_late(error.within(&format!("overrides[{index}]"))))?);
        }
        Ok(overrides)
    }
}
