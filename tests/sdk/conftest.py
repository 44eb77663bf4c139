import pytest
from metronome import DefaultHttpxClient

from upbeat import CHECKING_PROXY, UNCHECKED, running_upbeat, stop_servers_when_told_to


def pytest_configure():
    stop_servers_when_told_to()


def pytest_report_header():
    return None if CHECKING_PROXY.exists() else UNCHECKED


@pytest.fixture(scope="module")
def upbeat(request):
    """The test file's own server, with the settings that the file may name."""
    with running_upbeat(request.module.__name__, getattr(request.module, "SETTINGS", None)) as upbeat:
        yield upbeat


@pytest.fixture(scope="module")
def client(upbeat):
    with upbeat.client() as client:
        yield client


@pytest.fixture
def requests():
    """The paths that the counting client asked for, every retry included."""
    return []


@pytest.fixture
def counting_client(upbeat, requests):
    """The SDK with its usual retries, its requests on record."""
    hooks = {"request": [lambda request: requests.append(request.url.path)]}
    with upbeat.client(http_client=DefaultHttpxClient(event_hooks=hooks)) as client:
        yield client
