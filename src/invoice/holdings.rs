//! What a customer holds: its commits and credits in a span of time, and what became of them for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::purse::SeenBalances;
use super::store;
use crate::catalog::product::{self, ProductRow, Timeline};
use crate::catalog::version::CatalogVersion;
use crate::contract::balance::{self, Added, Balance, BalanceType, Rollovers};
use crate::customer::CustomerState;
use crate::drawdown;
use crate::id::{BalanceId, CustomerId, EnvironmentId, ProductId, SegmentId};
use crate::memo::Memo;
use crate::money::Decimal;
use crate::time::{Instant, Period};

/// What is remembered of all customers' balances together, in segments and entries: some ten megabytes.
const GRANTS_MAX: u64 = 50_000;

/// States of the catalog and of the customer, and the span of time.
type Name = (CatalogVersion, CustomerState, Period);

static KNOWN: LazyLock<Memo<Name, Holdings>> = LazyLock::new(|| Memo::new(GRANTS_MAX, 10));

/// How balances are looked at.
#[derive(Clone, Copy)]
pub struct Looking {
    /// The state of the catalog in the snapshot, where products may be known.
    pub catalog: Option<CatalogVersion>,
    /// Whether an invoice is kept with what it saw. (Of a draft nobody asks for it.)
    pub is_kept: bool,
}

/// The balances of a customer, and what became of them for good.
pub struct Holdings {
    /// Those with a segment in `span`, by creation.
    pub balances: Vec<Balance>,
    pub span: Period,
    /// The products that name them.
    pub products: BTreeMap<ProductId, Timeline>,
    /// What finalized invoices drew of each segment: zero or below.
    pub drawn: BTreeMap<SegmentId, Decimal>,
    /// What renewals took over of the customer's balances.
    pub rollovers: Rollovers,
    /// What final true-ups bill of promises: above zero.
    pub trued_up: BTreeMap<SegmentId, Decimal>,
    /// The newest version of any; of an invoice that is kept.
    pub version: Added,
    /// The newest draw of any; of an invoice that is kept.
    pub draw: i64,
    /// The newest update of the products.
    pub product_update: Option<i64>,
}

impl Holdings {
    /// Those of each of these customers in the span of time beside it, as they are.
    pub async fn load_all(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        spans: &BTreeMap<CustomerId, Period>,
        Looking { catalog, is_kept }: Looking,
    ) -> Result<BTreeMap<CustomerId, Self>, sqlx::Error> {
        let spans_of = spans.iter().map(|(customer_id, span)| (*customer_id, *span));
        let balances = balance::drawable(db, environment_id, spans_of).await?;
        let mut of_customers: BTreeMap<CustomerId, Vec<Balance>> = BTreeMap::new();
        let mut ids: Vec<_> = balances.iter().map(|balance| (balance.customer_id, balance.id)).collect();
        for balance in balances {
            of_customers.entry(balance.customer_id).or_default().push(balance);
        }
        let customer_ids: Vec<Uuid> = of_customers.keys().map(|id| id.0).collect();
        let (mut drawn, mut products) = Default::default();
        let (mut rollovers, mut billed, mut newest) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        if !ids.is_empty() {
            rollovers = Rollovers::load_all(db, environment_id, &customer_ids, None).await?;
            ids.extend(rollovers.values().flat_map(Rollovers::origins_of_live));
            drawn = drawdown::drawn(db, environment_id, ids, None).await?;
            if is_kept {
                newest = store::newest_of_balances(db, environment_id, &customer_ids).await?;
            }
            products = load_products(db, environment_id, of_customers.values().flatten(), catalog).await?;
            billed = trued_up(db, environment_id, of_customers.values().flatten()).await?;
        }
        let holdings = |(customer_id, span): (&CustomerId, &Period)| {
            let balances = of_customers.remove(customer_id).unwrap_or_default();
            let rollovers = rollovers.remove(customer_id).unwrap_or_default();
            let segments = || balances.iter().flat_map(|balance| &balance.terms.segments);
            let drawable = segments().map(|segment| segment.id).chain(rollovers.segments_of_live());
            let (version, draw) = newest.remove(customer_id).unwrap_or_default();
            let holdings = Self {
                span: *span,
                drawn: drawable.filter_map(|id| drawn.remove_entry(&id)).collect(),
                trued_up: segments().filter_map(|segment| billed.remove_entry(&segment.id)).collect(),
                rollovers,
                version,
                draw,
                ..Self::empty()
            };
            (*customer_id, holdings.with(balances, &products))
        };
        Ok(spans.iter().map(holdings).collect())
    }

