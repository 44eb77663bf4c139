use std::collections::BTreeMap;

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

/// What a statement charges: for each product in the card's order its stretches, by time. (They stay in a list for each: one of
/// all would be a copy of tens of megabytes for a large contract.)
#[derive(Debug)]
pub struct Charged<'a>(Vec<Vec<Stretch<'a>>>);

impl<'a> Charged<'a> {
    pub fn iter(&self) -> impl Iterator<Item = &Stretch<'a>> {
        self.0.iter().flatten()
    }
}

/// Prices a statement: for each product in the card's order what is charged, by time and group values, and what of it is paid.
///
/// `usage` is what the contract bills, in the segments of `cuts`. Usage whose group values have no rate, or that falls
/// where there is no rate or no entitlement, is charged nothing.
pub fn rate<'a>(
    agreement: &Agreement<'a>,
    usage: &Usage,
    cuts: &Cuts,
    others: &OtherContracts<'a>,
    payment: &mut impl Payment<'a>,
) -> Result<Charged<'a>, RatingFault> {
    let products = &agreement.terms.products;
    let metered = MeteredUsage::new(agreement.terms, usage);
    let of_type = |wanted| products.iter().filter(move |product| product.product_type == wanted);
    let mut of_product = BTreeMap::new();
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
        of_product = spend.stretches;
        let mut composites: BTreeMap<ProductId, Vec<Stretch<'a>>> = of_type(ProductType::Composite)
            .filter_map(|composite| of_product.remove_entry(&composite.product_id))
            .map(|(id, stretches)| (id, charged_of_composite(stretches)))
            .collect();
        payment.pay(&mut composites);
        of_product.append(&mut subscriptions);
        of_product.append(&mut composites);
    }
    let mut charged = Vec::with_capacity(products.len());
    for product in products {
        let known = of_product.remove(&product.product_id);
        let mut stretches = match (product.product_type, known) {
            (_, Some(known)) => known,
            (ProductType::Usage, None) => usage_stretches(agreement, product, &metered, cuts),
            (ProductType::Subscription, None) => {
                subscription_stretch(agreement, product).into_iter().collect()
            }
            (ProductType::Composite | ProductType::Fixed | ProductType::ProService, None) => Vec::new(),
        };
        stretches.retain(|stretch| stretch.is_charged(&agreement.statement));
        charged.push(stretches);
    }
    Ok(Charged(charged))
}

/// Prices what was used, by product: all that was counted, whether it is charged or not.
#[must_use]
pub fn rate_usage<'a>(
    agreement: &Agreement<'a>,
    usage: &Usage,
    cuts: &Cuts,
) -> BTreeMap<ProductId, Vec<Stretch<'a>>> {
    rate_metered(agreement, &MeteredUsage::new(agreement.terms, usage), cuts)
}

fn rate_metered<'a>(
    agreement: &Agreement<'a>,
    metered: &MeteredUsage<'_>,
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
