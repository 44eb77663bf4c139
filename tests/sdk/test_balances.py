"""Balances: commits and credits in one list, what is left of them together, and entries by hand."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

from catalog import USD_CENTS
from grants import Shop, entries, utc


@pytest.fixture(scope="module")
def shop(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return Shop.open(client)


@pytest.fixture(scope="module")
def granted(upbeat, client, shop):
    """A customer with a commit of its contract, a commit and a credit of its own, by their names, and usage."""
    customer = shop.customer()
    of_contract = shop.grant(("2026-03-01", "2026-06-01", 100), type="PREPAID", priority=1)
    contract = shop.sign(customer, commits=[of_contract])
    (commit,) = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data.commits
    upbeat.tick()
    own = shop.grant(("2026-03-01", "2026-04-01", 70), type="PREPAID", priority=2)
    own = client.v1.customers.commits.create(customer_id=customer, **own).data.id
    upbeat.tick()
    credit = shop.grant(("2026-05-01", "2026-06-01", 30), priority=3)
    credit = client.v1.customers.credits.create(customer_id=customer, **credit).data.id
    shop.call(customer, 2, "2026-03-09T12:00:00Z")
    return {"customer": customer, "contract": contract, "of contract": commit.id, "own": own, "credit": credit}


def test_a_list_of_balances_is_filtered_and_paged(client, granted):
    names = {id: name for name, id in granted.items()}

    def listed(**filters):
        balances = client.v1.contracts.list_balances(customer_id=granted["customer"], limit=1, **filters)
        return [names[balance.id] for balance in balances]

    assert listed() == ["own", "credit"]
    everything = {"include_contract_balances": True}
    assert sorted(listed(**everything)) == ["credit", "of contract", "own"]
    assert listed(**everything, id=granted["of contract"]) == ["of contract"]
    assert sorted(listed(**everything, covering_date="2026-03-09T00:00:00Z")) == ["of contract", "own"]
    assert sorted(listed(**everything, starting_at="2026-04-01T00:00:00Z")) == ["credit", "of contract"]
    assert sorted(listed(**everything, effective_before="2026-05-01T00:00:00Z")) == ["of contract", "own"]
    assert sorted(listed(**everything, exclude_zero_balances=True)) == ["of contract", "own"]
    types = {names[b.id]: b.type for b in client.v1.contracts.list_balances(customer_id=granted["customer"])}
    assert types == {"own": "PREPAID", "credit": "CREDIT"}
    with pytest.raises(BadRequestError, match="limit"):
        client.v1.contracts.list_balances(customer_id=granted["customer"], limit=26)
    with pytest.raises(NotFoundError):
        client.v1.contracts.list_balances(customer_id=str(uuid4()))


def test_what_is_left_of_all_is_one_number(client, granted):
    def left(*filters, **more):
        answer = client.v1.contracts.get_net_balance(customer_id=granted["customer"], filters=filters, **more).data
        assert answer.credit_type_id == USD_CENTS
        return answer.balance

    # The credit has not begun, and the draft draws 50 of the contract's commit.
    assert (left(), left(invoice_inclusion_mode="FINALIZED")) == (120, 170)
    assert left({"balance_types": ["CREDIT"]}) == 0
    assert left({"ids": [granted["own"]]}) == 70
    assert left({"ids": [granted["own"]], "balance_types": ["CREDIT"]}, {"ids": [granted["of contract"]]}) == 50
    with pytest.raises(BadRequestError, match="customer"):
        client.v1.contracts.get_net_balance(customer_id=str(uuid4()))


def test_an_entry_by_hand_counts_at_once(client, shop):
    customer = shop.customer()
    contract = shop.sign(customer)
    grant = shop.grant(("2026-03-01", "2026-04-01", 30))
    id = client.v1.customers.credits.create(customer_id=customer, **grant).data.id
    shop.call(customer, 4, "2026-03-09T12:00:00Z")
    (segment,) = shop.balance(customer, id).access_schedule.schedule_items
    entry = {"customer_id": customer, "id": id, "segment_id": segment.id, "amount": 45, "reason": "Goodwill"}
    write = client.v1.contracts.add_manual_balance_entry
    write(**entry, timestamp="2026-03-20T00:00:00Z", uniqueness_key=f"{customer}-goodwill")
    assert shop.usage_invoices(customer)[0].total == 25
    written = shop.balance(customer, id)
    assert entries(written) == [
        (utc(3, 1), "CREDIT_SEGMENT_START", 30),
        (utc(3, 20), "CREDIT_MANUAL", 45),
        (utc(4, 1), "CREDIT_AUTOMATED_INVOICE_DEDUCTION", -75),
    ]
    assert written.ledger[1].reason == "Goodwill"
    with pytest.raises(ConflictError):
        write(**entry, uniqueness_key=f"{customer}-goodwill")
    for field, value in (("amount", 0), ("reason", ""), ("timestamp", "2026-04-02T00:00:00Z")):
        with pytest.raises(BadRequestError, match=field):
            write(**{**entry, field: value})
    with pytest.raises(BadRequestError, match="per_group_amounts"):
        write(**entry, per_group_amounts={"seat-1": 45})
    for field, value in (("id", str(uuid4())), ("segment_id", str(uuid4())), ("contract_id", contract)):
        with pytest.raises(NotFoundError):
            write(**{**entry, field: value})
    assert len(shop.balance(customer, id).ledger) == 3
