"""Several encodings of one source through the whole connection: who gets how much, and which of them is shown."""

import itertools

import pytest

from stack import peer, rtp
from stack.peer import Encoding
from stack.peer.allocation import FULL_BITRATE, allocate
from stack.peer.layers import Layer
from stack.peer.selection import ASK_AGAIN, MISSED_FRAMES, Selection
from stack.testing import Conditions

from .support import Call

FPS = 30
START = b"\x10\x02\x00\x9d\x01\x2a"
DELTA = b"\x11\x02\x00"
WIDE = peer.Configuration(bitrates=(50_000, 4_000_000, 6_000_000))
"""A path of which is known that it carries all encodings."""
STAMP = 1_700_000_000_000.0
QHF = tuple(Encoding(rid=rid, scale_resolution_down_by=scale) for rid, scale in (("q", 4), ("h", 2), ("f", 1)))


def layers(*encodings, sent=()):
    found = []
    for number, encoding in enumerate(encodings):
        layer = Layer(encoding, number + 1, number + 100)
        layer.target_bitrate = 1 if encoding.rid in sent else None
        found.append(layer)
    return found


class TestAllocation:
    """The smallest picture first."""

    @pytest.mark.parametrize(
        ("bitrate", "shares"),
        [
            (50_000, [50_000, 0, 0]),
            (200_000, [200_000, 0, 0]),
            (500_000, [156_250, 343_750, 0]),
            (1_531_250, [156_250, 625_000, 750_000]),
            (9_000_000, [156_250, 625_000, 8_218_750]),
        ],
    )
    def test_each_has_its_fill_before_the_next_begins(self, bitrate, shares):
        assert allocate(layers(*QHF), bitrate) == shares

    def test_the_order_in_which_they_were_given_does_not_matter(self):
        assert allocate(layers(*reversed(QHF)), 1_531_250) == [750_000, 625_000, 156_250]

    def test_one_that_is_sent_goes_on_with_less_than_one_that_is_not_needs_to_begin(self):
        left = round(FULL_BITRATE * 0.27)
        bitrate = 156_250 + 625_000 + left
        assert allocate(layers(*QHF, sent="f"), bitrate)[2] == left
        assert allocate(layers(*QHF), bitrate) == [156_250, 625_000 + left, 0]

    def test_what_is_not_active_gets_nothing(self):
        small, *others = QHF
        off = Encoding(active=False, rid="q", scale_resolution_down_by=small.scale_resolution_down_by)
        assert allocate(layers(off, *others), 500_000) == [0, 500_000, 0]
        assert allocate(layers(off), 500_000) == [0]

    def test_limits_are_kept(self):
        small, large = Encoding(rid="l", max_bitrate=100_000, scale_resolution_down_by=4), Encoding(rid="h")
        assert allocate(layers(small, large), 5_000_000) == [100_000, 4_900_000]
        assert allocate(layers(small, Encoding(rid="h", max_bitrate=300_000)), 5_000_000) == [100_000, 300_000]
        assert allocate(layers(small), 5_000_000) == [100_000]

    def test_of_one_size_the_one_with_the_lower_limit_is_first(self):
        one, two = Encoding(rid="h", max_bitrate=1_000_000), Encoding(rid="l", max_bitrate=100_000)
        assert allocate(layers(one, two), 150_000) == [0, 100_000]
        assert allocate(layers(one, two), 500_000) == [400_000, 100_000]


class Pictures:
    """Frames of several encodings at 30 a second, as a receiver hands them on."""

    def __init__(self, *rids):
        self.selection = Selection(rids)
        self.now = 0.0
        self.number = 0
        self.shown = []
        self.asked = []

    def run(self, seconds, sizes, keyframes=(), pixels=None):
        """Deliver `sizes` (bytes by rid); the first picture is a key frame of those in `keyframes`."""
        for index in range(round(seconds * FPS)):
            self.number += 1
            self.now += 1 / FPS
            for origin, (rid, size) in enumerate(sizes.items()):
                keyframe = not index and rid in keyframes
                timestamp = (origin * 1_000_000_007 + self.number * 3000) & 0xFFFFFFFF
                frame = rtp.FrameReceived(bytes(size), timestamp, 96, "video/vp8", keyframe, self.now)
                if self.selection.take(rid, frame, (pixels or {}).get(rid, 0)):
                    self.shown.append((rid, frame.timestamp))
                elif (wanted := self.selection.keyframe_wanted(self.now)) is not None:
                    self.asked.append((wanted, self.now))
        return self.selection.current


