"""Queues of what is to be sent, one per stream, and the choice of which message is next."""

import heapq
from collections import deque
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
        next_ssn: Stream sequence number of the next ordered message.
        queue: Messages not begun yet.
        buffered: Bytes not sent for the first time yet.
        finish: Virtual time at which the stream has had its share.
        scheduled: Whether it stands in the scheduler's heap.
        resetting: Whether a reset is wanted or under way.
        last_tsn: Last TSN that was given to it, -1 before the first.
    """

    __slots__ = ("buffered", "finish", "id", "last_tsn", "next_ssn", "queue", "resetting", "scheduled")

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.next_ssn = 0
        self.queue: deque[Message] = deque()
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
        offset: Bytes sent so far.
        ssn: Stream sequence number; set when its first fragment is sent.
        first_tsn: TSN of its first fragment.
        abandoned: Whether it was given up (RFC 3758 section 3.5).
    """

    __slots__ = (
        "abandoned",
        "data",
        "expires",
        "first_tsn",
        "max_retransmits",
        "offset",
        "ordered",
        "ppid",
        "priority",
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
    ) -> None:
        self.stream = stream
        self.ppid = ppid
        self.data = data
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.expires = expires
        self.priority = priority
        self.offset = 0
        self.ssn = 0
        self.first_tsn = -1
        self.abandoned = False


class Scheduler:
    """Chooses messages by weighted fair queueing between streams.

    Messages are never interleaved on the wire (RFC 9260 section 6.9), but between two messages every stream that has
    something gets its share by priority: a small message waits for one message of a bulk stream, not for its queue.

    Attributes:
        streams: Streams by id.
        buffered: Bytes not sent for the first time yet, over all streams.
        queued: Messages not begun yet.
        expired: Messages whose lifetime ended before they were begun.

    Source: RFC 8260 section 3.6 describes the same choice for interleaved messages; RFC 8831 section 6.4 the weights.
    """

    __slots__ = ("_heap", "_order", "_virtual", "buffered", "expired", "queued", "streams")

    def __init__(self) -> None:
        self.streams: dict[int, OutboundStream] = {}
        self.buffered = 0
        self.queued = 0
        self.expired = 0
        self._heap: list[tuple[float, int, OutboundStream]] = []
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

    def push(self, message: Message) -> None:
        """Queue a message at the end of its stream."""
        stream = message.stream
        size = len(message.data)
        stream.queue.append(message)
        stream.buffered += size
        self.buffered += size
        self.queued += 1
        if not stream.scheduled:
            self._schedule(stream, max(self._virtual, stream.finish))

    def _schedule(self, stream: OutboundStream, start: float) -> None:
        stream.scheduled = True
        self._order += 1
        heapq.heappush(self._heap, (start, self._order, stream))

    def next(self, now: float) -> Message | None:
        """Take the next message, or None. What expired in its queue is forgotten (RFC 3758 section 3.5 A1)."""
        heap = self._heap
        while heap:
            start, _, stream = heapq.heappop(heap)
            stream.scheduled = False
            self._virtual = start
            queue = stream.queue
            while queue:
                message = queue.popleft()
                self.queued -= 1
                size = len(message.data)
                if message.expires is not None and now > message.expires:
                    stream.buffered -= size
                    self.buffered -= size
                    self.expired += 1
                    continue
                stream.finish = start + size / message.priority
                if queue:
                    self._schedule(stream, stream.finish)
                return message
        return None

    def sent(self, stream: OutboundStream, size: int) -> None:
        """Take that `size` bytes of the stream were sent for the first time, or given up."""
        stream.buffered -= size
        self.buffered -= size

    def refuse(self, first_refused: int) -> int:
        """Forget the streams from id `first_refused` on, which were not granted; return the number of messages."""
        lost = 0
        for stream_id in [i for i in self.streams if i >= first_refused]:
            stream = self.streams.pop(stream_id)
            lost += len(stream.queue)
            self.queued -= len(stream.queue)
            self.buffered -= stream.buffered
            stream.queue.clear()
            stream.buffered = 0
        return lost

    def __bool__(self) -> bool:
        return bool(self._heap)
