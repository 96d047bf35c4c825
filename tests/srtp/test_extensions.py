"""Encrypted header extensions, RFC 6904."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import DropPacket, LocalError
from stack.srtp import Receiver, Sender

from .support import EVERY_PROFILE, SSRC, extension_pair, keys, pair, profile_of, rtp

ALL = pytest.mark.parametrize("profile_id", EVERY_PROFILE, ids=lambda p: profile_of(p).name)
TWO_BYTE = 0x1003
ONE = bytes.fromhex("12 aaaaaa 00 20 bb 00")  # 1: three bytes, 2: one byte, padding between and behind
TWO = bytes.fromhex("01 03 aaaaaa 00 02 00 ff 02 bbbb")  # the same with 2 empty, and 255


@ALL
@pytest.mark.parametrize(
    ("form", "extension", "ids", "changed"),
    [
        (0xBEDE, ONE, {1}, {1, 2, 3}),
        (0xBEDE, ONE, {2}, {6}),
        (0xBEDE, ONE, {1, 2}, {1, 2, 3, 6}),
        (0xBEDE, ONE, {3}, set()),
        (0xBEDE, bytes.fromhex("10 aa f0 00 10 aa 00 00"), {1, 15}, {1}),  # nothing behind an id of 15
        (0xBEDE, bytes.fromhex("01 aabb 10 aa 00 00 00"), {1}, {4}),  # an id of 0 that has a length
        (0xBEDE, b"", {1}, set()),
        (TWO_BYTE, TWO, {1}, {2, 3, 4}),
        (TWO_BYTE, TWO, {2}, set()),
        (TWO_BYTE, TWO, {1, 255}, {2, 3, 4, 10, 11}),
        (0x1234, TWO, {1, 255}, set()),  # neither form of RFC 8285
    ],
)
def test_the_data_of_the_elements_asked_for_and_nothing_else(profile_id, form, extension, ids, changed):
    extension += bytes(-len(extension) % 4)
    sender, receiver = extension_pair(profile_id, ids)
    # Single bytes may be encrypted to themselves: look at some packets.
    seen = set()
    for sequence in range(20):
        packet = rtp(sequence, csrcs=(7,), extension=extension, form=form)
        sealed = sender.protect(packet)
        assert len(sealed) == len(packet) + sender.profile.tag_length
        seen |= {at for at in range(len(packet) - 7) if sealed[at] != packet[at]}
        assert receiver.unprotect(sealed) == packet
    assert seen == {20 + at for at in changed}


@ALL
def test_packets_without_extension_are_as_without_the_option(profile_id):
    sender, receiver = extension_pair(profile_id, {1})
    other, _ = pair(profile_id)
    sealed = sender.protect(rtp(1))
    assert sealed == other.protect(rtp(1))
    assert receiver.unprotect(sealed) == rtp(1)


@ALL
def test_a_receiver_that_does_not_know_still_reads_the_payload(profile_id):
    sender, _ = extension_pair(profile_id, {1})
    _, receiver = pair(profile_id)
    plain = receiver.unprotect(sender.protect(rtp(1, extension=ONE)))
    assert plain != rtp(1, extension=ONE)
    assert plain.endswith(b"payload")


@ALL
def test_every_bit_of_the_extension_is_authenticated_before_anything_is_decrypted(profile_id):
    sender, receiver = extension_pair(profile_id, {1, 2})
    sealed = sender.protect(rtp(1, extension=ONE))
    for at in range(16 * 8, 24 * 8):
        forged = bytearray(sealed)
        forged[at // 8] ^= 1 << at % 8
        with pytest.raises(DropPacket, match="bad-tag"):
            receiver.unprotect(bytes(forged))
    assert not receiver._sources
    assert receiver.unprotect(sealed) == rtp(1, extension=ONE)


OVERLONG = [(0xBEDE, "1f 00 00 00"), (0xBEDE, "00 00 00 10"), (TWO_BYTE, "01 03 00 00"), (TWO_BYTE, "00 00 00 01")]


@pytest.mark.parametrize(("form", "extension"), OVERLONG)
@ALL
def test_an_element_longer_than_the_extension(profile_id, form, extension):
    packet = rtp(1, extension=bytes.fromhex(extension), form=form)
    sender, receiver = extension_pair(profile_id, {2})
    with pytest.raises(DropPacket, match="bad-extension"):
        sender.protect(packet)
    authentic = pair(profile_id)[0].protect(packet)
    with pytest.raises(DropPacket, match="bad-extension"):
        receiver.unprotect(authentic)
    assert SSRC not in receiver._sources


def test_a_refused_packet_leaves_the_sender_as_it_was():
    sender, _ = extension_pair(7, {1})
    bad = bytes.fromhex("1f 00 00 00")
    with pytest.raises(DropPacket, match="bad-extension"):
        sender.protect(rtp(0, extension=bad))
    assert not sender._sources
    sender.protect(rtp(40000, b"one"))
    with pytest.raises(DropPacket, match="bad-extension"):
        sender.protect(rtp(42047, extension=bad))
    with pytest.raises(DropPacket, match="reused-index"):
        sender.protect(rtp(40000, b"two"))
    assert sender._sources[SSRC].highest == 40000


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(EVERY_PROFILE),
    st.sampled_from([0xBEDE, 0x1000, 0x100F, 0x1010, 0]),
    st.binary(max_size=64).map(lambda data: data + bytes(-len(data) % 4)),
    st.sets(st.integers(1, 255)),
    st.integers(0, 0xFFFF),
)
def test_any_extension_comes_back_or_is_refused(profile_id, form, extension, ids, sequence):
    sender, receiver = extension_pair(profile_id, ids)
    packet = rtp(sequence, extension=extension, form=form)
    try:
        sealed = sender.protect(packet)
    except DropPacket:
        with pytest.raises(DropPacket, match="bad-extension"):
            sender.protect(packet)
    else:
        assert receiver.unprotect(sealed) == packet


@pytest.mark.parametrize("ids", [{0}, {256}, {1, -1}])
def test_ids_have_bounds(ids):
    for make in (Sender, Receiver):
        with pytest.raises(LocalError, match=r"1\.\.255"):
            make(1, *keys(1), encrypted_extensions=ids)
