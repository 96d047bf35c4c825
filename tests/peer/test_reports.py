"""Reports on single packets: which kind is agreed on (RFC 8888 section 6), and what they speak of."""

import itertools
import re

import pytest

from stack import peer, rtp, sdp
from stack.peer.awaited import MAX_AWAITED, Awaited
from stack.testing import Conditions

from .support import Call

CCFB, NUMBERS = "a=rtcp-fb:* ack ccfb\r\n", "transport-wide-cc-extensions"
BOTH = ("transport-cc", "ccfb")


def call_of(ours, theirs, kinds=("audio", "video")):
    call = Call(Conditions(delay=0.02), configuration=peer.Configuration(packet_reports=ours))
    call.b.session._packet_reports = theirs
    for kind in kinds:
        call.a.add_track(kind)
        call.b.add_track(kind)
    return call


def said(connection):
    """The kinds of each section of a description."""
    media = connection.local_description.sdp.split("m=")[1:]
    return [tuple(kind for kind, mark in (("transport-cc", NUMBERS), ("ccfb", CCFB)) if mark in part) for part in media]


def agreed(call):
    return {transceiver.reports for side in (call.a, call.b) for transceiver in side.transceivers}


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (BOTH, BOTH, "transport-cc"),
        (BOTH, BOTH[::-1], "ccfb"),  # the answerer chooses
        (BOTH, ("ccfb",), "ccfb"),
        (BOTH[::-1], ("transport-cc",), "transport-cc"),
        (("ccfb",), BOTH, "ccfb"),
        (("ccfb",), ("transport-cc",), None),
        ((), BOTH, None),
        (BOTH, (), None),
    ],
)
def test_the_answer_has_one_kind_that_both_know(ours, theirs, kind):
    call = call_of(ours, theirs)
    call.negotiate()
    assert said(call.a) == [tuple(sorted(ours, key=BOTH.index))] * 2
    assert said(call.b) == [(kind,) if kind else ()] * 2
    assert agreed(call) == {kind}
    answer = call.b.local_description.sdp
    assert ("transport-cc" in answer) == (kind == "transport-cc")


def test_what_was_agreed_is_kept_and_holds_for_sections_that_join():
    call = call_of(BOTH, BOTH[::-1])
    call.negotiate()
    call.a.add_track("video")
    call.negotiate()
    assert said(call.a) == said(call.b) == [("ccfb",)] * 3
    call.b.session._packet_reports = BOTH
    call.negotiate(call.b, call.a)
    assert said(call.b) == [("ccfb",)] * 3
    assert agreed(call) == {"ccfb"}


def test_an_offer_of_both_once_more_gets_the_same_answer():
    call = call_of(("ccfb",), ("transport-cc", "ccfb"))
    call.negotiate()

    def both(kind, text):
        if kind == "offer":
            text = text.replace("a=rtcp-fb:111 ", "a=rtcp-fb:111 transport-cc\r\na=rtcp-fb:111 ")
            text = re.sub(r"(a=extmap:2 )", rf"a=extmap:3 {rtp.TRANSPORT_CC}\r\n\1", text)
        return text

    call.negotiate(tamper=both)
    assert said(call.b) == [("ccfb",)] * 2


def test_formats_named_one_by_one_mean_the_same():
    """As libwebrtc writes them."""

    def named(_, text):
        return re.sub(
            r"(a=rtpmap:(\d+) (?!rtx).*\r\n)",
            r"\1a=rtcp-fb:\2 ack ccfb\r\n",
            text.replace("a=rtcp-fb:* ack ccfb\r\n", ""),
        )

    call = call_of(("ccfb",), ("ccfb",))
    call.negotiate(tamper=named)
    assert agreed(call) == {"ccfb"}


def test_what_was_not_offered_is_not_taken_from_an_answer():
    call = call_of(("transport-cc",), ("transport-cc",))
    call.negotiate(tamper=lambda kind, text: text + CCFB if kind == "answer" else text)
    assert agreed(call) == {"transport-cc"}
    call = call_of((), ())
    call.negotiate(tamper=lambda kind, text: text + CCFB if kind == "answer" else text)
    assert agreed(call) == {None}


def test_sound_without_them_leaves_beside_the_estimate():
    call = call_of(("ccfb",), ("ccfb",))
    call.negotiate(tamper=lambda kind, text: text.replace(CCFB, "", 1) if kind == "offer" else text)
    assert [t.reports for t in call.a.transceivers] == [None, "ccfb"]
    assert call.link.run(lambda: call.connected, seconds=5)
    sound, video = call.a.transceivers
    for number in range(100):
        call.a.send_frame(sound, bytes(160), number * 960, call.now)
        call.a.send_frame(video, b"\x10\x02\x00\x9d\x01\x2a" + bytes(2000), number * 1800, call.now, keyframe=True)
        call.link.run(seconds=0.02)
    estimator = call.a.media.sending.estimator
    assert estimator.dropped.total() == 0
    assert estimator.acknowledged_bitrate > 700_000
    assert all(ssrc in {video.ssrc, video.layers[0].rtx_ssrc} for ssrc, _ in call.a.media.sending._awaited._numbers)


def report(timestamp, *streams):
    return rtp.CongestionFeedback(1, timestamp % (1 << 32), [rtp.StreamArrivals(*stream) for stream in streams])


def test_arrivals_come_in_the_order_in_which_packets_left():
    awaited = Awaited()
    assert [awaited.add(7, 65535), awaited.add(9, 5), awaited.add(7, 0), awaited.add(9, 6)] == [1, 2, 3, 4]
    second = 1 << 16
    found = awaited.arrivals(report(10 * second, (7, 65535, [(0, 512), (0, 256)]), (9, 5, [None, (0, 0), (0, 0)])))
    assert found == [(1, 9.5), (2, None), (3, 9.75), (4, 10.0)]
    again = awaited.arrivals(report(11 * second, (7, 65535, [(0, 1536), (0, 1280)]), (9, 5, [(0, 128), (0, 1024)])))
    assert again == [(2, 10.875)]
    assert len(awaited) == 0


def test_the_clock_of_reports_turns():
    awaited = Awaited()
    times = []
    for number in range(1, 40):
        awaited.add(7, number)
        stamp = (1 << 32) - (1 << 19) + number * (1 << 15)
        times += [arrival for _, arrival in awaited.arrivals(report(stamp, (7, number, [(0, 0)])))]
    assert [after - before for before, after in itertools.pairwise(times)] == [0.5] * 38


def test_numbers_have_sixteen_bits_and_stay_in_order():
    awaited = Awaited()
    for number in range(65534):
        awaited.add(1, number)
    assert [awaited.add(2, number) for number in range(4)] == [65535, 0, 1, 2]
    assert [number for number, _ in awaited.arrivals(report(1, (2, 0, [None, (0, 0), None, (0, 0)])))] == [
        65535,
        0,
        1,
        2,
    ]


def test_no_more_is_awaited_than_the_estimator_remembers():
    awaited = Awaited()
    for number in range(MAX_AWAITED + 10):
        awaited.add(1, number)
    assert len(awaited) == MAX_AWAITED
    metrics = [None] * 12
    assert [number for number, _ in awaited.arrivals(report(1, (1, 0, metrics)))] == [11, 12]


def test_reports_are_written_for_all_formats_of_a_section():
    call = call_of(("ccfb",), ("ccfb",))
    call.negotiate()
    for media in sdp.SessionDescription.parse(call.a.local_description.sdp).media:
        assert all(sdp.Feedback("ack", "ccfb") in codec.feedback for codec in media.codecs)
