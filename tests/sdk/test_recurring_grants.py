"""Recurring commits and credits: one commit or credit for each period, made as the period before it begins."""

import pytest
from metronome import BadRequestError

from catalog import USD_CENTS
from grants import Shop, entries, utc


@pytest.fixture(scope="module")
def shop(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    return Shop.open(client)


def every_month(shop, amount, **more):
    terms = {
        "product_id": shop.product,
        "access_amount": {"credit_type_id": USD_CENTS, "unit_price": amount, "quantity": 1},
        "commit_duration": {"value": 1, "unit": "PERIODS"},
        "priority": 1,
        "starting_at": "2026-03-01T00:00:00Z",
        "recurrence_frequency": "MONTHLY",
    }
    return {**terms, **more}


def test_a_recurring_grant_is_refused_by_the_place_of_its_fault(shop):
    for field, change in (
        ("priority", {"priority": None}),
        ("recurrence_frequency", {"recurrence_frequency": "HOURLY"}),
        ("proration", {"proration": "SOMETIMES"}),
        ("invoice_amount", {"invoice_amount": {"credit_type_id": USD_CENTS, "unit_price": 1, "quantity": 1}}),
    ):
        with pytest.raises(BadRequestError, match=rf"recurring_credits\[0\].*{field}"):
            shop.sign(shop.customer(), recurring_credits=[every_month(shop, 40, **change)])


def test_each_month_has_a_commit_and_a_credit_of_its_own(upbeat, client, shop):
    customer = shop.customer()
    paid = {"credit_type_id": USD_CENTS, "unit_price": 60, "quantity": 1}
    contract = shop.sign(
        customer,
        recurring_commits=[every_month(shop, 75, name="Monthly", priority=2, invoice_amount=paid)],
        recurring_credits=[every_month(shop, 40, name="Free of charge")],
    )

    def whole():
        asked = {"customer_id": customer, "contract_id": contract, "include_balance": True, "include_ledgers": True}
        return client.v2.contracts.retrieve(**asked).data

    (of_commits,), (of_credits,) = whole().recurring_commits, whole().recurring_credits
    assert (of_commits.name, of_commits.access_amount.unit_price, of_commits.invoice_amount.unit_price) == (
        "Monthly",
        75,
        60,
    )
    assert of_commits.anchor_date == of_credits.anchor_date == utc(3, 1)
    shop.call(customer, 5, "2026-03-09T12:00:00Z")

    def months(grants):
        segments = [(grant.access_schedule.schedule_items[0], grant.balance) for grant in grants]
        return sorted((segment.starting_at, segment.amount, balance) for segment, balance in segments)

    # April's are there and have not begun. Of 125 in March the credit pays 40 and the commit 75.
    assert {grant.recurring_commit_id for grant in whole().commits} == {of_commits.id}
    assert {grant.recurring_credit_id for grant in whole().credits} == {of_credits.id}
    assert months(whole().commits) == [(utc(3, 1), 75, 0), (utc(4, 1), 75, 0)]
    assert months(whole().credits) == [(utc(3, 1), 40, 0), (utc(4, 1), 40, 0)]
    (draft,) = shop.usage_invoices(customer)
    assert draft.total == 10
    upbeat.tick()
    assert shop.payments(customer) == [("FINALIZED", utc(3, 1), 60), ("DRAFT", utc(4, 1), 60)]

    upbeat.set_clock("2026-04-02T00:00:00Z")
    assert shop.payments(customer) == [
        ("FINALIZED", utc(3, 1), 60),
        ("FINALIZED", utc(4, 1), 60),
        ("DRAFT", utc(5, 1), 60),
    ]
    assert months(whole().commits) == [(utc(3, 1), 75, 0), (utc(4, 1), 75, 75), (utc(5, 1), 75, 0)]
    (march,) = (grant for grant in whole().commits if grant.access_schedule.schedule_items[0].starting_at == utc(3, 1))
    assert entries(march) == [
        (utc(3, 1), "PREPAID_COMMIT_SEGMENT_START", 75),
        (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -75),
    ]
    assert client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=draft.id).data.total == 10
