"""RTCStatsReport: what `getStats` returns."""

from collections.abc import Mapping
from typing import Any, Final

from ..peer import Transceiver

REFERENCES: Final = (
    "codecId",
    "localCandidateId",
    "localCertificateId",
    "localId",
    "mediaSourceId",
    "remoteCandidateId",
    "remoteCertificateId",
    "remoteId",
    "selectedCandidatePairId",
    "transportId",
)
"""Members that name another dictionary of the report."""


class RTCStats(dict[str, Any]):
    """A dictionary of W3C's webrtc-stats; its members are attributes too: `stats["type"]` is `stats.type`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{self.get('type')} has no {name!r}") from None


class RTCStatsReport(dict[str, RTCStats]):
    """Dictionaries of W3C's webrtc-stats by their id, for example `report["T01"]["dtlsState"]`.

    Each has `id`, `type`, `timestamp` (milliseconds since 1970) and the members of its type.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__((identifier, RTCStats(entry)) for identifier, entry in entries.items())

    def of_type(self, kind: str) -> list[RTCStats]:
        """Return the dictionaries of one type, for example `inbound-rtp`."""
        return [entry for entry in self.values() if entry["type"] == kind]


def select(report: dict[str, dict[str, Any]], transceiver: Transceiver, *, sending: bool) -> RTCStatsReport:
    """Return what concerns one sender or receiver, and what that refers to (W3C WebRTC section 8.4)."""
    wanted = "outbound-rtp" if sending else "inbound-rtp"
    found: dict[str, dict[str, Any]] = {}
    todo = [
        identifier
        for identifier, entry in report.items()
        if entry["type"] == wanted and entry.get("mid") == transceiver.mid
    ]
    while todo:
        identifier = todo.pop()
        entry = report.get(identifier)
        if entry is not None and identifier not in found:
            found[identifier] = entry
            todo += [entry[name] for name in REFERENCES if name in entry]
    return RTCStatsReport(found)
