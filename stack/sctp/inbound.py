"""The receiving half: TSNs, reassembly, delivery order, SACKs.

Data that arrives in order, which is nearly all, goes straight into the message being assembled. What arrives beyond a
gap waits in a store by TSN; runs of fragments that touch are joined by their ends, so that a message that is complete
beyond the gap is found without a search (other streams must not wait for the gap).
"""

import struct
from bisect import bisect_left
from typing import Final

from .context import AbortAssociation, Context
from .events import MessageReceived
from .interleaving import Reassembly
from .wire import (
    CAUSE_INVALID_STREAM,
    CAUSE_NO_USER_DATA,
    CAUSE_OUT_OF_RESOURCE,
    CAUSE_PROTOCOL_VIOLATION,
    DATA_BODY,
    ERROR,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    I_DATA_BODY,
    SACK,
    SACK_CHUNK,
    SACK_HEADER_SIZE,
    serialize_chunk,
    serialize_parameter,
)

MAX_TSN_AHEAD: Final = 65535  # a gap ack block cannot say more (RFC 9260 section 3.3.4)
MAX_GAP_BLOCKS: Final = 256  # per SACK: fits the smallest packet we send; the lowest blocks matter most
MAX_DUPLICATES: Final = 16  # per SACK: they are only a hint to the sender
ITEM_OVERHEAD: Final = 64
"""Bytes that each kept chunk or message counts for beside its data, about what the object costs: the window alone would
allow millions of one-byte messages."""

_unpack_data = DATA_BODY.unpack_from
_unpack_i_data = I_DATA_BODY.unpack_from
_WHOLE: Final = FLAG_BEGIN | FLAG_END
_MASK: Final = 0xFFFFFFFF


class _Fragment:
    """A DATA chunk beyond a gap."""

    __slots__ = ("flags", "payload", "ppid", "ssn", "stream_id")

    def __init__(self, flags: int, stream_id: int, ssn: int, ppid: int, payload: bytes) -> None:
        self.flags = flags
        self.stream_id = stream_id
        self.ssn = ssn
        self.ppid = ppid
        self.payload = payload


class _InboundStream:
    """Delivery order of one stream: the next sequence number, and whole messages that wait for their turn."""

    __slots__ = ("next_ssn", "waiting")

    def __init__(self) -> None:
        self.next_ssn = 0
        self.waiting: dict[int, tuple[int, bytes]] = {}


