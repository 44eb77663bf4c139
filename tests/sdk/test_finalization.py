"""March closes a day after its end, stays as it was, and April is open."""

from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
from metronome.types.v1.customers import Invoice

from catalog import ALIAS, USAGE, Quickstart, set_up_quickstart

LATE_EVENT = {
    "transaction_id": "late-1",
    "customer_id": ALIAS,
    "event_type": "llm_request",
    "timestamp": "2026-03-31T23:00:00Z",
    "properties": {"model": "gpt-5", "input_tokens": "999", "user_id": "user_1"},
}


@dataclass(frozen=True)
class March:
    quickstart: Quickstart
    draft: Invoice
    closed: Invoice


@pytest.fixture(scope="module")
def march(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    quickstart = set_up_quickstart(client)
    client.v1.usage.ingest(usage=USAGE)
    (draft,) = invoices(client, quickstart)
    upbeat.set_clock("2026-04-02T01:00:00Z")
    closed = client.v1.customers.invoices.retrieve(customer_id=quickstart.customer, invoice_id=draft.id).data
    return March(quickstart, draft, closed)


def test_a_finalized_invoice_keeps_its_id_lines_and_total(march):
    assert march.draft.status == "DRAFT"
    assert march.closed.status == "FINALIZED"
    assert march.closed.total == 2490
    assert march.closed.issued_at == datetime(2026, 4, 2, tzinfo=timezone.utc)
    assert march.closed.to_dict() == {**march.draft.to_dict(), "status": "FINALIZED"}


def test_the_next_month_is_a_draft_of_its_own(client, march):
    closed, open_ = invoices(client, march.quickstart)
    assert closed.id == march.draft.id
    assert open_.id != closed.id
    assert open_.status == "DRAFT"
    assert open_.start_timestamp == datetime(2026, 4, 1, tzinfo=timezone.utc)
    assert open_.end_timestamp == datetime(2026, 5, 1, tzinfo=timezone.utc)
    assert open_.total == 0


def test_an_event_after_finalization_counts_as_usage_but_is_not_billed(client, march):
    client.v1.usage.ingest(usage=[LATE_EVENT])

    (usage,) = client.v1.usage.list(
        window_size="NONE",
        starting_on="2026-03-01T00:00:00Z",
        ending_before="2026-04-01T00:00:00Z",
        customer_ids=[march.quickstart.customer],
        billable_metrics=[{"id": march.quickstart.tokens_metric}],
    )
    assert usage.value == 2300 + 999

    closed, open_ = invoices(client, march.quickstart)
    assert closed.to_dict() == march.closed.to_dict()
    assert open_.total == 0


def invoices(client, quickstart):
    return list(client.v1.customers.invoices.list(customer_id=quickstart.customer))
