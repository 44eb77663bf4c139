"""Commits and credits of units of usage: so many calls are paid for, whatever a call costs."""

import pytest
from metronome import BadRequestError

from catalog import USD_CENTS, create_calls_metric
from grants import Shop, entries, lines, paid_on, utc

NO_UNIT = "00000000-0000-0000-0000-000000000000"
CALLED_AT = "2026-03-09T12:00:00Z"


@pytest.fixture(scope="module")
def shop(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return Shop.open(client)


@pytest.fixture
def customer(shop):
    return shop.customer()


def units(shop, *segments, access=None, **more) -> dict:
    """Terms of a commit or credit of units, with more about its access schedule."""
    terms = shop.grant(*segments, **more)
    terms["access_schedule"] |= {"access_type": "QUANTITY", **(access or {})}
    return terms


def every_month(shop, access_amount, **more) -> dict:
    terms = {
        "product_id": shop.product,
        "access_amount": access_amount,
        "commit_duration": {"value": 1, "unit": "PERIODS"},
        "priority": 1,
        "starting_at": "2026-03-01T00:00:00Z",
        "recurrence_frequency": "MONTHLY",
    }
    return {**terms, **more}


def product_of_calls(client, name) -> str:
    """A product that counts every call, as any other such product does."""
    metric = create_calls_metric(client)
    return client.v1.contracts.products.create(name=name, type="USAGE", billable_metric_id=metric).data.id


def add_rate(client, rate_card, product, **rate):
    rate = {"starting_at": "2026-01-01T00:00:00Z", "entitled": True, **rate}
    client.v1.contracts.rate_cards.rates.add(rate_card_id=rate_card, product_id=product, **rate)


def kind(grant) -> tuple:
    """Whether it is of units or of money, and of which money."""
    schedule = grant.access_schedule
    return schedule.access_type, schedule.credit_type and schedule.credit_type.id


def consumed(invoice) -> list:
    return [line.quantity_consumed for line in invoice.line_items]


def test_what_is_of_units_is_shown_without_a_unit_of_money(client, shop, customer):
    commits, credits = client.v1.customers.commits, client.v1.customers.credits
    flags = {"customer_id": customer, "include_balance": True, "include_ledgers": True}
    of_units = units(shop, ("2026-03-01", "2027-03-01", 1000.5), name="Calls")
    created = client.v1.contracts.create(
        customer_id=customer,
        rate_card_id=shop.rate_card,
        starting_at="2026-03-01T00:00:00Z",
        commits=[{"type": "PREPAID", **of_units}],
        credits=[of_units],
    ).data
    # What units cost is money all the same.
    payment = paid_on(("2026-04-01", 300), invoice_contract_id=created.id)
    id = commits.create(customer_id=customer, type="PREPAID", **of_units, **payment).data.id
    (commit,) = commits.list(commit_id=id, **flags)
    assert commit.invoice_schedule.credit_type.id == USD_CENTS
    assert shop.payments(customer) == [("DRAFT", utc(4, 1), 300)]
    id = credits.create(customer_id=customer, **of_units).data.id
    (credit,) = credits.list(credit_id=id, **flags)
    for shown, begun in ((commit, "PREPAID_COMMIT_SEGMENT_START"), (credit, "CREDIT_SEGMENT_START")):
        assert kind(shown) == ("QUANTITY", None)
        assert shown.access_schedule.schedule_items[0].amount == 1000.5
        assert (entries(shown), shown.balance) == ([(utc(3, 1), begun, 1000.5)], 1000.5)

    ids = {"customer_id": customer, "contract_id": created.id}
    (in_list,) = client.v1.contracts.list(customer_id=customer).data
    (in_flat_list,) = client.v2.contracts.list(customer_id=customer).data
    now = client.v1.contracts.retrieve(**ids).data.current
    for contract in (created.contract, now, in_list.current, client.v2.contracts.retrieve(**ids).data, in_flat_list):
        assert [kind(grant) for grant in (*contract.commits, *contract.credits)] == [("QUANTITY", None)] * 2

    # All else is of money, whether it says so or not.
    for said in ({}, {"access_type": "SPEND"}, {"access_type": "SPEND", "credit_type_id": USD_CENTS}):
        terms = shop.grant(("2026-03-01", "2027-03-01", 5))
        terms["access_schedule"] |= said
        id = credits.create(customer_id=customer, **terms).data.id
        (shown,) = credits.list(customer_id=customer, credit_id=id)
        assert kind(shown) == ("SPEND", USD_CENTS)


def test_units_are_refused_by_the_name_of_their_fault(client, shop, customer):
    commits, credits = client.v1.customers.commits, client.v1.customers.credits
    year = ("2026-03-01", "2027-03-01", 10)
    promise = {"type": "POSTPAID", **units(shop, year), **paid_on(("2027-03-01", 10))}
    for field, wrong in (
        ("access_schedule.credit_type_id", units(shop, year, access={"credit_type_id": USD_CENTS})),
        ("access_type", units(shop, year, access={"access_type": "SEATS"})),
        ("access_schedule.schedule_items", units(shop, ("2026-03-01", "2027-03-01", -1))),
    ):
        with pytest.raises(BadRequestError, match=field):
            commits.create(customer_id=customer, type="PREPAID", **wrong)
        with pytest.raises(BadRequestError, match=field):
            credits.create(customer_id=customer, **wrong)
    with pytest.raises(BadRequestError, match="access_schedule.access_type"):
        commits.create(customer_id=customer, invoice_contract_id=shop.sign(customer), **promise)
    assert list(client.v1.contracts.list_balances(customer_id=customer)) == []


def test_units_of_a_contract_are_refused_by_their_place(client, shop, customer):
    year = ("2026-03-01", "2027-03-01", 10)
    in_cents = units(shop, year, access={"credit_type_id": USD_CENTS})
    promise = {"type": "POSTPAID", **units(shop, year), **paid_on(("2027-03-01", 10))}
    amount = {"unit_price": 2, "quantity": 3, "access_type": "QUANTITY", "credit_type_id": USD_CENTS}
    for place, terms in (
        (r"commits\[0\].access_schedule.credit_type_id", {"commits": [{"type": "PREPAID", **in_cents}]}),
        (r"commits\[0\].access_schedule.access_type", {"commits": [promise]}),
        (r"credits\[0\].access_schedule.credit_type_id", {"credits": [in_cents]}),
        (r"recurring_commits\[0\].access_amount.credit_type_id", {"recurring_commits": [every_month(shop, amount)]}),
        (r"recurring_credits\[0\].access_amount.credit_type_id", {"recurring_credits": [every_month(shop, amount)]}),
    ):
        with pytest.raises(BadRequestError, match=place):
            shop.sign(customer, **terms)
    assert client.v2.contracts.list(customer_id=customer).data == []


def test_units_are_covered_whatever_they_cost(client, shop, customer):
    # Each call is a report too. The first three reports cost 100 each, all others 50.
    card = client.v1.contracts.rate_cards.create(name="Calls and reports").data.id
    add_rate(client, card, product_of_calls(client, "Calls"), rate_type="FLAT", price=25)
    tiers = [{"size": 3, "price": 100}, {"price": 50}]
    add_rate(client, card, product_of_calls(client, "Reports"), rate_type="TIERED", tiers=tiers)
    shop.sign(customer, rate_card_id=card)
    grant = units(shop, ("2026-03-01", "2026-06-01", 6.5), name="Paid ahead")
    id = client.v1.customers.commits.create(customer_id=customer, type="PREPAID", **grant).data.id
    shop.call(customer, 5, CALLED_AT)

    # Of 5 calls and 5 reports the dearest go first: 3 reports of 100, 2 reports of 50, and 6.5 - 5 = 1.5 calls of 25.
    # To be paid are 5 - 1.5 = 3.5 calls of 25, which is 87.5.
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "Calls", 1.5, 37.5, id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -37.5, id),
        ("usage", "Calls", 3.5, 87.5, None),
        ("usage", "Reports", 3, 300, id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -300, id),
        ("usage", "Reports", 2, 100, id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -100, id),
    ]
    assert consumed(draft) == [None, 1.5, None, None, 3, None, 2]
    assert [line.unit_price for line in draft.line_items] == [25, None, 25, 100, None, 50, None]
    assert draft.total == 87.5
    spent = shop.balance(customer, id)
    (segment,) = spent.access_schedule.schedule_items
    for line in draft.line_items:
        applied = line.applied_commit_or_credit
        if line.commit_id is None:
            assert (line.commit_segment_id, applied) == (None, None)
        else:
            assert (line.commit_segment_id, line.commit_type) == (segment.id, "PrepaidCommit")
            assert (applied.id, applied.type, applied.access_type) == (id, "PREPAID", "QUANTITY")
    # 437.5 cents are covered, and 6.5 units are taken for them.
    assert (entries(spent), spent.balance) == (
        [
            (utc(3, 1), "PREPAID_COMMIT_SEGMENT_START", 6.5),
            (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -6.5),
        ],
        0,
    )


