"""An answer lost on the way makes the SDK send the same events again; they are billed once."""

from catalog import sell_api_calls
from forgetful_proxy import running_forgetful_proxy


def test_events_sent_twice_after_a_lost_answer_are_billed_once(upbeat, client):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    rate_card = sell_api_calls(client, starting_at="2026-03-01T00:00:00Z")
    customer = client.v1.customers.create(name="Flaky Networks", ingest_aliases=["flaky"]).data.id
    client.v1.contracts.create(customer_id=customer, rate_card_id=rate_card, starting_at="2026-03-01T00:00:00Z")

    with running_forgetful_proxy(upbeat.base_url) as proxy:
        with upbeat.client(base_url=proxy.url) as flaky_client:
            flaky_client.v1.usage.ingest(
                usage=[
                    {
                        "transaction_id": f"call-{number}",
                        "customer_id": "flaky",
                        "event_type": "api_call",
                        "timestamp": "2026-03-09T14:00:00Z",
                    }
                    for number in range(3)
                ]
            )
        assert proxy.statuses == [200, 200]

    (usage,) = client.v1.usage.list(
        window_size="NONE",
        starting_on="2026-03-01T00:00:00Z",
        ending_before="2026-04-01T00:00:00Z",
        customer_ids=[customer],
    )
    assert usage.value == 3
    (invoice,) = client.v1.customers.invoices.list(customer_id=customer)
    assert [(line.quantity, line.total) for line in invoice.line_items] == [(3, 75)]
    assert invoice.total == 75
