//! The worked examples of the reference on credits and commits, and one balance to try things on.

use uuid::Uuid;

use super::{Account, ContractTerm, Entry, EntryKind, Rollover, TrueUp};
use crate::contract::balance::{
    AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, ManualEntry, Segment, TargetingOfBalance,
};
use crate::drawdown::Draw;
use crate::id::{BalanceId, ContractId, CustomerId, InvoiceId, ManualEntryId, ProductId, SegmentId};
use crate::money::{CreditType, Decimal, Number, plain};
use crate::time::{Instant, parse_instant};

pub fn at(day: &str) -> Instant {
    parse_instant(&format!("{day}T00:00:00Z")).expect("a day")
}

pub fn segment(number: u128, amount: impl Into<Decimal>, start: Instant, end: Instant) -> Segment {
    Segment {
        id: SegmentId(Uuid::from_u128(number)),
        amount: Number(amount.into()),
        starting_at: start,
        ending_before: end,
    }
}

pub fn manual(segment: u128, amount: impl Into<Decimal>, dated_at: Instant) -> ManualEntry {
    ManualEntry {
        id: ManualEntryId(Uuid::nil()),
        segment_id: SegmentId(Uuid::from_u128(segment)),
        amount: Number(amount.into()),
        reason: "goodwill".to_owned(),
        dated_at,
        written_at: dated_at,
    }
}

pub fn draw(invoice: u128, segment: u128, amount: impl Into<Decimal>, dated_at: Instant) -> Draw {
    Draw {
        balance_id: BalanceId(Uuid::nil()),
        segment_id: SegmentId(Uuid::from_u128(segment)),
        invoice_id: InvoiceId(Uuid::from_u128(invoice)),
        contract_id: ContractId(Uuid::nil()),
        amount: amount.into(),
        dated_at,
    }
}

/// An account of a contract's balance with these segments and nothing else.
pub fn account(balance_type: BalanceType, segments: Vec<Segment>) -> Account {
    let created_at = segments.first().expect("a segment").starting_at;
    let terms = BalanceTerms {
        product_id: ProductId(Uuid::nil()),
        name: None,
        description: None,
        priority: None,
        rate_type: CommitRateType::ListRate,
        segments,
        manual_entries: Vec::new(),
        targeting: TargetingOfBalance::default(),
        applicable_contract_ids: Vec::new(),
        invoice_contract_id: None,
        payments: None,
        rollover_fraction: None,
        rolled_over: None,
        taken_away: None,
        is_true_up_disabled: false,
        netsuite_sales_order_id: None,
        salesforce_opportunity_id: None,
    };
    let balance = Balance {
        customer_id: CustomerId(Uuid::nil()),
        id: BalanceId(Uuid::nil()),
        balance_type,
        contract_id: Some(ContractId(Uuid::nil())),
        access_type: AccessType::Spend,
        unit: Some(CreditType::usd()),
        recurring_id: None,
        origin: None,
        uniqueness_key: None,
        created_at,
        created_by: None,
        terms,
        archived_at: None,
        added: 1,
    };
    Account {
        balance,
        contract: Some(ContractTerm::default()),
        draws: Vec::new(),
        rollovers: Vec::new(),
        true_up: TrueUp::Open,
    }
}

/// The whole ledger as lines of day, kind and amount.
fn ledger(account: &Account, now: &str) -> Vec<String> {
    let name = |kind: &EntryKind| match kind {
        EntryKind::Start => "start",
        EntryKind::Manual { .. } => "manual",
        EntryKind::Deduction { .. } => "deduction",
        EntryKind::Canceled { .. } => "canceled",
        EntryKind::Rollover { .. } => "rollover",
        EntryKind::TrueUp { .. } => "true-up",
        EntryKind::Expiration => "expiration",
    };
    let line = |entry: &Entry| {
        format!("{} {} {}", entry.timestamp.format("%d.%m."), name(&entry.kind), plain(&entry.amount))
    };
    account.entries(at(now)).expect("a ledger").iter().map(line).collect()
}

fn balance(account: &Account, now: &str) -> String {
    plain(&account.balance_at(at(now)))
}

#[test]
fn credits_e1_credit_from_draft_to_expiry() {
    let (start, end) = (at("2026-03-01"), at("2026-04-01"));
    let mut credit = account(BalanceType::Credit, vec![segment(1, 25_000, start, end)]);
    assert_eq!(balance(&credit, "2026-03-20"), "25000");
    credit.draws = vec![draw(1, 1, -9000, end)];
    assert_eq!(ledger(&credit, "2026-03-20"), ["01.03. start 25000", "01.04. deduction -9000"]);
    assert_eq!(balance(&credit, "2026-03-20"), "16000");
    for (drawn, expired) in [(17_350, 7650), (17_750, 7250)] {
        credit.draws = vec![draw(1, 1, -drawn, end)];
        let (deduction, expiration) =
            (format!("01.04. deduction -{drawn}"), format!("01.04. expiration -{expired}"));
        assert_eq!(ledger(&credit, "2026-04-01"), ["01.03. start 25000", &deduction, &expiration]);
        assert_eq!(balance(&credit, "2026-04-01"), "0");
    }
}

