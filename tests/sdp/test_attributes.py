"""Attributes that we act on: what is understood, what is refused, what is kept as unknown."""

import pytest

from stack.sdp import (
    Connection,
    ExtMap,
    Fingerprint,
    Group,
    Msid,
    Rid,
    Rtcp,
    Simulcast,
    SimulcastId,
    SsrcDescription,
    SsrcGroup,
)

from .support import DATA, FINGERPRINT, VIDEO, media, refused, round_trip, session

PASSWORD = "p" * 22


ALL_LINES = [
    "a=rtcp:9 IN IP6 ::",
    "a=end-of-candidates",
    "a=ice-ufrag:ab+/",
    "a=ice-pwd:" + PASSWORD,
    "a=ice-options:trickle goog-sped-v1",
    "a=fingerprint:" + FINGERPRINT,
    "a=setup:holdconn",
    "a=tls-id:" + "t" * 20,
    "a=mid:v{1}",
    "a=bundle-only",
    "a=extmap-allow-mixed",
    "a=extmap:1/recvonly urn:x attr ibutes",
    "a=recvonly",
    "a=msid:- t",
    "a=msid:s",
    "a=rtcp-mux",
    "a=rtcp-mux-only",
    "a=rtcp-rsize",
    "a=ptime:2.5",
    "a=maxptime:120",
    "a=rid:hi send pt=96,97;max-width=1280;max-fps",
    "a=rid:lo recv",
    "a=rid:only send max-br=1000",
    "a=simulcast:send hi,~lo;only recv ~x",
    "a=ssrc-group:FID 1 2",
    "a=ssrc:1 cname:a:b",
    "a=ssrc:1 flag",
    "a=ssrc:2 cname:c",
    "a=sctp-port:5000",
    "a=max-message-size:0",
    "a=sctp-init:AQ==",
    "a=unknown",
    "a=empty:",
]


def test_all_of_a_section():
    section = media(*ALL_LINES)
    assert section.rtcp == Rtcp(9, Connection("IN", "IP6", "::"))
    assert (section.ice_ufrag, section.ice_pwd) == ("ab+/", PASSWORD)
    assert section.ice_options == ["trickle", "goog-sped-v1"]
    assert section.fingerprints == [Fingerprint("sha-256", ":".join(["AB"] * 32))]
    assert (section.setup, section.tls_id, section.mid) == ("holdconn", "t" * 20, "v{1}")
    assert (section.bundle_only, section.extmap_allow_mixed, section.end_of_candidates) == (True, True, True)
    assert section.extmaps == [ExtMap(1, "urn:x", "recvonly", "attr ibutes")]
    assert section.direction == "recvonly"
    assert section.msids == [Msid("-", "t"), Msid("s")]
    assert (section.rtcp_mux, section.rtcp_mux_only, section.rtcp_rsize) == (True, True, True)
    assert (section.ptime, section.maxptime) == (2.5, 120.0)
    assert section.rids == [
        Rid("hi", "send", ["96", "97"], {"max-width": "1280", "max-fps": None}),
        Rid("lo", "recv"),
        Rid("only", "send", [], {"max-br": "1000"}),
    ]
    assert section.simulcast == Simulcast(
        send=[[SimulcastId("hi"), SimulcastId("lo", paused=True)], [SimulcastId("only")]],
        recv=[[SimulcastId("x", paused=True)]],
    )
    assert section.ssrc_groups == [SsrcGroup("FID", [1, 2])]
    assert section.ssrcs == [SsrcDescription(1, {"cname": "a:b", "flag": None}), SsrcDescription(2, {"cname": "c"})]
    assert (section.sctp_port, section.max_message_size, section.sctp_init) == (5000, 0, "AQ==")
    assert section.attributes == [("unknown", None), ("empty", "")]
    assert round_trip(session(VIDEO, *ALL_LINES)).split("\r\n")[5:-1] == ALL_LINES


