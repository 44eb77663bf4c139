"""Each refusal reaches the caller as the SDK's own class, with a message that names the cause."""

from uuid import uuid4

import pytest
from metronome import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
)

from catalog import sell_api_calls


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


def message(raised) -> str:
    return raised.value.body["message"]


def test_a_wrong_token_is_an_authentication_error(upbeat):
    with upbeat.client(bearer_token="no-such-token") as client, pytest.raises(AuthenticationError):
        client.v1.customers.list()


def test_an_unknown_customer_is_not_found(client):
    with pytest.raises(NotFoundError) as raised:
        client.v1.customers.retrieve(customer_id=str(uuid4()))
    assert message(raised)


def test_the_second_version_refuses_an_unknown_contract_with_a_code(client):
    customer = client.v1.customers.create(name="No contracts").data.id
    with pytest.raises(BadRequestError) as raised:
        client.v2.contracts.retrieve(customer_id=customer, contract_id=str(uuid4()))
    assert raised.value.body["code"] == "ContractNotFound"


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("name", lambda v1: v1.customers.create(name="")),
        ("limit", lambda v1: v1.customers.list(limit=101)),
        ("next_page", lambda v1: v1.customers.list(next_page="not a cursor")),
        ("aggregation_key", lambda v1: v1.billable_metrics.create(name="Sum of what?", aggregation_type="SUM")),
        ("billable_metric_id", lambda v1: v1.contracts.products.create(name="Unmetered", type="USAGE")),
        ("starting_at", lambda v1: v1.contracts.create(customer_id=str(uuid4()), starting_at="yesterday")),
        ("timestamp", lambda v1: v1.usage.ingest(usage=[event(timestamp="2026-03-09")])),
        ("transaction_id", lambda v1: v1.usage.ingest(usage=[event(transaction_id="x" * 129)])),
        (
            "starting_on",
            lambda v1: v1.usage.list(
                window_size="DAY", starting_on="2026-03-01T12:00:00Z", ending_before="2026-03-05T00:00:00Z"
            ),
        ),
    ],
)
def test_a_malformed_request_is_refused_by_the_name_of_its_field(client, field, call):
    with pytest.raises(BadRequestError) as raised:
        call(client.v1)
    assert field in message(raised)


def test_an_ingest_alias_in_use_is_a_conflict_that_is_not_retried(counting_client, requests):
    counting_client.v1.customers.create(name="First", ingest_aliases=["taken"])
    requests.clear()
    with pytest.raises(ConflictError) as raised:
        counting_client.v1.customers.create(name="Second", ingest_aliases=["taken"])
    assert "taken" in message(raised)
    assert requests == ["/v1/customers"]


def test_a_used_uniqueness_key_is_a_conflict_that_is_not_retried(counting_client, requests):
    rate_card = sell_api_calls(counting_client, starting_at="2026-03-01T00:00:00Z")
    customer = counting_client.v1.customers.create(name="Once only").data.id
    contract = {
        "customer_id": customer,
        "rate_card_id": rate_card,
        "starting_at": "2026-03-01T00:00:00Z",
        "uniqueness_key": "order-1",
    }
    created = counting_client.v1.contracts.create(**contract).data.id
    requests.clear()
    with pytest.raises(ConflictError) as raised:
        counting_client.v1.contracts.create(**contract)
    assert message(raised) == "This uniqueness key has already been used."
    assert requests == ["/v1/contracts/create"]
    assert [c.id for c in counting_client.v1.contracts.list(customer_id=customer)] == [created]


def test_an_endpoint_that_is_not_built_yet_says_so(upbeat):
    # Straight to the server: to the checking proxy any answer from 500 up is a fault.
    direct = upbeat.client(base_url=upbeat.server_url, max_retries=0)
    with direct, pytest.raises(InternalServerError) as raised:
        direct.v1.alerts.create(name="Spend", alert_type="spend_threshold_reached", threshold=100)
    assert raised.value.status_code == 501
    assert "/v1/alerts/create" in message(raised)


def event(**changes):
    return {
        "transaction_id": "malformed",
        "customer_id": "nobody",
        "event_type": "api_call",
        "timestamp": "2026-03-09T12:00:00Z",
        **changes,
    }
