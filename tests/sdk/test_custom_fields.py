"""Custom fields: the keys that a type of object may carry, and their values wherever the object is shown."""

from uuid import uuid4

import pytest
from metronome import BadRequestError, ConflictError, NotFoundError

from catalog import create_calls_metric

# What the tests of values write on, by the API's name of its type.
ENTITIES = ["customer", "billable_metric", "contract_product", "rate_card", "contract"]


@pytest.fixture(scope="module", autouse=True)
def keys(upbeat, client):
    """Of each type one key that any value fits, and one whose values are unique."""
    upbeat.set_clock("2026-03-09T15:00:00Z")
    for entity in [*ENTITIES, "scheduled_charge", "invoice"]:
        client.v1.custom_fields.add_key(entity=entity, key="region", enforce_uniqueness=False)
        client.v1.custom_fields.add_key(entity=entity, key="crm_id", enforce_uniqueness=True)
    client.v1.customers.create(name="Signer", ingest_aliases=["signer"])


def create(client, entity, **more):
    """A new object of the type."""
    pricing = client.v1.contracts
    match entity:
        case "customer":
            made = client.v1.customers.create(name="Fielded", **more)
        case "billable_metric":
            made = client.v1.billable_metrics.create(name="Fielded", aggregation_type="COUNT", **more)
        case "contract_product":
            made = pricing.products.create(name="Fielded", type="FIXED", **more)
        case "rate_card":
            made = pricing.rate_cards.create(name="Fielded", **more)
        case "contract":
            made = pricing.create(customer_id=signer(client), starting_at="2026-03-01T00:00:00Z", **more)
    return made.data.id


def shown(client, entity, id):
    """The fields of an object, which are the same by its id and in its list."""
    pricing = client.v1.contracts
    match entity:
        case "customer":
            found, listed = client.v1.customers.retrieve(customer_id=id), client.v1.customers.list()
        case "billable_metric":
            found, listed = (
                client.v1.billable_metrics.retrieve(billable_metric_id=id),
                client.v1.billable_metrics.list(),
            )
        case "contract_product":
            found, listed = pricing.products.retrieve(id=id), pricing.products.list()
        case "rate_card":
            found, listed = pricing.rate_cards.retrieve(id=id), pricing.rate_cards.list(body={})
        case "contract":
            of_customer = {"customer_id": signer(client)}
            found = client.v2.contracts.retrieve(contract_id=id, **of_customer)
            nested = pricing.retrieve(contract_id=id, **of_customer)
            assert nested.data.custom_fields == found.data.custom_fields
            listed = [*pricing.list(**of_customer), *client.v2.contracts.list(**of_customer)]
    in_list = [one.custom_fields for one in listed if one.id == id]
    assert in_list and all(fields == found.data.custom_fields for fields in in_list)
    return found.data.custom_fields


def signer(client):
    """The customer whose contracts the tests write on."""
    (customer,) = client.v1.customers.list(ingest_alias="signer")
    return customer.id


def set_values(client, entity, id, **values):
    client.v1.custom_fields.set_values(entity=entity, entity_id=id, custom_fields=values)


def listed_keys(client, *entities):
    keys = (
        client.v1.custom_fields.list_keys(entities=list(entities)) if entities else client.v1.custom_fields.list_keys()
    )
    return [(key.entity, key.key, key.enforce_uniqueness) for key in keys]


def test_keys_are_listed_by_type(client):
    assert listed_keys(client, "rate_card", "customer") == [
        ("customer", "crm_id", True),
        ("customer", "region", False),
        ("rate_card", "crm_id", True),
        ("rate_card", "region", False),
    ]
    assert set(listed_keys(client)) >= {(entity, "region", False) for entity in ENTITIES}
    assert listed_keys(client, "alert") == []


def test_a_key_is_added_once_and_removed_once(client):
    add, remove = client.v1.custom_fields.add_key, client.v1.custom_fields.remove_key
    add(entity="commit", key="once", enforce_uniqueness=False)
    with pytest.raises(ConflictError, match="once"):
        add(entity="commit", key="once", enforce_uniqueness=True)
    add(entity="contract_credit", key="once", enforce_uniqueness=True)
    assert listed_keys(client, "commit", "contract_credit") == [
        ("commit", "once", False),
        ("contract_credit", "once", True),
    ]
    remove(entity="commit", key="once")
    assert listed_keys(client, "commit", "contract_credit") == [("contract_credit", "once", True)]
    with pytest.raises(NotFoundError, match="once"):
        remove(entity="commit", key="once")


@pytest.mark.parametrize("key", ["", "x" * 101])
def test_a_key_has_a_hundred_characters_at_most(client, key):
    with pytest.raises(BadRequestError, match="key"):
        client.v1.custom_fields.add_key(entity="customer", key=key, enforce_uniqueness=False)


