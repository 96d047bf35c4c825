"""Fragments of ICE: RFC 8840 section 9, and what WHIP makes of them."""

import pytest

from stack.core import LocalError, ParseError
from stack.sdp import MAX_CANDIDATES, MAX_SIZE, Candidate, Fragment, Group, MediaDescription, SessionDescription

from .support import load, text_of

WHIP = text_of(
    "a=ice-options:trickle ice2",
    "a=group:BUNDLE 0 1",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "a=mid:0",
    "a=ice-ufrag:ysXw",
    "a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k",
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1",
    "a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1",
    "a=end-of-candidates",
)
"""The example of draft-ietf-wish-whip-16 section 4.3.3, without two of its candidates."""


def test_the_example_of_whip():
    fragment = Fragment.parse(WHIP)
    (audio,) = fragment.media
    assert fragment.groups == [Group("BUNDLE", ["0", "1"])]
    assert fragment.ice_options == ["trickle", "ice2"]
    assert (audio.mid, audio.end_of_candidates) == ("0", True)
    assert fragment.ice_parameters_of(audio) == ("ysXw", "vw5LmwG4y/e6dPP/zAP9Gp5k")
    assert [(candidate.transport, candidate.ufrag) for candidate in audio.candidates] == [
        ("udp", "EsAw"),
        ("tcp", "EsAw"),
    ]
    assert Fragment.parse(fragment.serialize()) == fragment
    assert sorted(line.split(" ")[0] for line in fragment.serialize().splitlines()) == sorted(
        line.split(" ")[0] for line in WHIP.splitlines()
    )


def test_session_level_parameters_hold_for_sections():
    fragment = Fragment.parse("a=ice-lite\na=ice-pacing:50\na=ice-ufrag:abcd\na=ice-pwd:" + "p" * 22 + "\nm=x 9 a/b c")
    assert fragment.ice_parameters_of(fragment.media[0]) == ("abcd", "p" * 22)
    assert (fragment.ice_lite, fragment.ice_pacing) == (True, 50)
    assert Fragment.parse(fragment.serialize()) == fragment


def test_the_case_of_attributes_means_nothing():
    fragment = Fragment.parse(
        "a=ICE-Lite\na=End-Of-Candidates\nm=audio 9 RTP/AVP 0\na=MID:A\na=Candidate:1 1 UDP 1 a.b 5 typ host"
    )
    assert (fragment.ice_lite, fragment.end_of_candidates, fragment.media[0].mid) == (True, True, "A")
    assert len(fragment.media[0].candidates) == 1


def test_what_is_not_ice_is_ignored():
    assert Fragment.parse("a=x\nm=audio 9 RTP/AVP 0\na=mid:0\na=y:1\na=sendrecv").serialize() == text_of(
        "m=audio 9 RTP/AVP 0", "a=mid:0"
    )
    assert Fragment.parse("a=group:LS 0\na=ice-lite").groups == []


@pytest.mark.parametrize(
    ("text", "reason", "number"),
    [
        ("v=0", "bad-order", 1),
        ("hello", "bad-line", 1),
        ("a=ice-lite\nm=audio", "bad-media", 2),
        ("a=ice-ufrag:x", "bad-ice-ufrag", 1),
        ("m=audio 9 RTP/AVP 0\na=candidate:x", "bad-candidate", 2),
        ("m=audio 9 RTP/AVP 0\na=mid:0\nm=audio 9 RTP/AVP 0\na=mid:0", "duplicate-mid", 4),
    ],
)
def test_what_is_refused(text, reason, number):
    with pytest.raises(ParseError) as caught:
        Fragment.parse(text)
    assert (caught.value.reason, caught.value.line_number) == (reason, number)


def test_limits_are_those_of_descriptions():
    lines = [f"a=candidate:1 1 udp 1 192.0.2.1 {port} typ host" for port in range(1, MAX_CANDIDATES + 2)]
    text = "\n".join(["m=audio 9 RTP/AVP 0", *lines])
    with pytest.raises(ParseError) as caught:
        Fragment.parse(text)
    assert caught.value.reason == "too-many-candidates"
    with pytest.raises(ParseError) as caught:
        Fragment.parse("x" * (MAX_SIZE + 1))
    assert caught.value.reason == "too-large"


def test_nothing():
    assert Fragment.parse("") == Fragment()
    with pytest.raises(LocalError):
        Fragment().serialize()


def test_a_value_cannot_smuggle_lines():
    fragment = Fragment(media=[MediaDescription("audio", 9, "RTP/AVP", ["0"], mid="0\r\na=ice-lite")])
    with pytest.raises(LocalError):
        fragment.serialize()


@pytest.mark.parametrize(("text", "expected"), [*load("browsers.json"), *load("stacks.json"), *load("rfc8829.json")])
def test_of_a_description(text, expected):
    session = SessionDescription.parse(text)
    fragment = Fragment.of(session)
    bundled = any(group.semantics == "BUNDLE" for group in session.groups)
    assert len(fragment.media) >= 1
    if bundled and len({tuple(group.items) for group in session.groups}) == 1:
        assert fragment.media[0].mid == session.groups[0].items[0]
        assert len(fragment.media) == 1 + sum(m.mid not in session.groups[0].items for m in session.media)
    assert fragment.media[0].candidates == session.media[0].candidates
    assert Fragment.parse(fragment.serialize()) == fragment
    assert len(expected["media"]) == len(session.media)


def test_candidates_alone():
    media = MediaDescription("audio", 9, "UDP/TLS/RTP/SAVPF", ["0"], connection=None, mid="0")
    media.candidates.append(Candidate("1", 1, "udp", 1, "192.0.2.1", 5000, "host"))
    assert Fragment(media=[media]).serialize() == text_of(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host"
    )
