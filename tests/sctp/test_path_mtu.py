"""Path MTU discovery (RFC 8899) with HEARTBEAT and PAD chunks (RFC 4820)."""

import struct

import pytest

from stack.core import LocalError
from stack.sctp import Config, MessageReceived, wire
from stack.sctp.acknowledgement import VANISHING
from stack.sctp.path_mtu import MAX_PROBES, RAISE_SECONDS, RETRY_SECONDS
from stack.testing import Conditions

from .support import RawPeer, connected


def narrow(limit):
    """A tamper function that loses packets larger than `limit[0]`, and counts."""

    def tamper(_sender, _index, data):
        if len(data) > limit[0]:
            limit[1] += 1
            return []
        return [data]

    return tamper


def searched(path, *, limit, seconds=30.0, **options):
    """A link over a path of `path` bytes whose sender may find up to `limit`; run until the search is over."""
    sizes = [path, 0]
    link = connected(Conditions(delay=0.01), tamper=narrow(sizes), a={"path_mtu_limit": limit, **options})
    link.machines[0].send(0, 51, b"x", link.now)
    link.run(seconds=seconds)
    return link, sizes


@pytest.mark.parametrize(("path", "limit"), [
    (1400, 1400), (1400, 1460), (1280, 1460), (8900, 8900), (1400, 8900), (65532, 65532), (1200, 1460), (1160, 1460),
])  # fmt: skip
def test_rfc8899_5_3_the_search_finds_what_the_path_carries(path, limit):
    link, sizes = searched(path, limit=limit)
    a = link.machines[0]
    assert path - 36 <= a.packet_size <= path
    before = sizes[1]
    a.send(0, 51, bytes(200_000), link.now)
    assert link.run(lambda: sum(isinstance(e, MessageReceived) for e in link.events[1]) == 2, seconds=20)
    assert sizes[1] == before  # a probe may be lost, data are not
    assert a.stats.retransmits == 0


def test_full_packets_have_the_size_that_was_found():
    link, _ = searched(1460, limit=1460, interleaving=False)
    link.machines[0].send(0, 51, bytes(50_000), link.now)
    sizes = {len(p) for p in link.machines[0].datagrams_to_send(link.now)}
    assert max(sizes) == 1460


def test_it_is_off_unless_a_limit_is_given():
    link = connected(Conditions(delay=0.01), keep_trace=True)
    link.machines[0].send(0, 51, b"x", link.now)
    link.run(seconds=20)
    assert link.machines[0].packet_size == 1160
    assert max(len(data) for _, _, data in link.trace) <= 1160


@pytest.mark.parametrize("limit", [1158, 1161, 65536, 1156])
def test_a_limit_that_cannot_be(limit):
    with pytest.raises(LocalError, match="path_mtu_limit"):
        Config(path_mtu_limit=limit)


def probe_of(peer):
    """Let a round trip be measured; return the probe as (packet size, value of the HEARTBEAT)."""
    peer.a.send(0, 51, b"x", peer.now)
    peer.chunks()
    peer.now += 0.1
    peer.send(peer.sack(1))
    (packet,) = peer.a.datagrams_to_send(peer.now)
    (heartbeat, pad) = wire.chunks_of(packet)
    assert (heartbeat[0], pad[0]) == (wire.HEARTBEAT, wire.PAD)
    assert pad[2] == bytes(len(pad[2]))
    return len(packet), heartbeat[2]


def test_rfc8899_6_2_a_probe_is_a_heartbeat_with_padding_and_its_answer_confirms_the_size():
    peer = RawPeer(path_mtu_limit=1400)
    size, value = probe_of(peer)
    assert size == 1400
    assert peer.a.packet_size == 1160
    peer.send(wire.serialize_chunk(wire.HEARTBEAT_ACK, 0, value))
    assert peer.a.packet_size == 1400
    assert peer.a.dropped == {}
    peer.send(wire.serialize_chunk(wire.HEARTBEAT_ACK, 0, value))
    assert peer.a.dropped == {"unexpected-chunk": 1}


def test_rfc8899_5_1_2_a_size_is_too_large_after_three_probes():
    peer = RawPeer(path_mtu_limit=1400)
    probe_of(peer)
    sizes = [struct.unpack_from("!L", value, 4)[0] for kind, _, value in peer.skip(3) if kind == wire.HEARTBEAT]
    assert sizes[: MAX_PROBES - 1] == [1400] * (MAX_PROBES - 1)
    assert sizes[MAX_PROBES - 1] == 1280
    assert peer.a.stats.timeouts == 0  # RFC 8899 section 3: a lost probe is no congestion
    assert peer.a.cwnd == 10 * 1132


def test_rfc8899_5_1_1_the_search_begins_again_after_a_while():
    link, sizes = searched(1300, limit=1460)
    assert link.machines[0].packet_size <= 1300
    sizes[0] = 1460
    link.run(seconds=RAISE_SECONDS + 5)
    assert link.machines[0].packet_size == 1460


@pytest.mark.parametrize("small", [True, False])
def test_rfc8899_4_3_a_black_hole_is_found_and_packets_become_small_again(small):
    link, sizes = searched(1460, limit=1460)
    a = link.machines[0]
    assert a.packet_size == 1460
    sizes[0] = 1200
    a.send(1, 51, bytes(20_000), link.now, max_retransmits=6)
    for _ in range(100):  # what is small passes, so that no timer notices
        if small:
            a.send(2, 51, b"small", link.now)
        link.run(lambda: a.packet_size == 1160, seconds=0.2)
    assert a.packet_size == 1160
    assert sizes[1] >= VANISHING
    link.run(seconds=5)
    a.send(1, 51, b"after" * 1000, link.now)
    assert link.run(lambda: any(getattr(e, "data", b"")[:5] == b"after" for e in link.events[1]), seconds=20)
    sizes[0] = 1460
    link.run(seconds=RETRY_SECONDS + 5)
    assert a.packet_size == 1460


def test_another_path_begins_with_small_packets_and_is_searched():
    link, sizes = searched(1460, limit=1460)
    a = link.machines[0]
    sizes[0] = 1400
    a.path_changed(link.now)
    assert a.packet_size == 1160
    a.send(0, 51, b"x", link.now)
    link.run(seconds=10)
    assert 1364 <= a.packet_size <= 1400


def test_rfc4820_3_padding_is_ignored():
    peer = RawPeer()
    peer.send(wire.serialize_chunk(wire.PAD, 0, bytes(100)), peer.data(b"x"))
    assert peer.messages() == [(0, b"x")]
    assert peer.a.dropped == {}
