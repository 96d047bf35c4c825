"""Server-reflexive candidates: RFC 8445 section 5.1.1.2."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from ..core import Address, Datagram, RandomBytes, Timers
from ..stun import BINDING, Class, Message, Retransmission
from .candidate import Candidate, ip_of
from .config import Config

_GATHERING_RC = 7  # RFC 8489 section 6.2.1


@dataclass(slots=True)
class Query:
    """A Binding request to a STUN server."""

    base: Candidate
    server: Address
    data: bytes = field(repr=False)
    schedule: Retransmission

    def datagram(self) -> Datagram:
        """Return one more transmission."""
        return Datagram(self.data, self.server, self.base.address)


class Gatherer:
    """Asks every STUN server from every host candidate of its family, one new query at a time.

    Args:
        random_bytes: Source of transaction ids.
        timers: Of the machine; deadlines are there under the transaction id.
        config: Of the agent.
    """

    def __init__(self, random_bytes: RandomBytes, timers: Timers, config: Config) -> None:
        self._random_bytes = random_bytes
        self._timers = timers
        self._config = config
        self._bases: list[Candidate] = []
        self._servers: list[Address] = []
        self._pending: deque[tuple[Candidate, Address]] = deque()  # at most bases x servers, both limited
        self._queries: dict[bytes, Query] = {}
        self._mapped: dict[tuple[Address, Address], Query] = {}

    @property
    def servers(self) -> list[Address]:
        """The servers asked."""
        return self._servers

    @property
    def has_pending(self) -> bool:
        """Whether a query waits to be sent for the first time."""
        return bool(self._pending)

    @property
    def done(self) -> bool:
        """Whether every query was answered or given up."""
        return not self._pending and not self._queries

    def add_base(self, base: Candidate) -> None:
        """Ask all servers from this host candidate too."""
        self._bases.append(base)
        self._pending.extend((base, server) for server in self._servers if _same_family(base, server))

    def add_server(self, server: Address) -> None:
        """Ask this server from all host candidates."""
        self._servers.append(server)
        self._pending.extend((base, server) for base in self._bases if _same_family(base, server))

    def remove_base(self, base: Candidate) -> None:
        """Ask nobody from this host candidate any more."""
        if base not in self._bases:
            return
        self._bases.remove(base)
        self._pending = deque(item for item in self._pending if item[0] is not base)
        for transaction_id in [tid for tid, query in self._queries.items() if query.base is base]:
            self._timers.cancel(transaction_id)
            del self._queries[transaction_id]
        self._mapped = {key: query for key, query in self._mapped.items() if query.base is not base}

    def remove_server(self, server: Address) -> None:
        """Ask this server no more after the next `restart`, nor from host candidates that come; it may be unknown."""
        if server in self._servers:
            self._servers.remove(server)

    def restart(self, without: Collection[Address] = ()) -> None:
        """Ask all again, but for the host candidates of these addresses."""
        self.stop()
        for base in self._bases:
            if base.address not in without:
                self._pending.extend((base, server) for server in self._servers if _same_family(base, server))

    def stop(self) -> None:
        """Forget all queries."""
        self._pending.clear()
        for transaction_id in self._queries:
            self._timers.cancel(transaction_id)
        self._queries.clear()
        self._mapped.clear()

    def start_next(self, now: float) -> Datagram:
        """Send the oldest query that waits."""
        base, server = self._pending.popleft()
        transaction_id = self._random_bytes(12)
        data = Message(BINDING, Class.REQUEST, transaction_id).serialize()
        config = self._config
        schedule = Retransmission(now, config.gathering_rto, _GATHERING_RC, config.gathering_timeout)
        query = self._queries[transaction_id] = Query(base, server, data, schedule)
        self._timers.set(transaction_id, schedule.deadline)
        return query.datagram()

    def expire(self, transaction_id: bytes, now: float) -> tuple[Query | None, bool]:
        """Handle the deadline of a query: return it, and whether it is sent again."""
        query = self._queries.get(transaction_id)
        if query is None:
            return None, False
        again = query.schedule.expire(now)
        if again:
            self._timers.set(transaction_id, query.schedule.deadline)
        else:
            del self._queries[transaction_id]
        return query, again

    def get(self, transaction_id: bytes) -> Query | None:
        """Return the query of a response."""
        return self._queries.get(transaction_id)

    def finish(self, transaction_id: bytes, mapped: Address | None) -> None:
        """Take note of a response; `mapped` is None when it was none to use."""
        query = self._queries.pop(transaction_id)
        self._timers.cancel(transaction_id)
        if mapped is not None and mapped != query.base.address:
            self._mapped[query.base.address, query.server] = query

    def keepalives(self) -> list[Datagram]:
        """Return what keeps the NAT bindings of server-reflexive candidates alive: RFC 8445 section 5.1.1.4."""
        # Deviates: an indication where the RFC has requests, because nobody would read the responses.
        data = [Message(BINDING, Class.INDICATION, self._random_bytes(12)).serialize() for _ in self._mapped]
        return [Datagram(d, server, base) for d, (base, server) in zip(data, self._mapped, strict=True)]


def _same_family(base: Candidate, server: Address) -> bool:
    a, b = ip_of(base.host), ip_of(server.host)
    return a is not None and b is not None and a.version == b.version and a.is_loopback == b.is_loopback
