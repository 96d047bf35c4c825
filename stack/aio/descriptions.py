"""W3C dictionaries of the API: descriptions, candidates, configuration."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from .. import dtls, sdp
from ..core import ParseError
from ..peer import SdpSyntaxError
from .interfaces import DEFAULT_POLICY, AddressPolicy


@dataclass(slots=True)
class RTCSessionDescription:
    """A session description.

    Args:
        sdp: The text; empty for a rollback, or for one that `setLocalDescription` is to make.
        type: `offer`, `pranswer`, `answer` or `rollback`.

    Raises:
        ValueError: For another type.
    """

    sdp: str
    type: str

    def __post_init__(self) -> None:
        if self.type not in {"offer", "pranswer", "answer", "rollback"}:
            raise ValueError(f"type must be 'offer' or 'answer', not {self.type!r}")

    def toJSON(self) -> dict[str, str]:
        """Return what a browser's `setRemoteDescription()` takes."""
        return {"type": self.type, "sdp": self.sdp}


class RTCBundlePolicy(StrEnum):
    """W3C's values of `RTCConfiguration.bundlePolicy`."""

    BALANCED = "balanced"
    MAX_COMPAT = "max-compat"
    MAX_BUNDLE = "max-bundle"


class RTCIceTransportPolicy(StrEnum):
    """W3C's values of `RTCConfiguration.iceTransportPolicy`."""

    ALL = "all"
    RELAY = "relay"


