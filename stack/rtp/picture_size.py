"""How large the picture of a key frame is: what tells the encodings of one source apart where nothing else does."""

from typing import Final

from ..core import ParseError

MAX_SPS_BYTES: Final = 512
"""Bytes of a sequence parameter set that are looked at: encoders write tens, with scaling lists some hundreds."""

_SYNC_CODE = b"\x9d\x01\x2a"  # RFC 6386 section 9.1
_VP9_SYNC_CODE = 0x498342
_SRGB = 7
_SPS = 7
_MAX_ZEROS = 31  # of an Exp-Golomb code: values have 32 bits (ITU-T H.264 section 9.1)
_WITH_CHROMA_FORMAT = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def picture_size(mime: str, keyframe: bytes) -> tuple[int, int] | None:
    """Return width and height, pixels; None if that cannot be told.

    Not implemented: AV1 and H.265.

    Args:
        mime: Of the codec, for example `video/vp8`, in lower case.
        keyframe: The frame, H.264 in Annex B.
    """
    read = _READERS.get(mime)
    try:
        return None if read is None else read(keyframe)
    except ParseError:
        return None


class _Bits:
    """Reads bits, the most significant one first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """Return an unsigned number of `count` bits."""
        if count > self._left:
            raise ParseError("truncated")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """Return an Exp-Golomb code, ue(v) of ITU-T H.264 section 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise ParseError("bad-golomb")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """Return se(v) of ITU-T H.264 section 9.1.1."""
        code = self.golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _vp8(frame: bytes) -> tuple[int, int] | None:
    """RFC 6386 section 9.1."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != _SYNC_CODE:
        return None
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


def _vp9(frame: bytes) -> tuple[int, int] | None:
    """VP9 Bitstream and Decoding Process Specification section 6.2."""
    bits = _Bits(frame[:16])
    if bits.take(2) != 2:
        return None
    profile = bits.take(1) | bits.take(1) << 1
    if profile == 3:
        bits.take(1)
    shown_before, no_keyframe = bits.take(1), bits.take(1)
    bits.take(2)
    if shown_before or no_keyframe or bits.take(24) != _VP9_SYNC_CODE:
        return None
    if profile >= 2:
        bits.take(1)
    if bits.take(3) != _SRGB:
        bits.take(4 if profile & 1 else 1)
    elif profile & 1:
        bits.take(1)
    return bits.take(16) + 1, bits.take(16) + 1


def _h264(frame: bytes) -> tuple[int, int] | None:
    at = frame.find(b"\0\0\1")
    while 0 <= at < len(frame) - 3:
        end = frame.find(b"\0\0\1", at + 3)
        if frame[at + 3] & 0x1F == _SPS:
            unit = frame[at + 4 : len(frame) if end < 0 else end][:MAX_SPS_BYTES]
            return _sps(_Bits(unit.replace(b"\0\0\3", b"\0\0")))
        at = end
    return None


def _sps(bits: _Bits) -> tuple[int, int]:
    """ITU-T H.264 section 7.3.2.1.1."""
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma = 1
    if profile in _WITH_CHROMA_FORMAT:
        chroma = _chroma_format(bits)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()
    bits.take(1)
    width, height = (bits.golomb() + 1) * 16, (bits.golomb() + 1) * 16
    fields = not bits.take(1)
    if fields:
        bits.take(1)
        height *= 2
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        width -= (left + right) * (2 if chroma in {1, 2} else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (2 if fields else 1)
    if width <= 0 or height <= 0:
        raise ParseError("bad-size")
    return width, height


def _chroma_format(bits: _Bits) -> int:
    """Read what profiles above Main have more, up to the scaling lists."""
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """ITU-T H.264 section 7.3.2.1.1.1."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed_golomb()) % 256
        if not scale:
            return


_READERS: Final = {"video/vp8": _vp8, "video/vp9": _vp9, "video/h264": _h264}
