//! Random commits and credits for a workload, and prices for what they pay.

use uuid::Uuid;

use upbeat::catalog::product::ProductType;
use upbeat::catalog::rate::{Price, RateEntry};
use upbeat::contract::MultiplierPrioritization;
use upbeat::contract::balance::{
    AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, ManualEntry, Origin, Payment,
    PaymentSchedule, Segment, SpecifierOfBalance, TargetingOfBalance,
};
use upbeat::contract::rate_override::{
    Exclusion, Override, OverrideKind, OverrideTier, OverwriteRate, RateTarget, Specifier, Targeting,
};
use upbeat::id::{
    BalanceId, ContractId, CustomerId, ManualEntryId, OverrideId, ProductId, RecurringGrantId,
    ScheduleItemId, SegmentId,
};
use upbeat::money::{CreditType, Decimal, InputNumber, Number};

use crate::random::Random;
use crate::workload::{
    END, GROUPS, TAGS, VALUES, Workload, custom_unit, decimal, hour, price_tiers, workload,
};

pub const CONTRACT: ContractId = ContractId(Uuid::from_u128(0xC));
const OTHER_CONTRACT: ContractId = ContractId(Uuid::from_u128(0xD));

/// A workload, and what its contract may draw.
pub struct Granted {
    pub workload: Workload,
    pub balances: Vec<Balance>,
    /// What was drawn of segments before: zero or below.
    pub used: Vec<(SegmentId, Decimal)>,
}

impl Granted {
    pub fn used(&self, segment_id: SegmentId) -> Decimal {
        let own = self.used.iter().filter(|(id, _)| *id == segment_id);
        own.map(|(_, drawn)| drawn).sum()
    }
}

pub fn granted(seed: u64) -> Granted {
    let mut workload = workload(seed);
    // Numbers of their own, so that the workload is that of the other simulation.
    let random = &mut Random::new(seed ^ 0x00C0_FFEE);
    for product in &mut workload.terms.products {
        if product.product_type == ProductType::Usage {
            let mut entries: Vec<RateEntry> = product.rates.entries().cloned().collect();
            for entry in &mut entries {
                entry.commit_rate = random.maybe(2, |random| {
                    if random.once_in(2) {
                        Price::Flat(decimal(random, 0, 9))
                    } else {
                        Price::Tiered(price_tiers(random))
                    }
                });
            }
            product.rates = entries.into_iter().collect();
        }
    }
    let product_ids: Vec<ProductId> =
        workload.terms.products.iter().map(|product| product.product_id).collect();
    let mut balances = Vec::new();
    let mut used = Vec::new();
    for number in 0..random.count(0, 6) {
        let balance = balance(random, number, &product_ids);
        for segment in &balance.terms.segments {
            used.extend(random.maybe(4, |random| (segment.id, -decimal(random, 0, 100))));
        }
        balances.push(balance);
    }
    if random.once_in(2) {
        for _ in 0..random.count(0, 4) {
            let one = commit_override(random, &workload, balances.len());
            workload.overrides.push(one);
        }
    }
    // Every third seed has balances of units, by numbers of their own, so that the others stay what they were.
    let units = &mut Random::new(seed ^ 0x0711);
    for balance in balances.iter_mut().filter(|_| seed % 3 == 1) {
        if balance.balance_type != BalanceType::Postpaid && units.once_in(2) {
            balance.access_type = AccessType::Quantity;
            balance.unit = None;
        }
    }
    Granted { workload, balances, used }
}

fn balance_id(number: usize) -> Uuid {
    Uuid::from_u128(0x400 + number as u128)
}

fn recurring_id(number: usize) -> Uuid {
    Uuid::from_u128(0x500 + number as u128)
}

fn balance(random: &mut Random, number: usize, product_ids: &[ProductId]) -> Balance {
    let balance_type = *random.pick(&[
        BalanceType::Prepaid,
        BalanceType::Prepaid,
        BalanceType::Credit,
        BalanceType::Postpaid,
    ]);
    let is_postpaid = balance_type == BalanceType::Postpaid;
    let is_in_tokens = !is_postpaid && random.once_in(4);
    let is_of_contract = random.once_in(2);
    let segments: Vec<Segment> = (0..if is_postpaid { 1 } else { random.count(1, 4) })
        .map(|segment| {
            let start = random.number(-6, END);
            Segment {
                id: SegmentId(Uuid::from_u128(0x600 + (number * 10 + segment) as u128)),
                amount: Number(decimal(random, 0, 200)),
                starting_at: hour(start),
                ending_before: hour(start + random.number(1, 30)),
            }
        })
        .collect();
    let manual_entries = random.many(0, 2, |random| ManualEntry {
        id: ManualEntryId(Uuid::nil()),
        segment_id: segments[0].id,
        amount: Number(decimal(random, -50, 50)),
        reason: String::new(),
        dated_at: hour(0),
        written_at: hour(0),
    });
    let payment = |random: &mut Random| PaymentSchedule {
        credit_type: CreditType::usd(),
        do_not_invoice: random.once_in(2),
        items: vec![Payment {
            id: ScheduleItemId(Uuid::nil()),
            dated_at: hour(0),
            unit_price: Number(random.number(0, 3).into()),
            quantity: Number(1.into()),
        }],
    };
    Balance {
        customer_id: CustomerId(Uuid::nil()),
        id: BalanceId(balance_id(number)),
        balance_type,
        contract_id: is_of_contract.then_some(CONTRACT),
        access_type: AccessType::Spend,
        unit: Some(if is_in_tokens { custom_unit() } else { CreditType::usd() }),
        recurring_id: random.maybe(3, |random| RecurringGrantId(recurring_id(random.count(0, 2)))),
        origin: random
            .maybe(8, |_| Origin { balance_id: BalanceId(Uuid::nil()), contract_id: OTHER_CONTRACT }),
        uniqueness_key: None,
        created_at: hour(random.number(-9, -6)),
        created_by: None,
        terms: BalanceTerms {
            product_id: ProductId(Uuid::nil()),
            name: Some(format!("Balance {number}")),
            description: None,
            priority: random.maybe(2, |random| Number((99 + random.number(0, 3)).into())),
            rate_type: if random.once_in(2) { CommitRateType::CommitRate } else { CommitRateType::ListRate },
            segments,
            manual_entries,
            targeting: targeting(random, product_ids),
            applicable_contract_ids: match random.number(0, 5) {
                _ if is_of_contract => Vec::new(),
                0 => vec![CONTRACT],
                1 => vec![CONTRACT, OTHER_CONTRACT],
                2 => vec![OTHER_CONTRACT],
                _ => Vec::new(),
            },
            invoice_contract_id: None,
            payments: random.maybe(2, payment),
            rollover_fraction: None,
            rolled_over: None,
            taken_away: None,
            is_true_up_disabled: false,
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
        },
        archived_at: random.maybe(20, |_| hour(-1)),
        added: 0,
    }
}

