"""What the tests sell: the tokens of the API quickstart, priced by model, and plain API calls."""

from dataclasses import dataclass

from metronome import Metronome

USD_CENTS = "2714e483-4ff1-48e4-9e25-ac732e8f24f2"
ALIAS = "acct-quickstart"
USAGE = [
    {
        "transaction_id": "quickstart-1",
        "customer_id": ALIAS,
        "event_type": "llm_request",
        "timestamp": "2026-03-09T12:00:00Z",
        "properties": {"model": "gpt-5", "input_tokens": "1500", "user_id": "user_1"},
    },
    {
        "transaction_id": "quickstart-2",
        "customer_id": ALIAS,
        "event_type": "llm_request",
        "timestamp": "2026-03-09T12:01:00Z",
        "properties": {"model": "gpt-5-mini", "input_tokens": "800", "user_id": "user_2"},
    },
]


@dataclass(frozen=True)
class Quickstart:
    """The ids of everything that the quickstart makes."""

    calls_metric: str
    tokens_metric: str
    product: str
    rate_card: str
    customer: str
    contract: str


def set_up_quickstart(client: Metronome) -> Quickstart:
    """Metrics, product, rate card, rates, customer and contract, in the quickstart's order; no usage yet."""
    calls_metric = create_calls_metric(client)
    tokens_metric = client.v1.billable_metrics.create(
        name="input_tokens",
        aggregation_type="SUM",
        aggregation_key="input_tokens",
        event_type_filter={"in_values": ["llm_request"]},
        property_filters=[
            {"name": "model", "exists": True},
            {"name": "input_tokens", "exists": True},
            {"name": "user_id", "exists": True},
        ],
        group_keys=[["model"], ["user_id"]],
    ).data.id
    product = client.v1.contracts.products.create(
        name="Input tokens",
        type="USAGE",
        billable_metric_id=tokens_metric,
        pricing_group_key=["model"],
        presentation_group_key=["user_id"],
    ).data.id
    rate_card = client.v1.contracts.rate_cards.create(
        name="Standard", description="Public prices", fiat_credit_type_id=USD_CENTS
    ).data.id
    add_model_rates(client, rate_card, product)
    customer = client.v1.customers.create(name="Quickstart Inc.", ingest_aliases=[ALIAS]).data.id
    contract = client.v1.contracts.create(
        customer_id=customer,
        rate_card_id=rate_card,
        starting_at="2026-03-01T00:00:00Z",
        usage_statement_schedule={"frequency": "MONTHLY"},
    ).data.id
    return Quickstart(calls_metric, tokens_metric, product, rate_card, customer, contract)


def add_model_rates(client: Metronome, rate_card: str, product: str):
    """One rate by the call for a single rate, one by the call for many."""
    rates = client.v1.contracts.rate_cards.rates
    rates.add(
        rate_card_id=rate_card,
        product_id=product,
        starting_at="2026-03-01T00:00:00Z",
        entitled=True,
        rate_type="FLAT",
        price=1.50,
        pricing_group_values={"model": "gpt-5"},
    )
    rates.add_many(
        rate_card_id=rate_card,
        rates=[
            {
                "product_id": product,
                "starting_at": "2026-03-01T00:00:00Z",
                "entitled": True,
                "rate_type": "FLAT",
                "price": 0.30,
                "pricing_group_values": {"model": "gpt-5-mini"},
            }
        ],
    )


def create_calls_metric(client: Metronome) -> str:
    return client.v1.billable_metrics.create(
        name="API Calls", aggregation_type="COUNT", event_type_filter={"in_values": ["api_call"]}
    ).data.id


def sell_api_calls(client: Metronome, starting_at: str) -> str:
    """A rate card on which one API call costs 25 cents."""
    metric = create_calls_metric(client)
    product = client.v1.contracts.products.create(name="API calls", type="USAGE", billable_metric_id=metric).data.id
    rate_card = client.v1.contracts.rate_cards.create(name="API calls").data.id
    client.v1.contracts.rate_cards.rates.add(
        rate_card_id=rate_card,
        product_id=product,
        starting_at=starting_at,
        entitled=True,
        rate_type="FLAT",
        price=25,
    )
    return rate_card
