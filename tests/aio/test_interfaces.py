"""Which addresses a connection uses, on machines made up for the purpose; and ports of a range, on loopback."""

import asyncio
import errno
import ipaddress
import socket

import pytest

from stack.aio import interfaces
from stack.aio.interfaces import MAX_ADDRESSES, AddressPolicy, bind_in_range, local_addresses
from stack.aio.udp import UdpSocket
from stack.core import LocalError

LOOPBACK = {"lo": ["127.0.0.1", "::1"]}
LAPTOP = {
    **LOOPBACK,
    "wwan0": ["100.64.0.7", "2001:db8:3::7"],
    "eth0": ["10.1.0.2", "2001:db8:1::2", "fe80::1"],
    "wlan0": ["10.2.0.2", "169.254.1.1", "2001:db8:2::2"],
    "tun0": ["10.8.0.2"],
}


@pytest.fixture
def machine(monkeypatch):
    """Makes up the interfaces of a machine: names to addresses, those that are down, flags of IPv6 addresses."""

    def make(adapters, down=(), flags=None, routed=()):
        flags = flags or {}
        found = {
            name: [(ipaddress.ip_address(host), flags.get(host, 0)) for host in hosts]
            for name, hosts in adapters.items()
        }
        monkeypatch.setattr(interfaces, "system_addresses", lambda: found)
        monkeypatch.setattr(interfaces, "_is_up", lambda name: name not in down)
        monkeypatch.setattr(interfaces, "_system_kind", lambda name: "")
        monkeypatch.setattr(interfaces, "_default_routes", set)
        routes = {ipaddress.ip_address(host).version: host for host in routed}
        monkeypatch.setattr(interfaces, "default_route_address", routes.get)

    return make


def hosts(policy=None):
    return [entry.host for entry in local_addresses(policy or AddressPolicy())]


def test_cheap_networks_come_first_and_families_take_turns(machine):
    machine(LAPTOP)
    assert [(entry.host, entry.kind, entry.cost) for entry in local_addresses()] == [
        ("2001:db8:1::2", "ethernet", 0),
        ("10.1.0.2", "ethernet", 0),
        ("2001:db8:2::2", "wifi", 10),
        ("10.2.0.2", "wifi", 10),
        ("10.8.0.2", "vpn", 60),
        ("2001:db8:3::7", "cellular", 900),
        ("100.64.0.7", "cellular", 900),
    ]


def test_ipv6_has_the_head_start_of_the_rfc(machine):
    six = [f"2001:db8::{n}" for n in range(1, 7)]
    machine({"eth0": ["10.0.0.1", "10.0.0.2", *six]})
    assert hosts() == [*six[:4], "10.0.0.1", six[4], "10.0.0.2", six[5]]  # the example of RFC 8421 section 4


@pytest.mark.parametrize("only", [["10.0.0.1", "10.0.0.2"], ["2001:db8::1", "2001:db8::2"]])
def test_one_family_alone_keeps_its_order(machine, only):
    machine({"eth0": only})
    assert hosts() == only


@pytest.mark.parametrize(
    ("use", "expected", "alone"),
    [
        ("fallback", ["10.0.0.1"], ["::1", "127.0.0.1"]),
        ("always", ["10.0.0.1", "::1", "127.0.0.1"], ["::1", "127.0.0.1"]),
        ("never", ["10.0.0.1"], []),
    ],
)
def test_loopback(machine, use, expected, alone):
    policy = AddressPolicy(use_loopback=use)
    machine({**LOOPBACK, "eth0": ["10.0.0.1"]})
    assert hosts(policy) == expected
    machine(LOOPBACK)
    assert hosts(policy) == alone


def test_an_interface_that_is_down_is_left_out(machine):
    machine(LAPTOP, down={"eth0", "tun0", "wwan0"})
    assert hosts() == ["2001:db8:2::2", "10.2.0.2"]


