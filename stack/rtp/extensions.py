"""RTP header extensions: which identifier means what, and what the values look like (RFC 8285)."""

import struct
from collections.abc import Iterator, Mapping

from ..core import LocalError, ParseError

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"  # passed through
)
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

MAX_ELEMENT_BYTES = 255  # RFC 8285 section 4.3: the length field of the two-byte form has 8 bits

_ONE_BYTE = 0xBEDE  # RFC 8285 section 4.2
_TWO_BYTE = 0x1000  # RFC 8285 section 4.3, appbits 0
_PROFILE_AND_WORDS = struct.Struct("!HH").pack
_U16 = struct.Struct("!H").pack
_Q = struct.Struct("!Q")
_QQ = struct.Struct("!Qq")
_PLAYOUT_UNIT = 0.01  # seconds
_CAPTURE_UNIT = float(1 << 32)  # UQ32.32


class ExtensionMap(Mapping[str, int]):
    """The negotiated mapping between extension URIs and local identifiers of one section.

    Args:
        identifiers: URI to identifier, 1..255 except 15 (RFC 8285 section 4.2 keeps 15 back).

    Raises:
        LocalError: If an identifier is out of range or used twice.
    """

    __slots__ = ("_identifiers", "_uris")

    def __init__(self, identifiers: Mapping[str, int] | None = None) -> None:
        self._identifiers = dict(identifiers or {})
        self._uris = {identifier: uri for uri, identifier in self._identifiers.items()}
        if len(self._uris) != len(self._identifiers):
            raise LocalError("two header extensions with one identifier")
        for identifier in self._uris:
            if not 1 <= identifier <= 255 or identifier == 15:
                raise LocalError(f"{identifier} cannot be the identifier of a header extension")

    def __getitem__(self, uri: str) -> int:
        return self._identifiers[uri]

    def __iter__(self) -> Iterator[str]:
        return iter(self._identifiers)

    def __len__(self) -> int:
        return len(self._identifiers)

    def __repr__(self) -> str:
        return f"ExtensionMap({self._identifiers!r})"

    def uri(self, identifier: int) -> str | None:
        """Return what `identifier` means, or None."""
        return self._uris.get(identifier)


def _fits_one_byte(extensions: Mapping[int, bytes]) -> bool:
    return all(1 <= identifier <= 14 and 1 <= len(value) <= 16 for identifier, value in extensions.items())


def _element(identifier: int, value: bytes, *, one_byte: bool) -> bytes:
    if one_byte:
        return bytes((identifier << 4 | len(value) - 1,)) + value
    return bytes((identifier, len(value))) + value


