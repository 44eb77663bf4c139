use std::collections::BTreeMap;

use super::RatingFault;
use super::composite::{OtherContracts, Spend};
use super::cut::Cuts;
use super::quantity::MeteredUsage;
use super::stretch::{Basis, Stretch};
use super::subscription::subscription_stretch;
use super::usage::usage_stretches;
use crate::catalog::product::ProductType;
use crate::id::ProductId;
use crate::rating::terms::{Agreement, Usage};

/// Prices a statement: for each product in the card's order what is charged, by time and group values.
///
/// `usage` is what the contract bills, in the segments of `cuts`. Usage whose group values have no rate, or that falls
/// where there is no rate or no entitlement, is charged nothing.
pub fn rate<'a>(
    agreement: &Agreement<'a>,
    usage: &Usage,
    cuts: &Cuts,
    others: &OtherContracts<'a>,
) -> Result<Vec<Stretch<'a>>, RatingFault> {
    let stretches = rate_usage(agreement, usage, cuts);
    let mut spend = Spend { agreement, others, stretches };
    spend.add_composites()?;
    let mut of_product = spend.stretches;
    let mut charged = Vec::with_capacity(of_product.values().map(Vec::len).sum());
    for product in &agreement.terms.products {
        let stretches = match product.product_type {
            ProductType::Subscription => subscription_stretch(agreement, product).into_iter().collect(),
            ProductType::Composite => {
                of_product.remove(&product.product_id).map(charged_of_composite).unwrap_or_default()
            }
            _ => of_product.remove(&product.product_id).unwrap_or_default(),
        };
        let is_charged = |stretch: &Stretch<'_>| {
            stretch.pricing.entitled && stretch.period.start >= agreement.statement.from
        };
        charged.extend(stretches.into_iter().filter(is_charged));
    }
    Ok(charged)
}

/// Prices what was used, by product: all that was counted, whether it is charged or not.
#[must_use]
pub fn rate_usage<'a>(
    agreement: &Agreement<'a>,
    usage: &Usage,
    cuts: &Cuts,
) -> BTreeMap<ProductId, Vec<Stretch<'a>>> {
    let metered = MeteredUsage::new(agreement.terms, usage);
    let products = agreement.terms.products.iter();
    let usage_products = products.filter(|product| product.product_type == ProductType::Usage);
    usage_products
        .map(|product| (product.product_id, usage_stretches(agreement, product, &metered, cuts)))
        .collect()
}

/// The stretches of a composite that become lines: a minimum takes the place of the shares in its unit.
fn charged_of_composite(mut stretches: Vec<Stretch<'_>>) -> Vec<Stretch<'_>> {
    let is_minimum = |stretch: &Stretch<'_>| matches!(stretch.basis, Basis::Minimum(_));
    if let Some(unit) =
        stretches.iter().find(|stretch| is_minimum(stretch)).map(|stretch| stretch.pricing.unit)
    {
        stretches.retain(|stretch| is_minimum(stretch) || stretch.pricing.unit != unit);
    }
    stretches
}