#[test]
fn credits_e2_two_segments_and_overage() {
    let (q1, q2, end) = (at("2026-01-01"), at("2026-04-01"), at("2026-07-01"));
    let segments = vec![segment(1, 600_000, q1, q2), segment(2, 400_000, q2, end)];
    let mut commit = account(BalanceType::Prepaid, segments);
    commit.draws = vec![
        draw(1, 1, -150_000, at("2026-02-01")),
        draw(2, 1, -210_000, at("2026-03-01")),
        draw(3, 1, -190_000, at("2026-04-01")),
    ];
    assert_eq!(balance(&commit, "2026-03-31"), "50000");
    commit.draws.extend([draw(4, 2, -260_000, at("2026-05-01")), draw(5, 2, -140_000, at("2026-06-01"))]);
    assert_eq!(
        ledger(&commit, "2026-07-01"),
        [
            "01.01. start 600000",
            "01.02. deduction -150000",
            "01.03. deduction -210000",
            "01.04. start 400000",
            "01.04. deduction -190000",
            "01.04. expiration -50000",
            "01.05. deduction -260000",
            "01.06. deduction -140000",
        ]
    );
    assert_eq!(balance(&commit, "2026-04-01"), "0");
}

#[test]
fn credits_e5_postpaid_behind_prepaid() {
    let (start, end) = (at("2026-01-01"), at("2026-04-01"));
    let mut commit = account(BalanceType::Postpaid, vec![segment(1, 1_200_000, start, end)]);
    let months = [("2026-02-01", 150_000), ("2026-03-01", 420_000), ("2026-04-01", 300_000)];
    commit.draws =
        (1..).zip(months).map(|(invoice, (day, drawn))| draw(invoice, 1, -drawn, at(day))).collect();
    assert_eq!(balance(&commit, "2026-03-31"), "330000");
    let open = [
        "01.01. start 1200000",
        "01.02. deduction -150000",
        "01.03. deduction -420000",
        "01.04. deduction -300000",
    ];
    assert_eq!(ledger(&commit, "2026-04-02"), open);
    assert_eq!(balance(&commit, "2026-04-02"), "0");
    let (invoice_id, contract_id) = (InvoiceId(Uuid::from_u128(9)), ContractId(Uuid::nil()));
    commit.true_up = TrueUp::Billed { invoice_id, contract_id, amount: 330_000.into(), dated_at: end };
    assert_eq!(ledger(&commit, "2026-04-03"), [&open[..], &["01.04. true-up -330000"]].concat());
    commit.true_up = TrueUp::Lapsed;
    assert_eq!(ledger(&commit, "2026-03-31"), open);
    assert_eq!(ledger(&commit, "2026-04-01"), [&open[..], &["01.04. expiration -330000"]].concat());
}

#[test]
fn credits_e11_manual_entries_and_the_floor() {
    let (start, end) = (at("2026-03-01"), at("2026-04-01"));
    let mut commit = account(BalanceType::Prepaid, vec![segment(1, 50_000, start, end)]);
    commit.draws = vec![draw(1, 1, -20_000, end)];
    commit.balance.terms.manual_entries.push(manual(1, -40_000, at("2026-03-10")));
    assert_eq!(plain(&commit.left(&commit.balance.terms.segments[0])), "-10000");
    assert_eq!(balance(&commit, "2026-03-20"), "0");
    assert_eq!(
        ledger(&commit, "2026-04-01"),
        ["01.03. start 50000", "10.03. manual -40000", "01.04. deduction -20000"]
    );
    commit.balance.terms.manual_entries.push(manual(1, 25_000, at("2026-03-30")));
    assert_eq!(balance(&commit, "2026-03-20"), "15000");
    assert_eq!(
        ledger(&commit, "2026-04-01"),
        [
            "01.03. start 50000",
            "10.03. manual -40000",
            "30.03. manual 25000",
            "01.04. deduction -20000",
            "01.04. expiration -15000",
        ]
    );
}

