"""Usage of one metric by group, and events found by their transaction ids."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

EVENTS = [
    # day of March, region, team, requests
    (2, "eu", "red", 1),
    (2, "us", "red", 10),
    (3, "eu", "blue", 100),
    (9, "eu", "red", 1000),
]


def utc(day, month=3):
    return datetime(2026, month, day, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def metric(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return client.v1.billable_metrics.create(
        name="Requests",
        aggregation_type="SUM",
        aggregation_key="requests",
        event_type_filter={"in_values": ["batch"]},
        property_filters=[{"name": name, "exists": True} for name in ("requests", "region", "team")],
        group_keys=[["region"], ["region", "team"]],
    ).data.id


@pytest.fixture(scope="module")
def customer(client, metric):
    customer = client.v1.customers.create(name="Grouped", ingest_aliases=["grouped"]).data.id
    client.v1.contracts.create(
        customer_id=customer,
        starting_at="2026-02-03T00:00:00Z",
        usage_statement_schedule={"frequency": "MONTHLY", "day": "CONTRACT_START"},
    )
    client.v1.usage.ingest(usage=[batch(number, *event) for number, event in enumerate(EVENTS)])
    return customer


def batch(number, day, region, team, requests):
    return {
        "transaction_id": f"batch-{number}",
        "customer_id": "grouped",
        "event_type": "batch",
        "timestamp": f"2026-03-{day:02}T12:00:00Z",
        "properties": {"region": region, "team": team, "requests": str(requests)},
    }


@pytest.fixture
def groups(client, metric, customer):
    """The rows of the first days of March, or of what is asked for, in pages of two."""

    def groups(window_size="NONE", starting_on="2026-03-01T00:00:00Z", ending_before="2026-03-10T00:00:00Z", **more):
        dates = {"starting_on": starting_on, "ending_before": ending_before} if starting_on else {}
        asked = {"customer_id": customer, "billable_metric_id": metric, "limit": 2, **dates, **more}
        return list(client.v1.usage.list_with_groups(window_size=window_size, **asked))

    return groups


def test_without_a_group_key_each_window_is_a_row(groups):
    rows = groups("DAY", ending_before="2026-03-05T00:00:00Z")
    assert [(row.starting_on, row.ending_before, row.value, row.group) for row in rows] == [
        (utc(1), utc(2), None, None),
        (utc(2), utc(3), 11, None),
        (utc(3), utc(4), 100, None),
        (utc(4), utc(5), None, None),
    ]
    (row,) = groups()
    assert (row.starting_on, row.ending_before, row.value) == (utc(1), utc(10), 1111)


def test_a_simple_key_has_a_row_for_each_value_with_events(groups):
    rows = groups(group_key=["region"])
    assert [(row.group, row.value) for row in rows] == [({"region": "eu"}, 1101), ({"region": "us"}, 10)]
    assert [(row.group_key, row.group_value) for row in rows] == [("region", "eu"), ("region", "us")]


def test_a_compound_key_has_a_row_for_each_combination(groups):
    rows = groups("DAY", group_key=["team", "region"])
    assert [(row.starting_on, row.group, row.value) for row in rows] == [
        (utc(2), {"team": "red", "region": "eu"}, 1),
        (utc(2), {"team": "red", "region": "us"}, 10),
        (utc(3), {"team": "blue", "region": "eu"}, 100),
        (utc(9), {"team": "red", "region": "eu"}, 1000),
    ]
    assert {(row.group_key, row.group_value) for row in rows} == {(None, None)}


def test_filters_keep_the_values_that_they_name(groups):
    rows = groups(group_key=["region", "team"], group_filters={"region": ["eu", "asia"], "team": []})
    assert [(row.group["region"], row.group["team"], row.value) for row in rows] == [
        ("eu", "blue", 100),
        ("eu", "red", 1001),
    ]
    (deprecated,) = groups(group_by={"key": "region", "values": ["us"]})
    assert (deprecated.group, deprecated.value) == ({"region": "us"}, 10)


def test_the_current_period_is_that_of_the_contract(groups):
    (row,) = groups(starting_on=None, current_period=True)
    assert (row.starting_on, row.ending_before, row.value) == (utc(3), utc(3, month=4), 1100)


def test_the_pages_hold_every_row_once(client, metric, customer):
    pages = client.v1.usage.list_with_groups(
        customer_id=customer,
        billable_metric_id=metric,
        window_size="HOUR",
        starting_on="2026-03-01T00:00:00Z",
        ending_before="2026-03-10T00:00:00Z",
        group_key=["region"],
        limit=3,
    ).iter_pages()
    assert [[row.value for row in page.data] for page in pages] == [[1, 10, 100], [1000]]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("starting_on", {"starting_on": None}),
        ("starting_on", {"starting_on": "2026-03-01T12:00:00Z"}),
        ("ending_before", {"ending_before": "2026-03-01T00:00:00Z"}),
        ("current_period", {"current_period": True}),
        ("group_key", {"group_key": ["team"]}),
        ("group_filters", {"group_filters": {"region": ["eu"]}}),
        ("group_by", {"group_key": ["region"], "group_by": {"key": "region"}}),
        ("next_page", {"next_page": "forged"}),
    ],
)
def test_a_question_without_sense_is_refused_by_its_field(groups, field, changes):
    with pytest.raises(BadRequestError, match=field):
        groups(**changes)


def test_usage_of_an_unknown_customer_or_metric_is_not_found(groups):
    for field in ("customer_id", "billable_metric_id"):
        stranger = str(uuid4())
        with pytest.raises(NotFoundError, match=stranger):
            groups(**{field: stranger})


def test_events_are_found_with_what_they_were_taken_for(client, metric, customer):
    found = client.v1.usage.search(transaction_ids=["batch-2", "batch-unknown", "batch-0", "batch-2"])
    assert isinstance(found, list), "the answer is a bare array"
    assert [event.transaction_id for event in found] == ["batch-2", "batch-0"]
    event = found[0]
    assert (event.customer_id, event.event_type) == ("grouped", "batch")
    assert event.timestamp == datetime(2026, 3, 3, 12, tzinfo=timezone.utc)
    assert event.properties == {"region": "eu", "team": "blue", "requests": "100"}
    assert event.processed_at == datetime(2026, 3, 9, 15, tzinfo=timezone.utc)
    assert event.is_duplicate is False
    assert (event.matched_customer.id, event.matched_customer.name) == (customer, "Grouped")
    (matched,) = event.matched_billable_metrics
    assert (matched.id, matched.name, matched.aggregation_type) == (metric, "Requests", "SUM")
    assert len({event.id for event in found}) == 2


def test_a_repeat_is_found_and_counts_for_nothing(client, customer, groups):
    before = groups()[0].value
    client.v1.usage.ingest(usage=[batch(3, 9, "us", "blue", 1)])
    first, repeat = client.v1.usage.search(transaction_ids=["batch-3"])
    assert (first.is_duplicate, repeat.is_duplicate) == (False, True)
    assert (first.properties["requests"], repeat.properties["requests"]) == ("1000", "1")
    assert first.matched_customer.id == customer
    assert (repeat.matched_customer, repeat.matched_billable_metrics) == (None, None)
    assert groups()[0].value == before


def test_an_event_of_nobody_is_found_and_matches_nobody(client, customer):
    client.v1.usage.ingest(
        usage=[{**batch("nobody", 9, "eu", "red", 1), "customer_id": "nobody", "event_type": "other"}]
    )
    (event,) = client.v1.usage.search(transaction_ids=["batch-nobody"])
    assert event.customer_id == "nobody"
    assert (event.matched_customer, event.matched_billable_metrics) == (None, [])


@pytest.mark.parametrize("ids", [[], ["x"] * 101])
def test_a_search_is_for_one_to_a_hundred_ids(client, customer, ids):
    with pytest.raises(BadRequestError, match="transactionIds"):
        client.v1.usage.search(transaction_ids=ids)