class Inbound:
    """Everything between DATA chunks and messages.

    Args:
        context: Shared with the other parts.
        initial_tsn: The peer's first TSN.
        streams: Stream ids below this may arrive.
        interleaving: Whether I-DATA was agreed on instead of DATA (RFC 8260).

    Attributes:
        cumulative_tsn: All up to here has arrived; never wraps.
        unacknowledged_packets: Packets with DATA since the last SACK.
        sack_now: Whether the next drain must send a SACK.
        held: Bytes kept: fragments, messages out of turn, and messages not taken yet; not those of unfinished messages
            of I-DATA.
        streams: Stream ids below this may arrive.
    """

    __slots__ = (
        "_advertised",
        "_context",
        "_dropped",
        "_duplicates",
        "_ends",
        "_events",
        "_limit",
        "_limit_behind_gap",
        "_mask",
        "_max_blocks",
        "_max_message_size",
        "_partial",
        "_partial_key",
        "_partial_ppid",
        "_partial_size",
        "_reassembly",
        "_run_ends",
        "_run_starts",
        "_starts",
        "_stats",
        "_store",
        "_streams",
        "cumulative_tsn",
        "held",
        "interleaving",
        "sack_now",
        "streams",
        "unacknowledged_packets",
    )

    def __init__(self, context: Context, initial_tsn: int, streams: int, *, interleaving: bool = False) -> None:
        config = context.config
        self._context = context
        self._limit = config.a_rwnd
        self._max_message_size = config.max_message_size
        self._max_blocks = min(MAX_GAP_BLOCKS, (config.max_packet_size - 12 - SACK_HEADER_SIZE) // 4 - MAX_DUPLICATES)
        # Whatever waits behind a gap, the message that fills it must fit too, or both would wait for ever.
        self._limit_behind_gap = self._limit - config.max_message_size
        self._events = context.events
        self._dropped = context.dropped
        self._stats = context.stats
        self.streams = streams
        self.interleaving = interleaving
        self._mask = _MASK if interleaving else 0xFFFF  # of sequence numbers, which I-DATA calls message identifiers
        self._reassembly = Reassembly(ITEM_OVERHEAD)
        self.cumulative_tsn = initial_tsn - 1
        self.unacknowledged_packets = 0
        self.sack_now = False
        self.held = 0
        self._advertised = self._limit
        self._duplicates: list[int] = []
        self._streams: dict[int, _InboundStream] = {}
        # The message that is being assembled at the cumulative TSN.
        self._partial: list[bytes] | None = None
        self._partial_key = (0, 0, 0)  # stream, ssn, unordered flag
        self._partial_ppid = 0
        self._partial_size = 0
        # Beyond the gap: fragments by TSN, gap blocks as sorted starts with ends, runs of fragments by both ends.
        self._store: dict[int, _Fragment] = {}
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._run_starts: dict[int, int] = {}
        self._run_ends: dict[int, int] = {}

    @property
    def has_gap(self) -> bool:
        """Whether something arrived beyond the cumulative TSN."""
        return bool(self._starts)

    @property
    def stream_ids(self) -> tuple[int, ...]:
        """Streams on which something arrived since they were reset."""
        return tuple(self._streams)

    # DATA

    def receive_data(self, data: bytes, offset: int, end: int, flags: int) -> None:
        """Process the value of a DATA chunk, `data[offset:end]`.

        Source: RFC 9260 section 6.2 and section 6.9.

        Raises:
            AbortAssociation: For an empty DATA chunk, or a message longer than was agreed.
        """
        size = end - offset - 12
        if size <= 0:
            if size < 0:
                self._dropped["truncated"] += 1
                return
            raise AbortAssociation("no-user-data", CAUSE_NO_USER_DATA, data[offset : offset + 4])
        tsn, stream_id, ssn, ppid = _unpack_data(data, offset)
        ahead = tsn - self.cumulative_tsn & _MASK
        if flags & FLAG_IMMEDIATE:
            self.sack_now = True
        if ahead == 1:
            if self.held > self._limit:
                self._refuse("receive-window-full")
                return
            if stream_id >= self.streams:
                self._refuse_stream(stream_id)
            else:
                self._append(flags, stream_id, ssn, ppid, data[offset + 12 : end])
            self.cumulative_tsn += 1
            if self._starts:
                self.sack_now = True
                self._absorb()
            return
        self.sack_now = True
        if not ahead or ahead & 0x80000000 or self._is_stored(self.cumulative_tsn + ahead):
            self._duplicate(tsn)
        elif ahead > MAX_TSN_AHEAD:
            self._refuse("tsn-out-of-range")
        elif self.held + size + ITEM_OVERHEAD > self._limit_behind_gap:
            self._refuse("receive-window-full")
        else:
            fragment = _Fragment(flags, stream_id, ssn, ppid, data[offset + 12 : end])
            self._store_fragment(self.cumulative_tsn + ahead, fragment)

    def receive_i_data(self, data: bytes, offset: int, end: int, flags: int) -> None:
        """Process the value of an I-DATA chunk, `data[offset:end]`.

        Source: RFC 8260 section 2.2.3.

        Raises:
            AbortAssociation: For an empty chunk, a message longer than was agreed, or too many unfinished messages.
        """
        size = end - offset - 16
        if size < 0:
            self._dropped["truncated"] += 1
            return
        if not size:
            raise AbortAssociation("no-user-data", CAUSE_NO_USER_DATA, data[offset : offset + 4])
        tsn, stream_id, _, mid, word = _unpack_i_data(data, offset)
        ahead = tsn - self.cumulative_tsn & _MASK
        if flags & FLAG_IMMEDIATE:
            self.sack_now = True
        if ahead == 1:
            if self.held > self._limit or (self._reassembly.held > self._limit and self.window < 0):
                if self._reassembly.held > self._limit:
                    # The peer has begun more messages than both windows hold: none of them could end.
                    raise AbortAssociation("out-of-resource", CAUSE_OUT_OF_RESOURCE)
                self._refuse("receive-window-full")
                return
            self.cumulative_tsn += 1
            if self._starts:
                self.sack_now = True
                self._absorb()
        else:
            self.sack_now = True
            if not ahead or ahead & 0x80000000 or self._is_stored(self.cumulative_tsn + ahead):
                self._duplicate(tsn)
                return
            if ahead > MAX_TSN_AHEAD:
                self._refuse("tsn-out-of-range")
                return
            if self.window < size + ITEM_OVERHEAD + self._max_message_size:
                self._refuse("receive-window-full")
                return
            self._add_to_gap_blocks(self.cumulative_tsn + ahead)
        if stream_id >= self.streams:
            self._refuse_stream(stream_id)
        elif flags & _WHOLE == _WHOLE:
            self.held += size
            self._complete(flags, stream_id, mid, word, data[offset + 16 : end])
        else:
            self._reassemble(flags, stream_id, mid, word, data[offset + 16 : end])

    def _reassemble(self, flags: int, stream_id: int, mid: int, word: int, payload: bytes) -> None:
        unordered, partial = flags & FLAG_UNORDERED, self._reassembly.current
        if (
            partial is not None
            and partial.last < 0
            and word == len(partial.run)
            and not partial.beyond
            and not flags & _WHOLE
            and partial.key == (stream_id, mid, unordered)
        ):  # what nearly all are: the next one of the same message, and not its last
            size = len(payload)
            partial.run.append(payload)
            partial.size += size
            self._reassembly.held += size + ITEM_OVERHEAD
            if partial.size <= self._max_message_size:
                return
            raise AbortAssociation("message-too-long", CAUSE_PROTOCOL_VIOLATION)
        stream = self._streams.get(stream_id)
        first = stream.next_ssn if stream is not None else mid
        if unordered:
            first = self._reassembly.skipped.get(stream_id, mid - 1) + 1
        if mid - first & 0x80000000:
            self._dropped["old-ssn"] += 1  # of a message that was skipped
            return
        partial = self._reassembly.add((stream_id, mid, unordered), flags, word, payload)
        if partial is None:
            self._dropped["bad-fragment"] += 1
        elif partial.size > self._max_message_size:
            raise AbortAssociation("message-too-long", CAUSE_PROTOCOL_VIOLATION)
        elif 0 <= partial.last == len(partial.run) - 1:
            data = self._reassembly.take(partial)
            self.held += len(data)
            self._complete(flags, stream_id, mid, partial.ppid, data)

    @property
    def window(self) -> int:
        """Bytes left of the receive window; unfinished messages have another one, so that their ends find this open."""
        beyond = self._reassembly.held - self._limit
        return self._limit - self.held - (beyond if beyond > 0 else 0)

    def _duplicate(self, tsn: int) -> None:
        self._dropped["duplicate-tsn"] += 1
        if len(self._duplicates) < MAX_DUPLICATES:
            self._duplicates.append(tsn)

    def _refuse(self, reason: str) -> None:
        self.sack_now = True
        self._dropped[reason] += 1

    def _refuse_stream(self, stream_id: int) -> None:
        """Report a stream that does not exist; its TSN counts as received (RFC 9260 section 6.5)."""
        self._dropped["invalid-stream"] += 1
        cause = serialize_parameter(CAUSE_INVALID_STREAM, struct.pack("!HH", stream_id, 0))
        self._context.queue(serialize_chunk(ERROR, 0, cause))

    def _append(self, flags: int, stream_id: int, ssn: int, ppid: int, payload: bytes) -> None:
        """Take the chunk at the cumulative TSN into the message being assembled."""
        partial = self._partial
        size = len(payload)
        if flags & FLAG_BEGIN:
            if partial is not None:
                self._drop_partial()
                self._dropped["message-without-end"] += 1
            if flags & FLAG_END:
                self.held += size
                self._complete(flags, stream_id, ssn, ppid, payload)
                return
            self._partial = [payload]
            self._partial_key = (stream_id, ssn, flags & FLAG_UNORDERED)
            self._partial_ppid = ppid
            self._partial_size = size
            self.held += size
            return
        if partial is None or self._partial_key != (stream_id, ssn, flags & FLAG_UNORDERED):
            self._dropped["fragment-without-begin"] += 1
            return
        partial.append(payload)
        self.held += size
        self._partial_size += size
        if self._partial_size > self._max_message_size:
            raise AbortAssociation("message-too-long", CAUSE_PROTOCOL_VIOLATION)
        if flags & FLAG_END:
            self._partial = None
            self._complete(flags, stream_id, ssn, self._partial_ppid, b"".join(partial))

    def _drop_partial(self) -> None:
        if self._partial is not None:
            self._partial = None
            self.held -= self._partial_size

    def _complete(self, flags: int, stream_id: int, ssn: int, ppid: int, data: bytes) -> None:
        """Deliver a whole message, or keep it until its turn. Its bytes are in `held`.

        Source: RFC 9260 section 6.6.
        """
        if len(data) > self._max_message_size:
            raise AbortAssociation("message-too-long", CAUSE_PROTOCOL_VIOLATION)
        if flags & FLAG_UNORDERED:
            self._deliver(stream_id, ppid, data)
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _InboundStream()
        if ssn == stream.next_ssn:
            stream.next_ssn = ssn + 1 & self._mask
            self._deliver(stream_id, ppid, data)
            if stream.waiting:
                self._deliver_waiting(stream_id, stream)
        elif ssn in stream.waiting or not self._is_later(ssn, stream.next_ssn):
            self.held -= len(data)
            self._dropped["old-ssn"] += 1
        else:
            stream.waiting[ssn] = (ppid, data)
            self.held += ITEM_OVERHEAD

    def _is_later(self, ssn: int, other: int) -> bool:
        return 0 < (ssn - other & self._mask) <= self._mask >> 1

    def _deliver(self, stream_id: int, ppid: int, data: bytes) -> None:
        self.held += ITEM_OVERHEAD
        self._stats.messages_received += 1
        self._events.append(MessageReceived(stream_id, ppid, data))

    def _deliver_waiting(self, stream_id: int, stream: _InboundStream) -> None:
        waiting = stream.waiting
        while waiting:
            message = waiting.pop(stream.next_ssn, None)
            if message is None:
                return
            stream.next_ssn = stream.next_ssn + 1 & self._mask
            self.held -= ITEM_OVERHEAD
            self._deliver(stream_id, *message)

    def taken(self, size: int) -> bool:
        """Take that the application took a message of `size` bytes; return whether the peer must hear of the room."""
        self.held -= size + ITEM_OVERHEAD
        return self._advertised * 2 < self._limit <= self.window * 2

    # Beyond a gap

    def _is_stored(self, tsn: int) -> bool:
        """Tell whether `tsn` is in a gap block."""
        index = bisect_left(self._starts, tsn + 1) - 1
        return index >= 0 and tsn <= self._ends[index]

    def _store_fragment(self, tsn: int, fragment: _Fragment) -> None:
        self._add_to_gap_blocks(tsn)
        if fragment.stream_id >= self.streams:
            self._refuse_stream(fragment.stream_id)
            return
        store = self._store
        store[tsn] = fragment
        self.held += len(fragment.payload) + ITEM_OVERHEAD
        start = end = tsn
        if not fragment.flags & FLAG_BEGIN:
            before = store.get(tsn - 1)
            if before is not None and not before.flags & FLAG_END:
                start = self._run_ends.pop(tsn - 1)
                del self._run_starts[start]
        if not fragment.flags & FLAG_END:
            after = store.get(tsn + 1)
            if after is not None and not after.flags & FLAG_BEGIN:
                end = self._run_starts.pop(tsn + 1)
                del self._run_ends[end]
        if store[start].flags & FLAG_BEGIN and store[end].flags & FLAG_END:
            self._complete_run(start, end)
        else:
            self._run_starts[start] = end
            self._run_ends[end] = start

    def _complete_run(self, start: int, end: int) -> None:
        pop = self._store.pop
        fragments = [pop(tsn) for tsn in range(start, end + 1)]
        first = fragments[0]
        self.held -= ITEM_OVERHEAD * len(fragments)
        key = (first.stream_id, first.ssn, first.flags & FLAG_UNORDERED)
        if any((f.stream_id, f.ssn, f.flags & FLAG_UNORDERED) != key for f in fragments):
            self.held -= sum(len(f.payload) for f in fragments)
            self._dropped["fragment-without-begin"] += 1
            return
        data = first.payload if start == end else b"".join([f.payload for f in fragments])
        self._complete(first.flags, first.stream_id, first.ssn, first.ppid, data)

    def _add_to_gap_blocks(self, tsn: int) -> None:
        starts, ends = self._starts, self._ends
        if ends and tsn == ends[-1] + 1:  # the next one after the highest: what happens behind a single loss
            ends[-1] = tsn
            return
        index = bisect_left(starts, tsn)
        joins_left = index > 0 and ends[index - 1] == tsn - 1
        joins_right = index < len(starts) and starts[index] == tsn + 1
        if joins_left and joins_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif joins_left:
            ends[index - 1] = tsn
        elif joins_right:
            starts[index] = tsn
        else:
            starts.insert(index, tsn)
            ends.insert(index, tsn)

    def _absorb(self) -> None:
        """Take in the first gap block if the cumulative TSN has reached it."""
        if self._starts[0] != self.cumulative_tsn + 1:
            return
        start, end = self._starts.pop(0), self._ends.pop(0)
        pop = self._store.pop
        for tsn in range(start, end + 1):
            fragment = pop(tsn, None)
            if fragment is not None:
                run_end = self._run_starts.pop(tsn, None)
                if run_end is not None:
                    del self._run_ends[run_end]
                self.held -= len(fragment.payload) + ITEM_OVERHEAD
                self._append(fragment.flags, fragment.stream_id, fragment.ssn, fragment.ppid, fragment.payload)
        self.cumulative_tsn = end

    # FORWARD-TSN and resets

    def receive_forward_tsn(self, new_cumulative_tsn: int, skipped: list[tuple[int, int]]) -> None:
        """Skip what the peer gave up.

        Source: RFC 3758 section 3.6.

        Raises:
            AbortAssociation: If a message that this completes is too long.
        """
        if not self._forward(new_cumulative_tsn):
            return
        for stream_id, ssn in skipped:
            self._skip(stream_id, ssn)
        if self._starts:
            self._absorb()

    def receive_i_forward_tsn(self, new_cumulative_tsn: int, skipped: list[tuple[int, bool, int]]) -> None:
        """Skip what the peer gave up: stream, whether unordered, message identifier (RFC 8260 section 2.3.1)."""
        if not self._forward(new_cumulative_tsn):
            return
        for stream_id, unordered, mid in skipped:
            self._reassembly.skip(stream_id, unordered * FLAG_UNORDERED, mid)
            if not unordered:
                self._skip(stream_id, mid)
        if self._starts:
            self._absorb()

    def _forward(self, new_cumulative_tsn: int) -> bool:
        """Move the cumulative TSN; return False for an old one, which only a SACK answers (RFC 3758 section 3.6)."""
        ahead = new_cumulative_tsn - self.cumulative_tsn & _MASK
        self.sack_now = True
        if not ahead or ahead & 0x80000000:
            return False
        self._drop_partial()
        self._forget_up_to(self.cumulative_tsn + ahead)
        self.cumulative_tsn += ahead
        return True

    def _skip(self, stream_id: int, ssn: int) -> None:
        if stream_id >= self.streams:
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _InboundStream()
        if ssn == stream.next_ssn or self._is_later(ssn, stream.next_ssn):
            self._skip_to(stream_id, stream, ssn + 1 & self._mask)

    def _skip_to(self, stream_id: int, stream: _InboundStream, ssn: int) -> None:
        """Deliver what waits before `ssn`, in order, and go on from there."""
        if stream.waiting:
            base, mask = stream.next_ssn, self._mask
            span = ssn - base & mask
            for earlier in sorted((s for s in stream.waiting if s - base & mask < span), key=lambda s: s - base & mask):
                self.held -= ITEM_OVERHEAD
                self._deliver(stream_id, *stream.waiting.pop(earlier))
        stream.next_ssn = ssn
        self._deliver_waiting(stream_id, stream)

    def _forget_up_to(self, target: int) -> None:
        """Drop stored fragments and gap blocks up to `target`, that one included."""
        starts, ends = self._starts, self._ends
        while starts and starts[0] <= target:
            start, end = starts.pop(0), ends.pop(0)
            stop = min(end, target)
            for tsn in range(start, stop + 1):
                fragment = self._store.pop(tsn, None)
                if fragment is None:
                    continue
                self.held -= len(fragment.payload) + ITEM_OVERHEAD
                run_end = self._run_starts.pop(tsn, None)
                if run_end is not None:
                    del self._run_ends[run_end]
                    if run_end > stop:  # the run goes on beyond the target
                        self._run_starts[stop + 1] = run_end
                        self._run_ends[run_end] = stop + 1
            if end > target:
                starts.insert(0, target + 1)
                ends.insert(0, end)

    def reset_streams(self, stream_ids: tuple[int, ...]) -> None:
        """Expect sequence number 0 next on these streams.

        Source: RFC 6525 section 5.2.2, E3.
        """
        self._reassembly.reset(set(stream_ids))
        for stream_id in stream_ids:
            stream = self._streams.pop(stream_id, None)
            if stream is not None:
                self.held -= sum(len(data) + ITEM_OVERHEAD for _, data in stream.waiting.values())

    def reset_tsns(self) -> int:
        """Expect 0 next on every stream; return the next TSN (RFC 6525 section 5.2.4, G1, G4 and G5)."""
        self._drop_partial()
        self._forget_up_to(self.cumulative_tsn + MAX_TSN_AHEAD)
        self.reset_streams(self.stream_ids)
        self._reassembly = Reassembly(ITEM_OVERHEAD)
        self._duplicates.clear()
        self.unacknowledged_packets = 0
        self.cumulative_tsn += 1 << 31
        return self.cumulative_tsn + 1

    # SACK

    def sack(self) -> bytes:
        """Build the SACK chunk for what has arrived so far, and forget that it was due.

        Source: RFC 9260 section 3.3.4 and section 6.2.
        """
        self.unacknowledged_packets = 0
        self.sack_now = False
        window = self.window
        self._advertised = window = window if window > 0 else 0
        cumulative = self.cumulative_tsn
        if not self._starts and not self._duplicates:
            return SACK_CHUNK.pack(SACK, 0, SACK_HEADER_SIZE, cumulative & _MASK, window, 0, 0)
        blocks: list[int] = []
        for start, end in zip(self._starts[: self._max_blocks], self._ends, strict=False):
            blocks += (start - cumulative, end - cumulative)
        duplicates, self._duplicates = self._duplicates, []
        count = len(blocks) // 2
        length = SACK_HEADER_SIZE + 4 * (count + len(duplicates))
        return (
            SACK_CHUNK.pack(SACK, 0, length, cumulative & _MASK, window, count, len(duplicates))
            + struct.pack(f"!{len(blocks)}H", *blocks)
            + struct.pack(f"!{len(duplicates)}L", *duplicates)
        )
