"""Packages, contracts of them, and a customer with its first contract in one call."""

from datetime import datetime, timezone
from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

STRANGER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def fee(client):
    return client.v1.contracts.products.create(name="Fee", type="FIXED").data.id


def sign(client, **terms):
    """A new customer under a contract, as v2 shows it."""
    customer = client.v1.customers.create(name="Signed").data.id
    contract = client.v1.contracts.create(customer_id=customer, **terms).data.id
    return client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data


def test_a_package_is_made_shown_listed_and_archived(client, fee):
    packages = client.v1.packages
    card = client.v1.contracts.rate_cards.create(name="Card").data.id
    made = packages.create(
        name="Starter 2026",
        contract_name="Starter",
        rate_card_id=card,
        duration={"value": 12, "unit": "MONTHS"},
        net_payment_terms_days=30,
        usage_statement_schedule={"frequency": "MONTHLY", "day": "CONTRACT_START"},
        scheduled_charges=[
            {
                "product_id": fee,
                "name": "Onboarding",
                "schedule": {
                    "schedule_items": [{"unit_price": 1000, "quantity": 1, "date_offset": {"value": 1, "unit": "MONTHS"}}]
                },
            }
        ],
    ).data.id
    shown = packages.retrieve(package_id=made).data
    assert (shown.name, shown.contract_name, shown.rate_card_id) == ("Starter 2026", "Starter", card)
    assert (shown.duration.value, shown.duration.unit) == (12, "MONTHS")
    assert (shown.usage_statement_schedule.frequency, shown.usage_statement_schedule.day) == ("MONTHLY", "CONTRACT_START")
    [charge] = shown.scheduled_charges
    assert (charge.product.name, charge.schedule.schedule_items[0].unit_price) == ("Fee", 1000)
    assert (shown.commits, shown.overrides) == ([], [])
    assert made in [package.id for package in packages.list()]

    contract = sign(client, starting_at="2026-01-31T00:00:00Z", package_id=made)
    assert (contract.package_id, contract.name, contract.rate_card_id) == (made, "Starter", card)
    assert contract.ending_before == datetime(2027, 1, 31, tzinfo=timezone.utc)
    [item] = contract.scheduled_charges[0].schedule.schedule_items
    assert item.timestamp == datetime(2026, 2, 28, tzinfo=timezone.utc)
    [row] = packages.list_contracts_on_package(package_id=made, covering_date="2026-06-01T00:00:00Z")
    assert (row.contract_id, row.customer_id) == (contract.id, contract.customer_id)

    assert packages.archive(package_id=made).data.id == made
    assert made not in [package.id for package in packages.list()]
    assert made in [package.id for package in packages.list(archive_filter="ARCHIVED")]
    with pytest.raises(BadRequestError, match="the package is archived"):
        sign(client, starting_at="2026-04-01T00:00:00Z", package_id=made)


def months(value):
    return {"value": value, "unit": "MONTHS"}


def access(*segments):
    """An access schedule; a segment is its offset and its length in months, and an amount."""
    items = [{"starting_at_offset": months(start), "duration": months(length), "amount": amount} for start, length, amount in segments]
    return {"access_schedule": {"schedule_items": items}}


