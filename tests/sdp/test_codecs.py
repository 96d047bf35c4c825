"""Formats: the `rtpmap`, `fmtp` and `rtcp-fb` lines of a section brought together."""

from stack.sdp import Codec, Feedback, MediaDescription, SessionDescription

from .support import DATA, VIDEO, media, round_trip, session

AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 35"


def test_lines_in_any_order_make_formats_in_the_order_of_the_media_line():
    lines = ["a=fmtp:97 apt=96", "a=rtcp-fb:96 nack pli", "a=rtpmap:97 rtx/90000", "a=rtpmap:96 VP8/90000"]
    assert media(*lines).codecs == [
        Codec(96, "VP8", 90000, feedback=[Feedback("nack", "pli")]),
        Codec(97, "rtx", 90000, parameters={"apt": "96"}),
    ]


def test_static_payload_types_need_no_rtpmap():
    section = media("a=rtpmap:111 opus/48000/2", "a=rtcp-fb:0 transport-cc", of=AUDIO)
    assert section.codecs == [
        Codec(111, "opus", 48000, 2),
        Codec(9, "G722", 8000),
        Codec(0, "PCMU", 8000, feedback=[Feedback("transport-cc")]),
        Codec(8, "PCMA", 8000),
        Codec(13, "CN", 8000),
    ]
    assert section.codec(63) is None
    round_trip(session(AUDIO))


def test_an_rtpmap_gives_a_static_payload_type_another_meaning():
    assert media("a=rtpmap:0 opus/48000/2", of=AUDIO).codec(0).name == "opus"


def test_a_wildcard_is_for_every_format():
    lines = ["a=rtpmap:96 VP8/90000", "a=rtpmap:97 H264/90000", "a=rtcp-fb:97 nack", "a=rtcp-fb:* nack"]
    section = media(*lines, "a=rtcp-fb:* ccm fir", "a=rtcp-fb:96 nack")
    assert section.codec(96).feedback == [Feedback("nack"), Feedback("ccm", "fir")]
    assert section.codec(97).feedback == [Feedback("nack"), Feedback("ccm", "fir")]
    assert section.attributes == []


def test_a_wildcard_without_formats_is_kept():
    assert media("a=rtcp-fb:* nack").attributes == [("rtcp-fb", "* nack")]


def test_format_parameters():
    section = media("a=rtpmap:96 H264/90000", "a=fmtp:96 b=x=y; a=1;;flag ;Empty=;")
    assert section.codec(96).parameters == {"b": "x=y", "a": "1", "flag": None, "Empty": ""}
    assert list(section.codec(96).parameters) == ["b", "a", "flag", "Empty"]
    assert "a=fmtp:96 b=x=y;a=1;flag;Empty=\r\n" in round_trip(
        session(VIDEO, "a=rtpmap:96 H264/90000", "a=fmtp:96 b=x=y; a=1;;flag ;Empty=;")
    )


def test_format_parameters_that_are_no_list():
    lines = ["a=rtpmap:111 opus/48000/2", "a=rtpmap:63 red/48000/2", "a=rtpmap:110 telephone-event/48000"]
    section = media(*lines, "a=fmtp:63 111/111", "a=fmtp:110 0-15,66", of=AUDIO)
    assert (section.codec(63).raw_parameters, section.codec(63).parameters) == ("111/111", {})
    assert section.codec(110).raw_parameters == "0-15,66"
    assert section.codec(111).raw_parameters is None


def test_several_fmtp_lines_of_one_format():
    lines = ["a=rtpmap:96 VP8/90000", "a=fmtp:96 a=1;b=2", "a=fmtp:96 0-15", "a=fmtp:96 b=3;c", "a=fmtp:96 1-2"]
    section = media(*lines)
    assert section.codec(96).parameters == {"a": "1", "b": "3", "c": None}
    assert section.codec(96).raw_parameters == "0-15"
    assert section.attributes == [("fmtp", "96 1-2")]
    round_trip(session(VIDEO, *lines))


def test_sections_without_rtp_have_no_formats():
    section = media("a=rtpmap:0 PCMU/8000", "a=rtcp-fb:* nack", "a=fmtp:0 x=1", of=DATA.replace("webrtc-d", "0 d"))
    assert section.codecs == []
    assert section.attributes == [("rtpmap", "0 PCMU/8000"), ("fmtp", "0 x=1"), ("rtcp-fb", "* nack")]


def test_formats_made_here_need_not_be_listed_twice():
    made = SessionDescription()
    made.media.append(MediaDescription("video", 9, "UDP/TLS/RTP/SAVPF", codecs=[Codec(96, "VP8", 90000)]))
    assert "\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" in made.serialize()
    assert SessionDescription.parse(made.serialize()).media[0].codecs == made.media[0].codecs
