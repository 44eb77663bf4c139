//! Scheduled charges: payments of a contract whose dates and amounts are agreed in advance.
//!
//! Owns: the schedule, its items with their dates and amounts, which item is on which invoice. Does not own: the
//! invoices, or on which invoice an item goes (see `statement` and the domain `invoice`).
//!
//! Invariants: every item is made with its id when the charge is made; the items of a divided amount sum to it
//! exactly; an item is pending, on one invoice, or removed, and never two of them; an item that is on a finalized invoice
//! never changes, and where one on a void invoice does, the invoice keeps what it had. A charge that pays for a commit (`balance::charge_of`) is shown with the commit and nowhere else.

mod calc;
mod input;
mod of_balance;
mod products;
mod store;
mod view;

pub use calc::{ItemPrice, PlannedItem};
pub use input::price as item_price;
pub use input::{ITEMS_MAX, SchedulePointInTimeInput, ScheduledChargeInput, custom_fields, planned};
pub use of_balance::{
    PaymentItem, Standing, VoidChange, balances_paid_on, bring_back, change_pending, change_void,
    insert_or_add, items_of_balances, remove_pending,
};
pub use products::fixed_products;
pub use store::{
    DueItem, InvoicedItem, PendingDate, ScheduleItem, ScheduledCharge, exists, first_pending_date, insert,
    items_of_invoice, items_of_invoices, mark_invoiced, move_to_invoice, of_contracts, pending_dates,
    pending_dates_of, pending_items, pending_of_customer, product_names, remove_all, remove_from,
};
pub use view::{Items, ScheduledChargeView};
