//! The terms of rate cards, worked out once for each state of the catalog.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;

use super::load::load_terms;
use super::terms::Terms;
use crate::catalog::version::CatalogVersion;
use crate::id::{EnvironmentId, RateCardId};
use crate::memo::Memo;

/// Rates that are remembered, of all cards together: some hundred megabytes.
const RATES_MAX: u64 = 250_000;

static KNOWN: LazyLock<Memo<(CatalogVersion, Option<RateCardId>), Terms>> =
    LazyLock::new(|| Memo::new(RATES_MAX, 250));

/// The terms of a rate card in a state of the catalog, which the transaction sees; in none that has a name they are loaded.
pub async fn terms_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: Option<RateCardId>,
    version: Option<CatalogVersion>,
) -> Result<Arc<Terms>, sqlx::Error> {
    let load = load_terms(db, environment_id, rate_card_id, None);
    KNOWN.find_or(version.map(|version| (version, rate_card_id)), rates, load).await
}

/// How many rates and products there are.
fn rates(terms: &Terms) -> usize {
    terms.products.iter().map(|product| 1 + product.rates.entries().count()).sum()
}
