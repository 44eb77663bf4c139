//! The timelines of a card in the order in which its rates are listed: by the card's products, then by group
//! values.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::entry::{GroupValues, RateEntry};
use super::selector::Selection;
use super::store::{self, CardProduct};
use crate::catalog::product::ProductState;
use crate::catalog::rate_card;
use crate::error::ApiError;
use crate::id::{EnvironmentId, ProductId, RateCardId};
use crate::money::CreditType;
use crate::time::Instant;

/// Where a timeline stands in that order: the place of its product on the card, the product, the group values.
pub type Place = (i32, ProductId, GroupValues);

/// What a page of a card's rates is made from.
pub struct CardRates {
    pub unit: CreditType,
    /// Each with its state at the instant that is asked for.
    products: Vec<(CardProduct, ProductState)>,
    entries: Vec<RateEntry>,
}

/// What one product costs at one combination of group values.
pub struct Timeline<'a> {
    on_card: &'a CardProduct,
    /// The product as it is shown.
    pub state: &'a ProductState,
    pub values: &'a GroupValues,
    /// In the order of addition.
    pub entries: Vec<&'a RateEntry>,
}

impl Timeline<'_> {
    pub fn product_id(&self) -> ProductId {
        self.on_card.product.id
    }

    pub fn place(&self) -> (i32, ProductId, &GroupValues) {
        (self.on_card.position, self.product_id(), self.values)
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
        let mut products = Vec::new();
        for on_card in store::card_products(db, environment_id, id).await? {
            let state = on_card.product.timeline().at(at).clone();
            let is_reached = from.is_none_or(|(position, product_id, _)| {
                (on_card.position, on_card.product.id) >= (*position, *product_id)
            });
            if is_reached && selection.may_select(on_card.product.id, &state) {
                products.push((on_card, state));
            }
        }
        let product_ids: Vec<Uuid> = products.iter().map(|(on_card, _)| on_card.product.id.0).collect();
        let entries = store::entries_of_products(db, environment_id, id, &product_ids).await?;
        Ok(Self { unit: card.unit(), products, entries })
    }

    /// The selected timelines, from the place `from` on.
    pub fn timelines(&self, selection: &Selection, from: Option<&Place>) -> Vec<Timeline<'_>> {
        let mut by_product: BTreeMap<ProductId, BTreeMap<&GroupValues, Vec<&RateEntry>>> = BTreeMap::new();
        for entry in &self.entries {
            let of_product = by_product.entry(entry.product_id).or_default();
            of_product.entry(&entry.pricing_group_values).or_default().push(entry);
        }
        let mut timelines = Vec::new();
        for (on_card, state) in &self.products {
            let product_id = on_card.product.id;
            for (values, entries) in by_product.remove(&product_id).unwrap_or_default() {
                let timeline = Timeline { on_card, state, values, entries };
                let is_reached = from.is_none_or(|(position, from_id, values)| {
                    timeline.place() >= (*position, *from_id, values)
                });
                if is_reached && selection.selects(product_id, state, values) {
                    timelines.push(timeline);
                }
            }
        }
        timelines
    }
}
