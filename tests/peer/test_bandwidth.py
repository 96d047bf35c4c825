"""Video over a bottleneck, through the whole connection: the encoder is told what the path carries, and obeys."""

import statistics

import pytest

from stack import peer
from stack.testing import Conditions

from .support import Call

FPS = 30
START = b"\x10\x02\x00\x9d\x01\x2a"
DELTA = b"\x11\x02\x00"
DELAY = 0.04


class Film:
    """A sends frames of the size that it is told; how long each takes is measured."""

    def __init__(self, rate=None, *, loss=0.0, seed=0, sound=False, configuration=None, tamper=lambda kind, sdp: sdp):
        self.call = Call(
            Conditions(delay=DELAY, loss=loss, rate=rate, queue=60_000), seed=seed, configuration=configuration
        )
        self.video = self.call.a.add_track("video")
        self.sound = self.call.a.add_track("audio") if sound else None
        self.call.negotiate(tamper=tamper)
        assert self.call.link.run(lambda: self.call.connected, seconds=5)
        self.bitrate = 0
        self.number = self.seen = 0
        self.sent_at = {}
        self.delays = []
        self.keyframe = True
        self.targets = []

    def roll(self, seconds):
        """Film for a while; returns how many frames came and the bit/s of them."""
        begin, received, size = self.call.now, 0, 0
        self.delays = []
        while self.call.now < begin + seconds:
            self.obey()
            amount = max(int(self.bitrate / 8 / FPS) - 100, 200) * (4 if self.keyframe else 1)
            data = (START if self.keyframe else DELTA) + self.number.to_bytes(4, "big") + bytes(amount)
            self.sent_at[self.number] = self.call.now
            if self.call.a.send_frame(self.video, data, self.number * 3000, self.call.now, keyframe=self.keyframe):
                self.keyframe = False
            self.number += 1
            self.call.link.run(seconds=1 / FPS)
            for event in self.call.reported(1, peer.MediaReceived)[self.seen :]:
                self.seen += 1
                if event.transceiver.kind != "video":
                    continue
                received += 1
                size += len(event.frame.data)
                start = 6 if event.frame.keyframe else 3
                number = int.from_bytes(event.frame.data[start : start + 4], "big")
                self.delays.append(self.call.now - self.sent_at[number])
        return received, size * 8 / seconds

    def obey(self):
        for event in self.call.link.events[0]:
            if isinstance(event, peer.TargetBitrateChanged):
                self.bitrate = event.bitrate
                self.targets.append((self.call.now, event.bitrate))
            elif isinstance(event, peer.KeyframeRequested):
                self.keyframe = True
        self.call.link.events[0].clear()

    def bitrate_of_video(self):
        """What the encoder was told last."""
        self.obey()
        return self.bitrate

    def set_loss(self, loss):
        for direction in self.call.link._directions:
            direction.pipe.conditions.loss = loss

    def set_rate(self, rate):
        for direction in self.call.link._directions:
            direction.pipe.conditions.rate = rate


def test_the_target_finds_what_the_path_carries():
    film = Film(3e6)
    film.roll(8)
    frames, bitrate = film.roll(10)
    assert frames > 0.95 * 10 * FPS
    assert 0.75 * 3e6 < bitrate < 3e6
    assert statistics.quantiles(film.delays, n=20)[-1] < DELAY + 0.15


def reported_sections(*kinds):
    """As peers describe themselves that report on packets of some sections only."""

    def tamper(_, text):
        head, *sections = text.split("m=")
        return "m=".join([head, *(part if part.startswith(kinds) else without_feedback("", part) for part in sections)])

    return tamper


def test_sound_that_the_peer_does_not_report_on_is_not_taken_for_video():
    film = Film(3e6, sound=True, tamper=reported_sections("video"))
    sending = film.call.a.media.sending
    for number in range(200):
        film.call.a.send_frame(film.sound, bytes(160), number * 960, film.call.now)
        film.call.link.run(seconds=0.02)
    assert film.call.reported(1, peer.MediaReceived)
    assert sending.estimator.in_flight == 0
    assert sending.target_bitrate == film.call.a.configuration.bitrates[1]  # nothing heard is no bad news
    film.roll(8)
    frames, bitrate = film.roll(4)
    assert frames > 0.95 * 4 * FPS
    assert 0.6 * 3e6 < bitrate < 3e6


