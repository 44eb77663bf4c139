"""What one contract agrees about prices beside its card, and what its rates are then."""

import pytest
from metronome import BadRequestError, NotFoundError


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


@pytest.fixture
def sold(client):
    """A card with one product, tagged, at 100."""
    metric = client.v1.billable_metrics.create(name="Calls", aggregation_type="COUNT").data.id
    product = client.v1.contracts.products.create(
        name="Calls", type="USAGE", billable_metric_id=metric, tags=["api"]
    ).data.id
    card = client.v1.contracts.rate_cards.create(name="Standard").data.id
    client.v1.contracts.rate_cards.rates.add(
        rate_card_id=card,
        product_id=product,
        starting_at="2026-01-01T00:00:00Z",
        entitled=True,
        rate_type="FLAT",
        price=100,
    )
    return card, product


def sign(client, card, **terms):
    customer = client.v1.customers.create(name="Signed").data.id
    contract = client.v1.contracts.create(
        customer_id=customer, rate_card_id=card, starting_at="2026-03-01T00:00:00Z", **terms
    ).data.id
    return customer, contract


def test_overrides_are_shown_by_both_reads_and_change_the_rates_of_the_contract(client, sold):
    card, product = sold
    overrides = [
        {
            "starting_at": "2026-03-01T00:00:00Z",
            "type": "MULTIPLIER",
            "multiplier": 0.8,
            "override_specifiers": [{"product_tags": ["api"]}],
        },
        {
            "starting_at": "2026-04-01T00:00:00Z",
            "ending_before": "2026-05-01T00:00:00Z",
            "type": "OVERWRITE",
            "product_id": product,
            "overwrite_rate": {"rate_type": "FLAT", "price": 55},
        },
        {"starting_at": "2026-06-01T00:00:00Z", "product_id": product, "entitled": False},
    ]
    customer, contract = sign(client, card, overrides=overrides)

    first = client.v1.contracts.retrieve(customer_id=customer, contract_id=contract).data.initial.overrides
    assert [override.type for override in first] == ["MULTIPLIER", "OVERWRITE", None]
    second = client.v2.contracts.retrieve(customer_id=customer, contract_id=contract).data.overrides
    assert second[0].multiplier == 0.8
    assert second[1].overwrite_rate.price == 55
    assert second[2].entitled is False

    def rates(at):
        rows = client.v1.contracts.retrieve_rate_schedule(customer_id=customer, contract_id=contract, at=at).data
        return [(row.list_rate.price, row.override_rate.price) for row in rows]

    assert rates("2026-03-09T00:00:00Z") == [(100, 80)]
    assert rates("2026-04-09T00:00:00Z") == [(100, 55)]
    assert rates("2026-06-09T00:00:00Z") == [], "only what is entitled"


def test_tiers_of_an_override_need_priorities_that_are_explicit(client, sold):
    card, product = sold
    tiered = {
        "starting_at": "2026-03-01T00:00:00Z",
        "type": "TIERED",
        "priority": 1,
        "product_id": product,
        "tiers": [{"size": 10, "multiplier": 0.5}],
    }
    with pytest.raises(BadRequestError, match="EXPLICIT"):
        sign(client, card, overrides=[tiered])
    customer, contract = sign(
        client, card, overrides=[tiered], multiplier_override_prioritization="EXPLICIT"
    )
    (row,) = client.v1.contracts.retrieve_rate_schedule(customer_id=customer, contract_id=contract).data
    assert [tier.price for tier in row.override_rate.tiers] == [50, 100]


def test_an_unknown_product_is_named(client, sold):
    card, _ = sold
    unknown = {
        "starting_at": "2026-03-01T00:00:00Z",
        "type": "MULTIPLIER",
        "multiplier": 0.5,
        "product_id": "00000000-0000-4000-8000-000000000000",
    }
    with pytest.raises(NotFoundError, match=r"overrides\[0\].product_id"):
        sign(client, card, overrides=[unknown])