#[test]
fn credits_e17_ending_early() {
    let (start, end) = (at("2026-01-01"), at("2026-04-10"));
    let mut commit = account(BalanceType::Prepaid, vec![segment(1, 60_000, start, end)]);
    commit.draws = ["2026-02-01", "2026-03-01", "2026-04-01"].map(|day| draw(1, 1, -6000, at(day))).to_vec();
    for (number, draw) in (1..).zip(&mut commit.draws) {
        draw.invoice_id = InvoiceId(Uuid::from_u128(number));
    }
    commit.draws.push(draw(4, 1, -4000, end));
    let lines = ledger(&commit, "2026-04-10");
    assert_eq!(lines[4..], ["10.04. deduction -4000", "10.04. expiration -38000"]);
    // The same where the contract ends then.
    commit.balance.terms.segments[0].ending_before = at("2026-07-01");
    commit.contract = Some(ContractTerm { ending_before: Some(end), archived_at: None });
    assert_eq!(ledger(&commit, "2026-04-10"), lines);
    assert_eq!(balance(&commit, "2026-04-10"), "0");
}

#[test]
fn credits_e19_trial_that_ends_inside_the_invoice_period() {
    let (start, end) = (at("2026-01-01"), at("2026-01-16"));
    let mut credit = account(BalanceType::Credit, vec![segment(1, 50_000, start, end)]);
    credit.draws = vec![draw(1, 1, -41_000, end)];
    assert_eq!(
        ledger(&credit, "2026-01-16"),
        ["01.01. start 50000", "16.01. deduction -41000", "16.01. expiration -9000"]
    );
}

#[test]
fn credits_e20_prepaid_year_that_expires() {
    let mut commit =
        account(BalanceType::Prepaid, vec![segment(1, 1_000_000, at("2024-01-01"), at("2025-01-01"))]);
    let mut left = Vec::new();
    for month in 2_u32..=13 {
        let end = if month == 13 { "2025-01-01".to_owned() } else { format!("2024-{month:02}-01") };
        let drawn = if month == 2 { -90_000 } else { -70_000 };
        commit.draws.push(draw(month.into(), 1, drawn, at(&end)));
        left.push(plain(&commit.left(&commit.balance.terms.segments[0])));
    }
    assert_eq!(
        left,
        [
            "910000", "840000", "770000", "700000", "630000", "560000", "490000", "420000", "350000",
            "280000", "210000", "140000",
        ]
    );
    let lines = ledger(&commit, "2025-01-01");
    assert_eq!(
        (lines.len(), lines[12..].join(", ")),
        (14, "01.01. deduction -70000, 01.01. expiration -140000".to_owned())
    );
}

#[test]
fn credits_e22_postpaid_year() {
    let (start, end) = (at("2024-01-01"), at("2025-01-01"));
    let mut commit = account(BalanceType::Postpaid, vec![segment(1, 1_000_000, start, end)]);
    for month in 2_u32..=13 {
        let day = if month == 13 { "2025-01-01".to_owned() } else { format!("2024-{month:02}-01") };
        commit.draws.push(draw(month.into(), 1, -80_000, at(&day)));
    }
    let (invoice_id, contract_id) = (InvoiceId(Uuid::from_u128(99)), ContractId(Uuid::nil()));
    commit.true_up = TrueUp::Billed { invoice_id, contract_id, amount: 40_000.into(), dated_at: end };
    let lines = ledger(&commit, "2025-01-03");
    assert_eq!((lines.len(), lines[13].as_str()), (14, "01.01. true-up -40000"));
}

#[test]
fn credits_e23_reward_credit_that_is_used_up() {
    let segments = vec![segment(1, 500, at("2024-10-01"), at("2024-11-01"))];
    let mut credit = account(BalanceType::Credit, segments);
    credit.draws = vec![draw(2, 1, -500, at("2024-11-01"))];
    assert_eq!(ledger(&credit, "2024-11-05"), ["01.10. start 500", "01.11. deduction -500"]);
    assert_eq!(balance(&credit, "2024-10-20"), "0");
    let segments = vec![segment(1, 10_000, at("2024-09-01"), at("2025-09-01"))];
    let mut commit = account(BalanceType::Prepaid, segments);
    commit.draws = vec![draw(1, 1, -6500, at("2024-10-01")), draw(2, 1, -1500, at("2024-11-01"))];
    assert_eq!(balance(&commit, "2024-10-20"), "2000");
}

#[test]
fn credits_e10_and_e28_what_a_renewal_takes() {
    let (start, end) = (at("2026-01-01"), at("2027-01-01"));
    let mut commit = account(BalanceType::Prepaid, vec![segment(1, 1_000_000, start, end)]);
    commit.draws = vec![draw(1, 1, -650_000, end)];
    let taken = |amount: i64| Rollover {
        segment_id: SegmentId(Uuid::from_u128(1)),
        amount: amount.into(),
        new_contract_id: ContractId(Uuid::from_u128(7)),
        at: end,
    };
    commit.rollovers = vec![taken(200_000)];
    assert_eq!(balance(&commit, "2026-12-31"), "350000");
    assert_eq!(ledger(&commit, "2026-12-31"), ["01.01. start 1000000", "01.01. deduction -650000"]);
    assert_eq!(ledger(&commit, "2027-01-01")[2..], ["01.01. rollover -200000", "01.01. expiration -150000"]);
    commit.rollovers = vec![taken(350_000)];
    assert_eq!(ledger(&commit, "2027-01-01")[2..], ["01.01. rollover -350000"]);
}

