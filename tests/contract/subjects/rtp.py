"""The machines of stack.rtp under the laws."""

import itertools

from stack.rtp import Closed, CongestionFeedbackGenerator, Receiver, Sender, TransportFeedbackGenerator
from stack.testing import seeded_random_bytes
from tests.contract.subject import Rig, Subject
from tests.rtp import limits
from tests.rtp.support import EXTENSIONS, LOCAL_SSRC, h264_frame, receiver, sender
from tests.rtp.test_demultiplexer import simulcast_receiver, simulcast_sender

FRAME_INTERVAL = 0.02


def pictures(source, sink=None):
    """Commands that send a keyframe and some frames each."""
    counter = itertools.count()

    def shoot(now):
        for index in range(12):
            number = next(counter)
            source.send_frame(h264_frame(number, keyframe=index == 0), number * 1800, now + index * FRAME_INTERVAL)
        if sink is not None and sink.remote_ssrc is not None:
            sink.request_keyframe(now)

    return shoot


def numbered(seed):
    """A sender with transport-wide sequence numbers."""
    counter = itertools.count()
    return sender(seed=seed, next_transport_sequence=lambda: next(counter))


def build_sender(seed):
    source, sink = numbered(seed), receiver(seed=seed, remb=True)
    return Rig(source, sink, pictures(source, sink), pictures(source, sink))


def build_receiver(seed):
    source, sink = numbered(seed), receiver(seed=seed, remb=True)
    return Rig(sink, source, pictures(source, sink), pictures(source, sink))


def build_smoothing(seed):
    source, sink = numbered(seed), receiver(seed=seed, smoothing=(0.02, 0.2), rrtr=True, fec_payload_type=49)
    return Rig(sink, source, pictures(source), pictures(source))


def build_generator(seed):
    source = numbered(seed)
    generator = TransportFeedbackGenerator(ssrc=LOCAL_SSRC, extension_id=EXTENSIONS[next(reversed(list(EXTENSIONS)))])
    return Rig(generator, source, pictures(source), pictures(source))


def simulcast_pictures(source):
    """Commands that send a keyframe of every encoding."""
    counter = itertools.count()

    def shoot(now):
        for rid in source.rids:
            source.send_frame(rid, h264_frame(0, keyframe=True), next(counter) * 1800, now)

    return shoot


def build_simulcast_sender(seed):
    source = simulcast_sender(seed)
    return Rig(source, simulcast_receiver(seed), simulcast_pictures(source), simulcast_pictures(source))


def build_simulcast_receiver(seed):
    source = simulcast_sender(seed)
    return Rig(simulcast_receiver(seed), source, simulcast_pictures(source), simulcast_pictures(source))


def build_congestion(seed):
    source = numbered(seed)
    return Rig(CongestionFeedbackGenerator(ssrc=LOCAL_SSRC), source, pictures(source), pictures(source))


def bad_constructor(kind, **wrong):
    """A call that builds a machine with an impossible argument."""

    def call(rig, now):
        common = {"cname": "x", "random_bytes": seeded_random_bytes(0)}
        if kind is Sender:
            common |= {"ssrc": 1, "payload_type": 96, "clock_rate": 90000, "mime": "video/H264"}
        else:
            common |= {"local_ssrc": 1, "codecs": {96: ("video/H264", 90000)}}
        kind(**(common | wrong))

    return call


GARBAGE = [b"", b"\x00", b"\xff" * 40, b"\x80\xc8\x00\x09" + bytes(8)]

SUBJECTS = [
    Subject(
        name="rtp-sender",
        build=build_sender,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.SENDER},
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.send_frame(b"", 0, now),
            lambda rig, now: rig.a.send_frame(b"no start code", 0, now),
            bad_constructor(Sender, mime="video/unknown"),
            bad_constructor(Sender, cname="x" * 256),
            bad_constructor(Sender, rtx_ssrc=5),
            bad_constructor(Sender, payload_type=128),
        ],
    ),
    Subject(
        name="rtp-receiver",
        build=build_receiver,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.RECEIVER},
        garbage=[*GARBAGE, b"\x80\x60" + bytes(10), b"\x90\x66" + bytes(12) + b"\xff\xff"],
        misuse=[
            lambda rig, now: rig.a.request_bitrate(0, now),
            lambda rig, now: receiver(pli=False).request_keyframe(now),
            lambda rig, now: receiver().request_keyframe(now),
            bad_constructor(Receiver, codecs={96: ("video/H264", 90000), 111: ("audio/opus", 48000)}),
            bad_constructor(Receiver, codecs={}),
            bad_constructor(Receiver, rtx={97: 98}),
            bad_constructor(Receiver, max_wait=-1.0),
            bad_constructor(Receiver, cname="x" * 256),
        ],
    ),
    Subject(
        name="rtp-smoothing-receiver",
        build=build_smoothing,
        terminal=Closed,
        limits={"playout_frames": limits.playout_frames},
        garbage=[*GARBAGE, b"\x80\x31" + bytes(14)],
        misuse=[
            bad_constructor(Receiver, smoothing=(0.2, 0.1)),
            lambda rig, now: rig.a.request_bitrate(1000, now),
        ],
    ),
    Subject(
        name="rtp-transport-feedback",
        build=build_generator,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.GENERATOR},
        garbage=[b"", b"\x00", b"\xff" * 40],
        misuse=[
            lambda rig, now: rig.a.receive_sequence_number(0x10000, 1, now),
            lambda rig, now: TransportFeedbackGenerator(ssrc=1, extension_id=1, interval=0.0),
        ],
    ),
    Subject(
        name="rtp-congestion-feedback",
        build=build_congestion,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.CONGESTION},
        garbage=[b"", b"\x00", b"\xff" * 40],
        misuse=[
            lambda rig, now: rig.a.receive_arrival(1, 0x10000, now),
            lambda rig, now: rig.a.receive_arrival(1, 1, now, 4),
            lambda rig, now: CongestionFeedbackGenerator(ssrc=1, interval=0.0),
        ],
    ),
    Subject(
        name="rtp-simulcast-sender",
        build=build_simulcast_sender,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.SIMULCAST},
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.send_frame("x", h264_frame(0), 0, now),
            lambda rig, now: rig.a.send_frame("q", b"", 0, now),
            lambda rig, now: rig.a.set_active("x", active=False),
        ],
    ),
    Subject(
        name="rtp-simulcast-receiver",
        build=build_simulcast_receiver,
        terminal=Closed,
        limits={name: getattr(limits, name) for name in limits.SIMULCAST},
        garbage=[*GARBAGE, b"\x80\x66" + bytes(12)],
        misuse=[lambda rig, now: rig.a["q"].request_bitrate(1000, now)],
    ),
]
