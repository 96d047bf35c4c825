"""RTCStatsReport: what `getStats` returns."""

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


class RTCStatsReport(dict[str, dict[str, Any]]):
    """Dictionaries of W3C's webrtc-stats by their id, for example `report["T01"]["dtlsState"]`.

    Each has `id`, `type`, `timestamp` (milliseconds since 1970) and the members of its type.
    """

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the dictionaries of one type, for example `inbound-rtp`."""
        return [entry for entry in self.values() if entry["type"] == kind]


def select(report: dict[str, dict[str, Any]], transceiver: Transceiver, *, sending: bool) -> RTCStatsReport:
    """Return what concerns one sender or receiver, and what that refers to (W3C WebRTC section 8.4)."""
    wanted = "outbound-rtp" if sending else "inbound-rtp"
    found = RTCStatsReport()
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
    return found