#[test]
fn voiding_an_invoice_cancels_its_deduction_or_takes_it_out_of_a_promise() {
    let (start, end) = (at("2026-03-01"), at("2026-05-01"));
    let april = at("2026-04-01");
    let draws = vec![draw(1, 1, -300, april), draw(1, 1, 300, april), draw(2, 1, -200, april)];
    let mut commit = account(BalanceType::Prepaid, vec![segment(1, 1000, start, end)]);
    commit.draws.clone_from(&draws);
    assert_eq!(
        ledger(&commit, "2026-04-02"),
        ["01.03. start 1000", "01.04. deduction -300", "01.04. deduction -200", "01.04. canceled 300"]
    );
    assert_eq!(balance(&commit, "2026-04-02"), "800");
    commit.balance.balance_type = BalanceType::Postpaid;
    assert_eq!(ledger(&commit, "2026-04-02"), ["01.03. start 1000", "01.04. deduction -200"]);
}

#[test]
fn one_entry_for_all_that_an_invoice_drew_of_a_segment() {
    let (start, end) = (at("2026-03-01"), at("2026-04-01"));
    let mut commit = account(BalanceType::Credit, vec![segment(1, 1000, start, end)]);
    commit.draws = vec![draw(1, 1, -300, end), draw(1, 1, -200, end)];
    assert_eq!(ledger(&commit, "2026-03-02"), ["01.03. start 1000", "01.04. deduction -500"]);
}

#[test]
fn archiving_a_contract_expires_what_is_left_and_archiving_a_balance_takes_its_ledger() {
    let (start, end) = (at("2026-03-01"), at("2026-06-01"));
    let segments = vec![segment(1, 1000, start, end), segment(2, 500, at("2026-05-01"), end)];
    let mut commit = account(BalanceType::Prepaid, segments);
    commit.draws = vec![draw(1, 1, -300, at("2026-04-01"))];
    let archived_at = at("2026-04-10");
    commit.balance.archived_at = Some(archived_at);
    commit.contract = Some(ContractTerm { ending_before: None, archived_at: Some(archived_at) });
    let lines = ["01.03. start 1000", "01.04. deduction -300", "10.04. expiration -700"];
    assert_eq!(ledger(&commit, "2026-06-02"), lines);
    assert_eq!(balance(&commit, "2026-04-12"), "0");
    // One that had been archived before has nothing to show.
    commit.balance.archived_at = Some(at("2026-04-09"));
    assert_eq!(commit.entries(at("2026-06-02")), None);
    commit.contract = Some(ContractTerm::default());
    assert_eq!((commit.entries(at("2026-06-02")), balance(&commit, "2026-04-12").as_str()), (None, "0"));
    // A promise lapses with its contract.
    commit.balance.balance_type = BalanceType::Postpaid;
    commit.contract = Some(ContractTerm { ending_before: None, archived_at: Some(archived_at) });
    commit.balance.archived_at = Some(archived_at);
    assert_eq!(ledger(&commit, "2026-06-02"), lines);
}

#[test]
fn a_segment_that_has_not_begun_has_no_entries_and_one_after_the_contract_never() {
    let may = at("2026-05-01");
    let segments = vec![segment(1, 1000, may, at("2026-06-01"))];
    let mut commit = account(BalanceType::Prepaid, segments);
    commit.balance.terms.manual_entries.push(manual(1, 100, may));
    assert_eq!(ledger(&commit, "2026-04-30"), Vec::<String>::new());
    assert_eq!(
        (balance(&commit, "2026-04-30").as_str(), balance(&commit, "2026-05-01").as_str()),
        ("0", "1100")
    );
    commit.contract = Some(ContractTerm { ending_before: Some(may), archived_at: None });
    assert_eq!(ledger(&commit, "2026-07-01"), Vec::<String>::new());
    assert_eq!(balance(&commit, "2026-05-01"), "0");
    // What a finalized invoice drew stays, however early the contract ends afterwards.
    commit.draws = vec![draw(1, 1, -400, at("2026-06-01"))];
    assert_eq!(
        ledger(&commit, "2026-07-01"),
        ["01.05. start 1000", "01.05. manual 100", "01.05. expiration -700", "01.06. deduction -400"]
    );
}
