//! Why each line is what it is: read off the calculation that made it. Pure.

use super::view::{
    AppliedOverride, BasisExplanation, BeatenOverride, ConsideredBalance, DrawnExplanation, ExplainedLine,
    Explanation, LaterPrice, MemberExplanation, PriceExplanation, UsageExplanation, UsagePiece,
};
use crate::catalog::rate::{GroupValues, Rate};
use crate::contract::balance::{AccessType, Balance, CommitRateType};
use crate::contract::rate_override::{Override, OverrideKind, OverrideType};
use crate::drawdown::calc::{Candidate, Conversion, Skipped, skipped};
use crate::invoice::calc::Calculated;
use crate::invoice::compute::Seeing;
use crate::invoice::model::LineItem;
use crate::money::{Decimal, Number, is_positive};
use crate::rating::Agreement;
use crate::rating::calc::{Basis, Charge, Payer, Pricing, Step, Stretch, cost};
use crate::time::Instant;

/// How the lines of an invoice come about, in their order: first those of the stretches, then conversions of custom
/// pricing units.
#[must_use]
pub fn explanations(agreement: &Agreement<'_>, seeing: &Seeing<'_, '_>) -> Vec<Explanation> {
    let Calculated { invoice, stretches, conversions, .. } = seeing.calculated;
    let mut explanations = Vec::new();
    let mut next = 0;
    let mut lines_of = |charges: &[Charge<'_>]| {
        // What a balance pays for is followed by the line that applies it.
        let applied = charges.iter().filter(|charge| charge.payer.is_some()).count();
        let first = next;
        next += charges.len() + applied;
        (first, &invoice.line_items[first..next])
    };
    for stretch in stretches {
        let (first, lines) = lines_of(&stretch.charges());
        explanations.push(of_stretch(agreement, seeing.candidates, stretch, first, lines));
    }
    for conversion in conversions {
        let (first, lines) = lines_of(&conversion.charges());
        explanations.push(of_conversion(conversion, seeing.candidates, first, lines));
    }
    explanations
}

/// A line of a scheduled charge or of a payment for a commit, which is its own explanation.
#[must_use]
pub fn of_schedule(number: usize, line: &LineItem) -> Option<Explanation> {
    let basis = match (line.scheduled_charge_id, line.commit_id) {
        (Some(scheduled_charge_id), _) => BasisExplanation::ScheduledCharge { scheduled_charge_id },
        (None, Some(commit_id)) if line.is_scheduled() => BasisExplanation::CommitPurchase { commit_id },
        _ => return None,
    };
    Some(of_line(number, line, basis))
}

fn of_conversion(
    conversion: &Conversion<'_>,
    candidates: &[Candidate<'_>],
    first: usize,
    lines: &[LineItem],
) -> Explanation {
    let basis = BasisExplanation::UnitConversion {
        custom_credit_type: conversion.of.unit.clone(),
        quantity: Number(conversion.owed.clone()),
        fiat_per_custom_credit: Number(conversion.of.fiat_per_unit.clone()),
    };
    let drawn = |payer: Payer| {
        let charges = conversion.charges();
        let own = charges.iter().filter(move |charge| charge.payer == Some(payer));
        sums(own).map(|(quantity, amount)| DrawnExplanation {
            amount,
            quantity,
            rate: None,
            overrides: Vec::new(),
        })
    };
    let unit = &lines[0].credit_type;
    let reason = |candidate: &Candidate<'_>| {
        let covers = candidate.period.start <= conversion.period.start
            && conversion.period.end <= candidate.period.end;
        if candidate.balance.access_type == AccessType::Quantity {
            Some(Skipped::NotUsage)
        } else if candidate.balance.unit_id() != unit.id {
            Some(Skipped::OtherUnit)
        } else if !candidate.balance.terms.targeting.is_open() {
            Some(Skipped::OtherUsage)
        } else {
            (!covers).then_some(Skipped::OtherTime)
        }
    };
    Explanation {
        balances: considered(candidates, &conversion.charges(), drawn, reason, |_| false),
        lines: (first..).zip(lines).map(|(number, line)| unpriced(number, line)).collect(),
        total: owed(lines),
        ..of_line(first, &lines[0], basis)
    }
}

