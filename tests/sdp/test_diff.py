"""Differences in meaning."""

import random

import pytest

from stack.sdp import SessionDescription
from stack.sdp.diff import MAX_SHOWN, Difference, diff

from .support import DATA, VIDEO, load, session


def differences(old, new):
    return [(item.where, item.change, item.what, item.old, item.new) for item in diff(session(*old), session(*new))]


@pytest.mark.parametrize(("text", "expected"), [*load("browsers.json"), *load("stacks.json")])
def test_the_order_of_attributes_means_nothing(text, expected):
    lines = text.split("\r\n")[:-1]
    shuffled, at = [], 0
    while at < len(lines):
        end = at
        while end < len(lines) and lines[end].startswith("a="):
            end += 1
        block = lines[at:end]
        random.Random(7).shuffle(block)
        shuffled += block or [lines[at]]
        at = max(end, at + 1)
    assert sorted(shuffled) == sorted(lines)
    other = SessionDescription.parse("\r\n".join(shuffled))
    parsed = SessionDescription.parse(text)
    assert diff(parsed, other) == []
    assert len(other.media) == len(expected["media"])


CODECS = ["a=rtpmap:96 VP8/90000", "a=rtpmap:97 H264/90000", "a=fmtp:97 packetization-mode=1;profile-level-id=42e01f"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([DATA], [DATA], []),
        ([DATA, "a=setup:active"], [DATA, "a=setup:passive"], [("changed", "a=setup", "active", "passive")]),
        ([DATA, "a=setup:active"], [DATA], [("removed", "a=setup", "active", None)]),
        ([DATA], [DATA, "a=x:1"], [("added", "a=x", None, "1")]),
        ([DATA, "a=sendonly"], [DATA, "a=inactive"], [("changed", "direction", "sendonly", "inactive")]),
        (
            [DATA, "a=ice-pwd:" + "a" * 22],
            [DATA, "a=ice-pwd:" + "b" * 22],
            [("changed", "a=ice-pwd", "(not shown)", "(not shown)")],
        ),
        ([DATA, "a=ice-options:b a"], [DATA, "a=ice-options:a b"], []),
        ([DATA, "b=AS:1"], [DATA, "b=AS:2"], [("changed", "b=AS", "AS:1", "AS:2")]),
        (
            [DATA, "a=extmap:3 urn:x"],
            [DATA, "a=extmap:3/sendonly urn:y"],
            [("changed", "a=extmap:3", "3 urn:x", "3/sendonly urn:y")],
        ),
        (
            ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel"],
            ["m=application 0 DTLS/SCTP 5000"],
            [
                ("changed", "port", "9", "0 (refused)"),
                ("changed", "protocol", "UDP/DTLS/SCTP", "DTLS/SCTP"),
                ("changed", "formats", "webrtc-datachannel", "5000"),
            ],
        ),
        (
            [VIDEO, *CODECS],
            [VIDEO.replace("96 97", "98 99"), *(line.replace(":96", ":98").replace(":97", ":99") for line in CODECS)],
            [
                ("changed", "format vp8/90000: payload type", "96", "98"),
                (
                    "changed",
                    "format h264/90000 packetization-mode=1;profile-level-id=42e01f: payload type",
                    "97",
                    "99",
                ),
            ],
        ),
        (
            [VIDEO, *CODECS],
            [VIDEO, *CODECS[:2], "a=fmtp:97 profile-level-id=42e01f;packetization-mode=1"],
            [],
        ),
        (
            [VIDEO, CODECS[0], "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli"],
            [VIDEO, CODECS[0], "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 transport-cc"],
            [
                ("removed", "format vp8/90000: feedback", "nack", None),
                ("added", "format vp8/90000: feedback", None, "transport-cc"),
            ],
        ),
        (
            [VIDEO, CODECS[0]],
            [VIDEO, "a=rtpmap:96 VP9/90000"],
            [("removed", "format vp8/90000", "96", None), ("added", "format vp9/90000", None, "96")],
        ),
        (
            [VIDEO, CODECS[0], "a=rtpmap:97 VP9/90000"],
            [VIDEO.replace("96 97", "97 96"), CODECS[0], "a=rtpmap:97 VP9/90000"],
            [("changed", "preference of formats", "vp8/90000, vp9/90000", "vp9/90000, vp8/90000")],
        ),
        (
            [VIDEO, CODECS[0], "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"],
            [VIDEO.replace("96", "98"), "a=rtpmap:98 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=98"],
            [("changed", "format vp8/90000: payload type", "96", "98")],
        ),
    ],
)
def test_a_section(old, new, expected):
    found = differences(old, new)
    assert [item[1:] for item in found] == expected
    assert {item[0] for item in found} <= {f"{new[0][2:].split(' ')[0]}, section 1"}


def test_the_session_and_its_sections():
    old = ["a=group:BUNDLE a b", VIDEO, "a=mid:a", DATA, "a=mid:b"]
    new = ["a=group:BUNDLE b c", "a=ice-lite", DATA, "a=mid:b", VIDEO, "a=mid:c"]
    assert differences(old, new) == [
        ("session", "changed", "a=group:BUNDLE", "BUNDLE a b", "BUNDLE b c"),
        ("session", "added", "a=ice-lite", None, "ice-lite"),
        ("video, mid c", "added", "section", None, VIDEO),
        ("video, mid a", "removed", "section", VIDEO, None),
    ]


def test_the_order_of_sections_counts():
    old, new = [VIDEO, "a=mid:a", DATA, "a=mid:b"], [DATA, "a=mid:b", VIDEO, "a=mid:a"]
    assert differences(old, new) == [("session", "changed", "order of sections", "a b", "b a")]


def test_a_line_that_is_there_twice():
    assert differences([DATA, "a=x:1", "a=x:1"], [DATA, "a=x:1"]) == [
        ("application, section 1", "removed", "a=x", "1", None)
    ]


def test_values_are_cut():
    (item,) = diff(session(DATA), session(DATA, "a=x:" + "y" * 1000))
    assert item == Difference("application, section 1", "added", "a=x", None, "y" * MAX_SHOWN + "...")


def test_an_offer_and_its_answer():
    pair = {p.id: SessionDescription.parse(p.values[0]) for p in load("stacks.json") if p.id.startswith("pion")}
    found = {item.what: (item.old, item.new) for item in diff(pair["pion-offer"], pair["pion-answer"])}
    assert found["a=setup"] == ("actpass", "active")
    assert found["a=ice-pwd"] == ("(not shown)", "(not shown)")
