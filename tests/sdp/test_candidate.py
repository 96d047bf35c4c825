"""ICE candidates as text."""

import pytest

from stack.core import ParseError
from stack.sdp import Candidate

from .support import VIDEO, media, round_trip, session

HOST = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"


def refused(text):
    with pytest.raises(ParseError) as caught:
        Candidate.parse(text)
    return caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        HOST,
        "candidate:f957a2332b1715da3b0ef8ba684454eb 256 udp 1 fd00::2 65535 typ prflx",
        "candidate:a+/ 2 udp 2147483647 203.0.113.1 1 typ srflx raddr 0.0.0.0 rport 0",
        "candidate:1 1 tcp 5 192.0.2.1 0 typ host tcptype active",
        "candidate:1 1 tcp 5 fd00::2 9 typ relay raddr :: rport 9 tcptype so ufrag abcd generation 0 network-cost 999",
        "candidate:1 1 udp 5 832e56d3-71d9-4493-a88e-d57e0f8fe867.local 51253 typ host",
        "candidate:1 1 udp 5 ::ffff:192.0.2.1 51253 typ host",
        "candidate:1 1 udp 5 turn.example.org. 51253 typ host",
    ],
)
def test_round_trip(text):
    assert Candidate.parse(text).serialize() == text
    assert Candidate.parse("a=" + text) == Candidate.parse(text)


def test_every_field():
    assert Candidate.parse(
        "a=candidate:7 2 TCP 99 fd00::2 9 typ relay generation 0 ufrag xyz9 raddr 192.0.2.9 rport 77 tcptype so x y "
    ) == Candidate(
        foundation="7",
        component=2,
        transport="tcp",
        priority=99,
        host="fd00::2",
        port=9,
        type="relay",
        related_host="192.0.2.9",
        related_port=77,
        tcp_type="so",
        ufrag="xyz9",
        extensions=[("generation", "0"), ("x", "y")],
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "a=a=" + HOST,
        HOST.removeprefix("candidate:"),
        HOST.replace("candidate:1", "candidate:"),
        HOST.replace("candidate:1", "candidate:" + "1" * 33),
        HOST.replace("candidate:1", "candidate:a_b"),
        HOST.replace(" 1 udp", " 0 udp"),
        HOST.replace(" 1 udp", " 257 udp"),
        HOST.replace(" 1 udp", " 1"),
        HOST.replace("udp", "u/dp"),
        HOST.replace("2130706431", "0"),
        HOST.replace("2130706431", "2147483648"),
        HOST.replace("2130706431", "-1"),
        HOST.replace("2130706431", "\u0661"),
        HOST.replace("5000", "0"),
        HOST.replace("5000", "65536"),
        HOST.replace("192.0.2.1", "192.0.2.256"),
        HOST.replace("192.0.2.1", "192.0.2.01"),
        HOST.replace("192.0.2.1", "192.0.2"),
        HOST.replace("192.0.2.1", "fe80::1%eth0"),
        HOST.replace("192.0.2.1", "fd00::2::3"),
        HOST.replace("192.0.2.1", "fd00:" * 20),
        HOST.replace("192.0.2.1", "a" * 300 + ".local"),
        HOST.replace("192.0.2.1", "a_b.local"),
        HOST.replace("typ host", "type host"),
        HOST.replace("typ host", "typ "),
        HOST + " raddr 300.1.1.1",
        HOST + " raddr x/y rport 1",
        HOST + " raddr 192.0.2.1 rport 65536",
        HOST + " x y\r\na=setup:active",
        HOST + " x " + "y" * 20000,
    ],
)
def test_malformed(text):
    assert refused(text) == "bad-candidate"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HOST.replace("udp", "sctp"), "unknown-transport"),
        (HOST.replace("host", "magic"), "unknown-candidate-type"),
        (HOST + " generation", "bad-candidate-extension"),
        (HOST + "  a b c", "bad-candidate-extension"),
        (HOST + " a/b c", "bad-candidate-extension"),
        (HOST + " a  ufrag c", "bad-candidate-extension"),
        (HOST.replace("udp", "tcp") + " tcptype both", "bad-candidate-extension"),
    ],
)
def test_what_rfc_8839_wants_ignored_is_kept_by_a_description(text, reason):
    assert refused(text) == reason
    section = media("a=" + text, "a=" + HOST)
    assert section.candidates == [Candidate.parse(HOST)]
    assert section.attributes == [("candidate", text.removeprefix("candidate:"))]
    assert "a=" + text + "\r\n" in round_trip(session(VIDEO, "a=" + text))


def test_second_values_of_known_extensions_are_extensions():
    candidate = Candidate.parse(HOST + " ufrag abcd ufrag efgh")
    assert (candidate.ufrag, candidate.extensions) == ("abcd", [("ufrag", "efgh")])
    assert Candidate.parse(candidate.serialize()) == candidate
