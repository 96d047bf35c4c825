"""Sender and Receiver by themselves: indices, replay, sources, and what must be dropped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import DropPacket
from stack.srtp.packet import MAX_INDEX, MAX_RTCP_INDEX, MAX_SSRCS, packet_index
from stack.srtp.receiver import REPLAY_WINDOW
from stack.srtp.sender import REPEAT_WINDOW

from .support import EVERY_PROFILE, SSRC, pair, profile_of, rtcp, rtp

ALL = pytest.mark.parametrize("profile_id", EVERY_PROFILE, ids=lambda p: profile_of(p).name)


def dropped(transform, packet):
    with pytest.raises(DropPacket) as caught:
        transform(packet)
    return caught.value.reason


@ALL
def test_there_and_back(profile_id):
    sender, receiver = pair(profile_id)
    profile = profile_of(profile_id)
    for packet in (rtp(1), rtp(2, b""), rtp(3, csrcs=(1, 2)), rtp(4, extension=bytes(8)), rtp(5, extension=b"")):
        sealed = sender.protect(packet)
        assert len(sealed) == len(packet) + profile.tag_length
        assert receiver.unprotect(sealed) == packet
    for packet in (rtcp(), rtcp(bytes(20))):
        sealed = sender.protect_rtcp(packet)
        assert len(sealed) == len(packet) + profile.rtcp_tag_length + 4
        assert receiver.unprotect_rtcp(sealed) == packet


@ALL
def test_header_and_extension_stay_readable_and_the_payload_does_not(profile_id):
    packet = rtp(1, b"secret" * 10, csrcs=(7,), extension=b"mid!")
    sealed = pair(profile_id)[0].protect(packet)
    assert sealed[:24] == packet[:24]
    assert b"secret" not in sealed


@ALL
def test_every_bit_is_authenticated(profile_id):
    sender, receiver = pair(profile_id)
    sealed = sender.protect(rtp(1, b"abc"))
    report = sender.protect_rtcp(rtcp(b"abcd"))
    for at in range(len(sealed) * 8):
        forged = bytearray(sealed)
        forged[at // 8] ^= 1 << at % 8
        assert dropped(receiver.unprotect, bytes(forged)) in {"bad-tag", "bad-version", "truncated"}, at
    for at in range(len(report) * 8):
        forged = bytearray(report)
        forged[at // 8] ^= 1 << at % 8
        assert dropped(receiver.unprotect_rtcp, bytes(forged)) in {"bad-tag", "bad-version"}, at
    assert receiver.unprotect(sealed) == rtp(1, b"abc")
    assert receiver.unprotect_rtcp(report) == rtcp(b"abcd")


@ALL
def test_the_rollover_counter_follows_the_wrap(profile_id):
    sender, receiver = pair(profile_id)
    for index in range(65500, 65536 * 2 + 1100, 1000):
        packet = rtp(index)
        assert receiver.unprotect(sender.protect(packet)) == packet
    assert receiver._sources[SSRC].highest == sender._sources[SSRC].highest > 0x1FFFF


@ALL
def test_packets_reordered_across_the_wrap(profile_id):
    sender, receiver = pair(profile_id)
    packets = [rtp(index) for index in range(65530, 65546)]
    sealed = [sender.protect(packet) for packet in packets]
    for at in (0, 15, 5, 6, 7, 1, 14, 2, 13, 3):
        assert receiver.unprotect(sealed[at]) == packets[at]


def test_the_second_cycle_differs_from_the_first():
    sender, _ = pair(1)
    first = sender.protect(rtp(0))
    for sequence in (30000, 60000):
        sender.protect(rtp(sequence))
    assert sender.protect(rtp(0)) != first


@pytest.mark.parametrize(
    ("sequence", "highest", "index"),
    [
        (5, 4, 5),
        (4, 5, 4),
        (0, 65535, 65536),
        (65535, 65536, 65535),
        (32768, 0x10000, 0x18000),  # just half a cycle ahead: appendix A stays in the cycle
        (32769, 0x10000, 32769),
        (0, 0x18000, 0x10000),
        (0, 0x18001, 0x20000),
        (65535, 0, 65535),  # there is no cycle before the first
    ],
)
def test_the_index_is_guessed_as_in_appendix_a(sequence, highest, index):
    assert packet_index(sequence, highest) == index


@given(st.integers(0x10000, MAX_INDEX - 0x10000), st.integers(-0x7FFF, 0x7FFF))
def test_the_index_is_right_within_half_a_cycle(highest, distance):
    assert packet_index((highest + distance) & 0xFFFF, highest) == highest + distance


@ALL
def test_a_replay_is_dropped(profile_id):
    sender, receiver = pair(profile_id)
    sealed = [sender.protect(rtp(n)) for n in range(10)]
    for packet in sealed:
        receiver.unprotect(packet)
    assert {dropped(receiver.unprotect, packet) for packet in sealed} == {"replayed"}
    report = sender.protect_rtcp(rtcp())
    receiver.unprotect_rtcp(report)
    assert dropped(receiver.unprotect_rtcp, report) == "replayed"


@pytest.mark.parametrize("window", [128, 200, REPLAY_WINDOW])
def test_the_replay_window_is_as_long_as_asked_for(window):
    sender, receiver = pair(1, replay_window=window)
    sealed = [sender.protect(rtp(n)) for n in range(window + 1)]
    reports = [sender.protect_rtcp(rtcp()) for _ in range(window + 1)]
    receiver.unprotect(sealed[-1])
    receiver.unprotect_rtcp(reports[-1])
    assert dropped(receiver.unprotect, sealed[0]) == "replayed"
    assert dropped(receiver.unprotect_rtcp, reports[0]) == "replayed"
    assert receiver.unprotect(sealed[1]) == rtp(1)
    assert receiver.unprotect_rtcp(reports[1]) == rtcp()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.integers(128, 140))
def test_the_window_agrees_with_a_set(order, window):
    sender, receiver = pair(7, replay_window=window)
    sealed = [sender.protect(rtp(n)) for n in range(301)]
    seen = set()
    for n in order:
        if n in seen or (seen and n <= max(seen) - window):
            assert dropped(receiver.unprotect, sealed[n]) == "replayed"
        else:
            assert receiver.unprotect(sealed[n]) == rtp(n)
            seen.add(n)


def test_a_forged_packet_leaves_no_trace():
    sender, receiver = pair(1)
    sealed = [sender.protect(rtp(n)) for n in range(3)]
    far = sealed[1][:2] + b"\x70\x00" + sealed[1][4:]
    assert dropped(receiver.unprotect, far) == "bad-tag"
    assert not receiver._sources
    receiver.unprotect(sealed[0])
    assert dropped(receiver.unprotect, far) == "bad-tag"
    assert receiver.unprotect(sealed[1]) == rtp(1)
    assert dropped(receiver.unprotect_rtcp, rtcp(bytes(40))) == "bad-tag"
    assert not receiver._rtcp_sources


@ALL
def test_a_retransmission_is_the_same_packet_again(profile_id):
    sender, receiver = pair(profile_id)
    first = sender.protect(rtp(1))
    for n in range(3, 40):
        receiver.unprotect(sender.protect(rtp(n)))
    assert sender.protect(rtp(1)) == first
    late = sender.protect(rtp(2))  # never sent before, so anything may be
    assert receiver.unprotect(late) == rtp(2)
    assert receiver.unprotect(first) == rtp(1)


@ALL
def test_two_packets_never_share_an_index(profile_id):
    sender, _ = pair(profile_id)
    sender.protect(rtp(1))
    assert dropped(sender.protect, rtp(1, b"another")) == "reused-index"
    assert dropped(sender.protect, rtp(1, payload_type=97)) == "reused-index"
    sender.protect(rtp(1 + REPEAT_WINDOW))
    assert dropped(sender.protect, rtp(1)) == "reused-index"
    assert sender.protect(rtp(2))


def test_numbers_left_out_by_a_jump_are_free_and_those_before_it_are_not():
    sender, receiver = pair(7, replay_window=REPEAT_WINDOW)
    for n in range(100):
        receiver.unprotect(sender.protect(rtp(n)))
    receiver.unprotect(sender.protect(rtp(REPEAT_WINDOW + 50)))
    assert dropped(sender.protect, rtp(99, b"another")) == "reused-index"
    assert dropped(sender.protect, rtp(50, b"another")) == "reused-index"
    assert dropped(sender.protect, rtp(REPEAT_WINDOW + 50, b"another")) == "reused-index"
    for n in (100, REPEAT_WINDOW, REPEAT_WINDOW + 49):  # the last two stand in the places of 0 and 49
        assert receiver.unprotect(sender.protect(rtp(n))) == rtp(n)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-2100, 2100), st.integers(0, 1)), min_size=1, max_size=40))
def test_no_index_is_ever_used_for_two_packets(steps):
    sender, _ = pair(7)
    at, sent = 0x10000 - 5000, {}
    sender.protect(rtp(at, b"0"))
    sent[at] = b"0"
    for step, payload in steps:
        index, content = max(at + step, 0x8000), b"%d" % payload
        try:
            sender.protect(rtp(index, content))
        except DropPacket as drop:
            unsafe = sent.get(index, content) != content or index <= at - REPEAT_WINDOW
            assert (drop.reason, unsafe) == ("reused-index", True)  # noqa: PT017  both ways out are checked
            continue
        assert sent.setdefault(index, content) == content
        at = max(at, index)


@ALL
def test_each_source_has_its_own_indices(profile_id):
    sender, receiver = pair(profile_id)
    for ssrc in (1, 2, 3):
        for sequence in (65535, 0):
            packet = rtp(sequence + ssrc, ssrc=ssrc)
            assert receiver.unprotect(sender.protect(packet)) == packet
        assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp(ssrc=ssrc))) == rtcp(ssrc=ssrc)


def test_the_number_of_sources_is_bounded():
    sender, receiver = pair(7)
    for ssrc in range(MAX_SSRCS):
        receiver.unprotect(sender.protect(rtp(1, ssrc=ssrc)))
        receiver.unprotect_rtcp(sender.protect_rtcp(rtcp(ssrc=ssrc)))
    assert dropped(sender.protect, rtp(1, ssrc=MAX_SSRCS)) == "too-many-ssrcs"
    assert dropped(sender.protect_rtcp, rtcp(ssrc=MAX_SSRCS)) == "too-many-ssrcs"
    other, _ = pair(7)
    assert dropped(receiver.unprotect, other.protect(rtp(1, ssrc=MAX_SSRCS))) == "too-many-ssrcs"
    assert dropped(receiver.unprotect_rtcp, other.protect_rtcp(rtcp(ssrc=MAX_SSRCS))) == "too-many-ssrcs"
    assert receiver.unprotect(sender.protect(rtp(2, ssrc=0))) == rtp(2, ssrc=0)


def test_keys_wear_out():
    sender, receiver = pair(1)
    receiver.unprotect(sender.protect(rtp(65535)))
    sender._sources[SSRC].highest = MAX_INDEX
    receiver._sources[SSRC].highest = MAX_INDEX
    assert dropped(sender.protect, rtp(0)) == "key-exhausted"
    assert dropped(receiver.unprotect, rtp(0, bytes(10))) == "key-exhausted"
    sender.protect_rtcp(rtcp())
    sender._rtcp_indices[SSRC] = MAX_RTCP_INDEX
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) == rtcp()
    assert dropped(sender.protect_rtcp, rtcp()) == "key-exhausted"


def test_srtcp_without_encryption_is_only_checked():
    sender, receiver = pair(1)
    cipher = sender._rtcp
    clear = rtcp(b"readable") + (5).to_bytes(4, "big")
    tag = cipher._mac_of(clear)
    assert receiver.unprotect_rtcp(clear + tag) == rtcp(b"readable")
    assert dropped(receiver.unprotect_rtcp, clear + bytes(10)) == "replayed"
    clear = clear[:-1] + b"\x06"
    assert dropped(receiver.unprotect_rtcp, clear + bytes(10)) == "bad-tag"


@ALL
def test_the_other_direction_has_other_keys(profile_id):
    sender, _ = pair(profile_id)
    profile = profile_of(profile_id)
    receiver = type(pair(profile_id)[1])(profile_id, bytes(profile.key_length), bytes(profile.salt_length))
    assert dropped(receiver.unprotect, sender.protect(rtp(1))) == "bad-tag"
    assert dropped(receiver.unprotect_rtcp, sender.protect_rtcp(rtcp())) == "bad-tag"


MALFORMED = [
    (b"", "truncated"),
    (b"\x80" * 7, "truncated"),
    (bytes(60), "bad-version"),
    (b"\xc0" + bytes(60), "bad-version"),
]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        *MALFORMED,
        (rtp(1)[:11], "truncated"),
        (b"\x8f" + rtp(1)[1:30], "truncated"),  # 15 CSRCs announced
        (b"\x90" + rtp(1, b"")[1:], "truncated"),  # an extension announced
        (rtp(1, b"", extension=bytes(400))[:60], "truncated"),
    ],
)
@ALL
def test_what_is_no_rtp_is_dropped_on_both_sides(profile_id, packet, reason):
    sender, receiver = pair(profile_id)
    assert dropped(sender.protect, packet) == reason
    assert dropped(receiver.unprotect, packet) == reason


@pytest.mark.parametrize(("packet", "reason"), MALFORMED)
@ALL
def test_what_is_no_rtcp_is_dropped_on_both_sides(profile_id, packet, reason):
    sender, receiver = pair(profile_id)
    assert dropped(sender.protect_rtcp, packet) == reason
    assert dropped(receiver.unprotect_rtcp, packet) == reason


@ALL
def test_a_packet_without_room_for_its_tag_is_truncated(profile_id):
    sender, receiver = pair(profile_id)
    sealed, report = sender.protect(rtp(1, b"")), sender.protect_rtcp(rtcp())
    for size in range(len(sealed)):
        assert dropped(receiver.unprotect, sealed[:size]) == "truncated"
    for size in range(len(report)):
        assert dropped(receiver.unprotect_rtcp, report[:size]) == "truncated"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EVERY_PROFILE), st.binary(max_size=120), st.booleans())
def test_any_bytes_are_dropped(profile_id, data, valid_version):
    _, receiver = pair(profile_id)
    data = b"\x80" + data if valid_version else data
    assert dropped(receiver.unprotect, data) in {"truncated", "bad-version", "bad-tag"}
    assert dropped(receiver.unprotect_rtcp, data) in {"truncated", "bad-version", "bad-tag"}