def serialize_extensions(extensions: Mapping[int, bytes]) -> bytes:
    """Return the extension part of an RTP header, profile and length included; nothing for no extensions.

    The one-byte form is used whenever it can hold them all (RFC 8285 section 4.1.2).

    Raises:
        LocalError: If an identifier or a length fits neither form.
    """
    if not extensions:
        return b""
    one_byte = _fits_one_byte(extensions)
    for identifier, value in extensions.items():
        if not 1 <= identifier <= 255 or len(value) > MAX_ELEMENT_BYTES:
            raise LocalError(f"header extension {identifier} of {len(value)} bytes cannot be written")
    body = b"".join([_element(identifier, value, one_byte=one_byte) for identifier, value in extensions.items()])
    body += bytes(-len(body) % 4)
    return _PROFILE_AND_WORDS(_ONE_BYTE if one_byte else _TWO_BYTE, len(body) // 4) + body


def parse_extensions(profile: int, data: bytes, offset: int, end: int) -> dict[int, bytes]:
    """Return the elements in `data[offset:end]`; an unknown profile has none that we could read.

    Raises:
        ParseError: `bad-extension` if an element passes the end.
    """
    if profile == _ONE_BYTE:
        return _parse_one_byte(data, offset, end)
    if profile & 0xFFF0 == _TWO_BYTE:
        return _parse_two_byte(data, offset, end)
    return {}


def _parse_one_byte(data: bytes, offset: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset < end:
        head = data[offset]
        offset += 1
        if head == 0:
            continue
        identifier = head >> 4
        # RFC 8285 section 4.1.2: 15, and 0 with a length, end the whole extension.
        if identifier in {0, 15}:
            break
        stop = offset + (head & 15) + 1
        if stop > end:
            raise ParseError("bad-extension", f"element {identifier} passes the end")
        found[identifier] = data[offset:stop]
        offset = stop
    return found


def _parse_two_byte(data: bytes, offset: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while offset < end:
        identifier = data[offset]
        offset += 1
        if identifier == 0:
            continue
        stop = offset + 1 + data[offset] if offset < end else end + 1
        if stop > end:
            raise ParseError("bad-extension", f"element {identifier} passes the end")
        found[identifier] = data[offset + 1 : stop]
        offset = stop
    return found


class ExtensionWriter:
    """Writes the same extensions into packet after packet: constants, absolute send time, transport sequence number.

    Args:
        constant: Identifier to value, the same in every packet.
        abs_send_time: Identifier of the absolute send time, or None.
        transport_cc: Identifier of the transport-wide sequence number, or None.

    Attributes:
        pad: What follows the transport-wide sequence number.
        size: Octets of everything together.
    """

    __slots__ = ("_abs_send_time", "_head", "_tail", "pad", "size")

    def __init__(self, constant: Mapping[int, bytes], abs_send_time: int | None, transport_cc: int | None) -> None:
        everything = dict(constant)
        if abs_send_time is not None:
            everything[abs_send_time] = bytes(3)
        if transport_cc is not None:
            everything[transport_cc] = bytes(2)
        one_byte = _fits_one_byte(everything)
        words = (len(serialize_extensions(everything)) or 4) // 4 - 1
        self._head = _PROFILE_AND_WORDS(_ONE_BYTE if one_byte else _TWO_BYTE, words) if everything else b""
        self._abs_send_time = abs_send_time is not None
        if abs_send_time is not None:
            self._head += _element(abs_send_time, bytes(3), one_byte=one_byte)[:-3]
        self._tail = b"".join([_element(i, value, one_byte=one_byte) for i, value in constant.items()])
        size = len(self._head) + 3 * self._abs_send_time + len(self._tail)
        if transport_cc is None:
            self.pad = b""
            self._tail += bytes(-size % 4)
        else:
            element = _element(transport_cc, bytes(2), one_byte=one_byte)
            self._tail += element[:-2]
            self.pad = bytes(-(size + len(element)) % 4)
        self.size = 4 * (words + 1) if everything else 0

    def prefix(self, ntp: float) -> bytes:
        """Return all but the transport-wide sequence number and `pad`, for packets that leave at NTP time `ntp`."""
        return self._head + (pack_abs_send_time(ntp) if self._abs_send_time else b"") + self._tail


def pack_text(text: str) -> bytes:
    """Return the value of MID, RID or REPAIRED_RID (RFC 7941 section 4.1.1).

    Raises:
        LocalError: If it is empty or longer than an element may be.
    """
    value = text.encode()
    if not 1 <= len(value) <= MAX_ELEMENT_BYTES:
        raise LocalError(f"{text!r} does not fit a header extension")
    return value


def unpack_text(value: bytes) -> str:
    """Return the text of MID, RID or REPAIRED_RID.

    Raises:
        ParseError: `bad-extension` if it is not UTF-8 or empty.
    """
    try:
        text = value.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise ParseError("bad-extension", "not UTF-8") from error
    if not text:
        raise ParseError("bad-extension", "empty")
    return text


def pack_audio_level(level: int, *, voice: bool) -> bytes:
    """Return an audio level (RFC 6464 section 3).

    Args:
        level: 0 (loudest) to 127 (silence), in -dBov.
        voice: Whether it is believed to contain speech.
    """
    if not 0 <= level <= 127:
        raise LocalError(f"an audio level is 0..127, not {level}")
    return bytes((voice << 7 | level,))


def unpack_audio_level(value: bytes) -> tuple[int, bool]:
    """Return (level in -dBov, voice)."""
    _expect(value, 1)
    return value[0] & 0x7F, value[0] > 127


def pack_abs_send_time(ntp: float) -> bytes:
    """Return an absolute send time: 24 bits, 6.18 fixed-point seconds of the NTP time `ntp`."""
    return (int(ntp * 262144.0) & 0xFFFFFF).to_bytes(3, "big")


def unpack_abs_send_time(value: bytes) -> float:
    """Return seconds, 0 <= s < 64."""
    _expect(value, 3)
    return int.from_bytes(value[:3], "big") / 262144.0


def pack_transport_cc(sequence_number: int) -> bytes:
    """Return a transport-wide sequence number, taken modulo 2**16."""
    return _U16(sequence_number & 0xFFFF)


def unpack_transport_cc(value: bytes) -> int:
    """Return the transport-wide sequence number."""
    _expect(value, 2)
    return value[0] << 8 | value[1]


def pack_playout_delay(minimum: float, maximum: float) -> bytes:
    """Return a playout delay; both in seconds, 0..40.95, minimum <= maximum."""
    low, high = round(minimum / _PLAYOUT_UNIT), round(maximum / _PLAYOUT_UNIT)
    if not 0 <= low <= high <= 0xFFF:
        raise LocalError(f"a playout delay of {minimum}..{maximum} s cannot be written")
    return (low << 12 | high).to_bytes(3, "big")


def unpack_playout_delay(value: bytes) -> tuple[float, float]:
    """Return (minimum, maximum) in seconds."""
    _expect(value, 3)
    both = int.from_bytes(value[:3], "big")
    return (both >> 12) * _PLAYOUT_UNIT, (both & 0xFFF) * _PLAYOUT_UNIT


def pack_video_orientation(rotation: int, *, flip: bool = False, back_camera: bool = False) -> bytes:
    """Return a coordination of video orientation; `rotation` is 0, 90, 180 or 270 degrees."""
    if rotation not in {0, 90, 180, 270}:
        raise LocalError(f"a rotation is 0, 90, 180 or 270 degrees, not {rotation}")
    return bytes((back_camera << 3 | flip << 2 | rotation // 90,))


def unpack_video_orientation(value: bytes) -> tuple[int, bool, bool]:
    """Return (rotation in degrees, flip, back camera)."""
    _expect(value, 1)
    return (value[0] & 3) * 90, bool(value[0] & 4), bool(value[0] & 8)


def pack_abs_capture_time(ntp: float, offset: float | None = None) -> bytes:
    """Return an absolute capture time.

    Args:
        ntp: NTP time of capture in the capture system's clock, seconds.
        offset: Estimated offset of the sender's clock to the capture system's, seconds.
    """
    stamp = int(ntp * _CAPTURE_UNIT) & 0xFFFFFFFFFFFFFFFF
    return _Q.pack(stamp) if offset is None else _QQ.pack(stamp, int(offset * _CAPTURE_UNIT))


def unpack_abs_capture_time(value: bytes) -> tuple[float, float | None]:
    """Return (NTP time in seconds, clock offset in seconds or None)."""
    _expect(value, 8)
    if len(value) < 16:
        return _Q.unpack_from(value)[0] / _CAPTURE_UNIT, None
    stamp, offset = _QQ.unpack_from(value)
    return stamp / _CAPTURE_UNIT, offset / _CAPTURE_UNIT


def _expect(value: bytes, size: int) -> None:
    if len(value) < size:
        raise ParseError("bad-extension", f"{len(value)} bytes, {size} wanted")
