"""The addresses of this machine's interfaces as the system tells them, without judging them.

Linux is asked by rtnetlink, which takes a fifth of what the same costs by getifaddrs and ctypes; elsewhere, and where
it is not allowed, `ifaddr` is.
"""

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import ifaddr

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Addresses = dict[str, list[tuple[IpAddress, int]]]
"""By the name of the interface: addresses, each with its flags (IFA_F_*; 0 where they are not known)."""

CACHED: Final = 256
"""Addresses that are remembered in the form in which they are used."""

_IF_INET6: Final = Path("/proc/net/if_inet6")

# rtnetlink(7)
_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_FLAGS: Final = struct.Struct("=I")
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_MAX_ANSWER: Final = 65536  # bytes of one read; the kernel sends 32 KiB at most
_REQUEST: Final = _MESSAGE.pack(_MESSAGE.size + _ADDRESS.size, _RTM_GETADDR, _DUMP, 1, 0) + _ADDRESS.pack(0, 0, 0, 0, 0)


def system_addresses() -> Addresses:
    """Return all addresses of all interfaces, be they of use or not.

    Raises:
        OSError: The system does not say.
    """
    if sys.platform == "linux":
        try:
            return _by_netlink()
        except OSError:  # a sandbox without it
            pass
    return _by_ifaddr()


@lru_cache(maxsize=CACHED)
def _address(packed: bytes) -> IpAddress:
    return ipaddress.ip_address(packed)


# -- Linux -----------------------------------------------------------------------------------------------------------


def _by_netlink() -> Addresses:
    found: dict[int, list[tuple[IpAddress, int]]] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.setblocking(False)  # the answer is there when the request is sent
        asked.sendto(_REQUEST, (0, 0))
        while parse_answer(asked.recv(_MAX_ANSWER), found):
            pass
    named: Addresses = {}
    for index, addresses in sorted(found.items()):
        try:
            named[socket.if_indextoname(index)] = addresses
        except OSError:  # it has gone meanwhile
            continue
    return named


def parse_answer(answer: bytes, found: dict[int, list[tuple[IpAddress, int]]]) -> bool:
    """Take addresses by index of the interface out of a part of the answer; tell whether another one follows.

    Raises:
        OSError: It is a refusal.
    """
    at, end = 0, len(answer)
    while at + _MESSAGE.size <= end:
        length, kind, *_ = _MESSAGE.unpack_from(answer, at)
        if kind == _NLMSG_DONE:
            return False
        if kind == _NLMSG_ERROR or length < _MESSAGE.size or at + length > end:
            raise OSError("rtnetlink does not answer")
        if kind == _RTM_NEWADDR:
            _, _, flags, _, index = _ADDRESS.unpack_from(answer, at + _MESSAGE.size)
            attributes = dict(_attributes(answer, at + _MESSAGE.size + _ADDRESS.size, at + length))
            # On a point-to-point interface the one without `LOCAL` is that of the other end.
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
            if len(packed) in {4, 16}:
                if _IFA_FLAGS in attributes:
                    (flags,) = _FLAGS.unpack(attributes[_IFA_FLAGS])
                found.setdefault(index, []).append((_address(packed), flags))
        at += (length + 3) & ~3
    return True


def _attributes(answer: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        yield kind, answer[at + _ATTRIBUTE.size : at + length]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)


# -- elsewhere -------------------------------------------------------------------------------------------------------


def _by_ifaddr() -> Addresses:
    flags = _ipv6_flags()
    found: Addresses = {}
    for adapter in ifaddr.get_adapters():
        entries = found.setdefault(adapter.name, [])
        for ip in adapter.ips:
            try:
                address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            except ValueError:
                continue
            entries.append((address, flags.get(address, 0)))
    return found


def _ipv6_flags() -> dict[IpAddress, int]:
    """Return the kernel's flags of each IPv6 address; empty where they cannot be had."""
    try:
        rows = [line.split() for line in _IF_INET6.read_text().splitlines()]
    except OSError:
        return {}
    return {_address(bytes.fromhex(row[0])): int(row[4], 16) for row in rows if len(row) >= 5}
