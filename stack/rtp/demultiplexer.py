"""Which section of a description a packet belongs to, and which of its encodings (RFC 9143 section 9.2, RFC 8852)."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..core import LocalError, ParseError
from .extensions import MID, REPAIRED_RID, RID, ExtensionMap, unpack_text
from .packet import HEADER_BYTES, Packet
from .rtcp import SourceDescription
from .rtcp_reports import RTP_STREAM_ID, SDES_MID

MAX_SSRCS = 256  # SSRCs remembered of one transport; past that the one unheard of for longest gives way

Route = TypeVar("Route")

_NOTHING = (None, None, None)


@dataclass(slots=True)
class Destination(Generic[Route]):
    """Where a packet belongs.

    Args:
        route: The section, as given to `Demultiplexer.add`.
        rid: The encoding, None where there is only one.
        repaired: Whether the packet repairs that encoding instead of being of it.
    """

    route: Route
    rid: str | None = None
    repaired: bool = False


@dataclass(slots=True)
class _Section(Generic[Route]):
    route: Route
    mid: str | None
    rids: frozenset[str]
    payload_types: frozenset[int]


@dataclass(slots=True)
class _Source(Generic[Route]):
    destination: Destination[Route]
    section: _Section[Route]
    signalled: bool
    used: int
    told: tuple[bytes | None, bytes | None, bytes | None] = _NOTHING  # MID, RID, repaired RID that it last said


class Demultiplexer(Generic[Route]):
    """Routes the RTP packets of one transport: by MID, else by an SSRC known, else by a payload type of one section.

    Args:
        extension_map: The transport's header extensions: identifiers mean the same in all sections of a bundle
            (RFC 9143 section 9.2).

    Attributes:
        dropped: Packets that belong nowhere, by reason.
    """

    __slots__ = ("_by_mid", "_by_payload_type", "_count", "_ids", "_sources", "dropped")

    def __init__(self, extension_map: ExtensionMap | None = None) -> None:
        mapped = extension_map or ExtensionMap()
        self._ids = (mapped.get(MID, -1), mapped.get(RID, -1), mapped.get(REPAIRED_RID, -1))
        self._by_mid: dict[str, _Section[Route]] = {}
        self._by_payload_type: dict[int, _Section[Route] | None] = {}
        self._sources: dict[int, _Source[Route]] = {}
        self._count = 0
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._sources)

    def add(
        self,
        route: Route,
        *,
        mid: str | None = None,
        rids: Iterable[str] = (),
        payload_types: Collection[int] = (),
        ssrcs: Collection[int] = (),
    ) -> None:
        """Make a section known.

        Args:
            route: What `destination` is to return for its packets.
            mid: Its identification.
            rids: Its encodings, if it has several (RFC 8853).
            payload_types: Those that it receives, retransmissions included.
            ssrcs: Those that the description names.

        Raises:
            LocalError: If the MID is another section's, or there are more SSRCs than can be remembered.
        """
        if mid in self._by_mid or len(self._sources) + len(ssrcs) > MAX_SSRCS:
            raise LocalError(f"a second section {mid}, or too many SSRCs")
        section = _Section(route, mid, frozenset(rids), frozenset(payload_types))
        if mid is not None:
            self._by_mid[mid] = section
        for payload_type in payload_types:
            # A payload type of two sections identifies neither (RFC 9143 section 9.2).
            known = self._by_payload_type.get(payload_type, section)
            self._by_payload_type[payload_type] = section if known is section else None
        for ssrc in ssrcs:
            self._sources[ssrc] = _Source(Destination(route), section, signalled=True, used=self._count)

    def take_over(self, before: "Demultiplexer[Route]") -> None:
        """Keep what another has learned of sections that are here as well.

        A sender that was told that its packets arrive does not say any more where they belong (RFC 9143 section 15).
        """
        for ssrc, source in before._sources.items():  # noqa: SLF001  of the same class
            known, section = source.destination, self._by_mid.get(source.section.mid or "")
            if section is None or section.route is not known.route:
                continue
            if known.rid not in section.rids and (known.rid is not None or section.rids):
                continue
            described = self._sources.get(ssrc)
            if described is None and not source.signalled:
                self._learn(ssrc, section, known)
            elif described is not None and described.section is section:
                described.destination = known  # a description does not say which encoding an SSRC is

    def destination(self, datagram: bytes) -> Destination[Route] | None:
        """Return where an RTP datagram belongs, or None, counted in `dropped`.

        Packets of known SSRCs without header extensions are not parsed.
        """
        if len(datagram) < HEADER_BYTES:
            self.dropped["truncated"] += 1
            return None
        if not datagram[0] & 0x10:
            source = self._sources.get(int.from_bytes(datagram[8:12], "big"))
            if source is not None and datagram[0] >> 6 == 2:
                self._count += 1
                source.used = self._count
                return source.destination
        try:
            packet = Packet.parse(datagram)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return None
        return self.destination_of(packet)

    def destination_of(self, packet: Packet) -> Destination[Route] | None:
        """Return where a packet already parsed belongs, or None, counted in `dropped`."""
        self._count += 1
        source = self._sources.get(packet.ssrc)
        extensions = packet.extensions
        if extensions:
            mid_id, rid_id, repaired_id = self._ids
            told = (extensions.get(mid_id), extensions.get(rid_id), extensions.get(repaired_id))
            # Nearly every packet of a stream says the same as the one before it.
            if told != _NOTHING and (source is None or source.told != told):
                source = self._told(packet, source, told)
                if source is None:
                    return None
        if source is None:
            section = self._by_payload_type.get(packet.payload_type)
            if section is None:
                self.dropped["unrouted"] += 1
                return None
            source = self._learn(packet.ssrc, section, Destination(section.route))
        source.used = self._count
        return source.destination

    def _told(
        self, packet: Packet, source: _Source[Route] | None, told: tuple[bytes | None, bytes | None, bytes | None]
    ) -> _Source[Route] | None:
        """Return the source of a packet that says where it belongs; None and a count if that is nowhere."""
        try:
            mid, rid, repaired_rid = (None if value is None else unpack_text(value) for value in told)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return None
        repaired = rid is None and repaired_rid is not None
        rid = rid or repaired_rid
        if mid is not None:
            section = self._by_mid.get(mid)
        else:
            section = source.section if source is not None else self._by_payload_type.get(packet.payload_type)
        if section is None:
            self.dropped["unknown-mid" if mid is not None else "unrouted"] += 1
            return None
        if rid is not None and rid not in section.rids:
            if section.rids:
                self.dropped["unknown-rid"] += 1
                return None
            rid = None  # the section has one encoding, whatever it is called
        if source is None or source.section is not section:
            source = self._learn(packet.ssrc, section, Destination(section.route, rid, repaired))
        elif rid is not None:
            source.destination.rid, source.destination.repaired = rid, repaired
        source.told = told
        return source

    def _learn(self, ssrc: int, section: _Section[Route], destination: Destination[Route]) -> _Source[Route]:
        sources = self._sources
        if ssrc not in sources and len(sources) >= MAX_SSRCS:
            learned = [(source.used, known) for known, source in sources.items() if not source.signalled]
            if learned:
                del sources[min(learned)[1]]
                self.dropped["ssrcs-full"] += 1
        source = _Source(destination, section, signalled=False, used=self._count)
        if len(sources) < MAX_SSRCS or ssrc in sources:
            sources[ssrc] = source
        return source

    def receive_description(self, description: SourceDescription) -> None:
        """Learn from the MID and RtpStreamId items of an SDES packet (RFC 9143 section 15.2)."""
        for ssrc, _ in description.chunks:
            section = self._by_mid.get(description.text(ssrc, SDES_MID) or "")
            rid = description.text(ssrc, RTP_STREAM_ID)
            source = self._sources.get(ssrc)
            # Its packets say it better, if they say anything.
            if section is not None and (source is None or source.section is not section):
                known = rid if rid is not None and rid in section.rids else None
                self._learn(ssrc, section, Destination(section.route, known))
