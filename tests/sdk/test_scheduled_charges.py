"""Scheduled charges: agreed payments, each on an invoice of its date or on the usage invoice that ends that day."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import USD_CENTS, sell_api_calls


def utc(month, day):
    return datetime(2026, month, day, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def fee(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return client.v1.contracts.products.create(name="Set-up fee", type="FIXED", tags=["fees"]).data.id


@pytest.fixture
def customer(client):
    return client.v1.customers.create(name="Charged").data.id


@pytest.fixture
def sign(client, customer):
    """Makes a contract with charges since the first of March, and answers as the SDK does."""

    def sign(*charges, **terms):
        terms = {"starting_at": "2026-03-01T00:00:00Z", **terms}
        return client.v1.contracts.create(customer_id=customer, scheduled_charges=charges, **terms).data

    return sign


@pytest.fixture
def scheduled(client, customer):
    def scheduled(**filters):
        return list(client.v1.customers.invoices.list(customer_id=customer, type="SCHEDULED", limit=2, **filters))

    return scheduled


def on(product, *items, **more):
    """A charge of the product; an item is a date with an amount, or with a unit price and a quantity."""
    items = [
        {"timestamp": date, "amount": price[0]}
        if len(price) == 1
        else {"timestamp": date, "unit_price": price[0], "quantity": price[1]}
        for date, *price in items
    ]
    return {"product_id": product, "schedule": {"schedule_items": items}, **more}


def every_month(product, distribution, amount, **more):
    recurring = {
        "starting_at": "2026-04-15T00:00:00Z",
        "ending_before": "2026-07-15T00:00:00Z",
        "frequency": "MONTHLY",
        "amount_distribution": distribution,
        "amount": amount,
    }
    return {"product_id": product, "schedule": {"recurring_schedule": {**recurring, **more}}}


def test_a_charge_is_shown_with_its_items_in_both_versions(client, customer, fee, sign):
    charge = on(fee, ("2026-04-10T00:00:00Z", 500), ("2026-05-10T00:00:00Z", 2.5, 3), name="Set-up")
    created = sign(charge, netsuite_sales_order_id="so-1")
    (shown,) = created.contract.scheduled_charges
    assert (shown.product.id, shown.product.name, shown.name) == (fee, "Set-up fee", "Set-up")
    assert shown.schedule.credit_type.id == USD_CENTS
    items = shown.schedule.schedule_items
    assert [(i.timestamp, i.amount, i.unit_price, i.quantity, i.invoice_id) for i in items] == [
        (utc(4, 10), 500, 500, 1, None),
        (utc(5, 10), 7.5, 2.5, 3, None),
    ]
    ids = {"customer_id": customer, "contract_id": created.id}
    nested, flat = (version.contracts.retrieve(**ids).data for version in (client.v1, client.v2))
    for charges in (nested.initial.scheduled_charges, nested.current.scheduled_charges, flat.scheduled_charges):
        assert [c.to_dict() for c in charges] == [shown.to_dict()]


def test_each_date_has_its_invoice_from_the_start(client, customer, fee, sign, scheduled):
    contract = sign(
        on(fee, ("2026-04-10T00:00:00Z", 500), ("2026-05-10T00:00:00Z", 2.5, 3)),
        on(fee, ("2026-05-10T00:00:00Z", -1), name="Rebate"),
        on(fee, ("2026-06-10T00:00:00Z", 4)),
    )
    invoices = scheduled()
    assert [(i.status, i.issued_at, i.total) for i in invoices] == [
        ("DRAFT", utc(4, 10), 500),
        ("DRAFT", utc(5, 10), 6.5),
        ("DRAFT", utc(6, 10), 4),
    ]
    assert {i.contract_id for i in invoices} == {contract.id}
    charges = [charge.id for charge in contract.contract.scheduled_charges]
    assert [
        (line.type, line.name, line.quantity, line.unit_price, line.total, line.product_type, line.scheduled_charge_id)
        for line in invoices[1].line_items
    ] == [
        ("scheduled", "Set-up fee", 3, 2.5, 7.5, "FixedProductListItem", charges[0]),
        ("scheduled", "Rebate", 1, -1, -1, "FixedProductListItem", charges[1]),
    ]
    assert [line.product_tags for line in invoices[1].line_items] == [["fees"]] * 2
    by_id = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=invoices[1].id).data
    assert by_id.to_dict() == invoices[1].to_dict()
    assert [i.issued_at for i in scheduled(sort="date_desc")] == [utc(6, 10), utc(5, 10), utc(4, 10)]
    between = scheduled(starting_on="2026-04-11T00:00:00Z", ending_before="2026-06-10T00:00:00Z")
    assert [i.issued_at for i in between] == [utc(5, 10)]
    (usage,) = client.v1.customers.invoices.list(customer_id=customer, type="USAGE")
    assert usage.line_items == []


@pytest.mark.parametrize(
    ("distribution", "amounts"),
    [("EACH", [1000, 1000, 1000]), ("DIVIDED_ROUNDED", [333, 333, 334])],
)
def test_a_recurring_amount_is_distributed_over_its_dates(fee, sign, scheduled, distribution, amounts):
    sign(every_month(fee, distribution, 1000))
    assert [(i.issued_at, i.total) for i in scheduled()] == list(zip([utc(4, 15), utc(5, 15), utc(6, 15)], amounts))


def test_the_parts_of_a_divided_amount_make_the_whole(client, fee, sign, scheduled):
    sign(every_month(fee, "DIVIDED", 1000))
    parts = [invoice.total for invoice in scheduled()]
    assert parts == pytest.approx([1000 / 3] * 3)
    assert parts[2] >= parts[1] == parts[0], "the last takes what the division leaves"


def test_an_earlier_end_takes_the_charges_behind_it_away(client, customer, fee, sign, scheduled):
    contract = sign(every_month(fee, "EACH", 1000))
    client.v1.contracts.update_end_date(
        customer_id=customer, contract_id=contract.id, ending_before="2026-05-15T00:00:00Z"
    )
    assert [i.issued_at for i in scheduled()] == [utc(4, 15)]
    shown = client.v1.contracts.retrieve(customer_id=customer, contract_id=contract.id).data
    agreed, standing = (terms.scheduled_charges[0].schedule.schedule_items for terms in (shown.initial, shown.current))
    assert (len(agreed), len(standing)) == (3, 1)


def test_archiving_voids_what_was_to_come(client, customer, fee, sign, scheduled):
    contract = sign(every_month(fee, "EACH", 1000))
    client.v1.contracts.archive(customer_id=customer, contract_id=contract.id, void_invoices=False)
    assert [(i.status, i.issued_at, i.total) for i in scheduled()] == [
        ("VOID", utc(4, 15), 1000),
        ("VOID", utc(5, 15), 1000),
        ("VOID", utc(6, 15), 1000),
    ]
    assert list(client.v1.customers.invoices.list(customer_id=customer, type="USAGE")) == []


@pytest.mark.parametrize(
    ("field", "change"),
    [
        (r"\[0\]\.schedule\b", {"schedule": {}}),
        (r"schedule_items\[0\]\.amount", {"schedule": {"schedule_items": [{"timestamp": "2026-04-01T00:00:00Z"}]}}),
        (r"schedule\.do_not_invoice", {"schedule": {**on("")["schedule"], "do_not_invoice": True}}),
        (r"recurring_schedule\.ending_before", every_month("", "EACH", 1, ending_before="2026-04-15T00:00:00Z")),
        (r"recurring_schedule\.frequency", every_month("", "EACH", 1, frequency="WEEKLY")),
        (r"recurring_schedule\.amount\b", every_month("", "EACH", 1, unit_price=1, quantity=1)),
        (r"\[0\]\.name", {"name": ""}),
    ],
)
def test_a_charge_is_refused_by_the_place_of_its_fault(client, customer, fee, sign, field, change):
    with pytest.raises(BadRequestError, match=f"scheduled_charges.*{field}"):
        sign({**on(fee, ("2026-04-10T00:00:00Z", 500)), **change, "product_id": fee})
    assert list(client.v1.contracts.list(customer_id=customer)) == []


def test_a_charge_is_of_a_fixed_product_in_use(client, fee, sign):
    metered = client.v1.billable_metrics.create(name="Calls", aggregation_type="COUNT").data.id
    usage = client.v1.contracts.products.create(name="Calls", type="USAGE", billable_metric_id=metered).data.id
    archived = client.v1.contracts.products.create(name="Old fee", type="FIXED").data.id
    client.v1.contracts.products.archive(product_id=archived)
    for product in (usage, archived):
        with pytest.raises(BadRequestError, match=r"scheduled_charges\[0\]\.product_id"):
            sign(on(product, ("2026-04-10T00:00:00Z", 1)))
    stranger = str(uuid4())
    with pytest.raises(NotFoundError, match=stranger):
        sign(on(stranger, ("2026-04-10T00:00:00Z", 1)))


# From here on the clock moves.
def test_a_past_date_is_invoiced_at_once_and_another_on_its_day(upbeat, client, customer, fee, sign, scheduled):
    contract = sign(on(fee, ("2026-02-10T00:00:00Z", 1), ("2026-03-10T00:00:00Z", 2), ("2026-04-10T00:00:00Z", 3)))
    upbeat.tick()
    assert [i.status for i in scheduled()] == ["FINALIZED", "DRAFT", "DRAFT"]
    draft = scheduled()[1]
    upbeat.set_clock("2026-03-10T00:00:00Z")
    finalized = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=draft.id).data
    assert finalized.to_dict() == {**draft.to_dict(), "status": "FINALIZED"}
    (charge,) = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract.id).data.scheduled_charges
    first, second, third = (item.invoice_id for item in charge.schedule.schedule_items)
    assert (first, second, third) == (scheduled()[0].id, draft.id, None)


def test_a_charge_of_the_day_on_which_a_statement_ends_rides_on_it(upbeat, client, customer, fee, sign, scheduled):
    rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
    sign(
        on(fee, ("2026-04-01T00:00:00Z", 100), ("2026-04-01T12:00:00Z", 10), ("2026-04-02T00:00:00Z", 1)),
        rate_card_id=rate_card,
        scheduled_charges_on_usage_invoices="ALL",
    )
    event = {"transaction_id": "riding-1", "customer_id": customer, "event_type": "api_call"}
    client.v1.usage.ingest(usage=[{**event, "timestamp": "2026-03-09T12:00:00Z"}])
    (contract,) = client.v2.contracts.list(customer_id=customer)
    assert contract.scheduled_charges_on_usage_invoices == "ALL"

    def march():
        return next(iter(client.v1.customers.invoices.list(customer_id=customer, type="USAGE")))

    draft = march()
    assert [(line.type, line.name, line.total) for line in draft.line_items] == [
        ("usage", "API calls", 25),
        ("scheduled", "Set-up fee", 100),
        ("scheduled", "Set-up fee", 10),
    ]
    assert draft.total == 135
    assert [(i.issued_at, i.total) for i in scheduled()] == [(utc(4, 2), 1)]
    upbeat.set_clock("2026-04-03T00:00:00Z")
    assert march().to_dict() == {**draft.to_dict(), "status": "FINALIZED"}
    assert [i.status for i in scheduled()] == ["FINALIZED"]
