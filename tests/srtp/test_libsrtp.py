"""libsrtp as an independent judge: both directions, all profiles, byte for byte where the RFCs leave no choice."""

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import DropPacket

from .support import EVERY_PROFILE, extension_pair, libsrtp, pair, profile_of, rtcp, rtp

ALL = pytest.mark.parametrize("profile_id", EVERY_PROFILE, ids=lambda p: profile_of(p).name)

LIBSRTP_REASONS = {
    "authentication failure": "bad-tag",
    "replay check failed (bad index)": "replayed",
    "replay check failed (index too old)": "replayed",
}

# pylibsrtp takes packets of up to 1352 bytes.
payloads = st.binary(max_size=100) | st.integers(0, 1200).map(lambda size: bytes(size % 251 for _ in range(size)))
packets = st.builds(
    lambda payload, csrcs, extension, payload_type: {
        "payload": payload,
        "csrcs": csrcs,
        "extension": None if extension is None else bytes(4 * extension),
        "payload_type": payload_type,
    },
    payloads,
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    st.none() | st.integers(0, 8),
    st.integers(0, 255),
)


@ALL
@settings(max_examples=40, deadline=None)
@given(st.lists(packets, min_size=1, max_size=8), st.integers(0, 0xFFFF))
def test_rtp_is_the_same_to_the_byte(profile_id, contents, start):
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    for number, content in enumerate(contents):
        packet = rtp(start + number, **content)
        sealed = sender.protect(packet)
        assert sealed == their_sender.protect(packet)
        assert their_receiver.unprotect(sealed) == packet
        assert receiver.unprotect(sealed) == packet


@ALL
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40)), min_size=1, max_size=8))
def test_rtcp_is_understood_both_ways(profile_id, contents):
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    for ssrc, words in contents:
        packet = rtcp(bytes(range(4 * words)), ssrc=ssrc)
        assert their_receiver.unprotect_rtcp(sender.protect_rtcp(packet)) == packet
        assert receiver.unprotect_rtcp(their_sender.protect_rtcp(packet)) == packet


@ALL
def test_rollover_counters_stay_together(profile_id):
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    for index in range(60000, 5 * 65536, 9973):
        packet = rtp(index)
        sealed = their_sender.protect(packet)
        assert sender.protect(packet) == sealed
        assert receiver.unprotect(sealed) == packet
        assert their_receiver.unprotect(sealed) == packet


def outcome(unprotect, packet):
    """The plain packet, or a word for why not."""
    try:
        return unprotect(packet)
    except DropPacket as drop:
        return drop.reason
    except pylibsrtp.Error as error:
        return LIBSRTP_REASONS[str(error)]


@ALL
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(0, 1500), st.booleans()), min_size=1, max_size=80),
)
def test_reordering_replay_and_forgery_are_judged_alike(profile_id, start, order):
    """Start anywhere, so that the sequence number wraps within the run; take packets in any order, some spoilt."""
    their_sender = libsrtp(profile_id, inbound=False)
    _, receiver = pair(profile_id)
    their_receiver = libsrtp(profile_id, inbound=True)
    sealed = [their_sender.protect(rtp(start + n)) for n in range(1501)]
    first = sealed[order[0][0]]
    if start + order[0][0] > 0xFFFF:
        # A receiver that joins behind a wrap cannot know of it, neither this one nor theirs: begin before it.
        first = sealed[0]
    assert outcome(receiver.unprotect, first) == outcome(their_receiver.unprotect, first)
    for n, spoil in order:
        packet = bytearray(sealed[n])
        if spoil:
            packet[-1] ^= 1
        assert outcome(receiver.unprotect, bytes(packet)) == outcome(their_receiver.unprotect, bytes(packet))


@ALL
def test_a_retransmission_is_the_same_as_theirs(profile_id):
    sender, _ = pair(profile_id)
    their_sender = libsrtp(profile_id, inbound=False)
    for n in (1, 2, 3, 2, 1, 4):
        assert sender.protect(rtp(n)) == their_sender.protect(rtp(n))


@ALL
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 0x7FFF), st.lists(st.integers(1, 0x7FFF), min_size=1, max_size=60))
def test_jumps_and_wraps_are_followed_alike(profile_id, start, jumps):
    """Up to thirty cycles, with losses of up to half a cycle at once."""
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    index = start
    for jump in jumps:
        packet = rtp(index)
        sealed = sender.protect(packet)
        assert their_sender.protect(packet) == sealed
        assert their_receiver.unprotect(sealed) == packet
        assert receiver.unprotect(sealed) == packet
        index += jump


@ALL
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-40, 3)), min_size=1, max_size=80))
def test_senders_that_step_back_send_the_same(profile_id, steps):
    """Several sources, in any order, with retransmissions near and around the wrap of the sequence number."""
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    at = dict.fromkeys(range(1, 5), 0xFFF0)
    for ssrc in at:
        packet = rtp(0xFFF0, ssrc=ssrc)
        assert sender.protect(packet) == their_sender.protect(packet)
    for ssrc, step in steps:
        index = max(at[ssrc] + step, 0x8000)
        at[ssrc] = max(at[ssrc], index)
        packet = rtp(index, ssrc=ssrc)
        sealed = sender.protect(packet)
        assert sealed == their_sender.protect(packet)
        assert outcome(receiver.unprotect, sealed) == outcome(their_receiver.unprotect, sealed)


@ALL
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=80))
def test_reordering_replay_and_forgery_of_rtcp_are_judged_alike(profile_id, order):
    their_sender = libsrtp(profile_id, inbound=False)
    _, receiver = pair(profile_id, replay_window=128)  # theirs is as long in RTCP, whatever is asked for
    their_receiver = libsrtp(profile_id, inbound=True)
    sealed = [their_sender.protect_rtcp(rtcp(n.to_bytes(4, "big"))) for n in range(201)]
    for n, spoil in order:
        packet = bytearray(sealed[n])
        if spoil:
            packet[9] ^= 1
        ours, theirs = (
            outcome(receiver.unprotect_rtcp, bytes(packet)),
            outcome(their_receiver.unprotect_rtcp, bytes(packet)),
        )
        assert ours == theirs


elements = st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=5)


def one_byte_extension(contents):
    """The form of RFC 8285 section 4.2, padded."""
    data = b"".join(bytes((number << 4 | len(value) - 1,)) + value for number, value in contents)
    return data + bytes(-len(data) % 4)


def two_byte_extension(contents):
    """The form of RFC 8285 section 4.3, padded."""
    data = b"".join(bytes((number, len(value))) + value for number, value in contents)
    return data + bytes(-len(data) % 4)


@ALL
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(elements, st.binary(max_size=50)), min_size=1, max_size=6),
    st.sets(st.integers(1, 14), min_size=1),
    st.integers(0, 0xFFFF),
    st.booleans(),
)
def test_encrypted_header_extensions_are_the_same_to_the_byte(profile_id, contents, ids, start, two_bytes):
    sender, receiver = extension_pair(profile_id, ids)
    their_sender = libsrtp(profile_id, inbound=False, extensions=ids)
    their_receiver = libsrtp(profile_id, inbound=True, extensions=ids)
    for number, (values, payload) in enumerate(contents):
        packed = two_byte_extension(values) if two_bytes else one_byte_extension(values)
        form = 0x1000 if two_bytes else 0xBEDE
        packet = rtp(start + number, payload, csrcs=(1, 2), extension=packed, form=form)
        sealed = sender.protect(packet)
        assert sealed == their_sender.protect(packet)
        assert their_receiver.unprotect(sealed) == packet
        assert receiver.unprotect(sealed) == packet
