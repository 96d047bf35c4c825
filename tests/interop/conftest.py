"""Fixtures of this folder."""

import pytest
import pytest_asyncio

from stack.aio.interfaces import AddressPolicy, local_addresses

from . import matrix, turn_servers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    matrix.record(item, report)
    return report


@pytest.fixture
def host():
    """An IPv4 address of this machine that other programs use too."""
    hosts = [entry.host for entry in local_addresses(AddressPolicy(families=(4,), use_loopback="never"))]
    if not hosts:
        pytest.skip("no network here but loopback")
    return hosts[0]


@pytest.fixture(params=["ours", "coturn"])
async def turn(request, host, tmp_path):
    """A TURN server; its address by transport."""
    if request.param == "ours":
        async with turn_servers.ours(host) as addresses:
            yield addresses
    else:
        with turn_servers.coturn(host, tmp_path) as addresses:
            yield addresses


@pytest.fixture(scope="module")
def kind(request):
    """Which partner; tests are parametrised with it indirectly."""
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def partner(kind):
    """The partner, running. One serves all tests of a module: each begins a connection of its own in it."""
    async with kind.run() as running:
        yield running
