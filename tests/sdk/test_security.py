"""The audit log, which never ends, and the addresses of the services."""

import pytest
from metronome import BadRequestError, ConflictError

SETTINGS = {"UPBEAT_SERVICES": "webhooks=203.0.113.7,api=203.0.113.8,webhooks=2001:db8::7,pdf=203.0.113.9"}


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


def lines_after(client, cursor):
    """What came since, and where to go on; the SDK's own paging would never end."""
    lines = []
    while True:
        page = client.v1.audit_logs.list(limit=2, next_page=cursor)
        assert page.next_page, "there is always a cursor"
        assert page.has_next_page()
        if not page.data:
            return lines, page.next_page
        lines += page.data
        cursor = page.next_page


@pytest.fixture
def now(client):
    """A cursor that lies behind everything until now."""
    return lines_after(client, client.v1.audit_logs.list(limit=1).next_page)[1]


def test_one_goes_on_from_the_last_cursor(client, now):
    assert lines_after(client, now) == ([], now)
    ids = [client.v1.customers.create(name=f"Audited {number}").data.id for number in range(5)]
    lines, later = lines_after(client, now)
    assert [(line.action, line.resource_type, line.resource_id) for line in lines] == [
        ("create", "customer", id) for id in ids
    ]
    assert lines_after(client, later)[0] == []
    client.v1.customers.archive(id=ids[0])
    (line,), _ = lines_after(client, later)
    assert (line.action, line.resource_id) == ("archive", ids[0])


def test_a_line_says_who_did_what_and_with_what(upbeat, client, now):
    at = upbeat.clock()
    customer = client.v1.customers.create(name="Traced").data.id
    client.v1.customers.set_name(customer_id=customer, name="Renamed")
    (created, renamed), _ = lines_after(client, now)
    assert created.status == renamed.status == "success"
    assert created.timestamp == at
    assert created.actor.id == renamed.actor.id
    assert created.actor.name
    assert created.request.id != renamed.request.id
    assert created.request.user_agent.startswith("Metronome/Python")
    assert created.request.ip == "127.0.0.1"
    assert "Traced" in created.description
    assert (renamed.action, renamed.resource_type) == ("change_name", "customer")
    assert "Traced" in renamed.description and "Renamed" in renamed.description


def test_what_was_refused_is_a_failure_and_reading_is_nothing(client, now):
    client.v1.customers.create(name="First", ingest_aliases=["audited"])
    with pytest.raises(ConflictError):
        client.v1.customers.create(name="Second", ingest_aliases=["audited"])
    with pytest.raises(BadRequestError):
        client.v1.customers.create(name="")
    list(client.v1.customers.list())
    client.v1.contracts.products.list()
    lines, _ = lines_after(client, now)
    assert [(line.action, line.resource_type, line.status) for line in lines] == [
        ("create", "customer", "success"),
        ("create", "customer", "failure"),
        ("create", "customer", "failure"),
    ]
    assert "audited" in lines[1].description
    assert "name" in lines[2].description


def test_a_repeat_under_an_idempotency_key_is_no_second_line(client, now):
    for _ in range(2):
        client.v1.customers.create(name="Once", extra_headers={"Idempotency-Key": "audited-once"})
    lines, _ = lines_after(client, now)
    assert [(line.action, line.status) for line in lines] == [("create", "success")]


def test_the_lines_of_one_object(client):
    card = client.v1.contracts.rate_cards.create(name="Audited").data.id
    client.v1.contracts.rate_cards.create(name="Another")
    client.v1.contracts.rate_cards.update(rate_card_id=card, name="Renamed")
    client.v1.contracts.rate_cards.archive(id=card)
    of_card = {"resource_type": "rate_card", "resource_id": card}
    first = client.v1.audit_logs.list(limit=2, **of_card)
    second = first.get_next_page()
    third = second.get_next_page()
    actions = [[line.action for line in page.data] for page in (first, second, third)]
    assert actions == [["create", "update"], ["archive"], []]
    for alone in ("resource_type", "resource_id"):
        other = {"resource_type": "resource_id", "resource_id": "resource_type"}[alone]
        with pytest.raises(BadRequestError, match=other):
            client.v1.audit_logs.list(**{alone: of_card[alone]})


def test_the_newest_first_and_then_the_end(upbeat, client):
    starting_on = upbeat.tick()
    for name in ("one", "two", "three"):
        client.v1.customers.create(name=name)
    ending_before = upbeat.tick()
    client.v1.customers.create(name="later")
    dates = {"starting_on": starting_on, "ending_before": ending_before}
    pages = [client.v1.audit_logs.list(sort="date_desc", limit=2, **dates)]
    while pages[-1].data:
        # The cursor carries order and dates with it.
        pages.append(client.v1.audit_logs.list(limit=2, next_page=pages[-1].next_page))
    (clock, three), *others = [page.data for page in pages]
    assert clock.action == "move_clock", "at the time that it moves away from"
    assert [line.description.split()[-1] for line in [three, *others[0]]] == ["three", "two", "one"]
    assert others[1:] == [[]]
    for field, value in dates.items():
        with pytest.raises(BadRequestError, match=field):
            client.v1.audit_logs.list(next_page=pages[0].next_page, **{field: value})
    with pytest.raises(BadRequestError, match="next_page"):
        client.v1.audit_logs.list(next_page="forged")


def test_the_services_are_those_that_the_operator_names(client):
    services = {service.name: (service.usage, service.ips) for service in client.v1.services.list().services}
    assert services == {
        "api": ("accepts_connections_at", ["203.0.113.8"]),
        "ingest": ("accepts_connections_at", []),
        "webhooks": ("makes_connections_from", ["203.0.113.7", "2001:db8::7"]),
        "pdf": ("accepts_connections_at", ["203.0.113.9"]),
    }


# Moves the clock: last in the file.
def test_what_falls_due_is_recorded_without_a_token(upbeat, client, now):
    customer = client.v1.customers.create(name="Billed").data.id
    contract = client.v1.contracts.create(customer_id=customer, starting_at="2026-03-01T00:00:00Z").data.id
    upbeat.set_clock("2026-04-03T00:00:00Z")
    (march, _) = client.v1.customers.invoices.list(customer_id=customer)
    lines, _ = lines_after(client, now)
    recorded = {line.resource_id: line for line in lines}
    assert (recorded[contract].resource_type, recorded[contract].action) == ("contract", "create")
    line = recorded[march.id]
    assert (line.resource_type, line.action, line.status) == ("invoice", "finalize", "success")
    assert line.timestamp == march.issued_at
    assert line.actor.name != recorded[contract].actor.name
    assert (line.request.ip, line.request.user_agent) == (None, None)
