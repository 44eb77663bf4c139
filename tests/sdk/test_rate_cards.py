"""Rate cards after their creation: words, aliases, order of products, the schedule of rates, the end."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import USD_CENTS


def first_of(month):
    return datetime(2026, month, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def cards(client):
    return client.v1.contracts.rate_cards


def create_product(client, name, **more):
    metric = client.v1.billable_metrics.create(
        name=name, aggregation_type="COUNT", property_filters=[{"name": "zone", "exists": True}], group_keys=[["zone"]]
    ).data.id
    return client.v1.contracts.products.create(name=name, type="USAGE", billable_metric_id=metric, **more).data.id


def add_rate(cards, card, product, price, starting_at="2026-01-01T00:00:00Z", **more):
    cards.rates.add(
        rate_card_id=card,
        product_id=product,
        starting_at=starting_at,
        **({} if price is None else {"price": price}),
        **{"entitled": True, "rate_type": "FLAT", **more},
    )


def sign(client, card=None, starting_at="2026-03-01T00:00:00Z", **terms):
    """A new customer under a contract on the card."""
    customer = client.v1.customers.create(name="Signed").data.id
    terms |= {"rate_card_id": card} if card else {}
    client.v1.contracts.create(customer_id=customer, starting_at=starting_at, **terms)
    return customer


def test_a_card_is_updated_field_by_field(client, cards):
    card = cards.create(name="Standard", description="Prices of 2026").data.id
    assert cards.update(rate_card_id=card, name="Public").data.id == card
    cards.update(
        rate_card_id=card,
        description="Prices of 2027",
        aliases=[{"name": "public", "starting_at": "2026-01-01T00:00:00Z"}],
        add_credit_type_conversions=[{"custom_credit_type_id": USD_CENTS, "fiat_per_custom_credit": 2.5}],
    )
    shown = cards.retrieve(id=card).data
    assert (shown.name, shown.description) == ("Public", "Prices of 2027")
    assert [(alias.name, alias.starting_at, alias.ending_before) for alias in shown.aliases] == [
        ("public", first_of(1), None)
    ]
    (conversion,) = shown.credit_type_conversions
    assert (conversion.custom_credit_type.id, conversion.fiat_per_custom_credit) == (USD_CENTS, "2.5")
    cards.update(rate_card_id=card, aliases=[])
    assert cards.retrieve(id=card).data.aliases == []


def test_a_refused_update_changes_nothing(client, cards):
    card = cards.create(name="Untouched").data.id
    unit = {"custom_credit_type_id": USD_CENTS, "fiat_per_custom_credit": 1}
    window = {"name": "twice", "starting_at": "2026-01-01T00:00:00Z"}
    for field, changes in [
        ("at least one", {}),
        ("name", {"name": ""}),
        (r"aliases\[1\]", {"name": "Touched", "aliases": [window, window]}),
        (r"aliases\[0\].ending_before", {"aliases": [{**window, "ending_before": "2026-01-01T00:00:00Z"}]}),
        (r"add_credit_type_conversions\[1\]", {"add_credit_type_conversions": [unit, unit]}),
    ]:
        with pytest.raises(BadRequestError, match=field):
            cards.update(rate_card_id=card, **changes)
    shown = cards.retrieve(id=card).data
    assert (shown.name, shown.aliases, shown.credit_type_conversions) == ("Untouched", [], [])
    with pytest.raises(NotFoundError):
        cards.update(rate_card_id=str(uuid4()), name="Nothing")


def test_an_alias_names_the_card_that_took_it_last_from_then_on(client, cards):
    product = create_product(client, "Calls")
    old = cards.create(name="Old", aliases=[{"name": "payg"}]).data.id
    new = cards.create(name="New").data.id
    add_rate(cards, old, product, 1)
    add_rate(cards, new, product, 2)
    cards.update(rate_card_id=new, aliases=[{"name": "payg", "starting_at": "2026-04-01T00:00:00Z"}])
    (window,) = cards.retrieve(id=old).data.aliases
    assert (window.name, window.starting_at, window.ending_before) == ("payg", None, first_of(4))
    for starting_at, card in [("2026-03-31T23:00:00Z", old), ("2026-04-01T00:00:00Z", new)]:
        customer = sign(client, starting_at=starting_at, rate_card_alias="payg")
        (contract,) = client.v2.contracts.list(customer_id=customer)
        assert contract.rate_card_id == card
    with pytest.raises(NotFoundError, match="nobody's"):
        sign(client, rate_card_alias="nobody's")


def test_an_archived_card_is_for_the_contracts_that_have_it(client, cards):
    product = create_product(client, "Calls")
    card = cards.create(name="Leaving", aliases=[{"name": "leaving"}]).data.id
    add_rate(cards, card, product, 3)
    customer = sign(client, card)
    client.v1.usage.ingest(usage=[event(customer, "archived-1")])
    for _ in range(2):
        assert cards.archive(id=card).data.id == card
    assert card not in [c.id for c in cards.list(body={})]
    assert cards.retrieve(id=card).data.name == "Leaving"
    (draft,) = client.v1.customers.invoices.list(customer_id=customer)
    assert draft.total == 3
    for refusal, call in [
        (BadRequestError, lambda: sign(client, card)),
        (NotFoundError, lambda: sign(client, rate_card_alias="leaving")),
        (BadRequestError, lambda: cards.update(rate_card_id=card, name="Back")),
        (BadRequestError, lambda: add_rate(cards, card, product, 4)),
        (BadRequestError, lambda: cards.product_orders.set(rate_card_id=card, product_order=[product])),
        (NotFoundError, lambda: cards.archive(id=str(uuid4()))),
    ]:
        with pytest.raises(refusal):
            call()


def test_the_order_of_the_products_is_that_of_rates_and_invoice_lines(client, cards):
    names = ["A", "B", "C", "D"]
    card = cards.create(name="Ordered").data.id
    products = {name: create_product(client, name) for name in names}
    for product in products.values():
        add_rate(cards, card, product, 1)
    customer = sign(client, card)
    client.v1.usage.ingest(usage=[event(customer, "ordered-1")])

    def order():
        rates = [rate.product_name for rate in cards.rates.list(rate_card_id=card, at="2026-03-09T00:00:00Z", limit=3)]
        (draft,) = client.v1.customers.invoices.list(customer_id=customer)
        assert rates == [line.name for line in draft.line_items]
        return "".join(rates)

    def move(*moves):
        moves = [{"product_id": products[name], "position": position} for name, position in moves]
        assert cards.product_orders.update(rate_card_id=card, product_moves=moves).data.id == card

    assert order() == "ABCD"
    listed = [products["C"], products["B"]]
    assert cards.product_orders.set(rate_card_id=card, product_order=listed).data.id == card
    assert order() == "CBAD", "what is not listed follows in the order that it had"
    move(("D", 1.0))
    assert order() == "CDBA"
    move(("A", 0), ("C", 99))
    assert order() == "ADBC"

    for field, call in [
        (r"product_order\[1\]", lambda: cards.product_orders.set(rate_card_id=card, product_order=listed[:1] * 2)),
        (r"product_order\[0\]", lambda: cards.product_orders.set(rate_card_id=card, product_order=[str(uuid4())])),
        (r"product_moves\[0\].position", lambda: move(("A", 0.5))),
        (r"product_moves\[1\].position", lambda: move(("A", 3), ("B", -1))),
    ]:
        with pytest.raises(BadRequestError, match=field):
            call()
    assert order() == "ADBC"
    with pytest.raises(NotFoundError):
        cards.product_orders.set(rate_card_id=str(uuid4()), product_order=[])


def test_the_schedule_shows_each_stretch_under_one_rate_with_its_own_bounds(client, cards):
    card = cards.create(name="Changing").data.id
    plain = create_product(client, "Plain", tags=["calls"])
    by_zone = create_product(client, "By zone", pricing_group_key=["zone"])
    for product, values in [(plain, {}), (by_zone, {"pricing_group_values": {"zone": "eu"}})]:
        add_rate(cards, card, product, 10, "2026-01-01T00:00:00Z", **values)
    add_rate(cards, card, plain, 20, "2026-03-01T00:00:00Z", ending_before="2026-05-01T00:00:00Z", entitled=False)
    tiers = [{"price": 5, "size": 100}, {"price": 4}]
    add_rate(
        cards, card, by_zone, None, "2026-02-01T00:00:00Z",
        rate_type="TIERED", tiers=tiers, pricing_group_values={"zone": "us"},
    )  # fmt: skip

    def stretches(starting_at, **more):
        """All pages; the SDK turns no pages of this list by itself."""
        rows, cursor = [], {}
        while True:
            page = cards.retrieve_rate_schedule(rate_card_id=card, starting_at=starting_at, limit=2, **cursor, **more)
            assert 1 <= len(page.data) <= 2
            rows += page.data
            if page.next_page is None:
                return rows
            cursor = {"next_page": page.next_page}

    def shown(rows):
        return [
            (row.product_name, (row.pricing_group_values or {}).get("zone"), row.starting_at, row.ending_before,
             row.rate.price, row.entitled)
            for row in rows
        ]  # fmt: skip

    rows = stretches("2026-02-15T00:00:00Z")
    assert shown(rows) == [
        ("Plain", None, first_of(1), first_of(3), 10, True),
        ("Plain", None, first_of(3), first_of(5), 20, False),
        ("Plain", None, first_of(5), None, 10, True),
        ("By zone", "eu", first_of(1), None, 10, True),
        ("By zone", "us", first_of(2), None, None, True),
    ]
    assert rows[0].product_tags == ["calls"]
    assert [(tier.price, tier.size) for tier in rows[-1].rate.tiers] == [(5, 100), (4, None)]
    assert shown(stretches("2026-03-01T00:00:00Z", ending_before="2026-03-02T00:00:00Z")) == shown(
        [rows[1], rows[3], rows[4]]
    )
    selectors = [{"product_id": plain}, {"partial_pricing_group_values": {"zone": "us"}}]
    assert shown(stretches("2026-05-01T00:00:00Z", selectors=selectors)) == shown([rows[2], rows[4]])


def test_every_type_of_rate_is_shown_as_it_was_added(client, cards):
    products = client.v1.contracts.products
    calls = create_product(client, "Calls", tags=["api"])
    seat = products.create(name="Seat", type="SUBSCRIPTION").data.id
    support = products.create(name="Support", type="COMPOSITE", composite_tags=["api"]).data.id
    card = cards.create(name="Everything").data.id
    start = {"starting_at": "2026-01-01T00:00:00Z", "entitled": True}
    commit_rate = {"rate_type": "TIERED", "tiers": [{"size": 10, "price": 0.5}, {"price": 0.25}]}
    added = cards.rates.add(
        rate_card_id=card, product_id=calls, rate_type="FLAT", price=1, commit_rate=commit_rate, **start
    ).data
    assert (added.rate_type, added.price, added.commit_rate.rate_type) == ("FLAT", 1, "TIERED")
    assert [(tier.size, tier.price) for tier in added.commit_rate.tiers] == [(10, 0.5), (None, 0.25)]
    flat = {"product_id": seat, "rate_type": "FLAT", **start}
    added = cards.rates.add_many(
        rate_card_id=card,
        rates=[
            {**flat, "price": 2000, "billing_frequency": "MONTHLY"},
            {**flat, "price": 20000, "billing_frequency": "annual"},
            {
                **{"product_id": support, "rate_type": "PERCENTAGE", "price": 1.25, **start},
                "minimum_config": {"minimum": 500},
            },
        ],
    )
    assert added.data.id == card

    def rates(**selector):
        rows = cards.rates.list(rate_card_id=card, at="2026-03-01T00:00:00Z", selectors=[selector] if selector else [])
        return [(row.product_name, row.billing_frequency, row.rate.rate_type, row.rate.price) for row in rows]

    assert rates() == [
        ("Calls", None, "FLAT", 1),
        ("Seat", "MONTHLY", "FLAT", 2000),
        ("Seat", "ANNUAL", "FLAT", 20000),
        ("Support", None, "PERCENTAGE", 1.25),
    ]
    assert rates(billing_frequency="Annual") == [("Seat", "ANNUAL", "FLAT", 20000)]
    assert rates(product_tags=["api"]) == [("Calls", None, "FLAT", 1)]
    rows = cards.retrieve_rate_schedule(
        rate_card_id=card, starting_at="2026-03-01T00:00:00Z", selectors=[{"billing_frequency": "monthly"}]
    ).data
    assert [(row.product_id, row.billing_frequency) for row in rows] == [(seat, "MONTHLY")]

    tiers = [{"size": 1000, "price": 0.1}, {"price": 0.05}]
    legacy = {"product_id": seat, "rate_type": "SUBSCRIPTION", "price": 900, "quantity": 2, "is_prorated": True, **start}
    shares = {"product_id": support, "rate_type": "TIERED_PERCENTAGE", "tiers": tiers, **start}
    cards.rates.add_many(rate_card_id=card, rates=[legacy, shares])
    assert rates()[1] == ("Seat", None, "SUBSCRIPTION", 900)
    assert rates()[-1] == ("Support", None, "TIERED_PERCENTAGE", None)
    for field, rate in [
        ("billing_frequency", {**flat, "price": 1}),
        ("rate_type", {**flat, "product_id": calls, "rate_type": "PERCENTAGE", "price": 1}),
        ("commit_rate", {**flat, "price": 1, "billing_frequency": "WEEKLY", "commit_rate": commit_rate}),
        ("is_prorated", {**legacy, "is_prorated": False}),
        (r"tiers\[0\].size", {**shares, "tiers": tiers[1:] * 2}),
        ("rate_type", {**flat, "product_id": calls, "rate_type": "CUSTOM"}),
    ]:
        with pytest.raises(BadRequestError, match=rf"rates\[0\].{field}: "):
            cards.rates.add_many(rate_card_id=card, rates=[rate])


def test_a_schedule_that_cannot_be_is_refused(client, cards):
    card = cards.create(name="Empty").data.id
    at = "2026-03-01T00:00:00Z"
    empty = cards.retrieve_rate_schedule(rate_card_id=card, starting_at=at)
    assert (empty.data, empty.next_page) == ([], None)
    with pytest.raises(BadRequestError, match="ending_before"):
        cards.retrieve_rate_schedule(rate_card_id=card, starting_at=at, ending_before=at)
    with pytest.raises(BadRequestError, match="next_page"):
        cards.retrieve_rate_schedule(rate_card_id=card, starting_at=at, next_page="forged")
    with pytest.raises(NotFoundError):
        cards.retrieve_rate_schedule(rate_card_id=str(uuid4()), starting_at=at)


def event(customer, transaction_id):
    return {
        "transaction_id": transaction_id,
        "customer_id": customer,
        "event_type": "api_call",
        "timestamp": "2026-03-09T12:00:00Z",
        "properties": {"zone": "eu"},
    }