@dataclass(slots=True, init=False)
class RTCIceCandidate:
    """A candidate as it is signalled (W3C RTCIceCandidate).

    Args:
        candidate: The text `candidate:...`; empty for end-of-candidates.
        sdpMid: Which m-section it belongs to.
        sdpMLineIndex: The same by position.
        usernameFragment: The ICE generation it belongs to.
        parts: In place of the text what it consists of: `component`, `foundation`, `ip`, `port`, `priority`,
            `protocol`, `type` and, where there are such, `relatedAddress`, `relatedPort` and `tcpType`.

    Raises:
        TypeError: It is not text, or parts are missing.
    """

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: str | None

    def __init__(
        self,
        candidate: str = "",
        sdpMid: str | None = None,
        sdpMLineIndex: int | None = None,
        usernameFragment: str | None = None,
        **parts: Any,
    ) -> None:
        if not isinstance(candidate, str):
            raise TypeError("a candidate is text `candidate:...`; give its parts by their names")
        self.candidate = _candidate_of(**parts) if parts else candidate
        self.sdpMid = sdpMid
        self.sdpMLineIndex = sdpMLineIndex
        self.usernameFragment = usernameFragment

    @property
    def _parsed(self) -> sdp.Candidate:
        try:
            return sdp.Candidate.parse(self.candidate)
        except ParseError as error:
            raise SdpSyntaxError(f"malformed candidate: {error}") from error

    @property
    def component(self) -> int:
        """1: RTP, RTCP and data share it. Deviates: W3C has `rtp`, which programs in Python do not expect."""
        return self._parsed.component

    @property
    def foundation(self) -> str:
        """The foundation (RFC 8445 section 5.1.1.3)."""
        return self._parsed.foundation

    @property
    def address(self) -> str:
        """The IP address or name."""
        return self._parsed.host

    @property
    def ip(self) -> str:
        """The same as `address`, under the name that programs in Python know it by."""
        return self._parsed.host

    @property
    def port(self) -> int:
        """The port."""
        return self._parsed.port

    @property
    def protocol(self) -> str:
        """`udp` or `tcp`."""
        return self._parsed.transport

    @property
    def priority(self) -> int:
        """The priority."""
        return self._parsed.priority

    @property
    def type(self) -> str:
        """`host`, `srflx`, `prflx` or `relay`."""
        return self._parsed.type

    @property
    def relatedAddress(self) -> str | None:
        """What a reflexive or relayed one was learnt from."""
        return self._parsed.related_host

    @property
    def relatedPort(self) -> int | None:
        """Its port."""
        return self._parsed.related_port

    @property
    def tcpType(self) -> str | None:
        """`active`, `passive` or `so`, of TCP only."""
        return self._parsed.tcp_type

    def toJSON(self) -> dict[str, str | int | None]:
        """Return what a browser's `new RTCIceCandidate()` takes."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }


def _candidate_of(
    *,
    component: int,
    foundation: str,
    ip: str,
    port: int,
    priority: int,
    protocol: str,
    type: str,
    relatedAddress: str | None = None,
    relatedPort: int | None = None,
    tcpType: str | None = None,
) -> str:
    return sdp.Candidate(
        str(foundation), component, protocol.lower(), priority, ip, port, type, relatedAddress, relatedPort, tcpType
    ).serialize()


@dataclass(slots=True)
class RTCIceServer:
    """A STUN server (RFC 7064) or a TURN server (RFC 7065).

    Args:
        urls: One URL or several, for example `stun:stun.example.org:3478`, `turn:turn.example.org?transport=tcp` or
            `turns:turn.example.org`.
        username: For TURN.
        credential: For TURN, its password.
        credentialType: `password`, the only one that there is.

    Raises:
        ValueError: For another type.
    """

    urls: str | list[str]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)
    credentialType: str = "password"

    def __post_init__(self) -> None:
        if self.credentialType != "password":
            raise ValueError(f"credentialType must be 'password', not {self.credentialType!r}")


@dataclass(frozen=True, slots=True)
class RTCDtlsFingerprint:
    """The hash of a certificate (W3C RTCDtlsFingerprint).

    Args:
        algorithm: For example `sha-256`.
        value: In hexadecimal with colons.
    """

    algorithm: str
    value: str


class RTCCertificate:
    """A DTLS certificate that several connections may use (W3C RTCCertificate).

    Args:
        certificate: Made by `generate`, or `dtls.Certificate.from_pem` for one of your own.
    """

    def __init__(self, certificate: dtls.Certificate) -> None:
        self.certificate = certificate

    @classmethod
    def generate(cls, *, days: int = 30) -> "RTCCertificate":
        """Make a self-signed one with an ECDSA key on P-256.

        Args:
            days: For how long it is valid.
        """
        return cls(dtls.Certificate.generate(os.urandom, now_unix=time.time(), days=days))

    generateCertificate = generate

    @property
    def expires(self) -> datetime:
        """When its validity ends."""
        return datetime.fromtimestamp(self.certificate.expires, tz=UTC)

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        """Return its fingerprints (RFC 8122 section 5)."""
        prints = [self.certificate.fingerprint(algorithm) for algorithm in ("sha-256", "sha-384", "sha-512")]
        return [RTCDtlsFingerprint(found.algorithm, found.value) for found in prints]


@dataclass(slots=True)
class RTCConfiguration:
    """Configuration of a connection.

    Args:
        iceServers: STUN and TURN servers; none by default.
        iceTransportPolicy: `all`, or `relay` to be reached through TURN servers only (W3C).
        bundlePolicy: `balanced`, `max-compat` or `max-bundle`: there is one transport whatever it says, see
            `stack.peer.Configuration`.
        alwaysNegotiateDataChannels: Whether data channels are offered even while there is none (W3C webrtc-extensions).
        rtcpMuxPolicy: `require`, the only one that there is (W3C).
        iceCandidatePoolSize: Taken and not used: candidates are found in the first turn of the loop.
        certificates: Ours for DTLS, the first one that has not expired; one of the process's by default.
        bitrates: Ours: smallest, first and largest bit/s of all media that we send.
        packetReports: Ours: kinds of reports on single packets to offer and to accept, best first: `transport-cc`, and
            `ccfb`, those of RFC 8888. By default `transport-cc`, which is what browsers know.
        sctpInit: Ours: whether to tell the start of SCTP in the descriptions (SNAP), so that data channels are open two
            round trips earlier with a peer that does so too.
        encryptHeaderExtensions: Ours: whether to encrypt RTP header extensions where the peer can (RFC 6904).
        pathMtu: Ours: largest UDP payload to look for on the path; data channels use what gets through (RFC 8899).
            1472 finds Ethernet's, 8972 jumbo frames. None keeps to 1200, which passes everywhere.
        keyLog: Ours: a file to which the secrets of DTLS go, as SSLKEYLOGFILE has them, so that Wireshark can decrypt a
            capture. The environment variable does the same for all connections.
        packetLog: Ours: a pcapng file to which every packet goes in cleartext, for Wireshark.
        eventLog: Ours: a file of JSON lines to which every event goes, for `webrtc log show`.
        playoutDelay: Ours, not W3C's: smallest and largest playout delay to ask of whoever receives our video,
            seconds. (0, 0) makes a browser show each frame at once; None leaves it to the receiver.
        addresses: Ours: interfaces, families, networks and ports that may be used, and how much of them is told
            (RFC 8828).
        iceTcp: Ours: whether to offer TCP candidates too (RFC 6544), for networks without UDP and without a relay.
        mdnsCandidates: Ours: whether to signal random `.local` names in place of our addresses, as browsers do.
            Those of the peer are looked up always.
        continualGathering: Ours: whether to follow the network of this machine, so that the connection moves when
            Wi-Fi goes and a modem is left, or the other way round.
        caFile: Ours: PEM file of the authorities to trust for `turns:` servers, instead of the system's.
    """

    iceServers: list[RTCIceServer] = field(default_factory=list)
    iceTransportPolicy: RTCIceTransportPolicy | Literal["all", "relay"] = "all"
    bundlePolicy: RTCBundlePolicy | Literal["balanced", "max-compat", "max-bundle"] = "balanced"
    alwaysNegotiateDataChannels: bool = False
    rtcpMuxPolicy: Literal["require"] = "require"
    iceCandidatePoolSize: int = 0
    certificates: list[RTCCertificate] = field(default_factory=list)
    bitrates: tuple[int, int, int] | None = None
    packetReports: Sequence[Literal["transport-cc", "ccfb"]] = ("transport-cc",)
    sctpInit: bool = True
    encryptHeaderExtensions: bool = False
    pathMtu: int | None = None
    keyLog: str | os.PathLike[str] | None = None
    packetLog: str | os.PathLike[str] | None = None
    eventLog: str | os.PathLike[str] | None = None
    playoutDelay: tuple[float, float] | None = None
    addresses: AddressPolicy = DEFAULT_POLICY
    iceTcp: bool = False
    mdnsCandidates: bool = False
    continualGathering: bool = True
    caFile: str | None = None

    def __post_init__(self) -> None:
        self.iceServers = self.iceServers or []  # as programs in Python say that there are none
        if self.iceTransportPolicy not in {"all", "relay"}:
            raise ValueError(f"iceTransportPolicy must be 'all' or 'relay', not {self.iceTransportPolicy!r}")
        if self.bundlePolicy not in {"balanced", "max-compat", "max-bundle"}:
            raise ValueError(f"bundlePolicy is balanced, max-compat or max-bundle, not {self.bundlePolicy!r}")
        if not set(self.packetReports) <= {"transport-cc", "ccfb"}:
            raise ValueError(f"packetReports are of 'transport-cc' and 'ccfb', not {self.packetReports!r}")
        if self.pathMtu is not None and not 1200 <= self.pathMtu <= 16000:
            raise ValueError(f"pathMtu is 1200 to 16000 bytes, not {self.pathMtu}")
        if self.rtcpMuxPolicy != "require":
            raise ValueError("rtcpMuxPolicy is 'require': RTP and RTCP share a port (RFC 8829 section 4.1.1)")


@dataclass(slots=True)
class RTCIceCandidateError:
    """Why a server gave no candidate (W3C RTCPeerConnectionIceErrorEvent).

    Args:
        url: Address of the server, or its URL if its name is not known.
        errorCode: STUN error code, 701 if it was not reached.
        errorText: What it means.
        address: Ours, from which the server was asked; None if it was not.
        port: Of the same.
    """

    url: str
    errorCode: int
    errorText: str
    address: str | None = None
    port: int | None = None
