"""Each rule finds what it is for, in the right line, and nothing in what is good."""

import re

import pytest

from stack.core import ParseError
from stack.sdp import MAX_SIZE, SessionDescription
from stack.sdp.errors import shortened
from stack.sdp.lint import MAX_FINDINGS, RULES, lint

from .support import FINGERPRINT, load, text_of

GOOD = [
    "v=0",
    "o=- 1 2 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1 2",
    "a=extmap-allow-mixed",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
    "c=IN IP4 0.0.0.0",
    "a=candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host",
    "a=candidate:2 1 udp 1686052607 203.0.113.1 50000 typ srflx raddr 192.0.2.1 rport 50000",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    "a=ice-options:trickle",
    "a=fingerprint:" + FINGERPRINT,
    "a=setup:actpass",
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=ssrc:1 cname:x",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98",
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    "a=fingerprint:" + FINGERPRINT,
    "a=setup:actpass",
    "a=mid:1",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=sendonly",
    "a=rtcp-mux",
    "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:96 nack pli",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=rtpmap:98 H264/90000",
    "a=fmtp:98 packetization-mode=1;profile-level-id=42e01f",
    "a=ssrc:2 cname:x",
    "a=ssrc:3 cname:x",
    "a=ssrc-group:FID 2 3",
    "a=rid:hi send pt=96",
    "a=simulcast:send hi",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
    "a=fingerprint:" + FINGERPRINT,
    "a=setup:actpass",
    "a=mid:2",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
]
VIDEO = GOOD.index("m=video 9 UDP/TLS/RTP/SAVPF 96 97 98")
DATA = VIDEO + 21
HOST = "a=candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host"
SRFLX = GOOD[9]


def changed(old, new, times=1):
    """GOOD with the first lines that equal `old` replaced by the lines of `new`."""
    lines = []
    for line in GOOD:
        if line == old and times:
            lines += new.split("\n") if new else []
            times -= 1
        else:
            lines.append(line)
    assert lines != GOOD
    return lines


