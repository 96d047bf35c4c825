"""Changes of the network, told by a made-up kernel or found by polling; tests/netns changes real ones."""

import asyncio
import errno
import socket

import pytest

from stack import RTCPeerConnection
from stack.aio import network_monitor
from stack.aio.interfaces import AddressPolicy, LocalAddress
from stack.aio.network_monitor import MAX_READS, NetworkMonitor, Watch

WIFI = LocalAddress("10.0.0.1", "wlan0", is_loopback=False)
LTE = LocalAddress("10.0.1.1", "wwan0", is_loopback=False)
POLICY = AddressPolicy(families=(4,))


class Machine:
    """Addresses that change by assignment, a kernel that tells of it, and a monitor of both."""

    def __init__(self, monkeypatch, *, tells=True):
        monkeypatch.setattr(network_monitor, "DEBOUNCE", 0.01)
        monkeypatch.setattr(network_monitor, "POLL_INTERVAL", 0.01)
        self.kernel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.kernel.setblocking(False)
        end.setblocking(False)
        if not tells:
            end.close()
        monkeypatch.setattr(network_monitor, "_netlink_socket", lambda: end if tells else None)
        self.end = end
        self.changed = asyncio.Event()
        self.addresses, self.scans, self.reported = [WIFI], 0, []
        self.monitor = NetworkMonitor(self._on_change, POLICY, scan=self._scan)

    def _scan(self, policy):
        assert policy is POLICY
        self.scans += 1
        self.changed.set()
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return list(self.addresses)

    def _on_change(self, addresses):
        self.reported.append(addresses)
        self.changed.set()

    def tell(self):
        self.kernel.send(b"something")

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_reported(self, count):
        await self.until(lambda: len(self.reported) >= count)

    def close(self):
        self.monitor.close()
        self.kernel.close()
        self.end.close()


@pytest.fixture(params=[True, False], ids=["told", "polled"])
async def machine(request, monkeypatch):
    made = Machine(monkeypatch, tells=request.param)
    yield made
    made.close()


@pytest.fixture
async def told(monkeypatch):
    made = Machine(monkeypatch)
    yield made
    made.close()


async def test_a_change_is_reported_once(machine):
    assert machine.monitor.addresses == [WIFI]
    for count, addresses in enumerate(([WIFI, LTE], [LTE], [], [WIFI]), 1):
        machine.addresses = addresses
        if not machine.monitor.is_polling:
            machine.tell()
        await machine.until_reported(count)
        assert machine.reported[-1] == machine.monitor.addresses == addresses
    await asyncio.sleep(0.05)
    assert len(machine.reported) == 4


async def test_a_sign_without_a_change_is_not_reported(told):
    told.tell()
    await told.until(lambda: told.scans == 1 + network_monitor.SETTLE_TIMES)
    assert told.reported == []


async def test_a_burst_is_one_comparison_and_a_few_to_settle(told):
    for _ in range(50):
        told.tell()
        await asyncio.sleep(0)
    await asyncio.sleep(0.2)
    assert told.scans == 1 + network_monitor.SETTLE_TIMES
    assert told.monitor._timer is None


async def test_an_address_that_becomes_usable_later_is_found_without_another_sign(told):
    told.tell()
    await told.until(lambda: told.scans == 2)
    told.addresses = [WIFI, LTE]
    await told.until_reported(1)


async def test_what_is_reported_is_a_copy(told):
    told.addresses = [WIFI, LTE]
    told.tell()
    await told.until_reported(1)
    told.reported[0].clear()
    assert told.monitor.addresses == [WIFI, LTE]


async def test_an_overflow_is_a_sign_too(told):
    class Overflowing:
        def recv(self, size):
            raise OSError(errno.ENOBUFS, "overflow")

    real, told.monitor._socket = told.monitor._socket, Overflowing()
    told.addresses = [LTE]
    told.monitor._on_readable()
    told.monitor._socket = real
    await told.until_reported(1)
    assert told.monitor.dropped == {"netlink-overflow": MAX_READS}


async def test_addresses_that_cannot_be_listed_are_listed_again(machine):
    machine.addresses = OSError(errno.ENODEV, "gone")
    if not machine.monitor.is_polling:
        machine.tell()
    await machine.until(lambda: machine.monitor.dropped["scan-failed"])
    machine.addresses = [LTE]
    await machine.until_reported(1)
    assert machine.reported == [[LTE]]


async def test_closing_leaves_no_timer_and_is_idempotent(machine):
    if not machine.monitor.is_polling:
        machine.tell()
        await asyncio.sleep(0.001)
    machine.monitor.close()
    machine.monitor.close()
    machine.addresses = [LTE]
    await asyncio.sleep(0.05)
    assert machine.reported == []
    assert machine.monitor._timer is None


async def test_this_machine():
    monitor = NetworkMonitor(lambda addresses: None)
    assert monitor.addresses
    monitor.close()


@pytest.mark.parametrize("fails", ["open", "bind"])
def test_where_netlink_is_not_allowed_it_polls(monkeypatch, fails):
    class Forbidden:
        closed = False

        def __init__(self, *args):
            if fails == "open":
                raise PermissionError(errno.EPERM, "no")

        def setblocking(self, flag):
            pass

        def bind(self, address):
            raise PermissionError(errno.EACCES, "no")

        def close(self):
            Forbidden.closed = True

    monkeypatch.setattr(network_monitor.sys, "platform", "linux")
    monkeypatch.setattr(network_monitor.socket, "AF_NETLINK", 16, raising=False)
    monkeypatch.setattr(network_monitor.socket, "NETLINK_ROUTE", 0, raising=False)
    monkeypatch.setattr(network_monitor.socket, "socket", Forbidden)
    assert network_monitor._netlink_socket() is None
    assert Forbidden.closed == (fails == "bind")