@pytest.mark.parametrize(
    "host", ["fe80::1", "169.254.3.4", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fec0::1", "::ffff:10.0.0.1", "::a00:1"]
)
def test_addresses_that_no_peer_can_use_are_left_out(machine, host):
    machine({"eth0": [host, "10.0.0.9"]})
    assert hosts() == ["10.0.0.9"]


def test_temporary_addresses_stand_for_the_permanent_one_of_their_prefix(machine):
    stable, temporary, old, other = "2001:db8::1", "2001:db8::a:b", "2001:db8::c:d", "2001:db8:0:1::1"
    machine({"eth0": [stable, temporary, old, other]}, flags={temporary: 0x01, old: 0x21})
    assert hosts() == [temporary, other]


@pytest.mark.parametrize("flag", [0x08, 0x20, 0x40], ids=["duplicate", "deprecated", "tentative"])
def test_addresses_that_are_not_valid_are_left_out(machine, flag):
    machine({"eth0": ["2001:db8::1", "2001:db8::2"]}, flags={"2001:db8::1": flag})
    assert hosts() == ["2001:db8::2"]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"allow_interfaces": ("eth*",)}, ["2001:db8:1::2", "10.1.0.2"]),
        ({"deny_interfaces": ("w*", "tun?")}, ["2001:db8:1::2", "10.1.0.2"]),
        ({"allow_networks": ("10.0.0.0/14",)}, ["10.1.0.2", "10.2.0.2"]),
        ({"deny_networks": ("2001:db8::/32", "10.8.0.2")}, ["10.1.0.2", "10.2.0.2", "100.64.0.7"]),
        ({"families": (6,), "deny_interfaces": ("ww*",)}, ["2001:db8:1::2", "2001:db8:2::2"]),
        ({"allow_interfaces": ("nothing",)}, []),
    ],
)
def test_lists(machine, lists, expected):
    machine(LAPTOP)
    assert hosts(AddressPolicy(**lists)) == expected


def test_kinds_and_costs_can_be_set(machine):
    machine({"eth0": ["10.0.0.1"], "eth1": ["10.0.1.1"]})
    policy = AddressPolicy(kinds=(("eth0", "cellular"),), costs={"cellular": 700})
    assert [(entry.interface, entry.cost) for entry in local_addresses(policy)] == [("eth1", 0), ("eth0", 700)]


def test_what_the_system_says_goes_before_the_name(machine, monkeypatch):
    machine({"eth0": ["10.0.0.1"], "zz0": ["10.0.1.1"]})
    monkeypatch.setattr(interfaces, "_system_kind", {"eth0": "wifi"}.get)
    assert [(entry.interface, entry.kind) for entry in local_addresses()] == [("eth0", "wifi"), ("zz0", "unknown")]


def test_mode_2_has_the_default_route_and_the_private_addresses_beside_it(machine):
    machine({**LAPTOP, "eth0": ["10.1.0.2", "10.1.0.3", "2600::2", "2600::3"]}, routed=("10.1.0.2", "2600::2"))
    assert hosts(AddressPolicy(mode="default-route")) == ["2600::2", "10.1.0.2", "10.1.0.3"]


@pytest.mark.parametrize("mode", ["default-route-hidden", "proxy"])
def test_modes_3_and_4_hide_what_they_bind(machine, mode):
    machine({**LAPTOP, "eth0": ["10.1.0.2", "10.1.0.3"]}, routed=("10.1.0.2",))
    policy = AddressPolicy(mode=mode)
    assert [(entry.host, entry.hidden) for entry in local_addresses(policy)] == [("10.1.0.2", True)]
    assert policy.uses_udp == (mode != "proxy")


def test_the_number_of_addresses_is_bounded(machine):
    machine({"eth0": [f"10.0.{n}.1" for n in range(MAX_ADDRESSES + 5)]})
    assert len(hosts()) == MAX_ADDRESSES


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "some"},
        {"use_loopback": "maybe"},
        {"families": ()},
        {"families": (5,)},
        {"ports": (0, 10)},
        {"ports": (20, 10)},
        {"ports": (1, 65536)},
        {"allow_networks": ("ten",)},
        {"deny_networks": ("10.0.0.1/8",)},
        {"costs": {"wifi": 1000}},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(LocalError):
        AddressPolicy(**wrong)


