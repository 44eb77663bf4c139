//! What the drafts of one customer draw.

use std::sync::{Arc, LazyLock};

use super::holdings::Holdings;
use crate::catalog::version::CatalogVersion;
use crate::contract::Contract;
use crate::customer::CustomerState;
use crate::drawdown::Draw;
use crate::id::ContractId;
use crate::memo::Memo;
use crate::time::Period;
use crate::usage::DayNames;

/// What is remembered of all customers together, in days with usage and draws: some ten megabytes.
const PARTS_MAX: u64 = 100_000;

static KNOWN: LazyLock<Memo<DraftsName, Vec<Draw>>> = LazyLock::new(|| Memo::new(PARTS_MAX, 50));

/// What all open statements of a customer draw, with what was loaded to know it, which whoever shows balances needs next.
pub struct Drafts {
    pub draws: Arc<Vec<Draw>>,
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
        let (draws, contracts) = Default::default();
        Self { draws, contracts, holdings: Arc::new(Holdings::empty()), state }
    }
}

/// All that the draws of a customer's drafts follow from, by the names of its states: a customer whose balances are asked for
/// again and again mostly used nothing in between.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DraftsName {
    pub catalog: CatalogVersion,
    pub customer: CustomerState,
    /// Which are open, of contracts that may draw.
    pub statements: Vec<(ContractId, Period)>,
    /// The days of their time.
    pub days: DayNames,
}

/// What the drafts of that name draw: it may be known, else `load` answers it.
pub async fn find_draws(
    name: Option<DraftsName>,
    load: impl Future<Output = Result<Vec<Draw>, sqlx::Error>>,
) -> Result<Arc<Vec<Draw>>, sqlx::Error> {
    let parts = name.as_ref().map_or(0, |name| name.statements.len() + name.days.len());
    KNOWN.find_or(name, |draws| parts + draws.len(), load).await
}
