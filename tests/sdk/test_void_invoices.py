"""A finalized invoice that was wrong is voided and made anew."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import sell_api_calls


def utc(month, day):
    return datetime(2026, month, day, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def customer(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
    customer = client.v1.customers.create(name="Billed wrongly").data.id
    client.v1.usage.ingest(usage=[call(customer, 1)])
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")
    upbeat.set_clock("2026-04-02T01:00:00Z")
    return customer


def call(customer, number):
    return {
        "transaction_id": f"{customer}-{number}",
        "customer_id": customer,
        "event_type": "api_call",
        "timestamp": "2026-03-09T13:00:00Z",
    }


def test_a_void_invoice_is_made_anew_from_what_is_known_by_now(client, customer):
    def invoice(id):
        return client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=id).data

    march, _ = client.v1.customers.invoices.list(customer_id=customer)
    assert (march.status, march.total) == ("FINALIZED", 25)
    client.v1.usage.ingest(usage=[call(customer, 2)])
    with pytest.raises(BadRequestError, match="finalized"):
        client.v1.invoices.regenerate(id=march.id)

    assert client.v1.invoices.void(id=march.id).data.id == march.id
    void = invoice(march.id)
    assert void.to_dict() == {**march.to_dict(), "status": "VOID"}

    new = invoice(client.v1.invoices.regenerate(id=march.id).data.id)
    assert new.id != march.id
    assert (new.status, new.total, new.issued_at) == ("FINALIZED", 50, datetime(2026, 4, 2, 1, tzinfo=timezone.utc))
    assert (new.start_timestamp, new.end_timestamp) == (utc(3, 1), utc(4, 1))
    assert new.to_dict()["regenerated_from_invoice_id"] == march.id
    with pytest.raises(BadRequestError, match=new.id):
        client.v1.invoices.regenerate(id=march.id)
    statuses = [invoice.status for invoice in client.v1.customers.invoices.list(customer_id=customer)]
    assert sorted(statuses) == ["DRAFT", "FINALIZED", "VOID"]


def test_what_is_not_final_is_refused(client, customer):
    *_, draft = client.v1.customers.invoices.list(customer_id=customer, status="DRAFT")
    for operation in (client.v1.invoices.void, client.v1.invoices.regenerate):
        with pytest.raises(BadRequestError, match="draft"):
            operation(id=draft.id)
        with pytest.raises(NotFoundError):
            operation(id=str(uuid4()))
