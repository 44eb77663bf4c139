"""Generated requests get answers that the server's own document describes, and never a fault of the server."""

import subprocess
import sys

from catalog import USAGE, set_up_quickstart
from upbeat import LOGS

# Cases for each operation, and how long all of them may take.
CASES = 25
SECONDS = 900

# The clock is left out: each move of it runs all work that is due on the way.
LEFT_OUT = "/sandbox/clock"

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def known_objects(client):
    """Ids that exist, so that requests get behind the 404."""
    quickstart = set_up_quickstart(client)
    client.v1.usage.ingest(usage=USAGE)
    invoice = client.v1.customers.invoices.list(customer_id=quickstart.customer).data[0]
    return {
        "customer_id": quickstart.customer,
        "contract_id": quickstart.contract,
        "invoice_id": invoice.id,
        "rate_card_id": quickstart.rate_card,
        "product_id": quickstart.product,
        "billable_metric_id": quickstart.tokens_metric,
    }


def configuration(known):
    parameters = "\n".join(f'"{place}{name}" = "{value}"' for name, value in known.items() for place in ("", "body."))
    own = {
        "/v1/contract-pricing/products/get": known["product_id"],
        "/v1/contract-pricing/rate-cards/get": known["rate_card_id"],
    }
    operations = "\n".join(
        f'[[operations]]\ninclude-path = "{path}"\nparameters = {{ "body.id" = "{value}" }}\n'
        for path, value in own.items()
    )
    return f"[parameters]\n{parameters}\n\n{operations}"


def test_answers_are_as_the_document_says(upbeat, client, tmp_path):
    upbeat.set_clock("2026-03-09T15:00:00Z")
    config = tmp_path / "schemathesis.toml"
    config.write_text(configuration(known_objects(client)))
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
        "--config-file", str(config), "run", f"{upbeat.server_url}/openapi.json",
        "--header", f"Authorization: Bearer {upbeat.token}", "--checks", CHECKS,
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(CASES), "--seed", "1",
        "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure",
        "--exclude-path", LEFT_OUT,
    ]  # fmt: skip
    log = LOGS / "schemathesis.log"
    with log.open("wb") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS, cwd=tmp_path).returncode
    assert code == 0, log.read_text(errors="replace")[-20_000:]