class TestSelection:
    """Which of them is shown."""

    def test_nothing_before_a_key_frame(self):
        pictures = Pictures("h", "l")
        assert pictures.run(1, {"h": 900, "l": 100}) is None
        assert pictures.shown == []
        assert pictures.asked[0][0] in {"h", "l"}
        assert pictures.run(1 / FPS, {"l": 100}, "l") == "l"

    def test_the_larger_one_as_soon_as_it_is_known_to_be_that(self):
        pictures = Pictures("l", "h")
        assert pictures.run(2.5, {"l": 100, "h": 900}, "lh") == "l"
        assert [rid for rid, _ in pictures.asked] == ["h", "h"]
        assert pictures.asked[1][1] - pictures.asked[0][1] == pytest.approx(ASK_AGAIN, abs=0.05)
        assert pictures.run(1, {"l": 100, "h": 900}, "h") == "h"
        assert pictures.run(3, {"l": 100, "h": 900}, "l") == "h"
        assert len(pictures.asked) == 2

    def test_not_one_that_is_hardly_larger(self):
        pictures = Pictures("l", "h")
        pictures.run(2, {"l": 100, "h": 130}, "l")
        assert pictures.run(2, {"l": 100, "h": 130}, "h") == "l"
        assert pictures.asked == []

    def test_the_one_with_larger_pictures_whatever_they_take(self):
        pictures = Pictures("l", "h")
        size, pixels = {"l": 50, "h": 40}, {"l": 320 * 180, "h": 640 * 360}
        assert pictures.run(1, size, "l", pixels) == "l"
        assert pictures.asked == []
        assert pictures.run(1, size, "h", pixels) == "h"
        assert pictures.run(3, {"l": 500, "h": 40}, "l", pixels) == "h"
        assert pictures.run(1, {"l": 50}, (), pixels) == "h"
        assert {rid for rid, _ in pictures.asked} == {"l"}
        assert pictures.run(1, {"l": 50}, "l", pixels) == "l"
        pictures.asked.clear()
        assert pictures.run(3, {"l": 50}, "l", pixels) == "l"
        assert pictures.asked == []  # what does not come is not asked for
        pictures.run(1, size, (), pixels)
        assert {rid for rid, _ in pictures.asked} == {"h"}

    def test_not_one_for_the_sake_of_its_key_frames(self):
        pictures = Pictures("h", "l")
        pictures.run(2, {"h": 100, "l": 25}, "h")
        assert pictures.run(1 / FPS, {"l": 60_000}, "l") == "h"
        assert pictures.run(1, {"h": 100, "l": 25}, "l") == "h"

    def test_another_one_when_it_has_stopped(self):
        pictures = Pictures("h", "l")
        assert pictures.run(2, {"h": 900, "l": 100}, "h") == "h"
        assert pictures.run((MISSED_FRAMES - 1) / FPS, {"l": 100}) == "h"
        assert pictures.asked == []
        pictures.run(0.1, {"l": 100})
        assert [rid for rid, _ in pictures.asked] == ["l"]
        assert pictures.run(0.1, {"l": 100}, "l") == "l"
        assert pictures.run(0.1, {"l": 100, "h": 900}) == "l"
        assert pictures.run(0.1, {"l": 100, "h": 900}, "h") == "h"

    def test_a_slow_source_is_not_silent(self):
        pictures = Pictures("h", "l")
        pictures.run(2, {"h": 900, "l": 100}, "h")
        for _ in range(10):
            pictures.now += 3
            assert pictures.run(1 / FPS, {"l": 100, "h": 900}, "l") == "h"

    def test_the_timeline_goes_on(self):
        pictures = Pictures("h", "l")
        pictures.run(1, {"h": 900, "l": 100}, "h")
        pictures.run(1, {"l": 100})
        pictures.run(1, {"l": 100}, "l")
        pictures.run(1, {"l": 100, "h": 900}, "")
        pictures.run(1, {"l": 100, "h": 900}, "h")
        changes = [(one, two) for one, two in itertools.pairwise(pictures.shown) if one[0] != two[0]]
        assert [(one[0], two[0]) for one, two in changes] == [("h", "l"), ("l", "h")]
        steps = [(two[1] - one[1]) & 0xFFFFFFFF for one, two in itertools.pairwise(pictures.shown)]
        gap, none = [step for step in steps if step != 3000]
        assert gap == pytest.approx(31 * 3000, abs=3)
        assert none == 1  # both came at the same time

    def test_strangers_are_not_shown(self):
        assert Pictures("h").run(1, {"x": 900}, "x") is None


