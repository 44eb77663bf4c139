//! Which period a usage query is about.

use chrono::NaiveTime;
use sqlx::PgConnection;

use crate::contract::{self, Contract};
use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId};
use crate::time::{Instant, Period};
use crate::wire::Timestamp;

/// Why a date is missed.
const NO_RANGE: &str = "is required unless current_period is true";

/// The range between two dates, which must be midnights UTC at least a day apart (Python SDK).
pub fn between(starting_on: Timestamp, ending_before: Timestamp) -> Result<Period, ApiError> {
    for (field, instant) in [("starting_on", starting_on), ("ending_before", ending_before)] {
        if instant.0.time() != NaiveTime::MIN {
            return Err(ApiError::field(field, "must be midnight UTC"));
        }
    }
    Period::new(starting_on.0, ending_before.0)
        .ok_or_else(|| ApiError::field("ending_before", "must be at least one day after starting_on"))
}

/// The range between two dates; nothing where the current period is asked for instead. 400 where both are or neither is.
pub fn dates(
    current_period: bool,
    starting_on: Option<Timestamp>,
    ending_before: Option<Timestamp>,
) -> Result<Option<Period>, ApiError> {
    match (current_period, starting_on, ending_before) {
        (true, None, None) => Ok(None),
        (true, ..) => {
            Err(ApiError::field("current_period", "cannot be combined with starting_on or ending_before"))
        }
        (false, Some(starting_on), Some(ending_before)) => between(starting_on, ending_before).map(Some),
        (false, None, _) => Err(ApiError::field("starting_on", NO_RANGE)),
        (false, _, None) => Err(ApiError::field("ending_before", NO_RANGE)),
    }
}

/// The billing period that contains `at`, of the contract that runs then; of several, the one that started first (our
/// decision). 400 where none runs.
pub async fn current_period(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    at: Instant,
) -> Result<Period, ApiError> {
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    let mut running = contracts.iter().filter(|contract| contract.archived_at.is_none());
    running
        .find_map(|contract| billing_period(contract, at))
        .ok_or_else(|| ApiError::field("current_period", "the customer has no contract that runs now"))
}

/// The contract's statement period, or, where statements begin later than the contract, the period of its calendar
/// until then (our decision: such a customer is under contract).
fn billing_period(contract: &Contract, at: Instant) -> Option<Period> {
    let before_statements = || {
        let until = contract.invoice_generation_starting_at;
        let period = contract.schedule.statement_at(at, contract.starting_at, until)?;
        period.clip(period.start, contract.ending_before).filter(|period| period.contains(at))
    };
    contract.open_statement_at(at).or_else(before_statements)
}
