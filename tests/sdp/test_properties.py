"""Whatever the text: nothing but ParseError, and what was understood survives writing and reading."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.sdp import check_candidate, check_description, check_fragment, check_tools
from stack.sdp import SessionDescription

from .support import DATA, FINGERPRINT, HEADER, load, text_of

NAMES = [
    "candidate", "end-of-candidates", "extmap", "extmap-allow-mixed", "fingerprint", "fmtp", "group", "ice-lite",
    "ice-options", "ice-pwd", "ice-ufrag", "max-message-size", "maxptime", "mid", "msid", "msid-semantic", "ptime",
    "rid", "rtcp", "rtcp-fb", "rtcp-mux", "rtpmap", "sctp-port", "sendonly", "sendrecv", "setup", "simulcast", "ssrc",
    "ssrc-group", "tls-id", "x-unknown",
]  # fmt: skip
WORDS = [
    "96", "97", "0", "*", "1", "2", "nack", "pli", "ccm fir", "VP8/90000", "opus/48000/2", "apt=96", "a=1;b", "0-15",
    "x=1;x", "x;x=1", ";", "=", "FID", "cname:a", "cname:b", "msid:a b", "send", "recv", "hi", "~lo", "pt=96", "hi;lo",
    "BUNDLE", "active", "actpass", "urn:x", "3/sendonly", "4096", "udp", "TCP", "2130706431", "192.0.2.1", "fd00::2",
    "a.local", "9", "typ", "host", "srflx", "raddr", "rport", "tcptype", "ufrag", "generation", "abcd", "p" * 22,
    "t" * 20, FINGERPRINT, "IN IP4 0.0.0.0", "trickle,ice2", "20", "2.5", "", " ", "\t", "\u00e9", ":",
]  # fmt: skip

values = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
attribute = st.builds(
    lambda name, value: f"a={name}" if value is None else f"a={name}:{value}",
    st.sampled_from(NAMES),
    st.none() | values,
)
candidate = st.builds(
    "a=candidate:{} {} {} {} {} {} typ {} {}".format,
    st.sampled_from(["1", "a+/", "f957"]),
    st.integers(1, 257),
    st.sampled_from(["udp", "UDP", "tcp", "sctp"]),
    st.integers(1, 2**31),
    st.sampled_from(["192.0.2.1", "fd00::2", "a.local"]),
    st.integers(0, 65535),
    st.sampled_from(["host", "srflx", "x"]),
    st.sampled_from(["", "raddr :: rport 0", "generation 0 ufrag abcd", "tcptype so", "tcptype", "x"]),
)
GOOD = [
    "a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=rtpmap:0 opus/48000/2", "a=rtpmap:98 x/1", "a=fmtp:96 a=1;b",
    "a=fmtp:96 0-15", "a=fmtp:96 b=2", "a=fmtp:0 x", "a=fmtp:96 x;x=1;=", "a=rtcp-fb:96 nack", "a=rtcp-fb:* ccm fir",
    "a=rtcp-fb:97 nack", "a=ssrc:1 cname:a", "a=ssrc:1 msid:a b", "a=ssrc:1 msid:c d", "a=ssrc:2 x", "a=rid:hi send",
    "a=ssrc-group:FID 1 2", "a=simulcast:send hi;~lo recv x", "a=ptime:20", "a=ptime:2.125", "a=msid:a b", "a=msid:-",
    "a=msid-semantic: WMS", "a=extmap:4096 u", "a=ice-options:a,b", "a=ice-options:b c", "a=rtcp:9", "a=x", "a=x:",
    "a=fingerprint:" + FINGERPRINT, "a=setup:active", "a=sendonly", "a=end-of-candidates", "a=rid:lo recv pt=96;x;y=1",
]  # fmt: skip
other = st.sampled_from(["b=AS:1", "c=IN IP4 192.0.2.1", "i=x", "k=prompt", "", "x"])
good = st.sampled_from(GOOD)
section = st.builds(
    lambda first, rest: [first, *rest],
    st.sampled_from(["m=video 9 UDP/TLS/RTP/SAVPF 96 97", "m=audio 0 RTP/AVP 0 96", DATA, "m=x 1/2 a/b c"]),
    st.lists(good | good | good | candidate | attribute | other, max_size=8),
)
description = st.builds(
    lambda session, sections: text_of(*HEADER, *session, *(line for s in sections for line in s)),
    st.lists(good, max_size=4),
    st.lists(section, max_size=3),
)
quiet = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quiet
@given(description)
def test_descriptions_of_plausible_lines(text):
    assert check_description(text.encode()) is None


@quiet
@given(attribute | candidate)
def test_one_plausible_line(line):
    assert (
        check_description(text_of(*HEADER, "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "a=rtpmap:96 VP8/90000", line).encode())
        is None
    )


@quiet
@given(st.text(max_size=300) | candidate)
def test_candidates(text):
    assert check_candidate(text.encode("utf-8", "surrogatepass")) is None


@settings(parent=quiet, max_examples=150)
@given(description)
def test_tools_raise_on_no_description(text):
    assert check_tools(text.encode()) is None


@settings(parent=quiet, max_examples=150)
@given(st.lists(section, max_size=3))
def test_fragments_of_plausible_lines(sections):
    assert check_fragment(text_of(*(line for lines in sections for line in lines)).encode()) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("text", "expected"), list(load("browsers.json"))[::3])
def test_captures_with_a_line_moved_cut_or_doubled(text, expected, data):
    parts = text.split("\r\n")
    at, to = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, len(parts) - 1))
    match data.draw(st.integers(0, 3)):
        case 0:
            parts.insert(to, parts.pop(at))
        case 1:
            parts.insert(to, parts[at])
        case 2:
            parts[at] = parts[at][: data.draw(st.integers(0, len(parts[at])))]
        case _:
            del parts[at]
    assert check_description("\r\n".join(parts).encode()) is None
    assert len(SessionDescription.parse(text).media) == len(expected["media"])
