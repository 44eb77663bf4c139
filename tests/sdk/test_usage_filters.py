"""Contracts that bill a part of their customer's usage, what events would cost, and the seats that events report."""

from datetime import datetime, timezone

import pytest
from metronome import BadRequestError

from catalog import USAGE, set_up_quickstart

MARCH_FIRST = datetime(2026, 3, 1, tzinfo=timezone.utc)
APRIL_FIRST = datetime(2026, 4, 1, tzinfo=timezone.utc)
GPT_5 = {"model": "gpt-5", "input_tokens": "100", "user_id": "user_1"}


@pytest.fixture(scope="module")
def quickstart(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    quickstart = set_up_quickstart(client)
    client.v1.usage.ingest(usage=USAGE)
    return quickstart


@pytest.fixture(scope="module")
def filtered(client, quickstart):
    """A second contract, for the usage of one user."""
    return client.v1.contracts.create(
        customer_id=quickstart.customer,
        rate_card_id=quickstart.rate_card,
        starting_at="2026-03-01T00:00:00Z",
        usage_filter={"group_key": "user_id", "group_values": ["user_2"]},
    ).data.id


def test_a_filtered_contract_bills_its_part(client, quickstart, filtered):
    invoices = client.v1.customers.invoices.list(customer_id=quickstart.customer)
    totals = {invoice.contract_id: invoice.total for invoice in invoices}
    assert totals == {quickstart.contract: 1500 * 1.5 + 800 * 0.3, filtered: 800 * 0.3}


def test_a_filter_is_set_from_a_date_on_and_shown_with_its_time(client, quickstart, filtered):
    client.v1.contracts.set_usage_filter(
        customer_id=quickstart.customer,
        contract_id=filtered,
        group_key="user_id",
        group_values=["user_1", "user_2"],
        starting_at=APRIL_FIRST,
    )
    flat = client.v2.contracts.retrieve(customer_id=quickstart.customer, contract_id=filtered).data
    assert [(part.group_values, part.starting_at, part.ending_before) for part in flat.usage_filter] == [
        (["user_2"], MARCH_FIRST, APRIL_FIRST),
        (["user_1", "user_2"], APRIL_FIRST, None),
    ]
    nested = client.v1.contracts.retrieve(customer_id=quickstart.customer, contract_id=filtered).data
    shown = nested.current.usage_filter
    assert (shown.initial.group_values, shown.current.group_values) == (["user_2"], ["user_2"])
    assert [(update.group_values, update.starting_at) for update in shown.updates] == [
        (["user_1", "user_2"], APRIL_FIRST)
    ]


def test_a_filter_by_what_is_no_group_key_is_refused(client, quickstart, filtered):
    with pytest.raises(BadRequestError, match="Input tokens"):
        client.v1.contracts.set_usage_filter(
            customer_id=quickstart.customer,
            contract_id=filtered,
            group_key="region",
            group_values=["eu"],
            starting_at=APRIL_FIRST,
        )


def test_a_preview_says_what_events_would_cost(client, quickstart, filtered):
    def preview(mode):
        events = [{"event_type": "llm_request", "timestamp": "2026-03-09T14:00:00Z", "properties": GPT_5}]
        answer = client.v1.customers.preview_events(customer_id=quickstart.customer, events=events, mode=mode)
        return {invoice.contract_id: (invoice.status, invoice.total) for invoice in answer.data}

    merged = 1600 * 1.5 + 800 * 0.3
    assert preview("merge") == {quickstart.contract: ("DRAFT", merged), filtered: ("DRAFT", 800 * 0.3)}
    assert preview("replace") == {quickstart.contract: ("DRAFT", 150), filtered: ("DRAFT", 0)}


def test_seats_are_the_highest_or_the_newest_that_events_report(client, quickstart):
    for usage_type, expected in [("max", 1500), ("latest", 800)]:
        body = {
            "customer_id": quickstart.customer,
            "seat_metric_id": quickstart.tokens_metric,
            "usage_type": usage_type,
            "window_size": "day",
            "starting_on": "2026-03-09T00:00:00Z",
            "ending_before": "2026-03-10T00:00:00Z",
        }
        seats = client.post("/v1/usage/seats", cast_to=object, body=body)
        assert [row["value"] for row in seats["data"]] == [expected]
        assert seats["next_page"] is None


def test_nobody_bought_seats_of_a_plan(client, quickstart):
    assert client.get(f"/v1/customers/{quickstart.customer}/purchasedSeats", cast_to=object) == {"data": []}
