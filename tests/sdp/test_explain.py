"""What a description offers, in plain words."""

import pytest

from stack.sdp import SessionDescription
from stack.sdp.explain import MAX_SHOWN, explain

from .support import DATA, FINGERPRINT, VIDEO, load, session


def said(*lines):
    return {passage.title: passage.points for passage in explain(session(*lines))}


def test_chromium():
    offer = next(p.values[0] for p in load("browsers.json") if p.id == "chromium-offer-avd")
    whole, audio, video, data = explain(SessionDescription.parse(offer))
    assert whole.title == "session"
    assert whole.points[0] == "sections: 1 of audio, 1 of video, 1 of application"
    assert whole.points[1].startswith("written by libwebrtc")
    assert whole.points[2] == "one transport for 0, 1, 2 (BUNDLE)"
    assert audio.title == "section 1: audio, mid 0"
    assert audio.points[0].startswith("wants to send and to receive: stream ")
    assert "opus with FEC as 111, red of 111/111 as 63" in audio.points[1]
    assert "VP8 as 96 (rtx 97)" in video.points[1]
    assert "H264 constrained baseline 3.1, mode 1 as 108 (rtx 109)" in video.points[1]
    assert "encrypted with DTLS: either side may begin the handshake (actpass), sha-256" in video.points
    assert data.points[0] == "data channels with messages up to 262144 bytes, SCTP port 5000"


@pytest.mark.parametrize(
    ("lines", "section", "point"),
    [
        (["a=ice-lite", DATA], 0, "ICE lite: a server with a public address, which waits for checks and makes none"),
        (["a=ice-pacing:50", DATA], 0, "ICE checks 50 ms apart"),
        (["a=group:LS 0 1", DATA], 0, "lip synchronisation of 0, 1"),
        (["a=group:BUNDLE", DATA], 0, "BUNDLE of nothing"),
        (["a=group:FID 0", DATA], 0, "group FID of 0"),
        (["a=identity:eyJ", DATA], 0, "an identity assertion, which is ignored"),
        ([], 0, "sections: nothing"),
        (["m=video 0 RTP/AVP 96", DATA], 0, "sections: 1 of application; 1 refused or removed"),
        (["m=video 0 RTP/AVP 96"], 1, "refused, or no longer wanted (port 0)"),
        ([VIDEO, "a=sendonly", "a=msid:- t"], 1, "wants to send only: a track in no stream"),
        ([VIDEO, "a=inactive"], 1, "neither sends nor receives for now"),
        ([VIDEO], 1, "no format that is described"),
        ([VIDEO], 1, "RTCP has a port of its own (no rtcp-mux)"),
        ([VIDEO], 1, "NOT encrypted with DTLS: there is no fingerprint"),
        ([VIDEO], 1, "no ICE: only old telephones and gateways connect like this"),
        ([VIDEO, "a=crypto:1 X inline:k"], 1, "keys in the clear (a=crypto), which are never used here"),
        ([VIDEO, "b=AS:500"], 1, "at most 500 kbit/s (AS)"),
        ([VIDEO, "b=X-Y:5"], 1, "b=X-Y:5"),
        ([VIDEO, "a=bundle-only"], 1, "only inside of its BUNDLE group (bundle-only)"),
        ([VIDEO, "a=ptime:20"], 1, "packets of 20.0 ms, at most ? ms"),
        ([VIDEO, "a=simulcast:send hi;~lo,mid recv x"], 1, "simulcast: sends 2 versions: hi, ~lo|mid"),
        ([VIDEO, "a=label:l", "a=content:slides", "a=framerate:25"], 1, "at most 25 frames per second"),
        ([VIDEO, "a=x", "a=y:1"], 1, "kept, and not acted upon: x, y"),
        ([VIDEO, "i=the camera"], 1, "title: the camera"),
        ([VIDEO, "a=extmap:3 urn:x"], 1, "header extensions: urn:x"),
        ([DATA, "a=sctpmap:5000 webrtc-datachannel 256"], 1, "data channels as in an old draft, SCTP port 5000"),
        ([DATA, "a=sctp-port:5000"], 1, "data channels with messages up to 65536 bytes, SCTP port 5000"),
        ([DATA, "a=sctp-port:1", "a=max-message-size:0"], 1, "data channels with messages of any size, SCTP port 1"),
        ([DATA], 1, "data channels, but no SCTP port"),
        (["m=image 9 udptl t38"], 1, "udptl with t38: nothing that WebRTC knows"),
        (
            [DATA, "a=fingerprint:" + FINGERPRINT],
            1,
            "encrypted with DTLS: nobody says who begins the handshake, sha-256",
        ),
    ],
)  # fmt: skip
def test_points(lines, section, point):
    passages = explain(session(*lines))
    assert point in passages[section].points


def test_candidates():
    lines = [
        DATA,
        "a=ice-ufrag:abcd",
        "a=ice-pwd:" + "s3cret" * 4,
        "a=candidate:1 1 udp 1 fd00::2 5000 typ host",
        "a=candidate:2 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "a=candidate:3 1 udp 1 192.0.2.9 5000 typ relay raddr :: rport 9",
        "a=end-of-candidates",
    ]
    points = said(*lines)["section 1: application"]
    assert "ICE user abcd" in points
    assert "2 host candidates, of the machine itself: [fd00::2]:5000/udp, 192.0.2.1:9/tcp active" in points
    assert "1 relay candidates, of a TURN relay: 192.0.2.9:5000/udp" in points
    assert "these are all candidates" in points
    assert "s3cret" not in str(points)
    assert "no candidates yet" in said(*lines[:3])["section 1: application"]


def test_enumerations_and_words_are_cut():
    lines = [VIDEO, *(f"a=extmap:{n} urn:{'x' * 100}" for n in range(1, MAX_SHOWN + 3))]
    (point,) = [point for point in said(*lines)["section 1: video"] if point.startswith("header")]
    assert point.endswith("... and 2 more")
    assert len(point) < MAX_SHOWN * 70


@pytest.mark.parametrize(
    ("origin", "author"),
    [
        ("o=mozilla...THIS_IS_SDPARTA-99.0 1 0 IN IP4 0.0.0.0", "Firefox"),
        ("o=Asterisk 1 0 IN IP4 0.0.0.0", "Asterisk"),
        ("o=FreeSWITCH 1 0 IN IP4 0.0.0.0", "FreeSWITCH"),
        ("o=- 1 0 IN IP4 0.0.0.0", "an implementation that does not tell its name"),
    ],
)
def test_who_wrote_it(origin, author):
    parsed = SessionDescription.parse(f"v=0\r\n{origin}\r\ns=-\r\nt=0 0\r\n")
    assert explain(parsed)[0].points[1].startswith(f"written by {author}; ")


@pytest.mark.parametrize(("text", "expected"), [*load("stacks.json"), *load("rfc8829.json")])
def test_there_is_a_passage_for_each_section(text, expected):
    passages = explain(SessionDescription.parse(text))
    assert len(passages) == 1 + len(expected["media"])
    assert all(passage.points for passage in passages)
