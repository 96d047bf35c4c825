"""Master key identifiers, RFC 3711 section 3.1 and RFC 7714 sections 8.2 and 9.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import DropPacket, LocalError
from stack.srtp import Receiver, Sender
from stack.srtp.mki import MAX_MASTER_KEYS, MAX_MKI

from .support import EVERY_PROFILE, SSRC, keys, profile_of, rtcp, rtp

ALL = pytest.mark.parametrize("profile_id", EVERY_PROFILE, ids=lambda p: profile_of(p).name)
OLD, NEW = b"\0\1", b"\0\2"


def new_keys(profile_id):
    return tuple(bytes(255 - byte for byte in part) for part in keys(profile_id))


def mark(packet, mki, profile_id, *, rtcp_packet=False):
    """Put an identifier where the sender of another stack would."""
    profile = profile_of(profile_id)
    tag = 0 if profile.aead else profile.rtcp_tag_length if rtcp_packet else profile.tag_length
    return packet[: len(packet) - tag] + mki + packet[len(packet) - tag :]


def rekeyed(profile_id):
    old, new = Sender(profile_id, *keys(profile_id)), Sender(profile_id, *new_keys(profile_id))
    receiver = Receiver(profile_id, *keys(profile_id), mki=OLD)
    receiver.add_master_key(NEW, *new_keys(profile_id))
    return old, new, receiver


def dropped(transform, packet):
    with pytest.raises(DropPacket) as caught:
        transform(packet)
    return caught.value.reason


@ALL
def test_each_packet_names_its_key(profile_id):
    old, new, receiver = rekeyed(profile_id)
    for sequence, (sender, mki) in enumerate([(old, OLD), (new, NEW), (old, OLD), (new, NEW)]):
        packet = rtp(sequence)
        assert receiver.unprotect(mark(sender.protect(packet), mki, profile_id)) == packet
    report = rtcp(b"abcd")
    assert receiver.unprotect_rtcp(mark(old.protect_rtcp(report), OLD, profile_id, rtcp_packet=True)) == report
    new.protect_rtcp(report)  # the index goes on
    assert receiver.unprotect_rtcp(mark(new.protect_rtcp(report), NEW, profile_id, rtcp_packet=True)) == report


@ALL
def test_the_replay_window_and_the_rollover_counter_outlive_a_key(profile_id):
    old, new, receiver = rekeyed(profile_id)
    receiver.unprotect(mark(old.protect(rtp(65535)), OLD, profile_id))
    new.protect(rtp(65535))
    assert receiver.unprotect(mark(new.protect(rtp(65536)), NEW, profile_id)) == rtp(65536)
    assert receiver._sources[SSRC].highest == 65536
    assert dropped(receiver.unprotect, mark(new.protect(rtp(65535)), NEW, profile_id)) == "replayed"


@ALL
def test_a_wrong_identifier_a_wrong_key_and_none(profile_id):
    old, _, receiver = rekeyed(profile_id)
    sealed, report = old.protect(rtp(1)), old.protect_rtcp(rtcp())
    assert dropped(receiver.unprotect, mark(sealed, b"\0\3", profile_id)) == "unknown-mki"
    assert dropped(receiver.unprotect, mark(sealed, NEW, profile_id)) == "bad-tag"
    assert dropped(receiver.unprotect, sealed) == "unknown-mki"
    assert dropped(receiver.unprotect_rtcp, mark(report, b"\0\3", profile_id, rtcp_packet=True)) == "unknown-mki"
    assert dropped(receiver.unprotect_rtcp, mark(report, NEW, profile_id, rtcp_packet=True)) == "bad-tag"
    assert not receiver._sources
    assert not receiver._rtcp_sources
    short = mark(old.protect(rtp(2, b"")), OLD, profile_id)
    assert dropped(receiver.unprotect, short[:-1]) == "truncated"
    assert receiver.unprotect(short) == rtp(2, b"")


def test_a_key_that_was_removed():
    old, new, receiver = rekeyed(7)
    receiver.unprotect(mark(old.protect(rtp(1)), OLD, 7))
    receiver.remove_master_key(OLD)
    assert dropped(receiver.unprotect, mark(old.protect(rtp(2)), OLD, 7)) == "unknown-mki"
    assert dropped(receiver.unprotect_rtcp, mark(old.protect_rtcp(rtcp()), OLD, 7, rtcp_packet=True)) == "unknown-mki"
    assert receiver.unprotect(mark(new.protect(rtp(3)), NEW, 7)) == rtp(3)
    with pytest.raises(LocalError, match="no master key"):
        receiver.remove_master_key(OLD)


@ALL
def test_with_encrypted_extensions(profile_id):
    sender = Sender(profile_id, *keys(profile_id), encrypted_extensions={1})
    receiver = Receiver(profile_id, *keys(profile_id), encrypted_extensions={1}, mki=OLD)
    packet = rtp(1, extension=b"\x12abc")
    assert receiver.unprotect(mark(sender.protect(packet), OLD, profile_id)) == packet


def test_misuse_changes_nothing():
    _, new, receiver = rekeyed(1)
    for mki, key, match in ((OLD, keys(1), "in use"), (b"\1", keys(1), "2 bytes"), (b"\1\1", keys(7), "salt of 14")):
        with pytest.raises(LocalError, match=match):
            receiver.add_master_key(mki, *key)
    with pytest.raises(LocalError, match=r"1\.\.128"):
        Receiver(1, *keys(1), mki=bytes(MAX_MKI + 1))
    without = Receiver(1, *keys(1))
    with pytest.raises(LocalError, match="without an MKI"):
        without.add_master_key(OLD, *keys(1))
    with pytest.raises(LocalError, match="without an MKI"):
        without.remove_master_key(OLD)
    assert receiver.unprotect(mark(new.protect(rtp(1)), NEW, 1)) == rtp(1)


def test_the_number_of_keys_is_bounded():
    receiver = Receiver(1, *keys(1), mki=b"\0")
    for number in range(1, MAX_MASTER_KEYS):
        receiver.add_master_key(bytes([number]), *keys(1))
    with pytest.raises(LocalError, match="at most 16"):
        receiver.add_master_key(b"\xff", *keys(1))
    receiver.remove_master_key(b"\0")
    receiver.add_master_key(b"\xff", *keys(1))
    assert receiver.unprotect(mark(Sender(1, *keys(1)).protect(rtp(1)), b"\xff", 1)) == rtp(1)


@given(st.sampled_from(EVERY_PROFILE), st.binary(max_size=80), st.integers(1, 8))
def test_any_bytes_are_dropped(profile_id, data, length):
    receiver = Receiver(profile_id, *keys(profile_id), mki=bytes(length))
    reasons = {"truncated", "bad-version", "bad-tag", "unknown-mki"}
    assert dropped(receiver.unprotect, b"\x80" + data) in reasons
    assert dropped(receiver.unprotect_rtcp, b"\x80" + data) in reasons


def sender_and_receiver(profile_id, **options):
    sender = Sender(profile_id, *keys(profile_id), mki=OLD, **options)
    receiver = Receiver(profile_id, *keys(profile_id), mki=OLD, **options)
    receiver.add_master_key(NEW, *new_keys(profile_id))
    return sender, receiver


@ALL
def test_a_sender_writes_the_identifier_where_the_rfcs_have_it(profile_id):
    sender, plain = sender_and_receiver(profile_id)[0], Sender(profile_id, *keys(profile_id))
    for sequence in (1, 2):
        packet = rtp(sequence)
        assert sender.protect(packet) == mark(plain.protect(packet), OLD, profile_id)
        report = rtcp(b"abcd")
        assert sender.protect_rtcp(report) == mark(plain.protect_rtcp(report), OLD, profile_id, rtcp_packet=True)


@ALL
def test_a_sender_changes_its_key(profile_id):
    sender, receiver = sender_and_receiver(profile_id, encrypted_extensions={1})
    packets = [rtp(65534 + n, extension=b"\x10\xaa\0\0") for n in range(4)]
    sealed = [sender.protect(packets[0]), sender.protect(packets[1])]
    reports = [sender.protect_rtcp(rtcp())]
    sender.change_master_key(NEW, *new_keys(profile_id))
    sealed += [sender.protect(packets[2]), sender.protect(packets[3])]
    reports.append(sender.protect_rtcp(rtcp()))
    assert [receiver.unprotect(data) for data in sealed] == packets  # the rollover counter has gone on
    assert [receiver.unprotect_rtcp(data) for data in reports] == [rtcp(), rtcp()]
    receiver.remove_master_key(OLD)
    assert dropped(receiver.unprotect, sender.protect(packets[3])) == "replayed"
    sender.protect(rtp(65538))
    assert dropped(receiver.unprotect, sealed[0]) == "replayed"


@ALL
def test_no_index_twice_under_one_key_but_once_more_under_the_next(profile_id):
    """A retransmission behind a change of keys is protected with the new one, whose indices are free."""
    sender, receiver = sender_and_receiver(profile_id)
    lost = sender.protect(rtp(1))
    assert dropped(sender.protect, rtp(1, b"other")) == "reused-index"
    sender.change_master_key(NEW, *new_keys(profile_id))
    again = sender.protect(rtp(1))
    assert again != lost
    assert dropped(sender.protect, rtp(1, b"other")) == "reused-index"
    assert receiver.unprotect(again) == rtp(1)
    assert dropped(receiver.unprotect, lost) == "replayed"


def test_misuse_of_a_sender_changes_nothing():
    sender, receiver = sender_and_receiver(7)
    for mki, key, match in ((b"\1", new_keys(7), "2 bytes"), (b"", new_keys(7), "2 bytes"), (NEW, keys(1), "salt of")):
        with pytest.raises(LocalError, match=match):
            sender.change_master_key(mki, *key)
    with pytest.raises(LocalError, match="0 bytes"):
        Sender(7, *keys(7)).change_master_key(NEW, *new_keys(7))
    with pytest.raises(LocalError, match=str(MAX_MKI)):
        Sender(7, *keys(7), mki=bytes(MAX_MKI + 1))
    assert receiver.unprotect(sender.protect(rtp(1))) == rtp(1)
