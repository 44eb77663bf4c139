//! `POST /v1/contracts/getContractRateSchedule`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rate_override::calc::{Line, Stretch, effective_price, stretch_at};
use super::rate_override::{self, Names, PresentationValues};
use super::store;
use super::terms::Contract;
use crate::access::{App, Caller};
use crate::catalog::rate::calc::{Segment, segment_at};
use crate::catalog::rate::{
    BillingFrequency, CardRates, CommitRate, GroupValues, Place, Rate, RateSelectorWithProductTags,
    Selection, Timeline,
};
use crate::custom_field::{self, Carries, CustomFields, ManagedEntity};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, ProductId, RateCardId};
use crate::time::Instant;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetContractRateSchedule {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// The instant whose prices are asked for; now when omitted.
    at: Option<Timestamp>,
    /// A rate is shown when it meets any selector; every rate when there is none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    selectors: Vec<RateSelectorWithProductTags>,
}

/// A stretch of time in which a product costs the same under a contract.
#[derive(Serialize, JsonSchema)]
pub struct ContractRateSchedule {
    rate_card_id: RateCardId,
    product_id: ProductId,
    product_name: String,
    product_tags: Vec<String>,
    product_custom_fields: CustomFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing_group_values: Option<GroupValues>,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
    /// Always true: what is not entitled is not shown.
    entitled: bool,
    /// The card's.
    list_rate: Rate,
    /// The price under the contract's overrides, where one applies to the whole line whatever pays for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    override_rate: Option<Rate>,
    /// The card's.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_rate: Option<CommitRate>,
    /// Of flat rates of subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_frequency: Option<BillingFrequency>,
}

/// Where a page ends: the place of the timeline, and the instant that the first page was asked for.
type Position = (Place, Timestamp);

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetContractRateSchedule>,
) -> Result<axum::Json<Page<ContractRateSchedule>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("contract rates", "next_page", environment_id, &request);
    let (after, first_at) = key.decode::<Position>(page.next_page.as_deref())?.unzip();
    let at = request.at.or(first_at).map_or(caller.now, |at| at.0);
    let selection = Selection::new(request.selectors);

    let mut db = app.db.acquire().await?;
    let contract = store::find(&mut db, environment_id, request.customer_id, request.contract_id).await?;
    let contract = contract.ok_or_else(|| ApiError::not_found("contract", request.contract_id))?;
    let is_in_term = contract.starting_at <= at && contract.ending_before.is_none_or(|end| at < end);
    let Some(rate_card_id) = contract.rate_card_id.filter(|_| is_in_term) else {
        return Ok(axum::Json(Page { data: Vec::new(), next_page: None }));
    };
    let rates =
        CardRates::load(&mut db, environment_id, rate_card_id, at, &selection, after.as_ref()).await?;
    let names = rate_override::names(&mut db, environment_id, contract.overrides.iter(), at).await?;
    let timelines = rates.timelines(&selection, after.as_ref());
    let limit = page.limit.get();
    let rows: Vec<(&Timeline<'_>, ContractRateSchedule)> = timelines
        .iter()
        .filter(|timeline| after.as_ref().is_none_or(|(position, key)| timeline.place() > (*position, key)))
        .filter_map(|timeline| {
            let segment = segment_at(&timeline.entries, at)?;
            Some((timeline, shown(&contract, rate_card_id, timeline, &segment, &names, at)?))
        })
        .take(limit + 1)
        .collect();
    let page = Page::cut(rows, limit, |(timeline, _)| key.encode(&(timeline.place(), Timestamp(at))));
    let mut page = page.map(|(_, shown)| shown);
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

/// What a timeline costs under the contract at an instant of its term; nothing where it is not entitled.
///
/// Overrides of presentation group values and of what commits pay for change only a part of a product's usage, which
/// this answer has no place for (our decision). The product has the tags of that instant.
fn shown(
    contract: &Contract,
    rate_card_id: RateCardId,
    timeline: &Timeline<'_>,
    segment: &Segment<'_>,
    names: &Names,
    at: Instant,
) -> Option<ContractRateSchedule> {
    let Timeline { key, state, unit, .. } = timeline;
    let entry = segment.entry;
    let tags = state.tags.as_deref().unwrap_or_default();
    let line = Line {
        product_id: key.product_id,
        tags,
        pricing_group_values: &key.pricing_group_values,
        presentation_group_values: &PresentationValues::new(),
        billing_frequency: key.billing_frequency,
        has_minimum: entry.price.minimum().is_some(),
    };
    let prioritization = contract.multiplier_override_prioritization;
    let Stretch { chosen, entitled, start, end } =
        stretch_at(&contract.overrides, &line, at, prioritization, entry.entitled);
    if !entitled {
        return None;
    }
    let starts = [Some(segment.start), Some(contract.starting_at), start];
    let ends = [segment.end, contract.ending_before, end];
    let list_rate = Rate::new(&entry.price, &key.pricing_group_values, unit);
    let override_rate = chosen.winner().map(|_| {
        let effective = effective_price(&entry.price, entry.credit_type_id, &chosen);
        let unit = effective.unit().and_then(|id| names.units.get(&id)).unwrap_or(unit);
        Rate::new(&effective.price, &key.pricing_group_values, unit)
    });
    Some(ContractRateSchedule {
        rate_card_id,
        product_id: key.product_id,
        product_name: state.name.clone(),
        product_tags: tags.to_vec(),
        product_custom_fields: CustomFields::new(),
        pricing_group_values: list_rate.pricing_group_values.clone(),
        starting_at: starts.into_iter().flatten().max().unwrap_or(contract.starting_at),
        ending_before: ends.into_iter().flatten().min(),
        entitled,
        list_rate,
        override_rate,
        commit_rate: entry.commit_rate.as_ref().map(Into::into),
        billing_frequency: key.billing_frequency,
    })
}

/// The fields of its product.
impl Carries for ContractRateSchedule {
    const ENTITY: ManagedEntity = ManagedEntity::ContractProduct;

    fn entity_id(&self) -> Uuid {
        self.product_id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.product_custom_fields
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getContractRateSchedule")
        .tag("Contracts")
        .summary("Get the rates of a contract at an instant")
        .description(
            "One row for each entitled product and combination of pricing group values, or billing frequency, with the \
             card's rate, the rate under the contract's overrides, and the bounds of the stretch of time in which both \
             stay. Nothing outside the contract's term.",
        )
}
