import pytest

from stack.core import Address, LocalError
from stack.ice import Config, Parameters, candidate_priority, pair_priority
from stack.ice.candidate import (
    can_pair,
    check_parameters,
    foundation,
    generate_parameters,
    host_candidate,
    ip_of,
    is_unicast,
    reflexive_candidate,
    why_unreachable,
    why_unusable,
)
from stack.testing import seeded_random_bytes

from .support import B, host


def test_priorities():
    assert candidate_priority("host", 65535) == 2130706431  # what every single-homed browser signals
    assert candidate_priority("srflx", 65535) == 1694498815
    assert candidate_priority("prflx", 65535) == 1862270975
    assert candidate_priority("relay", 65535) == 16777215
    assert host_candidate(B, 1234).local_preference == 1234


def test_pair_priorities():
    assert pair_priority(2, 1) == (1 << 32) + 4 + 1
    assert pair_priority(1, 2) == (1 << 32) + 4
    assert pair_priority(3, 3) == (3 << 32) + 6


def test_foundations():
    first = host_candidate(Address("10.0.0.1", 1), 65535)
    assert first.foundation == host_candidate(Address("10.0.0.1", 2), 65534).foundation
    assert first.foundation != host_candidate(Address("10.0.0.2", 1), 65535).foundation
    texts = {foundation(t, "10.0.0.1", s, "udp") for t in ("host", "srflx") for s in ("", "192.0.2.1", "192.0.2.2")}
    assert len(texts) == 6
    assert all(text.isdigit() and len(text) <= 32 for text in texts)


def test_bases():
    base = host_candidate(Address("10.0.0.1", 1), 65535)
    mapped = reflexive_candidate("srflx", Address("192.0.2.1", 2), base, Address("198.51.100.1", 3478))
    assert base.base == base.address
    assert mapped.base == base.address
    assert mapped.address == Address("192.0.2.1", 2)
    assert mapped.local_preference == 65535


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"transport": "UDP"}, None),
        ({"host": "2001:DB8::1"}, None),
        ({"component": 2}, "candidate-component"),
        ({"transport": "tcp", "tcp_type": "active"}, None),
        ({"transport": "TCP", "tcp_type": "passive"}, None),
        ({"transport": "tcp", "tcp_type": "so"}, "candidate-tcp-type"),
        ({"transport": "tcp"}, "candidate-tcp-type"),
        ({"transport": "sctp"}, "candidate-transport"),
        ({"type": "magic"}, "candidate-type"),
        ({"host": "printer.local"}, "candidate-not-ip"),
        ({"host": ""}, "candidate-not-ip"),
        ({"host": "0.0.0.0"}, "candidate-address"),
        ({"host": "::"}, "candidate-address"),
        ({"host": "224.0.0.251"}, "candidate-address"),
        ({"host": "ff02::1"}, "candidate-address"),
        ({"host": "255.255.255.255"}, "candidate-address"),
        ({"host": "0.1.2.3"}, "candidate-address"),
        ({"host": "250.1.2.3"}, "candidate-address"),
        ({"host": "::ffff:10.0.0.1"}, "candidate-address"),
        ({"port": 0}, "candidate-address"),
        ({"port": 65536}, "candidate-address"),
        ({"priority": 0}, "candidate-priority"),
        ({"priority": 2**32}, "candidate-priority"),
    ],
)
def test_what_cannot_be_paired(changes, reason):
    candidate = host(B, **changes)
    assert (why_unusable(candidate) or why_unreachable(candidate.host)) == reason


@pytest.mark.parametrize(
    ("local", "remote", "allow_loopback", "possible"),
    [
        ("10.0.0.1", "10.0.0.2", False, True),
        ("10.0.0.1", "2001:db8::1", False, False),
        ("fe80::1", "2001:db8::1", False, False),
        ("fe80::1", "fe80::2", False, True),
        ("127.0.0.1", "127.0.0.1", False, True),
        ("127.0.0.1", "10.0.0.1", False, False),
        ("10.0.0.1", "127.0.0.1", False, False),
        ("10.0.0.1", "127.0.0.1", True, True),
        ("10.0.0.1", "a.local", True, False),
    ],
)
def test_what_can_be_paired(local, remote, allow_loopback, possible):
    assert can_pair(local, remote, allow_loopback=allow_loopback) is possible


def test_unicast():
    assert is_unicast(ip_of("192.0.2.1"))
    assert not is_unicast(ip_of("::ffff:192.0.2.1"))
    assert ip_of("nonsense") is None


def test_credentials():
    random_bytes = seeded_random_bytes(1)
    first, second = generate_parameters(random_bytes), generate_parameters(random_bytes)
    assert first != second
    assert len(first.ufrag) == 8
    assert len(first.pwd) == 24
    assert (first.ufrag + first.pwd).replace("+", "").replace("/", "").isalnum()
    assert first.pwd not in repr(first)


@pytest.mark.parametrize("wrong", [("", "x"), ("x", ""), ("a:b", "x"), ("x" * 257, "x"), ("x", "x" * 257)])
def test_credentials_that_cannot_be(wrong):
    with pytest.raises(LocalError):
        check_parameters(Parameters(*wrong))


@pytest.mark.parametrize(
    "wrong",
    [{"pacing_interval": 0.004}, {"spare_pairs": -1}, {"rto": -1}, {"max_pairs": 0}, {"max_remote_candidates": 0}],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(LocalError):
        Config(**wrong)