def test_a_package_grants_commits_and_credits(client, fee):
    packages = client.v1.packages
    usd = "2714e483-4ff1-48e4-9e25-ac732e8f24f2"
    grant = {"product_id": fee, "priority": 1, "commit_duration": {"value": 1}, "starting_at_offset": months(0)}
    halved = {"type": "MULTIPLIER", "multiplier": 0.5, "is_commit_specific": True, "starting_at_offset": months(0)}
    made = packages.create(
        name="Granting",
        duration=months(12),
        commits=[
            {
                "type": "PREPAID",
                "product_id": fee,
                "name": "Year",
                "temporary_id": "year",
                **access((0, 6, 600), (6, 6, 400)),
                "invoice_schedule": {"schedule_items": [{"unit_price": 900, "quantity": 1, "date_offset": months(1)}]},
            }
        ],
        credits=[{"product_id": fee, "name": "Trial", **access((0, 1, 50))}],
        recurring_commits=[
            {
                **grant,
                "name": "Monthly",
                "temporary_id": "monthly",
                "duration": months(3),
                "recurrence_frequency": "MONTHLY",
                "access_amount": {"unit_price": 10, "quantity": 2, "credit_type_id": usd},
                "invoice_amount": {"unit_price": 5, "quantity": 2, "credit_type_id": usd},
            }
        ],
        recurring_credits=[{**grant, "name": "Allowance", "access_amount": {"unit_price": 7, "credit_type_id": usd}}],
        overrides=[
            {**halved, "override_specifiers": [{"commit_ids": ["year"], "recurring_commit_ids": ["monthly"]}]},
        ],
    ).data.id

    shown = packages.retrieve(package_id=made).data
    [commit], [credit] = shown.commits, shown.credits
    assert (commit.type, commit.name, commit.product.name) == ("PREPAID", "Year", "Fee")
    segments = commit.access_schedule.schedule_items
    assert [(item.starting_at_offset.value, item.duration.value, item.amount) for item in segments] == [(0, 6, 600), (6, 6, 400)]
    [payment] = commit.invoice_schedule.schedule_items
    assert (payment.unit_price, payment.date_offset.value, commit.invoice_schedule.do_not_invoice) == (900, 1, False)
    assert (credit.name, credit.access_schedule.credit_type.id) == ("Trial", usd)
    [monthly], [allowance] = shown.recurring_commits, shown.recurring_credits
    assert (monthly.starting_at_offset.value, monthly.duration.value, monthly.invoice_amount.unit_price) == (0, 3, 5)
    assert (allowance.access_amount.quantity, allowance.duration) == (1, None)
    [specifier] = shown.overrides[0].override_specifiers
    assert specifier.commit_template_ids == [commit.id]
    assert specifier.recurring_commit_template_ids == [monthly.id]
    assert made in [package.id for package in packages.list() if package.commits]

    contract = sign(client, starting_at="2026-03-01T00:00:00Z", package_id=made)
    [year] = [one for one in contract.commits if one.recurring_commit_id is None]
    ends = [item.ending_before for item in year.access_schedule.schedule_items]
    assert ends == [datetime(2026, 9, 1, tzinfo=timezone.utc), datetime(2027, 3, 1, tzinfo=timezone.utc)]
    assert year.invoice_schedule.schedule_items[0].timestamp == datetime(2026, 4, 1, tzinfo=timezone.utc)
    assert contract.recurring_commits[0].ending_before == datetime(2026, 6, 1, tzinfo=timezone.utc)
    [named] = contract.overrides[0].override_specifiers
    assert named.commit_ids == [year.id]
    assert named.recurring_commit_ids == [contract.recurring_commits[0].id]
    with pytest.raises(BadRequestError, match=r"commits\[0\].access_schedule.schedule_items\[0\].duration.value"):
        commit = {"type": "PREPAID", "product_id": fee, **access((0, 0, 1))}
        packages.create(name="Nothing", commits=[commit])


def test_a_newer_package_takes_the_alias_over(client):
    alias = f"starter-{uuid4()}"
    packages = client.v1.packages
    old = packages.create(name="2024", aliases=[{"name": alias}]).data.id
    new = packages.create(name="2025", aliases=[{"name": alias, "starting_at": "2025-01-01T00:00:00Z"}]).data.id
    assert packages.retrieve(package_id=old).data.aliases[0].ending_before.year == 2025
    for start, package in [("2024-12-31T00:00:00Z", old), ("2025-01-01T00:00:00Z", new)]:
        assert sign(client, starting_at=start, package_alias=alias).package_id == package


def test_refusals_name_what_is_wrong(client):
    packages = client.v1.packages
    made = packages.create(name="Plan", uniqueness_key="plan").data.id
    with pytest.raises(ConflictError, match="uniqueness key"):
        packages.create(name="Plan", uniqueness_key="plan")
    with pytest.raises(NotFoundError):
        packages.retrieve(package_id=STRANGER)
    with pytest.raises(BadRequestError) as refused:
        packages.list_contracts_on_package(package_id=STRANGER)
    assert refused.value.body["code"] == "PackageNotFound"
    with pytest.raises(BadRequestError, match="net_payment_terms_days: cannot stand beside a package"):
        sign(client, starting_at="2026-01-01T00:00:00Z", package_id=made, net_payment_terms_days=7)
    with pytest.raises(BadRequestError, match="duration.value"):
        packages.create(name="Plan", duration={"value": 0, "unit": "DAYS"})


def test_a_customer_comes_with_its_first_contract(client):
    body = {
        "customer": {"name": "Northwind", "ingest_aliases": [f"northwind-{uuid4()}"]},
        "contract": {"name": "First", "starting_at": "2026-03-01T00:00:00Z", "uniqueness_key": "first"},
    }
    path = "/v1/composite/createCustomerWithContract"
    made = client.post(path, body=body, cast_to=object)["data"]
    assert (made["customer_name"], made["ingest_aliases"]) == ("Northwind", body["customer"]["ingest_aliases"])
    ids = {"customer_id": made["customer_id"], "contract_id": made["contract_id"]}
    assert client.v2.contracts.retrieve(**ids).data.name == "First"
    body["customer"]["ingest_aliases"] = []
    with pytest.raises(ConflictError, match="contract: This uniqueness key"):
        client.post(path, body=body, cast_to=object)