CREDENTIALS = ("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")
WITHOUT_ICE = [line for line in GOOD if line not in CREDENTIALS]
WITHOUT_FINGERPRINT = [line for line in GOOD if not line.startswith("a=fingerprint")]
CASES = [
    ("space-at-end", changed("a=rtcp-mux", "a=rtcp-mux "), 19),
    ("line-order", changed("a=sendonly", "a=sendonly\nb=AS:500"), VIDEO + 10),
    ("line-twice", changed("a=sendonly", "a=sendonly\na=sendonly"), VIDEO + 10),
    ("no-sections", GOOD[:4], 1),
    ("times", changed("t=0 0", "t=0 1"), 4),
    ("connection-missing", changed("c=IN IP4 0.0.0.0", ""), 7),
    ("mid-missing", changed("a=mid:1", ""), VIDEO + 1),
    ("group-unknown-mid", changed("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 3"), 5),
    ("bundle-twice", changed("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1\na=group:BUNDLE 1 2"), 6),
    ("bundle-missing", changed("a=group:BUNDLE 0 1 2", ""), 6),
    ("bundle-only-port", changed("a=sendonly", "a=sendonly\na=bundle-only"), VIDEO + 1),
    (
        "bundle-only-alone",
        [*changed("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1"), "a=bundle-only"],
        len(GOOD) + 1,
    ),
    ("bundle-protocol", changed(GOOD[VIDEO], "m=video 9 RTP/SAVPF 96 97 98"), VIDEO + 1),
    ("bundle-no-mid-extension", changed("a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid", ""), 7),
    (
        "bundle-transport-differs",
        changed("a=fingerprint:" + FINGERPRINT, "a=fingerprint:sha-1 " + "AA:" * 19 + "AA"),
        26,
    ),
    ("plain-rtp", [line.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP") for line in WITHOUT_FINGERPRINT], 7),
    ("profile", [line.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF") for line in GOOD], 7),
    ("sdes", changed("a=sendonly", "a=sendonly\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret"), VIDEO + 10),
    ("fingerprint-missing", WITHOUT_FINGERPRINT, 7),
    ("fingerprint-weak", changed("a=fingerprint:" + FINGERPRINT, "a=fingerprint:sha-1 " + "AA:" * 19 + "AA", 3), 14),
    ("setup-missing", changed("a=setup:actpass", ""), 7),
    ("setup-role", changed("a=setup:actpass", "a=setup:holdconn"), 15),
    ("setup-offer", changed("a=setup:actpass", "a=setup:active"), 15),
    ("identity", changed("a=extmap-allow-mixed", "a=identity:eyJ"), 6),
    ("ice-missing", WITHOUT_ICE, 7),
    ("ice-missing", changed("a=ice-ufrag:abcd", ""), 11),
    ("ice-characters", changed("a=ice-ufrag:abcd", "a=ice-ufrag:ab_d"), 11),
    ("ice-options-form", changed("a=ice-options:trickle", "a=ice-options:ice2,trickle"), 13),
    ("lite-candidates", changed("a=extmap-allow-mixed", "a=ice-lite"), 10),
    ("candidate-ignored", changed(HOST, HOST.replace("udp", "sctp")), 9),
    ("candidate-related", changed(SRFLX, SRFLX.partition(" raddr")[0]), 10),
    ("candidate-related", changed(HOST, HOST + " raddr 192.0.2.1 rport 9"), 9),
    ("candidate-tcp", changed(HOST, HOST.replace("udp", "tcp")), 9),
    ("candidate-tcp", changed(HOST, HOST + " tcptype active"), 9),
    ("candidate-tcp", changed(HOST, HOST.replace("udp", "tcp") + " tcptype active"), 9),
    ("candidate-name", changed(HOST, HOST.replace("192.0.2.1", "car.example.org")), 9),
    ("candidate-component", [*GOOD, HOST.replace(" 1 udp", " 2 udp")], len(GOOD) + 1),
    ("candidate-twice", changed(HOST, HOST + "\n" + HOST.replace(":1 1", ":9 1")), 10),
    ("candidate-ufrag", changed(HOST, HOST + " ufrag wxyz"), 9),
    ("candidate-priority", changed(HOST, HOST.replace("2122260223", "1")), 9),
    ("candidate-priority", changed(SRFLX, SRFLX.replace("1686052607", "2122260223").replace("srflx", "relay")), 10),
    ("candidate-after-end", changed(HOST, "a=end-of-candidates\n" + HOST), 11),
    (
        "end-without-candidates",
        [line for line in changed("a=sendrecv", "a=end-of-candidates") if not line.startswith("a=cand")],
        16,
    ),
    ("rtcp-mux-missing", changed("a=rtcp-mux", ""), 7),
    ("rtcp-mux-only", changed("a=rtcp-mux", "a=rtcp-mux-only"), 19),
    ("feedback-missing", changed("a=rtcp-fb:96 nack pli", ""), VIDEO + 1),
    ("format-undescribed", changed("a=rtpmap:96 VP8/90000", ""), VIDEO + 1),
    ("format-unlisted", changed("a=sendonly", "a=sendonly\na=rtpmap:99 x/1"), VIDEO + 10),
    ("format-reserved", changed(GOOD[VIDEO], GOOD[VIDEO] + " 72"), VIDEO + 1),
    ("format-conflict", changed("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/48000/2\na=rtpmap:96 x/8000"), None),
    ("format-parameters", changed("a=fmtp:97 apt=96", ""), VIDEO + 13),
    ("rtx-of-nothing", changed("a=fmtp:97 apt=96", "a=fmtp:97 apt=95"), VIDEO + 14),
    ("h264-mode", changed(GOOD[VIDEO + 15], "a=fmtp:98 profile-level-id=42e01f"), VIDEO + 1),
    ("opus-form", changed("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/48000"), 20),
    ("extmap-levels", changed("a=extmap-allow-mixed", "a=extmap:2 urn:x"), 6),
    ("extmap-conflict", changed("a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid", "a=extmap:1 urn:x"), VIDEO + 8),
    (
        "extmap-two-byte",
        [line for line in changed("a=sendonly", "a=extmap:16 urn:x") if "mixed" not in line],
        VIDEO + 8,
    ),
    ("extmap-twice", changed("a=sendonly", "a=extmap:2 urn:x\na=extmap:3 urn:x"), VIDEO + 10),
    ("ssrc-conflict", changed("a=ssrc:2 cname:x", "a=ssrc:1 cname:x"), VIDEO + 17),
    ("ssrc-cname", changed("a=ssrc:1 cname:x", "a=ssrc:1 label:x"), 21),
    ("ssrc-group-member", changed("a=ssrc:3 cname:x", ""), VIDEO + 18),
    ("msid-semantic", changed("a=extmap-allow-mixed", "a=msid-semantic: WMS"), 6),
    ("rid-discarded", changed("a=sendonly", "a=rid:hi both"), VIDEO + 9),
    ("rid-format", changed("a=rid:hi send pt=96", "a=rid:hi send pt=50"), VIDEO + 20),
    ("simulcast-rid", changed("a=simulcast:send hi", "a=simulcast:send hi;lo"), VIDEO + 21),
    ("sctp-port-missing", changed("a=sctp-port:5000", ""), DATA + 1),
    ("sctpmap", changed("a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel 1024"), DATA + 8),
    ("sctp-protocol", changed(GOOD[DATA], "m=application 9 DTLS/SCTP webrtc-datachannel"), DATA + 1),
    ("max-message-size", changed("a=max-message-size:262144", ""), DATA + 1),
    ("line-ends", None, 1),
]


def test_a_good_offer_has_nothing_to_find():
    assert lint(text_of(*GOOD), "offer") == []


@pytest.mark.parametrize(("rule", "lines", "number"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_a_rule(rule, lines, number):
    if rule == "format-conflict":
        lines = [line.replace("111 0", "111 96") for line in lines]
        number = VIDEO + 12
    text = text_of(*GOOD).replace("\r\n", "\n") if lines is None else text_of(*lines)
    found = [finding for finding in lint(text, "offer") if finding.rule == rule]
    assert [finding.line for finding in found][:1] == [number]
    assert (found[0].severity, found[0].source) == (RULES[rule].severity, RULES[rule].source)
    assert found[0].text == shortened(text.split("\n")[number - 1].rstrip("\r"))
    assert found[0].message


def test_every_rule_has_a_test_and_a_source():
    assert {case[0] for case in CASES} == set(RULES)
    for rule in RULES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
        assert re.fullmatch(r"RFC [0-9]{4} section [0-9.]+", rule.source)
        assert rule.severity in {"error", "warning", "info"}


def test_wrong_lines_are_findings_too_and_the_rules_go_on():
    lines = [line.replace("a=setup:actpass", "a=setup:leader") for line in changed("a=rtcp-mux", "")]
    found = [(finding.line, finding.rule) for finding in lint(text_of(*lines))]
    assert found == [
        (7, "rtcp-mux-missing"),
        (15, "syntax-bad-setup"),
        (26, "syntax-bad-setup"),
        (47, "syntax-bad-setup"),
    ]
    assert lint(text_of(*lines))[1].source == "RFC 4145 section 4"


def test_sections_are_counted_past_one_that_cannot_be_read():
    lines = changed(GOOD[VIDEO], "m=video nine x 96")
    lines[-2] = "a=sctpmap:5000 webrtc-datachannel 1"
    found = {finding.rule: (finding.line, finding.section) for finding in lint(text_of(*lines))}
    assert found["syntax-bad-media"] == (VIDEO + 1, None)
    assert found["sctpmap"] == (len(GOOD) - 1, 1)


def test_an_answer_has_rules_of_its_own():
    found = {finding.rule for finding in lint(text_of(*changed("a=rtcp-mux", "a=rtcp-mux\na=rtcp-mux-only")), "answer")}
    assert found == {"setup-role", "rtcp-mux-only"}


def test_secrets_are_not_shown():
    lines = changed("a=sendonly", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret")
    lines = [line.replace("a=ice-pwd:abc", "a=ice-pwd:_bc") for line in lines]
    found = {finding.rule: finding.text for finding in lint(text_of(*lines))}
    assert (found["sdes"], found["ice-characters"]) == ("a=crypto:...", "a=ice-pwd:...")


@pytest.mark.parametrize(("text", "expected"), [*load("browsers.json"), *load("stacks.json")])
def test_nothing_is_wrong_with_what_works_everywhere(text, expected):
    kind = "answer" if SessionDescription.parse(text).media[0].setup != "actpass" else "offer"
    found = {finding.rule for finding in lint(text, kind) if finding.severity != "info"}
    assert found <= {"ice-options-form"}
    assert expected["media"]


def test_findings_are_bounded():
    lines = [*GOOD, *(["a=mid:x"] * 2000)]
    assert len(lint(text_of(*lines))) == MAX_FINDINGS
    lines = [*GOOD, *(f"a=x:{n} " for n in range(2000))]
    assert len(lint(text_of(*lines))) == MAX_FINDINGS


def test_what_is_too_large_is_refused():
    with pytest.raises(ParseError) as caught:
        lint("x" * (MAX_SIZE + 1))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize("text", ["", "\n", "m=", "v=0\r\nm=audio", "a=candidate:"])
def test_next_to_nothing(text):
    assert any(finding.severity == "error" for finding in lint(text))
