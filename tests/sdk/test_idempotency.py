"""The header `Idempotency-Key`: a repeat gets the first answer, and does nothing."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

from catalog import sell_api_calls


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def key():
    return {"Idempotency-Key": str(uuid4())}


def test_a_repeat_gets_the_answer_of_the_first_request(client, key):
    create = client.v1.customers.with_raw_response.create
    first = create(name="Once", ingest_aliases=["once"], extra_headers=key)
    repeat = create(name="Once", ingest_aliases=["once"], extra_headers=key)
    assert repeat.parse() == first.parse()
    assert "idempotency-replayed" not in first.headers
    assert repeat.headers["idempotency-replayed"] == "true"
    assert [customer.id for customer in client.v1.customers.list(ingest_alias="once")] == [first.parse().data.id]


def test_without_the_key_the_same_request_is_another_one(client):
    made = [client.v1.customers.create(name="Twice").data.id for _ in range(2)]
    assert made[0] != made[1]


def test_a_contract_is_made_once(client, key):
    rate_card = sell_api_calls(client, starting_at="2026-03-01T00:00:00Z")
    customer = client.v1.customers.create(name="Signed once").data.id
    terms = {"customer_id": customer, "rate_card_id": rate_card, "starting_at": "2026-03-01T00:00:00Z"}
    made = [client.v1.contracts.create(**terms, extra_headers=key).data.id for _ in range(3)]
    assert [contract.id for contract in client.v1.contracts.list(customer_id=customer)] == made[:1]
    assert len(set(made)) == 1


def test_of_requests_at_once_under_one_key_all_get_the_answer_of_one(upbeat, client, key):
    def create(_):
        return busy.v1.customers.create(name="At once", ingest_aliases=["at-once"], extra_headers=key).data.id

    # Who comes while the first is at work is told to come again, which the SDK does.
    with upbeat.client(max_retries=5) as busy, ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(create, range(6)))
    assert ids == [customer.id for customer in client.v1.customers.list(ingest_alias="at-once")] * 6


def test_an_answer_without_a_body_is_repeated_too(client, key):
    customer = client.v1.customers.create(name="Configured").data.id
    for account in ("sf-1", "sf-1"):
        client.v1.customers.update_config(customer_id=customer, salesforce_account_id=account, extra_headers=key)
        client.v1.customers.update_config(customer_id=customer, salesforce_account_id="sf-2")
    config = client.v1.customers.retrieve(customer_id=customer).data.customer_config
    assert config.salesforce_account_id == "sf-2"


def test_the_key_of_other_parameters_is_a_conflict_after_one_call(client, counting_client, requests, key):
    first = client.v1.customers.create(name="First", extra_headers=key).data
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        counting_client.v1.customers.create(name="Second", extra_headers=key)
    assert requests == ["/v1/customers"]
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        counting_client.v1.contracts.rate_cards.create(name="First", extra_headers=key)
    assert requests == ["/v1/customers", "/v1/contract-pricing/rate-cards/create"]
    assert client.v1.customers.create(name="First", extra_headers=key).data == first, "the key keeps its answer"


def test_a_refused_request_leaves_the_key_free(client, key):
    with pytest.raises(BadRequestError):
        client.v1.customers.create(name="", extra_headers=key)
    assert client.v1.customers.create(name="Mended", extra_headers=key).data.name == "Mended"


def test_a_conflict_and_a_missing_object_are_the_answer_for_good(client, counting_client, requests, key):
    holder = client.v1.customers.create(name="Holder", ingest_aliases=["held"]).data.id
    with pytest.raises(ConflictError, match="held"):
        client.v1.customers.create(name="Late", ingest_aliases=["held"], extra_headers=key)
    client.v1.customers.set_ingest_aliases(customer_id=holder, ingest_aliases=[])
    with pytest.raises(ConflictError, match="held") as raised:
        counting_client.v1.customers.create(name="Late", ingest_aliases=["held"], extra_headers=key)
    assert raised.value.response.headers["idempotency-replayed"] == "true"
    assert requests == ["/v1/customers"], "a conflict that is repeated is not retried either"
    other, stranger = {"Idempotency-Key": str(uuid4())}, str(uuid4())
    for _ in range(2):
        with pytest.raises(NotFoundError, match=stranger):
            client.v1.customers.archive(id=stranger, extra_headers=other)


def test_usage_is_counted_once_by_its_transaction_ids_alone(client, key):
    event = {
        "transaction_id": "keyed-1",
        "customer_id": "nobody",
        "event_type": "api_call",
        "timestamp": "2026-03-09T12:00:00Z",
    }
    for transaction_id in ["keyed-1", "keyed-1", "keyed-2"]:
        client.v1.usage.ingest(usage=[{**event, "transaction_id": transaction_id}], extra_headers=key)
    found = client.v1.usage.search(transaction_ids=["keyed-1", "keyed-2"])
    assert [(event.transaction_id, event.is_duplicate) for event in found] == [
        ("keyed-1", False),
        ("keyed-1", True),
        ("keyed-2", False),
    ]


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_1_to_255_characters(client, key):
    with pytest.raises(BadRequestError, match="Idempotency-Key"):
        client.v1.customers.create(name="Keyed", extra_headers={"Idempotency-Key": key})


def test_a_key_counts_on_requests_that_change_nothing_too(client, key):
    customer = client.v1.customers.create(name="Before").data.id
    asked = {"customer_id": customer, "contract_id": str(uuid4())}
    with pytest.raises(NotFoundError):
        client.v1.contracts.retrieve(**asked, extra_headers=key)
    with pytest.raises(ConflictError):
        client.v1.contracts.retrieve(**{**asked, "contract_id": str(uuid4())}, extra_headers=key)
