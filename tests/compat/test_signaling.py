"""stack.contrib.signaling, by itself and with aiortc at the other end."""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys

import aiortc
import aiortc.contrib.signaling
import pytest

from stack import RTCIceCandidate, RTCSessionDescription
from stack.contrib import signaling
from stack.contrib.signaling import (
    BYE,
    CopyAndPasteSignaling,
    TcpSocketSignaling,
    UnixSocketSignaling,
    candidate_from_sdp,
    candidate_to_sdp,
    create_signaling,
    object_from_string,
    object_to_string,
)
from stack.core import LocalError

pytestmark = pytest.mark.timeout(20)

TEXT = "candidate:1 1 udp 2122252543 192.0.2.1 9999 typ host"
CANDIDATE = RTCIceCandidate(TEXT, "0", 0)
OFFER, ANSWER = RTCSessionDescription("v=0\r\n", "offer"), RTCSessionDescription("v=1\r\n", "answer")


@pytest.mark.parametrize("message", [OFFER, ANSWER, CANDIDATE, BYE], ids=lambda m: type(m).__name__)
def test_messages_are_those_of_aiortc(message):
    text = object_to_string(message)
    theirs = aiortc.contrib.signaling.object_from_string(text)
    assert aiortc.contrib.signaling.object_to_string(theirs) == text
    again = object_from_string(aiortc.contrib.signaling.object_to_string(theirs))
    assert again == message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "{}", '{"type": "offer"}', '{"type": "hello", "sdp": ""}', '{"type": "candidate"}']
)
def test_what_is_no_message_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  of json too
        object_from_string(text)


def test_what_is_no_message_is_not_written():
    with pytest.raises(TypeError, match="str"):
        object_to_string("bye")


@pytest.mark.parametrize("before", ["", "candidate:", "a=candidate:"])
def test_candidates_with_and_without_what_stands_before_them(before):
    value = TEXT.removeprefix("candidate:")
    assert candidate_from_sdp(before + value).candidate == TEXT
    assert candidate_to_sdp(CANDIDATE) == value


@pytest.fixture(params=["tcp", "unix"])
def both(request, tmp_path):
    """Makes one end; the argument says whose class."""

    def make(module=signaling):
        if request.param == "unix":
            return module.UnixSocketSignaling(str(tmp_path / "socket"))
        return module.TcpSocketSignaling("127.0.0.1", port)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return make


async def test_offer_answer_candidate_and_goodbye(both):
    here, there = both(), both()
    await here.connect()
    await there.connect()
    received, _ = await asyncio.gather(there.receive(), here.send(OFFER))  # who receives may begin first
    assert received == OFFER
    await there.send(ANSWER)
    await there.send(CANDIDATE)
    assert [await here.receive(), await here.receive()] == [ANSWER, CANDIDATE]
    await here.close()
    assert [await there.receive(), await there.receive()] == [BYE, BYE]  # what it says, and that it has gone
    await there.close()


async def test_who_waits_for_a_message_may_send_the_first(both):
    here, there = both(), both()
    waiting = asyncio.create_task(here.receive())
    await asyncio.sleep(0)
    received, _ = await asyncio.gather(there.receive(), here.send(OFFER))
    await there.send(ANSWER)
    assert (received, await waiting) == (OFFER, ANSWER)
    await asyncio.gather(here.close(), there.close())


@pytest.mark.interop
@pytest.mark.parametrize("we_offer", [True, False])
async def test_aiortc_at_the_other_end(both, we_offer):
    ours, theirs = both(), both(aiortc.contrib.signaling)
    offer, answer = (
        aiortc.contrib.signaling.object_from_string(object_to_string(message)) for message in (OFFER, ANSWER)
    )
    if we_offer:
        sending = asyncio.create_task(ours.send(OFFER))
        while ours._server is None:  # noqa: ASYNC110  theirs does not wait for anybody
            await asyncio.sleep(0.001)
        assert await theirs.receive() == offer
        await sending
        await theirs.send(answer)
        assert await ours.receive() == ANSWER
    else:
        received, _ = await asyncio.gather(ours.receive(), theirs.send(offer))
        assert received == OFFER
        await ours.send(ANSWER)
        assert await theirs.receive() == answer
    await theirs.close()
    assert await ours.receive() is BYE
    await ours.close()


async def test_a_second_other_side_is_turned_away(both):
    here, there, third = both(), both(), both()
    await asyncio.gather(there.receive(), here.send(OFFER))
    assert await third.receive() is BYE
    await asyncio.gather(here.close(), there.close(), third.close())


async def test_a_message_that_does_not_end_is_refused(both, monkeypatch):
    monkeypatch.setattr(signaling, "MAX_MESSAGE", 100)
    here, there = both(), both()
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        await asyncio.gather(there.receive(), here.send(RTCSessionDescription("v" * 1000, "offer")))
    await asyncio.gather(here.close(), there.close())


async def test_the_unix_socket_is_removed(tmp_path):
    path = tmp_path / "socket"
    here, there = UnixSocketSignaling(str(path)), UnixSocketSignaling(str(path))
    await asyncio.gather(there.receive(), here.send(OFFER))
    assert path.is_socket()
    await asyncio.gather(here.close(), there.close())
    assert not path.exists()


async def test_copy_and_paste(monkeypatch, capsys):
    reading, writing = os.pipe()
    with os.fdopen(reading) as standard_input, contextlib.ExitStack() as at_end:
        monkeypatch.setattr(sys, "stdin", standard_input)
        by_hand = CopyAndPasteSignaling()
        with pytest.raises(LocalError):
            await by_hand.receive()
        await by_hand.connect()
        with os.fdopen(writing, "w") as person:
            person.write(object_to_string(OFFER) + "\n")
            person.flush()
            assert await by_hand.receive() == OFFER
        assert await by_hand.receive() is BYE  # the end of the input
        await by_hand.send(ANSWER)
        await by_hand.close()
        at_end.callback(standard_input.close)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert printed == [{"sdp": "v=1\r\n", "type": "answer"}, {"type": "bye"}]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ([], CopyAndPasteSignaling),
        (["--signaling", "tcp-socket", "--signaling-port", "5"], TcpSocketSignaling),
        (["-s", "unix-socket", "--signaling-path", "here"], UnixSocketSignaling),
    ],
)
def test_the_command_line_chooses(arguments, kind):
    parser = argparse.ArgumentParser()
    signaling.add_signaling_arguments(parser)
    assert type(create_signaling(parser.parse_args(arguments))) is kind
