"""What the SDK tries again by itself, and what it does not: an answer that would be the same costs one call."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import get_ident
from time import monotonic

import pytest
from metronome import ConflictError, DefaultHttpxClient, RateLimitError

# Searches a second, of which so many at once are the burst.
SEARCHES_PER_SECOND = 5
SEARCHES = 15


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


def search_at_once(client, count):
    with ThreadPoolExecutor(count) as pool:
        searches = [pool.submit(client.v1.usage.search, transaction_ids=["none"]) for _ in range(count)]
    return searches


def test_searches_beyond_the_limit_are_tried_again_after_the_time_that_the_server_names(upbeat):
    answers = defaultdict(list)  # by thread, which searches one after the other: status, Retry-After and time

    def record(response):
        answers[get_ident()].append((response.status_code, response.headers.get("retry-after"), monotonic()))

    http_client = DefaultHttpxClient(event_hooks={"response": [record]})
    with upbeat.client(http_client=http_client, max_retries=5) as client:
        found = [search.result() for search in search_at_once(client, SEARCHES)]
    assert found == [[]] * SEARCHES, "every search succeeds in the end"

    pairs = [pair for in_order in answers.values() for pair in pairwise(in_order)]
    retries = [(refused, retried) for refused, retried in pairs if refused[0] == 429]
    assert retries, "none was refused"
    for (_, retry_after, refused_at), (_, _, retried_at) in retries:
        assert retry_after == "1"
        assert retried_at - refused_at >= 1


def test_a_client_that_does_not_retry_is_told_of_the_limit(upbeat):
    with upbeat.client(max_retries=0) as client:
        searches = search_at_once(client, 3 * SEARCHES_PER_SECOND)
    refusals = [error for search in searches if (error := search.exception())]
    assert refusals, "none was refused"
    for error in refusals:
        assert isinstance(error, RateLimitError)
        assert error.response.headers["retry-after"] == "1"
        assert str(SEARCHES_PER_SECOND) in error.body["message"]


def conflicts():
    """Each a name, what makes the way for the conflict, the call that runs into it, and a word of the answer."""

    def customer(v1, **more):
        return v1.customers.create(name="Conflicting", **more)

    def add_key(v1):
        v1.custom_fields.add_key(entity="rate_card", key="conflict", enforce_uniqueness=True)

    def unique_value(v1):
        v1.contracts.rate_cards.create(name="Unique", custom_fields={"conflict": "same"})

    return [
        ("alias", lambda v1: customer(v1, ingest_aliases=["taken"]), lambda v1: customer(v1, ingest_aliases=["taken"])),
        ("custom field key", add_key, add_key),
        ("unique value", unique_value, unique_value),
        (
            "idempotency key",
            lambda v1: customer(v1, extra_headers={"Idempotency-Key": "conflict"}),
            lambda v1: customer(v1, ingest_aliases=["other"], extra_headers={"Idempotency-Key": "conflict"}),
        ),
    ]


@pytest.mark.parametrize(("prepare", "call"), [pytest.param(*case[1:], id=case[0]) for case in conflicts()])
def test_a_conflict_costs_one_call(client, counting_client, requests, prepare, call):
    prepare(client.v1)
    with pytest.raises(ConflictError) as raised:
        call(counting_client.v1)
    assert len(requests) == 1
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.body["message"]
