"""RFC 7983 section 7: every first byte, and RFC 5761 section 4: every second one."""

import pytest

from stack import demux


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [
        (0, 3, demux.STUN),
        (4, 15, demux.UNKNOWN),
        (16, 19, demux.UNKNOWN),
        (20, 63, demux.DTLS),
        (64, 79, demux.TURN_CHANNEL),
        (80, 127, demux.UNKNOWN),
        (128, 191, demux.RTP),
        (192, 255, demux.UNKNOWN),
    ],
)
def test_the_first_byte_decides(first, last, kind):
    for byte in range(first, last + 1):
        assert demux.classify(bytes((byte, 0))) == kind, byte


@pytest.mark.parametrize("first", [128, 144, 191])
def test_rtcp_is_told_from_rtp_by_its_packet_type(first):
    for second in range(256):
        expected = demux.RTCP if 192 <= second <= 223 else demux.RTP
        assert demux.classify(bytes((first, second))) == expected, second


@pytest.mark.parametrize("first", [0, 22, 64])
def test_the_second_byte_matters_only_behind_version_2(first):
    assert demux.classify(bytes((first, 200))) == demux.classify(bytes((first, 0)))


def test_short_datagrams():
    assert demux.classify(b"") == demux.UNKNOWN
    assert demux.classify(b"\x80") == demux.RTP
    assert demux.classify(b"\x16") == demux.DTLS


def test_the_kinds_are_distinct():
    kinds = [demux.UNKNOWN, demux.STUN, demux.DTLS, demux.TURN_CHANNEL, demux.RTP, demux.RTCP]
    assert len(set(kinds)) == len(kinds)
