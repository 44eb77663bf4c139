//! The timelines of a card in the order in which its rates are listed: by the card's products, then by group
//! values, then by billing frequency.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::entry::{RateEntry, TimelineKey};
use super::selector::Selection;
use super::store::{self, CardProduct};
use crate::catalog::product::ProductState;
use crate::catalog::rate_card::{self, CardUnits};
use crate::error::ApiError;
use crate::id::{EnvironmentId, ProductId, RateCardId};
use crate::money::CreditType;
use crate::time::Instant;

/// Where a timeline stands in that order: the place of its product on the card, and its key.
pub type Place = (i32, TimelineKey);

/// What a page of a card's rates is made from.
pub struct CardRates {
    units: CardUnits,
    /// Each with its state at the instant that is asked for.
    products: Vec<(CardProduct, ProductState)>,
    entries: Vec<RateEntry>,
}

/// What one product costs at one combination of group values, or at one billing frequency.
pub struct Timeline<'a> {
    pub key: &'a TimelineKey,
    /// The place of the product on the card.
    position: i32,
    /// The product as it is shown.
    pub state: &'a ProductState,
    /// Of all its prices.
    pub unit: CreditType,
    /// In the order of addition.
    pub entries: Vec<&'a RateEntry>,
}

impl Timeline<'_> {
    #[must_use]
    pub fn place(&self) -> (i32, &TimelineKey) {
        (self.position, self.key)
    }
}

impl CardRates {
    /// Reads the products that the selection may pick as they are at `at`, from the one at `from` on, and their
    /// rates; 404 for an unknown card.
    pub async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        id: RateCardId,
        at: Instant,
        selection: &Selection,
        from: Option<&Place>,
    ) -> Result<Self, ApiError> {
        let card = rate_card::find(db, environment_id, id).await?;
        let card = card.ok_or_else(|| ApiError::not_found("rate card", id))?;
        let units = rate_card::units(db, environment_id, id, card.unit()).await?;
        let mut products = Vec::new();
        for on_card in store::card_products(db, environment_id, id).await? {
            let state = on_card.product.timeline().at(at).clone();
            let is_reached = from.is_none_or(|(position, key)| {
                (on_card.position, on_card.product.id) >= (*position, key.product_id)
            });
            if is_reached && selection.may_select(on_card.product.id, &state) {
                products.push((on_card, state));
            }
        }
        let product_ids: Vec<Uuid> = products.iter().map(|(on_card, _)| on_card.product.id.0).collect();
        let entries = store::entries_of_products(db, environment_id, id, &product_ids).await?;
        Ok(Self { units, products, entries })
    }

    /// The selected timelines, from the place `from` on.
    #[must_use]
    pub fn timelines(&self, selection: &Selection, from: Option<&Place>) -> Vec<Timeline<'_>> {
        let mut by_product: BTreeMap<ProductId, BTreeMap<&TimelineKey, Vec<&RateEntry>>> = BTreeMap::new();
        for entry in &self.entries {
            let of_product = by_product.entry(entry.key.product_id).or_default();
            of_product.entry(&entry.key).or_default().push(entry);
        }
        let mut timelines = Vec::new();
        for (on_card, state) in &self.products {
            let unit = self.units.find(on_card.credit_type_id).expect("a card prices in its units alone");
            for (key, entries) in by_product.remove(&on_card.product.id).unwrap_or_default() {
                let timeline =
                    Timeline { key, position: on_card.position, state, unit: unit.clone(), entries };
                let is_reached = from.is_none_or(|(position, key)| timeline.place() >= (*position, key));
                if is_reached && selection.selects(key, state) {
                    timelines.push(timeline);
                }
            }
        }
        timelines
    }
}
