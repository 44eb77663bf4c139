"""Billable metrics: renamed, made by the older operation, listed for a customer with their deprecated fields."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError
from metronome.types.v1 import BillableMetricCreateResponse

# What the tests' one metric of the older kind counts: the tokens of requests that are not internal.
BY_SCHEMA = {
    "name": "Tokens",
    "aggregate": "sum",
    "aggregate_key": "tokens",
    "group_keys": ["zone", "model"],
    "filter": {
        "$schema": "http://json-schema.org/draft-07/schema",
        "type": "object",
        "required": ["event_type"],
        "properties": {
            "event_type": {"const": "request"},
            "properties": {
                "type": "object",
                "required": ["model", "zone"],
                "not": {"required": ["internal"]},
                "properties": {"model": {"enum": ["a", "b"]}},
            },
        },
    },
}


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


def create_by_schema(client, **changes) -> str:
    """No SDK has a method for this operation any more."""
    body = {**BY_SCHEMA, **changes}
    return client.post("/v1/billable-metrics", cast_to=BillableMetricCreateResponse, body=body).data.id


def create_by_filters(client, **changes) -> str:
    return client.v1.billable_metrics.create(**{"name": "Calls", "aggregation_type": "COUNT", **changes}).data.id


def test_a_renamed_metric_keeps_what_it_counts(client):
    metric = create_by_schema(client)
    before = client.v1.billable_metrics.retrieve(billable_metric_id=metric).data
    assert client.v1.billable_metrics.update(billable_metric_id=metric, name="Renamed").data.id == metric
    after = client.v1.billable_metrics.retrieve(billable_metric_id=metric).data
    assert after.to_dict() == {**before.to_dict(), "name": "Renamed"}


def test_an_archived_metric_can_be_renamed(client):
    metric = create_by_filters(client)
    client.v1.billable_metrics.archive(id=metric)
    client.v1.billable_metrics.update(billable_metric_id=metric, name="Retired")
    assert client.v1.billable_metrics.retrieve(billable_metric_id=metric).data.name == "Retired"


def test_only_the_name_of_a_metric_can_change(client):
    metric = create_by_filters(client)
    with pytest.raises(BadRequestError, match="aggregation_type"):
        client.v1.billable_metrics.update(
            billable_metric_id=metric, name="Sums", extra_body={"aggregation_type": "SUM"}
        )
    with pytest.raises(BadRequestError, match="name"):
        client.v1.billable_metrics.update(billable_metric_id=metric, name="")
    assert client.v1.billable_metrics.retrieve(billable_metric_id=metric).data.name == "Calls"


def test_renaming_an_unknown_metric_is_not_found(client):
    stranger = str(uuid4())
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.billable_metrics.update(billable_metric_id=stranger, name="Nothing")


def test_a_schema_becomes_filters(client):
    metric = client.v1.billable_metrics.retrieve(billable_metric_id=create_by_schema(client)).data
    assert (metric.aggregation_type, metric.aggregation_key) == ("SUM", "tokens")
    assert metric.event_type_filter.in_values == ["request"]
    filters = {f.name: (f.exists, f.in_values) for f in metric.property_filters}
    assert filters == {
        "model": (True, ["a", "b"]),
        "zone": (True, None),
        "internal": (False, None),
        "tokens": (None, None),
    }
    assert metric.group_keys == [["zone"], ["model"]]


def test_a_metric_by_schema_counts_what_the_schema_lets_pass(client):
    metric = create_by_schema(client)
    customer = client.v1.customers.create(name="Counted").data.id
    passing = {"model": "a", "zone": "x", "tokens": 5}
    events = [
        passing,
        {**passing, "tokens": 7, "zone": "y"},
        {**passing, "model": "c"},
        {**passing, "internal": "yes"},
        {"model": "a", "tokens": 11},
    ]
    client.v1.usage.ingest(
        usage=[
            {
                "transaction_id": f"schema-{number}",
                "customer_id": customer,
                "event_type": "request",
                "timestamp": "2026-03-09T12:00:00Z",
                "properties": properties,
            }
            for number, properties in enumerate(events)
        ]
    )
    (row,) = client.v1.usage.list(
        window_size="NONE",
        starting_on="2026-03-01T00:00:00Z",
        ending_before="2026-04-01T00:00:00Z",
        customer_ids=[customer],
        billable_metrics=[{"id": metric, "group_by": {"key": "zone"}}],
    )
    assert (row.value, row.groups) == (12, {"x": 5, "y": 7})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"aggregate_key": None}, "aggregate_key"),
        ({"group_keys": ["tokens"]}, r"group_keys\[0\]"),
        ({"group_values": {"zone": ["x"]}}, "group_values"),
        ({"filter": {"anyOf": [{}]}}, "filter.anyOf"),
    ],
)
def test_what_filters_cannot_say_is_refused_by_its_place(client, changes, field):
    with pytest.raises(BadRequestError, match=field):
        create_by_schema(client, **changes)


def test_a_customers_metrics_come_with_their_deprecated_fields(client):
    metric = create_by_schema(client)
    customer = client.v1.customers.create(name="Old client").data.id
    shown = {m.id: m for m in client.v1.customers.list_billable_metrics(customer_id=customer)}[metric]
    assert (shown.name, shown.aggregation_type, shown.aggregation_key) == ("Tokens", "SUM", "tokens")
    assert (shown.aggregate, shown.aggregate_keys) == ("sum", ["tokens"])
    assert sorted(shown.group_by) == ["model", "zone"]
    again = create_by_schema(client, filter=shown.filter)
    plain = client.v1.billable_metrics.retrieve
    one, other = (plain(billable_metric_id=id).data.to_dict() for id in (metric, again))
    assert other == {**one, "id": again}, "the filter that is shown makes the same metric"


def test_a_customers_metrics_are_all_or_those_of_its_contracts(upbeat, client):
    customer = client.v1.customers.create(name="Under contract").data.id
    priced = create_by_filters(client, name="Priced")
    upbeat.tick()
    free = create_by_filters(client, name="Free")
    upbeat.tick()
    archived = create_by_filters(client, name="Archived")
    client.v1.billable_metrics.archive(id=archived)
    product = client.v1.contracts.products.create(name="Calls", type="USAGE", billable_metric_id=priced).data.id
    rate_card = client.v1.contracts.rate_cards.create(name="Calls").data.id
    client.v1.contracts.rate_cards.rates.add(
        rate_card_id=rate_card,
        product_id=product,
        starting_at="2026-03-01T00:00:00Z",
        entitled=True,
        rate_type="FLAT",
        price=1,
    )
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")

    def listed(**options):
        metrics = client.v1.customers.list_billable_metrics(customer_id=customer, limit=2, **options)
        return [metric.id for metric in metrics if metric.id in (priced, free, archived)]

    assert listed() == [free, priced]
    assert listed(include_archived=True) == [archived, free, priced]
    assert listed(on_current_plan=True) == [priced]


def test_the_metrics_of_an_unknown_customer_are_not_found(client):
    stranger = str(uuid4())
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.customers.list_billable_metrics(customer_id=stranger)
