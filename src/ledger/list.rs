//! `POST /v1/contracts/customerCommits/list`, `POST /v1/contracts/customerCredits/list` and
//! `POST /v1/contracts/customerBalances/list`

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{accounts, of_drafts};
use super::view::{Asked, reckoned};
use crate::access::{App, Caller};
use crate::contract::balance::{
    self, AccessType, Balance, BalanceFilter, BalanceV1, CommitV1, CreditV1, Kind, Reckoned, WholeBalance,
    whole_balances,
};
use crate::error::ApiError;
use crate::id::{BalanceId, CustomerId, EnvironmentId};
use crate::invoice::Drafts;
use crate::money::zero;
use crate::time::Instant;
use crate::usage::begin_usage_read;
use crate::usage::ingest::Metering;
use crate::wire::{BalancePageLimit, CursorKey, JsonBoth, Page, Timestamp};

/// What the three lists have in common.
#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListBalances {
    customer_id: CustomerId,
    /// Only those with a segment that is open then.
    covering_date: Option<Timestamp>,
    /// Only those with a segment that is open then or later.
    starting_at: Option<Timestamp>,
    /// Only those with a segment that starts before.
    effective_before: Option<Timestamp>,
    /// Archived ones too, and those of archived contracts.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_archived: bool,
    /// With the ledger of each, which is worked out as it is read.
    #[serde(default, deserialize_with = "crate::wire::or_default", skip_serializing)]
    include_ledgers: bool,
    /// With what is left of each.
    #[serde(default, deserialize_with = "crate::wire::or_default", skip_serializing)]
    include_balance: bool,
    #[serde(skip_serializing)]
    next_page: Option<String>,
    #[serde(default, deserialize_with = "crate::wire::or_default", skip_serializing)]
    limit: BalancePageLimit,
}

#[derive(Deserialize, JsonSchema)]
pub struct ListCommits {
    commit_id: Option<BalanceId>,
    /// Only those that are drawn by what usage costs, or by its quantity.
    access_type: Option<AccessType>,
    /// Those of contracts too.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_contract_commits: bool,
}

#[derive(Deserialize, JsonSchema)]
pub struct ListCredits {
    credit_id: Option<BalanceId>,
    /// Only those that are drawn by what usage costs, or by its quantity.
    access_type: Option<AccessType>,
    /// Those of contracts too.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_contract_credits: bool,
}

#[derive(Deserialize, JsonSchema)]
pub struct ListBoth {
    id: Option<BalanceId>,
    /// Only those that are drawn by what usage costs, or by its quantity.
    access_type: Option<AccessType>,
    /// Those of contracts too.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_contract_balances: bool,
    /// Only those of which something is left.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    exclude_zero_balances: bool,
}

/// What one of the lists is narrowed to.
#[derive(Serialize)]
struct Scope {
    #[serde(skip)]
    kind: Kind,
    id: Option<BalanceId>,
    access_type: Option<AccessType>,
    include_contract_balances: bool,
    exclude_zero_balances: bool,
}

pub async fn commits(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    JsonBoth(request, own): JsonBoth<ListBalances, ListCommits>,
) -> Result<axum::Json<Page<CommitV1>>, ApiError> {
    let scope = Scope {
        kind: Kind::Commits,
        id: own.commit_id,
        access_type: own.access_type,
        include_contract_balances: own.include_contract_commits,
        exclude_zero_balances: false,
    };
    page(&app, &metering, &caller, "commits", request, &scope, CommitV1::new).await
}

pub async fn credits(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    JsonBoth(request, own): JsonBoth<ListBalances, ListCredits>,
) -> Result<axum::Json<Page<CreditV1>>, ApiError> {
    let scope = Scope {
        kind: Kind::Credits,
        id: own.credit_id,
        access_type: own.access_type,
        include_contract_balances: own.include_contract_credits,
        exclude_zero_balances: false,
    };
    page(&app, &metering, &caller, "credits", request, &scope, CreditV1::new).await
}

pub async fn balances(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    JsonBoth(request, own): JsonBoth<ListBalances, ListBoth>,
) -> Result<axum::Json<Page<BalanceV1>>, ApiError> {
    let scope = Scope {
        kind: Kind::Both,
        id: own.id,
        access_type: own.access_type,
        include_contract_balances: own.include_contract_balances,
        exclude_zero_balances: own.exclude_zero_balances,
    };
    page(&app, &metering, &caller, "balances", request, &scope, BalanceV1::new).await
}

