//! What the drafts of one customer draw.

use std::sync::Arc;

use crate::contract::Contract;
use crate::contract::balance::{Balance, Rollovers};
use crate::drawdown::Draw;

/// What all open statements of a customer draw, with what was loaded to know it, which whoever shows balances needs next.
#[derive(Default)]
pub struct Drafts {
    pub draws: Vec<Draw>,
    /// All contracts of the customer.
    pub contracts: Arc<Vec<Contract>>,
    /// The balances with a segment in one of the statements or at the moment of the look, by creation.
    pub balances: Vec<Balance>,
    /// What renewals took over; unset where nothing may be drawn.
    pub rollovers: Option<Rollovers>,
}