/// What is owed for lines.
fn owed(lines: &[LineItem]) -> Number {
    Number(lines.iter().filter(|line| line.is_owed()).map(|line| &line.total.0).sum())
}

/// The quantity and the amount of charges, where there are any.
fn sums<'c>(charges: impl Iterator<Item = &'c Charge<'c>> + Clone) -> Option<(Number, Number)> {
    charges.clone().next()?;
    let quantity = charges.clone().map(|charge| &*charge.quantity).sum();
    let amount = charges.map(|charge| &charge.total).sum();
    Some((Number(quantity), Number(amount)))
}

/// The candidates, with what each pays or why it does not: for the reason that is given, or because there is nothing to pay or
/// nothing to pay with. There is nothing to pay where what is left is free both while it is drawn and without it.
fn considered(
    candidates: &[Candidate<'_>],
    charges: &[Charge<'_>],
    drawn: impl Fn(Payer) -> Option<DrawnExplanation>,
    reason: impl Fn(&Candidate<'_>) -> Option<Skipped>,
    is_free: impl Fn(&Candidate<'_>) -> bool,
) -> Vec<ConsideredBalance> {
    let is_due = charges.iter().any(|charge| is_positive(&charge.quantity));
    let is_left = charges.iter().any(|charge| charge.payer.is_none() && is_positive(&charge.quantity));
    let last = charges.iter().filter_map(|charge| charge.payer).max();
    let considered = |(number, candidate): (usize, &Candidate<'_>)| {
        let drawn = drawn(Payer(number));
        let skipped = if drawn.is_some() {
            None
        } else if let Some(reason) = reason(candidate) {
            Some(reason)
        } else if !is_due {
            Some(Skipped::NothingDue)
        } else if !is_left && last.is_some_and(|last| last < Payer(number)) {
            Some(Skipped::PaidAlready)
        } else if is_free(candidate) {
            Some(Skipped::NothingDue)
        } else {
            Some(Skipped::NothingLeft)
        };
        ConsideredBalance {
            id: candidate.balance.id,
            segment_id: candidate.segment.id,
            balance_type: candidate.balance.balance_type,
            access_type: candidate.balance.access_type,
            name: candidate.name.clone(),
            drawn,
            skipped,
        }
    };
    candidates.iter().enumerate().map(considered).collect()
}

/// What balances pay of a stretch, and at which price.
fn considered_for(
    agreement: &Agreement<'_>,
    candidates: &[Candidate<'_>],
    stretch: &Stretch<'_>,
) -> Vec<ConsideredBalance> {
    let Stretch { product, combination, pricing, .. } = stretch;
    let charges = stretch.charges();
    let while_drawn = |balance: &Balance| {
        let at_commit_rate = balance.terms.rate_type == CommitRateType::CommitRate;
        let at = stretch.priced_at();
        pricing.while_drawn(agreement, product, combination, at, &balance.drawn(), at_commit_rate)
    };
    let drawn = |payer: Payer| {
        let own = charges.iter().filter(move |charge| charge.payer == Some(payer));
        let (quantity, amount) = sums(own)?;
        let paid = stretch.paid.iter().find(|paid| paid.payer == payer)?;
        let price = while_drawn(candidates[payer.0].balance);
        Some(DrawnExplanation {
            amount,
            quantity,
            rate: Some(Rate::new(&paid.price, &combination.pricing, paid.unit)),
            overrides: price.chosen.chain.iter().copied().map(applied).collect(),
        })
    };
    let reason = |candidate: &Candidate<'_>| {
        let of_spend = candidate.balance.access_type == AccessType::Spend;
        let is_other_unit = of_spend && candidate.balance.unit_id() != pricing.unit.id;
        skipped(candidate, stretch).or(is_other_unit.then_some(Skipped::OtherUnit))
    };
    let is_free = |candidate: &Candidate<'_>| {
        let mut unpaid = charges.iter().filter(|charge| charge.payer.is_none());
        let (from, to, _) = stretch.span();
        unpaid.all(|charge| !is_positive(&charge.total))
            && (!matches!(stretch.basis, Basis::Usage(_))
                || !is_positive(&cost(&while_drawn(candidate.balance).price, &from, &to)))
    };
    considered(candidates, &charges, drawn, reason, is_free)
}

fn of_line(number: usize, line: &LineItem, basis: BasisExplanation) -> Explanation {
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
        lines: vec![unpriced(number, line)],
        balances: Vec::new(),
        total: line.total.clone(),
    }
}

/// A line that no rate of the card prices.
fn unpriced(number: usize, line: &LineItem) -> ExplainedLine {
    ExplainedLine {
        line_item: number,
        tier: line.tier.clone(),
        quantity: line.quantity.clone(),
        unit_price: line.unit_price.clone(),
        total: line.total.clone(),
        rate_tier: None,
        override_id: None,
        override_tier: None,
    }
}

fn of_stretch(
    agreement: &Agreement<'_>,
    candidates: &[Candidate<'_>],
    stretch: &Stretch<'_>,
    first: usize,
    lines: &[LineItem],
) -> Explanation {
    let Stretch { product, combination, period, pricing, .. } = stretch;
    let is_minimum = matches!(stretch.basis, Basis::Minimum(_));
    // A stretch may begin within the time of its price, and not where the price does.
    let begun = pricing.continued().iter().take_while(|(starting_at, _)| *starting_at <= period.start);
    let first_reason = begun.last().map_or(pricing, |(_, pricing)| pricing);
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
        later_prices: pricing.continued().iter().filter(is_later).map(later).collect(),
        lines: (first..)
            .zip(lines)
            .map(|(number, line)| match line.commit_id {
                // What a balance pays for has the price that stands there.
                Some(_) => unpriced(number, line),
                None => explained(number, line, pricing, is_minimum),
            })
            .collect(),
        balances: considered_for(agreement, candidates, stretch),
        total: owed(lines),
    }
}

fn basis(agreement: &Agreement<'_>, stretch: &Stretch<'_>) -> BasisExplanation {
    match &stretch.basis {
        Basis::Usage(steps) => {
            let before = steps.before();
            // It meters alike all along; but where all is charged at the end, as it does then.
            let state = stretch.product.states.before(stretch.period.end);
            let (billable_metric_id, _) =
                agreement.terms.metric_of(state).expect("only usage products are charged by usage");
            let mut sum = before.clone();
            let piece = |step: &Step<'_>| {
                sum += &*step.quantity;
                UsagePiece {
                    starting_at: step.period.start,
                    ending_before: step.period.end,
                    metered: Number(step.metered.as_deref().unwrap_or(&sum).clone()),
                    quantity: Number(step.quantity.clone().into_owned()),
                }
            };
            BasisExplanation::Usage(UsageExplanation {
                billable_metric_id,
                quantity_conversion: state.quantity_conversion.value().cloned(),
                quantity_rounding: state.quantity_rounding.value().cloned(),
                before: Number(before.clone()),
                pieces: steps.iter().map(piece).collect(),
                quantity: Number(steps.iter().map(|step| &*step.quantity).sum()),
            })
        }
        Basis::Spend(spent) => BasisExplanation::Spend {
            before: Number(spent.before.clone()),
            spend: Number(spent.members.iter().map(|member| &member.spend).sum::<Decimal>()),
            members: spent
                .members
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
        Basis::Subscription(subscribed) => BasisExplanation::Subscription {
            quantity: Number(subscribed.quantity.clone()),
            is_prorated: subscribed.is_prorated,
        },
    }
}

fn override_type(one: &Override) -> Option<OverrideType> {
    one.kind.as_ref().map(OverrideKind::override_type)
}

fn applied(one: &Override) -> AppliedOverride {
    AppliedOverride { id: one.id, override_type: override_type(one) }
}

fn price(pricing: &Pricing<'_>, group_values: &GroupValues) -> PriceExplanation {
    let entry = pricing.entry;
    let beaten: Vec<BeatenOverride> = pricing
        .chosen()
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
        rate: Rate::new(pricing.price(), group_values, pricing.unit),
        overrides: pricing.chosen().chain.iter().copied().map(applied).collect(),
        beaten_overrides: beaten,
    }
}

fn explained(number: usize, line: &LineItem, pricing: &Pricing<'_>, is_minimum: bool) -> ExplainedLine {
    // The source of a tier stands at its place, that of a price without tiers alone.
    let place = line.tier.as_ref().map_or(0, |tier| tier.level as usize - 1);
    let source = pricing.sources().get(place).filter(|_| !is_minimum);
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