def test_units_pay_for_usage_alone(client, shop, customer):
    products = client.v1.contracts.products
    card = client.v1.contracts.rate_cards.create(name="Calls, seats and support").data.id
    calls = product_of_calls(client, "Calls")
    seat = products.create(name="Seat", type="SUBSCRIPTION").data.id
    support = products.create(name="Support", type="COMPOSITE", composite_product_ids=[calls]).data.id
    add_rate(client, card, calls, rate_type="FLAT", price=25)
    add_rate(client, card, seat, rate_type="SUBSCRIPTION", price=900, quantity=2, is_prorated=True)
    add_rate(client, card, support, rate_type="PERCENTAGE", price=0.1)
    shop.sign(customer, rate_card_id=card)
    grant = units(shop, ("2026-03-01", "2026-04-01", 10), name="Gift")
    id = client.v1.customers.credits.create(customer_id=customer, **grant).data.id
    shop.call(customer, 4, CALLED_AT)

    # 4 of the 10 units are drawn. The 6 left pay neither for the 2 seats nor for a tenth of the 100 for the calls.
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "Calls", 4, 100, id),
        ("applied_commit_or_credit", "Gift applied", None, -100, id),
        ("subscription", "Seat", 2, 1800, None),
        ("usage", "Support", 100, 10, None),
    ]
    assert (consumed(draft), draft.total) == ([None, 4, None, None], 1810)
    left = shop.balance(customer, id)
    assert (entries(left), left.balance) == (
        [(utc(3, 1), "CREDIT_SEGMENT_START", 10), (utc(4, 1), "CREDIT_AUTOMATED_INVOICE_DEDUCTION", -4)],
        6,
    )


