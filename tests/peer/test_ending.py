"""How a connection ends, and what may still come afterwards."""

import dataclasses

import pytest

from stack import datachannel, peer
from stack.core import LocalError
from stack.peer.configuration import Configuration
from stack.sctp import Config as SctpConfig

from .support import A, Call

RTT = 0.1


def connected_call():
    call = Call()
    call.channel = call.a.create_data_channel("test", call.now)
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")
    return call


def test_when_the_peer_closes_every_state_says_closed():
    call = connected_call()
    call.b.close(call.now)
    assert call.link.run(lambda: call.a.connection_state == "closed", seconds=RTT)
    assert call.a.ice_connection_state == "closed"
    assert [e.state for e in call.reported(0, peer.IceConnectionStateChanged)][-1] == "closed"
    assert call.channel.state == "closed"


def test_closed_by_the_peer_is_the_last_word_and_leaves_no_timer():
    call = connected_call()
    call.b.close(call.now)
    assert call.link.run(lambda: call.a.connection_state == "closed", seconds=RTT)
    assert call.a.next_timer() is None
    call.link.run(seconds=120)
    assert call.reported(0, peer.ConnectionStateChanged)[-1].state == "closed"
    call.a.close(call.now)
    call.link.drain()
    assert isinstance(call.link.events[0][-1], peer.Closed)


def test_what_was_under_way_when_the_peer_closed_does_no_harm():
    call = connected_call()
    call.b.close(call.now)
    call.link.run(lambda: call.a.connection_state == "closed", seconds=RTT)
    call.a.add_remote_candidate("candidate:1 1 udp 5 10.9.9.9 5 typ host", call.now)
    assert call.a.dropped["candidate-after-the-end"] == 1
    call.a.add_remote_candidate(None, call.now)
    call.a.add_local_address(A._replace(port=7), call.now)
    call.a.add_stun_server(A._replace(port=8), call.now)
    call.a.end_local_addresses(call.now)
    assert call.a.buffered_amount(call.channel) == 0
    with pytest.raises(LocalError):
        call.a.send(call.channel, b"too late", call.now)
    call.a.close_channel(call.channel, call.now)
    call.link.run(seconds=1)
    assert len(call.reported(0, datachannel.ChannelClosed)) == 1


def test_a_channel_closed_before_there_is_a_connection_says_so_at_once():
    call = Call()
    channel = call.a.create_data_channel("test", call.now)
    call.a.close_channel(channel, call.now)
    call.link.drain()
    assert [event.channel for event in call.reported(0, datachannel.ChannelClosed)] == [channel]


def test_a_channel_beyond_the_streams_that_the_peer_takes_closes_with_an_error():
    few = Configuration(sctp=dataclasses.replace(SctpConfig(), inbound_streams=4))
    call = Call(configuration=few)
    channels = [call.a.create_data_channel(str(number), call.now) for number in range(4)]
    assert call.connect()
    call.link.run(seconds=2)
    assert [channel.state for channel in channels] == ["open", "open", "closed", "closed"]
    assert {e.error.reason for e in call.reported(0, datachannel.ChannelClosed)} == {"no-stream"}


def test_a_channel_closed_while_the_association_ends_does_no_harm():
    call = connected_call()
    call.b.transport.sctp.close(call.now)
    call.link.run(seconds=RTT)
    call.a.close_channel(call.channel, call.now)
    call.link.run(seconds=5)
    assert call.channel.state == "closed"
