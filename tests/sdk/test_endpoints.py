"""Every call of the quickstart's resources answers in the SDK's own types."""

from datetime import datetime, timezone

import pytest
from metronome import NotFoundError
from metronome.types.v1 import CustomerCreateResponse
from metronome.types.v1.contracts.rate_cards import RateAddResponse

from catalog import ALIAS, USAGE, USD_CENTS, sell_api_calls, set_up_quickstart

MARCH_FIRST = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def quickstart(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    quickstart = set_up_quickstart(client)
    client.v1.usage.ingest(usage=USAGE)
    return quickstart


def test_a_customer_is_read_by_id_by_list_and_by_alias(client, quickstart):
    by_id = client.v1.customers.retrieve(customer_id=quickstart.customer).data
    assert by_id.name == "Quickstart Inc."
    assert by_id.ingest_aliases == [ALIAS]
    assert by_id.external_id == ALIAS
    assert by_id.archived_at is None
    assert by_id in list(client.v1.customers.list())
    assert list(client.v1.customers.list(ingest_alias=ALIAS)) == [by_id]
    assert list(client.v1.customers.list(customer_ids=[quickstart.customer])) == [by_id]


def test_setting_ingest_aliases_replaces_them(client, quickstart):
    customer = client.v1.customers.create(name="Renamed Ltd.", ingest_aliases=["old-name"]).data
    client.v1.customers.set_ingest_aliases(customer_id=customer.id, ingest_aliases=["new-name", "second-name"])
    assert client.v1.customers.retrieve(customer_id=customer.id).data.ingest_aliases == ["new-name", "second-name"]
    assert list(client.v1.customers.list(ingest_alias="old-name")) == []


def test_an_archived_customer_leaves_the_list_and_stays_readable(client, quickstart):
    customer = client.v1.customers.create(name="Gone GmbH").data.id
    assert client.v1.customers.archive(id=customer).data.id == customer
    assert customer not in [c.id for c in client.v1.customers.list()]
    assert customer in [c.id for c in client.v1.customers.list(only_archived=True)]
    assert client.v1.customers.retrieve(customer_id=customer).data.archived_at is not None


def test_a_billable_metric_is_read_as_it_was_defined(client, quickstart):
    metric = client.v1.billable_metrics.retrieve(billable_metric_id=quickstart.tokens_metric).data
    assert metric.name == "input_tokens"
    assert metric.aggregation_type == "SUM"
    assert metric.aggregation_key == "input_tokens"
    assert metric.event_type_filter.in_values == ["llm_request"]
    assert {f.name: f.exists for f in metric.property_filters} == {"model": True, "input_tokens": True, "user_id": True}
    assert metric.group_keys == [["model"], ["user_id"]]
    assert metric.to_dict() in [m.to_dict() for m in client.v1.billable_metrics.list()]


def test_an_archived_billable_metric_is_listed_only_on_request(client, quickstart):
    metric = client.v1.billable_metrics.create(name="Unused", aggregation_type="COUNT").data.id
    assert client.v1.billable_metrics.archive(id=metric).data.id == metric
    assert metric not in [m.id for m in client.v1.billable_metrics.list()]
    assert metric in [m.id for m in client.v1.billable_metrics.list(include_archived=True)]
    assert client.v1.billable_metrics.retrieve(billable_metric_id=metric).data.archived_at is not None


def test_usage_is_read_by_group_page_by_page(client, quickstart):
    asked = {
        "customer_id": quickstart.customer,
        "billable_metric_id": quickstart.tokens_metric,
        "window_size": "DAY",
        "group_key": ["model"],
    }
    rows = list(client.v1.usage.list_with_groups(**asked, current_period=True, limit=1))
    assert [(row.group, row.group_key, row.group_value, row.value) for row in rows] == [
        ({"model": "gpt-5"}, "model", "gpt-5", 1500),
        ({"model": "gpt-5-mini"}, "model", "gpt-5-mini", 800),
    ]
    assert {row.starting_on for row in rows} == {datetime(2026, 3, 9, tzinfo=timezone.utc)}
    days = {"starting_on": MARCH_FIRST, "ending_before": datetime(2026, 3, 11, tzinfo=timezone.utc)}
    (row,) = client.v1.usage.list_with_groups(**asked, **days, group_filters={"model": ["gpt-5-mini", "other"]})
    assert row.value == 800
    (old_spelling,) = client.v1.usage.list_with_groups(
        **{**asked, "group_key": None}, **days, group_by={"key": "user_id", "values": ["user_2"]}
    )
    assert (old_spelling.group, old_spelling.value) == ({"user_id": "user_2"}, 800)


def test_an_event_is_found_by_its_transaction_id(client, quickstart):
    (event,) = client.v1.usage.search(transaction_ids=["quickstart-2", "unknown"])
    sent = USAGE[1]
    assert (event.customer_id, event.event_type, event.properties) == (ALIAS, "llm_request", sent["properties"])
    assert event.is_duplicate is False
    assert event.matched_customer.id == quickstart.customer
    assert [metric.id for metric in event.matched_billable_metrics] == [quickstart.tokens_metric]
    client.v1.usage.ingest(usage=[sent])
    original, repeat = client.v1.usage.search(transaction_ids=["quickstart-2"])
    assert (original, repeat.is_duplicate, repeat.matched_customer) == (event, True, None)


def test_a_product_is_read_by_id_and_by_list(client, quickstart):
    product = client.v1.contracts.products.retrieve(id=quickstart.product).data
    assert product.type == "USAGE"
    assert product.archived_at is None
    assert product.current.name == product.initial.name == "Input tokens"
    assert product.current.billable_metric_id == quickstart.tokens_metric
    assert product.current.pricing_group_key == ["model"]
    assert product.current.presentation_group_key == ["user_id"]
    assert product.updates == []
    assert product.to_dict() in [p.to_dict() for p in client.v1.contracts.products.list(archive_filter="NOT_ARCHIVED")]


def test_an_updated_product_shows_its_history(client, quickstart):
    products = client.v1.contracts.products
    product = products.create(
        name="Minutes",
        type="USAGE",
        billable_metric_id=quickstart.tokens_metric,
        quantity_conversion={"conversion_factor": 60, "operation": "DIVIDE"},
    ).data.id
    april = "2026-04-01T00:00:00Z"
    assert products.update(product_id=product, starting_at=MARCH_FIRST, name="Hours", tags=["time"]).data.id == product
    products.update(product_id=product, starting_at=april, quantity_conversion=None, name="Seconds")
    history = products.retrieve(id=product).data
    assert (history.initial.name, history.current.name) == ("Minutes", "Hours")
    assert history.current.starting_at == MARCH_FIRST
    assert history.current.quantity_conversion.conversion_factor == 60
    first, second = history.updates
    assert (first.name, first.tags, first.starting_at) == ("Hours", ["time"], MARCH_FIRST)
    assert second.to_dict(mode="json")["quantity_conversion"] is None
    assert "tags" not in second.to_dict()


def test_a_fixed_product_is_created_and_archived(client, quickstart):
    products = client.v1.contracts.products
    product = products.create(name="Onboarding", type="FIXED").data.id
    assert products.retrieve(id=product).data.type == "FIXED"
    for _ in range(2):
        assert products.archive(product_id=product).data.id == product
    assert products.retrieve(id=product).data.archived_at is not None
    assert product not in [p.id for p in products.list()]
    assert product in [p.id for p in products.list(archive_filter="ARCHIVED")]


def test_a_rate_card_is_read_by_id_and_by_list(client, quickstart):
    card = client.v1.contracts.rate_cards.retrieve(id=quickstart.rate_card).data
    assert card.name == "Standard"
    assert card.description == "Public prices"
    assert card.fiat_credit_type.id == USD_CENTS
    assert card.to_dict() in [c.to_dict() for c in client.v1.contracts.rate_cards.list(body={})]


def test_the_rates_of_an_instant_are_listed_with_their_group_values(client, quickstart):
    listed = client.v1.contracts.rate_cards.rates.list(rate_card_id=quickstart.rate_card, at="2026-03-09T00:00:00Z")
    rates = list(listed)
    assert {rate.pricing_group_values["model"]: rate.rate.price for rate in rates} == {"gpt-5": 1.5, "gpt-5-mini": 0.3}
    assert {rate.product_id for rate in rates} == {quickstart.product}
    assert {rate.product_name for rate in rates} == {"Input tokens"}
    assert {rate.starting_at for rate in rates} == {MARCH_FIRST}
    assert {rate.entitled for rate in rates} == {True}


def test_before_its_first_rate_a_card_has_none(client, quickstart):
    rates = client.v1.contracts.rate_cards.rates.list(rate_card_id=quickstart.rate_card, at="2026-02-28T23:00:00Z")
    assert list(rates) == []


def test_adding_a_rate_answers_with_the_rate(client, quickstart):
    rate = client.v1.contracts.rate_cards.rates.add(
        rate_card_id=quickstart.rate_card,
        product_id=quickstart.product,
        starting_at="2027-01-01T00:00:00Z",
        entitled=True,
        rate_type="FLAT",
        price=0.125,
        pricing_group_values={"model": "gpt-6"},
    ).data
    assert rate.rate_type == "FLAT"
    assert rate.price == 0.125
    assert rate.credit_type.id == USD_CENTS


def test_creating_a_contract_answers_with_the_contract(client, quickstart):
    created = client.v1.contracts.create(
        customer_id=quickstart.customer, rate_card_id=quickstart.rate_card, starting_at="2026-06-01T00:00:00Z"
    ).data
    assert created.contract.id == created.id
    assert created.contract.customer_id == quickstart.customer
    assert created.contract.usage_statement_schedule.frequency == "MONTHLY"


def test_a_contract_is_read_in_the_first_version(client, quickstart):
    contract = client.v1.contracts.retrieve(customer_id=quickstart.customer, contract_id=quickstart.contract).data
    assert contract.customer_id == quickstart.customer
    assert contract.amendments == []
    assert contract.initial.rate_card_id == contract.current.rate_card_id == quickstart.rate_card
    assert contract.current.starting_at == MARCH_FIRST
    assert contract.current.ending_before is None
    assert contract.current.usage_statement_schedule.billing_anchor_date == MARCH_FIRST
    assert contract.id in [c.id for c in client.v1.contracts.list(customer_id=quickstart.customer)]


def test_a_contract_is_read_in_the_second_version(client, quickstart):
    contract = client.v2.contracts.retrieve(customer_id=quickstart.customer, contract_id=quickstart.contract).data
    assert contract.customer_id == quickstart.customer
    assert contract.rate_card_id == quickstart.rate_card
    assert contract.starting_at == MARCH_FIRST
    assert contract.usage_filter == []
    assert contract.id in [c.id for c in client.v2.contracts.list(customer_id=quickstart.customer)]


def test_the_pricing_units_hold_us_dollars_in_cents(client, quickstart):
    units = {unit.id: unit for unit in client.v1.pricing_units.list()}
    assert units[USD_CENTS].name == "USD (cents)"
    assert units[USD_CENTS].is_currency


def test_the_quickstart_pages_own_paths_are_served_too(client, quickstart):
    body = {"name": "By the page", "ingest_aliases": ["by-the-page"]}
    created = client.post("/v1/customers/create", cast_to=CustomerCreateResponse, body=body).data
    assert [found.id for found in client.v1.customers.list(ingest_alias="by-the-page")] == [created.id]
    rate = {
        "rate_card_id": quickstart.rate_card,
        "product_id": quickstart.product,
        "starting_at": "2027-01-01T00:00:00Z",
        "entitled": True,
        "rate_type": "FLAT",
        "price": 0.25,
        "pricing_group_values": {"model": "gpt-7"},
    }
    client.post("/v1/contract-pricing/rate-cards/rates/add", cast_to=RateAddResponse, body=rate)
    rates = client.v1.contracts.rate_cards.rates.list(
        rate_card_id=quickstart.rate_card,
        at="2027-01-01T00:00:00Z",
        selectors=[{"partial_pricing_group_values": {"model": "gpt-7"}}],
    )
    assert [(rate.product_id, rate.rate.price) for rate in rates] == [(quickstart.product, 0.25)]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_contracts_are_listed_by_the_time_that_they_cover(client, quickstart, version):
    customer = client.v1.customers.create(name="Two years").data.id
    create = client.v1.contracts.create
    year = {"starting_at": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z"}
    first = create(customer_id=customer, **year).data.id
    second = create(customer_id=customer, starting_at="2027-01-01T00:00:00Z").data.id

    def listed(**filters):
        contracts = getattr(client, version).contracts
        return [contract.id for contract in contracts.list(customer_id=customer, **filters)]

    assert listed() == [first, second]
    assert listed(covering_date="2026-12-31T23:00:00Z") == [first]
    assert listed(covering_date="2027-01-01T00:00:00Z") == [second]
    assert listed(starting_at="2026-06-01T00:00:00Z") == [second]


def test_invoices_are_listed_by_what_they_are(client, quickstart):
    invoices = client.v1.customers.invoices
    of_customer = {"customer_id": quickstart.customer, "contract_id": quickstart.contract}
    (draft,) = invoices.list(**of_customer)
    dates = {"starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z"}
    for alike in ({"status": "DRAFT"}, {"type": "USAGE"}, {"credit_type_id": USD_CENTS}, dates):
        assert [invoice.id for invoice in invoices.list(**of_customer, **alike)] == [draft.id]
    later = {"starting_on": "2026-03-01T00:00:01Z"}
    for unlike in ({"status": "VOID"}, {"type": "SCHEDULED"}, {"credit_type_id": quickstart.product}, later):
        assert list(invoices.list(**of_customer, **unlike)) == []
    with pytest.raises(NotFoundError):
        invoices.retrieve(customer_id=quickstart.customer, invoice_id=quickstart.contract)


def test_lines_without_usage_are_left_out_on_request(client, quickstart):
    customer = client.v1.customers.create(name="Silent").data.id
    rate_card = sell_api_calls(client, starting_at="2026-03-01T00:00:00Z")
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")
    (draft,) = client.v1.customers.invoices.list(customer_id=customer)
    assert [line.quantity for line in draft.line_items] == [0]
    (without,) = client.v1.customers.invoices.list(customer_id=customer, skip_zero_qty_line_items=True)
    by_id = client.v1.customers.invoices.retrieve(
        customer_id=customer, invoice_id=draft.id, skip_zero_qty_line_items=True
    ).data
    assert without.line_items == by_id.line_items == []
