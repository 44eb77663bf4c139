//! `GET /v1/customers/{customer_id}/invoices`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calc::empty_usage_invoice;
use super::compute::Calculator;
use super::custom_fields;
use super::model::{Invoice, InvoiceStatus, InvoiceType, InvoiceView};
use super::scheduled::{self, Draft};
use super::store::{self, InvoiceFilter, InvoicePosition};
use super::true_up;
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::contract::{self, Contract};
use crate::customer::CustomerPath;
use crate::error::ApiError;
use crate::id::{ContractId, CreditTypeId, InvoiceId};
use crate::time::{Instant, Period};
use crate::usage::begin_usage_read;
use crate::usage::ingest::Metering;
use crate::wire::{CursorKey, Page, PageLimit, Path, Query, Timestamp};

wire_enum! {
    /// The order of issue dates.
    pub enum Sort {
        DateAsc = "date_asc",
        DateDesc = "date_desc",
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListInvoices {
    #[serde(default, skip_serializing)]
    limit: PageLimit,
    #[serde(skip_serializing)]
    next_page: Option<String>,
    status: Option<InvoiceStatus>,
    #[serde(rename = "type")]
    invoice_type: Option<InvoiceType>,
    credit_type_id: Option<CreditTypeId>,
    contract_id: Option<ContractId>,
    /// Only periods that start then or later.
    starting_on: Option<Timestamp>,
    /// Only periods that end then or earlier; scheduled invoices, which are of no period, only from before.
    ending_before: Option<Timestamp>,
    /// By issue date; `date_asc` when omitted.
    sort: Option<Sort>,
    /// Without lines of quantity 0.
    #[serde(default, skip_serializing)]
    skip_zero_qty_line_items: bool,
    /// With the list price on each line.
    #[serde(default, skip_serializing)]
    include_list_prices: bool,
}

/// An invoice of a page: whole, or a draft whose lines are not calculated yet.
enum Listed {
    /// Stored; or a true-up, of which there is none where nothing is short.
    Whole(Box<Invoice>),
    Statement {
        header: Box<Invoice>,
        contract: ContractId,
        period: Period,
    },
    Scheduled(Box<Draft>),
}

impl Listed {
    fn position(&self) -> InvoicePosition {
        let invoice = self.header();
        (invoice.issued_at, invoice.id)
    }

    /// All of it but the lines and the total of a draft.
    fn header(&self) -> &Invoice {
        match self {
            Self::Whole(invoice) | Self::Statement { header: invoice, .. } => invoice,
            Self::Scheduled(draft) => &draft.header,
        }
    }
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Path(path): Path<CustomerPath>,
    Query(request): Query<ListInvoices>,
) -> Result<axum::Json<Page<Invoice>>, ApiError> {
    let environment_id = caller.environment_id();
    let customer_id = path.customer_id;
    let key = CursorKey::new("invoices", "next_page", environment_id, &(customer_id, &request));
    let after: Option<(Timestamp, InvoiceId)> = key.decode(request.next_page.as_deref())?;
    let after: Option<InvoicePosition> = after.map(|(start, id)| (start.0, id));
    let descending = request.sort == Some(Sort::DateDesc);
    let limit = request.limit.get();
    let filter = filter(&request);

    // One instant of the database for everything, so that an invoice that is being finalized shows once.
    let (mut snapshot, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(customer_id), metering.recent()).await?;
    let catalog = uncounted.catalog();
    let states = catalog.zip(Some(uncounted.state_of(customer_id)?));
    let contracts = contract::list_in(&mut snapshot, environment_id, customer_id, states).await?;
    let contracts: BTreeMap<ContractId, Contract> =
        contracts.iter().map(|contract| (contract.id, contract.clone())).collect();
    let stored =
        store::list(&mut snapshot, environment_id, customer_id, &filter, descending, after, limit + 1)
            .await?;
    let mut listed: Vec<Listed> =
        stored.into_iter().map(|invoice| Listed::Whole(Box::new(invoice))).collect();
    let scheduled = scheduled::drafts(&mut snapshot, environment_id, customer_id, &contracts, caller.now)
        .await?
        .into_iter();
    let scheduled = scheduled.map(|draft| Listed::Scheduled(Box::new(draft)));
    let comes_after = |header: &Invoice| {
        let position = (header.issued_at, header.id);
        after.is_none_or(|after| if descending { position < after } else { position > after })
    };
    let is_asked_for = |header: &Invoice| filter.passes(header) && comes_after(header);
    let mut true_ups = true_up::drafts(&mut snapshot, environment_id, customer_id, &contracts).await?;
    true_ups.retain(|draft| is_asked_for(&draft.header));
    let drafts = statements(&contracts, caller.now).chain(scheduled);
    listed.extend(drafts.filter(|draft| is_asked_for(draft.header())));
    let mut calculator = Calculator::with_uncounted(&mut snapshot, environment_id, uncounted);
    let true_ups = true_up::Draft::calculate(true_ups, &mut calculator, environment_id, caller.now).await?;
    listed.extend(true_ups.into_iter().map(|invoice| Listed::Whole(Box::new(invoice))));
    listed.sort_by_key(Listed::position);
    if descending {
        listed.reverse();
    }
    listed.truncate(limit + 1);

    let page = Page::cut(listed, limit, |invoice| key.encode(&invoice.position()));
    let view = InvoiceView {
        skip_zero_qty_line_items: request.skip_zero_qty_line_items,
        include_list_prices: request.include_list_prices,
    };
    let mut data = Vec::with_capacity(page.data.len());
    for listed in page.data {
        let invoice = match listed {
            Listed::Whole(invoice) => *invoice,
            Listed::Statement { contract, period, .. } => {
                calculator.statement_or_failure(&contracts[&contract], period, caller.now).await?
            }
            Listed::Scheduled(draft) => {
                let contract = &contracts[&draft.contract_id];
                draft.calculate(calculator.db(), environment_id, contract, caller.now).await?
            }
        };
        data.push(invoice);
    }
    custom_fields::show(&mut snapshot, environment_id, &mut data, catalog).await?;
    let data = data.into_iter().map(|invoice| invoice.shown(view)).collect();
    Ok(axum::Json(Page { data, next_page: page.next_page }))
}

fn filter(request: &ListInvoices) -> InvoiceFilter {
    InvoiceFilter {
        status: request.status,
        invoice_type: request.invoice_type,
        credit_type_id: request.credit_type_id,
        contract_id: request.contract_id,
        starting_on: request.starting_on.map(|instant| instant.0),
        ending_before: request.ending_before.map(|instant| instant.0),
    }
}

/// The headers of all open statements.
fn statements(contracts: &BTreeMap<ContractId, Contract>, now: Instant) -> impl Iterator<Item = Listed> {
    contracts.values().flat_map(move |contract| {
        contract.open_statements(now).map(move |period| Listed::Statement {
            header: Box::new(empty_usage_invoice(contract, period)),
            contract: contract.id,
            period,
        })
    })
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listInvoices").tag("Invoices").summary("List the invoices of a customer").description(
        "By issue date. Drafts are calculated as they are read; one that cannot be says so in `upbeat_failure`, and has no \
         lines. Void invoices come too unless a status is asked for.",
    )
}
