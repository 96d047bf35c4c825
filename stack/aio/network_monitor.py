"""Notices that the addresses of this machine have changed: a cable, another wireless network, a phone on the move.

Linux tells (rtnetlink); elsewhere, and where it is not allowed, the addresses are compared every few seconds.
"""

import asyncio
import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from .interfaces import DEFAULT_POLICY, AddressPolicy, LocalAddress, local_addresses

logger = logging.getLogger(__name__)

DEBOUNCE: Final = 0.1
"""Seconds from the first sign of a change until addresses are compared: changes come in bursts, a link with its
addresses and routes. Also the shortest time between two comparisons."""

POLL_INTERVAL: Final = 2.0
"""Seconds between comparisons where the system does not tell."""

SETTLE_TIMES: Final = 3
"""Comparisons after one sign, each after twice the time of the one before: an IPv6 address is told of before duplicate
address detection has made it usable (RFC 4862 section 5.4), and not every driver tells again."""

PATIENCE: Final = 10.0
"""Seconds that a monitor made in advance waits for its first user: a connection that is made, and its description."""

MAX_READS: Final = 64
"""System calls per wakeup; what is left comes with the next turn of the loop."""

_GROUPS: Final = 0x1 | 0x10 | 0x100 | 0x40 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE: rtnetlink(7)."""


class NetworkMonitor:
    """Reports the local addresses whenever they are others than before.

    Args:
        on_change: Called with the new list, from the loop.
        policy: Which addresses count.
        loop: The loop; the running one by default.
        scan: Finds the addresses; `local_addresses` by default.

    Attributes:
        addresses: The latest list.
        dropped: Notifications lost, by reason; they cost nothing, for the addresses are read anew each time.
    """

    def __init__(
        self,
        on_change: Callable[[list[LocalAddress]], None],
        policy: AddressPolicy = DEFAULT_POLICY,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        scan: Callable[[AddressPolicy], list[LocalAddress]] = local_addresses,
    ) -> None:
        self._on_change, self._policy, self._scan = on_change, policy, scan
        self._loop = loop or asyncio.get_running_loop()
        self.dropped: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._comparisons = 0
        self._closed = False
        self._socket = _netlink_socket()  # before the first look, so that nothing is missed in between
        self.addresses = scan(policy)
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._on_readable)
        else:
            self._timer = self._loop.call_later(POLL_INTERVAL, self._compare)

    @property
    def is_polling(self) -> bool:
        """Whether the addresses are compared every few seconds because the system does not tell."""
        return self._socket is None

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        for _ in range(MAX_READS):
            try:
                self._socket.recv(65536)  # what changed does not matter, for everything is looked at anew
            except BlockingIOError:
                break
            except OSError as error:  # ENOBUFS: more changed than the socket could hold
                self.dropped["netlink-overflow"] += 1
                logger.debug("netlink: %s", error)
        self._comparisons = SETTLE_TIMES
        if self._timer is None or self._timer.when() - self._loop.time() > DEBOUNCE:
            self._arm(DEBOUNCE)

    def _arm(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, self._compare)

    def _compare(self) -> None:
        self._timer = None
        self._comparisons -= 1
        if self._socket is None:
            self._arm(POLL_INTERVAL)
        elif self._comparisons > 0:
            self._arm(DEBOUNCE * 2 ** (SETTLE_TIMES - self._comparisons))
        self.look()

    def look(self) -> None:
        """Compare at once."""
        try:
            found = self._scan(self._policy)
        except OSError as error:  # interfaces that come and go while they are listed
            self.dropped["scan-failed"] += 1
            logger.debug("addresses cannot be listed: %s", error)
            return
        if found != self.addresses:
            self.addresses = found
            self._on_change(list(found))

    def close(self) -> None:
        """Stop; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


class Monitored:
    """One monitor and all who use it."""

    def __init__(self, policy: AddressPolicy, loop: asyncio.AbstractEventLoop) -> None:
        self.policy, self._loop = policy, loop
        self.users: dict[Watch, None] = {}
        self.monitor = NetworkMonitor(self._on_change, policy, loop=loop)
        self._patience = loop.call_later(PATIENCE, self.end_unless_used)

    def end_unless_used(self) -> None:
        """Close the monitor if nobody uses it, or not yet; idempotent."""
        if not self.users:
            self._patience.cancel()
            self.monitor.close()
            _groups[self._loop].discard(self)

    def _on_change(self, found: list[LocalAddress]) -> None:
        for user in list(self.users):
            try:
                user.tell(found)
            except Exception as error:  # noqa: BLE001  whatever it is, it must not keep the others from hearing
                self._loop.call_exception_handler({"message": "following the network failed", "exception": error})


_groups: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Monitored]] = WeakKeyDictionary()


def prepare(policy: AddressPolicy, loop: asyncio.AbstractEventLoop) -> Monitored:
    """Return the monitor that a loop has for a policy, made now if there is none: what is found now, nobody waits for.

    It ends with `end_unless_used`, or when nobody has used it for `PATIENCE` seconds.

    Args:
        policy: Which addresses count.
        loop: The loop that is running.
    """
    groups = _groups.setdefault(loop, WeakSet())
    group = next((group for group in groups if group.policy == policy), None)
    if group is None:
        group = Monitored(policy, loop)
        groups.add(group)
    elif group.monitor.is_polling:
        group.monitor.look()
    return group


class Watch:
    """A share in the monitor that a loop has for a policy: made with its first user or before, closed with its last.

    Finding the addresses takes longer than anything else in making a connection but its cryptography, and each monitor
    is a socket that wakes up whenever anything changes.

    Args:
        on_change: Called with the new list, from the loop.
        policy: Which addresses count.
        loop: The loop that is running.

    Attributes:
        addresses: The list when the watch began.
    """

    def __init__(
        self, on_change: Callable[[list[LocalAddress]], None], policy: AddressPolicy, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._on_change = on_change
        self._group = group = prepare(policy, loop)
        group.users[self] = None
        self.addresses = group.monitor.addresses

    def tell(self, found: list[LocalAddress]) -> None:
        """Report a change, unless this was closed by another one who was told of it."""
        if self in self._group.users:
            self._on_change(list(found))

    def close(self) -> None:
        """Stop; idempotent."""
        if self._group.users.pop(self, self) is None:
            self._group.end_unless_used()


def _netlink_socket() -> socket.socket | None:
    """Return a socket on which the kernel tells of changes, None where there is no such thing."""
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        logger.info("network changes are polled for: %s", error)
        return None
    try:
        sock.setblocking(False)
        sock.bind((0, _GROUPS))
    except OSError as error:  # a sandbox that allows the socket but not to listen, Android for one
        sock.close()
        logger.info("network changes are polled for: %s", error)
        return None
    return sock
