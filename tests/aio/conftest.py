"""Fixtures that the tests of connections and of peer connections share."""

import asyncio
import gc

import pytest

from stack import RTCPeerConnection

from .support import Side


@pytest.fixture
async def pair():
    """Two peer connections that do not know of each other yet."""
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        yield a, b


@pytest.fixture
async def make_side():
    """Makes sides, and sees that closing them leaves nothing behind."""
    loop = asyncio.get_running_loop()
    made = []

    def make(**options):
        side = Side(**options)
        made.append(side)
        return side

    yield make
    for side in made:
        side.sockets.close()
        side.sockets.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [handle for handle in loop._scheduled if not handle.cancelled() and "Connection" in repr(handle)]
    gc.collect()  # a socket that is not closed warns now, and warnings are errors
