//! Whether the draws that are kept are those that invoices show.

use std::collections::BTreeMap;

use super::model::{Invoice, InvoiceStatus};
use crate::drawdown::Draw;
use crate::id::{BalanceId, InvoiceId, SegmentId};
use crate::money::{Decimal, plain, zero};
use crate::time::{Instant, shown};

type Drawn = BTreeMap<(BalanceId, SegmentId), Decimal>;

/// What each invoice drew of each segment, net of what was given back.
pub struct DrawsByInvoice(BTreeMap<InvoiceId, OfInvoice>);

#[derive(Default)]
struct OfInvoice {
    drawn: Drawn,
    dates: Vec<Instant>,
}

impl DrawsByInvoice {
    #[must_use]
    pub fn new(draws: Vec<Draw>) -> Self {
        let mut by_invoice: BTreeMap<InvoiceId, OfInvoice> = BTreeMap::new();
        for Draw { invoice_id, balance_id, segment_id, amount, dated_at, .. } in draws {
            let of_invoice = by_invoice.entry(invoice_id).or_default();
            *of_invoice.drawn.entry((balance_id, segment_id)).or_default() += amount;
            of_invoice.dates.push(dated_at);
        }
        Self(by_invoice)
    }

    /// How the draws of an invoice differ from the lines on it that apply balances; a void one must have given all back. Each is
    /// dated within the time that is billed.
    #[must_use]
    pub fn contradiction(&self, invoice: &Invoice) -> Option<String> {
        let of_invoice = self.0.get(&invoice.id);
        let billed = invoice.start_timestamp..=invoice.end_timestamp;
        if let Some(dated_at) = of_invoice.and_then(|own| own.dates.iter().find(|at| !billed.contains(at))) {
            return Some(format!("has drawn something at {}, which it does not bill", shown(*dated_at)));
        }
        let mut differences = of_invoice.map(|own| own.drawn.clone()).unwrap_or_default();
        if invoice.status != InvoiceStatus::Void {
            for line in invoice.line_items.iter().filter(|line| line.is_application()) {
                let Some(segment) = line.commit_id.zip(line.commit_segment_id) else {
                    return Some("has a line that applies a balance without naming it".to_owned());
                };
                *differences.entry(segment).or_default() -= line.taken();
            }
        }
        let ((balance_id, _), by) = differences.into_iter().find(|(_, by)| *by != zero())?;
        Some(format!("differs by {} from what is kept as drawn of {balance_id}", plain(&by)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custom_field::CustomFields;
    use crate::customer::billable_status::BillableStatus;
    use crate::id::{ContractId, CustomerId};
    use crate::invoice::model::{APPLICATION, InvoiceType, LineItem};
    use crate::money::{CreditType, Number};
    use uuid::Uuid;

    fn invoice(applied: &[i64]) -> Invoice {
        let line = |amount: &i64| LineItem {
            commit_id: Some(BalanceId(Uuid::nil())),
            commit_segment_id: Some(SegmentId(Uuid::nil())),
            ..LineItem::new(APPLICATION, String::new(), (*amount).into(), CreditType::usd())
        };
        Invoice {
            id: InvoiceId(Uuid::nil()),
            customer_id: CustomerId(Uuid::nil()),
            contract_id: ContractId(Uuid::nil()),
            invoice_type: InvoiceType::Usage,
            status: InvoiceStatus::Finalized,
            credit_type: CreditType::usd(),
            start_timestamp: Instant::UNIX_EPOCH,
            end_timestamp: Instant::UNIX_EPOCH,
            issued_at: Instant::UNIX_EPOCH,
            total: Number(zero()),
            line_items: applied.iter().map(line).collect(),
            net_payment_terms_days: None,
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
            billable_status: BillableStatus::Billable,
            external_invoice: None,
            custom_fields: CustomFields::new(),
            customer_custom_fields: CustomFields::new(),
            contract_custom_fields: CustomFields::new(),
            regenerated_from_invoice_id: None,
            upbeat_failure: None,
        }
    }

    fn draws(amounts: &[i64]) -> DrawsByInvoice {
        let draw = |amount: &i64| Draw {
            balance_id: BalanceId(Uuid::nil()),
            segment_id: SegmentId(Uuid::nil()),
            invoice_id: InvoiceId(Uuid::nil()),
            contract_id: ContractId(Uuid::nil()),
            amount: (*amount).into(),
            dated_at: Instant::UNIX_EPOCH,
        };
        DrawsByInvoice::new(amounts.iter().map(draw).collect())
    }

    #[test]
    fn lines_and_draws_say_the_same() {
        assert_eq!(draws(&[-15]).contradiction(&invoice(&[-10, -5])), None);
        assert!(draws(&[-14]).contradiction(&invoice(&[-10, -5])).is_some());
        assert!(draws(&[]).contradiction(&invoice(&[-10])).is_some());
        assert!(draws(&[-1]).contradiction(&invoice(&[])).is_some());
        let void = Invoice { status: InvoiceStatus::Void, ..invoice(&[-10]) };
        assert_eq!(draws(&[-10, 10]).contradiction(&void), None);
        assert!(draws(&[-10]).contradiction(&void).is_some());
    }
}
