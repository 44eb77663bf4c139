"""Customers after their creation: renamed, configured, set unbillable."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import sell_api_calls

MARCH_FIRST = datetime(2026, 3, 1, tzinfo=timezone.utc)
APRIL_FIRST = datetime(2026, 4, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def customer(client):
    return client.v1.customers.create(name="Before Ltd.").data.id


def set_billable_status(client, customer, status, effective_at):
    """No SDK has a method for this operation."""
    body = {"customer_id": customer, "billable_status": status, "effective_at": effective_at}
    return client.post("/v1/customers/setBillableStatus", cast_to=object, body=body)["data"]


def test_a_renamed_customer_is_shown_by_its_new_name_everywhere(upbeat, client, customer):
    before = client.v1.customers.retrieve(customer_id=customer).data
    renamed_at = upbeat.tick()
    renamed = client.v1.customers.set_name(customer_id=customer, name="After GmbH").data
    assert (renamed.id, renamed.name) == (customer, "After GmbH")
    after = client.v1.customers.retrieve(customer_id=customer).data
    assert (after.name, after.created_at, after.updated_at) == ("After GmbH", before.created_at, renamed_at)
    assert list(client.v1.customers.list(customer_ids=[customer])) == [after]


def test_a_long_name_is_cut_to_160_characters(client, customer):
    assert client.v1.customers.set_name(customer_id=customer, name="ä" * 161).data.name == "ä" * 160


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda v1, id: v1.set_name(customer_id=id, name=" "), "name"),
        (lambda v1, id: v1.update_config(customer_id=id, salesforce_account_id=7), "salesforce_account_id"),
    ],
)
def test_a_malformed_change_names_its_field(client, customer, call, field):
    with pytest.raises(BadRequestError, match=field):
        call(client.v1.customers, customer)
    assert client.v1.customers.retrieve(customer_id=customer).data.name == "Before Ltd."


def test_an_unknown_customer_is_not_found(client):
    stranger = str(uuid4())
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.customers.set_name(customer_id=stranger, name="Nobody")
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.customers.update_config(customer_id=stranger, salesforce_account_id="nobody")


def test_an_archived_customer_takes_no_change(client, customer):
    client.v1.customers.archive(id=customer)
    with pytest.raises(BadRequestError, match="archived"):
        client.v1.customers.set_name(customer_id=customer, name="Too late")
    with pytest.raises(BadRequestError, match="archived"):
        client.v1.customers.update_config(customer_id=customer, salesforce_account_id="too late")
    with pytest.raises(BadRequestError, match="archived"):
        set_billable_status(client, customer, "unbillable", "2026-03-01T00:00:00Z")
    assert client.v1.customers.retrieve(customer_id=customer).data.name == "Before Ltd."


def test_a_salesforce_account_is_set_searched_for_and_cleared(client, customer):
    def account():
        return client.v1.customers.retrieve(customer_id=customer).data.customer_config.salesforce_account_id

    def found():
        return [found.id for found in client.v1.customers.list(salesforce_account_ids=["sf-1", "sf-unknown"])]

    update = client.v1.customers.update_config
    assert (account(), found()) == (None, [])
    update(customer_id=customer, salesforce_account_id="sf-1", leave_stripe_invoices_in_draft=True)
    assert (account(), found()) == ("sf-1", [customer])
    update(customer_id=customer, leave_stripe_invoices_in_draft=None)
    assert account() == "sf-1", "a field that is left out stays"
    update(customer_id=customer, salesforce_account_id=None)
    assert (account(), found()) == (None, [])


def test_what_this_sdk_has_no_name_for_is_sent_as_an_extra_field(client):
    created = client.v1.customers.create(
        name="Configured", external_id="ext-1", extra_body={"customer_config": {"salesforce_account_id": "sf-2"}}
    ).data
    assert (created.external_id, created.ingest_aliases) == ("ext-1", ["ext-1"])
    assert [found.id for found in client.v1.customers.list(salesforce_account_ids=["sf-2"])] == [created.id]


def test_invoices_from_the_day_on_are_unbillable(client, customer):
    rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")

    def status():
        found = client.v1.customers.retrieve(customer_id=customer).data.current_billable_status
        (draft,) = client.v1.customers.invoices.list(customer_id=customer)
        return found.value, found.effective_at, draft.billable_status

    assert status() == ("billable", None, "billable")
    later = set_billable_status(client, customer, "unbillable", "2026-04-01T00:00:00Z")
    assert later == {"id": customer, "current_billable_status": "billable"}
    assert status() == ("billable", None, "billable"), "April has not begun"
    now = set_billable_status(client, customer, "unbillable", "2026-03-01T00:00:00Z")
    assert now == {"id": customer, "current_billable_status": "unbillable"}
    assert status() == ("unbillable", MARCH_FIRST, "unbillable")


# Moves the clock: last in the file.
def test_a_finalized_invoice_keeps_its_billable_status(upbeat, client, customer):
    rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")
    set_billable_status(client, customer, "unbillable", "2026-04-01T00:00:00Z")
    upbeat.set_clock("2026-04-03T00:00:00Z")
    with pytest.raises(BadRequestError, match="effective_at"):
        set_billable_status(client, customer, "unbillable", "2026-03-01T00:00:00Z")
    march, april = client.v1.customers.invoices.list(customer_id=customer)
    assert (march.status, march.billable_status) == ("FINALIZED", "billable")
    assert (april.status, april.billable_status) == ("DRAFT", "unbillable")
    current = client.v1.customers.retrieve(customer_id=customer).data.current_billable_status
    assert (current.value, current.effective_at) == ("unbillable", APRIL_FIRST)
