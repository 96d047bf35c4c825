"""The lines outside of attributes, their order, and what the session level gives to sections."""

import pytest

from stack.core import LocalError
from stack.sdp import (
    Bandwidth,
    Connection,
    ExtMap,
    Fingerprint,
    Group,
    MediaDescription,
    Origin,
    SessionDescription,
    Timing,
)

from .support import DATA, FINGERPRINT, HEADER, VIDEO, media, refused, round_trip, session, text_of


def test_the_smallest_description():
    parsed = session()
    assert parsed == SessionDescription(origin=Origin(session_id=1, session_version=2))
    assert parsed.serialize() == text_of(*HEADER)


def test_every_line_type_of_rfc_8866_section_5():
    lines = [
        "v=0",
        "o=jdoe 3724394400 3724394405 IN IP6 fd00::1",
        "s=Call to John",
        "i=SDP Offer #1",
        "u=http://www.jdoe.example.com/home.html",
        "e=Jane Doe <jane@jdoe.example.com>",
        "p=+1 617 555-6011",
        "c=IN IP4 233.252.0.1/127",
        "b=AS:128",
        "b=X-YZ:1",
        "t=3724394400 3724398000",
        "r=7d 1h 0 25h",
        "z=3730928400 -1h 3749680800 0",
        "t=3724484400 3724488000",
        "k=prompt",
        "a=recvonly",
        "a=tool:x:y",
        "m=audio 49170/2 RTP/AVP 0",
        "i=the title",
        "c=IN IP4 233.252.0.2/127",
        "c=IN IP4 233.252.0.3/127",
        "b=TIAS:64000",
        "k=clear:secret",
        "a=rtpmap:0 PCMU/8000",
        "a=sdplang:de",
    ]
    parsed = SessionDescription.parse(text_of(*lines))
    assert parsed.origin == Origin("jdoe", 3724394400, 3724394405, "IN", "IP6", "fd00::1")
    assert parsed.name == "Call to John"
    assert parsed.connection == Connection("IN", "IP4", "233.252.0.1/127")
    assert parsed.bandwidth == [Bandwidth("AS", 128), Bandwidth("X-YZ", 1)]
    assert parsed.timing == Timing(3724394400, 3724398000)
    assert "".join(letter for letter, _ in parsed.other_lines) == "iueprztk"
    assert parsed.attributes == [("tool", "x:y")]
    audio = parsed.media[0]
    assert (audio.port, audio.port_count, audio.title) == (49170, 2, "the title")
    assert audio.other_lines == [("c", "IN IP4 233.252.0.3/127"), ("k", "clear:secret")]
    assert audio.attributes == [("sdplang", "de")]
    assert round_trip(parsed) == text_of(*lines)


def test_lines_of_a_section_may_come_late():
    late = media("a=mid:0", "k=prompt", "b=AS:500", "c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2")
    assert late.bandwidth == [Bandwidth("AS", 500)]
    assert late.connection == Connection("IN", "IP4", "192.0.2.1")
    assert late.other_lines == [("c", "IN IP4 192.0.2.2"), ("k", "prompt")]


