"""How a connection is configured (W3C WebRTC section 4.4.1): what it is made with, and what may change later."""

import dataclasses
import logging
import os
import secrets
import time
from functools import lru_cache
from typing import Any, Final

from .. import dtls, ice, turn
from ..peer import Configuration as MachineConfiguration
from ..peer import InvalidAccessError, InvalidModificationError, PeerConnection
from ..peer.relays import RelayLost
from .descriptions import RTCConfiguration
from .driver import Driver
from .logs import EventLog, PacketLog, key_log_writer
from .states import States

logger = logging.getLogger(__name__)

NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""

NOT_REACHED: Final = 701
"""W3C's errorCode of a server that gave no answer (W3C WebRTC section 4.8.3)."""

CHANGEABLE: Final = frozenset({"iceServers", "iceTransportPolicy", "iceCandidatePoolSize"})
"""Members of the configuration that `setConfiguration` may change (W3C WebRTC section 4.4.1.6)."""


@lru_cache(maxsize=1)
def _shared_certificate(day: int) -> dtls.Certificate:  # noqa: ARG001  the day is the cache's key
    """One certificate per process and day: signing one costs more than a handshake, and RFC 8827 allows reuse."""
    return dtls.Certificate.generate(os.urandom, now_unix=time.time())


class Configured(States):
    """The configuration of `RTCPeerConnection`, and the machine that is made with it.

    Args:
        configuration: Of the connection.
        machine: Settings of the layers below.
    """

    _driver: Driver

    def __init__(self, configuration: RTCConfiguration, machine: MachineConfiguration | None) -> None:
        self._configuration = configuration
        self._packet_log: PacketLog | None = None
        self._event_log: EventLog | None = None
        if configuration.eventLog is not None:
            self._event_log = EventLog(configuration.eventLog, secrets.token_hex(4))
        settings = self._settings(machine)
        super().__init__(
            PeerConnection(certificate=self._certificate(), random_bytes=os.urandom, configuration=settings)
        )

    def _certificate(self) -> dtls.Certificate:
        given, now = self._configuration.certificates, time.time()
        if not given:
            return _shared_certificate(int(now // 86400))
        for certificate in given:
            if certificate.certificate.expires > now:
                return certificate.certificate
        raise InvalidAccessError("every certificate of the configuration has expired")  # W3C section 4.4.1.1

    def _settings(self, machine: MachineConfiguration | None) -> MachineConfiguration:
        ours = self._configuration
        given: dict[str, Any] = {
            "ntp_offset": ntp_offset(),
            "playout_delay": ours.playoutDelay,
            "bundle_policy": ours.bundlePolicy,
            "packet_reports": tuple(ours.packetReports),
            "encrypt_extensions": ours.encryptHeaderExtensions,
            "sctp_init": ours.sctpInit,
        }
        settings = machine or MachineConfiguration(**given)
        changes: dict[str, Any] = {}
        if ours.iceTransportPolicy == "relay":
            changes["ice_transport_policy"] = "relay"
        if ours.pathMtu is not None:
            changes["path_mtu"] = ours.pathMtu
        if ours.bitrates is not None:
            changes["bitrates"] = ours.bitrates
        key_log = ours.keyLog or os.environ.get("SSLKEYLOGFILE")
        if key_log and settings.keylog is None:
            changes["keylog"] = key_log_writer(key_log)
        if ours.packetLog is not None:
            self._packet_log = changes["packet_log"] = PacketLog(ours.packetLog)
        return dataclasses.replace(settings, **changes) if changes else settings

    def getConfiguration(self) -> RTCConfiguration:
        """Return a copy of the configuration (W3C getConfiguration)."""
        ours = self._configuration
        return dataclasses.replace(ours, iceServers=list(ours.iceServers), certificates=list(ours.certificates))

    # -- servers that fail -------------------------------------------------------------------------------------

    def _on_unknown_name(self, url: str, reason: str) -> None:
        self._fail_server(url, NOT_REACHED, reason)

    def _on_stun_failed(self, event: ice.ServerFailed) -> None:
        url = self._driver.network.stun_url(event.server)
        if url is not None:  # a TURN server that fails is lost as a relay, and told of so
            logger.info("STUN server %s asked from %s: %s", url, event.base, event.reason)
            self._fail_server(url, event.code or NOT_REACHED, event.reason.replace("-", " "), event.base)

    def _on_relay_lost(self, event: RelayLost) -> None:
        if event.error is None:
            self._driver.network.relay_given_back(event.server)
            return
        if event.error.reason == "path-closed":  # we have taken the socket away ourselves
            return
        address, reason = event.server.address, str(event.error)
        logger.warning("TURN server %s over %s: %s", address, event.server.protocol, reason)
        code = next((code for code, slug in turn.REASONS.items() if slug == event.error.reason), NOT_REACHED)
        self._fail_server(f"turn:{address}", code, reason)

    # -- changes -----------------------------------------------------------------------------------------------

    def setConfiguration(self, configuration: RTCConfiguration) -> None:
        """Change servers and `iceTransportPolicy` from the next gathering on: the first, or that of a restart of ICE.

        Take what `getConfiguration` returns and change that. Data that goes through a server that is named no more, or
        past the relays that alone are to be used, goes on until the restart has found another path.

        Raises:
            InvalidStateError: The connection is closed.
            InvalidModificationError: Another member is different: `bundlePolicy`, `certificates`, or one of ours.
            SdpSyntaxError: A URL is none.
            InvalidAccessError: A TURN server has no username or credential.
        """
        self._check_open()
        given, ours = configuration, self._configuration
        if not given.certificates:  # W3C: not a member of the dictionary, so that it is not compared
            given = dataclasses.replace(given, certificates=list(ours.certificates))
        names = [field.name for field in dataclasses.fields(given) if field.name not in CHANGEABLE]
        if fixed := [name for name in names if getattr(given, name) != getattr(ours, name)]:
            raise InvalidModificationError(f"{', '.join(fixed)} cannot change once a connection is made")
        self._driver.network.configure(given)
        self._configuration = given


def ntp_offset() -> float:
    """Return what to add to `time.monotonic()` for NTP time, seconds since 1900 (RFC 3550 section 4)."""
    return time.time() - time.monotonic() + NTP_EPOCH
