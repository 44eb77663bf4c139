"""Named schedules. This SDK has those of rate cards under `contracts`, and those of contracts under `rate_cards`."""

import pytest
from metronome import NotFoundError

STRANGER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def places(client):
    """Each resource with the ids of one object that has schedules."""
    card = client.v1.contracts.rate_cards.create(name="Card").data.id
    customer = client.v1.customers.create(name="Scheduled").data.id
    contract = client.v1.contracts.create(customer_id=customer, starting_at="2026-01-01T00:00:00Z").data.id
    return [
        (client.v1.contracts.named_schedules, {"rate_card_id": card}),
        (client.v1.customers.named_schedules, {"customer_id": customer}),
        (client.v1.contracts.rate_cards.named_schedules, {"customer_id": customer, "contract_id": contract}),
    ]


def test_a_value_is_set_over_a_window(places):
    for schedules, owner in places:
        where = {**owner, "schedule_name": "limits"}
        assert schedules.retrieve(**where).data == []
        schedules.update(**where, starting_at="2026-01-01T00:00:00Z", value={"calls": 600})
        window = {"starting_at": "2026-02-01T00:00:00Z", "ending_before": "2026-03-01T00:00:00Z"}
        schedules.update(**where, **window, value=[1, None, "x"])
        assert [row.value for row in schedules.retrieve(**where).data] == [{"calls": 600}, [1, None, "x"], {"calls": 600}]
        [row] = schedules.retrieve(**where, covering_date="2026-02-28T23:00:00Z").data
        assert (row.value, row.starting_at.month, row.ending_before.month) == ([1, None, "x"], 2, 3)


def test_an_owner_that_is_not_there_is_not_found(places):
    for schedules, owner in places:
        with pytest.raises(NotFoundError):
            schedules.retrieve(**dict.fromkeys(owner, STRANGER), schedule_name="limits")


def test_the_schedules_of_contracts_are_listed(places):
    schedules, owner = places[2]
    for name in ["a", "b", "c"]:
        schedules.update(**owner, schedule_name=name, starting_at="2026-01-01T00:00:00Z", value=name)
    first = schedules.list(customer_id=owner["customer_id"], limit=2)
    rest = schedules.list(customer_id=owner["customer_id"], limit=2, next_page=first.next_page)
    assert [row.schedule_name for row in [*first.data, *rest.data]] == ["a", "b", "c"]
    assert (rest.next_page, rest.data[0].segments[0].value) == (None, "c")
