//! Why each line is what it is: read off the calculation that made it. Pure.

use super::view::{
    AppliedOverride, BasisExplanation, BeatenOverride, ExplainedLine, Explanation, LaterPrice,
    MemberExplanation, PriceExplanation, UsageExplanation, UsagePiece,
};
use crate::catalog::rate::{GroupValues, Rate};
use crate::contract::rate_override::{Override, OverrideKind};
use crate::invoice::calc::owed_in;
use crate::invoice::model::{Invoice, LineItem};
use crate::money::{Decimal, Number, is_positive};
use crate::rating::calc::{Basis, Pricing, Step, Stretch};
use crate::rating::{Agreement, UnitConversion};
use crate::time::Instant;

/// How the lines of an invoice come about, in their order: first those of the stretches, then conversions of custom
/// pricing units.
#[must_use]
pub fn explanations(
    agreement: &Agreement<'_>,
    stretches: &[Stretch<'_>],
    invoice: &Invoice,
) -> Vec<Explanation> {
    let mut explanations = Vec::new();
    let mut next = 0;
    for stretch in stretches {
        let count = stretch.charges().len();
        let lines = &invoice.line_items[next..next + count];
        explanations.push(of_stretch(agreement, stretch, next, lines));
        next += count;
    }
    let is_owed = |conversion: &&UnitConversion| is_positive(&owed_in(&conversion.unit, invoice));
    let conversions = agreement.terms.conversions.iter().filter(is_owed);
    for (number, conversion) in (next..).zip(conversions) {
        explanations.push(of_conversion(conversion, number, &invoice.line_items[number]));
    }
    explanations
}

/// A line of a scheduled charge, which is its own explanation.
#[must_use]
pub fn of_scheduled_charge(number: usize, line: &LineItem) -> Option<Explanation> {
    let scheduled_charge_id = line.scheduled_charge_id?;
    Some(of_line(number, line, BasisExplanation::ScheduledCharge { scheduled_charge_id }))
}

fn of_conversion(conversion: &UnitConversion, number: usize, line: &LineItem) -> Explanation {
    let basis = BasisExplanation::UnitConversion {
        custom_credit_type: conversion.unit.clone(),
        quantity: line.quantity.clone(),
        fiat_per_custom_credit: Number(conversion.fiat_per_unit.clone()),
    };
    of_line(number, line, basis)
}

fn of_line(number: usize, line: &LineItem, basis: BasisExplanation) -> Explanation {
    let explained = ExplainedLine {
        line_item: number,
        tier: None,
        quantity: line.quantity.clone(),
        unit_price: line.unit_price.clone(),
        total: line.total.clone(),
        rate_tier: None,
        override_id: None,
        override_tier: None,
    };
    Explanation {
        product_id: line.product_id,
        name: line.name.clone(),
        starting_at: line.starting_at,
        ending_before: line.ending_before,
        pricing_group_values: None,
        presentation_group_values: None,
        credit_type: line.credit_type.clone(),
        basis,
        price: None,
        later_prices: Vec::new(),
        lines: vec![explained],
        total: line.total.clone(),
    }
}

fn of_stretch(
    agreement: &Agreement<'_>,
    stretch: &Stretch<'_>,
    first: usize,
    lines: &[LineItem],
) -> Explanation {
    let Stretch { product, combination, period, pricing, .. } = stretch;
    let is_minimum = matches!(stretch.basis, Basis::Minimum(_));
    // A stretch may begin within the time of its price, and not where the price does.
    let begun = pricing.continued.iter().take_while(|(starting_at, _)| *starting_at <= period.start);
    let first_reason = begun.last().map_or(&**pricing, |(_, pricing)| pricing);
    let is_later =
        |(starting_at, _): &&(Instant, Pricing<'_>)| period.start < *starting_at && *starting_at < period.end;
    let later = |(starting_at, pricing): &(Instant, Pricing<'_>)| LaterPrice {
        starting_at: *starting_at,
        price: price(pricing, &combination.pricing),
    };
    let values = |values: &GroupValues| Some(values.clone()).filter(|values| !values.is_empty());
    Explanation {
        product_id: Some(product.product_id),
        name: product.states.before(period.end).name.clone(),
        starting_at: Some(period.start),
        ending_before: Some(period.end),
        pricing_group_values: values(&combination.pricing),
        presentation_group_values: values(&combination.presentation),
        credit_type: pricing.unit.clone(),
        basis: basis(agreement, stretch),
        price: Some(price(first_reason, &combination.pricing)),
        later_prices: pricing.continued.iter().filter(is_later).map(later).collect(),
        lines: (first..)
            .zip(lines)
            .map(|(number, line)| explained(number, line, pricing, is_minimum))
            .collect(),
        total: Number(lines.iter().map(|line| &line.total.0).sum()),
    }
}

fn basis(agreement: &Agreement<'_>, stretch: &Stretch<'_>) -> BasisExplanation {
    match &stretch.basis {
        Basis::Usage { before, steps } => {
            // It meters alike all along; but where all is charged at the end, as it does then.
            let state = stretch.product.states.before(stretch.period.end);
            let (billable_metric_id, _) =
                agreement.terms.metric_of(state).expect("only usage products are charged by usage");
            let piece = |step: &Step| UsagePiece {
                starting_at: step.period.start,
                ending_before: step.period.end,
                metered: Number(step.metered.clone()),
                quantity: Number(step.quantity.clone()),
            };
            BasisExplanation::Usage(UsageExplanation {
                billable_metric_id,
                quantity_conversion: state.quantity_conversion.value().cloned(),
                quantity_rounding: state.quantity_rounding.value().cloned(),
                before: Number(before.clone()),
                pieces: steps.iter().map(piece).collect(),
                quantity: Number(steps.iter().map(|step| &step.quantity).sum()),
            })
        }
        Basis::Spend { before, members, .. } => BasisExplanation::Spend {
            before: Number(before.clone()),
            spend: Number(members.iter().map(|member| &member.spend).sum::<Decimal>()),
            members: members
                .iter()
                .map(|member| MemberExplanation {
                    product_id: member.product_id,
                    contract_id: member.contract_id,
                    spend: Number(member.spend.clone()),
                })
                .collect(),
        },
        Basis::Minimum(due) => BasisExplanation::Minimum {
            minimum: Number(due.minimum.clone()),
            reached: Number(due.reached.clone()),
        },
        Basis::Subscription { quantity, is_prorated, .. } => {
            BasisExplanation::Subscription { quantity: Number(quantity.clone()), is_prorated: *is_prorated }
        }
    }
}

fn price(pricing: &Pricing<'_>, group_values: &GroupValues) -> PriceExplanation {
    let entry = pricing.entry;
    let override_type = |one: &Override| one.kind.as_ref().map(OverrideKind::override_type);
    let applied = |one: &&Override| AppliedOverride { id: one.id, override_type: override_type(one) };
    let beaten: Vec<BeatenOverride> = pricing
        .chosen
        .lost
        .iter()
        .map(|lost| BeatenOverride {
            id: lost.rate_override.id,
            override_type: override_type(lost.rate_override),
            reason: lost.reason,
        })
        .collect();
    PriceExplanation {
        rate_entry: entry.added,
        rate_added_at: entry.created_at,
        rate_starting_at: entry.starting_at,
        rate_ending_before: entry.ending_before,
        list_rate: Rate::new(&entry.price, group_values, pricing.list_unit),
        rate: Rate::new(&pricing.price, group_values, pricing.unit),
        overrides: pricing.chosen.chain.iter().map(applied).collect(),
        beaten_overrides: beaten,
    }
}

fn explained(number: usize, line: &LineItem, pricing: &Pricing<'_>, is_minimum: bool) -> ExplainedLine {
    // The source of a tier stands at its place, that of a price without tiers alone.
    let place = line.tier.as_ref().map_or(0, |tier| tier.level as usize - 1);
    let source = pricing.sources.get(place).filter(|_| !is_minimum);
    let listed_tier = line.tier.as_ref().map(|tier| tier.level as usize);
    ExplainedLine {
        line_item: number,
        tier: line.tier.clone(),
        quantity: line.quantity.clone(),
        unit_price: line.unit_price.clone(),
        total: line.total.clone(),
        rate_tier: source.map_or(listed_tier, |source| source.rate_tier),
        override_id: source.and_then(|source| source.override_id),
        override_tier: source.and_then(|source| source.override_tier),
    }
}