@pytest.mark.parametrize("entity", ENTITIES)
def test_values_are_shown_on_the_object(client, entity):
    id = create(client, entity)
    assert shown(client, entity, id) == {}
    set_values(client, entity, id, region="eu", crm_id=f"{entity}-1")
    assert shown(client, entity, id) == {"region": "eu", "crm_id": f"{entity}-1"}
    set_values(client, entity, id, region="us")
    assert shown(client, entity, id) == {"region": "us", "crm_id": f"{entity}-1"}
    client.v1.custom_fields.delete_values(entity=entity, entity_id=id, keys=["region", "unheard-of"])
    assert shown(client, entity, id) == {"crm_id": f"{entity}-1"}


@pytest.mark.parametrize("entity", ENTITIES)
def test_values_are_given_at_creation_or_nothing_is_made(client, entity):
    id = create(client, entity, custom_fields={"region": "eu"})
    assert shown(client, entity, id) == {"region": "eu"}
    with pytest.raises(BadRequestError, match=r"custom_fields\.unheard-of"):
        create(client, entity, custom_fields={"region": "eu", "unheard-of": "x"})
    with pytest.raises(BadRequestError, match=r"custom_fields\.region"):
        create(client, entity, custom_fields={"region": "x" * 201})


def test_a_refused_creation_leaves_no_customer(client):
    with pytest.raises(BadRequestError, match="unheard-of"):
        create(client, "customer", ingest_aliases=["not-made"], custom_fields={"unheard-of": "x"})
    assert list(client.v1.customers.list(ingest_alias="not-made")) == []
    create(client, "customer", ingest_aliases=["not-made"])


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_unique_value_is_held_by_one_object(client, entity):
    holder, other = create(client, entity, custom_fields={"crm_id": "held"}), create(client, entity)
    with pytest.raises(ConflictError, match="crm_id"):
        set_values(client, entity, other, region="eu", crm_id="held")
    assert shown(client, entity, other) == {}, "all or none"
    with pytest.raises(ConflictError, match="crm_id"):
        create(client, entity, custom_fields={"crm_id": "held"})
    set_values(client, entity, holder, crm_id="held")
    client.v1.custom_fields.delete_values(entity=entity, entity_id=holder, keys=["crm_id"])
    set_values(client, entity, other, crm_id="held")
    assert shown(client, entity, other) == {"crm_id": "held"}


def test_an_archived_object_holds_its_value_until_it_is_freed(client):
    holder = create(client, "customer", custom_fields={"crm_id": "archived"})
    client.v1.customers.archive(id=holder)
    with pytest.raises(ConflictError, match="crm_id"):
        create(client, "customer", custom_fields={"crm_id": "archived"})
    client.v1.custom_fields.delete_values(entity="customer", entity_id=holder, keys=["crm_id"])
    create(client, "customer", custom_fields={"crm_id": "archived"})


def test_values_of_a_removed_key_are_gone(client):
    client.v1.custom_fields.add_key(entity="customer", key="passing", enforce_uniqueness=True)
    id = create(client, "customer", custom_fields={"passing": "x", "region": "eu"})
    client.v1.custom_fields.remove_key(entity="customer", key="passing")
    assert shown(client, "customer", id) == {"region": "eu"}
    with pytest.raises(BadRequestError, match="passing"):
        set_values(client, "customer", id, passing="x")
    client.v1.custom_fields.add_key(entity="customer", key="passing", enforce_uniqueness=False)
    assert shown(client, "customer", id) == {"region": "eu"}, "a key that is added again starts empty"


@pytest.mark.parametrize("entity", [*ENTITIES, "scheduled_charge", "invoice", "alert"])
def test_there_must_be_an_object_of_the_type(client, entity):
    stranger = str(uuid4())
    with pytest.raises(NotFoundError, match=stranger):
        set_values(client, entity, stranger)
    with pytest.raises(NotFoundError, match=stranger):
        client.v1.custom_fields.delete_values(entity=entity, entity_id=stranger, keys=["region"])


def test_a_customer_shows_its_fields_in_every_answer(client):
    made = client.v1.customers.create(name="Everywhere", custom_fields={"region": "eu"}).data
    assert made.custom_fields == {"region": "eu"}
    assert client.v1.customers.set_name(customer_id=made.id, name="Renamed").data.custom_fields == {"region": "eu"}


