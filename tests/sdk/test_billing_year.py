"""A contract that starts on the 31st, and a year that passes in one call."""

from datetime import datetime, timezone

import pytest

from catalog import sell_api_calls

BOUNDARIES = [
    datetime(year, month, day, tzinfo=timezone.utc)
    for year, month, day in [
        (2026, 1, 31), (2026, 2, 28), (2026, 3, 31), (2026, 4, 30), (2026, 5, 31), (2026, 6, 30), (2026, 7, 31),
        (2026, 8, 31), (2026, 9, 30), (2026, 10, 31), (2026, 11, 30), (2026, 12, 31), (2027, 1, 31), (2027, 2, 28),
    ]
]  # fmt: skip


@pytest.fixture(scope="module")
def customer(upbeat, client):
    """A customer with one API call in the first period and none in the year after it."""
    upbeat.set_clock("2026-01-31T00:00:00Z")
    rate_card = sell_api_calls(client, starting_at="2026-01-31T00:00:00Z")
    customer = client.v1.customers.create(name="Month's end").data.id
    client.v1.contracts.create(
        customer_id=customer,
        rate_card_id=rate_card,
        starting_at="2026-01-31T00:00:00Z",
        usage_statement_schedule={"frequency": "MONTHLY", "day": "CONTRACT_START"},
    )
    client.v1.usage.ingest(
        usage=[
            {
                "transaction_id": "first-call",
                "customer_id": customer,
                "event_type": "api_call",
                "timestamp": "2026-01-31T00:00:00Z",
            }
        ]
    )
    upbeat.set_clock("2027-02-05T00:00:00Z")
    return customer


def test_each_month_ends_on_its_last_day_at_most_and_never_drifts(client, customer):
    invoices = list(client.v1.customers.invoices.list(customer_id=customer, limit=5))
    periods = [(invoice.start_timestamp, invoice.end_timestamp) for invoice in invoices]
    assert periods == list(zip(BOUNDARIES, BOUNDARIES[1:]))
    assert [invoice.status for invoice in invoices] == ["FINALIZED"] * 12 + ["DRAFT"]


def test_the_one_call_is_billed_in_the_first_period_alone(client, customer):
    invoices = list(client.v1.customers.invoices.list(customer_id=customer, limit=5))
    assert [invoice.total for invoice in invoices] == [25] + [0] * 12
    first_lines, second_lines = ([(l.quantity, l.total) for l in i.line_items] for i in invoices[:2])
    assert first_lines == [(1, 25)]
    assert second_lines == [(0, 0)]


def test_finalized_invoices_come_in_pages_of_five(client, customer):
    pages = client.v1.customers.invoices.list(customer_id=customer, status="FINALIZED", limit=5).iter_pages()
    ids = [[invoice.id for invoice in page.data] for page in pages]
    assert [len(page) for page in ids] == [5, 5, 2]
    assert len({id for page in ids for id in page}) == 12


def test_the_pages_run_backwards_when_asked_to(client, customer):
    def ids(sort):
        return [invoice.id for invoice in client.v1.customers.invoices.list(customer_id=customer, sort=sort, limit=5)]

    assert ids("date_desc") == ids("date_asc")[::-1]