class Show:
    """A sends all encodings that it is told to send, at the bitrates that it is told."""

    def __init__(self, encodings=QHF, *, rate=None, loss=0.0, seed=0, configuration=None):
        self.call = Call(
            Conditions(delay=0.03, loss=loss, rate=rate, queue=60_000), seed=seed, configuration=configuration
        )
        self.video = self.call.a.add_transceiver("video", "sendonly", has_track=True, encodings=encodings)
        self.targets = dict.fromkeys((encoding.rid for encoding in encodings), 0)
        self.wanted = set()
        self.requests = []
        self.number = self.seen = 0
        self.shown = []
        assert self.call.connect(5)

    @property
    def received(self):
        return self.call.b.transceivers[0]

    def roll(self, seconds, silent=()):
        """Film for a while; return which encodings were shown, in order."""
        first = len(self.shown)
        for _ in range(round(seconds * FPS)):
            self.obey()
            for rid, bitrate in self.targets.items():
                if not bitrate or rid in silent:
                    continue
                keyframe = rid in self.wanted
                size = max(int(bitrate / 8 / FPS) - 100, 200) * (3 if keyframe else 1)
                data = (START if keyframe else DELTA) + rid.encode() + bytes(size)
                if self.call.a.send_frame(
                    self.video, data, self.number * 3000, self.call.now, keyframe=keyframe, rid=rid, size=(16, 9)
                ):
                    self.wanted.discard(rid)
            self.number += 1
            self.call.link.run(seconds=1 / FPS)
            for event in self.call.reported(1, peer.MediaReceived)[self.seen :]:
                self.seen += 1
                assert event.frame.data[6 if event.frame.keyframe else 3 :][:1] == event.rid.encode()
                self.shown.append(event.rid)
        return list(dict.fromkeys(self.shown[first:]))

    def obey(self):
        for event in self.call.link.events[0]:
            if isinstance(event, peer.TargetBitrateChanged):
                if event.bitrate and not self.targets[event.rid]:
                    self.wanted.add(event.rid)
                self.targets[event.rid] = event.bitrate
            elif isinstance(event, peer.KeyframeRequested):
                self.requests.append(event.rid)
                self.wanted.add(event.rid)
        self.call.link.events[0].clear()

    def streams(self, side, kind):
        report = (self.call.a, self.call.b)[side].statistics(STAMP)
        return {entry["rid"]: entry for entry in report.values() if entry["type"] == kind}


def test_all_of_it_arrives_and_the_best_is_shown():
    show = Show(rate=5_000_000)
    while show.number < 20 * FPS and not all(show.targets.values()):
        show.roll(0.5)
    assert all(show.targets.values())
    show.roll(2.5)
    assert show.roll(0.5) == ["f"]
    show.obey()
    report = show.call.a.statistics(STAMP)
    outbound, inbound = show.streams(0, "outbound-rtp"), show.streams(1, "inbound-rtp")
    assert list(outbound) == list(inbound) == ["q", "h", "f"]
    for index, rid in enumerate(outbound):
        sent, received = outbound[rid], inbound[rid]
        assert (sent["encodingIndex"], sent["active"], sent["mid"]) == (index, True, "0")
        assert (sent["frameWidth"], sent["frameHeight"]) == (16, 9)
        assert sent["ssrc"] == received["ssrc"]
        assert sent["targetBitrate"] == show.targets[rid]
        assert 0 <= sent["framesSent"] - received["framesReceived"] < 5
        assert received["framesDropped"] == 0
        assert report[sent["remoteId"]]["ssrc"] == sent["ssrc"]
    assert len({entry["ssrc"] for entry in outbound.values()} | {e["rtxSsrc"] for e in outbound.values()}) == 6
    assert len({entry["mediaSourceId"] for entry in outbound.values()}) == 1
    assert outbound["q"]["bytesSent"] < outbound["h"]["bytesSent"] < outbound["f"]["bytesSent"]
    assert not [reason for reason in show.call.b.dropped if "rid" in reason or "unrouted" in reason]


def test_on_a_narrow_path_only_the_smallest_is_sent():
    show = Show(rate=250_000)
    show.roll(15)
    assert show.targets["q"] > 100_000
    assert show.targets["f"] == 0
    assert show.roll(1)[-1] in {"q", "h"}