fn targeting(random: &mut Random, product_ids: &[ProductId]) -> TargetingOfBalance {
    let tag = |random: &mut Random| random.pick(&TAGS).to_string();
    match random.number(0, 6) {
        0 => TargetingOfBalance { product_ids: random.some(product_ids), ..TargetingOfBalance::default() },
        1 => TargetingOfBalance { product_tags: vec![tag(random)], ..TargetingOfBalance::default() },
        2 | 3 => TargetingOfBalance {
            specifiers: random.many(1, 3, |random| {
                let value = |random: &mut Random| random.pick(&VALUES).to_string();
                SpecifierOfBalance {
                    product_id: random.maybe(3, |random| *random.pick(product_ids)),
                    product_tags: random.maybe(3, tag).into_iter().collect(),
                    pricing_group_values: random
                        .maybe(3, |random| (GROUPS[0].to_owned(), value(random)))
                        .into_iter()
                        .collect(),
                    presentation_group_values: random
                        .maybe(3, |random| (GROUPS[1].to_owned(), value(random)))
                        .into_iter()
                        .collect(),
                    exclude: random
                        .maybe(3, |random| Exclusion { product_tags: random.many(1, 3, tag) })
                        .into_iter()
                        .collect(),
                }
            }),
            ..TargetingOfBalance::default()
        },
        _ => TargetingOfBalance::default(),
    }
}

/// An override that prices what a balance pays for.
fn commit_override(random: &mut Random, workload: &Workload, balance_count: usize) -> Override {
    let added = 1 + i64::try_from(workload.overrides.len()).expect("few");
    let product = random.pick(&workload.terms.products);
    let is_explicit = workload.prioritization == MultiplierPrioritization::Explicit;
    let multiplier = |random: &mut Random| Decimal::new(random.number(0, 15).into(), 1);
    let is_usage = product.product_type == ProductType::Usage;
    let kind = match random.number(0, 4) {
        0 if is_usage => OverrideKind::Overwrite(OverwriteRate {
            price: if random.once_in(2) {
                Price::Flat(decimal(random, 0, 9))
            } else {
                Price::Tiered(price_tiers(random))
            },
            credit_type_id: random.maybe(3, |_| CreditType::usd().id),
        }),
        1 if is_explicit => OverrideKind::Tiered(random.many(1, 3, |random| OverrideTier {
            size: Some(InputNumber(decimal(random, 1, 20))),
            multiplier: InputNumber(multiplier(random)),
        })),
        _ => OverrideKind::Multiplier(multiplier(random)),
    };
    let is_overwrite = matches!(kind, OverrideKind::Overwrite(_));
    let specifier = |random: &mut Random| {
        let mut specifier = Specifier::default();
        let one = |random: &mut Random| balance_id(random.count(0, balance_count.max(1)));
        match random.number(0, 4) {
            0 => specifier.commit_ids = random.many(1, 3, one),
            1 => specifier.recurring_commit_ids = vec![recurring_id(random.count(0, 2))],
            2 => specifier.any_commit_or_credit_ids = random.many(1, 3, one),
            _ => {}
        }
        if !is_overwrite && random.once_in(4) {
            specifier.product_tags = vec![random.pick(&TAGS).to_string()];
        }
        specifier
    };
    let starting_at = random.number(-9, END);
    Override {
        is_initial: true,
        id: OverrideId(Uuid::from_u128(0x700 + u128::try_from(added).expect("positive"))),
        added,
        created_at: hour(-9),
        starting_at: hour(starting_at),
        ending_before: random.maybe(2, |random| hour(starting_at + random.number(1, 30))),
        targeting: Targeting {
            product_id: (is_overwrite || random.once_in(2)).then_some(product.product_id),
            specifiers: random.many(0, 3, specifier),
            ..Targeting::default()
        },
        entitled: None,
        priority: is_explicit.then(|| random.number(1, 4).into()),
        kind: Some(kind),
        is_commit_specific: true,
        target: if random.once_in(3) { RateTarget::CommitRate } else { RateTarget::ListRate },
    }
}
