"""Small descriptions to put lines into."""

import json
from pathlib import Path

import pytest

from stack.core import ParseError
from stack.sdp import SessionDescription

VECTORS = Path(__file__).parents[2] / "vectors" / "sdp"
FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
HEADER = ["v=0", "o=- 1 2 IN IP4 0.0.0.0", "s=-", "t=0 0"]
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96 97"
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"


def load(name):
    """(name, text, expected) of every description in a vectors file."""
    for item in json.loads((VECTORS / name).read_text())["descriptions"]:
        yield pytest.param("\r\n".join(item["sdp"]) + "\r\n", item["expected"], id=item["name"])


def text_of(*lines):
    return "\r\n".join(lines) + "\r\n"


def session(*lines):
    """A description whose session level has these attribute lines."""
    return SessionDescription.parse(text_of(*HEADER, *lines))


def media(*lines, of=VIDEO):
    """The one section of a description, with these lines."""
    return SessionDescription.parse(text_of(*HEADER, of, *lines)).media[0]


def refused(*lines, header=HEADER):
    """(reason, detail) of the error that a description with these lines gives."""
    with pytest.raises(ParseError) as caught:
        SessionDescription.parse(text_of(*header, *lines))
    return caught.value.reason, caught.value.detail


def round_trip(description):
    text = description.serialize()
    assert SessionDescription.parse(text) == description
    return text
