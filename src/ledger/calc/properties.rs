//! What holds for every balance.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::examples::{account, at, draw, manual, segment};
use super::{Account, ContractTerm, Rollover, TrueUp};
use crate::contract::balance::BalanceType;
use crate::drawdown::Draw;
use crate::id::{ContractId, InvoiceId, SegmentId};
use crate::money::{Decimal, is_negative, is_positive, zero};
use crate::time::Instant;

fn day(number: i64) -> Instant {
    at("2026-01-01") + TimeDelta::days(number)
}

fn amount(cents: i64) -> Decimal {
    Decimal::new(cents.into(), 2)
}

/// A balance with up to four segments that may overlap, manual entries of either sign, invoices that draw one or several of
/// them and of which some are void, and a contract that may end or be archived.
fn any_account() -> impl Strategy<Value = Account> {
    let kind =
        prop_oneof![Just(BalanceType::Prepaid), Just(BalanceType::Postpaid), Just(BalanceType::Credit)];
    let segments = prop::collection::vec((0_i64..100_000, 0_i64..60, 1_i64..60), 1..5);
    let entries = prop::collection::vec((0_usize..4, -50_000_i64..50_000, 0_i64..120), 0..4);
    let draws =
        prop::collection::vec((0_usize..4, 1_u128..5, 1_i64..40_000, 0_i64..120, any::<bool>()), 0..8);
    let contract = (prop::option::of(1_i64..120), prop::option::of(1_i64..120));
    let true_up = prop_oneof![Just(TrueUp::Open), Just(TrueUp::Lapsed)];
    (kind, segments, entries, draws, contract, true_up).prop_map(
        |(kind, segments, entries, draws, (end, archived), true_up)| {
            let segments: Vec<_> = (1..)
                .zip(segments)
                .map(|(number, (cents, start, days))| {
                    segment(number, amount(cents), day(start), day(start + days))
                })
                .collect();
            let of = |index: usize| u128::try_from(index % segments.len() + 1).expect("small");
            let entries =
                entries.iter().map(|(index, cents, on)| manual(of(*index), amount(*cents), day(*on)));
            let entries = entries.collect();
            let draws: Vec<Draw> = draws
                .into_iter()
                .flat_map(|(index, invoice, cents, on, is_void)| {
                    let taken = draw(invoice, of(index), amount(-cents), day(on));
                    let returned = Draw { amount: amount(cents), ..taken.clone() };
                    std::iter::once(taken).chain(is_void.then_some(returned))
                })
                .collect();
            let mut account = Account { draws, true_up, ..account(kind, segments) };
            account.balance.terms.manual_entries = entries;
            let archived_at = archived.map(day);
            account.balance.archived_at = archived_at;
            account.contract = Some(ContractTerm { ending_before: end.map(day), archived_at });
            account
        },
    )
}

fn sums(account: &Account, now: Instant) -> BTreeMap<SegmentId, Decimal> {
    let mut sums = BTreeMap::new();
    for entry in account.entries(now).expect("a ledger") {
        *sums.entry(entry.segment_id).or_insert_with(zero) += entry.amount;
    }
    sums
}

proptest! {
    #[test]
    fn the_ledger_of_each_segment_sums_to_what_is_left(account in any_account(), now in 0_i64..130) {
        let now = day(now);
        let sums = sums(&account, now);
        let mut balance = zero();
        let is_to_be_billed = account.balance.balance_type == BalanceType::Postpaid
            && account.true_up == TrueUp::Open
            && account.balance.archived_at.is_none();
        for segment in &account.balance.terms.segments {
            let sum = sums.get(&segment.id).cloned().unwrap_or_else(zero);
            let left = account.left(segment);
            match account.access(segment) {
                Some(access) if access.contains(now) => {
                    prop_assert_eq!(&sum, &left);
                    balance += if is_positive(&sum) { sum } else { zero() };
                }
                Some(access) if access.end <= now && is_to_be_billed => prop_assert_eq!(&sum, &left),
                // To zero, unless it was drawn below.
                Some(access) if access.end <= now => prop_assert_eq!(sum, if is_negative(&left) { left } else { zero() }),
                _ => prop_assert!(!is_positive(&sum) || is_to_be_billed),
            }
        }
        if account.balance.archived_at.is_none() {
            prop_assert_eq!(account.balance_at(now), balance);
        } else {
            prop_assert_eq!(account.balance_at(now), zero());
        }
    }

    #[test]
    fn entries_are_in_order_and_never_zero(account in any_account(), now in 0_i64..130) {
        let entries = account.entries(day(now)).expect("a ledger");
        prop_assert!(entries.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
        prop_assert!(entries.iter().all(|entry| entry.amount != zero()));
        let unbegun = account.balance.terms.segments.iter().filter(|segment| segment.starting_at > day(now));
        let unbegun: Vec<SegmentId> = unbegun.map(|segment| segment.id).collect();
        prop_assert!(!entries.iter().any(|entry| unbegun.contains(&entry.segment_id)));
    }

    #[test]
    fn splitting_draws_over_invoices_changes_no_balance(account in any_account(), now in 0_i64..130, part in 0_i64..100) {
        let mut split = account.clone();
        split.draws = account.draws.iter().flat_map(|draw| {
            let share = &draw.amount * amount(part);
            let rest = &draw.amount - &share;
            let other = InvoiceId(uuid::Uuid::from_u128(draw.invoice_id.0.as_u128() + 100));
            [Draw { amount: share, ..draw.clone() }, Draw { amount: rest, invoice_id: other, ..draw.clone() }]
        }).collect();
        prop_assert_eq!(split.balance_at(day(now)), account.balance_at(day(now)));
        prop_assert_eq!(sums(&split, day(now)), sums(&account, day(now)));
    }

    #[test]
    fn what_a_renewal_takes_does_not_expire(account in any_account(), cents in 1_i64..50_000) {
        prop_assume!(account.balance.archived_at.is_none() && account.balance.balance_type != BalanceType::Postpaid);
        let mut account = account;
        let first = account.balance.terms.segments[0].clone();
        let Some(access) = account.access(&first) else { return Ok(()) };
        let taken = account.left(&first).min(amount(cents));
        prop_assume!(is_positive(&taken));
        let new_contract_id = ContractId(uuid::Uuid::from_u128(1));
        account.rollovers = vec![Rollover { segment_id: first.id, amount: taken, new_contract_id, at: access.end }];
        let sum = sums(&account, day(130)).remove(&first.id).unwrap_or_else(zero);
        prop_assert_eq!(sum, zero());
    }
}