def test_units_are_covered_in_whatever_they_are_priced(client, shop, customer):
    ai_credits = client.v1.pricing_units.create(name="AI credits").data.id
    card = client.v1.contracts.rate_cards.create(
        name="AI credits",
        credit_type_conversions=[{"custom_credit_type_id": ai_credits, "fiat_per_custom_credit": 2}],
    ).data.id
    add_rate(client, card, product_of_calls(client, "Jobs"), rate_type="FLAT", price=10, credit_type_id=ai_credits)
    shop.sign(customer, rate_card_id=card)
    grant = units(shop, ("2026-03-01", "2026-04-01", 2), name="Gift")
    id = client.v1.customers.credits.create(customer_id=customer, **grant).data.id
    shop.call(customer, 5, CALLED_AT)

    # 2 of 5 jobs are covered. The other 3 cost 30 AI credits, which are 60 cents.
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "Jobs", 2, 20, id),
        ("applied_commit_or_credit", "Gift applied", None, -20, id),
        ("usage", "Jobs", 3, 30, None),
        ("cpu_conversion", "AI credits conversion", 30, 60, None),
    ]
    assert [line.credit_type.id for line in draft.line_items] == [*[ai_credits] * 3, USD_CENTS]
    assert (consumed(draft), draft.total) == ([None, 2, None, None], 60)
    assert shop.balance(customer, id).balance == 0