class Shared:
    """What watches share: addresses that change by assignment, monitors that are counted."""

    def __init__(self, monkeypatch, *, tells):
        self.addresses, self.scans, self.kernels = [WIFI], 0, []
        self.tells = tells
        monkeypatch.setattr(network_monitor, "DEBOUNCE", 0.01)
        monkeypatch.setattr(network_monitor, "_netlink_socket", self._netlink_socket)
        monkeypatch.setattr(NetworkMonitor.__init__, "__kwdefaults__", {"loop": None, "scan": self._scan})

    def _scan(self, _policy):
        self.scans += 1
        return list(self.addresses)

    def _netlink_socket(self):
        if not self.tells:
            return None
        kernel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.setblocking(False)
        self.kernels.append((kernel, end))
        return end

    @property
    def open_ends(self):
        return [end for _, end in self.kernels if end.fileno() >= 0]

    def close(self):
        for sockets in self.kernels:
            for sock in sockets:
                sock.close()


@pytest.fixture(params=[True, False], ids=["told", "polled"])
def shared(request, monkeypatch):
    made = Shared(monkeypatch, tells=request.param)
    yield made
    made.close()


async def test_connections_of_a_loop_share_a_monitor_until_the_last_is_closed(shared):
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    heard = {"first": [], "second": [], "other": []}
    watches = {name: Watch(lambda found, n=name: heard[n].append(found), POLICY, loop) for name in ("first", "second")}
    watches["other"] = Watch(heard["other"].append, AddressPolicy(families=(6,)), loop)
    assert [watch.addresses for watch in watches.values()] == [[WIFI]] * 3
    assert len(shared.open_ends) == (2 if shared.tells else 0)  # one for each policy
    watches["first"].close()
    watches["first"].close()
    third = Watch(lambda _: changed.set(), POLICY, loop)
    shared.addresses = [WIFI, LTE]
    for kernel, _ in shared.kernels:
        kernel.send(b"something")
    async with asyncio.timeout(5):
        await changed.wait()
    assert heard["second"] == [[WIFI, LTE]]
    assert not heard["first"]
    for watch in (watches["second"], third, watches["other"]):
        watch.close()
    assert not network_monitor._groups[loop]
    assert not shared.open_ends


@pytest.mark.parametrize("end", ["closed", "forgotten"])
async def test_a_monitor_made_in_advance_ends_unless_somebody_comes(shared, monkeypatch, end):
    monkeypatch.setattr(network_monitor, "PATIENCE", 0.02)
    loop = asyncio.get_running_loop()
    early = network_monitor.prepare(POLICY, loop)
    scans = shared.scans
    watch = Watch(lambda _: None, POLICY, loop)
    assert shared.scans == scans + (not shared.tells)
    early.end_unless_used()
    await asyncio.sleep(0.05)
    assert list(network_monitor._groups[loop]) == [early]  # it is used
    watch.close()
    assert not network_monitor._groups[loop]
    again = network_monitor.prepare(POLICY, loop)
    if end == "closed":
        again.end_unless_used()
    else:
        await asyncio.sleep(0.05)
    assert not network_monitor._groups[loop]
    assert not shared.open_ends


@pytest.mark.parametrize("gathers", [False, True])
async def test_a_connection_finds_the_addresses_before_it_needs_them(gathers):
    groups = network_monitor._groups
    groups.pop(asyncio.get_running_loop(), None)
    async with RTCPeerConnection() as pc:
        await asyncio.sleep(0)
        (monitored,) = groups[asyncio.get_running_loop()]
        assert not monitored.users
        if gathers:
            pc.createDataChannel("test")
            await pc.setLocalDescription()
            assert monitored.users
            assert len(groups[asyncio.get_running_loop()]) == 1
    assert not groups[asyncio.get_running_loop()]
    await RTCPeerConnection().close()
    await asyncio.sleep(0)
    assert not groups[asyncio.get_running_loop()]


async def test_a_new_watch_does_not_wait_for_the_next_poll(shared):
    loop = asyncio.get_running_loop()
    first = Watch(lambda _: None, POLICY, loop)
    shared.addresses = [LTE]
    second = Watch(lambda _: None, POLICY, loop)
    assert second.addresses == ([WIFI] if shared.tells else [LTE])
    assert shared.scans == (1 if shared.tells else 2)
    first.close()
    second.close()


async def test_one_that_fails_or_closes_another_does_not_keep_the_rest_from_hearing(monkeypatch):
    shared = Shared(monkeypatch, tells=True)
    loop, heard, failures, changed = asyncio.get_running_loop(), [], [], asyncio.Event()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail(_found):
        closed.close()
        raise ValueError("no")

    failing = Watch(fail, POLICY, loop)
    closed = Watch(heard.append, POLICY, loop)
    last = Watch(lambda _: changed.set(), POLICY, loop)
    shared.addresses = [LTE]
    shared.kernels[0][0].send(b"something")
    async with asyncio.timeout(5):
        await changed.wait()
    assert [str(error) for error in failures] == ["no"]
    assert not heard
    failing.close()
    last.close()
    assert not shared.open_ends
    shared.close()
