"""Renewals: the old contract ends where the new one starts, and what is left of what it granted moves there, up to a
share of what was granted at first."""

from uuid import uuid4

import pytest
from metronome import BadRequestError

from grants import Shop, entries, lines, paid_on, utc


@pytest.fixture(scope="module")
def shop(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return Shop.open(client)


@pytest.fixture(scope="module")
def unchecked(upbeat):
    """Past the checking proxy: the published enum of v2 codes has no `BadRequest`."""
    with upbeat.client(base_url=upbeat.server_url) as client:
        yield client


@pytest.fixture
def customer(shop):
    return shop.customer()


def renewing(old, at, **more) -> dict:
    """Terms of a contract that renews the old one, with more about how it does."""
    return {"starting_at": f"{at}T00:00:00Z", "transition": {"type": "RENEWAL", "from_contract_id": old, **more}}


def transitions(contract) -> list:
    return [(one.type, one.from_contract_id, one.to_contract_id) for one in contract.transitions]


def everywhere(client, customer, contract) -> list:
    """The contract in all answers that show what it is now."""
    ids = {"customer_id": customer, "contract_id": contract}
    v1, v2 = client.v1.contracts, client.v2.contracts
    (in_list,) = (one for one in v1.list(customer_id=customer).data if one.id == contract)
    (in_flat_list,) = (one for one in v2.list(customer_id=customer).data if one.id == contract)
    return [v1.retrieve(**ids).data.current, in_list.current, v2.retrieve(**ids).data, in_flat_list]


def segment(balance):
    (segment,) = balance.access_schedule.schedule_items
    return segment


def net(client, customer) -> list:
    """What is left with drafts and without."""
    of_customer = client.v1.contracts.get_net_balance
    modes = ("FINALIZED_AND_DRAFT", "FINALIZED")
    return [of_customer(customer_id=customer, invoice_inclusion_mode=mode).data.balance for mode in modes]


@pytest.mark.parametrize(
    ("field", "terms", "transition"),
    [
        ("starting_at", {"starting_at": "2026-03-01T00:00:00Z"}, {}),
        ("starting_at", {"starting_at": "2026-02-01T00:00:00Z"}, {}),
        ("transition.type", {}, {"type": "SUPERSEDE"}),
        ("transition.from_contract_id", {}, {"from_contract_id": str(uuid4())}),
        ("transition.future_invoice_behavior.trueup", {}, {"future_invoice_behavior": {"trueup": "LATER"}}),
    ],
)
def test_a_renewal_is_refused_by_the_name_of_its_fault_and_ends_nothing(
    client, shop, customer, field, terms, transition
):
    old = shop.sign(customer)
    with pytest.raises(BadRequestError, match=field):
        shop.sign(customer, **{**renewing(old, "2026-04-01", **transition), **terms})
    assert [one.id for one in client.v2.contracts.list(customer_id=customer).data] == [old]
    for shown in everywhere(client, customer, old):
        assert (shown.ending_before, transitions(shown)) == (None, [])


@pytest.mark.parametrize(("kind", "more"), [("commits", {"type": "PREPAID"}), ("credits", {})])
@pytest.mark.parametrize("fraction", [1.5, -0.5])
def test_a_fraction_is_from_nothing_to_all(shop, customer, kind, more, fraction):
    grant = shop.grant(("2026-03-01", "2026-04-01", 1), rollover_fraction=fraction, **more)
    with pytest.raises(BadRequestError, match=rf"{kind}\[0\].*rollover_fraction"):
        shop.sign(customer, **{kind: [grant]})


def test_a_contract_of_another_customer_is_not_renewed(shop, customer):
    old = shop.sign(shop.customer())
    with pytest.raises(BadRequestError, match="transition.from_contract_id"):
        shop.sign(customer, **renewing(old, "2026-04-01"))


def test_a_contract_is_renewed_once_unless_that_was_a_mistake(client, shop, customer):
    grant = shop.grant(("2026-03-01", "2027-03-01", 100), type="PREPAID", rollover_fraction=1)
    old = shop.sign(customer, commits=[grant])
    mistake = shop.sign(customer, **renewing(old, "2026-04-01"))
    with pytest.raises(BadRequestError, match=f"transition.from_contract_id.*{mistake}"):
        shop.sign(customer, **renewing(old, "2026-05-01"))
    ends = {"customer_id": customer, "contract_id": old}
    with pytest.raises(BadRequestError, match=f"contract_id.*{mistake}"):
        client.v1.contracts.update_end_date(**ends, ending_before="2026-05-01T00:00:00Z")
    with pytest.raises(BadRequestError, match=f"contract_id.*{mistake}"):
        client.v1.contracts.archive(**ends, void_invoices=True)
    client.v1.contracts.archive(customer_id=customer, contract_id=mistake, void_invoices=True)
    new = shop.sign(customer, **renewing(old, "2026-03-20"))
    for shown in everywhere(client, customer, new):
        assert transitions(shown) == [("RENEWAL", old, new)]
    for shown in everywhere(client, customer, old):
        assert shown.ending_before == utc(3, 20)
        assert ("RENEWAL", old, new) in transitions(shown)


def test_a_start_that_is_past_moves_the_usage_since_then_as_well(upbeat, client, shop, customer):
    grant = shop.grant(("2026-03-01", "2027-03-01", 1000), type="PREPAID", name="Paid ahead", rollover_fraction=0.1)
    old = shop.sign(customer, commits=[grant])
    shop.call(customer, 2, "2026-03-03T12:00:00Z")
    shop.call(customer, 14, "2026-03-09T12:00:00Z")
    # 1000 - 50 - 350.
    assert net(client, customer) == [600, 1000]
    new = shop.sign(customer, **renewing(old, "2026-03-05"))
    upbeat.tick()
    # The old contract has 50 of usage: min(950 left, 0.1 x 1000) = 100 move, and 950 - 100 = 850 are lost.
    whole = {"customer_id": customer, "include_balance": True, "include_ledgers": True}
    (commit,) = client.v2.contracts.retrieve(contract_id=old, **whole).data.commits
    assert entries(commit) == [
        (utc(3, 1), "PREPAID_COMMIT_SEGMENT_START", 1000),
        (utc(3, 5), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -50),
        (utc(3, 5), "PREPAID_COMMIT_ROLLOVER", -100),
        (utc(3, 5), "PREPAID_COMMIT_EXPIRATION", -850),
    ]
    # The new one has 350: the 100 pay for 4 of 14 calls, and 250 are to be paid.
    (rolled,) = client.v2.contracts.retrieve(contract_id=new, **whole).data.commits
    assert entries(rolled) == [
        (utc(3, 5), "PREPAID_COMMIT_SEGMENT_START", 100),
        (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -100),
    ]
    invoices = shop.usage_invoices(customer)
    assert [(one.status, one.contract_id, one.start_timestamp, one.end_timestamp, one.total) for one in invoices] == [
        ("FINALIZED", old, utc(3, 1), utc(3, 5), 0),
        ("DRAFT", new, utc(3, 5), utc(4, 1), 250),
    ]
    assert lines(invoices[1]) == [
        ("usage", "API calls", 4, 100, rolled.id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -100, rolled.id),
        ("usage", "API calls", 10, 250, None),
    ]
    assert net(client, customer) == [0, 100]


# From here on the clock moves.
def test_what_is_left_is_taken_over_up_to_a_share_of_what_was_granted(upbeat, client, unchecked, shop, customer):
    commit = shop.grant(
        ("2026-03-05", "2027-03-05", 1000),
        type="PREPAID",
        name="Paid ahead",
        priority=7,
        rollover_fraction=0.5,
        **paid_on(("2026-03-01", 900)),
    )
    credit = shop.grant(("2026-03-01", "2027-03-01", 200), name="Gift", priority=9, rollover_fraction=0.8)
    old = shop.sign(customer, commits=[commit], credits=[credit])
    # Before the commit begins 2 calls draw 50 of the credit; then 14 calls draw 350 of the commit, whose priority is 7.
    shop.call(customer, 2, "2026-03-03T12:00:00Z")
    shop.call(customer, 14, "2026-03-09T12:00:00Z")
    # 1000 - 350 = 650 and 200 - 50 = 150 are left.
    assert net(client, customer) == [800, 1200]

    # Renewed ahead of time, with a commit of its own: the old contract ends, and nothing is gone before it does.
    before = upbeat.clock()
    upbeat.tick()
    fresh = shop.grant(("2026-04-01", "2027-04-01", 300), type="PREPAID", name="Fresh", priority=1)
    terms = renewing(old, "2026-04-01", future_invoice_behavior={"trueup": None})
    created = client.v1.contracts.create(
        customer_id=customer, rate_card_id=shop.rate_card, commits=[fresh], **terms
    ).data
    new = created.id
    assert transitions(created.contract) == [("RENEWAL", old, new)]
    for contract, start, end in ((old, utc(3, 1), utc(4, 1)), (new, utc(4, 1), None)):
        for shown in everywhere(client, customer, contract):
            assert (shown.starting_at, shown.ending_before) == (start, end)
            assert transitions(shown) == [("RENEWAL", old, new)]
    as_it_was = client.v2.contracts.retrieve(customer_id=customer, contract_id=old, as_of_date=before).data
    assert (as_it_was.ending_before, transitions(as_it_was)) == (None, [])
    as_made = [
        transitions(client.v1.contracts.retrieve(customer_id=customer, contract_id=one).data.initial)
        for one in (old, new)
    ]
    assert as_made == [[], [("RENEWAL", old, new)]]
    assert net(client, customer) == [800, 1200]

    # March is final: two of the old contract, two taken over, and the fresh one.
    upbeat.set_clock("2026-04-02T00:00:00Z")
    asked = {"customer_id": customer, "include_balance": True, "include_ledgers": True}
    for version in (client.v1, client.v2):
        whole = {}
        for contract in (old, new):
            answer = version.contracts.retrieve(contract_id=contract, **asked).data
            whole[contract] = answer if version is client.v2 else answer.current
        (commit,), (credit,) = whole[old].commits, whole[old].credits
        # The commit: min(650 left, 0.5 x 1000) = 500 move, and 650 - 500 = 150 are lost.
        assert entries(commit) == [
            (utc(3, 5), "PREPAID_COMMIT_SEGMENT_START", 1000),
            (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -350),
            (utc(4, 1), "PREPAID_COMMIT_ROLLOVER", -500),
            (utc(4, 1), "PREPAID_COMMIT_EXPIRATION", -150),
        ]
        # The credit: min(150 left, 0.8 x 200 = 160) = 150 move, and nothing is lost.
        assert entries(credit) == [
            (utc(3, 1), "CREDIT_SEGMENT_START", 200),
            (utc(4, 1), "CREDIT_AUTOMATED_INVOICE_DEDUCTION", -50),
            (utc(4, 1), "CREDIT_ROLLOVER", -150),
        ]
        assert (commit.balance, commit.rollover_fraction, commit.rolled_over_from) == (0, 0.5, None)
        assert (credit.balance, credit.rolled_over_from) == (0, None)
        for origin in (commit, credit):
            assert (origin.ledger[2].segment_id, origin.ledger[2].new_contract_id) == (segment(origin).id, new)

        (rolled,) = (one for one in whole[new].commits if one.rolled_over_from)
        (rolled_credit,) = whole[new].credits
        assert (rolled.rolled_over_from.commit_id, rolled.rolled_over_from.contract_id) == (commit.id, old)
        assert (rolled_credit.rolled_over_from.credit_id, rolled_credit.rolled_over_from.contract_id) == (
            credit.id,
            old,
        )
        for taken, start in ((rolled, "PREPAID_COMMIT_SEGMENT_START"), (rolled_credit, "CREDIT_SEGMENT_START")):
            origin, amount = (commit, 500) if taken is rolled else (credit, 150)
            assert (taken.type, taken.name, taken.priority) == (origin.type, origin.name, origin.priority)
            assert (taken.product.id, taken.contract.id) == (shop.product, new)
            assert (entries(taken), taken.balance) == ([(utc(4, 1), start, amount)], amount)
            # The new contract is open: as long as the old segments, which are of 365 days.
            window = segment(taken)
            assert (window.amount, window.starting_at) == (amount, utc(4, 1))
            assert window.ending_before == utc(4, 1).replace(year=2027)
        assert (rolled.created_at, rolled.rollover_fraction, rolled.invoice_schedule) == (utc(4, 1), None, None)
    assert shop.payments(customer) == [("FINALIZED", utc(3, 1), 900)], "nobody pays twice"
    # 500 + 150 + 300 of the fresh one.
    assert net(client, customer) == [950, 950]

    # What was taken over is not edited.
    with pytest.raises(BadRequestError, match="commit_id"):
        unchecked.v2.contracts.edit_commit(customer_id=customer, commit_id=rolled.id, priority=1)
    with pytest.raises(BadRequestError, match="credit_id"):
        unchecked.v2.contracts.edit_credit(customer_id=customer, credit_id=rolled_credit.id, priority=1)

    # 28 calls cost 700: what was taken over pays first whatever its priority, 500 of 7 and 150 of 9, then 50 of 1.
    shop.call(customer, 28, "2026-04-01T12:00:00Z")
    (fresh,) = (one for one in whole[new].commits if not one.rolled_over_from)
    (draft,) = shop.usage_invoices(customer, status="DRAFT")
    assert lines(draft) == [
        ("usage", "API calls", 20, 500, rolled.id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -500, rolled.id),
        ("usage", "API calls", 6, 150, rolled_credit.id),
        ("applied_commit_or_credit", "Gift applied", None, -150, rolled_credit.id),
        ("usage", "API calls", 2, 50, fresh.id),
        ("applied_commit_or_credit", "Fresh applied", None, -50, fresh.id),
    ]
    assert (draft.contract_id, draft.total) == (new, 0)
    # 300 - 50 = 250 are left of the fresh one.
    assert net(client, customer) == [250, 950]

    upbeat.set_clock("2026-05-02T00:00:00Z")
    assert net(client, customer) == [250, 250]
    for id, kind, amount in ((rolled.id, "PREPAID_COMMIT", 500), (rolled_credit.id, "CREDIT", 150)):
        spent = shop.balance(customer, id)
        assert (entries(spent), spent.balance) == (
            [
                (utc(4, 1), f"{kind}_SEGMENT_START", amount),
                (utc(5, 1), f"{kind}_AUTOMATED_INVOICE_DEDUCTION", -amount),
            ],
            0,
        )
        assert spent.rolled_over_from.contract_id == old


def test_a_promise_moves_too_and_what_is_short_of_the_rest_is_billed_unless_that_is_removed(
    upbeat, client, shop, customer
):
    upbeat.set_clock("2026-05-02T00:00:00Z")
    other = shop.customer()
    promise = shop.grant(("2026-05-01", "2027-05-01", 200), type="POSTPAID", name="Promise", rollover_fraction=0.5)
    promise |= paid_on(("2027-05-01", 200))
    olds = {one: shop.sign(one, starting_at="2026-05-01T00:00:00Z", commits=[promise]) for one in (customer, other)}
    news = {}
    for one, trueup in ((customer, "AS_IS"), (other, "REMOVE")):
        # 50 of the 200.
        shop.call(one, 2, "2026-05-01T12:00:00Z")
        terms = renewing(olds[one], "2026-06-01", future_invoice_behavior={"trueup": trueup})
        news[one] = shop.sign(one, **terms, ending_before="2026-07-01T00:00:00Z")

    # Of the 150 left 0.5 x 200 = 100 move; 150 - 100 = 50 are short.
    upbeat.set_clock("2026-06-03T00:00:00Z")
    moved = [
        (utc(5, 1), "POSTPAID_COMMIT_INITIAL_BALANCE", 200),
        (utc(6, 1), "POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -50),
        (utc(6, 1), "POSTPAID_COMMIT_ROLLOVER", -100),
    ]
    # What is short is billed when the last usage of its contract is: a day after its end.
    billed = {customer: [("FINALIZED", utc(6, 2), 50)], other: []}
    for one, closed in ((customer, "POSTPAID_COMMIT_TRUEUP"), (other, "POSTPAID_COMMIT_EXPIRATION")):
        asked = {"customer_id": one, "include_balance": True, "include_ledgers": True}
        for version in (client.v1, client.v2):
            old, new = (
                version.contracts.retrieve(contract_id=contract, **asked).data for contract in (olds[one], news[one])
            )
            if version is client.v1:
                old, new = old.current, new.current
            (commit,), (rolled,) = old.commits, new.commits
            assert entries(commit) == [*moved, (utc(6, 1), closed, -50)]
            assert (commit.ledger[2].segment_id, commit.ledger[2].new_contract_id) == (segment(commit).id, news[one])
            assert (rolled.type, rolled.rolled_over_from.commit_id) == ("POSTPAID", commit.id)
            assert (entries(rolled), rolled.balance) == ([(utc(6, 1), "POSTPAID_COMMIT_INITIAL_BALANCE", 100)], 100)
            # What moved is promised until the new contract ends.
            window = segment(rolled)
            assert (window.amount, window.starting_at, window.ending_before) == (100, utc(6, 1), utc(7, 1))
            (due,) = rolled.invoice_schedule.schedule_items
            assert (due.timestamp, due.amount) == (utc(7, 1), 100)
        assert shop.payments(one) == [*billed[one], ("DRAFT", utc(7, 2), 100)]

    # 75 of the 100 are spent, and paid for as ever; 25 are short.
    for one in (customer, other):
        shop.call(one, 3, "2026-06-02T12:00:00Z")
        (draft,) = shop.usage_invoices(one, status="DRAFT")
        assert (draft.contract_id, draft.total) == (news[one], 75)
    upbeat.set_clock("2026-07-03T00:00:00Z")
    for one in (customer, other):
        assert shop.payments(one) == [*billed[one], ("FINALIZED", utc(7, 2), 25)]
        (rolled,) = client.v2.contracts.retrieve(
            customer_id=one, contract_id=news[one], include_balance=True, include_ledgers=True
        ).data.commits
        assert entries(rolled) == [
            (utc(6, 1), "POSTPAID_COMMIT_INITIAL_BALANCE", 100),
            (utc(7, 1), "POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -75),
            (utc(7, 1), "POSTPAID_COMMIT_TRUEUP", -25),
        ]
        assert rolled.balance == 0