def test_groups():
    assert session("a=group:BUNDLE a b", "a=group:LS", "a=group:BUNDLE ").groups == [
        Group("BUNDLE", ["a", "b"]),
        Group("LS"),
        Group("BUNDLE"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=fingerprint:sha-256", "bad-fingerprint"),
        ("a=fingerprint:" + FINGERPRINT[:-3], "bad-fingerprint"),
        ("a=fingerprint:" + FINGERPRINT + ":00", "bad-fingerprint"),
        ("a=fingerprint:sha-256 " + "AB" * 32, "bad-fingerprint"),
        ("a=fingerprint:sha-1 " + ":".join(["0G"] * 20), "bad-fingerprint"),
        ("a=fingerprint: " + FINGERPRINT[8:], "bad-fingerprint"),
        ("a=setup:both", "bad-setup"),
        ("a=setup:ACTIVE", "bad-setup"),
        ("a=setup", "bad-setup"),
        ("a=ice-ufrag:abc", "bad-ice-ufrag"),
        ("a=ice-ufrag:" + "a" * 257, "bad-ice-ufrag"),
        ("a=ice-ufrag:ab:cd", "bad-ice-ufrag"),
        ("a=ice-ufrag:abcd\u00e9", "bad-ice-ufrag"),
        ("a=ice-pwd:" + "p" * 21, "bad-ice-pwd"),
        ("a=ice-pwd:" + "p" * 257, "bad-ice-pwd"),
        ("a=ice-pwd:" + "p" * 21 + " ", "bad-ice-pwd"),
        ("a=ice-options:", "bad-ice-options"),
        ("a=ice-options:a:b", "bad-ice-options"),
        ("a=extmap:0 urn:x", "bad-extmap"),
        ("a=extmap:257 urn:x", "bad-extmap"),
        ("a=extmap:4095 urn:x", "bad-extmap"),
        ("a=extmap:4352 urn:x", "bad-extmap"),
        ("a=extmap:x urn:x", "bad-extmap"),
        ("a=extmap:1", "bad-extmap"),
        ("a=extmap:1 ", "bad-extmap"),
        ("a=extmap:1/both urn:x", "bad-extmap"),
        ("a=extmap:1/ urn:x", "bad-extmap"),
    ],
)
@pytest.mark.parametrize("before", [[], [VIDEO]], ids=["session", "section"])
def test_malformed_at_either_level(line, reason, before):
    found, detail = refused(*before, line)
    assert found == reason
    assert detail.startswith(f"line {5 + len(before)}: {line.partition(':')[0]}: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=mid:", "bad-mid"),
        ("a=mid:a b", "bad-mid"),
        ("a=mid", "bad-mid"),
        ("a=candidate", "bad-candidate"),
        ("a=candidate:1 1 udp 1 192.0.2.1 0 typ host", "bad-candidate"),
        ("a=rtcp:x", "bad-rtcp"),
        ("a=rtcp:70000", "bad-rtcp"),
        ("a=rtcp:9 IN IP4", "bad-rtcp"),
        ("a=tls-id:" + "t" * 19, "bad-tls-id"),
        ("a=tls-id:" + "t" * 256, "bad-tls-id"),
        ("a=sctp-port:65536", "bad-sctp-port"),
        ("a=sctp-port:05000", "bad-sctp-port"),
        ("a=sctp-port:", "bad-sctp-port"),
        ("a=max-message-size:-1", "bad-max-message-size"),
        ("a=max-message-size:064", "bad-max-message-size"),
        ("a=max-message-size:18446744073709551616", "bad-max-message-size"),
        ("a=max-message-size:\u0661", "bad-max-message-size"),
        ("a=msid:", "bad-msid"),
        ("a=msid:a b c", "bad-msid"),
        ("a=msid:a  b", "bad-msid"),
        ("a=msid:a\tb", "bad-msid"),
        ("a=ssrc:x cname:a", "bad-ssrc"),
        ("a=ssrc:4294967296 cname:a", "bad-ssrc"),
        ("a=ssrc:1", "bad-ssrc"),
        ("a=ssrc:1 :a", "bad-ssrc"),
        ("a=ssrc-group:FID", "bad-ssrc-group"),
        ("a=ssrc-group:FID 1 x", "bad-ssrc-group"),
        ("a=ssrc-group: 1", "bad-ssrc-group"),
        ("a=rtpmap:96", "bad-rtpmap"),
        ("a=rtpmap:96 VP8", "bad-rtpmap"),
        ("a=rtpmap:96 VP8/x", "bad-rtpmap"),
        ("a=rtpmap:96 VP8/0", "bad-rtpmap"),
        ("a=rtpmap:96 VP8/4294967296", "bad-rtpmap"),
        ("a=rtpmap:96 opus/48000/0", "bad-rtpmap"),
        ("a=rtpmap:96 opus/48000/two", "bad-rtpmap"),
        ("a=rtpmap:128 VP8/90000", "bad-rtpmap"),
        ("a=rtpmap:096 VP8/90000", "bad-rtpmap"),
        ("a=rtcp-fb:96", "bad-rtcp-fb"),
        ("a=rtcp-fb:96 ", "bad-rtcp-fb"),
    ],
)
def test_malformed_in_a_section(line, reason):
    found, detail = refused(VIDEO, line)
    assert found == reason
    assert detail.startswith(f"line 6: {line.partition(':')[0]}: ")


