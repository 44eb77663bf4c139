"""What the tests of commits and credits share: a company that sells API calls for 25 cents, and what it grants."""

from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import uuid4

from metronome import Metronome

from catalog import sell_api_calls


def utc(month, day):
    return datetime(2026, month, day, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Shop:
    client: Metronome
    rate_card: str
    product: str  # names what is granted, and what is paid for it

    @staticmethod
    def open(client: Metronome) -> "Shop":
        rate_card = sell_api_calls(client, starting_at="2026-01-01T00:00:00Z")
        product = client.v1.contracts.products.create(name="Commitment", type="FIXED").data.id
        return Shop(client, rate_card, product)

    def customer(self) -> str:
        return self.client.v1.customers.create(name="Granted").data.id

    def sign(self, customer: str, **terms) -> str:
        """A contract that bills the customer's calls since the first of March."""
        terms = {"starting_at": "2026-03-01T00:00:00Z", "rate_card_id": self.rate_card, **terms}
        return self.client.v1.contracts.create(customer_id=customer, **terms).data.id

    def call(self, customer: str, count: int, timestamp: str):
        event = {"customer_id": customer, "event_type": "api_call", "timestamp": timestamp}
        self.client.v1.usage.ingest(usage=[{**event, "transaction_id": str(uuid4())} for _ in range(count)])

    def grant(self, *segments, **more) -> dict:
        """Terms of a commit or credit; a segment is a date, the date before which it ends, and an amount."""
        items = [
            {"starting_at": f"{start}T00:00:00Z", "ending_before": f"{end}T00:00:00Z", "amount": amount}
            for start, end, amount in segments
        ]
        terms = {"product_id": self.product, "priority": 100, "access_schedule": {"schedule_items": items}}
        return {**terms, **more}

    def usage_invoices(self, customer: str, **filters) -> list:
        return list(self.client.v1.customers.invoices.list(customer_id=customer, type="USAGE", **filters))

    def payments(self, customer: str) -> list:
        """The scheduled invoices as status, date of issue and total."""
        invoices = self.client.v1.customers.invoices.list(customer_id=customer, type="SCHEDULED")
        return [(invoice.status, invoice.issued_at, invoice.total) for invoice in invoices]

    def balance(self, customer: str, id: str):
        """All that there is to see of a commit or credit."""
        flags = ("include_balance", "include_ledgers", "include_contract_balances", "include_archived")
        (balance,) = self.client.v1.contracts.list_balances(customer_id=customer, id=id, **dict.fromkeys(flags, True))
        return balance


def paid_on(*payments, **more) -> dict:
    """An invoice schedule of dates and amounts, as a field of a commit."""
    items = [{"timestamp": f"{date}T00:00:00Z", "amount": amount} for date, amount in payments]
    return {"invoice_schedule": {"schedule_items": items}, **more}


def lines(invoice) -> list:
    return [(line.type, line.name, line.quantity, line.total, line.commit_id) for line in invoice.line_items]


def entries(balance) -> list:
    return [(entry.timestamp, entry.type, entry.amount) for entry in balance.ledger]
