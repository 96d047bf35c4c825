"""Stream reconfiguration: resets of streams and of the association, more streams (RFC 6525)."""

from typing import Final

from ..core import ParseError
from .context import MAX_STREAMS, RECONFIG_TIMER, Context
from .events import OutgoingStreamsReset, StreamsAdded, StreamsReset
from .handshake import Peer
from .inbound import Inbound
from .outbound import Outbound
from .wire import (
    ADD_INCOMING_STREAMS,
    ADD_OUTGOING_STREAMS,
    INCOMING_SSN_RESET,
    OUTGOING_SSN_RESET,
    RESULT_BAD_SEQUENCE,
    RESULT_DENIED,
    RESULT_IN_PROGRESS,
    RESULT_NOTHING_TO_DO,
    RESULT_PERFORMED,
    SSN_TSN_RESET,
    ResetRequest,
    ResetResponse,
    parse_reconfig,
    serialize_reconfig,
    serialize_reset_request,
    serialize_reset_response,
)

MAX_STREAMS_PER_REQUEST: Final = 200  # fits the smallest packet; the other streams follow in the next request
MAX_PARAMETERS_PER_CHUNK: Final = 2  # RFC 6525 section 3.1 allows no more

_MASK: Final = 0xFFFFFFFF


class Reconfig:
    """Requests to the peer and from it, one at a time each way.

    Args:
        context: Shared with the other parts.
        outbound: The sending half.
        inbound: The receiving half.
        local_sequence: First request sequence number: our initial TSN.
        peer: What the handshake agreed on; the peer's first sequence number is its initial TSN.
    """

    __slots__ = (
        "_add",
        "_context",
        "_deferred",
        "_due",
        "_expected",
        "_inbound",
        "_last_result",
        "_next_tsns",
        "_outbound",
        "_performed_late",
        "_request",
        "_retrying",
        "_sequence",
        "_supported",
        "_wanted",
    )

    def __init__(
        self,
        context: Context,
        outbound: Outbound,
        inbound: Inbound,
        local_sequence: int,
        peer: Peer,
    ) -> None:
        self._context = context
        self._outbound = outbound
        self._inbound = inbound
        self._sequence = local_sequence
        self._expected = peer.initial_tsn
        self._supported = peer.reconfig
        self._wanted: dict[int, None] = {}  # streams to reset, in order of asking; stream ids bound it
        self._request: ResetRequest | None = None
        self._due = False
        self._retrying = False  # whether the peer said "in progress"
        self._deferred: ResetRequest | None = None
        self._performed_late: tuple[int, tuple[int, ...]] | None = None
        self._last_result: int | None = None
        self._next_tsns: tuple[int, int] | None = None  # of the last answer to an SSN/TSN reset
        self._add: dict[int, int] = {}  # how many streams to ask for, by kind of the request

    def reset(self, stream_ids: list[int]) -> None:
        """Reset outgoing streams as soon as all they were given has been acknowledged.

        Source: RFC 6525 section 5.1.2.
        """
        for stream_id in stream_ids:
            self._outbound.scheduler.stream(stream_id).resetting = True
            self._wanted[stream_id] = None

    @property
    def asked(self) -> tuple[int, int]:
        """Outgoing and incoming streams that were asked for and are not there yet."""
        request = self._request
        running = {request.kind: request.count} if request is not None else {}
        return (
            self._add.get(ADD_OUTGOING_STREAMS, 0) + running.get(ADD_OUTGOING_STREAMS, 0),
            self._add.get(ADD_INCOMING_STREAMS, 0) + running.get(ADD_INCOMING_STREAMS, 0),
        )

    def add(self, outgoing: int, incoming: int) -> None:
        """Ask for more streams.

        Source: RFC 6525 section 5.1.5 and section 5.1.6.
        """
        for kind, count in ((ADD_OUTGOING_STREAMS, outgoing), (ADD_INCOMING_STREAMS, incoming)):
            if count:
                self._add[kind] = self._add.get(kind, 0) + count

    def restart(self) -> None:
        """The peer has restarted: every stream is as if reset, and nothing that was asked for will be answered."""
        request = self._request
        reset = tuple(request.streams) if request is not None and request.kind == OUTGOING_SSN_RESET else ()
        reset += tuple(self._wanted)
        if reset:
            self._finish(reset, ok=True)

    # Sending

    @property
    def waiting(self) -> bool:
        """Whether something waits for what was sent to be acknowledged."""
        return bool(self._wanted) or self._deferred is not None

    def transmit(self, now: float) -> bytes | None:
        """Return the RE-CONFIG chunk that is due, or None."""
        if self._deferred is not None:
            self._try_deferred()
        if self._wanted and not self._supported:
            self._finish(tuple(self._wanted), ok=False)
            self._wanted.clear()
        if self._add and not self._supported:
            self._add.clear()
            self._added(ok=False)
        if self._request is None and self._add:
            kind, count = self._add.popitem()
            self._request = ResetRequest(kind, self._sequence & _MASK, count=count)
            self._sequence += 1
            self._due = True
        if self._request is None and self._wanted:
            self._start_request()
        if not self._due or self._request is None:
            return None
        self._due = False
        self._context.timers.set(RECONFIG_TIMER, now + self._outbound.rto.rto)
        return serialize_reconfig([serialize_reset_request(self._request)])

    def _start_request(self) -> None:
        outbound = self._outbound
        stream = outbound.scheduler.stream
        ready = [i for i in self._wanted if outbound.stream_drained(stream(i))][:MAX_STREAMS_PER_REQUEST]
        if not ready:
            return
        for stream_id in ready:
            del self._wanted[stream_id]
        self._send_request(tuple(ready))

    def _send_request(self, streams: tuple[int, ...]) -> None:
        last_tsn = self._outbound.next_tsn - 1 & _MASK
        self._request = ResetRequest(
            OUTGOING_SSN_RESET, self._sequence & _MASK, self._expected - 1 & _MASK, last_tsn, streams
        )
        self._sequence += 1
        self._due = True

    def handle_timer(self) -> bool:
        """The re-configuration timer expired; return whether that is an error of the association.

        Source: RFC 6525 section 5.1.1 and section 5.2.7, H2.
        """
        if self._request is None:
            return False
        if self._retrying and self._request.kind == OUTGOING_SSN_RESET:
            # Deviates: H2 repeats the same sequence number. libwebrtc answers a repeated number with the answer it gave
            # before, "in progress" for ever, and itself asks with a new number; every implementation takes a new one.
            self._retrying = False
            self._send_request(self._request.streams)
            return False
        self._outbound.rto.back_off()
        self._due = True
        return True

    # Receiving

    def receive(self, data: bytes, offset: int, end: int) -> None:
        """Process the value of a RE-CONFIG chunk.

        Source: RFC 6525 section 5.2.

        Raises:
            ParseError: If it is malformed, or has more than two parameters (`bad-reconfig`).
        """
        found = parse_reconfig(data, offset, end)
        if len(found) > MAX_PARAMETERS_PER_CHUNK:
            raise ParseError("bad-reconfig", f"{len(found)} parameters")
        requests = [parameter for parameter in found if isinstance(parameter, ResetRequest)]
        answers: list[bytes] = []
        for parameter in found:
            if isinstance(parameter, ResetResponse):
                self._receive_response(parameter)
            else:
                result = self._receive_request(parameter)
                tsns = self._next_tsns if parameter.kind == SSN_TSN_RESET and result == RESULT_PERFORMED else None
                answers.append(serialize_reset_response(ResetResponse(parameter.sequence, result, tsns)))
        if answers:
            # RFC 6525 section 5.2.1: a SACK helps the sender to see what is missing. After an SSN/TSN reset it would
            # speak of TSNs that the peer does not know before it has read the answer.
            self._inbound.sack_now = not any(parameter.kind == SSN_TSN_RESET for parameter in requests)
            self._context.queue(serialize_reconfig(answers))

    def _receive_response(self, response: ResetResponse) -> None:
        request = self._request
        if request is None or response.sequence != request.sequence:
            return  # H1: an answer to nothing that runs
        if response.result == RESULT_IN_PROGRESS:
            self._retrying = True
            return
        self._context.timers.cancel(RECONFIG_TIMER)
        self._request = None
        self._due = self._retrying = False
        ok = response.result in {RESULT_PERFORMED, RESULT_NOTHING_TO_DO}
        if request.kind == OUTGOING_SSN_RESET:
            self._finish(request.streams, ok=ok)
        elif request.kind == ADD_OUTGOING_STREAMS:  # section 5.2.7, H6
            if ok:
                self._outbound.streams = min(self._outbound.streams + request.count, MAX_STREAMS)
            self._added(ok=ok)
        elif not ok:  # if it agrees, the peer asks in turn for what it is to send on, and that is what counts
            self._added(ok=False)

    def _added(self, *, ok: bool) -> None:
        self._context.events.append(StreamsAdded(self._outbound.streams, self._inbound.streams, ok))

    def _finish(self, stream_ids: tuple[int, ...], *, ok: bool) -> None:
        streams = self._outbound.scheduler.streams
        for stream_id in stream_ids:
            stream = streams[stream_id]
            stream.resetting = False
            if ok:
                stream.next_ssn = stream.next_unordered = 0
        self._context.events.append(OutgoingStreamsReset(stream_ids, ok))

    def _receive_request(self, request: ResetRequest) -> int:
        behind = self._expected - request.sequence & _MASK
        if behind == 1 and self._last_result is not None:
            # A retransmission gets the same answer (section 5.2.1), unless what was in progress is done meanwhile.
            if self._deferred is not None:
                self._try_deferred()
            return self._last_result
        if behind:
            return RESULT_BAD_SEQUENCE
        self._expected += 1
        self._last_result = self._perform(request)
        return self._last_result

    def _perform(self, request: ResetRequest) -> int:
        if request.kind == OUTGOING_SSN_RESET:
            if self._deferred is None and self._performed_late == (request.last_tsn, request.streams):
                self._performed_late = None
                return RESULT_PERFORMED  # the retry of one that was answered "in progress" and performed since
            if self._is_ahead(request.last_tsn):
                # Not implemented: holding back later data of these streams (section 5.2.2, E2): by section 5.1.2, A1
                # the peer sends none before our answer.
                self._deferred = request
                return RESULT_IN_PROGRESS
            self._deferred = None
            self._reset_inbound(request.streams)
            return RESULT_PERFORMED
        if request.kind == INCOMING_SSN_RESET:
            known = self._outbound.scheduler.streams
            wanted = [i for i in request.streams or tuple(known) if i in known and not known[i].resetting]
            self.reset(wanted)
            return RESULT_PERFORMED if wanted else RESULT_NOTHING_TO_DO
        if request.kind == ADD_OUTGOING_STREAMS and self._inbound.streams + request.count <= MAX_STREAMS:
            self._inbound.streams += request.count
            self._added(ok=True)
            return RESULT_PERFORMED
        if request.kind == ADD_INCOMING_STREAMS:
            if self._outbound.streams + self.asked[0] + request.count > MAX_STREAMS:
                return RESULT_DENIED
            self.add(request.count, 0)  # section 5.2.6: answered by a request of our own
            return RESULT_PERFORMED
        if request.kind == SSN_TSN_RESET:
            return self._reset_association()
        return RESULT_DENIED

    def _reset_association(self) -> int:
        """Begin all sequence numbers anew, TSNs too.

        Source: RFC 6525 section 5.2.4.
        """
        stream_ids = self._inbound.stream_ids
        receiver_next = self._inbound.reset_tsns()
        self._outbound.restart(self._outbound.next_tsn)
        self._next_tsns = self._outbound.next_tsn & _MASK, receiver_next & _MASK
        self._context.events.append(StreamsReset(stream_ids))
        return RESULT_PERFORMED

    def _is_ahead(self, last_tsn: int) -> bool:
        return 0 < (last_tsn - self._inbound.cumulative_tsn & _MASK) < 0x80000000

    def _try_deferred(self) -> None:
        request = self._deferred
        if request is not None and not self._is_ahead(request.last_tsn):
            self._deferred = None
            self._performed_late = (request.last_tsn, request.streams)
            self._last_result = RESULT_PERFORMED
            self._reset_inbound(request.streams)

    def _reset_inbound(self, streams: tuple[int, ...]) -> None:
        stream_ids = streams or self._inbound.stream_ids
        self._inbound.reset_streams(stream_ids)
        self._context.events.append(StreamsReset(stream_ids))
