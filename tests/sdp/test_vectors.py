"""What browsers and other stacks really write, and the examples of RFC 8829."""

import pytest

from stack.sdp import SctpMap, SessionDescription, format_of
from stack.sdp.lint import RULES, lint

from .support import load, round_trip

ALL = [*load("browsers.json"), *load("stacks.json"), *load("representative.json"), *load("rfc8829.json")]


def codec(c, kind):
    return [
        c.payload_type,
        c.name,
        c.clock_rate,
        c.channels or (1 if kind == "audio" else None),
        {c.raw_parameters: None} if c.raw_parameters else c.parameters,
        [list(feedback) for feedback in c.feedback],
    ]


def candidate(c):
    return [
        c.foundation, c.component, c.transport, c.priority, c.host, c.port, c.type,
        c.related_host, c.related_port, c.tcp_type,
    ]  # fmt: skip


def section(s, m):
    ufrag, pwd = s.ice_parameters_of(m)
    return {
        "kind": m.kind,
        "port": m.port,
        "protocol": m.protocol,
        "formats": m.formats,
        "mid": m.mid,
        "direction": s.direction_of(m),
        "rtcp_mux": m.rtcp_mux,
        "ice_ufrag": ufrag,
        "ice_pwd": pwd,
        "setup": s.setup_of(m),
        "fingerprints": [list(fingerprint) for fingerprint in s.fingerprints_of(m)],
        "candidates": [candidate(c) for c in m.candidates],
        "end_of_candidates": m.end_of_candidates,
        "codecs": [codec(c, m.kind) for c in m.codecs],
        "extmaps": [[extmap.id, extmap.uri] for extmap in m.extmaps],
        "ssrcs": [[source.ssrc, source.attributes.get("cname")] for source in m.ssrcs],
        "sctp_port": m.sctp_port,
        "max_message_size": m.max_message_size,
    }


@pytest.mark.parametrize(("text", "expected"), ALL)
def test_it_says_what_an_independent_parser_found(text, expected):
    parsed = SessionDescription.parse(text)
    assert [[group.semantics, group.items] for group in parsed.groups] == expected["groups"]
    assert [section(parsed, m) for m in parsed.media] == expected["media"]


def comparable(text):
    """The lines without what is equal but written in another way."""
    for line in text.split("\r\n"):
        if line.startswith("a=candidate:"):
            head, _, rest = line.partition(" typ ")
            words = rest.split(" ")
            yield head.lower(), words[0], sorted(zip(words[1::2], words[2::2], strict=True))
        elif line.startswith("a=ice-options:"):
            yield line.replace(",", " ")
        else:
            lower = line.replace("fingerprint:SHA", "fingerprint:sha").rstrip(" ")
            yield lower.replace("msid-semantic: ", "msid-semantic:").replace(" ;", ";").replace("; ", ";")


@pytest.mark.parametrize(("text", "expected"), ALL)
def test_no_line_is_lost_or_invented(text, expected):
    written = round_trip(SessionDescription.parse(text))
    assert sorted(map(repr, comparable(written))) == sorted(map(repr, comparable(text)))
    assert len(expected["media"]) == written.count("\r\nm=")


@pytest.mark.parametrize(("text", "expected"), ALL)
def test_line_feeds_alone_say_the_same(text, expected):
    assert SessionDescription.parse(text.replace("\r\n", "\n")) == SessionDescription.parse(text)
    assert len(SessionDescription.parse(text.rstrip("\r\n")).media) == len(expected["media"])


def test_the_detailed_example_of_rfc_8829():
    offer = next(p.values[0] for p in load("rfc8829.json") if p.id == "offer-B2")
    audio, data, camera, screen = SessionDescription.parse(offer).media
    assert [rid.id for rid in camera.rids] == ["1", "2", "3"]
    assert [[alternative.rid for alternative in stream] for stream in camera.simulcast.send] == [["1"], ["2"], ["3"]]
    assert camera.codec(100).name == "VP8"
    assert camera.codec(1) is None
    assert (data.sctp_port, screen.codec(103).parameters) == (5000, {"apt": "101"})
    assert audio.tls_id == "7a25ab85b195acaf3121f5a8ab4f0f71"
    assert audio.maxptime == 120.0


def test_bundle_only_sections_of_rfc_8829_are_not_rejected():
    offer = next(p.values[0] for p in load("rfc8829.json") if p.id == "offer-C1")
    sections = SessionDescription.parse(offer).media
    assert [(m.port, m.bundle_only, m.is_rejected) for m in sections] == [(9, False, False), (0, True, False)]


def representative(name):
    return SessionDescription.parse(next(p.values[0] for p in load("representative.json") if p.id == name))


def test_simulcast_of_safari():
    video = representative("safari-offer").media[1]
    assert [rid.id for rid in video.rids] == ["hi", "lo"]
    assert video.codec(100).name == "H265"
    assert format_of(video.codec(98)).profile_level_id.profile == "constrained high"


def test_what_old_chrome_and_gateways_write_is_recognised():
    *_, data = representative("chrome-2017-offer").media
    assert (data.sctp_port, data.sctp_maps) == (None, [SctpMap(5000, "webrtc-datachannel", 1024)])
    (audio,) = representative("sip-gateway-offer").media
    assert [crypto.suite for crypto in audio.cryptos] == ["AES_CM_128_HMAC_SHA1_80"]
    assert audio.fingerprints == []
    assert representative("webrtcbin-offer").media[0].frame_rate == 30.0


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("safari-offer", set()),
        ("livekit-offer", set()),
        ("mediasoup-answer", {"space-at-end"}),
        ("janus-answer", {"bundle-no-mid-extension"}),
        ("webrtcbin-offer", set()),
        ("asterisk-answer", set()),
        ("freeswitch-offer", {"profile", "mid-missing"}),
        ("sip-gateway-offer", {"sdes", "fingerprint-missing", "ice-missing", "rtcp-mux-missing"}),
        ("chrome-2017-offer", {"sctpmap", "sctp-protocol", "bundle-no-mid-extension"}),
    ],
)
def test_what_is_wrong_with_them(name, rules):
    text = next(p.values[0] for p in load("representative.json") if p.id == name)
    found = {finding.rule for finding in lint(text, name.rpartition("-")[2]) if finding.severity != "info"}
    assert found >= rules
    assert not [rule for rule in found - rules if RULES[rule].severity == "error"]
