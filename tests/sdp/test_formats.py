"""What the parameters of formats mean."""

import pytest

from stack.core import ParseError
from stack.sdp import (
    H264,
    Av1,
    FlexFec,
    Opus,
    ProfileLevelId,
    Red,
    Rtx,
    SessionDescription,
    TelephoneEvent,
    Vp8,
    Vp9,
    format_of,
)

from .support import load, media


def typed(name, parameters=None):
    lines = [f"a=rtpmap:96 {name}/90000", *([f"a=fmtp:96 {parameters}"] if parameters else [])]
    return format_of(media(*lines).codec(96))


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", "constrained baseline", "3.1"),
        ("42001F", "baseline", "3.1"),
        ("4d001f", "main", "3.1"),
        ("4d801f", "constrained baseline", "3.1"),
        ("58c01f", "constrained baseline", "3.1"),
        ("640c34", "constrained high", "5.2"),
        ("64001f", "high", "3.1"),
        ("f4001f", "high 4:4:4 predictive", "3.1"),
        ("42f00b", "constrained baseline", "1b"),
        ("64000b", "high", "1.1"),
        ("640009", "high", "1b"),
        ("000000", None, "0.0"),
    ],
)
def test_h264_profiles_and_levels(text, profile, level):
    parsed = ProfileLevelId.parse(text)
    assert (parsed.profile, parsed.level) == (profile, level)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("H264", None, H264(ProfileLevelId(0x42, 0, 10), 0, False)),
        (
            "h264",
            "level-asymmetry-allowed=1;Packetization-Mode=1;profile-level-id=42e01f",
            H264(ProfileLevelId(0x42, 0xE0, 31), 1, True),
        ),
        ("opus", None, Opus(False, False, False, False, False, None, 48000, 3)),
        (
            "opus",
            "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=64000",
            Opus(True, False, True, False, False, 64000, 48000, 10),
        ),
        ("VP8", "max-fs=12288;max-fr=60", Vp8(60, 12288)),
        ("VP9", "profile-id=2", Vp9(2, None, None)),
        ("VP9", None, Vp9(0, None, None)),
        ("AV1", None, Av1(0, 5, 0)),
        ("AV1", "level-idx=8;profile=1;tier=1", Av1(1, 8, 1)),
        ("rtx", "apt=96;rtx-time=3000", Rtx(96, 3000)),
        ("red", "111/111", Red([111, 111])),
        ("red", None, Red([])),
        ("flexfec-03", "repair-window=10000000", FlexFec(10000000)),
        ("telephone-event", "0-15,66", TelephoneEvent("0-15,66")),
        ("telephone-event", None, TelephoneEvent("0-15")),
        ("x-unknown", "a=b", None),
    ],
)
def test_parameters(name, parameters, expected):
    assert typed(name, parameters) == expected


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("H264", "profile-level-id=42e0"),
        ("H264", "profile-level-id"),
        ("H264", "packetization-mode=3"),
        ("H264", "level-asymmetry-allowed=yes"),
        ("opus", "stereo=2"),
        ("VP9", "profile-id=4"),
        ("AV1", "level-idx=32"),
        ("rtx", None),
        ("rtx", "apt=128"),
        ("red", "111/x"),
        ("telephone-event", "0-x"),
    ],
)
def test_malformed_parameters(name, parameters):
    with pytest.raises(ParseError) as caught:
        typed(name, parameters)
    assert caught.value.reason == "bad-fmtp"


@pytest.mark.parametrize(("text", "expected"), list(load("browsers.json")))
def test_all_that_browsers_offer_can_be_typed(text, expected):
    codecs = [codec for section in SessionDescription.parse(text).media for codec in section.codecs]
    assert len(codecs) == sum(len(section["codecs"]) for section in expected["media"])
    for codec in codecs:
        found = format_of(codec)
        assert (found is not None) == (codec.name.lower() not in {"pcmu", "pcma", "g722", "cn", "ulpfec", "h265"})