def test_what_is_lost_is_repaired_in_its_own_stream():
    show = Show(loss=0.03, seed=4, configuration=WIDE)
    show.roll(5)
    outbound, inbound = show.streams(0, "outbound-rtp"), show.streams(1, "inbound-rtp")
    for rid in outbound:
        assert outbound[rid]["retransmittedPacketsSent"] > 0
        assert inbound[rid]["retransmittedPacketsReceived"] > 0
        assert inbound[rid]["framesReceived"] > 0.9 * outbound[rid]["framesSent"]
    assert show.call.b.dropped["rtp-unrouted"] == 0


def test_a_key_frame_is_asked_of_the_one_that_needs_it():
    show = Show(configuration=WIDE)
    show.roll(4)
    show.requests.clear()
    show.received.receptions["h"].receiver.request_keyframe(show.call.now)
    show.roll(0.5)
    assert show.requests == ["h"]
    plis = {rid: entry["pliCount"] for rid, entry in show.streams(0, "outbound-rtp").items()}
    assert plis["h"] == show.streams(1, "inbound-rtp")["h"]["pliCount"]


@pytest.mark.parametrize("rid", ["q", "h", "f"])
def test_a_full_intra_request_reaches_the_one_that_it_names(rid):
    """RFC 5104 section 4.3.1: the SSRC is in its entries."""
    show = Show(configuration=WIDE)
    show.roll(4)
    show.requests.clear()
    request = rtp.FullIntraRequest(1, [(show.video.layer(rid).ssrc, 7)])
    show.call.a.media._receive_report(request.serialize(), show.call.now)
    show.roll(0.5)
    assert show.requests == [rid]


def test_a_key_frame_is_asked_of_the_one_that_is_shown():
    show = Show(configuration=WIDE)
    show.roll(4)
    assert show.received.receiver is show.received.receptions["f"].receiver


def test_what_is_switched_off_gives_way_to_the_next():
    show = Show(configuration=WIDE)
    show.roll(4)
    encodings = [layer.encoding for layer in show.video.layers]
    show.call.a.set_encodings(show.video, [*encodings[:2], Encoding(active=False, rid="f")])
    assert show.roll(3)[-1] == "h"
    assert show.targets["f"] == 0
    assert not show.streams(0, "outbound-rtp")["f"]["active"]
    assert not show.call.a.send_frame(show.video, START, 0, show.call.now, rid="f")
    assert not show.call.a.send_frame(show.video, START, 0, show.call.now, rid="x")
    show.call.a.set_encodings(show.video, encodings)
    assert show.roll(5)[-1] == "f"


def test_what_stops_without_a_word_gives_way_to_the_next():
    show = Show(configuration=WIDE)
    show.roll(4)
    assert show.roll(3, silent={"f"})[-1] == "h"
    assert show.roll(3)[-1] == "f"


def test_packets_that_do_not_say_any_more_where_they_belong_are_known_after_a_negotiation():
    """A browser leaves MID and rid out once it was told that its packets arrive."""
    show = Show()
    show.roll(3)
    for layer in show.video.layers:
        layer.sender._headers = rtp.sender_headers.Headers(
            rtp.ExtensionMap({rtp.TRANSPORT_CC: show.video.extensions[rtp.TRANSPORT_CC]}),
            mid=None,
            rid=None,
            playout_delay=None,
            next_transport_sequence=show.call.a.media._next_transport_sequence,
            ntp_offset=0.0,
        )
    show.call.negotiate(show.call.b, show.call.a)
    before = {rid: entry["framesReceived"] for rid, entry in show.streams(1, "inbound-rtp").items()}
    show.roll(3)
    after = {rid: entry["framesReceived"] for rid, entry in show.streams(1, "inbound-rtp").items()}
    assert all(after[rid] > before[rid] for rid in before)
    assert show.call.b.dropped["rtp-unrouted"] == 0


def test_two_transceivers_share_and_each_has_encodings_of_its_own():
    call = Call(Conditions(delay=0.03))
    one = call.a.add_transceiver("video", "sendonly", encodings=QHF)
    two = call.a.add_transceiver("video", "sendonly", encodings=QHF[:2])
    assert call.connect()
    call.link.run(seconds=0.5)
    targets = {(id(e.transceiver), e.rid): e.bitrate for e in call.reported(0, peer.TargetBitrateChanged)}
    assert len(targets) == 5
    shares = [sum(bitrate for (key, _), bitrate in targets.items() if key == id(video)) for video in (one, two)]
    assert shares[0] == shares[1] == call.a.media.sending.target_bitrate // 2
    assert [list(transceiver.receptions) for transceiver in call.b.transceivers] == [["q", "h", "f"], ["q", "h"]]
