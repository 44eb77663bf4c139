"""Contracts that end sooner or later than agreed, and contracts that should not have been made."""

from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, Metronome, NotFoundError

from catalog import sell_api_calls


def utc(month, day, year=2026):
    return datetime(year, month, day, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Signed:
    """A contract since the first of March, with a call of 25 cents on the ninth."""

    client: Metronome
    customer: str
    id: str

    @property
    def ids(self):
        return {"customer_id": self.customer, "contract_id": self.id}

    def end(self, **changes):
        return self.client.v1.contracts.update_end_date(**self.ids, **changes).data.id

    def archive(self, void_invoices):
        return self.client.v1.contracts.archive(**self.ids, void_invoices=void_invoices).data.id

    def invoices(self):
        invoices = self.client.v1.customers.invoices.list(customer_id=self.customer)
        return [(invoice.status, invoice.start_timestamp, invoice.end_timestamp, invoice.total) for invoice in invoices]


@pytest.fixture(scope="module")
def rate_card(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")


@pytest.fixture
def contract(client, rate_card):
    customer = client.v1.customers.create(name="Signed").data.id
    call = {
        "transaction_id": f"{customer}-1",
        "customer_id": customer,
        "event_type": "api_call",
        "timestamp": "2026-03-09T13:00:00Z",
    }
    client.v1.usage.ingest(usage=[call])
    contract = client.v1.contracts.create(
        customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z"
    ).data.id
    return Signed(client, customer, contract)


def test_an_end_cuts_the_draft_and_no_end_opens_it_again(client, contract):
    assert contract.invoices() == [("DRAFT", utc(3, 1), utc(4, 1), 25)]
    assert contract.end(ending_before="2026-03-20T00:00:00Z") == contract.id
    assert contract.invoices() == [("DRAFT", utc(3, 1), utc(3, 20), 25)]
    shown = client.v1.contracts.retrieve(**contract.ids).data
    assert (shown.initial.ending_before, shown.current.ending_before) == (None, utc(3, 20))
    assert client.v2.contracts.retrieve(**contract.ids).data.ending_before == utc(3, 20)
    contract.end(ending_before="2026-03-09T13:00:00Z")
    (draft,) = contract.invoices()
    assert (draft[0], draft[3]) == ("DRAFT", 0), "the call is behind the end"
    contract.end()
    assert contract.invoices() == [("DRAFT", utc(3, 1), utc(4, 1), 25)]
    assert client.v1.contracts.retrieve(**contract.ids).data.current.ending_before is None


def test_an_end_that_is_long_past_closes_the_statement_and_another_one_follows_where_it_is_lifted(upbeat, contract):
    contract.end(ending_before="2026-03-05T00:00:00Z")
    upbeat.tick()
    closed = ("FINALIZED", utc(3, 1), utc(3, 5), 0)
    assert contract.invoices() == [closed]
    contract.end()
    assert contract.invoices() == [closed, ("DRAFT", utc(3, 5), utc(4, 1), 25)]


def test_the_end_is_known_as_it_was(upbeat, client, contract):
    before = upbeat.clock()
    upbeat.tick()
    contract.end(ending_before="2026-05-01T00:00:00Z")
    flat = client.v2.contracts.retrieve
    assert flat(**contract.ids, as_of_date=before).data.ending_before is None
    assert flat(**contract.ids).data.ending_before == utc(5, 1)


@pytest.mark.parametrize("end", ["2026-03-01T00:00:00Z", "2026-04-01T00:30:00Z", "soon"])
def test_an_end_is_after_the_start_and_on_the_hour(contract, end):
    with pytest.raises(BadRequestError, match="ending_before"):
        contract.end(ending_before=end)
    assert contract.invoices() == [("DRAFT", utc(3, 1), utc(4, 1), 25)]


def test_a_contract_is_found_with_its_own_customer_only(client, contract):
    other = client.v1.customers.create(name="Other").data.id
    for wrong in ({"customer_id": other}, {"contract_id": str(uuid4())}, {"customer_id": str(uuid4())}):
        with pytest.raises(NotFoundError):
            client.v1.contracts.update_end_date(**{**contract.ids, **wrong}, ending_before="2026-04-01T00:00:00Z")
        with pytest.raises(NotFoundError):
            client.v1.contracts.archive(**{**contract.ids, **wrong}, void_invoices=True)


def test_an_archived_contract_has_no_draft_and_takes_no_change(client, contract):
    assert contract.archive(void_invoices=True) == contract.id
    assert contract.invoices() == []
    assert client.v1.contracts.retrieve(**contract.ids).data.archived_at is not None
    for version in (client.v1, client.v2):
        listed = version.contracts.list(customer_id=contract.customer)
        assert [c.id for c in listed] == []
        listed = version.contracts.list(customer_id=contract.customer, include_archived=True)
        assert [c.id for c in listed] == [contract.id]
    with pytest.raises(BadRequestError, match="archived"):
        contract.archive(void_invoices=True)
    with pytest.raises(BadRequestError, match="archived"):
        contract.end(ending_before="2026-04-01T00:00:00Z")
    client.v1.customers.archive(id=contract.customer)


# Moves the clock: last in the file.
@pytest.mark.parametrize(("month", "void_invoices", "status"), [(4, False, "FINALIZED"), (5, True, "VOID")])
def test_finalized_invoices_stay_unless_they_are_voided_too(upbeat, client, contract, month, void_invoices, status):
    upbeat.set_clock(f"2026-{month:02}-03T00:00:00Z")
    finalized = [invoice for invoice in contract.invoices() if invoice[0] == "FINALIZED"]
    months = [(utc(3, 1), utc(4, 1), 25), (utc(4, 1), utc(5, 1), 0)][: month - 3]
    assert finalized == [("FINALIZED", *invoice) for invoice in months]
    with pytest.raises(BadRequestError, match="finalized"):
        contract.end(ending_before="2026-03-20T00:00:00Z", allow_ending_before_finalized_invoice=False)
    contract.end(ending_before="2026-03-20T00:00:00Z")
    assert contract.invoices() == finalized, "they stay as they were, and nothing follows"
    contract.end()
    assert contract.invoices() == [*finalized, ("DRAFT", utc(month, 1), utc(month + 1, 1), 0)]
    contract.archive(void_invoices)
    assert contract.invoices() == [(status, *invoice) for invoice in months]
    listed = client.v1.customers.invoices.list(customer_id=contract.customer, status="VOID")
    assert len(list(listed)) == (len(months) if void_invoices else 0)
