"""Packet captures of simulated links: what left as ciphertext, and beside it what it protects, for Wireshark."""

import struct
from collections.abc import Sequence
from typing import BinaryIO, Final

from ..core import LocalError

# Link types 101 (raw IP) and microseconds: the pcap file format, draft-ietf-opsawg-pcap section 4.
_MAGIC: Final = 0xA1B2C3D4
_LINKTYPE_RAW: Final = 101
_SNAPLEN: Final = 0xFFFF
_FILE_HEADER: Final = struct.Struct("!LHHlLLL")
_RECORD_HEADER: Final = struct.Struct("!LLLL")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_UDP: Final = struct.Struct("!HHHH")
_UDP_PROTOCOL: Final = 17
# Both are documentation addresses of RFC 5737: nothing real is mistaken for a simulation.
CIPHERTEXT_HOSTS: Final = (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
CLEARTEXT_HOSTS: Final = (bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2)))
DEFAULT_PORTS: Final = (49152, 4433)  # the second one is where Wireshark looks for DTLS
MAX_PAYLOAD: Final = 0xFFFF - _IPV4.size - _UDP.size  # the 16-bit length of an IPv4 packet


class PcapWriter:
    """Writes datagrams between two ends as UDP packets over IPv4.

    Args:
        file: Where to; opened and closed by the caller.
        ports: UDP ports of the two ends of what was on the link.
        cleartext_ports: UDP ports of the two ends of cleartext. 5000 is where Wireshark may be told to find SCTP.
    """

    __slots__ = ("_cleartext_ports", "_file", "_ports")

    def __init__(
        self,
        file: BinaryIO,
        *,
        ports: tuple[int, int] = DEFAULT_PORTS,
        cleartext_ports: tuple[int, int] = (5000, 5001),
    ) -> None:
        self._file = file
        self._ports = ports
        self._cleartext_ports = cleartext_ports
        file.write(_FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW))

    def ciphertext(self, time: float, sender: int, data: bytes) -> None:
        """Write a datagram as it was on the link.

        Args:
            time: Seconds, not negative.
            sender: 0 or 1, as in `Link.trace`.
            data: Payload of the datagram.

        Raises:
            LocalError: If the payload does not fit into a datagram.
        """
        self._write(time, sender, data, CIPHERTEXT_HOSTS, self._ports)

    def cleartext(self, time: float, sender: int, data: bytes) -> None:
        """Write what a datagram protects, between two addresses of its own; the arguments are as in `ciphertext`.

        Raises:
            LocalError: If the payload does not fit into a datagram.
        """
        self._write(time, sender, data, CLEARTEXT_HOSTS, self._cleartext_ports)

    def write_trace(self, trace: Sequence[tuple[float, int, bytes]]) -> None:
        """Write all that a `Link` with `keep_trace` has carried.

        Raises:
            LocalError: If a payload does not fit into a datagram.
        """
        for time, sender, data in trace:
            self.ciphertext(time, sender, data)

    def _write(self, time: float, sender: int, data: bytes, hosts: tuple[bytes, bytes], ports: tuple[int, int]) -> None:
        if len(data) > MAX_PAYLOAD:
            raise LocalError(f"at most {MAX_PAYLOAD} bytes fit into a datagram, not {len(data)}")
        length = _UDP.size + len(data)
        # RFC 768: a UDP checksum of 0 means that there is none.
        udp = _UDP.pack(ports[sender], ports[1 - sender], length, 0)
        fields = [0x45, 0, _IPV4.size + length, 0, 0x4000, 64, _UDP_PROTOCOL, 0, hosts[sender], hosts[1 - sender]]
        fields[7] = _checksum(_IPV4.pack(*fields))
        packet = _IPV4.pack(*fields) + udp + data
        micros = round(time * 1e6)
        self._file.write(_RECORD_HEADER.pack(micros // 1_000_000, micros % 1_000_000, len(packet), len(packet)))
        self._file.write(packet)


def _checksum(header: bytes) -> int:
    """Return the checksum of an IPv4 header, RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
