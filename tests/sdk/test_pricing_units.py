"""Custom pricing units, and rate cards that convert them to their currency."""

import pytest
from metronome import BadRequestError, NotFoundError

from catalog import USD_CENTS, create_calls_metric

STRANGER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module", autouse=True)
def march(upbeat):
    upbeat.set_clock("2026-03-09T15:00:00Z")


def test_a_unit_is_listed_until_it_is_archived(client):
    units = client.v1.pricing_units
    made = units.create(name="Tokens").data.id
    assert [(unit.name, unit.is_currency) for unit in units.list(limit=7) if unit.id == made] == [("Tokens", False)]
    with pytest.raises(BadRequestError, match="name: another pricing unit"):
        units.create(name="Tokens")
    assert units.archive(id=made).data.id == made
    assert [unit for unit in units.list() if unit.id == made] == []
    with pytest.raises(BadRequestError, match="currency"):
        units.archive(id=USD_CENTS)
    with pytest.raises(NotFoundError):
        units.archive(id=STRANGER)


def test_twenty_currencies_come_first(client):
    assert len([unit for unit in client.v1.pricing_units.list(limit=3) if unit.is_currency]) == 20


def test_a_card_prices_in_a_unit_that_it_converts(client):
    cards = client.v1.contracts.rate_cards
    credits = client.v1.pricing_units.create(name="AI credits").data.id
    card = cards.create(name="Credits").data.id
    product = client.v1.contracts.products.create(
        name="Calls", type="USAGE", billable_metric_id=create_calls_metric(client)
    ).data.id
    rate = {
        "rate_card_id": card,
        "product_id": product,
        "starting_at": "2026-01-01T00:00:00Z",
        "entitled": True,
        "rate_type": "FLAT",
        "price": 10,
        "credit_type_id": credits,
    }
    with pytest.raises(BadRequestError, match="credit_type_id"):
        cards.rates.add(**rate)
    conversion = {"custom_credit_type_id": credits, "fiat_per_custom_credit": 2}
    cards.update(rate_card_id=card, add_credit_type_conversions=[conversion])
    with pytest.raises(BadRequestError, match="converted by the card already"):
        cards.update(rate_card_id=card, add_credit_type_conversions=[conversion])
    cards.rates.add(**rate)
    [shown] = cards.retrieve(id=card).data.credit_type_conversions
    assert (shown.custom_credit_type.id, shown.custom_credit_type.name) == (credits, "AI credits")
    assert shown.fiat_per_custom_credit == "2"
    [row] = cards.rates.list(rate_card_id=card, at="2026-02-01T00:00:00Z")
    assert (row.rate.price, row.rate.credit_type.id) == (10, credits)
