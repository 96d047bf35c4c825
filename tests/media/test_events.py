"""Handlers of events: functions and coroutines, alone and together, and what becomes of what they raise."""

import asyncio

import pytest

from stack.media.events import EventTarget

pytestmark = pytest.mark.timeout(10)


class Told:
    """What the loop's exception handler was told."""

    def __init__(self):
        self.contexts = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self.contexts.append(context))

    @property
    def errors(self):
        return [context["exception"] for context in self.contexts]


def fails(*_arguments):
    raise ValueError("of the application")


@pytest.mark.parametrize("others", [0, 1])
async def test_what_a_handler_raises_is_told_and_goes_no_further(others):
    target, told = EventTarget(), Told()
    target.on("message", fails)
    for _ in range(others):
        target.on("message", lambda _message: None)
    assert target.dispatch("message", 1)
    assert [str(error) for error in told.errors] == ["of the application"]
    assert told.contexts[0]["emitter"] is target


@pytest.mark.parametrize("others", [0, 1])
async def test_who_listens_to_errors_hears_it_instead(others):
    target, told, heard = EventTarget(), Told(), []
    target.on("error", heard.append)
    target.on("message", fails)
    for _ in range(others):
        target.on("message", lambda: None)
    target.dispatch("message")
    assert [str(error) for error in heard] == ["of the application"]
    assert told.errors == []


@pytest.mark.parametrize("others", [0, 1])
async def test_a_coroutine_is_run_and_its_failure_heard(others):
    target, heard = EventTarget(), asyncio.Queue()

    async def handler(_message):
        fails()

    target.on("error", heard.put_nowait)
    target.on("message", handler)
    for _ in range(others):
        target.on("message", lambda _message: None)
    target.dispatch("message", 1)
    async with asyncio.timeout(5):
        assert str(await heard.get()) == "of the application"
    assert heard.empty()


async def test_what_a_handler_returns_is_of_no_interest():
    target, told = EventTarget(), Told()
    target.on("message", lambda: 5)
    assert target.dispatch("message")
    assert told.errors == []


async def test_once_is_once_and_nobody_is_nobody():
    target, heard = EventTarget(), []
    target.once("message", heard.append)
    assert target.dispatch("message", 1)
    assert not target.dispatch("message", 2)
    assert heard == [1]
