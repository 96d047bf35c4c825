"""A batch of packets becomes what its packets become one by one, and leaves the same behind."""

import copy
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import DropPacket
from stack.srtp import Receiver, Sender
from stack.srtp.packet import MIN_RUN, runs
from stack.srtp.receiver import REPLAY_WINDOW
from stack.srtp.sender import REPEAT_WINDOW

from .support import EVERY_PROFILE, SSRC, keys, libsrtp, pair, profile_of, rtp

ALL = pytest.mark.parametrize("profile_id", EVERY_PROFILE, ids=lambda p: profile_of(p).name)
GCM = 0x0007
KINDS = pytest.mark.parametrize(
    ("profile_id", "options"),
    [
        *((profile, {}) for profile in EVERY_PROFILE),
        *(
            (profile, options)
            for profile in (GCM, 0x0001)
            for options in ({"encrypted_extensions": {1}}, {"mki": b"key"})
        ),
    ],
    ids=lambda value: next(iter(value), "plain") if isinstance(value, dict) else profile_of(value).name,
)
OTHER = 0x9ABCDEF0
STRANGE = [b"", b"\x80" * 11, bytes(40), b"\x90" + rtp(1, b"")[1:], rtp(1, b"", extension=bytes(40))[:30]]


def one_by_one(transform, packets):
    out, dropped = [], Counter()
    for packet in packets:
        try:
            out.append(transform(packet))
        except DropPacket as drop:
            dropped[drop.reason] += 1
    return out, dropped


def batch(transform, packets):
    dropped = Counter()
    return transform(packets, dropped), dropped


def forged(packet):
    return packet[:-1] + bytes(byte ^ 1 for byte in packet[-1:])


def state_of(side):
    """What a sender or a receiver remembers."""
    memory = "tags" if isinstance(side, Sender) else "indices"
    return {ssrc: (source.highest, getattr(source, memory)) for ssrc, source in side._sources.items()}


def packet_at(index, ssrc, kind, size):
    payload = index.to_bytes(6, "big") * (size // 6) + bytes(size % 6)
    if kind == "extended":
        return rtp(index, payload, ssrc=ssrc, extension=b"\x10x\x20y")
    if kind == "longer":
        return rtp(index, payload, ssrc=ssrc, extension=b"\x10x\x20y" + bytes(4))
    if kind == "mixed":
        return rtp(index, payload, ssrc=ssrc, csrcs=(1, 2))
    return rtp(index, payload, ssrc=ssrc)


# Stretches of consecutive packets: how far the first one is from what was the last one, how many, whose, of which kind.
stretches = st.lists(
    st.tuples(
        st.one_of(st.just(1), st.integers(-30, 60)),
        st.integers(1, 3 * MIN_RUN),
        st.sampled_from([SSRC, SSRC, OTHER]),
        st.sampled_from(["plain", "plain", "extended", "longer", "mixed"]),
        st.sampled_from([0, 5, 16, 100]),
    ),
    min_size=1,
    max_size=8,
)


def packets_of(walk, start):
    """The packets of stretches; `start` is the index of each source's first one."""
    last, packets = {}, []
    for step, count, ssrc, kind, size in walk:
        first = max(last.get(ssrc, start - step) + step, start - 40)
        packets += [packet_at(first + n, ssrc, kind, size) for n in range(count)]
        last[ssrc] = first + count - 1
    return packets


@KINDS
@settings(max_examples=25, deadline=None)
@given(stretches, st.integers(0xFFC0, 0x10000 - 40), st.lists(st.tuples(st.integers(0, 200), st.sampled_from(STRANGE))))
def test_protecting_a_batch_is_protecting_its_packets(profile_id, options, walk, start, strange):
    packets = packets_of(walk, start)
    for at, packet in strange:
        packets.insert(at, packet)
    single, together = (Sender(profile_id, *keys(profile_id), **options) for _ in range(2))
    expected = one_by_one(single.protect, packets)
    assert batch(together.protect_batch, packets) == expected
    assert state_of(together) == state_of(single)


@KINDS
@settings(max_examples=25, deadline=None)
@given(
    stretches,
    st.integers(0xFFC0, 0x10000 - 40),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["forge", "repeat", "swap", "cut", "strange"]))),
)
def test_unprotecting_a_batch_is_unprotecting_its_packets(profile_id, options, walk, start, harm):
    sender = Sender(profile_id, *keys(profile_id), **options)
    packets, _ = one_by_one(sender.protect, packets_of(walk, start))
    for place, kind in harm:
        at = place % len(packets)
        if kind == "forge":
            packets[at] = forged(packets[at])
        elif kind == "repeat":
            packets.insert(at + 1, packets[at])
        elif kind == "swap":
            packets.insert(0, packets.pop(at))
        elif kind == "cut":
            packets[at] = packets[at][: len(packets[at]) * 2 // 3]
        else:
            packets.insert(at, STRANGE[place % len(STRANGE)])
    single, together = (Receiver(profile_id, *keys(profile_id), **options) for _ in range(2))
    expected = one_by_one(single.unprotect, packets)
    assert batch(together.unprotect_batch, packets) == expected
    assert state_of(together) == state_of(single)


@ALL
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 0xFFFF), st.lists(st.integers(0, 60), min_size=1, max_size=6), st.sampled_from(["plain", "extended"])
)
def test_batches_agree_with_libsrtp(profile_id, start, sizes, kind):
    """Batches behind each other, over the wrap of the sequence number."""
    sender, receiver = pair(profile_id)
    their_sender, their_receiver = libsrtp(profile_id, inbound=False), libsrtp(profile_id, inbound=True)
    index = start
    for size in sizes:
        packets = [packet_at(index + n, SSRC, kind, 90) for n in range(size)]
        index += size
        sealed = [their_sender.protect(packet) for packet in packets]
        assert batch(sender.protect_batch, packets) == (sealed, {})
        assert batch(receiver.unprotect_batch, sealed) == (packets, {})
        assert [their_receiver.unprotect(packet) for packet in sealed] == packets


