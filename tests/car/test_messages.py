"""Signaling messages: what is understood, and what is refused for which reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.car.messages import MAX_CANDIDATE, MAX_MESSAGE, MAX_MID, Bye, Candidate, Offer, parse
from stack.core import ParseError


def test_what_a_page_says():
    assert parse('{"type": "offer", "sdp": "v=0"}') == Offer("v=0")
    assert parse('{"type": "bye", "more": [1]}') == Bye()
    line = {"type": "candidate", "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x"}
    assert parse(json.dumps(line)) == Candidate("candidate:1", "0", 0)
    assert parse('{"type": "candidate", "candidate": null}') == Candidate(None)
    assert parse('{"type": "candidate", "candidate": "", "sdpMid": "0"}') == Candidate(None, "0")


REFUSED = {
    "": "bad-json",
    "{": "bad-json",
    "[" * 50_000: "bad-json",
    "nul": "bad-json",
    "[]": "not-an-object",
    "3": "not-an-object",
    '"offer"': "not-an-object",
    "{}": "unknown-type",
    '{"type": "answer", "sdp": "v=0"}': "unknown-type",
    '{"type": ["offer"]}': "unknown-type",
    '{"type": "offer"}': "bad-offer",
    '{"type": "offer", "sdp": 7}': "bad-offer",
    '{"type": "offer", "sdp": ""}': "bad-offer",
    '{"type": "candidate", "candidate": 7}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1"}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1", "sdpMid": 0}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1", "sdpMLineIndex": -1}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1", "sdpMLineIndex": true}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1", "sdpMLineIndex": 1e999}': "bad-candidate",
    json.dumps({"type": "candidate", "candidate": "c" * (MAX_CANDIDATE + 1), "sdpMid": "0"}): "bad-candidate",
    json.dumps({"type": "candidate", "candidate": "c", "sdpMid": "0" * (MAX_MID + 1)}): "bad-candidate",
    " " * (MAX_MESSAGE + 1): "too-large",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=range(len(REFUSED)))
def test_refused(text, reason):
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert caught.value.reason == reason


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
objects = st.fixed_dictionaries(
    {"type": st.sampled_from(["offer", "candidate", "bye", "x"])},
    optional={"sdp": anything, "candidate": anything, "sdpMid": anything, "sdpMLineIndex": anything},
)


@given(st.one_of(st.text(), objects.map(json.dumps)))
def test_parse_raises_only_parse_error(text):
    try:
        message = parse(text)
    except ParseError:
        return
    assert isinstance(message, Offer | Candidate | Bye)