def test_a_metric_shows_its_fields_wherever_it_is_listed(client):
    metric = create(client, "billable_metric", custom_fields={"region": "eu"})
    customer = create(client, "customer")
    of_customer = {m.id: m for m in client.v1.customers.list_billable_metrics(customer_id=customer)}
    assert of_customer[metric].custom_fields == {"region": "eu"}
    client.v1.usage.ingest(
        usage=[
            {
                "transaction_id": "fielded-1",
                "customer_id": customer,
                "event_type": "anything",
                "timestamp": "2026-03-09T12:00:00Z",
            }
        ]
    )
    (event,) = client.v1.usage.search(transaction_ids=["fielded-1"])
    matched = {m.id: m for m in event.matched_billable_metrics}
    assert matched[metric].custom_fields == {"region": "eu"}


def test_a_product_shows_its_fields_beside_its_rates(client):
    metric = create_calls_metric(client)
    product = client.v1.contracts.products.create(
        name="Calls", type="USAGE", billable_metric_id=metric, custom_fields={"region": "eu"}
    ).data.id
    card = create(client, "rate_card", custom_fields={"region": "us"})
    rate_cards = client.v1.contracts.rate_cards
    rate = {"starting_at": "2026-03-01T00:00:00Z", "entitled": True, "rate_type": "FLAT", "price": 25}
    rate_cards.rates.add(rate_card_id=card, product_id=product, **rate)
    (listed,) = rate_cards.rates.list(rate_card_id=card, at="2026-03-09T00:00:00Z")
    (stretch,) = rate_cards.retrieve_rate_schedule(rate_card_id=card, starting_at="2026-03-01T00:00:00Z").data
    assert listed.product_custom_fields == stretch.product_custom_fields == {"region": "eu"}


def test_the_answer_to_a_new_contract_shows_its_fields_and_those_of_its_charges(client):
    contract = charged(client, "eu", "us").contract
    assert contract.custom_fields == {"region": "eu"}
    assert [charge.custom_fields for charge in contract.scheduled_charges] == [{"region": "us"}]
    with pytest.raises(BadRequestError, match=r"scheduled_charges\[0\]\.custom_fields\.region"):
        charged(client, "eu", "x" * 201)


def test_a_charge_shows_its_fields_on_its_contract(client):
    contract = charged(client, "eu", "us")
    (charge,) = contract.contract.scheduled_charges
    set_values(client, "scheduled_charge", charge.id, region="asia")
    flat = client.v2.contracts.retrieve(customer_id=signer(client), contract_id=contract.id).data
    assert [charge.custom_fields for charge in flat.scheduled_charges] == [{"region": "asia"}]


# Moves the clock: last in the file.
def test_an_invoice_shows_the_fields_of_all_that_it_names_until_it_is_final(upbeat, client):
    contract = charged(client, "eu", "us")
    (charge,) = contract.contract.scheduled_charges
    customer, product = signer(client), charge.product.id

    def invoice():
        filters = {"customer_id": customer, "contract_id": contract.id, "type": "SCHEDULED"}
        (listed,) = client.v1.customers.invoices.list(**filters)
        found = client.v1.customers.invoices.retrieve(customer_id=customer, invoice_id=listed.id).data
        assert found.to_dict() == listed.to_dict()
        return found

    def fields():
        found = invoice()
        (line,) = found.line_items
        return [
            found.custom_fields,
            found.customer_custom_fields,
            found.contract_custom_fields,
            line.product_custom_fields,
            line.scheduled_charge_custom_fields,
        ]

    assert fields() == [{}, {}, {"region": "eu"}, {}, {"region": "us"}]
    named = [
        ("customer", customer),
        ("contract", contract.id),
        ("contract_product", product),
        ("scheduled_charge", charge.id),
    ]
    for entity, id in [("invoice", invoice().id), *named]:
        set_values(client, entity, id, region=f"draft {entity}")
    draft = [{"region": f"draft {entity}"} for entity in ("invoice", "customer", "contract", "contract_product")]
    draft.append({"region": "draft scheduled_charge"})
    assert fields() == draft

    upbeat.set_clock("2026-03-10T00:00:00Z")
    assert invoice().status == "FINALIZED"
    for entity, id in named:
        set_values(client, entity, id, region="later")
    assert fields() == draft, "a finalized invoice keeps what it says"
    set_values(client, "invoice", invoice().id, region="sent")
    assert fields() == [{"region": "sent"}, *draft[1:]], "but for its own fields"


def charged(client, contract_region, charge_region):
    """A contract with one charge, of the tenth of March."""
    charge = {
        "product_id": create(client, "contract_product"),
        "schedule": {"schedule_items": [{"timestamp": "2026-03-10T00:00:00Z", "amount": 5}]},
        "custom_fields": {"region": charge_region},
    }
    return client.v1.contracts.create(
        customer_id=signer(client),
        starting_at="2026-03-01T00:00:00Z",
        custom_fields={"region": contract_region},
        scheduled_charges=[charge],
    ).data