ROUTE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0100010A	0003	0	0	600	00000000	0	0	0
wwan0	00000000	00000000	0001	0	0	700	00000000	0	0	0
eth0	0000000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
down0	00000000	0100010A	0002	0	0	600	00000000	0	0	0
"""
ANY = "0" * 32
IPV6_ROUTE = f"""{ANY} 00 {ANY} 00 fe800000000000000000000000000001 00000258 00000001 00000000 00000003    wlan0
fe800000000000000000000000000000 40 {ANY} 00 {ANY} 00000100 00000001 00000000 00000001    wwan0
{ANY} 00 {ANY} 00 {ANY} ffffffff 00000001 00000000 00200201       lo
"""


def test_interfaces_with_a_default_route(monkeypatch, tmp_path):
    (tmp_path / "route").write_text(ROUTE)
    (tmp_path / "ipv6_route").write_text(IPV6_ROUTE)
    monkeypatch.setattr(interfaces, "_ROUTE", tmp_path / "route")
    monkeypatch.setattr(interfaces, "_IPV6_ROUTE", tmp_path / "ipv6_route")
    assert interfaces._default_routes() == {("wlan0", 4), ("wwan0", 4), ("wlan0", 6)}
    monkeypatch.setattr(interfaces, "_ROUTE", tmp_path / "nothing")
    assert interfaces._default_routes() == {("wlan0", 6)}


def test_what_is_sent_leaves_by_the_interface_of_its_address(machine, monkeypatch):
    machine(LAPTOP)
    monkeypatch.setattr(interfaces, "_default_routes", lambda: {("wlan0", 4), ("wwan0", 4)})
    outgoing = {entry.host: entry.outgoing for entry in local_addresses()}
    assert {host: name for host, name in outgoing.items() if name} == {"10.2.0.2": "wlan0", "100.64.0.7": "wwan0"}


# -- this machine ----------------------------------------------------------------------------------------------------


def test_this_machine_has_addresses_that_can_be_bound():
    found = local_addresses()
    assert found
    for entry in found:
        with socket.socket(socket.AF_INET6 if ":" in entry.host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((entry.host, 0))


def test_an_unknown_interface_counts_as_up_and_unknown():
    assert interfaces._is_up("nothing-here")
    assert not interfaces._system_kind("nothing-here")


def test_the_default_route_is_one_of_our_addresses_or_none():
    known = {entry.host for entry in local_addresses(AddressPolicy(use_loopback="always"))}
    for version in (4, 6):
        assert interfaces.default_route_address(version) in known | {None}


# -- ports -----------------------------------------------------------------------------------------------------------


async def test_a_socket_takes_a_free_port_of_the_range():
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        policy = AddressPolicy(ports=(min(port, 65534), min(port, 65534) + 1))
        sock = bind_in_range(policy, lambda p: UdpSocket("127.0.0.1", loop, lambda batch: None, p))
        assert sock.address.port in range(policy.ports[0], policy.ports[1] + 1)
        assert sock.address.port != port
        sock.close()


def test_a_full_range_says_so():
    tried = []

    def bind(port):
        tried.append(port)
        raise OSError(errno.EADDRINUSE, "taken")

    with pytest.raises(OSError, match="taken"):
        bind_in_range(AddressPolicy(ports=(5000, 5003)), bind)
    assert sorted(tried) == [5000, 5001, 5002, 5003]
    tried.clear()
    with pytest.raises(OSError, match="taken"):
        bind_in_range(AddressPolicy(ports=(1024, 65535)), bind)
    assert len(tried) == len(set(tried)) == interfaces.MAX_PORT_TRIES


def test_an_address_that_cannot_be_bound_is_tried_once():
    tried = []

    def bind(port):
        tried.append(port)
        raise OSError(errno.EADDRNOTAVAIL, "not ours")

    with pytest.raises(OSError, match="not ours"):
        bind_in_range(AddressPolicy(ports=(5000, 5003)), bind)
    assert len(tried) == 1


def test_without_a_range_any_port_will_do():
    assert bind_in_range(AddressPolicy(), lambda port: port) == 0
