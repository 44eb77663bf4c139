"""The API quickstart in the middle of March: two events, their usage and the draft invoice."""

from datetime import datetime, timezone

import pytest

from catalog import USAGE, USD_CENTS, set_up_quickstart


def utc(year, month, day):
    return datetime(year, month, day, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def quickstart(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    quickstart = set_up_quickstart(client)
    client.v1.usage.ingest(usage=USAGE)
    return quickstart


@pytest.fixture(scope="module")
def draft(client, quickstart):
    invoices = list(client.v1.customers.invoices.list(customer_id=quickstart.customer, status="DRAFT"))
    assert len(invoices) == 1
    return invoices[0]


def test_the_running_month_is_a_draft_usage_invoice(draft, quickstart):
    assert draft.type == "USAGE"
    assert draft.status == "DRAFT"
    assert draft.customer_id == quickstart.customer
    assert draft.contract_id == quickstart.contract
    assert draft.credit_type.id == USD_CENTS
    assert draft.start_timestamp == utc(2026, 3, 1)
    assert draft.end_timestamp == utc(2026, 4, 1)
    assert draft.issued_at == utc(2026, 4, 2)


def test_each_model_is_a_line_at_its_own_price(draft, quickstart):
    def line(model, user, quantity, unit_price, total):
        return {
            "name": "Input tokens",
            "type": "usage",
            "product_id": quickstart.product,
            "product_type": "UsageProductListItem",
            "pricing_group_values": {"model": model},
            "presentation_group_values": {"user_id": user},
            "starting_at": utc(2026, 3, 1),
            "ending_before": utc(2026, 4, 1),
            "quantity": quantity,
            "unit_price": unit_price,
            "total": total,
        }

    expected = [line("gpt-5", "user_1", 1500, 1.5, 2250), line("gpt-5-mini", "user_2", 800, 0.3, 240)]
    assert [{field: getattr(got, field) for field in expected[0]} for got in draft.line_items] == expected
    assert draft.total == 2490


def test_the_invoice_is_the_same_by_its_id_and_in_the_list(client, quickstart, draft):
    found = client.v1.customers.invoices.retrieve(customer_id=quickstart.customer, invoice_id=draft.id)
    assert found.data.to_dict() == draft.to_dict()


def test_usage_is_summed_by_day_and_a_day_without_events_is_null(client, quickstart):
    rows = list(
        client.v1.usage.list(
            window_size="DAY",
            starting_on="2026-03-08T00:00:00Z",
            ending_before="2026-03-11T00:00:00Z",
            customer_ids=[quickstart.customer],
            billable_metrics=[{"id": quickstart.tokens_metric}],
        )
    )
    assert [(row.start_timestamp, row.end_timestamp, row.value) for row in rows] == [
        (utc(2026, 3, 8), utc(2026, 3, 9), None),
        (utc(2026, 3, 9), utc(2026, 3, 10), 2300),
        (utc(2026, 3, 10), utc(2026, 3, 11), None),
    ]
    assert {row.billable_metric_name for row in rows} == {"input_tokens"}


def test_usage_of_the_whole_month_is_one_row_for_each_metric(client, quickstart):
    rows = list(month_of_usage(client, quickstart, {"id": quickstart.tokens_metric}, {"id": quickstart.calls_metric}))
    assert {row.billable_metric_id: row.value for row in rows} == {
        quickstart.tokens_metric: 2300,
        quickstart.calls_metric: None,  # nobody called
    }
    assert {(row.start_timestamp, row.end_timestamp) for row in rows} == {(utc(2026, 3, 1), utc(2026, 4, 1))}
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ({"key": "model"}, {"gpt-5": 1500, "gpt-5-mini": 800}),
        ({"key": "user_id"}, {"user_1": 1500, "user_2": 800}),
        ({"key": "model", "values": ["gpt-5", "gpt-4"]}, {"gpt-5": 1500, "gpt-4": None}),
    ],
)
def test_usage_is_split_by_a_group_key(client, quickstart, group_by, groups):
    metric = {"id": quickstart.tokens_metric, "group_by": group_by}
    (row,) = month_of_usage(client, quickstart, metric)
    assert row.groups == groups
    assert row.value == 2300


def month_of_usage(client, quickstart, *metrics):
    return client.v1.usage.list(
        window_size="NONE",
        starting_on="2026-03-01T00:00:00Z",
        ending_before="2026-04-01T00:00:00Z",
        customer_ids=[quickstart.customer],
        billable_metrics=metrics,
    )
