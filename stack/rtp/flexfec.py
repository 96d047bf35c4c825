"""Flexible forward error correction: repair packets that are the parity of some source packets (RFC 8627).

Two forms: that of RFC 8627, which names the protected streams in the CSRC list, and that of
draft-ietf-payload-flexible-fec-scheme-03, which browsers use.

What a sender changes in a packet until it leaves (absolute send time, transport-wide sequence number) is protected as
it left here; browsers protect zeros in its place. In recovered packets these two say nothing.

# Not implemented: writing fixed rows and columns (L and D), and retransmissions; both are read.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ..core import LocalError, ParseError
from .packet import HEADER_BYTES

MAX_SPAN = 109  # sequence numbers from the first to the last protected packet: the longest mask of both forms
MAX_PROTECTED = 255 * 2  # packets of one repair packet that are looked at; L and D have eight bits
MAX_SOURCES = 512  # packets kept for repairs: half a second of 10 Mbit/s
MAX_REPAIRS = 64  # repair packets that wait for more of what they protect

_BIT_STRING = struct.Struct("!HHL")  # flags, marker and payload type; length; timestamp
_HEADER = struct.Struct("!HHLL")
_LONG_MASK_BITS = {True: 63, False: 64}  # by form: that of browsers has a third k bit


@dataclass(slots=True)
class Repair:
    """One repair packet, understood.

    Args:
        protected: (SSRC, sequence number) of every packet of which it is the parity.
        bit_string: Parity of flags, length and timestamp: eight octets.
        payload: Parity of what follows the fixed headers.
    """

    protected: list[tuple[int, int]]
    bit_string: bytes
    payload: bytes


def encode(packets: Sequence[bytes], *, browser: bool) -> bytes:
    """Return the payload of a repair packet for `packets` of one stream.

    In the form of RFC 8627 the stream's SSRC must stand in the repair packet's CSRC list.

    Args:
        packets: RTP packets as they left, of one SSRC, in order.
        browser: Whether to write the form that browsers use.

    Raises:
        LocalError: If there are none, or they span more sequence numbers than a mask can name.
    """
    if not packets:
        raise LocalError("nothing to protect")
    base = packets[0][2] << 8 | packets[0][3]
    offsets = [(packet[2] << 8 | packet[3]) - base & 0xFFFF for packet in packets]
    if max(offsets) >= MAX_SPAN or len({packet[8:12] for packet in packets}) != 1:
        raise LocalError("packets of several streams, or too far apart")
    bits = 0
    body = 0
    longest = max(map(len, packets)) - HEADER_BYTES
    for packet in packets:
        bits ^= int.from_bytes(_bit_string(packet), "big")
        size = len(packet) - HEADER_BYTES
        body ^= int.from_bytes(packet[HEADER_BYTES:], "big") << 8 * (longest - size)
    head = (bits & (1 << 62) - 1).to_bytes(8, "big")  # R and F are 0: a flexible mask
    if browser:
        head += b"\1\0\0\0" + packets[0][8:12]
    return b"".join((head, packets[0][2:4], _mask(offsets, browser=browser), body.to_bytes(longest, "big")))


def _bit_string(packet: bytes) -> bytes:
    return packet[:2] + (len(packet) - HEADER_BYTES).to_bytes(2, "big") + packet[4:8]


def _mask(offsets: Sequence[int], *, browser: bool) -> bytes:
    long_bits = _LONG_MASK_BITS[browser]
    last = max(offsets)
    sizes = [15, 31, long_bits][: 1 if last < 15 else 2 if last < 46 else 3]
    mask = sum(1 << sum(sizes) - 1 - offset for offset in offsets)
    out, left = [], sum(sizes)
    for index, size in enumerate(sizes):
        left -= size
        part = mask >> left & (1 << size) - 1
        more = index < len(sizes) - 1
        # RFC 8627: k says that another mask follows. In the form of browsers it says that none does.
        if size != 64 and more != browser:
            part |= 1 << size
        out.append(part.to_bytes((size + 7) // 8, "big"))
    return b"".join(out)


def parse(payload: bytes, csrcs: Sequence[int], *, browser: bool) -> Repair:
    """Parse the payload of a repair packet.

    Args:
        payload: Of the repair packet.
        csrcs: Of the repair packet's header: the protected streams, in the form of RFC 8627.
        browser: Whether it is of the form that browsers use.

    Raises:
        ParseError: `truncated`, or `bad-fec` for what protects nothing, too much, or is of a reserved variant.
    """
    if len(payload) < HEADER_BYTES:
        raise ParseError("truncated", "FEC header")
    variant = payload[0] >> 6
    if variant == 2:
        return _parse_retransmission(payload)
    if variant == 3 or (variant and browser):
        raise ParseError("bad-fec", f"variant {variant}")
    at = 8
    count = len(csrcs)
    if browser:
        count, at = payload[at], at + 4
    protected: list[tuple[int, int]] = []
    try:
        for index in range(count):
            if browser:
                ssrc, at = int.from_bytes(payload[at : at + 4], "big"), at + 4
            else:
                ssrc = csrcs[index]
            base, at = payload[at] << 8 | payload[at + 1], at + 2
            if variant:
                offsets, at = _rows_and_columns(payload[at], payload[at + 1]), at + 2
            else:
                offsets, at = _parse_mask(payload, at, browser=browser)
            protected += [(ssrc, base + offset & 0xFFFF) for offset in offsets]
            if len(protected) > MAX_PROTECTED:
                break
    except IndexError as error:
        raise ParseError("truncated", "FEC header") from error
    if not 1 <= len(protected) <= MAX_PROTECTED or at > len(payload):
        raise ParseError("bad-fec", f"{len(protected)} packets protected")
    return Repair(protected, payload[:8], payload[at:])


def _parse_retransmission(payload: bytes) -> Repair:
    """RFC 8627 section 4.2.2.3: what follows is the source packet, R and F in the place of its version."""
    protected = [(int.from_bytes(payload[8:12], "big"), payload[2] << 8 | payload[3])]
    length = (len(payload) - HEADER_BYTES).to_bytes(2, "big")
    return Repair(protected, payload[:2] + length + payload[4:8], payload[HEADER_BYTES:])


def _rows_and_columns(columns: int, rows: int) -> list[int]:
    """RFC 8627 section 6.3.1.2."""
    if not columns:
        raise ParseError("bad-fec", "no columns")
    return list(range(columns) if rows <= 1 else range(0, rows * columns, columns))


def _parse_mask(payload: bytes, at: int, *, browser: bool) -> tuple[list[int], int]:
    offsets: list[int] = []
    begin = 0
    for size in (15, 31, _LONG_MASK_BITS[browser]):
        octets = (size + 7) // 8
        payload[at + octets - 1]
        value = int.from_bytes(payload[at : at + octets], "big")
        at += octets
        offsets += [begin + bit for bit in range(size) if value >> size - 1 - bit & 1]
        begin += size
        if size == 64 or bool(value >> size) == browser:
            break
    return offsets, at


class FecDecoder:
    """Recovers lost packets of protected streams.

    Args:
        browser: Whether repair packets are of the form that browsers use.
    """

    __slots__ = ("_browser", "_repairs", "_sources")

    def __init__(self, *, browser: bool) -> None:
        self._browser = browser
        self._sources: dict[tuple[int, int], bytes] = {}
        self._repairs: list[tuple[Repair, set[tuple[int, int]]]] = []  # with what is missing of what they protect

    def receive_source(self, datagram: bytes) -> list[bytes]:
        """Take a source packet as it came; return what could be recovered with it."""
        if len(datagram) < HEADER_BYTES:
            return []
        key = (int.from_bytes(datagram[8:12], "big"), datagram[2] << 8 | datagram[3])
        self._keep(key, datagram)
        return self._recover([key]) if self._repairs else []

    def receive_repair(self, payload: bytes, csrcs: Sequence[int]) -> list[bytes]:
        """Take a repair packet's payload and CSRCs; return what could be recovered with it.

        Raises:
            ParseError: As `parse`.
        """
        repair = parse(payload, csrcs, browser=self._browser)
        missing = {key for key in repair.protected if key not in self._sources}
        if len(missing) > 1:
            self._repairs.append((repair, missing))
            del self._repairs[:-MAX_REPAIRS]
            return []
        packet = self._solve(repair, missing.pop()) if missing else None
        if packet is None:
            return []
        return [packet, *self.receive_source(packet)]

    def _keep(self, key: tuple[int, int], datagram: bytes) -> None:
        sources = self._sources
        if key in sources:
            del sources[key]
        elif len(sources) >= MAX_SOURCES:
            for old in list(sources)[: MAX_SOURCES // 4]:
                del sources[old]
        sources[key] = datagram

    def _recover(self, arrived: list[tuple[int, int]]) -> list[bytes]:
        """Use every repair packet that lacks but one packet now, and go on with what that brought.

        RFC 8627 section 6.3.4.
        """
        recovered: list[bytes] = []
        while arrived:
            key = arrived.pop()
            for entry in [entry for entry in self._repairs if key in entry[1]]:
                repair, missing = entry
                missing.discard(key)
                if len(missing) > 1:
                    continue
                self._repairs.remove(entry)
                for name in missing:  # one, or none if that came by another way
                    packet = self._solve(repair, name)
                    if packet is not None:
                        self._keep(name, packet)
                        recovered.append(packet)
                        arrived.append(name)
        return recovered

    def _solve(self, repair: Repair, missing: tuple[int, int]) -> bytes | None:
        bits = int.from_bytes(repair.bit_string, "big")
        size = len(repair.payload)
        body = int.from_bytes(repair.payload, "big")
        for key in repair.protected:
            if key == missing:
                continue
            packet = self._sources.get(key)
            if packet is None:
                return None  # forgotten meanwhile
            bits ^= int.from_bytes(_bit_string(packet), "big")
            excess = len(packet) - HEADER_BYTES - size
            if excess > 0:
                return None  # the parity cannot be shorter than what it protects
            body ^= int.from_bytes(packet[HEADER_BYTES:], "big") << -8 * excess
        flags, length, timestamp = _BIT_STRING.unpack(bits.to_bytes(8, "big"))
        if length > size:
            return None
        ssrc, sequence_number = missing
        head: bytes = _HEADER.pack(0x8000 | flags & 0x3FFF, sequence_number, timestamp, ssrc)
        return head + body.to_bytes(size, "big")[:length]


def protection(packets: Sequence[bytes], ratio: float) -> list[list[bytes]]:
    """Choose what repair packets for one frame protect: interleaved, so that a burst hits each of them once.

    Args:
        packets: The frame's.
        ratio: Repair packets per packet; 0 for none.

    Returns:
        The packets of each repair packet.
    """
    count = round(len(packets) * ratio)
    if ratio > 0 and not count:
        count = 1
    groups: list[list[bytes]] = []
    for start in range(0, len(packets), MAX_SPAN):
        part = packets[start : start + MAX_SPAN]
        share = min(len(part), max(1, round(count * len(part) / len(packets)))) if count else 0
        groups += [list(part[index::share]) for index in range(share)]
    return groups


class RepairStream:
    """The repair packets of one sender: numbers of their own, and what of the present frame they protect.

    Args:
        ssrc: Of the repair packets.
        payload_type: Of the repair packets.
        protected_ssrc: The stream that they protect.
        browser: Whether to write the form that browsers use.

    Attributes:
        ratio: Repair packets per packet of a frame; 0 for none.
    """

    __slots__ = ("_browser", "_frame", "_protected_ssrc", "_sequence_number", "payload_type", "ratio", "ssrc")

    def __init__(self, ssrc: int, payload_type: int, protected_ssrc: int, *, browser: bool) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.ratio = 0.0
        self._protected_ssrc = protected_ssrc
        self._browser = browser
        self._sequence_number = 0
        self._frame: list[bytes] = []

    def protect(self, datagram: bytes, *, last: bool) -> list[bytes]:
        """Note a packet that leaves; return the payloads of the repair packets that are to follow it."""
        if self.ratio <= 0:
            return []
        self._frame.append(datagram)
        if not last and len(self._frame) < MAX_SPAN:
            return []
        groups = protection(self._frame, self.ratio)
        self._frame = []
        return [encode(group, browser=self._browser) for group in groups]

    def packet(self, header: bytes, payload: bytes) -> bytes:
        """Return a repair packet: `header`, its sequence number and CSRC filled in, and `payload`."""
        number = self._sequence_number & 0xFFFF
        self._sequence_number += 1
        fixed = header[:2] + number.to_bytes(2, "big") + header[4:HEADER_BYTES]
        if self._browser:
            return fixed + header[HEADER_BYTES:] + payload
        # RFC 8627 section 4.2.1: the protected stream stands in the CSRC list.
        csrc = self._protected_ssrc.to_bytes(4, "big")
        return bytes((fixed[0] | 1,)) + fixed[1:] + csrc + header[HEADER_BYTES:] + payload