@ALL
def test_no_keystream_is_used_twice(profile_id):
    """Over the wrap, of two sources, in batches of all sizes, with a retransmission and with the attempt to reuse."""
    sender, _ = pair(profile_id)
    index, keystreams = 0xFFE0, []
    for size in range(1, 3 * MIN_RUN):
        packets = [rtp(index + n, bytes(64), ssrc=ssrc) for ssrc in (SSRC, OTHER) for n in range(size)]
        sealed, dropped = batch(sender.protect_batch, packets)
        assert not dropped
        # All payloads are zeros, so this is the keystream itself.
        keystreams += [packet[at : at + 16] for packet in sealed for at in range(12, 76, 16)]
        again = [rtp(index + n, b"other" * 10) for n in range(size)]
        assert batch(sender.protect_batch, again) == ([], {"reused-index": size})
        assert batch(sender.protect_batch, packets) == (sealed, {})
        index += size
    assert len(set(keystreams)) == len(keystreams)


@ALL
def test_a_forged_packet_in_a_batch_changes_nothing_but_that_it_is_counted(profile_id):
    sender, receiver = pair(profile_id)
    packets = [rtp(n, bytes(50)) for n in range(4 * MIN_RUN)]
    sealed = [sender.protect(packet) for packet in packets]
    receiver.unprotect(sealed[0])
    forgeries = [forged(packet) for packet in sealed]
    before = copy.deepcopy(state_of(receiver))
    assert batch(receiver.unprotect_batch, forgeries[1:]) == ([], {"bad-tag": len(forgeries) - 1})
    assert state_of(receiver) == before
    middle = 2 * MIN_RUN
    mixed = [*sealed[1:middle], forgeries[middle], *sealed[middle + 1 :]]
    assert batch(receiver.unprotect_batch, mixed) == (packets[1:middle] + packets[middle + 1 :], {"bad-tag": 1})
    # It was not taken for the one whose number it bears.
    assert receiver.unprotect(sealed[middle]) == packets[middle]
    assert batch(receiver.unprotect_batch, sealed) == ([], {"replayed": len(sealed)})


def test_the_windows_are_kept_by_batches():
    """Longer ones than either window."""
    count = REPEAT_WINDOW + REPLAY_WINDOW
    sender, receiver = pair(GCM)
    packets = [rtp(n) for n in range(count)]
    sealed, dropped = batch(sender.protect_batch, packets)
    assert (len(sealed), dropped) == (count, {})
    assert batch(sender.protect_batch, packets[:-REPEAT_WINDOW]) == ([], {"reused-index": count - REPEAT_WINDOW})
    assert batch(sender.protect_batch, packets[-REPEAT_WINDOW:]) == (sealed[-REPEAT_WINDOW:], {})
    late = rtp(count + 1), rtp(count)
    assert batch(receiver.unprotect_batch, sealed) == (packets, {})
    assert batch(receiver.unprotect_batch, sealed) == ([], {"replayed": count})
    assert batch(receiver.unprotect_batch, [sender.protect(packet) for packet in late]) == (list(late), {})


def test_a_batch_under_a_new_key():
    sender = Sender(GCM, *keys(GCM), mki=b"1")
    receiver = Receiver(GCM, *keys(GCM), mki=b"1")
    packets = [rtp(n) for n in range(3 * MIN_RUN)]
    assert batch(receiver.unprotect_batch, batch(sender.protect_batch, packets[:MIN_RUN])[0]) == (packets[:MIN_RUN], {})
    other = bytes(16), bytes(12)
    receiver.add_master_key(b"2", *other)
    sender.change_master_key(b"2", *other)
    sealed, _ = batch(sender.protect_batch, packets[MIN_RUN:])
    assert batch(receiver.unprotect_batch, sealed) == (packets[MIN_RUN:], {})


@pytest.mark.parametrize(
    ("packets", "lengths"),
    [
        ([], []),
        ([rtp(n) for n in range(5)], [5]),
        ([rtp(1), rtp(2), rtp(4), rtp(5), rtp(5)], [2, 2, 1]),
        ([rtp(0xFFFE), rtp(0xFFFF), rtp(0), rtp(1)], [2, 2]),
        ([rtp(1), rtp(2, ssrc=OTHER), rtp(3)], [1, 1, 1]),
        ([rtp(n, extension=bytes(8)) for n in range(3)] + [rtp(3, extension=bytes(4)), rtp(4)], [3, 1, 1]),
        ([rtp(n, csrcs=(1,)) for n in range(3)], [1, 1, 1]),  # rare: nothing is said of it
        ([rtp(1, bytes(10)), rtp(2, bytes(9)), rtp(3, bytes(10))], [1, 1, 1]),  # the second one has no room for a tag
        ([rtp(1)[:12], rtp(2)[:15], rtp(3)], [1, 1, 1]),
    ],
)
def test_runs(packets, lengths):
    found = runs(packets, 10 if any(len(packet) == 21 for packet in packets) else 0)
    assert [len(run) for run, *_ in found] == lengths
    assert [packet for run, *_ in found for packet in run] == packets
