"""What can be set about a connection, and what it reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..core import LocalError, PeerError
from ..core.machine import check_seconds
from .suites import CIPHER_SUITES, GROUPS

# Smaller than this the encrypted Finished (13 + 8 + 12 + 12 + 16 bytes) and a useful fragment would not fit.
MIN_MTU: Final = 100
# Decrypted datagrams that wait for `take_application_data`; drained after every batch from the socket, so that a full
# queue means a consumer that stands still. As much as a 5 MiB SCTP window in 1200-byte packets.
MAX_PENDING_APPLICATION_DATA: Final = 4096
MAX_PENDING_APPLICATION_BYTES: Final = 8 * 1024 * 1024
# Datagrams given to `send` that wait for `datagrams_to_send`: four times the largest SCTP burst of a 5 MiB window.
MAX_QUEUED_APPLICATION_DATA: Final = 16384

# RFC 7714 section 14.2 and RFC 5764 section 4.1.2. Best first: GCM costs half, and the tag of 32 bits is the weakest.
SRTP_AEAD_AES_128_GCM: Final = 0x0007
SRTP_AEAD_AES_256_GCM: Final = 0x0008
SRTP_AES128_CM_HMAC_SHA1_80: Final = 0x0001
SRTP_AES128_CM_HMAC_SHA1_32: Final = 0x0002
SRTP_PROFILES: Final = (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_HMAC_SHA1_80,
    SRTP_AES128_CM_HMAC_SHA1_32,
)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a connection.

    Args:
        srtp_profiles: SRTP protection profiles in order of preference; empty for no use_srtp.
        cipher_suites: Cipher suites in order of preference; the server's order decides.
        groups: Key exchange groups in order of preference; the server's order decides.
        mtu: Most bytes of one datagram of the handshake.
        initial_timeout: First retransmission timeout of a flight, seconds (RFC 6347 section 4.2.4.1).
        max_timeout: Longest retransmission timeout, seconds.
        handshake_timeout: The handshake fails after this many seconds.
        require_extended_master_secret: Refuse peers without RFC 7627.
        require_certificate_request: As client, refuse servers that do not ask for our certificate: both ends of WebRTC
            authenticate each other (RFC 8827 section 6.5).
        alpn_protocols: Application protocols in order of preference (RFC 7301), such as `webrtc` and `c-webrtc` of
            RFC 8833; the server's order decides; empty for no ALPN.
        cookie_exchange: As server, make clients prove that they receive at their address (RFC 6347 section 4.2.1);
            needless behind ICE, and costs a round trip.
        replay_window: Records that may arrive late, in numbers below the highest received; at least 64.
        max_pending_application_data: Received datagrams kept for `take_application_data`.
        max_pending_application_bytes: The same in bytes.
        max_queued_application_data: Datagrams that `send` queues before they are drained.

    Raises:
        LocalError: If a value makes no sense.
    """

    srtp_profiles: tuple[int, ...] = SRTP_PROFILES
    cipher_suites: tuple[int, ...] = tuple(CIPHER_SUITES)
    groups: tuple[int, ...] = tuple(GROUPS)
    mtu: int = 1200
    initial_timeout: float = 1.0
    # Deviates: RFC 6347 section 4.2.4.1 allows 60 s; within a 30 s handshake that would mean giving up trying.
    max_timeout: float = 8.0
    handshake_timeout: float = 30.0
    require_extended_master_secret: bool = True
    require_certificate_request: bool = True
    alpn_protocols: tuple[str, ...] = ()
    cookie_exchange: bool = False
    replay_window: int = 256
    max_pending_application_data: int = MAX_PENDING_APPLICATION_DATA
    max_pending_application_bytes: int = MAX_PENDING_APPLICATION_BYTES
    max_queued_application_data: int = MAX_QUEUED_APPLICATION_DATA

    def __post_init__(self) -> None:
        for name in ("initial_timeout", "max_timeout", "handshake_timeout"):
            check_seconds(name, getattr(self, name))
        if self.mtu < MIN_MTU:
            raise LocalError(f"mtu must be at least {MIN_MTU}, not {self.mtu}")
        if self.replay_window < 64:
            raise LocalError(f"replay_window must be at least 64, not {self.replay_window}")
        _check_known("cipher suite", self.cipher_suites, CIPHER_SUITES)
        _check_known("group", self.groups, GROUPS)
        for protocol in self.alpn_protocols:
            if not 1 <= len(protocol.encode()) <= 255:  # RFC 7301 section 3.1
                raise LocalError(f"the name of an application protocol has 1 to 255 bytes, not {protocol!r}")


def _check_known(what: str, chosen: Sequence[int], known: Mapping[int, object]) -> None:
    unknown = [f"{number:#06x}" for number in chosen if number not in known]
    if unknown or not chosen:
        raise LocalError(f"unknown {what}: {', '.join(unknown) or 'none given'}")


class ConnectionState(StrEnum):
    """Where a connection stands; the names are those of W3C WebRTC's RTCDtlsTransportState."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(slots=True)
class HandshakeCompleted:
    """The handshake is done, the peer is who its fingerprint says.

    Args:
        srtp_profile: Negotiated SRTP protection profile (RFC 5764 section 4.1.2), or None.
        cipher_suite: Number of the negotiated cipher suite.
        peer_certificate: The peer's certificate in DER.
    """

    srtp_profile: int | None
    cipher_suite: int
    peer_certificate: bytes


@dataclass(slots=True)
class Closed:
    """The connection is over; nothing follows.

    Args:
        error: Why, or None if one of the two ends closed it in an orderly way.
    """

    error: PeerError | None


Event = HandshakeCompleted | Closed
