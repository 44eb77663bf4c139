"""Products over time: what an update changes on invoices, and what it may not."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import create_calls_metric


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-20T00:00:00Z")


@pytest.fixture
def product(client):
    return client.v1.contracts.products.create(
        name="Calls", type="USAGE", billable_metric_id=create_calls_metric(client), tags=["api"]
    ).data.id


@pytest.fixture
def customer(client, product):
    """Twenty calls in March at two cents each, half of them in its first half."""
    rate_card = client.v1.contracts.rate_cards.create(name="Calls").data.id
    client.v1.contracts.rate_cards.rates.add(
        rate_card_id=rate_card,
        product_id=product,
        starting_at="2026-01-01T00:00:00Z",
        entitled=True,
        rate_type="FLAT",
        price=2,
    )
    customer = client.v1.customers.create(name="Caller").data.id
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")
    client.v1.usage.ingest(
        usage=[
            {
                "transaction_id": f"{customer}-{number}",
                "customer_id": customer,
                "event_type": "api_call",
                "timestamp": f"2026-03-{5 if number < 10 else 18:02}T12:00:00Z",
            }
            for number in range(20)
        ]
    )
    return customer


def lines(client, customer):
    (draft,) = client.v1.customers.invoices.list(customer_id=customer)
    shown = [(line.name, line.quantity, line.unit_price, line.total, line.product_tags) for line in draft.line_items]
    assert draft.total == sum(line.total for line in draft.line_items)
    return shown


def test_a_new_name_and_new_tags_are_on_the_draft_at_once(client, product, customer):
    assert lines(client, customer) == [("Calls", 20, 2, 40, ["api"])]
    update = client.v1.contracts.products.update
    update(product_id=product, starting_at="2026-03-15T00:00:00Z", name="Requests", tags=["http"])
    assert lines(client, customer) == [("Requests", 20, 2, 40, ["http"])], "a name splits no usage"


def test_a_conversion_splits_the_period_and_its_removal_mends_it(client, product, customer):
    update = client.v1.contracts.products.update
    dozens = {"name": "fives", "conversion_factor": 5, "operation": "DIVIDE"}
    update(product_id=product, starting_at="2026-03-10T00:00:00Z", quantity_conversion=dozens)
    assert sorted(lines(client, customer)) == [("Calls", 2, 2, 4, ["api"]), ("Calls", 10, 2, 20, ["api"])]
    rounding = {"rounding_method": "ROUND_UP", "decimal_places": 0}
    update(product_id=product, starting_at="2026-03-10T00:00:00Z", quantity_conversion=None, quantity_rounding=rounding)
    update(product_id=product, starting_at="2026-03-10T00:00:00Z", quantity_rounding=None)
    assert lines(client, customer) == [("Calls", 20, 2, 40, ["api"])]
    current = client.v1.contracts.products.retrieve(id=product).data.current
    assert (current.quantity_conversion, current.quantity_rounding) == (None, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"starting_at": "2026-03-10T00:30:00Z", "name": "Half past"}, "starting_at"),
        ({"name": ""}, "name"),
        ({"pricing_group_key": ["zone"]}, "pricing_group_key"),
        ({"quantity_conversion": {"conversion_factor": 0, "operation": "DIVIDE"}}, "quantity_conversion"),
        ({"quantity_rounding": {"rounding_method": "ROUND_UP", "decimal_places": -1}}, "quantity_rounding"),
        ({"composite_tags": ["api"]}, "composite_tags"),
    ],
)
def test_an_update_is_refused_by_the_name_of_its_field(client, product, changes, field):
    with pytest.raises(BadRequestError, match=field):
        client.v1.contracts.products.update(**{"product_id": product, "starting_at": "2026-03-10T00:00:00Z", **changes})
    assert client.v1.contracts.products.retrieve(id=product).data.updates == []


def test_an_unknown_product_is_not_found_and_an_unknown_metric_refused(client, product):
    stranger, at = str(uuid4()), "2026-03-10T00:00:00Z"
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.contracts.products.update(product_id=stranger, starting_at=at, name="Nothing")
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.contracts.products.archive(product_id=stranger)
    with pytest.raises(BadRequestError, match=f"billable_metric_id.*{stranger}"):
        client.v1.contracts.products.update(product_id=product, starting_at=at, billable_metric_id=stranger)


def test_an_archived_product_takes_no_new_rate_and_goes_on_billing(client, product, customer):
    client.v1.contracts.products.archive(product_id=product)
    assert lines(client, customer) == [("Calls", 20, 2, 40, ["api"])]
    rate_card = client.v1.contracts.rate_cards.create(name="Too late").data.id
    with pytest.raises(BadRequestError, match="product_id.*archived"):
        client.v1.contracts.rate_cards.rates.add(
            rate_card_id=rate_card,
            product_id=product,
            starting_at="2026-03-01T00:00:00Z",
            entitled=True,
            rate_type="FLAT",
            price=1,
        )


def test_products_are_listed_by_whether_they_are_archived(upbeat, client):
    products = client.v1.contracts.products
    ids = []
    for number in range(4):
        ids.append(products.create(name=f"Fee {number}", type="FIXED").data.id)
        upbeat.tick()
    archived = ids[1::2]
    for product in archived:
        products.archive(product_id=product)

    def listed(**filters):
        return [product.id for product in products.list(limit=1, **filters) if product.id in ids]

    assert listed() == listed(archive_filter="NOT_ARCHIVED") == ids[::2]
    assert listed(archive_filter="ARCHIVED") == archived
    assert listed(archive_filter="ALL") == ids


def test_a_fixed_product_has_no_metric_and_no_rate(client):
    with pytest.raises(BadRequestError, match="billable_metric_id"):
        client.v1.contracts.products.create(name="Fee", type="FIXED", billable_metric_id=create_calls_metric(client))
    fee = client.v1.contracts.products.create(name="Fee", type="FIXED").data.id
    rate_card = client.v1.contracts.rate_cards.create(name="Fees").data.id
    with pytest.raises(BadRequestError, match="product_id"):
        client.v1.contracts.rate_cards.rates.add(
            rate_card_id=rate_card,
            product_id=fee,
            starting_at="2026-03-01T00:00:00Z",
            entitled=True,
            rate_type="FLAT",
            price=1,
        )


def test_a_composite_shares_in_products_by_id_and_by_tag(client):
    products = client.v1.contracts.products
    calls = products.create(name="Calls", type="USAGE", billable_metric_id=create_calls_metric(client)).data.id
    support = products.create(
        name="Support",
        type="COMPOSITE",
        composite_product_ids=[calls],
        composite_tags=["api"],
        exclude_free_usage=True,
        netsuite_overage_item_id="n1",
        extra_body={"composite_scope": "customer", "include_composite_spend": False},
    ).data.id
    products.update(
        product_id=support, starting_at="2026-03-10T00:00:00Z", composite_product_ids=[], composite_tags=["ai"]
    )
    products.update(product_id=support, starting_at="2026-04-01T00:00:00Z", exclude_free_usage=False)
    shown = products.retrieve(id=support).data
    assert shown.type == "COMPOSITE"

    def state(of):
        return (of.composite_product_ids, of.composite_tags, of.exclude_free_usage, of.composite_scope)

    assert state(shown.initial) == ([calls], ["api"], True, "CUSTOMER")
    assert state(shown.current) == ([], ["ai"], True, "CUSTOMER")
    assert [update.exclude_free_usage for update in shown.updates] == [None, False]
    fee = products.create(name="Fee", type="FIXED").data.id
    for field, changes in [
        (r"composite_product_ids\[0\]: there is no product", {"composite_product_ids": [str(uuid4())]}),
        (r"composite_product_ids\[0\]: .* FIXED", {"composite_product_ids": [fee]}),
        ("composite_product_ids: .* twice", {"composite_product_ids": [calls, calls]}),
        ("include_composite_spend: leads in a circle", {"tags": ["ai"], "extra_body": {"include_composite_spend": True}}),
        ("quantity_rounding", {"quantity_rounding": {"rounding_method": "ROUND_UP", "decimal_places": 1}}),
    ]:
        with pytest.raises(BadRequestError, match=field):
            products.update(product_id=support, starting_at="2026-03-10T00:00:00Z", **changes)


@pytest.mark.parametrize(
    ("given", "shown"),
    [("SUBSCRIPTION", "SUBSCRIPTION"), ("PROFESSIONAL_SERVICE", "PRO_SERVICE"), ("pro_service", "PRO_SERVICE")],
)
def test_seats_and_services_are_products_too(client, given, shown):
    products = client.v1.contracts.products
    product = products.create(name="People", type=given, tags=["people"]).data.id
    assert products.retrieve(id=product).data.type == shown
    with pytest.raises(BadRequestError, match="billable_metric_id"):
        products.create(name="People", type=given, billable_metric_id=create_calls_metric(client))
