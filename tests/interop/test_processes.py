"""Two peers in two processes, as they are measured: nothing is shared but the machine."""

import pytest

from tests.bench.pair import Pair

from .stacks import offerer_and_answerer

pytestmark = pytest.mark.interop


@offerer_and_answerer
async def test_bulk_ping_and_connecting_again(offerer, answerer):
    async with Pair(offerer, answerer) as pair:
        await pair.connect()
        sent, received = await pair.bulk(seconds=0.5)
        assert received["bytes"] == sent["bytes"] > 0
        rtts = await pair.ping(100)
        assert rtts["lost"] == 0
        assert 0 < rtts["p50"] <= rtts["p99"]
        await pair.disconnect()
        assert await pair.connect() < 10_000
