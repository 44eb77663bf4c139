"""Metrics that queries count: made, shown, read by window and group, found with events, and refused."""

import pytest
from metronome import BadRequestError

SQL = """
SELECT AVG(peak) AS value, zone
FROM (SELECT DATE_TRUNC('day', timestamp) AS day, properties.zone AS zone, MAX(properties.gb) AS peak
      FROM events WHERE event_type = 'disk' GROUP BY day, zone)
GROUP BY zone
"""
MARCH = {"starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-04T00:00:00Z"}


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture(scope="module")
def customer(client) -> str:
    customer = client.v1.customers.create(name="Disks", ingest_aliases=["disks"]).data.id
    readings = [("01T08", "fra", "10"), ("01T09", "fra", "14"), ("02T08", "fra", "20"), ("03T08", "nyc", "6")]
    client.v1.usage.ingest(
        usage=[
            {
                "transaction_id": at,
                "customer_id": "disks",
                "event_type": "disk",
                "timestamp": f"2026-03-{at}:00:00Z",
                "properties": {"zone": zone, "gb": gb},
            }
            for at, zone, gb in readings
        ]
    )
    return customer


@pytest.fixture(scope="module")
def metric(client) -> str:
    return client.v1.billable_metrics.create(name="Average of peaks", sql=SQL).data.id


def test_a_query_is_shown_as_it_was_written(client, metric):
    shown = client.v1.billable_metrics.retrieve(billable_metric_id=metric).data
    assert (shown.sql, shown.aggregation_type, shown.group_keys) == (SQL, None, None)
    assert metric in [listed.id for listed in client.v1.billable_metrics.list()]


def test_usage_of_a_query_looks_back(client, customer, metric):
    usage = client.v1.usage.list(
        customer_ids=[customer], billable_metrics=[{"id": metric}], window_size="DAY", **MARCH
    )
    assert [row.value for row in usage.data] == [14, 20, 6]
    groups = client.v1.usage.list_with_groups(
        customer_id=customer, billable_metric_id=metric, window_size="NONE", group_key=["zone"], **MARCH
    )
    assert [(row.group, row.value) for row in groups.data] == [({"zone": "fra"}, 17), ({"zone": "nyc"}, 6)]


def test_an_event_is_found_with_the_query_that_takes_it(client, customer, metric):
    found = client.v1.usage.search(transaction_ids=["01T08"])
    matched = {match.id: match for match in found[0].matched_billable_metrics}
    assert (matched[metric].aggregation_type, matched[metric].sql) == ("custom_sql", SQL)


def test_a_product_breaks_a_query_down_by_the_hour_or_the_period(client, metric):
    create = client.v1.contracts.products.create
    by_hour = create(name="Hours", type="USAGE", billable_metric_id=metric, sql_breakdown_granularity="HOUR").data.id
    assert client.v1.contracts.products.retrieve(id=by_hour).data.initial.billable_metric_id == metric
    client.v1.contracts.products.update(
        product_id=by_hour, starting_at="2026-03-02T00:00:00Z", sql_breakdown_granularity="SERVICE_PERIOD"
    )
    assert len(client.v1.contracts.products.retrieve(id=by_hour).data.updates) == 1


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT COUNT(*) FROM customer", "there is no table `customer`"),
        ("SELECT pg_sleep(1) FROM events", "the function `pg_sleep` is not allowed"),
        ("SELECT COUNT(*) FROM events; DELETE FROM events", "one statement"),
    ],
)
def test_a_query_that_may_not_be_is_refused_with_the_reason(client, sql, reason):
    with pytest.raises(BadRequestError, match=reason):
        client.v1.billable_metrics.create(name="Hostile", sql=sql)
