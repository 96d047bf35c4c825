"""Fixtures of this folder."""

import pytest

from stack.aio.interfaces import AddressPolicy, local_addresses

from . import turn_servers


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
