//! Holding a composite against the products that it shares in.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::Timeline;
use super::composite::{Circle, Composites, Named, circle_through, member_problems};
use super::store;
use crate::error::ApiError;
use crate::id::{EnvironmentId, ProductId};
use crate::time::{Instant, shown};

/// 400 where a composite, with the states that a request gives it from an instant on (unset: since ever), names what it
/// cannot share in, or shares in itself over other composites. `before` are the products that it named already.
///
/// Two changes of composites that contradict each other wait for each other here, and the second is refused.
pub async fn check_composite(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: ProductId,
    states: Timeline,
    from: Option<Instant>,
    before: &[ProductId],
) -> Result<(), ApiError> {
    store::lock_composites(db, environment_id).await?;
    let named: BTreeSet<Uuid> = states
        .during(from.unwrap_or(Instant::MIN_UTC), None)
        .flat_map(|version| version.state.member_ids())
        .map(|id| id.0)
        .collect();
    let named: Vec<Uuid> = named.into_iter().collect();
    let named = store::find_many(db, environment_id, &named).await?;
    let named: BTreeMap<ProductId, Named> = named
        .into_iter()
        .map(|product| {
            let is_archived = product.archived_at.is_some();
            (product.id, Named { product_type: product.product_type, is_archived })
        })
        .collect();
    let mut composites: Composites = store::composites(db, environment_id)
        .await?
        .into_iter()
        .map(|product| (product.id, product.timeline()))
        .collect();
    let mut problems = member_problems(&states, from, before, &named);
    composites.insert(id, states);
    if let Some(Circle { members, since }) = circle_through(&composites, id, from) {
        let name_of = |id: &ProductId| {
            let state = composites[id].at(since.unwrap_or(Instant::MIN_UTC));
            format!("`{}`", state.name)
        };
        let way: Vec<String> = members.iter().chain([&id]).map(name_of).collect();
        let when =
            since.filter(|since| Some(*since) > from).map(|since| format!(" from {} on", shown(since)));
        let when = when.unwrap_or_default();
        let way = way.join(" shares in ");
        problems.push(format!("include_composite_spend: leads in a circle{when}: {way}"));
    }
    if problems.is_empty() { Ok(()) } else { Err(ApiError::BadRequest(problems.join("; "))) }
}
