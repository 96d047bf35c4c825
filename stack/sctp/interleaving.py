"""Putting messages together whose fragments come interleaved: I-DATA chunks (RFC 8260 section 2)."""

from .wire import FLAG_BEGIN, FLAG_END


class Partial:
    """A message of which some fragments are here.

    Attributes:
        key: Stream, message identifier, U flag.
        run: The first fragments, in order, without a gap.
        beyond: Fragments behind the first gap, by number.
        last: Number of the last fragment, -1 while unknown.
        ppid: Payload protocol identifier, once the first fragment is here.
        size: Bytes of all fragments.
    """

    __slots__ = ("beyond", "key", "last", "ppid", "run", "size")

    def __init__(self, key: tuple[int, int, int]) -> None:
        self.key = key
        self.run: list[bytes] = []
        self.beyond: dict[int, bytes] = {}
        self.last = -1
        self.ppid = 0
        self.size = 0


class Reassembly:
    """Messages that are not complete, by stream, message identifier and whether they are unordered.

    Fragments are found by their own sequence number, so a message is complete whatever the TSNs before it do.

    Args:
        overhead: What each fragment counts for beside its data, bytes.

    Attributes:
        held: Bytes of all fragments, overhead included.
        skipped: Last identifier of an unordered message that was given up, by stream: 65535 at most. Its fragments may
            come later, and nothing would tell of it again.
        current: The message that a fragment was added to last: mostly the next one belongs to it too.
    """

    __slots__ = ("_overhead", "_partials", "current", "held", "skipped")

    def __init__(self, overhead: int) -> None:
        self._overhead = overhead
        self._partials: dict[tuple[int, int, int], Partial] = {}
        self.current: Partial | None = None
        self.skipped: dict[int, int] = {}
        self.held = 0

    def __len__(self) -> int:
        return len(self._partials)

    def add(self, key: tuple[int, int, int], flags: int, word: int, payload: bytes) -> Partial | None:
        """Add a fragment that is not a whole message.

        Args:
            key: Stream, message identifier, U flag.
            flags: Of the chunk.
            word: Payload protocol identifier with the first fragment, fragment sequence number with the others.
            payload: The user data.

        Returns:
            The message so far, or None if the fragment contradicts the others.
        """
        partial = self.current
        if partial is None or partial.key != key:
            partial = self._partials.get(key)
        if flags & FLAG_BEGIN:
            number = 0
        elif word:
            number = word
        else:
            return None
        if partial is None:
            partial = self._partials[key] = Partial(key)
        run, beyond = partial.run, partial.beyond
        if number < len(run) or number in beyond or number > partial.last >= 0:
            return None
        if flags & FLAG_END:
            if partial.last >= 0 or (beyond and max(beyond) > number):
                return None
            partial.last = number
        if number == len(run):
            run.append(payload)
            while beyond and (after := beyond.pop(len(run), None)) is not None:
                run.append(after)
        else:
            beyond[number] = payload
        if not number:
            partial.ppid = word
        size = len(payload)
        partial.size += size
        self.held += size + self._overhead
        self.current = partial
        return partial

    def take(self, partial: Partial) -> bytes:
        """Return a message, all of whose fragments are in its run, and forget it."""
        self._drop(partial)
        return b"".join(partial.run)

    def skip(self, stream_id: int, unordered: int, mid: int) -> None:
        """Forget the messages of a stream up to identifier `mid`.

        Source: RFC 8260 section 2.3.1.
        """
        if unordered:
            self.skipped[stream_id] = mid
        for partial in list(self._partials.values()):
            stream, number, flag = partial.key
            if stream == stream_id and flag == unordered and not mid - number & 0x80000000:
                self._drop(partial)

    def reset(self, stream_ids: set[int]) -> None:
        """Forget the messages of these streams."""
        for stream_id in stream_ids:
            self.skipped.pop(stream_id, None)
        for partial in list(self._partials.values()):
            if partial.key[0] in stream_ids:
                self._drop(partial)

    def _drop(self, partial: Partial) -> None:
        del self._partials[partial.key]
        self.held -= partial.size + self._overhead * (len(partial.run) + len(partial.beyond))
        if self.current is partial:
            self.current = None
