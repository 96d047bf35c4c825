"""Logs of a connection for debugging: secrets, packets in cleartext, events. Each is written only when asked for."""

import dataclasses
import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from ..core import Address
from ..peer import events

StrPath: TypeAlias = str | os.PathLike[str]

MAX_PACKET_LOG: Final = 1 << 30
"""Bytes of a packet log, after which it ends: about half an hour of video."""

# pcapng: draft-ietf-opsawg-pcapng. Link type 252 is Wireshark's "exported PDU": the protocol stands beside each packet.
_SECTION: Final = struct.Struct("<LHHq")
_BLOCK: Final = struct.Struct("<LL")
_INTERFACE: Final = struct.Struct("<HHL")
_PACKET: Final = struct.Struct("<LLLLL")
_TAG: Final = struct.Struct("!HH")
_LINKTYPE_WIRESHARK_UPPER_PDU: Final = 252
_DISSECTORS: Final = {"stun": "stun-udp"}  # Wireshark's names where they are others
_DISSECTOR_NAME: Final = 12  # EXP_PDU_TAG_DISSECTOR_NAME
_FLAGS: Final = 2  # epb_flags: 1 inbound, 2 outbound


def open_private(path: StrPath) -> int:
    """Open a file for appending that only its owner may read; returns its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def key_log_writer(path: StrPath) -> Callable[[str], None]:
    """Return what appends lines to a file that other processes may write too."""

    def write(line: str) -> None:
        # One write each, so that the lines of several processes do not mix; the file is not kept open for it.
        descriptor = open_private(path)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)

    return write


class PacketLog:
    """Packets in cleartext, in the file format pcapng, for Wireshark: open it, and RTP, SCTP and STUN are taken apart.

    Args:
        path: Of the file, which is written anew and which only its owner may read.
        clock: Seconds since 1970.
    """

    def __init__(self, path: StrPath, clock: Callable[[], float] = time.time) -> None:
        Path(path).unlink(missing_ok=True)
        self._file: BinaryIO | None = os.fdopen(open_private(path), "wb")
        self._clock = clock
        self._size = 0
        self._block(0x0A0D0D0A, _SECTION.pack(0x1A2B3C4D, 1, 0, -1))
        self._block(1, _INTERFACE.pack(_LINKTYPE_WIRESHARK_UPPER_PDU, 0, 0))

    def __call__(self, outgoing: bool, protocol: str, data: bytes) -> None:
        """Write one packet; see `peer.secure_media.PacketLog`."""
        if self._file is None:
            return
        name = _DISSECTORS.get(protocol, protocol).encode()
        name += bytes(-len(name) % 4)
        body = _TAG.pack(_DISSECTOR_NAME, len(name)) + name + _TAG.pack(0, 0) + data
        microseconds = int(self._clock() * 1e6)
        header = _PACKET.pack(0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(body), len(body))
        flags = struct.pack("<HHL", _FLAGS, 4, 2 if outgoing else 1) + struct.pack("<HH", 0, 0)
        self._block(6, header + body + bytes(-len(body) % 4) + flags)
        if self._size > MAX_PACKET_LOG:
            self.close()

    def _block(self, kind: int, body: bytes) -> None:
        if self._file is None:
            return
        length = len(body) + 12
        self._file.write(_BLOCK.pack(kind, length) + body + struct.pack("<L", length))
        self._size += length

    def close(self) -> None:
        """End the file; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


_LAYERS: Final[dict[str, str]] = {
    "Signaling": "signaling",
    "Negotiation": "signaling",
    "Ice": "ice",
    "Restart": "ice",
    "Resolution": "ice",
    "Relay": "turn",
    "Connection": "peer",
    "Closed": "peer",
    "Channel": "datachannel",
    "Track": "rtp",
    "Transceiver": "rtp",
    "Sending": "rtp",
    "Keyframe": "rtp",
    "Target": "bwe",
}
_FREQUENT: Final = frozenset({"MessageReceived", "MediaReceived"})


class EventLog:
    """What happens to a connection as JSON lines, which `webrtc log show` draws as a timeline.

    Args:
        path: Of the file, which is appended to and which only its owner may read.
        connection: Tells several connections of one file apart.
        clock: Seconds that only go forward.
    """

    def __init__(self, path: StrPath, connection: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor: int | None = open_private(path)
        self._connection = connection
        self._clock = clock

    def write(self, layer: str, event: str, **members: Any) -> None:
        """Write one line."""
        if self._descriptor is None:
            return
        entry = {"time": round(self._clock(), 6), "connection": self._connection, "layer": layer, "event": event}
        line = json.dumps({**entry, **members}, default=str, separators=(",", ":"))
        os.write(self._descriptor, f"{line}\n".encode())

    def report(self, event: events.Event) -> None:
        """Write an event of the peer connection; messages and frames are too many."""
        name = type(event).__name__
        if name in _FREQUENT:
            return
        layer = next((layer for prefix, layer in _LAYERS.items() if name.startswith(prefix)), "peer")
        members = {
            field.name: _plain(value)
            for field in dataclasses.fields(event)
            if (value := getattr(event, field.name)) is not None
        }
        self.write(layer, _words(name), **members)

    def close(self) -> None:
        """End the file; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _words(name: str) -> str:
    """`IceCandidateGathered` as `ice-candidate-gathered`."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | bool | Address):
        return str(value) if isinstance(value, Address) else value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    for name in ("serialize", "mid", "label"):  # a candidate, a transceiver, a channel
        found = getattr(value, name, None)
        if found is not None:
            return found() if callable(found) else found
    return str(value)
