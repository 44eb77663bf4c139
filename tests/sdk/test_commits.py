"""Commits: what is paid ahead pays for usage; what is promised and not spent is billed at last."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

from catalog import USD_CENTS
from grants import Shop, entries, lines, paid_on, utc


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
def commits(client):
    return client.v1.customers.commits


def test_a_commit_is_shown_as_it_was_made(client, shop, customer, commits):
    contract = shop.sign(customer)
    terms = shop.grant(
        ("2026-03-01", "2027-03-01", 500),
        type="PREPAID",
        name="Starter commit",
        description="Signed in March",
        priority=7,
        specifiers=[{"product_tags": ["api"], "presentation_group_values": {"region": "eu"}}],
        applicable_contract_ids=[contract],
        invoice_contract_id=contract,
        netsuite_sales_order_id="so-7",
        uniqueness_key=f"{customer}-starter",
        **paid_on(("2026-03-01", 300), ("2026-09-01", 100)),
    )
    id = commits.create(customer_id=customer, **terms).data.id
    (shown,) = commits.list(customer_id=customer, commit_id=id)
    assert (shown.id, shown.type, shown.product.id, shown.product.name) == (id, "PREPAID", shop.product, "Commitment")
    assert (shown.name, shown.description, shown.priority) == ("Starter commit", "Signed in March", 7)
    assert (shown.rate_type, shown.netsuite_sales_order_id) == ("LIST_RATE", "so-7")
    assert shown.access_schedule.credit_type.id == USD_CENTS
    (segment,) = shown.access_schedule.schedule_items
    assert (segment.amount, segment.starting_at.year, segment.ending_before.year) == (500, 2026, 2027)
    assert [(item.timestamp, item.amount) for item in shown.invoice_schedule.schedule_items] == [
        (utc(3, 1), 300),
        (utc(9, 1), 100),
    ]
    (specifier,) = shown.specifiers
    assert (specifier.product_tags, specifier.presentation_group_values) == (["api"], {"region": "eu"})
    assert (shown.applicable_contract_ids, shown.invoice_contract.id) == ([contract], contract)
    assert (shown.contract, shown.ledger, shown.balance) == (None, None, None)
    with pytest.raises(ConflictError):
        commits.create(customer_id=customer, **terms)


def test_a_commit_ends_earlier_and_is_paid_less(upbeat, shop, customer, commits):
    contract = shop.sign(customer)
    payments = paid_on(("2026-04-01", 100), ("2026-05-01", 100), invoice_contract_id=contract)
    id = commits.create(
        customer_id=customer, type="PREPAID", **shop.grant(("2026-03-01", "2026-09-01", 500), **payments)
    ).data.id
    assert shop.payments(customer) == [("DRAFT", utc(4, 1), 100), ("DRAFT", utc(5, 1), 100)]
    ends = {"access_ending_before": "2026-03-08T00:00:00Z", "invoices_ending_before": "2026-05-01T00:00:00Z"}
    assert commits.update_end_date(customer_id=customer, commit_id=id, **ends).data.id == id
    assert shop.payments(customer) == [("DRAFT", utc(4, 1), 100)]
    ended = shop.balance(customer, id)
    assert ended.access_schedule.schedule_items[0].ending_before == utc(3, 8)
    assert (entries(ended)[-1], ended.balance) == ((utc(3, 8), "PREPAID_COMMIT_EXPIRATION", -500), 0)
    with pytest.raises(BadRequestError, match="access_ending_before"):
        commits.update_end_date(customer_id=customer, commit_id=id, access_ending_before="2026-03-09T00:00:00Z")
    with pytest.raises(NotFoundError):
        commits.update_end_date(customer_id=customer, commit_id=str(uuid4()), **ends)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("type", {"type": "TRIAL"}),
        ("access_schedule", {"access_schedule": {"schedule_items": []}}),
        ("invoice_schedule", {"type": "POSTPAID"}),
        ("invoice_contract_id", paid_on(("2026-03-01", 5))),
        ("specifiers", {"specifiers": [{"product_tags": ["a"]}], "applicable_product_tags": ["b"]}),
    ],
)
def test_a_commit_is_refused_by_the_name_of_its_fault(shop, customer, commits, field, changes):
    good = {"type": "PREPAID", **shop.grant(("2026-03-01", "2027-03-01", 500))}
    with pytest.raises(BadRequestError, match=field):
        commits.create(customer_id=customer, **{**good, **changes})
    assert list(commits.list(customer_id=customer)) == []


def test_a_commit_is_of_a_known_customer_and_a_fixed_product(client, shop, customer, commits):
    good = {"type": "PREPAID", **shop.grant(("2026-03-01", "2027-03-01", 500))}
    metric = client.v1.billable_metrics.create(name="Calls", aggregation_type="COUNT").data.id
    usage = client.v1.contracts.products.create(name="Calls", type="USAGE", billable_metric_id=metric).data.id
    with pytest.raises(BadRequestError, match="product_id"):
        commits.create(customer_id=customer, **{**good, "product_id": usage})
    with pytest.raises(NotFoundError):
        commits.create(customer_id=str(uuid4()), **good)


def test_an_edited_commit_pays_for_the_draft_in_another_way(client, unchecked, shop, customer, commits):
    contract = shop.sign(customer)
    grant = shop.grant(("2026-03-01", "2026-04-01", 50), applicable_product_tags=["other"])
    id = commits.create(customer_id=customer, type="PREPAID", **grant).data.id
    shop.call(customer, 4, "2026-03-09T12:00:00Z")
    (draft,) = shop.usage_invoices(customer)
    assert (draft.total, shop.balance(customer, id).balance) == (100, 50)
    (segment,) = shop.balance(customer, id).access_schedule.schedule_items
    edited = client.v2.contracts.edit_commit(
        customer_id=customer,
        commit_id=id,
        name="For everything",
        applicable_product_tags=None,
        access_schedule={"update_schedule_items": [{"id": segment.id, "amount": 75}]},
        invoice_contract_id=contract,
        invoice_schedule={"add_schedule_items": [{"timestamp": "2026-05-01T00:00:00Z", "amount": 60}]},
    )
    assert edited.data.id == id
    (draft,) = shop.usage_invoices(customer)
    assert (draft.total, shop.balance(customer, id).balance) == (25, 0)
    assert shop.payments(customer) == [("DRAFT", utc(5, 1), 60)]
    with pytest.raises(BadRequestError, match="access_schedule") as refused:
        unknown = {"update_schedule_items": [{"id": str(uuid4()), "amount": 1}]}
        unchecked.v2.contracts.edit_commit(customer_id=customer, commit_id=id, access_schedule=unknown)
    assert refused.value.body["code"] == "BadRequest"


def test_an_archived_commit_pays_nothing_and_is_out_of_sight(client, unchecked, shop, customer, commits):
    shop.sign(customer)
    grant = shop.grant(("2026-03-01", "2026-04-01", 50))
    id = commits.create(customer_id=customer, type="PREPAID", **grant).data.id
    shop.call(customer, 4, "2026-03-09T12:00:00Z")
    assert shop.usage_invoices(customer)[0].total == 50
    archive = {"path": "/v2/contracts/commits/archive", "body": {"customer_id": customer, "commit_id": id}}
    assert client.post(**archive, cast_to=object)["data"] == {"id": id}
    assert shop.usage_invoices(customer)[0].total == 100
    assert list(commits.list(customer_id=customer)) == []
    flags = dict.fromkeys(("include_archived", "include_balance", "include_ledgers"), True)
    (archived,) = unchecked.v1.customers.commits.list(customer_id=customer, **flags)
    assert (archived.id, archived.balance, archived.ledger) == (id, 0, None)
    assert archived.archived_at is not None
    with pytest.raises(BadRequestError, match="archived"):
        unchecked.post(**archive, cast_to=object)


# From here on the clock moves.
def test_a_contract_with_a_prepaid_commit_from_signing_to_regenerating(upbeat, client, unchecked, shop, customer):
    commit = shop.grant(
        ("2026-03-01", "2026-06-01", 100), type="PREPAID", name="Paid ahead", **paid_on(("2026-03-15", 90))
    )
    contract = shop.sign(customer, commits=[commit])
    assert shop.payments(customer) == [("DRAFT", utc(3, 15), 90)]
    (shown,) = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data.commits
    shop.call(customer, 5, "2026-03-09T12:00:00Z")

    # The draft says what the commit pays, and what is left to pay.
    (draft,) = shop.usage_invoices(customer)
    assert lines(draft) == [
        ("usage", "API calls", 4, 100, shown.id),
        ("applied_commit_or_credit", "Paid ahead applied", None, -100, shown.id),
        ("usage", "API calls", 1, 25, None),
    ]
    covered, applied, _ = draft.line_items
    (segment,) = shown.access_schedule.schedule_items
    for line in (covered, applied):
        assert (line.commit_type, line.commit_segment_id) == ("PrepaidCommit", segment.id)
        assert (line.applied_commit_or_credit.id, line.applied_commit_or_credit.type) == (shown.id, "PREPAID")
    assert draft.total == 25

    # It is paid for on its day, and the statement is final a day after its month.
    upbeat.set_clock("2026-04-02T00:00:00Z")
    assert shop.payments(customer) == [("FINALIZED", utc(3, 15), 90)]
    (payment,) = client.v1.customers.invoices.list(customer_id=customer, type="SCHEDULED")
    assert [(line.type, line.commit_id, line.total) for line in payment.line_items] == [
        ("commit_purchase", shown.id, 90)
    ]
    march = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=draft.id).data
    assert (march.status, lines(march), march.total) == ("FINALIZED", lines(draft), 25)

    # The contract shows the ledger, in both versions.
    asked = {"customer_id": customer, "contract_id": contract, "include_balance": True, "include_ledgers": True}
    ids = {"customer_id": customer, "contract_id": contract}
    drawn = [
        (utc(3, 1), "PREPAID_COMMIT_SEGMENT_START", 100),
        (utc(4, 1), "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -100),
    ]
    for version in (client.v1, client.v2):
        whole = version.contracts.retrieve(**asked).data
        (of_contract,) = (whole if version is client.v2 else whole.current).commits
        assert (entries(of_contract), of_contract.balance) == (drawn, 0)
        assert of_contract.ledger[1].invoice_id == march.id
        assert of_contract.invoice_schedule.schedule_items[0].invoice_id == payment.id
    (without,) = client.v2.contracts.retrieve(**ids).data.commits
    assert (without.ledger, without.balance) == (None, None)

    # What an invoice drew is given back as it becomes void, and drawn by the one that stands in for it.
    client.v1.invoices.void(id=march.id)
    canceled = (utc(4, 1), "PREPAID_COMMIT_CANCELED", 100)
    void = shop.balance(customer, shown.id)
    assert (sorted(entries(void)), void.balance) == (sorted([*drawn, canceled]), 100)
    (segment,) = void.access_schedule.schedule_items
    client.v1.contracts.add_manual_balance_entry(
        customer_id=customer, contract_id=contract, id=shown.id, segment_id=segment.id, amount=-50, reason="By mistake"
    )
    again = client.v1.invoices.regenerate(id=march.id).data.id
    again = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=again).data
    assert (again.status, again.total) == ("FINALIZED", 75)
    assert shop.balance(customer, shown.id).balance == 0
    drawn_by = {e.invoice_id: e.amount for e in shop.balance(customer, shown.id).ledger if "DEDUCTION" in e.type}
    assert drawn_by == {march.id: -100, again.id: -50}
    with pytest.raises(BadRequestError):
        unchecked.post(
            "/v2/contracts/commits/archive", cast_to=object, body={"customer_id": customer, "commit_id": shown.id}
        )


def test_what_was_promised_and_not_spent_is_billed_unless_that_is_turned_off(upbeat, client, shop, customer, commits):
    other = shop.customer()
    promise = {"type": "POSTPAID", **shop.grant(("2026-04-01", "2026-05-01", 200)), **paid_on(("2026-05-01", 200))}
    months = {"starting_at": "2026-04-01T00:00:00Z", "ending_before": "2026-05-01T00:00:00Z"}
    contracts = {one: shop.sign(one, **months) for one in (customer, other)}
    ids = {
        one: commits.create(customer_id=one, invoice_contract_id=contract, **promise).data.id
        for one, contract in contracts.items()
    }
    for one in contracts:
        shop.call(one, 3, "2026-04-01T12:00:00Z")
        # What a promise is spent on is paid for as ever: the line that applies it is out of the total.
        (draft,) = shop.usage_invoices(one)
        assert [(line.type, line.total, line.commit_type) for line in draft.line_items] == [
            ("usage", 75, "PostpaidCommit"),
            ("applied_commit_or_credit", -75, "PostpaidCommit"),
        ]
        assert draft.total == 75
        assert [(status, total) for status, _, total in shop.payments(one)] == [("DRAFT", 125)]
    turn_off = {"customer_id": other, "commit_id": ids[other], "contract_id": contracts[other]}
    path = "/v1/contracts/commits/disableTrueup"
    assert client.post(path, body=turn_off, cast_to=object)["data"] == {"id": ids[other]}
    with pytest.raises(NotFoundError):
        client.post(path, body={**turn_off, "commit_id": str(uuid4())}, cast_to=object)

    upbeat.set_clock("2026-05-03T00:00:00Z")
    assert shop.payments(other) == []
    (payment,) = client.v1.customers.invoices.list(customer_id=customer, type="SCHEDULED")
    assert (payment.status, payment.total) == ("FINALIZED", 125)
    assert payment.line_items[0].postpaid_commit.id == ids[customer]
    begun = [
        (utc(4, 1), "POSTPAID_COMMIT_INITIAL_BALANCE", 200),
        (utc(5, 1), "POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -75),
    ]
    for one, closed in ((customer, "POSTPAID_COMMIT_TRUEUP"), (other, "POSTPAID_COMMIT_EXPIRATION")):
        assert entries(shop.balance(one, ids[one])) == [*begun, (utc(5, 1), closed, -125)]