def test_sound_that_the_target_does_not_include_takes_nothing_from_it():
    narrow = peer.Configuration(bitrates=(20_000, 30_000, 30_000))
    film = Film(3e6, sound=True, configuration=narrow, tamper=reported_sections("video"))
    call = film.call
    for number in range(150):  # 80 kbit/s of sound with its headers
        call.a.send_frame(film.sound, bytes(160), number * 960, call.now)
        if number % 10 == 0:  # 12 kbit/s of video
            data = DELTA + bytes(300) if number else START + bytes(300)
            call.a.send_frame(film.video, data, number * 1800, call.now, keyframe=not number)
        call.link.run(seconds=0.02)
    received = [event.transceiver.kind for event in call.reported(1, peer.MediaReceived)]
    assert received.count("audio") > 145
    assert received.count("video") > 12
    assert film.bitrate_of_video() == 30_000


def test_capacity_that_falls_by_half_is_noticed_within_a_second():
    film = Film(4e6)
    film.roll(12)
    film.set_rate(2e6)
    film.roll(1.5)
    frames, bitrate = film.roll(8)
    assert film.bitrate < 2.1e6
    assert bitrate > 0.7 * 2e6
    assert frames > 0.85 * 8 * FPS
    assert statistics.quantiles(film.delays, n=20)[-1] < DELAY + 0.2


@pytest.mark.parametrize("reports", ["transport-cc", "ccfb"])
def test_a_moment_in_which_nothing_arrives_costs_no_bitrate(reports):
    film = Film(4e6, sound=True, configuration=peer.Configuration(packet_reports=(reports,)))
    film.roll(10)
    before = film.bitrate_of_video()
    film.set_loss(1.0)
    film.roll(0.3)
    film.set_loss(0.0)
    film.roll(1)
    frames, bitrate = film.roll(3)
    assert film.bitrate_of_video() > 0.8 * before
    assert bitrate > 0.75 * before
    assert frames > 0.9 * 3 * FPS


def test_a_bound_of_the_application_is_kept():
    film = Film(None, configuration=peer.Configuration(bitrates=(50_000, 300_000, 1_000_000)))
    film.roll(6)
    _, bitrate = film.roll(4)
    assert 0.8e6 < bitrate <= 1.0e6


def test_random_loss_is_repaired_and_does_not_starve_the_stream():
    film = Film(3e6, loss=0.02, seed=3)
    film.roll(10)
    frames, bitrate = film.roll(10)
    assert bitrate > 1.5e6
    assert frames > 0.93 * 10 * FPS


def test_what_waits_for_too_long_is_dropped_up_to_a_key_frame_which_is_asked_for():
    film = Film(None, configuration=peer.Configuration(bitrates=(50_000, 100_000, 100_000), max_send_delay=0.2))
    call, video = film.call, film.video
    for number in range(20):  # 2 Mbit/s, whatever the target says
        call.a.send_frame(video, DELTA + bytes(8000), number * 3000, call.now, keyframe=False)
        call.link.run(seconds=1 / FPS)
    assert call.reported(0, peer.KeyframeRequested)
    assert call.a.media.sending.pacer.dropped
    call.link.run(seconds=1)
    call.a.send_frame(video, START + bytes(1000), 90_000, call.now, keyframe=True)
    call.link.run(seconds=1)
    last = call.reported(1, peer.MediaReceived)[-1].frame
    assert last.keyframe
    assert len(last.data) == 1006


def without_feedback(kind, text):
    """As a peer describes itself that knows REMB only."""
    lines = text.split("\r\n")
    return "\r\n".join(line for line in lines if "transport-cc" not in line and "transport-wide-cc" not in line)