@pytest.mark.parametrize(
    ("lines", "reason", "number"),
    [
        (["o=- 1 2 IN IP4 0.0.0.0", "v=0", "s=-", "t=0 0"], "bad-order", 1),
        (["v=0", "s=-", "t=0 0"], "bad-order", 2),
        (["v=0", "v=0"], "bad-order", 2),
        ([*HEADER[:3], "s=-"], "bad-order", 4),
        ([*HEADER[:3], "b=AS:1", "c=IN IP4 0.0.0.0", "t=0 0"], "bad-order", 5),
        ([*HEADER[:3], "c=IN IP4 0.0.0.0", "c=IN IP4 0.0.0.0", "t=0 0"], "bad-order", 5),
        ([*HEADER[:3], "r=7d 1h 0", "t=0 0"], "bad-order", 4),
        ([*HEADER, "a=x", "b=AS:1"], "bad-order", 6),
        ([], "bad-line", 1),
        ([*HEADER, "", "a=x"], "bad-line", 5),
        ([*HEADER, "x=1"], "bad-line", 5),
        ([*HEADER, "a=x", "x=1"], "bad-line", 6),
        ([*HEADER, "a=x", "hello"], "bad-line", 6),
        ([*HEADER, VIDEO, "t=0 0"], "bad-line", 6),
        ([*HEADER, VIDEO, "i=1", "i=2"], "bad-line", 7),
        ([*HEADER, VIDEO, "", "a=x"], "bad-line", 6),
        ([*HEADER[:3], "a=x"], "missing-line", 4),
        (["v=0", "a=x"], "missing-line", 2),
        (["a=x"], "missing-line", 1),
        (HEADER[:2], "missing-line", 3),
        (["v=1", *HEADER[1:]], "bad-version", 1),
        (["v=0", "o=- 1 2 IN IP4", *HEADER[2:]], "bad-origin", 2),
        (["v=0", "o=- -1 2 IN IP4 0.0.0.0", *HEADER[2:]], "bad-origin", 2),
        (["v=0", "o=- 1 18446744073709551616 IN IP4 0.0.0.0", *HEADER[2:]], "bad-origin", 2),
        (["v=0", "o=- \u0661 2 IN IP4 0.0.0.0", *HEADER[2:]], "bad-origin", 2),
        (["v=0", "o= 1 2 IN IP4 0.0.0.0", *HEADER[2:]], "bad-origin", 2),
        ([*HEADER[:3], "t=0"], "bad-timing", 4),
        ([*HEADER[:3], "t=x 0"], "bad-timing", 4),
        ([*HEADER[:3], "c=IN IP4", "t=0 0"], "bad-connection", 4),
        ([*HEADER[:3], "b=AS", "t=0 0"], "bad-bandwidth", 4),
        ([*HEADER[:3], "b=:1", "t=0 0"], "bad-bandwidth", 4),
        ([*HEADER, "m=audio 9 RTP/AVP"], "bad-media", 5),
        ([*HEADER, "m=au/dio 9 RTP/AVP 0"], "bad-media", 5),
        ([*HEADER, "m=audio 9 RTP//AVP 0"], "bad-media", 5),
        ([*HEADER, "m=audio 65536 RTP/AVP 0"], "bad-media", 5),
        ([*HEADER, "m=audio 9/0 RTP/AVP 0"], "bad-media", 5),
        ([*HEADER, "m=audio 9 RTP/AVP 128"], "bad-media", 5),
        ([*HEADER, "m=audio 9 RTP/AVP 00"], "bad-media", 5),
        ([*HEADER, "m=audio 9 RTP/AVP 0 0"], "bad-media", 5),
        ([*HEADER, "m=application 9 UDP/DTLS/SCTP a:b"], "bad-media", 5),
        ([*HEADER, VIDEO, "a=sendrecv", "m="], "bad-media", 7),
        ([*HEADER, "a=na me:1"], "bad-attribute", 5),
        ([*HEADER, VIDEO, "a="], "bad-attribute", 6),
        ([*HEADER, VIDEO, "a=:x"], "bad-attribute", 6),
    ],
)
def test_what_is_refused(lines, reason, number):
    found, detail = refused(*lines, header=[])
    assert found == reason
    assert detail.startswith(f"line {number}: ")


@pytest.mark.parametrize("text", ["v=0\ro=-", "v=0\0", "v=0\ud800", "v=0\r\r\n"])
def test_characters_that_no_line_can_hold(text):
    assert refused(text, header=[])[0] == "bad-character"


def test_text_of_other_scripts_is_kept():
    assert round_trip(session("a=x:\u00fc\u2028\x0b")).endswith("a=x:\u00fc\u2028\x0b\r\n")


def test_a_media_line_may_end_with_spaces():
    assert media(of=DATA + "  ").formats == ["webrtc-datachannel"]


