//! What the drafts of one customer draw.

use std::sync::Arc;

use super::holdings::Holdings;
use crate::contract::Contract;
use crate::customer::CustomerState;
use crate::drawdown::Draw;

/// What all open statements of a customer draw, with what was loaded to know it, which whoever shows balances needs next.
pub struct Drafts {
    pub draws: Vec<Draw>,
    /// All contracts of the customer.
    pub contracts: Arc<Vec<Contract>>,
    /// What has a segment in one of the statements or at the moment of the look.
    pub holdings: Arc<Holdings>,
    /// The customer's state, of which more may be known.
    pub state: Option<CustomerState>,
}

impl Drafts {
    /// Where drafts do not count.
    #[must_use]
    pub fn none(state: Option<CustomerState>) -> Self {
        Self { draws: Vec::new(), contracts: Arc::default(), holdings: Arc::new(Holdings::empty()), state }
    }
}
