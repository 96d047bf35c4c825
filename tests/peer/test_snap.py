"""SCTP's handshake in the descriptions (draft-hancke-tsvwg-snap-00)."""

import base64
import re

import pytest

from stack import datachannel, peer, sctp
from stack.peer import snap
from stack.peer.snap import MAX_EARLY
from stack.sctp import wire
from stack.sdp import MediaDescription
from stack.testing import Conditions

from .support import Call, captured, connection

NOW = 0.0
LINE = re.compile(r"a=sctp-init:(\S+)\r\n")


class Logged:
    """A configuration that notes which SCTP chunks leave first in their packets."""

    def __init__(self, **settings):
        self.kinds = []
        self.configuration = peer.Configuration(packet_log=self.log, **settings)

    def log(self, sent, what, packet):
        if what == "sctp" and sent:
            self.kinds.append(packet[wire.HEADER_SIZE])


def opened(call, side):
    return call.reported(side, datachannel.ChannelOpened)


def talk(call, patience=5.0):
    """Open a channel at a, wait until both sides have it; the seconds that took."""
    begun = call.now
    channel = call.a.create_data_channel("x", now=call.now)
    call.negotiate()
    assert call.link.run(lambda: opened(call, 0) and opened(call, 1), seconds=patience)
    call.a.send(channel, b"hello", call.now)
    assert call.link.run(lambda: call.reported(1, datachannel.MessageReceived), seconds=patience)
    return call.now - begun


def test_a_channel_is_open_without_a_handshake_of_sctp():
    logged = Logged()
    quick = talk(Call(Conditions(delay=0.05), configuration=logged.configuration))
    assert not {wire.INIT, wire.INIT_ACK, wire.COOKIE_ECHO, wire.COOKIE_ACK} & set(logged.kinds)
    logged = Logged(sctp_init=False)
    slow = talk(Call(Conditions(delay=0.05), configuration=logged.configuration))
    assert {wire.INIT, wire.INIT_ACK, wire.COOKIE_ECHO, wire.COOKIE_ACK} <= set(logged.kinds)
    assert slow - quick == pytest.approx(0.2, abs=0.01)  # two round trips


@pytest.mark.parametrize("who", ["offer", "answer"])
def test_one_side_alone_changes_nothing(who):
    call = Call()
    call.a.create_data_channel("x", now=call.now)
    call.negotiate(tamper=lambda kind, text: LINE.sub("", text) if kind == who else text)
    assert call.link.run(lambda: opened(call, 0) and opened(call, 1), seconds=5)
    answer = call.b.local_description.sdp
    assert bool(LINE.search(answer)) == (who == "answer")
    call.negotiate()  # an association that was set up without is not told of it later
    assert not LINE.search(call.a.local_description.sdp)


@pytest.mark.parametrize("value", ["AQ==", "%%%", "", "AQAAHols3R0AUAAA"])
def test_what_nobody_understands_is_left_aside(value):
    call = Call()
    call.a.create_data_channel("x", now=call.now)
    call.negotiate(tamper=lambda kind, text: LINE.sub(f"a=sctp-init:{value}\r\n", text) if kind == "offer" else text)
    assert not LINE.search(call.b.local_description.sdp)
    assert call.link.run(lambda: opened(call, 0) and opened(call, 1), seconds=5)


def test_a_peer_that_copies_our_lines_has_not_understood_them():
    call, ours = Call(), []

    def copy(kind, text):
        ours.append(LINE.search(text)[0])
        return text if kind == "offer" else LINE.sub(ours[0], text)

    call.a.create_data_channel("x", now=call.now)
    call.negotiate(tamper=copy)
    assert call.link.run(lambda: opened(call, 0) and opened(call, 1), seconds=5)
    call.a.set_local_description(None, call.now)
    assert not LINE.search(call.a.local_description.sdp)


def test_it_stays_the_same_in_later_descriptions():
    call = Call()
    talk(call)
    first = [LINE.search(pc.local_description.sdp)[1] for pc in (call.a, call.b)]
    assert first[0] != first[1]
    call.b.add_transceiver("audio")
    call.negotiate(call.b, call.a)
    assert [LINE.search(pc.local_description.sdp)[1] for pc in (call.a, call.b)] == first
    for pc, text in zip((call.a, call.b), first, strict=True):
        media = MediaDescription("application", 9, "UDP/DTLS/SCTP", sctp_init=text)
        assert snap.read(media) == pc.transport.sctp_start.local_init()


def test_the_offer_of_another_stack_is_answered_in_kind():
    pc = connection("b")
    text = captured("reactor-snap-sped-offer")
    pc.set_remote_description(peer.Description("offer", text), NOW)
    pc.set_local_description(None, NOW)
    init = sctp.parse_init_chunk(base64.b64decode(LINE.search(pc.local_description.sdp)[1]))
    assert (init.outbound_streams, init.inbound_streams) == (65535, 65535)
    assert init.a_rwnd >= pc.configuration.max_message_size
    assert pc.transport.sctp_start.remote_init == snap.read(
        MediaDescription("application", 9, "UDP/DTLS/SCTP", sctp_init=LINE.search(text)[1])
    )


def late_answer(call, seconds):
    """Agree on data channels in a connection that is up, with an answer that takes its time."""
    call.a.add_transceiver("audio")
    assert call.connect()
    channel = call.a.create_data_channel("x", now=call.now)
    call.a.set_local_description(None, call.now)
    call.b.set_remote_description(peer.Description("offer", call.a.local_description.sdp), call.now)
    call.b.set_local_description(None, call.now)
    theirs = call.b.create_data_channel("y", now=call.now)
    call.link.run(lambda: False, seconds=seconds)
    assert call.a.transport.sctp is None
    call.a.set_remote_description(peer.Description("answer", call.b.local_description.sdp), call.now)
    return channel, theirs


def test_what_comes_before_the_answer_waits_for_it():
    call = Call(Conditions(delay=0.01))
    late_answer(call, 0.1)
    begun = call.now
    assert call.link.run(lambda: len(opened(call, 0)) == len(opened(call, 1)) == 2, seconds=2)
    assert call.now - begun < 0.05
    assert "data-without-association" not in call.a.transport.dropped


def test_and_is_bounded():
    call = Call(Conditions(delay=0.01))
    call.a.add_transceiver("audio")
    assert call.connect()
    call.a.create_data_channel("x", now=call.now)
    call.a.set_local_description(None, call.now)
    for _ in range(MAX_EARLY + 3):
        call.b.transport.dtls.send(b"packet", call.now)
    call.link.run(lambda: False, seconds=0.1)
    assert len(call.a.transport.sctp_start.take_early()) == MAX_EARLY
    assert call.a.transport.dropped["data-without-association"] == 3
