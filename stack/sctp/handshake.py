"""Setting an association up: INIT, the state cookie, collisions (RFC 9260 section 5)."""

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from ..core import ParseError, RandomBytes
from .context import T1, Config, Context, State
from .wire import (
    CAUSE_COOKIE_WHILE_SHUTTING_DOWN,
    CAUSE_STALE_COOKIE,
    CAUSE_UNRECOGNIZED_PARAMETERS,
    COOKIE_ACK,
    COOKIE_ECHO,
    EDMID_DTLS,
    EDMID_NONE,
    ERROR,
    FORWARD_TSN,
    HEADER_SIZE,
    I_DATA,
    I_FORWARD_TSN,
    INIT,
    INIT_ACK,
    RE_CONFIG,
    SHUTDOWN_ACK,
    Init,
    join_parameters,
    parse_init,
    serialize_chunk,
    serialize_init,
    serialize_parameter,
)

MAX_COOKIE_SIZE: Final = 1024  # of the peer: it must go back in one packet; those of browsers have 100 to 500 bytes
MAX_REPORTED_PARAMETERS: Final = 256  # bytes of unrecognized parameters echoed in INIT ACK, so that it fits a packet

_EXTENSIONS: Final = bytes((RE_CONFIG, FORWARD_TSN))
_INTERLEAVING: Final = bytes((I_DATA, I_FORWARD_TSN))
_COOKIE: Final = struct.Struct("!dLLLLLLLHHBxxx")
_MAC_SIZE: Final = 32
_FLAG_FORWARD_TSN: Final = 1
_FLAG_RECONFIG: Final = 2
_FLAG_ZERO_CHECKSUM: Final = 4
_FLAG_INTERLEAVING: Final = 8


@dataclass(slots=True)
class Peer:
    """What the handshake agreed on, from the peer's side.

    Attributes:
        tag: Verification tag that the peer wants to receive.
        initial_tsn: Its first TSN.
        a_rwnd: Its receive window, bytes.
        outbound_streams: How many streams it may send on.
        inbound_streams: How many streams we may send on.
        forward_tsn: Whether it supports partial reliability, in the way that goes with `interleaving`.
        reconfig: Whether it supports stream resets.
        zero_checksum: Whether it accepts packets without a checksum inside DTLS.
        interleaving: Whether both ends support I-DATA (RFC 8260), so that it is used.
    """

    tag: int
    initial_tsn: int
    a_rwnd: int
    outbound_streams: int
    inbound_streams: int
    forward_tsn: bool
    reconfig: bool
    zero_checksum: bool = False
    interleaving: bool = False


@dataclass(slots=True)
class Cookie:
    """What the state cookie carries back to us.

    Attributes:
        created: When, seconds of the machine's clock.
        local_tag: Our tag in the INIT ACK.
        local_tsn: Our initial TSN in the INIT ACK.
        local_tie: Our tag of the association that existed then, 0 for none.
        peer_tie: The peer's tag of the association that existed then, 0 for none.
        peer: What the INIT said.
    """

    created: float
    local_tag: int
    local_tsn: int
    local_tie: int
    peer_tie: int
    peer: Peer


def serialize_cookie(cookie: Cookie, key: bytes) -> bytes:
    """Return the state cookie with its MAC.

    Source: RFC 9260 section 5.1.3.
    """
    peer = cookie.peer
    flags = (
        peer.forward_tsn * _FLAG_FORWARD_TSN
        | peer.reconfig * _FLAG_RECONFIG
        | peer.zero_checksum * _FLAG_ZERO_CHECKSUM
        | peer.interleaving * _FLAG_INTERLEAVING
    )
    body = _COOKIE.pack(
        cookie.created,
        cookie.local_tag,
        cookie.local_tsn,
        cookie.local_tie,
        cookie.peer_tie,
        peer.tag,
        peer.initial_tsn,
        peer.a_rwnd,
        peer.outbound_streams,
        peer.inbound_streams,
        flags,
    )
    return body + hmac.digest(key, body, hashlib.sha256)