def test_a_peer_without_transport_wide_feedback_tells_by_remb():
    film = Film(2e6, tamper=without_feedback)
    assert film.call.a.media.sending.target_bitrate == peer.Configuration().bitrates[1]
    film.roll(20)
    frames, bitrate = film.roll(10)
    assert 0.5 * 2e6 < bitrate < 2e6
    assert frames > 0.9 * 10 * FPS
    film.set_rate(1e6)
    film.roll(3)
    frames, bitrate = film.roll(5)
    assert 0.4e6 < bitrate < 1e6
    assert frames > 0.8 * 5 * FPS


@pytest.mark.parametrize(
    ("reports", "found", "late"),
    [(("ccfb",), 0.75, 0.2), (("transport-cc",), 0.75, 0.2), ((), 0.25, 0.25)],
    ids=["RFC 8888", "transport-cc", "REMB"],
)
def test_a_step_of_a_lossy_link_is_followed_whatever_the_peer_reports(reports, found, late):
    film = Film(3e6, loss=0.01, seed=5, sound=True, configuration=peer.Configuration(packet_reports=reports))
    kind = reports[0] if reports else None
    assert film.video.reports == film.sound.reports == kind
    film.roll(12)
    frames, bitrate = film.roll(4)
    assert found * 3e6 < bitrate < 3e6
    assert frames > 0.95 * 4 * FPS
    film.set_rate(1.5e6)
    film.roll(2)
    frames, bitrate = film.roll(6)
    assert max(found, 0.5) * 1.5e6 < bitrate < 1.5e6
    assert frames > 0.9 * 6 * FPS
    assert statistics.quantiles(film.delays, n=20)[-1] < DELAY + late
    film.set_rate(3e6)
    film.roll(8)
    _, bitrate = film.roll(4)
    assert max(found, 0.4) * 3e6 < bitrate < 3e6
    sending = film.call.a.media.sending
    assert sending.estimator.dropped.total() == 0
    assert bool(sending.estimator.acknowledged_bitrate) == bool(reports)


def test_two_streams_share_what_there_is_and_one_may_be_limited():
    call = Call(Conditions(delay=DELAY))
    one, two = call.a.add_track("video"), call.a.add_track("video")
    assert call.connect()
    call.a.set_encodings(one, [peer.Encoding(max_bitrate=100_000)])
    call.link.run(seconds=0.1)
    targets = {id(e.transceiver): e.bitrate for e in call.reported(0, peer.TargetBitrateChanged)}
    total = call.a.media.sending.target_bitrate
    assert targets[id(one)] == 100_000
    assert targets[id(two)] == total - 100_000


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_that_make_no_sense_are_refused(limit):
    call = Call()
    video = call.a.add_track("video")
    with pytest.raises(peer.InvalidAccessError, match="bitrate"):
        call.a.set_encodings(video, [peer.Encoding(max_bitrate=limit)])


def test_a_path_that_carries_the_largest_bitrate_is_not_probed_any_more():
    film = Film(None, configuration=peer.Configuration(bitrates=(50_000, 1_000_000, 2_000_000)))
    film.roll(3)
    before = film.video.sender.stats.padding_packets + film.video.sender.stats.retransmitted
    film.roll(5)
    assert film.call.a.media.sending.target_bitrate == 2_000_000
    assert film.video.sender.stats.padding_packets + film.video.sender.stats.retransmitted == before


def speak(call, sound, frames):
    """80 kbit/s of sound with its headers."""
    for _ in range(frames):
        call.a.send_frame(sound, bytes(160), round(call.now * 48000) & 0xFFFFFFFF, call.now)
        call.link.run(seconds=0.02)


def play(call, sound, video, seconds):
    """Sound and as much video as the target says."""
    end, number = call.now + seconds, 0
    while call.now < end:
        call.a.send_frame(sound, bytes(160), round(call.now * 48000) & 0xFFFFFFFF, call.now)
        size = max(call.a.media.sending.target_bitrate - 60_000, 30_000) // 8 // FPS
        call.a.send_frame(
            video, (DELTA if number else START) + bytes(size), number * 3000, call.now, keyframe=not number
        )
        number += 1
        call.link.run(seconds=1 / FPS)


