"""Queues of what is to be sent, one per stream, and the choice of which message is next."""

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Final

MAX_SEND_BUFFER: Final = 16 * 1024 * 1024
"""Bytes that may wait to be sent for the first time: what browsers allow before `send` throws OperationError."""

MAX_QUEUED_MESSAGES: Final = 65536
"""Messages that may wait: without it, the buffer full of one-byte messages would take gigabytes of objects."""

DEFAULT_PRIORITY: Final = 256  # "normal" of RFC 8831 section 6.4


class OutboundStream:
    """One outgoing stream.

    Attributes:
        id: Stream identifier.
        next_ssn: Stream sequence number of the next ordered message; with I-DATA its message identifier.
        next_unordered: Message identifier of the next unordered message; with I-DATA only.
        queue: Messages not begun yet.
        replaceable: Those of them that were sent with a key, by key; None while there was none.
        current: The message of which some fragments, not all, have been sent.
        buffered: Bytes not sent for the first time yet.
        finish: Virtual time at which the stream has had its share.
        scheduled: Whether it stands in the scheduler's heap.
        resetting: Whether a reset is wanted or under way.
        last_tsn: Last TSN that was given to it, -1 before the first.
    """

    __slots__ = (
        "buffered",
        "current",
        "finish",
        "id",
        "last_tsn",
        "next_ssn",
        "next_unordered",
        "queue",
        "replaceable",
        "resetting",
        "scheduled",
    )

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.next_ssn = 0
        self.next_unordered = 0
        self.queue: deque[Message] = deque()
        self.replaceable: dict[Hashable, Message] | None = None
        self.current: Message | None = None
        self.buffered = 0
        self.finish = 0.0
        self.scheduled = False
        self.resetting = False
        self.last_tsn = -1


class Message:
    """A user message on its way out.

    Attributes:
        stream: Its stream.
        ppid: Payload protocol identifier.
        data: The bytes.
        ordered: Whether it has a stream sequence number.
        max_retransmits: How often a fragment may be sent again, or None (RFC 7496 section 3.2).
        expires: When it is worth nothing any more, or None (RFC 7496 section 3.1).
        priority: Weight of its stream while it is chosen.
        replace_key: What a later message may replace it by while it waits, or None.
        offset: Bytes sent so far.
        fragment: Fragment sequence number of the next fragment; with I-DATA only.
        ssn: Stream sequence number, or message identifier; set when its first fragment is sent.
        first_tsn: TSN of its first fragment.
        last_tsn: TSN of its last fragment so far.
        abandoned: Whether it was given up (RFC 3758 section 3.5).
    """

    __slots__ = (
        "abandoned",
        "data",
        "expires",
        "first_tsn",
        "fragment",
        "last_tsn",
        "max_retransmits",
        "offset",
        "ordered",
        "ppid",
        "priority",
        "replace_key",
        "ssn",
        "stream",
    )

    def __init__(
        self,
        stream: OutboundStream,
        ppid: int,
        data: bytes,
        ordered: bool = True,
        max_retransmits: int | None = None,
        expires: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        replace_key: Hashable = None,
    ) -> None:
        self.stream = stream
        self.ppid = ppid
        self.data = data
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.expires = expires
        self.priority = priority
        self.replace_key = replace_key
        self.offset = 0
        self.fragment = 0
        self.ssn = 0
        self.first_tsn = -1
        self.last_tsn = -1
        self.abandoned = False


