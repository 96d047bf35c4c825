"""Which line is wrong, and all of them at once."""

import pytest

from stack.core import ParseError
from stack.sdp import MAX_LINE_LENGTH, MAX_LINES, LineError, SessionDescription
from stack.sdp.errors import MAX_EXCERPT

from .support import DATA, FINGERPRINT, HEADER, VIDEO, media, text_of


def error_of(*lines):
    with pytest.raises(LineError) as caught:
        SessionDescription.parse(text_of(*lines))
    return caught.value


def all_errors(*lines):
    errors = []
    parsed = SessionDescription.parse(text_of(*lines), errors=errors)
    return parsed, [(error.line_number, error.reason) for error in errors]


def test_an_error_has_the_line():
    error = error_of(*HEADER, VIDEO, "a=fingerprint:sha-256 00:11")
    assert (error.reason, error.line_number, error.line) == ("bad-fingerprint", 6, "a=fingerprint:sha-256 00:11")
    assert error.explanation == "2 bytes are no sha-256"
    assert error.detail == "line 6: a=fingerprint: 2 bytes are no sha-256"


def test_a_long_line_is_shortened():
    error = error_of(*HEADER, VIDEO, "a=setup:" + "x" * 5000)
    assert error.line == "a=setup:" + "x" * (MAX_EXCERPT - 8) + "..."
    assert len(error.detail) < 200


@pytest.mark.parametrize("start", ["a=ice-pwd:", "k="])
def test_secrets_are_cut_out(start):
    error = error_of(*HEADER, "a=x", start + "s3cret")
    assert error.line == start + "..."
    assert "s3cret" not in str(error)


def test_the_line_of_a_character_that_no_line_can_hold():
    error = error_of(*HEADER, "a=x:\0")
    assert (error.reason, error.line_number) == ("bad-character", 5)
    error = error_of(*HEADER, "a=x:\ud800")
    assert error.line == "a=x:\\ud800"


def test_what_is_missing():
    error = error_of("v=0")
    assert (error.reason, error.line_number, error.line) == ("missing-line", 2, "")


def test_all_errors_at_once_and_the_rest_is_there():
    parsed, errors = all_errors(
        "v=0",
        "o=nonsense",
        "s=-",
        "x=1",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "m=video nine UDP/TLS/RTP/SAVPF 96",
        "a=mid:0",
        DATA,
        "a=mid:1",
        "a=setup:leader",
        "a=x:\0y",
        "a=sctp-port:5000",
        "",
        "a=fingerprint:" + FINGERPRINT,
    )
    assert errors == [
        (12, "bad-character"),
        (2, "bad-origin"),
        (4, "bad-line"),
        (7, "bad-media"),
        (11, "bad-setup"),
        (14, "bad-line"),
    ]
    (data,) = parsed.media
    assert (data.mid, data.setup, data.sctp_port, len(data.fingerprints)) == ("1", None, 5000, 1)
    assert parsed.groups[0].items == ["0", "1"]
    assert data.attributes == [("x", "y")]


def test_without_a_header_the_sections_are_still_read():
    parsed, errors = all_errors(DATA, "a=mid:0")
    assert errors == [(1, "missing-line")]
    assert parsed.media[0].mid == "0"


def test_a_line_too_long_is_cut():
    parsed, errors = all_errors(*HEADER, "a=x:" + "y" * MAX_LINE_LENGTH)
    assert errors == [(5, "line-too-long")]
    assert len(parsed.attributes[0].value) == MAX_LINE_LENGTH - 4


def test_a_text_too_large_is_refused_all_the_same():
    with pytest.raises(ParseError) as caught:
        all_errors(*["a=x"] * (MAX_LINES + 1))
    assert caught.value.reason == "too-many-lines"


def test_spaces_at_the_end_of_a_line_do_no_harm():
    section = media("a=mid:0 ", "a=rtcp-mux ", "a=sendonly\t", "a=setup:active  ", "a=x:y ", "a=z ")
    assert (section.mid, section.rtcp_mux, section.direction, section.setup) == ("0", True, "sendonly", "active")
    assert section.attributes == [("x", "y "), ("z", None)]
    assert error_of(*HEADER, VIDEO, "a=setup:leader ").line_number == 6
