"""A server of its own for each test file: fresh data, its own token, a movable clock.

With the shared documents at hand ($UPBEAT_SHARED, or ../shared beside the repository) every SDK call passes
through the proxy that checks answers against the published API document, and stopping the server fails on any
violation. The tests also pass without that folder: they then talk to the server directly.

`python upbeat.py NAME` does the same for the Node tests: it prints one line of JSON when the server is ready
and stops the server when its standard input closes.
"""

import json
import os
import re
import secrets
import shutil
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

# Long, for a machine that is busy with other things.
READY_WITHIN_SECONDS = 120
STOPPED_WITHIN_SECONDS = 60
PROXY_STARTS_MAX = 5

MEMORY = Path("/dev/shm")
MEMORY_ROOM = 4 << 30


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
def running_upbeat(name: str, settings: dict[str, str] | None = None):
    """An Upbeat on an empty database, stopped cleanly at the end.

    `name` names its log; `settings` are environment variables of its own.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    with running_server(token, LOGS / f"{name}.log", settings or {}) as server_url:
        if CHECKING_PROXY.exists():
            with running_checking_proxy(server_url, token, LOGS / f"{name}.report.json") as base_url:
                yield Upbeat(base_url, server_url, token)
        else:
            yield Upbeat(server_url, server_url, token)


@contextmanager
def running_server(token: str, log_path: Path, settings: dict[str, str]):
    binary = REPOSITORY / os.environ.get("UPBEAT_BIN", "target/release/upbeat")
    # Without the settings of whoever runs the tests, and without their database: it starts its own.
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL" and not k.startswith("UPBEAT_")}
    # Port 0 is any free one, so that servers that start at the same time never meet.
    environment |= {"UPBEAT_LISTEN": "127.0.0.1:0", "UPBEAT_BOOTSTRAP_TOKEN": token, **settings}
    options = {"prefix": "upbeat-sdk-", "dir": place_of_data(), "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(**options) as data_dir:
        environment["UPBEAT_DATA_DIR"] = data_dir
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [binary, "serve"], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield address_of(process, token, log_path)
        finally:
            code = stop(process)
        assert code == 0, f"upbeat left with {code} after SIGTERM; its log:\n{text_of(log_path)}"


def place_of_data() -> Path | None:
    """Memory where there is room, else the usual place: on a disk most of the time goes into making databases safe
    that live for seconds, and no test here is about a machine that dies."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_ROOM else None


def address_of(process: subprocess.Popen, token: str, log_path: Path) -> str:
    """Where the server listens, which it writes when it is ready to."""
    for _ in while_starting(process):
        greeting = re.search(r"listens on (http://\S+)", text_of(log_path))
        if greeting and answers(greeting[1], token):
            return greeting[1]
    raise AssertionError(f"upbeat did not start (exit code {process.poll()}); its log:\n{text_of(log_path)}")


@contextmanager
def running_checking_proxy(server_url: str, token: str, report_path: Path):
    report_path.unlink(missing_ok=True)
    process, url = start_checking_proxy(server_url, token, report_path)
    try:
        yield url
    finally:
        stop(process)
    violations = json.loads(report_path.read_text())["violations"]
    assert not violations, f"answers against the published document:\n{json.dumps(violations, indent=1)}"


def start_checking_proxy(server_url: str, token: str, report_path: Path) -> tuple[subprocess.Popen, str]:
    """The proxy wants to be told its port, and another process may take that port first: then on another one."""
    for _ in range(PROXY_STARTS_MAX):
        port = free_port()
        command = [sys.executable, CHECKING_PROXY, "--upstream", server_url, "--listen", str(port)]
        process = subprocess.Popen(
            [*command, "--report", report_path], stderr=subprocess.DEVNULL, start_new_session=True
        )
        url = f"http://127.0.0.1:{port}"
        # An answer to this token is of this proxy, not of one that another test has on the same port.
        if any(answers(url, token) for _ in while_starting(process)):
            return process, url
        stop(process)
    raise AssertionError(f"the checking proxy did not start (exit code {process.poll()})")


def while_starting(process: subprocess.Popen):
    """Rounds of waiting, for as long as the process lives and has not taken too long."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        yield
        time.sleep(0.05)


def answers(url: str, token: str) -> bool:
    try:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.get(f"{url}/sandbox/clock", headers=headers, timeout=5).status_code == 200
    except httpx.TransportError:
        return False  # not listening yet


def text_of(log_path: Path) -> str:
    return log_path.read_text(errors="replace")


def stop(process: subprocess.Popen) -> int:
    """Ends the process by SIGTERM, or by force when it does not obey, and tells its exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOPPED_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def stop_servers_when_told_to():
    """SIGTERM is as Ctrl-C: by itself it would end this process and leave its servers behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


if __name__ == "__main__":
    stop_servers_when_told_to()
    if not CHECKING_PROXY.exists():
        print(UNCHECKED, file=sys.stderr)
    with running_upbeat(sys.argv[1]) as upbeat:
        print(json.dumps(asdict(upbeat)), flush=True)
        sys.stdin.read()
