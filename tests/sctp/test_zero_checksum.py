"""RFC 9653: packets without a checksum, where the layer below detects errors."""

import dataclasses
import struct

import pytest

from stack.sctp import MessageReceived, State, wire
from stack.testing import Link

from .support import TAG, TSN, RawPeer, association, connected

EXTENSIONS = b"\x82\xc0"


def peer_that_accepts(edmid, **settings):
    init = wire.Init(TAG, 1_000_000, 65535, 65535, TSN, True, EXTENSIONS, zero_checksum=edmid)
    return RawPeer(connect=False, init=init, **settings)


def checksum_of(packet):
    return struct.unpack_from("<L", packet, 8)[0]


def handshake_chunks(link):
    return [
        (kind, checksum_of(data) == 0)
        for _, _, data in link.trace
        for kind, _, _ in wire.chunks_of(data)
        if kind != wire.SACK
    ]


def test_rfc9653_section_4_the_parameter_on_the_wire():
    init = wire.Init(1, 2, 3, 4, 5, zero_checksum=wire.EDMID_DTLS)
    value = wire.serialize_init(init)
    assert value[16:] == bytes.fromhex("80010008 00000001")
    assert wire.parse_init(value, 0, len(value)) == init


@pytest.mark.parametrize("body", ["80010004", "8001000600010000", "8001000800000000"])
def test_rfc9653_section_4_a_parameter_without_a_method_is_skipped(body):
    value = wire.serialize_init(wire.Init(1, 2, 3, 4, 5)) + bytes.fromhex(body)
    assert wire.parse_init(value, 0, len(value)) == wire.Init(1, 2, 3, 4, 5)


def test_rfc9653_section_4_of_two_parameters_the_first_counts():
    value = wire.serialize_init(wire.Init(1, 2, 3, 4, 5)) + bytes.fromhex("8001000800000007 8001000800000001")
    assert wire.parse_init(value, 0, len(value)).zero_checksum == 7


def test_rfc9653_section_5_2_init_and_cookie_echo_have_a_checksum_and_the_rest_has_none():
    link = Link(association(1), association(2), keep_trace=True)
    link.machines[0].associate(link.now)
    link.machines[0].send(0, 51, bytes(3000), link.now)
    assert link.run(lambda: any(isinstance(e, MessageReceived) for e in link.events[1]))
    chunks = handshake_chunks(link)
    assert [kind for kind, _ in chunks[:5]] == [
        wire.INIT,
        wire.INIT_ACK,
        wire.COOKIE_ECHO,
        wire.I_DATA,
        wire.COOKIE_ACK,
    ]
    assert not any(zero for kind, zero in chunks if kind in {wire.INIT, wire.INIT_ACK, wire.COOKIE_ECHO})
    assert all(zero for kind, zero in chunks if kind in {wire.COOKIE_ACK, wire.DATA})
    assert all(machine.sends_zero_checksum for machine in link.machines)


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True), (False, False)])
def test_rfc9653_section_5_2_unless_both_agree_every_packet_has_a_checksum(ours, theirs):
    link = connected(a={"zero_checksum": ours}, b={"zero_checksum": theirs}, keep_trace=True)
    for machine in link.machines:
        machine.send(0, 51, bytes(3000), link.now)
    assert link.run(lambda: all(link.events))
    assert not any(zero for _, zero in handshake_chunks(link))
    assert not any(machine.sends_zero_checksum for machine in link.machines)


@pytest.mark.parametrize("edmid", [0, 2, 0xFFFFFFFF])
def test_rfc9653_section_5_2_an_unknown_method_is_not_ours(edmid):
    peer = peer_that_accepts(edmid)
    peer.connect()
    assert not peer.a.sends_zero_checksum


def test_rfc9653_section_5_3_zero_and_the_right_checksum_are_both_accepted():
    peer = RawPeer()
    for checksum in (bytes(4), None, b"\1\2\3\4"):
        packet = wire.serialize_packet(5000, 5000, peer.peer_tag, peer.data(tsn=peer.tsn - TSN))
        peer.tsn += 1
        peer.a.receive_datagram(packet if checksum is None else packet[:8] + checksum + packet[12:], peer.now)
    assert peer.messages() == [(0, b"x")]
    assert peer.a.dropped == {"bad-checksum": 1, "old-ssn": 1}


def test_rfc9653_section_5_3_who_has_not_announced_it_drops_a_zero():
    peer = RawPeer(zero_checksum=False)
    packet = wire.serialize_packet(5000, 5000, peer.peer_tag, peer.data())
    peer.a.receive_datagram(packet[:8] + bytes(4) + packet[12:], peer.now)
    assert peer.messages() == []
    assert peer.a.dropped == {"bad-checksum": 1}


def test_rfc9653_section_5_2_an_init_with_a_zero_is_dropped():
    peer = peer_that_accepts(wire.EDMID_DTLS)
    chunk = wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(dataclasses.replace(peer.init)))
    packet = wire.serialize_packet(5000, 5000, 0, chunk)
    peer.a.receive_datagram(packet[:8] + bytes(4) + packet[12:], peer.now)
    assert peer.packets() == []
    assert peer.a.dropped == {"bad-checksum": 1}
    assert peer.a.state is State.CLOSED


@pytest.mark.parametrize("edmid", [wire.EDMID_NONE, wire.EDMID_DTLS])
def test_rfc9260_section_3_2_1_an_init_ack_has_no_parameter_that_some_refuse_unless_they_know_it(edmid):
    peer = peer_that_accepts(edmid)
    peer.raw(0, wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(peer.init)))
    ((_, _, value),) = peer.one_packet()
    assert wire.parse_init(value, 0, len(value)).zero_checksum == edmid
