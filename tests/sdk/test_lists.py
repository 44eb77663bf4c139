"""Lists in pages: the SDK follows the cursor and sees everything once, in order."""

import pytest

from catalog import create_calls_metric, sell_api_calls


@pytest.fixture(scope="module", autouse=True)
def january(upbeat):
    upbeat.set_clock("2026-01-31T00:00:00Z")


def create_one_a_second(upbeat, create, count):
    """The ids of `count` things, each made a second after the one before."""
    ids = []
    for number in range(count):
        ids.append(create(number))
        upbeat.tick()
    return ids


def of(ids, page_iterator):
    """What an auto-paginated list shows of the things in question; the file's tests share a server."""
    return [item.id for item in page_iterator if item.id in ids]


def test_customers_are_listed_oldest_first(upbeat, client):
    ids = create_one_a_second(upbeat, lambda n: client.v1.customers.create(name=f"Customer {n}").data.id, 7)
    assert of(ids, client.v1.customers.list(limit=2)) == ids


def test_customers_of_one_instant_are_listed_once_each(client):
    ids = [client.v1.customers.create(name=f"Twin {n}").data.id for n in range(7)]
    assert sorted(of(ids, client.v1.customers.list(limit=2))) == sorted(ids)


def test_billable_metrics_are_listed_newest_first(upbeat, client):
    def create(number):
        return client.v1.billable_metrics.create(name=f"Metric {number}", aggregation_type="COUNT").data.id

    ids = create_one_a_second(upbeat, create, 5)
    assert of(ids, client.v1.billable_metrics.list(limit=2)) == ids[::-1]


def test_products_are_listed_in_the_order_of_their_creation(upbeat, client):
    metric = create_calls_metric(client)

    def create(number):
        product = client.v1.contracts.products.create(name=f"Calls {number}", type="USAGE", billable_metric_id=metric)
        return product.data.id

    ids = create_one_a_second(upbeat, create, 5)
    assert of(ids, client.v1.contracts.products.list(limit=2)) == ids


def test_rate_cards_are_listed_once_each_without_a_request_body(upbeat, client):
    def create(number):
        return client.v1.contracts.rate_cards.create(name=f"Card {number}").data.id

    ids = create_one_a_second(upbeat, create, 3)
    assert sorted(of(ids, client.v1.contracts.rate_cards.list(limit=2))) == sorted(ids)


def test_a_page_holds_no_more_than_the_limit_and_the_last_one_has_no_cursor(client):
    for number in range(3):
        client.v1.customers.create(name=f"Paged {number}")
    pages = list(client.v1.customers.list(limit=2).iter_pages())
    assert len(pages) > 1
    assert [len(page.data) for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert 1 <= len(pages[-1].data) <= 2
    assert pages[-1].next_page is None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_contracts_are_listed_by_their_start_with_the_cursor_in_the_body(client, version):
    rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
    customer = client.v1.customers.create(name=f"Three contracts, {version}").data.id

    def create(starting_at):
        return client.v1.contracts.create(
            customer_id=customer, rate_card_id=rate_card, starting_at=starting_at
        ).data.id

    april, february, march = (create(f"2026-{month}-01T00:00:00Z") for month in ("04", "02", "03"))
    pages = list(getattr(client, version).contracts.list(customer_id=customer, limit=2).iter_pages())
    assert [[contract.id for contract in page.data] for page in pages] == [[february, march], [april]]
