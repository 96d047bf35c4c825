"""Frames, machines and packets that the RTP tests share."""

import random

from stack.rtp import (
    ABS_SEND_TIME,
    MID,
    TRANSPORT_CC,
    ExtensionMap,
    FrameReceived,
    KeyframeRequested,
    Packet,
    Receiver,
    Sender,
    is_rtcp,
)
from stack.rtp.nal import split_nal_units
from stack.testing import seeded_random_bytes

H264_PT, RTX_PT, OPUS_PT = 102, 103, 111
SSRC, RTX_SSRC, LOCAL_SSRC = 0x11111111, 0x22222222, 0x33333333
EXTENSIONS = ExtensionMap({MID: 1, ABS_SEND_TIME: 2, TRANSPORT_CC: 3})
SPS, PPS = b"\x67\x42\xe0\x1f\x95\xa0\x28", b"\x68\xce\x3c\x80"


def body(seed, size):
    """Bytes without start codes in them, as an encoder's emulation prevention makes them."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\1")


def h264_frame(number, *, keyframe=False, size=3000, slices=1):
    """An access unit as an encoder makes it."""
    parts = [SPS, PPS] if keyframe else []
    parts += [bytes((0x65 if keyframe else 0x41,)) + body(number * 10 + i, size // slices) for i in range(slices)]
    return b"".join(b"\0\0\0\1" + part for part in parts)


def vp8_frame(number, *, keyframe=False, size=3000):
    """A VP8 frame; only its first bit means anything here."""
    return bytes((0x10 | (not keyframe),)) + body(number, size)


def sender(mime="video/H264", *, rtx=True, seed=1, payload_type=H264_PT, clock_rate=90000, **options):
    """A sender with everything negotiated."""
    if rtx:
        options.setdefault("rtx_ssrc", RTX_SSRC)
        options.setdefault("rtx_payload_type", RTX_PT)
    return Sender(
        ssrc=SSRC,
        payload_type=payload_type,
        clock_rate=clock_rate,
        mime=mime,
        cname="sender",
        random_bytes=seeded_random_bytes(f"sender-{seed}"),
        extension_map=options.pop("extension_map", EXTENSIONS),
        mid="0",
        **options,
    )


def receiver(mime="video/H264", *, seed=1, payload_type=H264_PT, clock_rate=90000, **options):
    """A receiver with everything negotiated."""
    options.setdefault("nack", True)
    options.setdefault("pli", True)
    return Receiver(
        local_ssrc=LOCAL_SSRC,
        codecs={payload_type: (mime, clock_rate)},
        rtx=options.pop("rtx", {RTX_PT: payload_type}),
        extension_map=EXTENSIONS,
        random_bytes=seeded_random_bytes(f"receiver-{seed}"),
        cname="receiver",
        **options,
    )


def rtp_of(datagrams):
    """The RTP packets among datagrams."""
    return [Packet.parse(data) for data in datagrams if not is_rtcp(data)]


def events_of(machine):
    """All events not yet taken."""
    found = []
    while (event := machine.next_event()) is not None:
        found.append(event)
    return found


def frames_of(machine):
    """The frames among the events not yet taken."""
    return [event for event in events_of(machine) if isinstance(event, FrameReceived)]


def same_frame(a, b):
    """Whether two access units have the same NAL units, whatever their start codes."""
    return split_nal_units(a) == split_nal_units(b)


class Camera:
    """Sends one frame per call over a link, a keyframe when asked for, and remembers all."""

    def __init__(self, link, make=h264_frame, *, interval=1 / 30, clock_rate=90000):
        self.link = link
        self.make = make
        self.interval = interval
        self.step = round(interval * clock_rate)
        self.sent = {}

    def shoot(self, count=1):
        """Send `count` frames in real (virtual) time."""
        source = self.link.machines[0]
        for _ in range(count):
            number = len(self.sent)
            events = self.link.events[0]
            wanted = not number or any(isinstance(event, KeyframeRequested) for event in events)
            events[:] = [event for event in events if not isinstance(event, KeyframeRequested)]
            frame = self.make(number, keyframe=wanted)
            self.sent[number * self.step] = frame
            source.send_frame(frame, number * self.step, self.link.now)
            self.link.run(seconds=self.interval)

    @property
    def received(self):
        """The frames that came out at the other end."""
        return [event for event in self.link.events[1] if isinstance(event, FrameReceived)]
