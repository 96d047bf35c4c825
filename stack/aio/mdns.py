"""Names instead of private addresses: `.local` names of ICE candidates (draft-ietf-mmusic-mdns-ice-candidates).

A page in a browser does not tell its private addresses, it publishes a random name for each by multicast DNS
(RFC 6762). `Resolver` looks up the peer's names and publishes ours. Its sockets are opened by the first name.

Only what this takes is here: a name of one label that is a UUID, its address, no services. A library for all of
multicast DNS remembers whatever a network talks about and publishes services only, not a bare address.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import re
import socket
import sys
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ..core import LocalError, ParseError
from .interfaces import AddressPolicy, LocalAddress, local_addresses
from .mdns_wire import AAAA, ANY, A, Message, Question, Record, parse, query, response

logger = logging.getLogger(__name__)

PORT: Final = 5353  # RFC 6762 section 3, like the groups
GROUPS: Final = {4: "224.0.0.251", 6: "ff02::fb"}

RESOLVE_TIMEOUT: Final = 5.0
"""Seconds until a name is given up."""

QUERY_TIMES: Final = (0.0, 0.25, 1.0, 3.0)
"""Seconds after which a question is (again) asked: wireless networks lose much of what is multicast. Closer together
than RFC 6762 section 5.2 has it (1 s) only the first time, for a call setup waits for it."""

RECORD_TTL: Final = 120
"""Seconds that our addresses hold: RFC 6762 section 10."""

LEGACY_TTL: Final = 10
"""The same for those who do not speak multicast DNS: RFC 6762 section 6.7."""

ANNOUNCE_TIMES: Final = (0.0, 1.0)
"""Seconds: RFC 6762 section 8.3, two of them and one second apart."""

# Deviates: RFC 6762 section 6 has 1 s, and counts announcements. Only the peer asks for a random name, right after it
# was published, and a call setup waits for the answer: a lost one must not cost a second.
MULTICAST_INTERVAL: Final = 0.2
"""Seconds in which a record is multicast once at most in answer to questions, on each link."""

MAX_PORTS: Final = 16
"""Sockets, one per interface and family."""

MAX_PUBLISHED: Final = 32
"""Names that we publish, as many as addresses are used."""

MAX_LOOKUPS: Final = 32
"""Names looked up at once: a peer has few addresses, and a page could send any number of names."""

MAX_LOOKUPS_PER_MINUTE: Final = 120
"""Lookups begun: a peer must not make us flood our network."""

MAX_CACHED: Final = 128
"""Names whose address is remembered."""

MAX_REPLIES_PER_SECOND: Final = 50
"""Answers sent: others must not make us flood the network either."""

MAX_READS: Final = 32
"""System calls per wakeup; what is left comes with the next turn of the loop."""

_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
_NAME: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local")


def is_candidate_name(name: str) -> bool:
    """Tell whether a name is one that candidates have: a UUID and `.local`, nothing that somebody gave a machine."""
    return _NAME.fullmatch(name.lower()) is not None


class _Port:
    """A multicast socket on one interface.

    Args:
        loop: Watches it.
        address: One of the interface's, of the family.
        on_packet: Called with this, what arrived and from where.
    """

    __slots__ = ("_group", "_loop", "_on_packet", "_sent", "_sock", "interface")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: LocalAddress,
        on_packet: Callable[["_Port", bytes, Any], None],
    ) -> None:
        self._loop, self._on_packet, self.interface = loop, on_packet, address.interface
        self._sent: dict[str, float] = {}
        version = 6 if ":" in address.host else 4
        self._sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._group: Any = (GROUPS[version], PORT)
            if version == 4:
                self._join_4(address.host)
            else:
                self._join_6(socket.if_nametoindex(address.interface))
        except OSError:
            self._sock.close()
            raise
        loop.add_reader(self._sock, self._on_readable)

    def _join_4(self, host: str) -> None:
        set_option, own = self._sock.setsockopt, socket.inet_aton(host)
        if sys.platform == "linux":
            set_option(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)  # else it hears what other sockets have joined
        set_option(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        set_option(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        set_option(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        # Bound to the group, it never hears what comes from beyond the link (RFC 6762 section 11). Windows cannot.
        self._sock.bind(("" if os.name == "nt" else GROUPS[4], PORT))
        set_option(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUPS[4]) + own)

    def _join_6(self, index: int) -> None:
        set_option, number = self._sock.setsockopt, index.to_bytes(4, sys.byteorder)
        self._group = (GROUPS[6], PORT, 0, index)
        if sys.platform == "linux":
            set_option(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        set_option(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_option(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        set_option(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        set_option(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        self._sock.bind(("", PORT) if os.name == "nt" else self._group)
        membership = socket.inet_pton(socket.AF_INET6, GROUPS[6]) + number
        set_option(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)

    def _on_readable(self) -> None:
        for _ in range(MAX_READS):
            try:
                data, source = self._sock.recvfrom(65536)
            except OSError:  # empty, or an error about something sent earlier
                return
            self._on_packet(self, data, source)

    def multicast(self, data: bytes) -> None:
        """Send to all on the link."""
        self.send(data, self._group)

    def may_multicast(self, name: str, now: float) -> bool:
        """Tell, and remember, whether a record may be multicast again."""
        if now - self._sent.get(name, -MULTICAST_INTERVAL) < MULTICAST_INTERVAL:
            return False
        self._sent[name] = now
        return True

    def forget(self, name: str) -> None:
        """Drop what is remembered about a name that is not published any more."""
        self._sent.pop(name, None)

    def send(self, data: bytes, target: Any) -> None:
        """Send to one, or to the group. What does not leave is lost, as anything multicast may be."""
        with suppress(OSError):
            self._sock.sendto(data, target)

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()


@dataclass(slots=True)
class _Lookup:
    found: "asyncio.Future[list[str]]"
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    waiting: int = 0


class Resolver:
    """Looks up and publishes names of candidates.

    Args:
        addresses: Where to listen; `local_addresses` with loopback by default.
        loop: The loop; the running one by default.
        random_bytes: Source of names.

    Attributes:
        dropped: Packets, names and lookups that came to nothing, by reason.
    """

    def __init__(
        self,
        addresses: Sequence[LocalAddress] | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._addresses, self._random_bytes = addresses, random_bytes
        self.dropped: Counter[str] = Counter()
        self._ports: list[_Port] = []
        self._opened = self._closed = False
        self._published: dict[str, str] = {}  # names to addresses
        self._announcing: dict[str, list[asyncio.TimerHandle]] = {}
        self._lookups: dict[str, _Lookup] = {}
        self._begun: deque[float] = deque()
        self._cache: dict[str, tuple[list[str], float]] = {}
        self._replies, self._replies_since = 0, 0.0

    # -- sockets -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        if self._addresses is None:
            self._addresses = local_addresses(AddressPolicy(use_loopback="always"))
        joined: set[tuple[str, bool]] = set()
        for address in self._addresses:
            key = (address.interface, ":" in address.host)
            if key in joined or len(joined) >= MAX_PORTS:
                continue
            try:
                self._ports.append(_Port(self._loop, address, self._on_packet))
            except OSError as error:
                self.dropped[errno.errorcode.get(error.errno or 0, "os-error")] += 1
                logger.info("no multicast DNS on %s: %s", address.interface, error)
                continue
            joined.add(key)

    def rejoin(self, addresses: Sequence[LocalAddress]) -> None:
        """Go on with other interfaces, after the network has changed; names stay, those of lost addresses end."""
        if self._closed:
            return
        was_open, self._opened = self._opened, False
        self._addresses = list(addresses)
        self._close_ports()
        hosts = {address.host for address in addresses}
        for name in [name for name, host in self._published.items() if host not in hosts]:
            self._forget(name)
        if was_open:
            self._open()
            for name in self._published:
                self._announce(name)

    def _close_ports(self) -> None:
        for port in self._ports:
            port.close()
        self._ports.clear()

    # -- ours --------------------------------------------------------------------------------------------------

    def publish(self, host: str) -> str:
        """Publish an address of ours and return its name, the same one for the same address; without waiting.

        Raises:
            LocalError: Closed, no IP address, or too many.
        """
        host = _canonical(host)
        if self._closed:
            raise LocalError("closed")
        for name, other in self._published.items():
            if other == host:
                return name
        if len(self._published) >= MAX_PUBLISHED:
            raise LocalError("too many names")
        name = f"{uuid.UUID(bytes=self._random_bytes(16), version=4)}.local"
        self._published[name] = host
        self._open()
        self._announce(name)
        return name

    def unpublish(self, name: str) -> None:
        """Take a name back."""
        if name in self._published:
            self._multicast(name, 0)
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._published[name]
        for timer in self._announcing.pop(name, ()):
            timer.cancel()
        for port in self._ports:
            port.forget(name)

    def _announce(self, name: str) -> None:
        for timer in self._announcing.pop(name, ()):
            timer.cancel()
        self._announcing[name] = [
            self._loop.call_later(delay, self._multicast, name, RECORD_TTL) for delay in ANNOUNCE_TIMES
        ]

    def _multicast(self, name: str, ttl: int) -> None:
        data = response([Record(name, self._published[name], ttl)])
        for port in self._ports:
            if self._belongs(name, port):
                port.multicast(data)

    def _belongs(self, name: str, port: _Port) -> bool:
        """Tell whether a name is told on a link: that of its address, for elsewhere it is nobody's business."""
        host = self._published[name]
        interfaces = {address.interface for address in self._addresses or () if address.host == host}
        return not interfaces or port.interface in interfaces

    # -- theirs ------------------------------------------------------------------------------------------------

    async def resolve(self, name: str, timeout: float = RESOLVE_TIMEOUT) -> list[str]:  # noqa: ASYNC109  part of the API
        """Return the address of a peer's name; empty if there is none, it is ambiguous or no name of a candidate.

        Args:
            name: For example `1f4712db-ea17-4bcf-a596-105139dfd8bf.local`.
            timeout: Seconds to wait.
        """
        name = name.lower()
        if not is_candidate_name(name):
            self.dropped["bad-name"] += 1
            return []
        known = self._known(name)
        if known is not None:
            return list(known)
        lookup = self._lookups.get(name) or self._begin(name)
        if lookup is None:
            return []
        lookup.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                return list(await asyncio.shield(lookup.found))
        except TimeoutError:
            self.dropped["no-answer"] += 1
            return []
        finally:
            lookup.waiting -= 1
            if not lookup.waiting and self._lookups.get(name) is lookup:
                self._end(name, [])

    def _known(self, name: str) -> list[str] | None:
        if name in self._published:
            return [self._published[name]]
        hosts, until = self._cache.get(name, ([], 0.0))
        return hosts if until > self._loop.time() else None

    def _begin(self, name: str) -> _Lookup | None:
        now = self._loop.time()
        while self._begun and self._begun[0] <= now - 60:
            self._begun.popleft()
        if self._closed or len(self._lookups) >= MAX_LOOKUPS or len(self._begun) >= MAX_LOOKUPS_PER_MINUTE:
            self.dropped["closed" if self._closed else "too-many-lookups"] += 1
            return None
        self._open()
        if not self._ports:
            self.dropped["no-multicast"] += 1
            return None
        self._begun.append(now)
        lookup = self._lookups[name] = _Lookup(self._loop.create_future())
        lookup.timers = [self._loop.call_later(delay, self._ask, name) for delay in QUERY_TIMES]
        return lookup

    def _ask(self, name: str) -> None:
        data = query(name)
        for port in self._ports:
            port.multicast(data)

    def _end(self, name: str, hosts: list[str]) -> None:
        lookup = self._lookups.pop(name, None)
        if lookup is None:
            return
        for timer in lookup.timers:
            timer.cancel()
        if not lookup.found.done():
            lookup.found.set_result(hosts)

    # -- the wire ----------------------------------------------------------------------------------------------

    def _on_packet(self, port: _Port, data: bytes, source: Any) -> None:
        try:
            message = parse(data)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        if not message.is_response:
            self._answer(port, message, source)
        elif source[1] != PORT:  # RFC 6762 section 6
            self.dropped["bad-source-port"] += 1
        else:
            self._learn(message.records)

    def _learn(self, records: Iterable[Record]) -> None:
        found: dict[str, list[Record]] = {}
        for record in records:
            if record.name in self._lookups or record.name in self._cache:  # nothing that nobody asked for
                found.setdefault(record.name, []).append(record)
        for name, group in found.items():
            hosts = sorted({record.host for record in group if record.ttl})
            self._cache.pop(name, None)
            if len(hosts) > 1:
                self.dropped["ambiguous-name"] += 1
                self._end(name, [])
            elif hosts:
                if len(self._cache) >= MAX_CACHED:
                    del self._cache[next(iter(self._cache))]
                self._cache[name] = hosts, self._loop.time() + min(RECORD_TTL, *(r.ttl for r in group if r.ttl))
                self._end(name, hosts)

    def _answer(self, port: _Port, message: Message, source: Any) -> None:
        answered: set[str] = set()  # an answer about one family tells that there is no other
        for question in message.questions:
            host = self._published.get(question.name)
            if host is None or question.name in answered or not self._belongs(question.name, port):
                continue
            record = Record(question.name, host, RECORD_TTL)
            if question.kind in {A, AAAA, ANY} and not _is_known(record, message.records):
                answered.add(question.name)
                self._reply(port, record, question, message.ident, source)

    def _reply(self, port: _Port, record: Record, question: Question, ident: int, source: Any) -> None:
        now = self._loop.time()
        if now - self._replies_since >= 1:
            self._replies, self._replies_since = 0, now
        if self._replies >= MAX_REPLIES_PER_SECOND:
            self.dropped["too-many-questions"] += 1
            return
        self._replies += 1
        if source[1] != PORT:
            port.send(response([Record(record.name, record.host, LEGACY_TTL)], question, ident), source)
        elif question.unicast:
            port.send(response([record]), source)
        elif port.may_multicast(record.name, now):
            port.multicast(response([record]))
        else:
            self.dropped["asked-again-too-soon"] += 1

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take our names back and free everything; idempotent. Lookups end empty."""
        self._closed = True
        for name in list(self._published):
            self.unpublish(name)
        for name in list(self._lookups):
            self._end(name, [])
        self._cache.clear()
        self._close_ports()


def _is_known(record: Record, known: Iterable[Record]) -> bool:
    """Tell whether whoever asks has said that it knows: RFC 6762 section 7.1."""
    return any(
        other.name == record.name and other.host == record.host and other.ttl * 2 >= record.ttl for other in known
    )


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError as error:
        raise LocalError(f"{host!r} is not an IP address") from error