def test_units_and_money_are_listed_and_summed_apart(upbeat, client, shop, customer):
    year = ("2026-03-01", "2027-03-01")
    of_contract = units(shop, (*year, 3), type="PREPAID", priority=1)
    contract = shop.sign(customer, commits=[of_contract])
    (commit,) = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data.commits
    made = {commit.id: "units of contract"}
    commits, credits = client.v1.customers.commits, client.v1.customers.credits
    for name, create, terms in (
        ("given units", credits.create, units(shop, (*year, 5.5), priority=2)),
        ("own units", commits.create, {"type": "PREPAID", **units(shop, (*year, 10), priority=3)}),
        ("money", commits.create, {"type": "PREPAID", **shop.grant((*year, 70), priority=4)}),
    ):
        upbeat.tick()
        made[create(customer_id=customer, **terms).data.id] = name
    ids = {name: id for id, name in made.items()}
    # 3 calls take all that the contract has, and one takes 1 of the 5.5; the 10 and the money stay as they are.
    shop.call(customer, 4, CALLED_AT)

    def listed(**filters):
        flags = {"include_contract_balances": True, "include_balance": True}
        balances = client.v1.contracts.list_balances(customer_id=customer, limit=1, **flags, **filters)
        return {made[balance.id]: (balance.balance, balance.access_schedule.access_type) for balance in balances}

    of_units = {
        "units of contract": (0, "QUANTITY"),
        "given units": (4.5, "QUANTITY"),
        "own units": (10, "QUANTITY"),
    }
    assert listed() == {**of_units, "money": (70, "SPEND")}
    assert listed(access_type="QUANTITY") == of_units
    assert listed(access_type="SPEND") == {"money": (70, "SPEND")}
    assert set(listed(access_type="QUANTITY", exclude_zero_balances=True)) == {"given units", "own units"}
    assert listed(access_type="SPEND", id=ids["own units"]) == {}

    def of_commits(**filters):
        return [made[commit.id] for commit in commits.list(customer_id=customer, **filters)]

    assert of_commits(access_type="QUANTITY") == ["own units"]
    assert of_commits(access_type="SPEND") == ["money"]
    assert of_commits(access_type="QUANTITY", include_contract_commits=True) == ["units of contract", "own units"]
    assert of_commits() == ["own units", "money"]

    def net(*filters, **more):
        answer = client.v1.contracts.get_net_balance(customer_id=customer, filters=filters, **more).data
        return answer.balance, answer.credit_type_id

    assert net() == net(access_type="SPEND") == net(credit_type_id=USD_CENTS) == (70, USD_CENTS)
    # 0 + 4.5 + 10 with the draft, 3 + 5.5 + 10 without it.
    of_units = {"access_type": "QUANTITY"}
    assert net(**of_units) == (14.5, NO_UNIT)
    assert net(**of_units, invoice_inclusion_mode="FINALIZED") == (18.5, NO_UNIT)
    assert net({"balance_types": ["CREDIT"]}, **of_units) == (4.5, NO_UNIT)
    assert net({"ids": [ids["own units"], ids["money"]]}, **of_units) == (10, NO_UNIT)
    with pytest.raises(BadRequestError, match="credit_type_id"):
        net(**of_units, credit_type_id=USD_CENTS)


def test_each_month_has_units_of_its_own(client, shop, customer):
    # 2 x 3 calls every month; and 40 cents, which are cents as nothing else is said.
    calls = {"unit_price": 2, "quantity": 3, "access_type": "QUANTITY"}
    contract = shop.sign(
        customer,
        recurring_commits=[every_month(shop, calls, name="Six calls", priority=2)],
        recurring_credits=[every_month(shop, {"unit_price": 40, "quantity": 1}, name="Forty cents")],
    )
    asked = {"customer_id": customer, "contract_id": contract, "include_balance": True}
    shop.call(customer, 8, CALLED_AT)
    whole = client.v2.contracts.retrieve(**asked).data
    for shown in (whole, client.v1.contracts.retrieve(**asked).data.current):
        amounts = [grants[0].access_amount for grants in (shown.recurring_commits, shown.recurring_credits)]
        assert [(one.unit_price, one.quantity, one.credit_type_id, one.access_type) for one in amounts] == [
            (2, 3, NO_UNIT, "QUANTITY"),
            (40, 1, USD_CENTS, "SPEND"),
        ]
        assert {kind(grant) for grant in shown.commits} == {("QUANTITY", None)}
        assert {kind(grant) for grant in shown.credits} == {("SPEND", USD_CENTS)}
    months = {grant.access_schedule.schedule_items[0].starting_at: grant for grant in whole.commits}
    amounts = {start: grant.access_schedule.schedule_items[0].amount for start, grant in months.items()}
    assert amounts == {utc(3, 1): 6, utc(4, 1): 6}
    commit = months[utc(3, 1)]
    (credit,) = (one for one in whole.credits if one.access_schedule.schedule_items[0].starting_at == utc(3, 1))

    # By priority: 40 cents are 1.6 of 8 calls of 25; then 6 calls, of 150; 0.4 of a call is left to pay, which is 10.
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "API calls", 1.6, 40, credit.id),
        ("applied_commit_or_credit", "Forty cents applied", None, -40, credit.id),
        ("usage", "API calls", 6, 150, commit.id),
        ("applied_commit_or_credit", "Six calls applied", None, -150, commit.id),
        ("usage", "API calls", 0.4, 10, None),
    ]
    assert (consumed(draft), draft.total) == ([None, None, None, 6, None], 10)
    *applied, overage = (line.applied_commit_or_credit for line in draft.line_items)
    assert [one.access_type for one in applied] == ["SPEND", "SPEND", "QUANTITY", "QUANTITY"]
    assert overage is None
    assert (commit.balance, credit.balance) == (0, 0)