def parse_cookie(data: bytes, key: bytes) -> Cookie:
    """Return what we once put into a state cookie.

    Source: RFC 9260 section 5.1.5.

    Raises:
        ParseError: `bad-cookie` unless it is ours, unchanged.
    """
    body = data[:-_MAC_SIZE]
    if len(body) != _COOKIE.size or not hmac.compare_digest(data[-_MAC_SIZE:], hmac.digest(key, body, hashlib.sha256)):
        raise ParseError("bad-cookie")
    created, local_tag, local_tsn, local_tie, peer_tie, tag, tsn, a_rwnd, outbound, inbound, flags = _COOKIE.unpack(
        body
    )
    peer = Peer(
        tag,
        tsn,
        a_rwnd,
        outbound,
        inbound,
        forward_tsn=bool(flags & _FLAG_FORWARD_TSN),
        reconfig=bool(flags & _FLAG_RECONFIG),
        zero_checksum=bool(flags & _FLAG_ZERO_CHECKSUM),
        interleaving=bool(flags & _FLAG_INTERLEAVING),
    )
    return Cookie(created, local_tag, local_tsn, local_tie, peer_tie, peer)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What one end of an association begins with, so that it can be told before there is one.

    Attributes:
        tag: Verification tag that it wants to receive.
        initial_tsn: Its first TSN.
    """

    tag: int
    initial_tsn: int

    @classmethod
    def choose(cls, random_bytes: RandomBytes) -> Self:
        """Return one at random (RFC 9260 section 5.3.1)."""
        return cls(int.from_bytes(random_bytes(4), "big") or 1, int.from_bytes(random_bytes(4), "big"))

    def init(self, config: Config) -> Init:
        """Return the INIT of an association with these settings."""
        return Init(
            self.tag,
            config.a_rwnd,
            config.outbound_streams,
            config.inbound_streams,
            self.initial_tsn,
            forward_tsn=True,
            extensions=_EXTENSIONS + _INTERLEAVING if config.interleaving else _EXTENSIONS,
            zero_checksum=EDMID_DTLS if config.zero_checksum else EDMID_NONE,
        )


class PeerRestarted(Exception):  # noqa: N818  an instruction to the association
    """A valid cookie says that the peer has lost its state (RFC 9260 section 5.2.4, action A).

    Args:
        cookie: It.
    """

    def __init__(self, cookie: Cookie) -> None:
        super().__init__()
        self.cookie = cookie


class Handshake:
    """The exchange of INIT and cookies for one association.

    Args:
        context: Shared with the other parts.
        agreed: Called with the peer's parameters when an INIT ACK has told them.
        established: Called with them when the association comes up.
        beginning: Tag and TSN to use, if they were chosen before.

    Attributes:
        local_tag: Verification tag that we want to receive.
        local_tsn: Our initial TSN.
        peer_tag: The peer's verification tag, 0 while unknown.
    """

    __slots__ = (
        "_agreed",
        "_attempts",
        "_context",
        "_established",
        "_key",
        "_peer",
        "_pending",
        "_rto",
        "_told",
        "due",
        "local_tag",
        "local_tsn",
        "peer_tag",
    )

    def __init__(
        self,
        context: Context,
        agreed: Callable[[Peer], None],
        established: Callable[[Peer], None],
        beginning: Beginning | None = None,
    ) -> None:
        self._context = context
        self._agreed = agreed
        self._established = established
        self._key = context.random_bytes(32)
        begin = beginning or Beginning.choose(context.random_bytes)
        self.local_tag, self.local_tsn = begin.tag, begin.initial_tsn
        self.peer_tag = 0
        self._peer: Peer | None = None
        self._pending = b""  # INIT or COOKIE ECHO, as it is sent again
        self.due = False
        self._attempts = 0
        self._rto = context.config.rto_initial
        self._told = False  # whether the peer's INIT came by other means

    def _local_init(self, tag: int, tsn: int) -> Init:
        return Beginning(tag, tsn).init(self._context.config)

    def skip(self, remote: Init) -> None:
        """Take the association for set up: each side was told the other's INIT by other means.

        Source: draft-hancke-tsvwg-snap-00 section 6.
        """
        self._told = True
        self._establish(self._peer_of(remote))

    def start(self) -> None:
        """Send INIT.

        Source: RFC 9260 section 5.1 A.
        """
        self._context.enter(State.COOKIE_WAIT)
        init = serialize_init(self._local_init(self.local_tag, self.local_tsn))
        self._begin(serialize_chunk(INIT, 0, init))

    def _begin(self, chunk: bytes) -> None:
        self._pending = chunk
        self.due = True
        self._attempts = 0
        self._rto = self._context.config.rto_initial

    def transmit(self, now: float) -> bool:
        """Send what is due of INIT or COOKIE ECHO, and start T1; return whether data may go with it.

        Source: RFC 9260 section 5.1, A and C.
        """
        if not self.due:
            return False
        self.due = False
        self._context.timers.set(T1, now + self._rto)
        if self._context.state is State.COOKIE_ECHOED:
            self._context.writer.flush()  # COOKIE ECHO is the first chunk of its packet
            self._context.writer.add(self._pending)
            return True
        # RFC 9260 section 3.1: INIT has verification tag 0 and is alone in its packet.
        self._context.alone.append((self._pending, 0))
        return False

    @property
    def repeated(self) -> bool:
        """Whether what was sent last was sent before."""
        return self._attempts > 0

    def handle_t1(self) -> bool:
        """T1 expired: try again; return whether that was too often.

        Source: RFC 9260 section 5.1 and section 8.1 (Max.Init.Retransmits).
        """
        self._attempts += 1
        self._rto = min(self._rto * 2, self._context.config.rto_max)
        self.due = True
        return self._attempts > self._context.config.max_init_retransmits

    # Chunks

    def receive_init(self, data: bytes, offset: int, end: int, now: float) -> None:
        """Answer an INIT by an INIT ACK; no state is kept but in the cookie.

        Source: RFC 9260 section 5.1 B, section 5.2.1 and section 5.2.2.

        Raises:
            ParseError: If it is malformed.
        """
        context = self._context
        init = parse_init(data, offset, end)
        if context.state is State.SHUTDOWN_ACK_SENT:  # RFC 9260 section 9.2
            context.queue(serialize_chunk(SHUTDOWN_ACK, 0))
            return
        local_tag, local_tsn, local_tie, peer_tie = self.local_tag, self.local_tsn, 0, 0
        # A peer that sends the INIT that we were told was not told ours. It has lost nothing: this counts as the first.
        repeats = self._told and init.initiate_tag == self.peer_tag
        if context.state not in {State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED} and not repeats:
            local_tie, peer_tie = local_tag, self.peer_tag
            begin = Beginning.choose(context.random_bytes)
            local_tag, local_tsn = begin.tag, begin.initial_tsn
        cookie = Cookie(now, local_tag, local_tsn, local_tie, peer_tie, self._peer_of(init))
        answer = self._local_init(local_tag, local_tsn)
        if not init.zero_checksum:
            # Pion's SCTP before 1.8.9 refuses an INIT ACK with a parameter that it does not know, although RFC 9260
            # section 3.2.1 has it skipped. Who did not offer this one would not use it.
            answer.zero_checksum = EDMID_NONE
        answer.cookie = serialize_cookie(cookie, self._key)
        answer.unrecognized = _reported(init)
        context.queue_alone(serialize_chunk(INIT_ACK, 0, serialize_init(answer)), init.initiate_tag)

    def receive_init_ack(self, data: bytes, offset: int, end: int) -> None:
        """Send the cookie back.

        Source: RFC 9260 section 5.1 C.

        Raises:
            ParseError: `unexpected-chunk` outside COOKIE-WAIT, or if it is malformed.
        """
        if self._context.state is not State.COOKIE_WAIT:
            raise ParseError("unexpected-chunk", "INIT ACK")
        init = parse_init(data, offset, end)
        if not init.cookie:
            raise ParseError("missing-cookie")
        if len(init.cookie) > min(MAX_COOKIE_SIZE, self._context.config.max_packet_size - 16):
            raise ParseError("cookie-too-long")
        self._peer = self._peer_of(init)
        self.peer_tag = init.initiate_tag
        self._context.writer.set_tag(self.peer_tag)
        self._context.enter(State.COOKIE_ECHOED)
        self._agreed(self._peer)
        echo = serialize_chunk(COOKIE_ECHO, 0, init.cookie)
        if reported := _reported(init):  # section 3.2.2
            cause = serialize_parameter(CAUSE_UNRECOGNIZED_PARAMETERS, join_parameters(reported))
            error = serialize_chunk(ERROR, 0, cause)
            if len(echo) + len(error) <= self._context.config.max_packet_size - HEADER_SIZE:
                echo += error
        self._begin(echo)

    def receive_cookie_ack(self) -> None:
        """The peer accepted our cookie.

        Source: RFC 9260 section 5.1 E and section 5.2.5.

        Raises:
            ParseError: `unexpected-chunk` outside COOKIE-ECHOED.
        """
        if self._context.state is not State.COOKIE_ECHOED or self._peer is None:
            raise ParseError("unexpected-chunk", "COOKIE ACK")
        self._establish(self._peer)

    def receive_cookie_echo(self, data: bytes, offset: int, end: int, tag: int, now: float) -> None:
        """Take an association out of a cookie.

        Source: RFC 9260 section 5.1.5 and section 5.2.4.

        Raises:
            ParseError: `bad-cookie`, `stale-cookie`, `late-cookie`.
            PeerRestarted: If the peer has lost its state.
        """
        cookie = parse_cookie(data[offset:end], self._key)
        peer, context = cookie.peer, self._context
        if tag != cookie.local_tag:
            raise ParseError("bad-cookie", "verification tag")
        ours, theirs = cookie.local_tag == self.local_tag, peer.tag == self.peer_tag
        if now - cookie.created > context.config.cookie_lifetime and not (ours and theirs):
            late = min(int((now - cookie.created - context.config.cookie_lifetime) * 1e6), 0xFFFFFFFF)
            cause = serialize_parameter(CAUSE_STALE_COOKIE, late.to_bytes(4, "big"))
            context.queue_alone(serialize_chunk(ERROR, 0, cause), peer.tag)
            raise ParseError("stale-cookie")
        setting_up = context.state in {State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED}
        if ours:  # actions B and D, or no association yet
            if setting_up:
                self._establish(peer)
            elif not theirs:  # action B: it chose another tag, not knowing that it had told us one
                self.peer_tag = peer.tag
                context.writer.set_tag(peer.tag)
            context.queue(serialize_chunk(COOKIE_ACK, 0))
        elif not ours and theirs and not cookie.local_tie and not cookie.peer_tie:  # action C
            raise ParseError("late-cookie")
        elif not ours and not theirs and (cookie.local_tie, cookie.peer_tie) == (self.local_tag, self.peer_tag):
            if context.state is State.SHUTDOWN_ACK_SENT:
                context.queue(serialize_chunk(SHUTDOWN_ACK, 0))
                cause = serialize_parameter(CAUSE_COOKIE_WHILE_SHUTTING_DOWN)
                context.queue(serialize_chunk(ERROR, 0, cause))
                raise ParseError("late-cookie", "shutting down")
            raise PeerRestarted(cookie)  # action A
        else:
            raise ParseError("bad-cookie", "no case of section 5.2.4")

    def restart(self, cookie: Cookie) -> None:
        """Take the tags and TSNs of a peer that has lost its state, and acknowledge its cookie.

        Source: RFC 9260 section 5.2.4, action A.
        """
        self.local_tag, self.local_tsn = cookie.local_tag, cookie.local_tsn
        self._establish(cookie.peer)
        self._context.queue(serialize_chunk(COOKIE_ACK, 0))

    def _establish(self, peer: Peer) -> None:
        self._context.timers.cancel(T1)
        self.due = False
        self._pending = b""
        self._peer = peer
        self.peer_tag = peer.tag
        self._context.writer.set_tag(peer.tag)
        # RFC 9653 section 5.2: the peer accepts it, and we are where its method holds.
        self._context.writer.zero_checksum = peer.zero_checksum and self._context.config.zero_checksum
        self._context.enter(State.ESTABLISHED)
        self._established(peer)

    def _peer_of(self, init: Init) -> Peer:
        interleaving = self._context.config.interleaving and I_DATA in init.extensions
        return Peer(
            init.initiate_tag,
            init.initial_tsn,
            init.a_rwnd,
            init.outbound_streams,
            init.inbound_streams,
            # RFC 8260 section 2.3.1: I-FORWARD-TSN goes with I-DATA, and FORWARD-TSN with DATA.
            forward_tsn=I_FORWARD_TSN in init.extensions if interleaving else init.forward_tsn,
            reconfig=RE_CONFIG in init.extensions,
            zero_checksum=init.zero_checksum == EDMID_DTLS,
            interleaving=interleaving,
        )


def _reported(init: Init) -> tuple[bytes, ...]:
    """Return the unrecognized parameters to report, as many as there is room for (RFC 9260 section 3.2.1)."""
    room = MAX_REPORTED_PARAMETERS
    reported: list[bytes] = []
    for whole in init.unrecognized:
        room -= len(whole) + 8
        if room < 0:
            break
        reported.append(whole)
    return tuple(reported)
