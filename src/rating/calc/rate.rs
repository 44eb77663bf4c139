use std::collections::BTreeMap;
use std::slice;

use super::RatingFault;
use super::composite::{OtherContracts, Spend};
use super::cut::Cuts;
use super::quantity::MeteredUsage;
use super::stretch::{Basis, Stretch};
use super::subscription::subscription_stretch;
use super::usage::usage_stretches;
use crate::catalog::product::ProductType;
use crate::id::{CreditTypeId, ProductId};
use crate::rating::terms::{Agreement, ProductTerms, Usage};
use crate::time::Instant;

/// Where something begins or ends that may pay for a composite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: Instant,
    /// The unit that it pays in.
    pub unit: CreditTypeId,
    /// It pays for everything, so for what custom pricing units come to as well.
    pub is_open: bool,
}

/// Who pays for what is priced, before anything that is a share of it is.
pub trait Payment<'a> {
    /// Whether anything may be paid at all.
    fn may_pay(&self) -> bool;

    /// Where what may pay for a composite begins or ends.
    fn marks(&self, composite: &'a ProductTerms) -> Vec<Mark>;

    /// Marks what is paid for of what is charged: first of usage, then of subscriptions, then of composites. Usage may be cut.
    fn pay(&mut self, stretches: &mut BTreeMap<ProductId, Vec<Stretch<'a>>>);
}

/// Nothing pays: everything is due.
pub struct NoPayment;

impl<'a> Payment<'a> for NoPayment {
    fn may_pay(&self) -> bool {
        false
    }

    fn marks(&self, _: &'a ProductTerms) -> Vec<Mark> {
        Vec::new()
    }

    fn pay(&mut self, _: &mut BTreeMap<ProductId, Vec<Stretch<'a>>>) {}
}

/// What a statement charges: of one product after the other, in the card's order, the stretches by time and then group values.
///
/// (A large contract has a hundred thousand stretches. Whoever makes lines of one product's before it asks for the next one's
/// finds them in the processor's cache, and need not hold them all.)
pub struct Rated<'r, 'a> {
    agreement: &'r Agreement<'a>,
    metered: MeteredUsage<'a>,
    cuts: &'r Cuts,
    /// The products whose stretches are not priced yet, or are among the `known`.
    products: slice::Iter<'a, ProductTerms>,
    known: BTreeMap<ProductId, Vec<Stretch<'a>>>,
}

impl<'a> Iterator for Rated<'_, 'a> {
    type Item = Vec<Stretch<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let agreement = self.agreement;
        let product = self.products.next()?;
        let known = self.known.remove(&product.product_id);
        let mut stretches = match (product.product_type, known) {
            (_, Some(known)) => known,
            (ProductType::Usage, None) => usage_stretches(agreement, product, &self.metered, self.cuts),
            (ProductType::Subscription, None) => {
                subscription_stretch(agreement, product).into_iter().collect()
            }
            (ProductType::Composite | ProductType::Fixed | ProductType::ProService, None) => Vec::new(),
        };
        stretches.retain(|stretch| stretch.is_charged(&agreement.statement));
        Some(stretches)
    }
}

/// Prices a statement: what is charged of each product, and what of it is paid.
///
/// `usage` is what the contract bills, in the segments of `cuts`. Usage whose group values have no rate, or that falls
/// where there is no rate or no entitlement, is charged nothing.
pub fn rate<'r, 'a>(
    agreement: &'r Agreement<'a>,
    usage: &'a Usage,
    cuts: &'r Cuts,
    others: &OtherContracts<'a>,
    payment: &mut impl Payment<'a>,
) -> Result<Rated<'r, 'a>, RatingFault> {
    let products = &agreement.terms.products;
    let metered = MeteredUsage::new(agreement.terms, usage);
    let of_type = |wanted| products.iter().filter(move |product| product.product_type == wanted);
    let mut known = BTreeMap::new();
    // Only shares and what pays need to know of all that is used before any of it is charged.
    if payment.may_pay() || of_type(ProductType::Composite).next().is_some() {
        let mut stretches = rate_metered(agreement, &metered, cuts);
        payment.pay(&mut stretches);
        let mut subscriptions: BTreeMap<ProductId, Vec<Stretch<'a>>> = of_type(ProductType::Subscription)
            .map(|product| {
                (product.product_id, subscription_stretch(agreement, product).into_iter().collect())
            })
            .collect();
        payment.pay(&mut subscriptions);
        let marks = of_type(ProductType::Composite)
            .map(|composite| (composite.product_id, payment.marks(composite)))
            .filter(|(_, marks)| !marks.is_empty())
            .collect();
        let mut spend = Spend { agreement, others, stretches, marks };
        spend.add_composites()?;
        known = spend.stretches;
        let mut composites: BTreeMap<ProductId, Vec<Stretch<'a>>> = of_type(ProductType::Composite)
            .filter_map(|composite| known.remove_entry(&composite.product_id))
            .map(|(id, stretches)| (id, charged_of_composite(stretches)))
            .collect();
        payment.pay(&mut composites);
        known.append(&mut subscriptions);
        known.append(&mut composites);
    }
    Ok(Rated { agreement, metered, cuts, products: products.iter(), known })
}

/// Prices what was used, by product: all that was counted, whether it is charged or not.
#[must_use]
pub fn rate_usage<'a>(
    agreement: &Agreement<'a>,
    usage: &'a Usage,
    cuts: &Cuts,
) -> BTreeMap<ProductId, Vec<Stretch<'a>>> {
    rate_metered(agreement, &MeteredUsage::new(agreement.terms, usage), cuts)
}

fn rate_metered<'a>(
    agreement: &Agreement<'a>,
    metered: &MeteredUsage<'a>,
    cuts: &Cuts,
) -> BTreeMap<ProductId, Vec<Stretch<'a>>> {
    let products = agreement.terms.products.iter();
    let usage_products = products.filter(|product| product.product_type == ProductType::Usage);
    usage_products
        .map(|product| (product.product_id, usage_stretches(agreement, product, metered, cuts)))
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
