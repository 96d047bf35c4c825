"""Which encoder is chosen, and that the reason is told."""

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError
from stack.media import H264Encoder, choose_encoder, create_encoder, hardware
from stack.media.hardware import (
    CANDIDATES,
    DISABLE_VARIABLE,
    MAX_PARAMETER_SETS,
    HardwareH264Encoder,
    NvencH264Encoder,
    VaapiH264Encoder,
    parameter_sets,
    why_not,
)

SPS, PPS, IDR = b"\x00\x00\x00\x01\x67\x42\xc0\x1f", b"\x00\x00\x00\x01\x68\xce", b"\x00\x00\x00\x01\x65\x88\x80"


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(hardware, "_choices", {})


class Works(HardwareH264Encoder):
    """As hardware that works: one frame behind, with parameter sets in the first frame only."""

    default_codec = "libx264"
    settings = {  # noqa: RUF012  as the others
        "preset": "ultrafast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "bufsize": "{buffer}",
        "x264-params": "log-level=none",
    }

    def _open(self):
        return Late(super()._open())


class Late:
    """A codec context that is a frame behind and sends parameter sets once."""

    extradata = b""

    def __init__(self, context):
        self.context, self.held, self.sent, self.bit_rate = context, [], False, context.bit_rate

    def encode(self, picture):
        ready, self.held = self.held, [self.stripped(packet) for packet in self.context.encode(picture)]
        return ready

    def stripped(self, packet):
        data = bytes(packet)
        if parameter_sets(data) and self.sent:
            data = data[data.index(b"\x00\x00\x01\x65") :]
        self.sent = True
        copy = av.Packet(data)
        copy.pts, copy.is_keyframe = packet.pts, packet.is_keyframe
        return copy


class Refuses(Works):
    """Works for the trial, and for nothing larger."""

    def __init__(self, width, height, *more, **named):
        if width > 1000:
            raise LocalError("the encoder fake does not open: too large")
        super().__init__(width, height, *more, **named)


class KeepsEverything(HardwareH264Encoder):
    default_codec = "libx264"

    def _collect(self, packets):
        return []


class NeverWasKey(HardwareH264Encoder):
    default_codec = "libx264"
    settings = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=infinite:log-level=none"}  # noqa: RUF012

    def _encode(self, frame, timestamp, capture_time, *, keyframe):
        return super()._encode(frame, timestamp, capture_time, keyframe=False)


def test_the_choice_is_logged_once_with_the_reasons_against_the_others(caplog):
    caplog.set_level(logging.INFO, "stack.media.hardware")
    chosen = choose_encoder("video/H264")
    choose_encoder("VIDEO/h264")
    (record,) = caplog.records
    assert f"video/H264 is encoded by {chosen.encoder.default_codec}" in record.message
    for name, reason in chosen.rejected.items():
        assert f"{name}: {reason}" in record.message
    if chosen.encoder is H264Encoder:
        assert set(chosen.rejected) == {c.default_codec for c in CANDIDATES["video/h264"][:-1]}


def test_hardware_can_be_left_alone(monkeypatch):
    monkeypatch.setenv(DISABLE_VARIABLE, "0")
    chosen = choose_encoder("video/H264")
    assert chosen.encoder is H264Encoder
    assert set(chosen.rejected.values()) == {f"{DISABLE_VARIABLE}=0"}


def test_why_not():
    assert why_not(H264Encoder) is None
    assert why_not(VaapiH264Encoder) in {None, "not in this build of PyAV", "no /dev/dri/render*"}

    class Unknown(HardwareH264Encoder):
        default_codec = "h264_of_tomorrow"

    assert why_not(Unknown) == "not in this build of PyAV"
    assert why_not(KeepsEverything) == "nothing came out for 6 pictures"
    assert why_not(NeverWasKey) == "it makes no keyframe on demand"


def test_hardware_without_its_device_is_not_even_tried(monkeypatch):
    monkeypatch.setattr(hardware.Path, "exists", lambda self: False)
    monkeypatch.setattr(hardware.Path, "glob", lambda self, pattern: iter(()))
    assert hardware._missing_device(NvencH264Encoder) == "no /dev/nvidiactl"
    assert hardware._missing_device(hardware.V4L2H264Encoder) == "no /dev/video*"
    assert hardware._missing_device(hardware.QsvH264Encoder) == "no /dev/dri/render*"
    assert hardware._missing_device(VaapiH264Encoder) == "no /dev/dri/render*"
    assert hardware._missing_device(hardware.VideoToolboxH264Encoder) is None


class Accelerated(VaapiH264Encoder):
    """A codec of this build of PyAV in the place of VAAPI's; the device is asked for in the same way."""

    default_codec = "h264_qsv"
    acceleration = "qsv"


