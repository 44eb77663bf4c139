"""A server of its own for each test file: fresh data, its own token, a movable clock.

With the shared documents at hand ($UPBEAT_SHARED, or ../shared beside the repository) every SDK call passes
through the proxy that checks answers against the published API document, and stopping the server fails on any
violation. The tests also pass without that folder: they then talk to the server directly.

`python upbeat.py NAME` does the same for the Node tests: it prints one line of JSON when the server is ready
and stops the server when its standard input closes.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from metronome import Metronome

REPOSITORY = Path(__file__).resolve().parents[2]
LOGS = REPOSITORY / "target" / "sdk" / "logs"
SHARED = Path(os.environ.get("UPBEAT_SHARED") or REPOSITORY.parent / "shared")
CHECKING_PROXY = SHARED / "check" / "spec_proxy.py"
UNCHECKED = "shared documents not found: answers are not checked against the published document"

READY_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class Upbeat:
    base_url: str  # what an SDK is given: the checking proxy if there is one, else the server
    server_url: str  # the server itself, for what the published document does not know
    token: str

    def client(self, **options) -> Metronome:
        """The official SDK, which here raises on any answer that does not fit its types."""
        defaults = {"bearer_token": self.token, "base_url": self.base_url, "_strict_response_validation": True}
        return Metronome(**{**defaults, **options})

    def clock(self) -> datetime:
        return self._clock("GET")

    def set_clock(self, now: str) -> datetime:
        """Freezes the sandbox clock at `now`; whatever falls due on the way is done when this returns."""
        return self._clock("POST", json={"now": now})

    def tick(self) -> datetime:
        """A second later, so that two things made one after the other have different times of creation."""
        return self.set_clock((self.clock() + timedelta(seconds=1)).isoformat())

    def _clock(self, method: str, **request) -> datetime:
        url, headers = f"{self.server_url}/sandbox/clock", {"authorization": f"Bearer {self.token}"}
        # A year of billing runs inside one call.
        response = httpx.request(method, url, headers=headers, timeout=120, **request)
        assert response.status_code == 200, f"{method} /sandbox/clock: {response.status_code} {response.text}"
        data = response.json()["data"]
        assert data["frozen"] or method == "GET", f"the clock runs on after {request}"
        return datetime.fromisoformat(data["now"].replace("Z", "+00:00"))


@contextmanager
def running_upbeat(name: str):
    """An Upbeat on an empty database, stopped cleanly at the end; `name` names its log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    server_port, proxy_port = free_ports(2)
    server_url = f"http://127.0.0.1:{server_port}"
    with running_server(server_url, token, LOGS / f"{name}.log"):
        if CHECKING_PROXY.exists():
            with running_checking_proxy(server_url, proxy_port, LOGS / f"{name}.report.json") as base_url:
                yield Upbeat(base_url, server_url, token)
        else:
            yield Upbeat(server_url, server_url, token)


@contextmanager
def running_server(url: str, token: str, log_path: Path):
    binary = REPOSITORY / os.environ.get("UPBEAT_BIN", "target/release/upbeat")
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}  # so it starts its own Postgres
    environment |= {"UPBEAT_LISTEN": url.removeprefix("http://"), "UPBEAT_BOOTSTRAP_TOKEN": token}
    with tempfile.TemporaryDirectory(prefix="upbeat-sdk-", ignore_cleanup_errors=True) as data_dir:
        environment["UPBEAT_DATA_DIR"] = data_dir
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [binary, "serve"], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_until_ready(process, url, log_path)
            yield
        finally:
            code = stop(process)
        assert code == 0, f"upbeat left with {code} after SIGTERM; its log:\n{log_path.read_text(errors='replace')}"


@contextmanager
def running_checking_proxy(server_url: str, port: int, report_path: Path):
    report_path.unlink(missing_ok=True)
    command = [sys.executable, CHECKING_PROXY, "--upstream", server_url, "--listen", str(port)]
    process = subprocess.Popen([*command, "--report", report_path], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until_listening(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)
    violations = json.loads(report_path.read_text())["violations"]
    assert not violations, f"answers against the published document:\n{json.dumps(violations, indent=1)}"


def wait_until_ready(process: subprocess.Popen, url: str, log_path: Path):
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise AssertionError(
        f"upbeat did not become ready in {READY_WITHIN_SECONDS} s or left before (exit code {process.poll()}); "
        f"its log:\n{log_path.read_text(errors='replace')}"
    )


def wait_until_listening(process: subprocess.Popen, port: int):
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the checking proxy did not start (exit code {process.poll()})")


def stop(process: subprocess.Popen) -> int:
    """Ends the process by SIGTERM, or by force when it does not obey, and tells its exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOPPED_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


if __name__ == "__main__":
    if not CHECKING_PROXY.exists():
        print(UNCHECKED, file=sys.stderr)
    with running_upbeat(sys.argv[1]) as upbeat:
        print(json.dumps(asdict(upbeat)), flush=True)
        sys.stdin.read()
