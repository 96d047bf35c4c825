"""Attributes that nothing acts on, taken apart for those who do."""

import pytest

from stack.sdp import Candidate, Crypto, ImageAttribute, SctpMap
from stack.sdp.details import MAX_IMAGE_SETS

from .support import DATA, media, round_trip, session

KEY = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("a=label:left", "label", "left"),
        ("a=label:two words", "label", None),
        ("a=content:slides,main", "content", ["slides", "main"]),
        ("a=framerate:29.97", "frame_rate", 29.97),
        ("a=framerate:-1", "frame_rate", None),
        ("a=sctpmap:5000 webrtc-datachannel 1024", "sctp_maps", [SctpMap(5000, "webrtc-datachannel", 1024)]),
        ("a=sctpmap:5000 webrtc-datachannel", "sctp_maps", [SctpMap(5000, "webrtc-datachannel")]),
        ("a=sctpmap:70000 webrtc-datachannel 1", "sctp_maps", []),
        ("a=crypto:1 " + KEY, "cryptos", [Crypto(1, "AES_CM_128_HMAC_SHA1_80", "inline")]),
        ("a=crypto:x", "cryptos", []),
        (
            "a=imageattr:97 send [x=800,y=640,sar=1.1,q=0.6] [x=480,y=320] recv [x=[480:16:800],y=[320,640]]",
            "image_attributes",
            [
                ImageAttribute(
                    "97",
                    [{"x": "800", "y": "640", "sar": "1.1", "q": "0.6"}, {"x": "480", "y": "320"}],
                    [{"x": "[480:16:800]", "y": "[320,640]"}],
                )
            ],
        ),
        ("a=imageattr:* recv *", "image_attributes", [ImageAttribute("*", [], [])]),
        ("a=imageattr:* recv * recv *", "image_attributes", []),
        ("a=imageattr:* recv [x=1", "image_attributes", []),
        ("a=imageattr:97", "image_attributes", []),
    ],
)
def test_taken_apart_and_kept_as_it_is(line, name, expected):
    section = media(line)
    assert getattr(section, name) == expected
    assert line in round_trip(session(DATA, line))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("label", None), ("content", []), ("frame_rate", None), ("sctp_maps", []), ("cryptos", [])],
)
def test_absent(name, expected):
    assert getattr(media("a=x", "a=content"), name) == expected


def test_sets_of_an_image_attribute_are_bounded():
    (found,) = media("a=imageattr:96 send" + " [x=1,y=1]" * (MAX_IMAGE_SETS + 1)).image_attributes
    assert len(found.send) == MAX_IMAGE_SETS


def test_what_libwebrtc_says_about_a_candidate():
    text = "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host generation 2 network-id 3 network-cost 900"
    candidate = Candidate.parse(text)
    assert (candidate.generation, candidate.network_id, candidate.network_cost) == (2, 3, 900)
    assert candidate.extension("network-id") == "3"
    assert candidate.serialize() == text
    bare = Candidate.parse("candidate:1 1 udp 1 192.0.2.1 5000 typ host generation x")
    assert (bare.generation, bare.network_id, bare.network_cost) == (None, None, None)


def test_one_candidate_does_not_share_extensions_with_another():
    text = "candidate:1 1 udp 1 192.0.2.1 5000 typ host generation 0"
    first, second = Candidate.parse(text), Candidate.parse(text)
    first.extensions.append(("x", "y"))
    assert second.extensions == [("generation", "0")]