class AcceleratedByWhatItCannot(Accelerated):
    acceleration = "vaapi"


def test_vaapi_gets_a_device_for_its_pictures(monkeypatch):
    asked = []
    create = av.CodecContext.create

    def library(name, mode, hwaccel=None):  # libx264 takes the same pictures, from our memory
        asked.append((name, mode, hwaccel))
        return create("libx264", mode)

    context = type("Contexts", (), {"create": staticmethod(library)})
    monkeypatch.setattr(hardware.av, "CodecContext", context)
    monkeypatch.setattr(VaapiH264Encoder, "settings", Works.settings)
    encoder = VaapiH264Encoder(64, 48)
    grey = np.full((48, 64, 3), 128, np.uint8)
    frames = [frame for n in range(3) for frame in encoder.encode_frame(grey, n * 3000, keyframe=n == 2)]
    assert [frame.keyframe for frame in frames] == [True, False, True]
    assert all(parameter_sets(frame.data) for frame in frames if frame.keyframe)
    ((name, mode, accelerator),) = asked
    assert (name, mode) == ("h264_vaapi", "w")
    assert isinstance(accelerator, HWAccel)
    assert not accelerator.allow_software_fallback
    assert encoder._context.pix_fmt == "nv12"


@pytest.mark.skipif(any(Path("/dev/dri").glob("render*")), reason="it may be there")
@pytest.mark.parametrize("kind", [Accelerated, AcceleratedByWhatItCannot])
def test_a_device_that_is_not_there_is_a_reason(kind):
    with pytest.raises(LocalError, match=r"the encoder h264_qsv does not open: .*(not implemented|No supported)"):
        kind(640, 480)


def test_hardware_that_works_is_used_and_its_frames_keep_their_times(monkeypatch):
    monkeypatch.setitem(hardware.CANDIDATES, "video/h264", (Works, H264Encoder))
    encoder = create_encoder("video/H264", 320, 240)
    assert isinstance(encoder, Works)
    grey = np.full((240, 320, 3), 90, np.uint8)
    found = [f for n in range(5) for f in encoder.encode_frame(grey, n * 3000, keyframe=n == 3)]
    assert [(frame.timestamp, frame.keyframe) for frame in found] == [
        (0, True),
        (3000, False),
        (6000, False),
        (9000, True),
    ]
    assert parameter_sets(found[3].data) == parameter_sets(found[0].data)  # put there: the driver sent them once
    assert parameter_sets(found[0].data)


def test_hardware_that_refuses_a_size_is_passed_over(monkeypatch, caplog):
    monkeypatch.setitem(hardware.CANDIDATES, "video/h264", (Refuses, H264Encoder))
    assert isinstance(create_encoder("video/H264", 320, 240), Refuses)
    assert isinstance(create_encoder("video/H264", 1280, 720), H264Encoder)
    assert "too large; using libx264 instead" in caplog.text
    assert isinstance(create_encoder("video/H264", 320, 240, hardware=False), H264Encoder)
    with pytest.raises(LocalError, match="must be even"):
        create_encoder("video/H264", 1281, 720)


def test_nothing_works(monkeypatch):
    class Unknown(HardwareH264Encoder):
        default_codec = "h264_of_tomorrow"

    monkeypatch.setitem(hardware.CANDIDATES, "video/h264", (Unknown,))
    with pytest.raises(LocalError, match="on this machine: h264_of_tomorrow: not in this build"):
        choose_encoder("video/H264")


def test_parameter_sets_are_found():
    assert parameter_sets(SPS + PPS + IDR) == SPS + PPS
    assert parameter_sets(SPS[1:] + PPS[1:] + IDR) == SPS + PPS
    assert parameter_sets(IDR) == b""
    assert parameter_sets(b"") == b""
    assert parameter_sets(b"\x00\x00\x01") == b""


@settings(max_examples=100)
@given(st.lists(st.sampled_from([b"\x00", b"\x00\x00\x01", b"\x67", b"\x68", b"\x65\x01"]), max_size=20).map(b"".join))
def test_parameter_sets_of_anything_are_parameter_sets(data):
    found = parameter_sets(data)
    assert parameter_sets(found) == found
    assert {nal[0] & 0x1F for nal in found.split(b"\x00\x00\x00\x01")[1:] if nal} <= {7, 8}


def test_parameter_sets_that_are_kept_are_bounded():
    encoder = Works(320, 240)
    encoder._finish(SPS + bytes([1]) * 5000 + IDR, keyframe=True)
    assert len(encoder._parameter_sets) == MAX_PARAMETER_SETS
