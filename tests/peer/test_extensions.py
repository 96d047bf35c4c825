"""Header extensions that are encrypted (RFC 6904), from descriptions to packets."""

import re

import pytest

from stack import peer, rtp, sdp
from stack.peer.codecs import HEADER_EXTENSIONS
from stack.peer.extensions import ENCRYPT, Form, form_of, usable
from stack.testing import Conditions

from .support import Call

KEY = b"\x10\x02\x00\x9d\x01\x2a"
VIDEO = set(HEADER_EXTENSIONS["video"])


def call_of(*, ours=True, theirs=True):
    call = Call(Conditions(delay=0.02), configuration=peer.Configuration(encrypt_extensions=ours))
    if not theirs:
        call.b = peer.PeerConnection(
            certificate=call.b.transport.certificate, random_bytes=call.b._random_bytes, configuration=None
        )
        call.link.machines = call.a, call.b
    return call


def forms(connection, index=-1):
    media = sdp.SessionDescription.parse(connection.local_description.sdp).media[index]
    return [form_of(ext) for ext in media.extmaps]


def test_off_by_default():
    call = Call()
    call.a.add_track("video")
    call.negotiate()
    assert ENCRYPT not in call.a.local_description.sdp
    assert call.a.transceivers[0].encrypted == frozenset()


def test_both_forms_are_offered_and_the_encrypted_one_is_chosen():
    call = call_of()
    call.a.add_track("video")
    call.negotiate()
    assert set(forms(call.a)) == {Form(uri, encrypted) for uri in VIDEO for encrypted in (True, False)}
    assert set(forms(call.b)) == {Form(uri, encrypted=True) for uri in VIDEO}
    assert re.search(rf"a=extmap:\d+ {ENCRYPT} {rtp.MID}\r\n", call.b.local_description.sdp)
    for side in (call.a, call.b):
        (video,) = side.transceivers
        assert video.encrypted == video.extensions.keys() == VIDEO
        assert video.reports == "transport-cc"


def test_a_peer_that_does_not_encrypt_gets_them_plain():
    for ours, theirs in ((True, False), (False, True)):
        call = call_of(ours=ours)
        call.b.session._encrypt_extensions = theirs
        call.a.add_track("video")
        call.negotiate()
        assert set(forms(call.b)) == {Form(uri) for uri in VIDEO}
        assert {t.encrypted for side in (call.a, call.b) for t in side.transceivers} == {frozenset()}


def test_packets_are_understood_and_say_nothing_on_their_way():
    call = call_of()
    mids = {}
    sound, video = call.a.add_track("audio"), None
    assert call.connect()
    call.link._keep_trace = True

    def play(seconds):
        end, number = call.now + seconds, 0
        while call.now < end:
            call.a.send_frame(sound, bytes(160), round(call.now * 48000) & 0xFFFFFFFF, call.now)
            if video is not None:
                call.a.send_frame(video, KEY + bytes(3000), number * 1800, call.now, keyframe=True)
            number += 1
            call.link.run(seconds=0.02)

    play(0.5)
    video = call.a.add_track("video")  # with an extension that the sound has not
    call.negotiate()
    play(1.5)
    kinds = [event.transceiver.kind for event in call.reported(1, peer.MediaReceived)]
    assert kinds.count("audio") > 90
    assert kinds.count("video") > 70
    assert call.a.media.sending.estimator.dropped.total() == 0
    assert call.a.media.sending.estimator.acknowledged_bitrate > 800_000
    assert not call.b.transport.media.dropped
    for transceiver in (sound, video):
        number = transceiver.extensions[rtp.MID]
        for _, sender, data in call.link.trace:
            if sender == 0 and data[0] >> 6 == 2 and int.from_bytes(data[8:12], "big") == transceiver.ssrc:
                mids.setdefault(transceiver.kind, set()).add(rtp.Packet.parse(data).extensions[number])
    assert all(len(values) > 40 for values in mids.values())  # a byte of keystream for each packet
    assert mids.keys() == {"audio", "video"}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([(1, "a", ""), (2, ENCRYPT, "a")], {Form("a", encrypted=True): 2}),
        ([(2, ENCRYPT, "a 25@600/24"), (1, "a", "")], {Form("a", encrypted=True): 2}),
        ([(1, "a", "")], {Form("a"): 1}),
        ([(1, ENCRYPT, ENCRYPT), (2, ENCRYPT, "")], {}),
        ([(1, "a", ""), (1, ENCRYPT, "a")], {Form("a"): 1}),
        ([(4096, ENCRYPT, "a"), (15, "a", "")], {}),
    ],
)
def test_what_can_be_used_of_an_offer(lines, found):
    extmaps = [sdp.ExtMap(number, uri, attributes=attributes) for number, uri, attributes in lines]
    assert usable(extmaps, {Form("a"), Form("a", encrypted=True)}) == found
