"""The peer connection under the laws: all layers at once."""

import functools

import pytest

from stack import peer
from stack.core import Address, Datagram, LocalError
from stack.dtls import Certificate
from stack.peer.secure_media import MAX_EARLY_RTP, MAX_PENDING_RTP
from stack.peer.transport import MAX_EARLY_DTLS
from stack.peer.writing import MAX_SECTIONS
from stack.testing import seeded_random_bytes

from ..subject import Rig, Subject

A, B = Address("10.0.0.1", 1111), Address("10.0.0.2", 2222)


@functools.cache
def certificate(name):
    return Certificate.generate(seeded_random_bytes(name), now_unix=1.7e9)


def connection(seed, name):
    return peer.PeerConnection(certificate=certificate(name), random_bytes=seeded_random_bytes(f"{seed}{name}"))


def build(seed):
    a, b = connection(seed, "a"), connection(seed, "b")
    state = {}

    def start(now):
        state["channel"] = a.create_data_channel("test", now)
        state["video"] = a.add_track("video")
        a.set_local_description(None, now)
        a.add_local_address(A, now)
        a.end_local_addresses(now)
        b.set_remote_description(a.local_description, now)
        b.set_local_description(None, now)
        b.add_local_address(B, now)
        b.end_local_addresses(now)
        a.set_remote_description(b.local_description, now)

    def work(now):
        if state["channel"].state == "open":
            for size in (1, 1200, 20000):
                a.send(state["channel"], b"x" * size, now)
        a.send_frame(state["video"], b"\x10\x02\x00\x9d\x01\x2a" + bytes(3000), 0, now, keyframe=True)

    return Rig(a, b, start, work)


def misuse_wrong_state(rig, now):
    rig.a.set_local_description(peer.Description("answer", "v=0"), now)


def misuse_malformed_description(rig, now):
    rig.a.set_remote_description(peer.Description("offer", "v=0\r\nnonsense"), now)


def misuse_kind(rig, now):
    rig.a.add_transceiver("smell")


def misuse_candidate(rig, now):
    rig.a.add_remote_candidate("candidate:nonsense", now)


def limit_transceivers():
    a = connection(1, "a")
    for _ in range(MAX_SECTIONS):
        a.add_transceiver("video")
    with pytest.raises(LocalError, match="more than"):
        a.add_transceiver("video")


def limit_early_dtls():
    rig = build(1)
    rig.a.create_data_channel("test", 0.0)
    rig.a.set_local_description(None, 0.0)
    transport = rig.a.transport
    transport.ice.takes = lambda now, local, remote: True
    for _ in range(MAX_EARLY_DTLS * 3):
        transport.receive_datagram(Datagram(b"\x16" + bytes(50), B, A), 0.0)
    assert len(transport._early_dtls) == MAX_EARLY_DTLS


def limit_early_rtp():
    rig = build(1)
    transport = rig.a.transport
    transport.ice.takes = lambda now, local, remote: True
    for _ in range(MAX_EARLY_RTP * 3):
        transport.receive_datagram(Datagram(b"\x80\x60" + bytes(50), B, A), 0.0)
    assert len(transport.media._early) == MAX_EARLY_RTP


def limit_pending_rtp():
    class Clear:
        """Passes everything."""

        def unprotect_batch(self, packets, dropped):
            return packets

    transport = build(1).a.transport
    transport.ice.takes = lambda now, local, remote: True
    transport.media._receiver = Clear()
    for _ in range(MAX_PENDING_RTP + 10):
        transport.receive_datagram(Datagram(b"\x80\x60" + bytes(50), B, A), 0.0)
    assert len(transport.media.take_rtp()) == MAX_PENDING_RTP


SUBJECTS = [
    Subject(
        name="peer",
        build=build,
        terminal=peer.Closed,
        wrap=lambda data: Datagram(data, B, A),
        garbage=[b"\x00", b"\xff" * 40, b"\x05junk", b"\x50" * 20],
        misuse=[misuse_wrong_state, misuse_malformed_description, misuse_kind, misuse_candidate],
        limits={
            "transceivers": limit_transceivers,
            "early-dtls": limit_early_dtls,
            "early-rtp": limit_early_rtp,
            "pending-rtp": limit_pending_rtp,
        },
    )
]
