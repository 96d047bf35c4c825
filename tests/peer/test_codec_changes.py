"""Codecs that change while media flows: setCodecPreferences and another negotiation, on either side."""

import pytest

from stack import peer, rtp, sdp
from stack.core import LocalError
from stack.peer.codecs import DYNAMIC_PAYLOAD_TYPES, offered, renumbered
from stack.testing import Conditions

from .support import Call

FRAMES = {
    "video/VP8": b"\x10\x02\x00\x9d\x01\x2a" + bytes(3000),
    "video/H264": b"\0\0\0\1\x67\x42\xe0\x1f\0\0\0\1\x68\xce\0\0\0\1\x65" + bytes(3000),
    "audio/opus": bytes(160),
    "audio/PCMU": b"\xff" * 160,
}
SECONDS = 0.5


def codecs_named(kind, *names):
    return [codec for name in names for codec in peer.CODECS[kind] if codec.name == name]


def play(call, mime):
    """Send frames of a codec for a while; return those that arrived."""
    before, clock = len(call.reported(1, peer.events.MediaReceived)), rtp_clock(call)
    end = call.now + SECONDS
    while call.now < end:
        timestamp = round(call.now * clock) & 0xFFFFFFFF
        call.a.send_frame(call.a.transceivers[0], FRAMES[mime], timestamp, call.now, keyframe=True)
        call.link.run(seconds=1 / 30)
    call.link.run(seconds=0.2)
    return [event.frame for event in call.reported(1, peer.events.MediaReceived)[before:]]


def rtp_clock(call):
    return call.a.transceivers[0].codecs[0].codec.clock_rate


def started(call):
    return [event.mime_type for event in call.reported(0, peer.events.SendingStarted)]


@pytest.mark.parametrize("who", ["offerer", "answerer"])
@pytest.mark.parametrize(
    ("kind", "first", "second"), [("video", "VP8", "H264"), ("video", "H264", "VP8"), ("audio", "opus", "PCMU")]
)
def test_the_codec_changes_with_the_next_negotiation(who, kind, first, second):
    call = Call(Conditions(delay=0.02))
    call.a.add_track(kind)
    call.a.set_codec_preferences(call.a.transceivers[0], codecs_named(kind, first, second))
    assert call.connect()
    assert {frame.mime for frame in play(call, f"{kind}/{first}")} == {f"{kind}/{first}".lower()}
    ssrc, sender = call.a.transceivers[0].ssrc, call.a.transceivers[0].sender
    number = sender.next_sequence_number
    chooser = call.a if who == "offerer" else call.b
    chooser.set_codec_preferences(chooser.transceivers[0], codecs_named(kind, second))
    call.negotiate()
    frames = play(call, f"{kind}/{second}")
    assert started(call) == [f"{kind}/{first}", f"{kind}/{second}"]
    assert len(call.reported(0, peer.events.SendingStopped)) == 1
    assert len(frames) >= 10
    assert {frame.mime for frame in frames} == {f"{kind}/{second}".lower()}
    assert (call.a.transceivers[0].ssrc, call.a.transceivers[0].sender) == (ssrc, sender)
    assert sender.next_sequence_number > number  # and no second beginning, which SRTP would have to guess


def test_a_negotiation_that_changes_nothing_stops_nothing():
    call = Call(Conditions(delay=0.02))
    call.a.add_track("video")
    assert call.connect()
    call.negotiate()
    assert play(call, "video/VP8")
    assert len(started(call)) == 1
    assert call.reported(0, peer.events.SendingStopped) == []


def test_payload_types_keep_their_meaning():
    """RFC 3264 section 8.3.2, and RFC 9143 section 9.1 for the other sections."""
    call = Call()
    call.a.add_track("video")
    call.a.set_codec_preferences(call.a.transceivers[0], codecs_named("video", "VP8"))
    call.negotiate()
    call.a.set_codec_preferences(call.a.transceivers[0], codecs_named("video", "H264", "VP8"))
    call.a.add_track("video")
    call.negotiate()
    sections = sdp.SessionDescription.parse(call.b.remote_description.sdp).media
    assert len(sections) == 2
    meanings = {}
    for media in sections:
        for codec in media.codecs:
            meaning = codec.name, tuple(sorted(codec.parameters.items()))
            assert meanings.setdefault(codec.payload_type, meaning) == meaning
    assert [codec.payload_type for codec in sections[0].codecs if codec.name == "VP8"] == [96]


def test_numbers_that_are_taken_are_not_used():
    media = sdp.MediaDescription("video", 9, "UDP/TLS/RTP/SAVPF")
    wanted = offered(codecs_named("video", "H264"))
    media.codecs = [sdp.Codec(wanted[0].payload_type, "something", 90000)]
    found = renumbered(wanted, [media])
    numbers = [number for item in found for number in (item.payload_type, item.rtx_payload_type)]
    assert len(set(numbers)) == len(numbers) == 2 * len(wanted)
    assert wanted[0].payload_type not in numbers
    first = wanted[0].payload_type
    media.codecs = [sdp.Codec(number, "something", 90000) for number in range(96, first + 1)]
    numbers = [
        number for item in renumbered(wanted[:1], [media]) for number in (item.payload_type, item.rtx_payload_type)
    ]
    assert numbers == [first + 1, first + 2]  # and not its own second number twice
    media.codecs = [sdp.Codec(number, "something", 90000) for number in DYNAMIC_PAYLOAD_TYPES[1:]]
    assert renumbered(wanted, [media]) == []


def test_a_receiver_takes_more_codecs_but_no_other_kind():
    receiver = rtp.Receiver(local_ssrc=1, codecs={96: ("video/VP8", 90000)}, random_bytes=bytes, cname="x")
    receiver.renegotiate({98: ("video/H264", 90000)}, {99: 98}, rtp.ExtensionMap({rtp.MID: 4}))
    assert receiver.extension_map[rtp.MID] == 4
    for codec in (("audio/opus", 48000), ("video/VP8", 1000)):
        with pytest.raises(LocalError, match="another"):
            receiver.renegotiate({100: codec}, {}, rtp.ExtensionMap())
