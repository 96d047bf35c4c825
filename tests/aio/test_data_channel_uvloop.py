"""The same over uvloop, where it is installed."""

import asyncio
import gc

import pytest

from stack import RTCPeerConnection

uvloop = pytest.importorskip("uvloop")

CHUNK = bytes(16384)


def run(coroutine):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert isinstance(runner.get_loop(), uvloop.Loop)
        return runner.run(coroutine)


async def connect(a, b):
    arrived = asyncio.Queue()
    b.on("datachannel", arrived.put_nowait)
    here = a.createDataChannel("test")
    opened = asyncio.Event()
    here.on("open", opened.set)
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)
    async with asyncio.timeout(10):
        await opened.wait()
        return here, await arrived.get()


def test_bulk_with_back_pressure_arrives_in_order_and_the_reader_ends_with_the_channel():
    async def scenario():
        async with RTCPeerConnection() as a, RTCPeerConnection() as b:
            here, there = await connect(a, b)

            async def read():
                return [int.from_bytes(message[:4], "big") async for message in there]

            reading = asyncio.create_task(read())
            for number in range(500):
                await here.send_wait(number.to_bytes(4, "big") + CHUNK)
            await here.drain(0)
            here.close()
            async with asyncio.timeout(10):
                return await reading

    assert run(scenario()) == list(range(500))


def test_questions_are_answered_and_nothing_is_left_behind():
    reported = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        async with RTCPeerConnection() as a, RTCPeerConnection() as b:
            here, there = await connect(a, b)
            there.on("message", there.send)
            answers = asyncio.Queue()
            here.on("message", answers.put_nowait)
            for number in range(50):
                here.send(str(number))
                async with asyncio.timeout(5):
                    assert await answers.get() == str(number)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert run(scenario()) == []
    gc.collect()
    assert reported == []
