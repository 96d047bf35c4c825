"""A STUN server that shows how NATs behave: RFC 5780 section 6."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..core import Address, Datagram, LocalError, Machine, ParseError, PeerError
from .behavior import CHANGE_REQUEST, PADDING, RESPONSE_PORT, wishes_of
from .limiter import BURST, RATE, Limiter
from .long_term import Authenticated, Authenticator
from .message import BINDING, Class, Message
from .server import error_response

MAX_PADDING: Final = 1500
"""Bytes of PADDING in a response: the MTU of an Ethernet, so that the response comes in two fragments."""
MAX_PENDING: Final = 1024
"""Responses between two drains: more than one wakeup of a socket can bring."""


@dataclass(slots=True)
class ServerClosed:
    """The server answers nobody any more; the last event.

    Args:
        error: Always None: nobody but `close` ends a server.
    """

    error: PeerError | None = None


class BindingServer(Machine[Datagram, Datagram, ServerClosed]):
    """Answers Binding requests on up to four combinations of two addresses and two ports.

    A response goes to nobody but the host that the request came from. It has a small fixed size, which PADDING extends
    to the size of the request at most; how many of them one source gets is limited.

    Args:
        primary: A1 and P1, where people ask first.
        alternate: A2 and P2, with another host and another port; None for a server that has one address only. The
            shell then also has sockets at A1:P2 and A2:P1.
        public_hosts: The addresses that clients see, by the ones of our sockets, behind a NAT that maps one to one.
        software: Value of SOFTWARE, none if empty.
        rate: Responses per second for one source in the long run.
        burst: Responses at once for one source.
        authenticator: Wants long-term credentials from everybody; None wants none.

    Raises:
        LocalError: The addresses are the same host or the same port, or one is of IPv4 and the other of IPv6.
    """

    def __init__(
        self,
        primary: Address,
        alternate: Address | None = None,
        *,
        public_hosts: Mapping[str, str] | None = None,
        software: str = "",
        rate: float = RATE,
        burst: float = BURST,
        authenticator: Authenticator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= rate < float("inf") or not 1 <= burst < float("inf"):
            raise LocalError("rate is at least 0, burst at least 1")
        self._hosts = {primary.host: primary.host}
        self._ports = {primary.port: primary.port}
        if alternate is not None:
            if alternate.host == primary.host or alternate.port == primary.port:
                raise LocalError("the alternate address needs another host and another port")
            if (":" in alternate.host) != (":" in primary.host):
                raise LocalError("both addresses are of IPv4 or both of IPv6")
            self._hosts = {primary.host: alternate.host, alternate.host: primary.host}
            self._ports = {primary.port: alternate.port, alternate.port: primary.port}
        self._has_alternate = alternate is not None
        self._public = dict(public_hosts or {})
        self._software = software or None
        self._authenticator = authenticator
        self._limiter = Limiter(rate, burst)
        self._outgoing: list[Datagram] = []
        self._closed = False

    @property
    def addresses(self) -> list[Address]:
        """Where the server wants sockets: one address, or all four combinations, the primary one first."""
        return [Address(host, port) for host in self._hosts for port in self._ports]

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Answer a request; `datagram.local` says at which address it came."""
        now = self._clamp(now)
        reason = self._refusal(datagram, now)
        if reason is None:
            try:
                message = Message.parse(datagram.data)
            except ParseError as error:
                reason = error.reason
            else:
                reason = self._receive(message, datagram, now)
        if reason is not None:
            self.dropped[reason] += 1

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due: a Binding leaves no state behind."""
        self._clamp(now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return the responses, each with the address it leaves from."""
        self._clamp(now)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def close(self, now: float) -> None:
        """Stop answering; at once."""
        self._clamp(now)
        if not self._closed:
            self._closed = True
            self._outgoing = []
            self._events.append(ServerClosed())

    def _refusal(self, datagram: Datagram, now: float) -> str | None:
        """Return why a datagram is not even looked at."""
        if self._closed:
            return "closed"
        if not datagram.remote.port:
            return "no-port"  # nothing can be sent there
        if len(self._outgoing) >= MAX_PENDING:
            return "queue-full"
        return None if self._limiter.allows(datagram.remote.host, now) else "rate-limited"

    def _receive(self, request: Message, datagram: Datagram, now: float) -> str | None:
        """Answer; return why not."""
        if request.method != BINDING or request.message_class is not Class.REQUEST:
            return "not-a-request"
        local, remote = datagram.local, datagram.remote
        protection: Authenticated | None = None
        if self._authenticator is not None:
            verdict = self._authenticator.authenticate(request, remote, now)
            if not isinstance(verdict, Authenticated):
                refusal = error_response(request, verdict.code)
                if verdict.challenge:
                    self._authenticator.challenge(refusal, remote, now)
                self._send(refusal, request, None, local, remote)
                return None
            protection = verdict
        supported = self._supported(local)
        if not supported.issuperset(request.unknown_comprehension_required):
            request.unknown_comprehension_required[:] = [
                unknown for unknown in request.unknown_comprehension_required if unknown not in supported
            ]
            self._send(error_response(request, 420), request, protection, local, remote)
            return None
        try:
            wishes = wishes_of(request)
        except ParseError:
            self._send(error_response(request, 400), request, protection, local, remote)
            return None
        origin = Address(
            self._hosts.get(local.host, local.host) if wishes.change_ip else local.host,
            self._ports.get(local.port, local.port) if wishes.change_port else local.port,
            local.transport,
        )
        response = self._success(request, remote, local, origin)
        if wishes.padding is not None:
            self._pad(response, request, protection, wishes.padding, len(datagram.data))
        destination = remote if wishes.response_port is None else remote._replace(port=wishes.response_port)
        self._send(response, request, protection, origin, destination)
        return None

    def _supported(self, local: Address) -> frozenset[int]:
        """Return the attributes of RFC 5780 that can be served where a request came in."""
        if local.transport != "udp":  # RFC 8489 section 6.2.2: no connection is opened towards a client
            return frozenset()
        if self._alternate_of(local) is None:
            return frozenset((RESPONSE_PORT, PADDING))
        return frozenset((CHANGE_REQUEST, RESPONSE_PORT, PADDING))

    def _alternate_of(self, local: Address) -> Address | None:
        """Return the combination with the other host and the other port."""
        if not self._has_alternate or local.host not in self._hosts or local.port not in self._ports:
            return None
        return Address(self._hosts[local.host], self._ports[local.port], local.transport)

    def _success(self, request: Message, remote: Address, local: Address, origin: Address) -> Message:
        other = self._alternate_of(local)
        # RFC 5780 section 6.1 wants both forms of the mapped address, and RESPONSE-ORIGIN and OTHER-ADDRESS always.
        return Message(
            BINDING,
            Class.SUCCESS,
            request.transaction_id,
            xor_mapped_address=remote,
            mapped_address=remote,
            response_origin=None if _is_wildcard(origin.host) else self._seen(origin),
            other_address=None if other is None else self._seen(other),
        )

    def _seen(self, address: Address) -> Address:
        return address._replace(host=self._public.get(address.host, address.host))

    def _pad(
        self, response: Message, request: Message, protection: Authenticated | None, padding: int, size: int
    ) -> None:
        # Deviates: RFC 5780 section 6.1 has the MTU as the length whatever the request has. Then 24 bytes with a
        # forged source would send 1500 to somebody else; here PADDING never makes a response longer than its request.
        room = size - len(self._serialize(response, request, protection)) - 4
        response.attributes[PADDING] = bytes(max(0, min(padding, MAX_PADDING, room)) & ~3)

    def _send(
        self, response: Message, request: Message, protection: Authenticated | None, local: Address, remote: Address
    ) -> None:
        self._outgoing.append(Datagram(self._serialize(response, request, protection), remote, local))

    def _serialize(self, response: Message, request: Message, protection: Authenticated | None) -> bytes:
        response.software = self._software
        return response.serialize(
            key=protection.key if protection else None,
            sha256=protection is not None and protection.sha256,
            fingerprint=request.has_fingerprint,
        )


def _is_wildcard(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