@pytest.mark.parametrize("line", ["a=group:", "a=group: 0", "a=group:BUNDLE a  b", "a=group:BUNDLE a:b"])
def test_malformed_group(line):
    assert refused(line)[0] == "bad-group"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a=mid:0", "a=mid:1"),
        ("a=setup:active", "a=setup:passive"),
        ("a=ice-ufrag:abcd", "a=ice-ufrag:efgh"),
        ("a=ice-pwd:" + "p" * 22, "a=ice-pwd:" + "q" * 22),
        ("a=sendonly", "a=recvonly"),
        ("a=sctp-port:1", "a=sctp-port:2"),
        ("a=max-message-size:1", "a=max-message-size:2"),
        ("a=tls-id:" + "s" * 20, "a=tls-id:" + "t" * 20),
        ("a=rtcp:9", "a=rtcp:9 IN IP4 0.0.0.0"),
        ("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP9/90000"),
        ("a=ssrc:1 cname:a", "a=ssrc:1 cname:b"),
    ],
)
def test_two_values_where_one_counts(first, second):
    reason, detail = refused(VIDEO, first, second)
    assert reason == "duplicate-attribute"
    assert detail.startswith("line 7: ")
    assert media(first, first) == media(first)


def test_the_same_mid_twice():
    assert refused(VIDEO, "a=mid:0", DATA, "a=mid:0")[0] == "duplicate-mid"


def test_header_extensions_that_share_an_identifier():
    assert refused(VIDEO, "a=extmap:3 urn:x", "a=extmap:3 urn:y")[0] == "bad-extmap"
    assert [e.uri for e in media("a=extmap:4096 urn:x", "a=extmap:4096 urn:y").extmaps] == ["urn:x", "urn:y"]
    assert media("a=extmap:15 urn:x", "a=extmap:256 urn:y").extmaps == [ExtMap(15, "urn:x"), ExtMap(256, "urn:y")]


def test_a_fingerprint_in_lower_case_and_of_an_unknown_algorithm():
    section = media("a=fingerprint:SHA-256 " + ":".join(["ab"] * 32), "a=fingerprint:sha3-256 0a:0b")
    assert section.fingerprints == [Fingerprint("sha-256", ":".join(["AB"] * 32)), Fingerprint("sha3-256", "0A:0B")]


def test_ice_options_of_libdatachannel_and_of_several_lines():
    assert media("a=ice-options:ice2,trickle", "a=ice-options:trickle x").ice_options == ["ice2", "trickle", "x"]


def test_ids_of_gstreamer():
    assert media("a=msid:user1@host-ab transceiver0").msids == [Msid("user1@host-ab", "transceiver0")]


@pytest.mark.parametrize(
    "line",
    [
        "a=rid",
        "a=simulcast",
        "a=ptime",
        "a=fmtp",
        "a=rid:hi",
        "a=rid:hi both",
        "a=rid:h.i send",
        "a=rid:hi send max-width=1;pt=96",
        "a=rid:hi send pt=",
        "a=rid:hi send max-width=1;max-width=2",
        "a=rid:hi send ",
        "a=rid:hi send ;",
        "a=simulcast:send",
        "a=simulcast: send rid=hi;lo",
        "a=simulcast:send a send b",
        "a=simulcast:send a;",
        "a=simulcast:both a",
        "a=ptime:0",
        "a=ptime:x",
        "a=maxptime:1.2345",
        "a=sctpmap:5000 webrtc-datachannel 1024",
        "a=rtcp-mux:x",
        "a=sendrecv:x",
        "a=rtpmap:98 VP8/90000",
        "a=fmtp:98 x=1",
        "a=fmtp:98",
        "a=rtcp-fb:98 nack",
        "a=ssrc-group-of-mine:x",
    ],
)
def test_lines_that_are_kept_and_not_acted_on(line):
    section = media(line)
    name, colon, value = line[2:].partition(":")
    assert section.attributes == [(name, value if colon else None)]
    del section.attributes[:]
    assert section == media()
    assert line in round_trip(session(VIDEO, line))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a=rid:hi send", "a=rid:hi recv"),
        ("a=simulcast:send a", "a=simulcast:send b"),
        ("a=ptime:20", "a=ptime:30"),
        ("a=ssrc:1 msid:a b", "a=ssrc:1 msid:c d"),
    ],
)
def test_second_lines_that_are_kept_and_not_acted_on(first, second):
    assert [tuple(second[2:].split(":", 1))] == media(first, second).attributes
    round_trip(session(VIDEO, first, second))


def test_msid_semantic():
    parsed = session("a=msid-semantic: WMS a", "a=msid-semantic:WMS b")
    assert parsed.msid_semantic == "WMS a"
    assert parsed.attributes == [("msid-semantic", "WMS b")]
    round_trip(parsed)


def test_attributes_of_sections_at_session_level_are_unknown():
    lines = ["a=mid:0", "a=candidate:x", "a=rtcp-mux", "a=bundle-only"]
    assert session(*lines).attributes == [("mid", "0"), ("candidate", "x"), ("rtcp-mux", None), ("bundle-only", None)]