# From here on the clock moves.
def test_units_of_a_contract_from_signing_to_regenerating(upbeat, client, shop, customer):
    ahead = units(shop, ("2026-03-01", "2026-06-01", 6), type="PREPAID", name="Six calls")
    ahead |= paid_on(("2026-03-15", 90))
    # Nothing that is sold has the tag.
    unused = units(shop, ("2026-03-01", "2026-04-01", 10.5), name="Gift", applicable_product_tags=["other"])
    contract = shop.sign(customer, commits=[ahead], credits=[unused])
    (shown,) = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data.commits
    shop.call(customer, 4, CALLED_AT)
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "API calls", 4, 100, shown.id),
        ("applied_commit_or_credit", "Six calls applied", None, -100, shown.id),
    ]
    assert (consumed(draft), draft.total) == ([None, 4], 0)

    # The units are paid for in money, and March is final.
    upbeat.set_clock("2026-04-02T00:00:00Z")
    assert shop.payments(customer) == [("FINALIZED", utc(3, 15), 90)]
    march = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=draft.id).data
    assert (march.status, lines(march), march.total) == ("FINALIZED", lines(draft), 0)
    assert consumed(march) == [None, 4]

    # 6 - 4 = 2 units are left of the commit; the 10.5 that nobody used are gone.
    drawn = [
        (utc(3, 1), "PREPAID_COMMIT_SEGMENT_START", 6),
        (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -4),
    ]
    asked = {"customer_id": customer, "contract_id": contract, "include_balance": True, "include_ledgers": True}
    for version in (client.v1, client.v2):
        whole = version.contracts.retrieve(**asked).data
        whole = whole if version is client.v2 else whole.current
        (commit,), (credit,) = whole.commits, whole.credits
        assert (entries(commit), commit.balance, commit.ledger[1].invoice_id) == (drawn, 2, march.id)
        assert (entries(credit), credit.balance) == (
            [(utc(3, 1), "CREDIT_SEGMENT_START", 10.5), (utc(4, 1), "CREDIT_EXPIRATION", -10.5)],
            0,
        )

    # What is void gives the 4 units back. Without 3 of the 6 its successor covers 3 calls, and one is to be paid.
    client.v1.invoices.void(id=march.id)
    void = shop.balance(customer, shown.id)
    canceled = (utc(4, 1), "PREPAID_COMMIT_CANCELED", 4)
    assert (sorted(entries(void)), void.balance) == (sorted([*drawn, canceled]), 6)
    (segment,) = void.access_schedule.schedule_items
    client.v1.contracts.add_manual_balance_entry(
        customer_id=customer, contract_id=contract, id=shown.id, segment_id=segment.id, amount=-3, reason="By mistake"
    )
    again = client.v1.invoices.regenerate(id=march.id).data.id
    again = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=again).data
    assert lines(again) == [
        ("usage", "API calls", 3, 75, shown.id),
        ("applied_commit_or_credit", "Six calls applied", None, -75, shown.id),
        ("usage", "API calls", 1, 25, None),
    ]
    assert (again.status, consumed(again), again.total) == ("FINALIZED", [None, 3, None], 25)
    spent = shop.balance(customer, shown.id)
    drawn_by = {entry.invoice_id: entry.amount for entry in spent.ledger if "DEDUCTION" in entry.type}
    assert (drawn_by, spent.balance) == ({march.id: -4, again.id: -3}, 0)