async fn page<T>(
    app: &App,
    metering: &Metering,
    caller: &Caller,
    list: &str,
    request: ListBalances,
    scope: &Scope,
    view: impl Fn(&WholeBalance, Reckoned) -> T,
) -> Result<axum::Json<Page<T>>, ApiError> {
    let (environment_id, customer_id) = (caller.environment_id(), request.customer_id);
    let key = CursorKey::new(list, "next_page", environment_id, &(&request, scope));
    let after: Option<(Timestamp, Uuid)> = key.decode(request.next_page.as_deref())?;
    let after = after.map(|(created_at, id)| (created_at.0, id));
    let asked = Asked { balance: request.include_balance, ledger: request.include_ledgers };
    let limit = request.limit.get();

    // One instant of the database for everything, so that what an invoice draws that is being finalized counts once.
    let (mut snapshot, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(customer_id), metering.recent()).await?;
    let (state, catalog) = (uncounted.state_of(customer_id)?, uncounted.catalog());
    // A rollover that still moves has the amount that its account says.
    let shows_accounts =
        asked.anything() || balance::has_live_rollover(&mut snapshot, environment_id, customer_id).await?;
    let drafts = if shows_accounts || scope.exclude_zero_balances {
        of_drafts(&mut snapshot, environment_id, customer_id, uncounted, caller.now, |_| true).await?
    } else {
        Drafts::none(Some(state))
    };
    let reader = Reader { environment_id, customer_id, filter: filter(&request, scope), now: caller.now };
    let rows = if scope.exclude_zero_balances {
        let covering_date = request.covering_date.map(|at| at.0);
        reader.with_something_left(&mut snapshot, covering_date, after, limit + 1, &drafts).await?
    } else {
        reader.next(&mut snapshot, after, limit + 1).await?
    };
    let page = Page::cut(rows, limit, |row| key.encode(&(row.created_at, row.id)));
    let mut whole =
        whole_balances(&mut snapshot, environment_id, customer_id, page.data, catalog, caller.now).await?;
    let mut reckonings = vec![Reckoned::default(); whole.len()];
    if shows_accounts {
        let shown = whole.iter().map(|whole| whole.balance.clone()).collect();
        let accounts = accounts(&mut snapshot, environment_id, customer_id, shown, &drafts).await?;
        reckonings = accounts.iter().map(|account| reckoned(account, asked, caller.now)).collect();
        for (whole, account) in whole.iter_mut().zip(accounts) {
            whole.balance = account.balance;
        }
    }
    let data = whole.iter().zip(reckonings).map(|(whole, reckoned)| view(whole, reckoned)).collect();
    Ok(axum::Json(Page { data, next_page: page.next_page }))
}

fn filter(request: &ListBalances, scope: &Scope) -> BalanceFilter {
    let instant = |timestamp: Option<Timestamp>| timestamp.map(|timestamp| timestamp.0);
    BalanceFilter {
        kind: scope.kind,
        id: scope.id,
        covering_date: instant(request.covering_date),
        starting_at: instant(request.starting_at),
        effective_before: instant(request.effective_before),
        include_contract_balances: scope.include_contract_balances,
        include_archived: request.include_archived,
        access_type: scope.access_type,
    }
}

/// Reads balances that a filter lets through.
struct Reader {
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    filter: BalanceFilter,
    now: Instant,
}

impl Reader {
    async fn next(
        &self,
        db: &mut PgConnection,
        after: Option<(Instant, Uuid)>,
        count: usize,
    ) -> Result<Vec<Balance>, sqlx::Error> {
        balance::list(db, self.environment_id, self.customer_id, &self.filter, after, count).await
    }

    /// The next balances of which something is left. Only those are looked at that may be drawn now: of all others nothing
    /// is, however many there are.
    async fn with_something_left(
        mut self,
        db: &mut PgConnection,
        covering_date: Option<Instant>,
        mut after: Option<(Instant, Uuid)>,
        count: usize,
        drafts: &Drafts,
    ) -> Result<Vec<Balance>, sqlx::Error> {
        self.filter.covering_date = Some(self.now);
        let covers = |balance: &Balance| {
            covering_date
                .is_none_or(|at| balance.terms.segments.iter().any(|segment| segment.period().contains(at)))
        };
        let mut found = Vec::new();
        loop {
            let rows = self.next(db, after, count).await?;
            let is_last = rows.len() < count;
            after = rows.last().map(|row| (row.created_at, row.id.0)).or(after);
            let rows = rows.into_iter().filter(covers).collect();
            let accounts = accounts(db, self.environment_id, self.customer_id, rows, drafts).await?;
            let some = accounts.into_iter().filter(|account| account.balance_at(self.now) != zero());
            found.extend(some.map(|account| account.balance));
            if is_last || found.len() >= count {
                found.truncate(count);
                return Ok(found);
            }
        }
    }
}

pub fn doc_of_commits(operation: TransformOperation) -> TransformOperation {
    described(operation.id("listCustomerCommits").summary("List the commits of a customer"))
}

pub fn doc_of_credits(operation: TransformOperation) -> TransformOperation {
    described(operation.id("listCustomerCredits").summary("List the credits of a customer"))
}

pub fn doc_of_balances(operation: TransformOperation) -> TransformOperation {
    described(operation.id("listCustomerBalances").summary("List the commits and credits of a customer"))
}

fn described(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.tag("Credits and commits").description(
        "By creation. Those of contracts only if asked for. Balances and ledgers are worked out as they are read, with what \
         drafts draw: entries dated in the future are pending.",
    )
}
