//! Holding rules against the rate card of their contract and the products on it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::input::named_products;
use super::terms::{OverrideKind, OverwriteRate, Specifier, Targeting};
use crate::catalog::product::{self, ProductRow, ProductType};
use crate::catalog::rate::{self, Price};
use crate::catalog::rate_card::{self, CardUnits, RateCardRow};
use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId, ProductId};
use crate::time::Instant;

/// What is known of a card and of the products that rules name.
pub struct Card {
    /// Of a contract without a card there are none.
    units: Option<CardUnits>,
    products: BTreeMap<ProductId, ProductRow>,
    /// The unit of those of them that are on the card.
    units_on_card: BTreeMap<ProductId, CreditTypeId>,
}

impl Card {
    /// Reads it in a fixed number of queries. The products are kept from being changed until the transaction ends.
    pub async fn load<'a>(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        card: Option<&RateCardRow>,
        targetings: impl Iterator<Item = &'a Targeting>,
    ) -> Result<Self, sqlx::Error> {
        let mut ids: Vec<Uuid> =
            targetings.flat_map(|targeting| named_products(targeting).into_values()).map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let products = product::share_many(db, environment_id, &ids).await?;
        let products = products.into_iter().map(|product| (product.id, product)).collect();
        let Some(card) = card else {
            return Ok(Self { units: None, products, units_on_card: BTreeMap::new() });
        };
        let units = rate_card::units_for_new_rates(db, environment_id, card).await?;
        let on_card = rate::units_on_card(db, environment_id, card.id, &ids).await?;
        Ok(Self { units: Some(units), products, units_on_card: on_card })
    }

    /// 404 for a product that is not there, whatever the card.
    pub fn check_existence(&self, path: &str, targeting: &Targeting) -> Result<(), ApiError> {
        let unknown = named_products(targeting).into_iter().find(|(_, id)| !self.products.contains_key(id));
        match unknown {
            Some((name, id)) => Err(ApiError::NotFound(format!("{path}.{name}: product {id} was not found"))),
            None => Ok(()),
        }
    }

    /// Whether a rule makes sense on the card from its start on: 404 for an unknown product, 400 for one that the card
    /// does not price and for an OVERWRITE that does not fit its product. The unit of an OVERWRITE that names none is
    /// filled in: that of the product's rates, which never changes. `path` is where the rule is in the request.
    pub fn check(
        &self,
        path: &str,
        targeting: &Targeting,
        kind: &mut Option<OverrideKind>,
        starting_at: Instant,
        ending_before: Option<Instant>,
    ) -> Result<(), ApiError> {
        self.check_existence(path, targeting)?;
        for (name, id) in named_products(targeting) {
            if !self.units_on_card.contains_key(&id) {
                let reason = format!("No such product in rate card: {id}");
                return Err(ApiError::field(&format!("{path}.{name}"), reason));
            }
        }
        let Some(OverrideKind::Overwrite(rate)) = kind else { return Ok(()) };
        let everything = [Specifier::default()];
        let specifiers =
            if targeting.specifiers.is_empty() { &everything[..] } else { &targeting.specifiers };
        for (index, specifier) in specifiers.iter().enumerate() {
            let id = targeting.product_id.or(specifier.product_id).expect("an OVERWRITE names its product");
            let product = &self.products[&id];
            let place = if targeting.specifiers.is_empty() {
                path.to_owned()
            } else {
                format!("{path}.override_specifiers[{index}]")
            };
            check_overwrite(&place, specifier, product, &rate.price, (starting_at, ending_before))?;
            let rate_type = rate.price.rate_type().check_product(product.product_type);
            let rate_path = |name: &str| format!("{path}.overwrite_rate.{name}");
            rate_type.map_err(|reason| ApiError::field(&rate_path("rate_type"), reason))?;
        }
        let reason = self.set_unit(rate, targeting, specifiers).err();
        match reason {
            Some(reason) => Err(ApiError::field(&format!("{path}.overwrite_rate.credit_type_id"), reason)),
            None => Ok(()),
        }
    }

    fn set_unit(
        &self,
        rate: &mut OverwriteRate,
        targeting: &Targeting,
        specifiers: &[Specifier],
    ) -> Result<(), String> {
        let units = self.units.as_ref().expect("the product is on the card");
        if let Some(given) = rate.credit_type_id {
            return units.for_new_rate(given).map(|_| ());
        }
        let products =
            specifiers.iter().filter_map(|specifier| targeting.product_id.or(specifier.product_id));
        let of_products: BTreeSet<CreditTypeId> = products.map(|id| self.units_on_card[&id]).collect();
        if of_products.len() > 1 {
            return Err("is required where the products are priced in different units".to_owned());
        }
        rate.credit_type_id = of_products.into_iter().next();
        Ok(())
    }
}

/// Whether what an OVERWRITE is aimed at fits the product: the group values, and for a subscription the frequency.
fn check_overwrite(
    path: &str,
    specifier: &Specifier,
    product: &ProductRow,
    price: &Price,
    (starting_at, ending_before): (Instant, Option<Instant>),
) -> Result<(), ApiError> {
    let field = |name: &str, reason: String| ApiError::field(&format!("{path}.{name}"), reason);
    let is_legacy = matches!(price, Price::Subscription { .. });
    match specifier.billing_frequency {
        // A legacy rate has no frequency that could be named.
        Some(_) if is_legacy => {
            let reason = "is not for an OVERWRITE of the rate type SUBSCRIPTION".to_owned();
            return Err(field("billing_frequency", reason));
        }
        None if product.product_type == ProductType::Subscription && !is_legacy => {
            let reason = "is required for an OVERWRITE of a SUBSCRIPTION product".to_owned();
            return Err(field("billing_frequency", reason));
        }
        _ => {}
    }
    let values = &specifier.pricing_group_values;
    if values.is_empty() {
        return Ok(());
    }
    let timeline = product.timeline();
    let is_whole =
        |key: &[String]| key.len() == values.len() && key.iter().all(|name| values.contains_key(name));
    let mut keys = timeline.during(starting_at, ending_before).map(|version| version.state.pricing_key());
    if keys.any(is_whole) {
        return Ok(());
    }
    Err(field(
        "pricing_group_values",
        match timeline.at(starting_at).pricing_key() {
            [] => "the product has no pricing group key".to_owned(),
            key => format!("must have all of the keys {} for an OVERWRITE, or none", key.join(", ")),
        },
    ))
}
