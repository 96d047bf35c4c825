"""What ends a test ends itself."""

import asyncio
import time

import pytest

from .ending import at_most, end

PATIENCE = 0.2  # seconds
SOON = 10.0  # seconds; what would hang would do so for longer


async def test_what_ends_is_waited_for_and_its_error_is_told():
    async def close():
        await asyncio.sleep(0)
        raise ConnectionError("gone already")

    assert await at_most(asyncio.sleep(0))
    with pytest.raises(ConnectionError, match="gone already"):
        await at_most(close())


async def test_what_does_not_heed_being_cancelled_is_left_alone():
    go = asyncio.Event()

    async def close():
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    begin = time.monotonic()
    with pytest.warns(UserWarning, match="did not end within"):
        assert not await at_most(close(), PATIENCE)
    assert time.monotonic() - begin < SOON
    go.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("script", "patience", "code"),
    [("exit 3", SOON, 3), ("sleep 20 & exit 3", 2.0, 3), ("exec sleep 20", PATIENCE, -9)],
    ids=["ends", "leaves a child with its pipe", "does not end"],
)
async def test_a_program_ends_or_is_ended(script, patience, code):
    process = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=asyncio.subprocess.PIPE)
    begin = time.monotonic()
    await end(process, patience)
    assert process.returncode == code
    assert time.monotonic() - begin < SOON