class Scheduler:
    """Chooses messages, or with interleaving fragments, by weighted fair queueing between streams.

    A stream that begins to send starts at the present virtual time, so that it is next, whatever the others have
    queued. What it sends moves its own time on, by bytes over weight, and the earliest is chosen. Without interleaving
    a message is sent whole (RFC 9260 section 6.9): a small one waits for one message of a bulk stream at most. With it,
    a small one waits for one packet.

    Attributes:
        streams: Streams by id.
        buffered: Bytes not sent for the first time yet, over all streams.
        queued: Messages not begun yet.
        ready: Streams that have something to send, as a heap; empty is false.
        expired: Messages whose lifetime ended before they were begun.

    Source: RFC 8260 section 3.6; the weights are those of RFC 8831 section 6.4.
    """

    __slots__ = ("_order", "_virtual", "buffered", "expired", "queued", "ready", "streams")

    def __init__(self) -> None:
        self.streams: dict[int, OutboundStream] = {}
        self.buffered = 0
        self.queued = 0
        self.expired = 0
        self.ready: list[tuple[float, int, OutboundStream]] = []
        self._virtual = 0.0
        self._order = 0

    def stream(self, stream_id: int) -> OutboundStream:
        """Return the stream, made if it is new."""
        stream = self.streams.get(stream_id)
        if stream is None:
            stream = self.streams[stream_id] = OutboundStream(stream_id)
        return stream

    def has_room(self, size: int) -> bool:
        """Tell whether a message of `size` bytes can be queued."""
        return self.buffered + size <= MAX_SEND_BUFFER and self.queued < MAX_QUEUED_MESSAGES

    def has_room_instead(self, old: Message, size: int) -> bool:
        """Tell whether a message of `size` bytes can take the place of a waiting one."""
        return self.buffered - len(old.data) + size <= MAX_SEND_BUFFER

    def waiting(self, stream_id: int, replace_key: Hashable) -> Message | None:
        """Return the message of the stream that one with this key would replace, or None."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.replaceable is None:
            return None
        return stream.replaceable.get(replace_key)

    def push(self, message: Message) -> None:
        """Queue a message at the end of its stream."""
        stream = message.stream
        size = len(message.data)
        stream.queue.append(message)
        stream.buffered += size
        self.buffered += size
        self.queued += 1
        if message.replace_key is not None:
            if stream.replaceable is None:
                stream.replaceable = {}
            stream.replaceable[message.replace_key] = message
        if not stream.scheduled:
            self._schedule(stream, self._virtual if self._virtual > stream.finish else stream.finish)

    def replace(self, old: Message, new: Message) -> None:
        """Let `new`, of the same stream and key, take the place of `old`, which has not begun to leave."""
        growth = len(new.data) - len(old.data)
        old.stream.buffered += growth
        self.buffered += growth
        old.ppid, old.data, old.ordered = new.ppid, new.data, new.ordered
        old.max_retransmits, old.expires, old.priority = new.max_retransmits, new.expires, new.priority

    def _schedule(self, stream: OutboundStream, start: float) -> None:
        stream.scheduled = True
        self._order += 1
        heapq.heappush(self.ready, (start, self._order, stream))

    def next(self, now: float) -> Message | None:
        """Take the next message to send from, or None. What expired in its queue is forgotten.

        Call `paid` when something of it was sent.

        Source: RFC 3758 section 3.5, A1.
        """
        heap = self.ready
        while heap:
            start, _, stream = heapq.heappop(heap)
            stream.scheduled = False
            self._virtual = stream.finish = start
            if stream.current is not None:
                return stream.current
            queue = stream.queue
            while queue:
                message = queue.popleft()
                self.queued -= 1
                if message.replace_key is not None and stream.replaceable is not None:
                    stream.replaceable.pop(message.replace_key, None)
                if message.expires is None or now <= message.expires:
                    return message
                self.sent(stream, len(message.data))
                self.expired += 1
        return None

    def paid(self, message: Message, size: int) -> None:
        """Let the stream of a message taken by `next` pay for `size` bytes, and wait for its next turn."""
        stream = message.stream
        stream.finish += size / message.priority
        if (stream.queue or stream.current is not None) and not stream.scheduled:
            self._schedule(stream, stream.finish)

    def begin_again(self, stream: OutboundStream) -> None:
        """Let the message of which some fragments were sent be the next of its stream, as if none had been."""
        message = stream.current
        if message is None:
            return
        stream.current = None
        self.sent(stream, -message.offset)
        message.offset = message.fragment = 0
        message.first_tsn = message.last_tsn = -1
        stream.queue.appendleft(message)
        self.queued += 1
        if not stream.scheduled:
            self._schedule(stream, stream.finish)

    def sent(self, stream: OutboundStream, size: int) -> None:
        """Take that `size` bytes of the stream were sent for the first time, or given up."""
        stream.buffered -= size
        self.buffered -= size

    def sent_whole(self, message: Message) -> None:
        """Do what `sent` and `paid` do, for a message taken by `next` that is sent whole."""
        stream, size = message.stream, len(message.data)
        stream.buffered -= size
        self.buffered -= size
        stream.finish += size / message.priority
        if stream.queue and not stream.scheduled:
            self._schedule(stream, stream.finish)

    def refuse(self, first_refused: int) -> int:
        """Forget the streams from id `first_refused` on, which were not granted; return the number of messages."""
        lost = 0
        for stream_id in [i for i in self.streams if i >= first_refused]:
            stream = self.streams.pop(stream_id)
            lost += len(stream.queue)
            self.queued -= len(stream.queue)
            self.buffered -= stream.buffered
            stream.queue.clear()
            stream.replaceable = None
            stream.buffered = 0
        return lost
