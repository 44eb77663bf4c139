"""Credits: value that nobody pays for, drawn before what is paid for."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

from grants import Shop, entries, lines, utc


@pytest.fixture(scope="module")
def shop(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return Shop.open(client)


@pytest.fixture(scope="module")
def unchecked(upbeat):
    """Past the checking proxy: the published enum of v2 codes has no `BadRequest`, nor may a ledger be null there."""
    with upbeat.client(base_url=upbeat.server_url) as client:
        yield client


@pytest.fixture
def customer(shop):
    return shop.customer()


@pytest.fixture
def credits(client):
    return client.v1.customers.credits


def test_a_credit_is_shown_as_it_was_made(shop, customer, credits):
    contract = shop.sign(customer)
    terms = shop.grant(
        ("2026-03-01", "2026-04-01", 40),
        ("2026-04-01", "2026-05-01", 60.5),
        name="Sorry for the outage",
        priority=1,
        rate_type="COMMIT_RATE",
        applicable_product_tags=["api"],
        applicable_contract_ids=[contract],
        uniqueness_key=f"{customer}-outage",
    )
    id = credits.create(customer_id=customer, **terms).data.id
    (shown,) = credits.list(customer_id=customer, credit_id=id, include_balance=True, include_ledgers=True)
    assert (shown.id, shown.type, shown.name, shown.priority) == (id, "CREDIT", "Sorry for the outage", 1)
    assert (shown.product.id, shown.rate_type) == (shop.product, "COMMIT_RATE")
    assert (shown.applicable_product_tags, shown.applicable_contract_ids) == (["api"], [contract])
    segments = shown.access_schedule.schedule_items
    assert [(item.amount, item.starting_at, item.ending_before) for item in segments] == [
        (40, utc(3, 1), utc(4, 1)),
        (60.5, utc(4, 1), utc(5, 1)),
    ]
    # What has not begun is neither in the ledger nor in the balance.
    assert (entries(shown), shown.balance) == ([(utc(3, 1), "CREDIT_SEGMENT_START", 40)], 40)
    assert shown.ledger[0].segment_id == segments[0].id
    with pytest.raises(ConflictError):
        credits.create(customer_id=customer, **terms)
    with pytest.raises(NotFoundError):
        credits.create(customer_id=str(uuid4()), **shop.grant(("2026-03-01", "2026-04-01", 40)))
    with pytest.raises(BadRequestError, match="schedule_items"):
        credits.create(customer_id=customer, **shop.grant(("2026-04-01", "2026-03-01", 40)))


def test_a_credit_ends_earlier_and_a_later_end_is_refused(shop, customer, credits):
    id = credits.create(customer_id=customer, **shop.grant(("2026-03-01", "2026-06-01", 40))).data.id
    ended = credits.update_end_date(customer_id=customer, credit_id=id, access_ending_before="2026-05-01T00:00:00Z")
    assert ended.data.id == id
    (segment,) = shop.balance(customer, id).access_schedule.schedule_items
    assert segment.ending_before == utc(5, 1)
    with pytest.raises(BadRequestError, match="access_ending_before"):
        credits.update_end_date(customer_id=customer, credit_id=id, access_ending_before="2026-06-01T00:00:00Z")
    with pytest.raises(NotFoundError):
        credits.update_end_date(
            customer_id=customer, credit_id=str(uuid4()), access_ending_before="2026-05-01T00:00:00Z"
        )


def test_a_credit_is_edited_and_archived(client, unchecked, shop, customer, credits):
    shop.sign(customer)
    id = credits.create(customer_id=customer, **shop.grant(("2026-03-01", "2026-04-01", 40))).data.id
    shop.call(customer, 2, "2026-03-09T12:00:00Z")
    edit = client.v2.contracts.edit_credit
    more = {"starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z", "amount": 5}
    edited = edit(
        customer_id=customer,
        credit_id=id,
        priority=3,
        description="More of it",
        access_schedule={"add_schedule_items": [more]},
    )
    assert edited.data.id == id
    shown = shop.balance(customer, id)
    assert (shown.priority, shown.description, shown.balance) == (3, "More of it", 0)
    assert shop.usage_invoices(customer)[0].total == 5
    with pytest.raises(BadRequestError, match="product_id"):
        unchecked.v2.contracts.edit_credit(customer_id=customer, credit_id=id, product_id=str(uuid4()))
    with pytest.raises(BadRequestError) as refused:
        edit(customer_id=str(uuid4()), credit_id=id, priority=3)
    assert refused.value.body["code"] == "CustomerNotFound"
    archive = {"path": "/v2/contracts/credits/archive", "body": {"customer_id": customer, "credit_id": id}}
    assert client.post(**archive, cast_to=object)["data"] == {"id": id}
    assert shop.usage_invoices(customer)[0].total == 50
    assert list(credits.list(customer_id=customer)) == []


# From here on the clock moves.
def test_credits_of_a_contract_go_first_and_expire(upbeat, client, unchecked, shop, customer, credits):
    commit = shop.grant(("2026-03-01", "2026-06-01", 1000), type="PREPAID", name="Paid", priority=2)
    gift = shop.grant(("2026-03-01", "2026-04-01", 30), name="Gift", priority=1)
    contract = shop.sign(customer, commits=[commit], credits=[gift])
    shop.call(customer, 1, "2026-03-09T12:00:00Z")
    whole = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract, include_balance=True).data
    (commit,), (credit,) = whole.commits, whole.credits
    assert (commit.balance, credit.balance) == (1000, 5)
    assert list(credits.list(customer_id=customer)) == []
    (listed,) = credits.list(customer_id=customer, include_contract_credits=True)
    assert (listed.id, listed.contract.id) == (credit.id, contract)
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "API calls", 1, 25, credit.id),
        ("applied_commit_or_credit", "Gift applied", None, -25, credit.id),
    ]
    assert draft.line_items[1].applied_commit_or_credit.type == "CREDIT"
    upbeat.set_clock("2026-04-02T00:00:00Z")
    expired = shop.balance(customer, credit.id)
    assert entries(expired) == [
        (utc(3, 1), "CREDIT_SEGMENT_START", 30),
        (utc(4, 1), "CREDIT_AUTOMATED_INVOICE_DEDUCTION", -25),
        (utc(4, 1), "CREDIT_EXPIRATION", -5),
    ]
    assert (expired.balance, shop.balance(customer, commit.id).balance) == (0, 1000)
    with pytest.raises(BadRequestError):
        unchecked.post(
            "/v2/contracts/credits/archive", cast_to=object, body={"customer_id": customer, "credit_id": credit.id}
        )
    # Once the invoice is void nothing stands in the way.
    client.v1.invoices.void(id=draft.id)
    given_back = [entry.amount for entry in shop.balance(customer, credit.id).ledger if "CANCELED" in entry.type]
    assert given_back == [25]
