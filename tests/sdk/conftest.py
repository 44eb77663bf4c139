import pytest

from upbeat import CHECKING_PROXY, UNCHECKED, running_upbeat


def pytest_report_header():
    return None if CHECKING_PROXY.exists() else UNCHECKED


@pytest.fixture(scope="module")
def upbeat(request):
    """The test file's own server."""
    with running_upbeat(request.module.__name__) as upbeat:
        yield upbeat


@pytest.fixture(scope="module")
def client(upbeat):
    with upbeat.client() as client:
        yield client
