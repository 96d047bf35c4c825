"""Hostile input for the peer connection.

Invariants:
- A remote description, whatever it says, is applied or refused with a `LocalError`; the connection can still be
  closed, and says so.
- Datagrams of any kind never raise, before and after a description is set.
"""

import functools

from stack import peer
from stack.core import Address, Datagram, LocalError
from stack.dtls import Certificate
from stack.testing import seeded_random_bytes

HERE, THERE = Address("10.0.0.1", 1111), Address("10.0.0.2", 2222)


@functools.cache
def certificate() -> Certificate:
    return Certificate.generate(seeded_random_bytes(0), now_unix=1.7e9)


def connection() -> peer.PeerConnection:
    return peer.PeerConnection(certificate=certificate(), random_bytes=seeded_random_bytes(1))


def finish(pc: peer.PeerConnection) -> None:
    """Close and check that it ends as it must."""
    pc.close(2.0)
    pc.datagrams_to_send(2.0)
    last = None
    while (event := pc.next_event()) is not None:
        last = event
    if not isinstance(last, peer.Closed):
        raise AssertionError(f"the last event is {last!r}")  # noqa: TRY004  an invariant, not an argument


def check_description(data: bytes) -> None:
    """An offer made of these bytes."""
    pc = connection()
    pc.add_track("video")
    try:
        pc.set_remote_description(peer.Description("offer", data.decode("utf-8", "replace")), 0.0)
        pc.set_local_description(None, 0.0)
    except LocalError:
        if pc.signaling_state not in {"stable", "have-remote-offer"}:
            raise AssertionError(pc.signaling_state) from None
    finish(pc)


def check_datagrams(data: bytes) -> None:
    """These bytes cut into datagrams: each begins with its length."""
    pc = connection()
    pc.create_data_channel("fuzz", 0.0)
    pc.set_local_description(None, 0.0)
    pc.add_local_address(HERE, 0.0)
    at, now = 0, 0.0
    while at < len(data):
        size = data[at]
        pc.receive_datagram(Datagram(data[at + 1 : at + 1 + size], THERE, HERE), now)
        at, now = at + 1 + size, now + 0.01
        pc.datagrams_to_send(now)
        pc.handle_timer(now)
    finish(pc)


TARGETS = {"peer-description": check_description, "peer-datagrams": check_datagrams}