    /// Those of one customer in a span of time, as they are. They may be known by the states of the catalog and of the customer, but
    /// for an invoice that is kept.
    pub async fn find(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        span: Period,
        looking: Looking,
        state: Option<CustomerState>,
    ) -> Result<Arc<Self>, sqlx::Error> {
        let load = async {
            let spans = [(customer_id, span)].into();
            let mut all = Self::load_all(db, environment_id, &spans, looking).await?;
            Ok(all.remove(&customer_id).expect("one for each span"))
        };
        let states = looking.catalog.zip(state).filter(|_| !looking.is_kept);
        let name = states.map(|(catalog, state)| (catalog, state, span));
        KNOWN.find_or(name, Self::weight, load).await
    }

    /// Those of a customer in a span of time, as an invoice saw them.
    pub async fn as_seen(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        span: Period,
        seen: &SeenBalances,
    ) -> Result<Self, sqlx::Error> {
        let balances = balance::drawable_as_of(db, environment_id, customer_id, span, seen.version).await?;
        let rollovers = Rollovers::load(db, environment_id, customer_id, Some(seen.version)).await?;
        let ids = balances.iter().map(|balance| (customer_id, balance.id)).chain(rollovers.origins_of_live());
        let drawn = drawdown::drawn(db, environment_id, ids, Some(seen.draw)).await?;
        let mut products = load_products(db, environment_id, &balances, None).await?;
        for product in products.values_mut() {
            product.updates.retain(|update| Some(update.added) <= seen.product_update);
        }
        let trued_up = seen.trued_up.iter().map(|(id, billed)| (*id, billed.0.clone())).collect();
        let holdings = Self { span, drawn, rollovers, trued_up, ..Self::empty() };
        Ok(holdings.with(balances, &products))
    }

    /// With balances, and those of the products that name them.
    fn with(self, balances: Vec<Balance>, products: &BTreeMap<ProductId, ProductRow>) -> Self {
        let ids: BTreeSet<ProductId> = balances.iter().map(|balance| balance.terms.product_id).collect();
        let own = || ids.iter().filter_map(|id| products.get(id));
        let updates = own().flat_map(|product| &product.updates);
        Self {
            product_update: updates.map(|update| update.added).max(),
            products: own().map(|product| (product.id, product.timeline())).collect(),
            balances,
            ..self
        }
    }

    /// None, at any time.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            balances: Vec::new(),
            span: Period { start: Instant::MIN_UTC, end: Instant::MAX_UTC },
            products: BTreeMap::new(),
            drawn: BTreeMap::new(),
            rollovers: Rollovers::default(),
            trued_up: BTreeMap::new(),
            version: 0,
            draw: 0,
            product_update: None,
        }
    }

    /// What renewals took over of any of the customer's balances, which is not known where there are none.
    #[must_use]
    pub fn known_rollovers(&self) -> Option<&Rollovers> {
        (!self.balances.is_empty()).then_some(&self.rollovers)
    }

    /// Its share of what is remembered.
    fn weight(&self) -> usize {
        let of_balance = |balance: &Balance| {
            2 + balance.terms.segments.len()
                + balance.terms.manual_entries.len()
                + balance.terms.targeting.specifiers.len()
        };
        let taken = self.rollovers.taken_by(None).map(of_balance).sum::<usize>();
        1 + self.balances.iter().map(of_balance).sum::<usize>() + 2 * taken + self.drawn.len()
    }
}

/// The products that name balances.
async fn load_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: impl IntoIterator<Item = &Balance>,
    catalog: Option<CatalogVersion>,
) -> Result<BTreeMap<ProductId, ProductRow>, sqlx::Error> {
    let ids: BTreeSet<Uuid> = balances.into_iter().map(|balance| balance.terms.product_id.0).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let products = product::find_known(db, environment_id, ids, catalog).await?;
    Ok(products.iter().map(|product| (product.id, product.clone())).collect())
}

/// What final true-ups bill of the promises among these balances, each of which has one segment.
async fn trued_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: impl Iterator<Item = &Balance>,
) -> Result<BTreeMap<SegmentId, Decimal>, sqlx::Error> {
    let promises: Vec<&Balance> =
        balances.filter(|balance| balance.balance_type == BalanceType::Postpaid).collect();
    if promises.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<(CustomerId, BalanceId)> =
        promises.iter().map(|balance| (balance.customer_id, balance.id)).collect();
    let mut billed = store::trued_up(db, environment_id, &ids).await?;
    let of_segment = |balance: &Balance| {
        let segment = balance.terms.segments.first()?;
        Some((segment.id, billed.remove(&balance.id)?))
    };
    Ok(promises.into_iter().filter_map(of_segment).collect())
}