def test_what_a_section_inherits():
    parsed = session(
        "a=ice-ufrag:abcd",
        "a=ice-pwd:" + "p" * 22,
        "a=ice-options:trickle ice2",
        "a=ice-lite",
        "a=fingerprint:" + FINGERPRINT,
        "a=setup:active",
        "a=sendonly",
        "a=extmap-allow-mixed",
        "a=extmap:3 urn:x",
        "a=end-of-candidates",
        VIDEO,
        DATA,
        "a=ice-ufrag:wxyz",
        "a=ice-pwd:" + "q" * 22,
        "a=ice-options:renomination trickle",
        "a=fingerprint:sha-1 " + ":".join(["0c"] * 20),
        "a=setup:passive",
        "a=inactive",
        "a=extmap:4 urn:y",
    )
    heir, own = parsed.media
    assert parsed.ice_lite
    assert parsed.ice_parameters_of(heir) == ("abcd", "p" * 22)
    assert parsed.ice_parameters_of(own) == ("wxyz", "q" * 22)
    assert parsed.ice_options_of(heir) == ["trickle", "ice2"]
    assert parsed.ice_options_of(own) == ["trickle", "ice2", "renomination"]
    assert parsed.fingerprints_of(heir) == parsed.fingerprints
    assert parsed.fingerprints_of(own) == [Fingerprint("sha-1", ":".join(["0C"] * 20))]
    assert (parsed.setup_of(heir), parsed.setup_of(own)) == ("active", "passive")
    assert (parsed.direction_of(heir), parsed.direction_of(own)) == ("sendonly", "inactive")
    assert parsed.extmaps_of(heir) == [ExtMap(3, "urn:x")]
    assert parsed.extmaps_of(own) == [ExtMap(4, "urn:y")]
    assert parsed.extmap_allow_mixed_of(own)
    assert parsed.end_of_candidates_of(own)
    assert (heir.ice_ufrag, heir.direction, heir.fingerprints) == (None, None, [])
    round_trip(parsed)


def test_what_holds_when_nothing_is_said():
    parsed = session(VIDEO)
    section = parsed.media[0]
    assert parsed.ice_parameters_of(section) == (None, None)
    assert parsed.direction_of(section) == "sendrecv"
    assert parsed.setup_of(section) is None
    assert (parsed.fingerprints_of(section), parsed.ice_options_of(section), parsed.extmaps_of(section)) == ([], [], [])
    assert not parsed.extmap_allow_mixed_of(section)
    assert not parsed.end_of_candidates_of(section)
    assert section.connection is None


def test_answers_of_the_helpers_may_be_changed_without_harm():
    parsed = session("a=fingerprint:" + FINGERPRINT, "a=extmap:1 urn:x", VIDEO)
    parsed.fingerprints_of(parsed.media[0]).clear()
    parsed.extmaps_of(parsed.media[0]).clear()
    assert len(parsed.fingerprints) == len(parsed.extmaps) == 1


@pytest.mark.parametrize(("line", "rejected"), [("a=mid:0", True), ("a=bundle-only", False)])
def test_port_zero_refuses_a_section_unless_it_is_bundle_only(line, rejected):
    section = media(line, of="m=video 0 UDP/TLS/RTP/SAVPF 96")
    assert section.is_rejected is rejected
    assert not media(line).is_rejected


def test_a_description_made_here():
    made = SessionDescription(origin=Origin(session_id=7, session_version=1), groups=[Group("BUNDLE", ["0"])])
    made.media.append(MediaDescription("application", 9, "UDP/DTLS/SCTP", ["webrtc-datachannel"], mid="0"))
    assert round_trip(made) == text_of(
        "v=0", "o=- 7 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0", DATA, "c=IN IP4 0.0.0.0", "a=mid:0"
    )


@pytest.mark.parametrize("evil", ["x\r\na=setup:active", "x\n", "\rx", "x\0"])
def test_a_value_cannot_smuggle_lines(evil):
    made = SessionDescription(name=evil)
    with pytest.raises(LocalError):
        made.serialize()
    assert made.name == evil
