"""Fails unless the Python tests of the last run had a good answer to every published operation that the server builds.

Reads the reports of the checking proxy; without the proxy there are none, and nothing to tell.
"""

import json
import os
import re
import subprocess
import sys

from upbeat import CHECKING_PROXY, LOGS, REPOSITORY

METHODS = ("get", "post", "put", "patch", "delete")


def normalized(operation: str) -> str:
    """Without the names of path parameters, which the documents may choose differently."""
    return re.sub(r"\{[^}]*\}", "{}", operation)


def built() -> set[str]:
    binary = REPOSITORY / os.environ.get("UPBEAT_BIN", "target/release/upbeat")
    document = json.loads(subprocess.run([binary, "openapi"], check=True, capture_output=True).stdout)
    return {
        normalized(f"{method} {path}")
        for path, operations in document["paths"].items()
        for method in operations
        if method in METHODS
    }


def never_answered() -> set[str]:
    """Of the published operations."""
    reports = [json.loads(path.read_text()) for path in LOGS.glob("test_*.report.json")]
    assert reports, f"no reports in {LOGS}: the tests did not run"
    return set.intersection(*({normalized(operation) for operation in report["never_2xx"]} for report in reports))


if __name__ == "__main__":
    if not CHECKING_PROXY.exists():
        sys.exit()
    uncovered = sorted(built() & never_answered())
    for operation in uncovered:
        print(f"tests/sdk: no Python test gets a good answer from {operation}", file=sys.stderr)
    sys.exit(bool(uncovered))
