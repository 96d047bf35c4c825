"""What the system says of its addresses: answers of rtnetlink made up for the purpose, and those of this machine."""

import ipaddress
import struct
import sys
from types import SimpleNamespace

import pytest

from stack.aio import system_addresses as tested

ONE, OTHER = (ipaddress.ip_address(host) for host in ("10.0.0.1", "10.0.0.2"))
SIX = ipaddress.ip_address("2001:db8::1")
ADDRESS, LOCAL, LABEL, FLAGS, CACHE_INFO = 1, 2, 3, 8, 6
NEW_ADDRESS, ERROR, DONE, NEW_LINK = 20, 2, 3, 16


def message(kind, body):
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body + bytes(-len(body) % 4)


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def address(index, *attributes, flags=0):
    body = struct.pack("=BBBBI", 2, 24, flags, 0, index)
    return message(NEW_ADDRESS, body + b"".join(attribute(*a) for a in attributes))


def parsed(*messages):
    found = {}
    return tested.parse_answer(b"".join(messages), found), found


def test_addresses_go_to_their_interfaces_until_the_end():
    messages = (
        address(2, (ADDRESS, ONE.packed), (LABEL, b"eth0:1\0"), (CACHE_INFO, bytes(16)), flags=0x80),
        message(NEW_LINK, bytes(16)),
        address(3, (ADDRESS, SIX.packed), (FLAGS, struct.pack("=I", 0x301)), flags=0x01),
    )
    found = {2: [(ONE, 0x80)], 3: [(SIX, 0x301)]}
    assert parsed(*messages) == (True, found)
    assert parsed(*messages, message(DONE, bytes(4))) == (False, found)


def test_ours_is_the_local_one_where_the_other_end_has_an_address_too():
    assert parsed(address(4, (ADDRESS, OTHER.packed), (LOCAL, ONE.packed)))[1] == {4: [(ONE, 0)]}


@pytest.mark.parametrize("attributes", [(), ((ADDRESS, b"abc"),), ((LABEL, b"eth0\0"),)])
def test_what_has_no_address_is_passed_by(attributes):
    assert parsed(address(2, *attributes)) == (True, {})


@pytest.mark.parametrize(
    "answer",
    [
        message(ERROR, struct.pack("=i", -1) + bytes(16)),
        struct.pack("=IHHII", 8, NEW_ADDRESS, 2, 1, 0),
        address(2)[:-4],
    ],
    ids=["error", "too short", "cut off"],
)
def test_a_refusal_is_an_error(answer):
    with pytest.raises(OSError, match="rtnetlink"):
        parsed(answer)


def test_an_attribute_without_a_length_ends_nothing_but_itself():
    body = struct.pack("=BBBBI", 2, 24, 0, 0, 2) + bytes(4) + attribute(LOCAL, ONE.packed)
    assert parsed(message(NEW_ADDRESS, body))[1] == {2: [(ONE, 0)]}


def test_without_rtnetlink_the_other_way_is_taken(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError

    ips = [SimpleNamespace(ip="10.0.0.1"), SimpleNamespace(ip=("2001:db8::1", 0, 0)), SimpleNamespace(ip="none")]
    monkeypatch.setattr(tested, "_by_netlink", refuse)
    monkeypatch.setattr(tested.ifaddr, "get_adapters", lambda: [SimpleNamespace(name="eth0", ips=ips)])
    monkeypatch.setattr(tested, "_ipv6_flags", lambda: {SIX: 0x01})
    assert tested.system_addresses() == {"eth0": [(ONE, 0), (SIX, 0x01)]}


def test_the_flags_of_ipv6_addresses(monkeypatch, tmp_path):
    table = tmp_path / "if_inet6"
    monkeypatch.setattr(tested, "_IF_INET6", table)
    assert tested._ipv6_flags() == {}
    table.write_text("20010db8000000000000000000000001 02 40 00 c0     eth0\nnonsense\n")
    assert tested._ipv6_flags() == {SIX: 0xC0}


@pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink")
def test_both_ways_find_the_same_on_this_machine():
    def known(ways):
        return {name: {address for address, _ in entries} for name, entries in ways.items() if entries}

    assert known(tested._by_netlink()) == known(tested._by_ifaddr())