def test_sound_is_part_of_the_estimate():
    call = Call(Conditions(delay=DELAY, rate=3e6, queue=60_000))
    sound = call.a.add_track("audio")
    assert call.connect()
    speak(call, sound, 100)
    estimator = call.a.media.sending.estimator
    assert estimator.acknowledged_bitrate == pytest.approx(160 * 8 * 50, rel=0.4)
    assert estimator.rtt == pytest.approx(2 * DELAY, abs=0.06)
    assert estimator.dropped.total() == 0
    assert call.a.media.sending.pacer.dropped.total() == 0  # nothing to probe with, and nothing asked for


def test_video_that_joins_sound_looks_for_what_the_path_carries():
    call = Call(Conditions(delay=DELAY, rate=3e6, queue=60_000))
    sound = call.a.add_track("audio")
    assert call.connect()
    speak(call, sound, 300)
    before = call.a.media.sending.estimator
    video = call.a.add_track("video")
    call.negotiate()
    play(call, sound, video, 1.5)
    estimator = call.a.media.sending.estimator
    assert estimator is before
    assert estimator.dropped.total() == 0
    assert estimator.target_bitrate > 2e6


def test_video_that_joins_a_call_of_sound_is_estimated_from_reports_on_its_packets():
    """The first negotiation agrees on no such reports, the second one does."""
    call = Call(Conditions(delay=DELAY, rate=3e6, queue=60_000))
    sound = call.a.add_track("audio")
    call.negotiate(tamper=without_feedback)
    assert call.link.run(lambda: call.connected, seconds=5)
    speak(call, sound, 50)
    before = call.a.media.sending.estimator
    video = call.a.add_track("video")
    call.negotiate(tamper=reported_sections("video"))
    estimator = call.a.media.sending.estimator
    assert estimator is not before
    assert estimator.target_bitrate == before.target_bitrate
    play(call, sound, video, 5.0)
    assert estimator.dropped["unknown-packet"] == 0
    assert estimator.target_bitrate > 2e6


def test_sound_that_is_reported_on_does_not_speak_for_video_that_is_not():
    """Then REMB and what receiver reports say of losses decide."""
    call = Call(Conditions(delay=DELAY, rate=3e6, queue=60_000))
    sound, video = call.a.add_track("audio"), call.a.add_track("video")
    call.negotiate(tamper=reported_sections("audio"))
    assert call.link.run(lambda: call.connected, seconds=5)
    assert (sound.reports, video.reports) == ("transport-cc", None)
    play(call, sound, video, 15.0)
    assert call.a.media.sending.estimator.dropped.total() == 0
    assert 1e6 < call.a.media.sending.target_bitrate < 3e6


def test_a_section_that_agrees_to_reports_later_is_numbered_from_then_on():
    call = Call(Conditions(delay=DELAY, rate=3e6, queue=60_000))
    sound, video = call.a.add_track("audio"), call.a.add_track("video")
    call.negotiate(tamper=reported_sections("audio"))
    assert call.link.run(lambda: call.connected, seconds=5)
    play(call, sound, video, 1.0)
    sender = video.sender
    call.negotiate(call.b, call.a)  # the answerer has not forgotten what it can
    assert video.sender is sender
    assert video.reports is None  # what was agreed stays
    text = call.b.local_description.sdp
    assert text.count("transport-wide-cc") == 1
    call.link.run(seconds=0.5)  # nothing is on its way any more
    video.extensions = dict(sound.extensions)  # as if the peer had added it
    video.reports = "transport-cc"
    call.a.media.configure(call.a.transceivers, call.now)
    call.b.transceivers[1].extensions = dict(sound.extensions)
    call.b.transceivers[1].reports = "transport-cc"
    call.b.media.configure(call.b.transceivers, call.now)
    play(call, sound, video, 2.0)
    estimator = call.a.media.sending.estimator
    assert estimator.dropped["unknown-packet"] == 0
    assert estimator.acknowledged_bitrate > 0.7 * call.a.media.sending.target_bitrate
