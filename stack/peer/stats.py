"""W3C's statistics (webrtc-stats) of a peer connection: plain dictionaries under W3C's names.

Identifiers are stable over the life of what they name. Times within a dictionary are seconds, as in W3C, but for
`timestamp` and those named `*Timestamp`, which are milliseconds since 1970.
"""

import base64
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .. import datachannel, dtls, ice, rtp, srtp
from ..core import Address
from ..dtls.suites import CIPHER_SUITES
from .layers import Layer, Reception
from .transceiver import Transceiver, receives, sends

if TYPE_CHECKING:
    from .connection import PeerConnection

Report: TypeAlias = dict[str, dict[str, Any]]

TRANSPORT: Final = "T01"
PAIR_STATES: Final = {"frozen": "frozen", "waiting": "waiting", "in-progress": "in-progress", "failed": "failed"}
TLS_VERSION: Final = "FEFD"  # DTLS 1.2, as it is on the wire
NTP_TO_UNIX: Final = 2_208_988_800  # seconds from 1900 to 1970


def collect(connection: "PeerConnection", timestamp: float) -> Report:
    """Return the statistics of a connection.

    Args:
        connection: Of which.
        timestamp: Milliseconds since 1970, for every dictionary.
    """
    return _Collector(connection, timestamp).report


class _Collector:
    def __init__(self, connection: "PeerConnection", timestamp: float) -> None:
        self.report: Report = {}
        self._connection = connection
        self._timestamp = timestamp
        self._add_connection()
        self._add_transport()
        self._add_candidates()
        for transceiver in connection.transceivers:
            self._add_transceiver(transceiver)
        for channel in connection.transport.channels.channels:
            self._add_channel(channel)

    def _add(self, identifier: str, type_: str, /, **members: Any) -> str:
        """Add a dictionary without the members that are not known."""
        entry = {"id": identifier, "timestamp": self._timestamp, "type": type_}
        entry.update((name, value) for name, value in members.items() if value is not None)
        self.report[identifier] = entry
        return identifier

    # -- the connection and what carries it --------------------------------------------------------------------

    def _add_connection(self) -> None:
        connection = self._connection
        self._add(
            "P",
            "peer-connection",
            dataChannelsOpened=connection.channels_opened,
            dataChannelsClosed=connection.channels_closed,
        )

    def _add_transport(self) -> None:
        connection = self._connection
        transport, agent = connection.transport, connection.transport.ice
        handshake = transport.dtls
        suite = CIPHER_SUITES.get(handshake.cipher_suite or 0) if handshake is not None else None
        profile = transport.media.profile
        pair = agent.selected_pair
        local, remote = transport.certificate, handshake.peer_certificate if handshake is not None else None
        self._add(
            TRANSPORT,
            "transport",
            packetsSent=connection.packets_sent,
            packetsReceived=connection.packets_received,
            bytesSent=connection.bytes_sent,
            bytesReceived=connection.bytes_received,
            iceRole="controlling" if agent.controlling else "controlled",
            iceLocalUsernameFragment=agent.local_parameters.ufrag,
            iceState=connection.ice_connection_state,
            dtlsState=transport.dtls_state,
            dtlsRole=connection.session.dtls_role or "unknown",
            dtlsCipher=f"TLS_ECDHE_{suite.name}" if suite is not None else None,
            tlsVersion=TLS_VERSION if suite is not None else None,
            srtpCipher=f"SRTP_{srtp.PROFILES[profile].name}" if profile is not None else None,
            selectedCandidatePairId=_pair_id(pair.local, pair.remote) if pair is not None else None,
            selectedCandidatePairChanges=transport.path_changes,
            localCertificateId=self._add_certificate("CL", local.der),
            remoteCertificateId=self._add_certificate("CR", remote) if remote is not None else None,
        )

    def _add_certificate(self, identifier: str, der: bytes) -> str:
        fingerprint = dtls.Fingerprint.of(der, "sha-256")
        return self._add(
            identifier,
            "certificate",
            fingerprint=fingerprint.value,
            fingerprintAlgorithm=fingerprint.algorithm,
            base64Certificate=base64.b64encode(der).decode(),
        )

    def _add_candidates(self) -> None:
        agent = self._connection.transport.ice
        for local in agent.local_candidates:
            self._add_candidate(local, "local-candidate")
        for remote in agent.remote_candidates:
            self._add_candidate(remote, "remote-candidate")
        selected, target = agent.selected_pair, self._connection.media.sending.target_bitrate
        for pair in agent.pairs:
            chosen = pair is selected
            self._add(
                _pair_id(pair.local, pair.remote),
                "candidate-pair",
                transportId=TRANSPORT,
                localCandidateId=self._add_candidate(pair.local_candidate, "local-candidate"),
                remoteCandidateId=self._add_candidate(pair.remote_candidate, "remote-candidate"),
                state=PAIR_STATES.get(pair.state.value, "succeeded"),
                nominated=pair.nominated,
                currentRoundTripTime=pair.last_rtt,
                totalRoundTripTime=pair.total_rtt,
                responsesReceived=pair.responses_received,
                requestsSent=pair.requests_sent,
                requestsReceived=pair.requests_received,
                responsesSent=pair.responses_sent,
                availableOutgoingBitrate=target if chosen else None,
                bytesSent=self._connection.bytes_sent if chosen else None,
                bytesReceived=self._connection.bytes_received if chosen else None,
                packetsSent=self._connection.packets_sent if chosen else None,
                packetsReceived=self._connection.packets_received if chosen else None,
            )

    def _add_candidate(self, candidate: ice.Candidate, kind: str) -> str:
        identifier = (
            f"{'IL' if kind == 'local-candidate' else 'IR'}{candidate.transport}:{candidate.host}:{candidate.port}"
        )
        if identifier in self.report:
            return identifier
        return self._add(
            identifier,
            kind,
            transportId=TRANSPORT,
            address=candidate.mdns_name or candidate.host,
            port=candidate.port,
            protocol=candidate.transport,
            candidateType=candidate.type,
            priority=candidate.priority,
            foundation=candidate.foundation,
            relatedAddress=candidate.related_host,
            relatedPort=candidate.related_port,
            tcpType=candidate.tcp_type,
            relayProtocol=candidate.relay_protocol or None,
        )

    # -- media -------------------------------------------------------------------------------------------------

    def _add_transceiver(self, transceiver: Transceiver) -> None:
        if transceiver.has_track:
            self._add(
                f"SM{transceiver.ssrc}",
                "media-source",
                kind=transceiver.kind,
                trackIdentifier=transceiver.source_id or transceiver.track_id,
            )
        for index, layer in enumerate(transceiver.layers):
            if layer.sender is not None:
                self._add_outbound(transceiver, index, layer, layer.sender)
        for reception in transceiver.receptions.values():
            if reception.receiver.remote_ssrc is not None:
                self._add_inbound(transceiver, reception)

    def _add_codec(self, transceiver: Transceiver, payload_type: int | None) -> str | None:
        item = next((item for item in transceiver.codecs if item.payload_type == payload_type), None)
        if item is None:
            return None
        both = "" if sends(transceiver.current_direction) and receives(transceiver.current_direction) else "O"
        line = ";".join(f"{key}={value}" for key, value in item.codec.parameters.items())
        return self._add(
            f"C{both}{transceiver.mid}_{payload_type}",
            "codec",
            transportId=TRANSPORT,
            payloadType=payload_type,
            mimeType=item.codec.mime_type,
            clockRate=item.codec.clock_rate,
            channels=item.codec.channels,
            sdpFmtpLine=line or None,
        )

    def _add_outbound(self, transceiver: Transceiver, index: int, layer: Layer, sender: rtp.Sender) -> None:
        stats = sender.stats
        video = transceiver.kind == "video"
        padding = stats.padding_packets if sender.rtx_ssrc is not None else 0  # else it is among the others
        outbound, remote = f"OT{transceiver.mid}_{sender.ssrc}", f"RI{transceiver.mid}_{sender.ssrc}"
        codec = self._add_codec(transceiver, sender.payload_type)
        reported = stats.rtt is not None or bool(stats.rtt_measurements) or bool(stats.packets_lost)
        self._add(
            outbound,
            "outbound-rtp",
            ssrc=sender.ssrc,
            kind=transceiver.kind,
            mid=transceiver.mid,
            rid=layer.rid,
            encodingIndex=index,
            transportId=TRANSPORT,
            codecId=codec,
            mediaSourceId=f"SM{transceiver.ssrc}" if transceiver.has_track else None,
            remoteId=remote if reported else None,
            rtxSsrc=sender.rtx_ssrc,
            active=layer.encoding.active,
            packetsSent=stats.packets_sent + stats.retransmitted + padding,
            bytesSent=stats.bytes_sent + stats.retransmitted_bytes,
            headerBytesSent=stats.header_bytes_sent,
            retransmittedPacketsSent=stats.retransmitted,
            retransmittedBytesSent=stats.retransmitted_bytes,
            totalPacketSendDelay=stats.total_packet_send_delay,
            nackCount=stats.nacks,
            pliCount=stats.plis if video else None,
            firCount=stats.firs if video else None,
            framesSent=stats.frames_sent if video else None,
            framesEncoded=stats.frames_sent if video else None,
            keyFramesEncoded=stats.key_frames_sent if video else None,
            frameWidth=None if layer.frame_size is None else layer.frame_size[0],
            frameHeight=None if layer.frame_size is None else layer.frame_size[1],
            targetBitrate=layer.target_bitrate,
        )
        if reported:
            self._add(
                remote,
                "remote-inbound-rtp",
                ssrc=sender.ssrc,
                kind=transceiver.kind,
                transportId=TRANSPORT,
                codecId=codec,
                localId=outbound,
                packetsLost=stats.packets_lost,
                jitter=stats.jitter,
                fractionLost=stats.fraction_lost,
                roundTripTime=stats.rtt,
                totalRoundTripTime=stats.total_rtt,
                roundTripTimeMeasurements=stats.rtt_measurements,
            )

    def _add_inbound(self, transceiver: Transceiver, reception: Reception) -> None:
        stats = reception.receiver.statistics()
        video = transceiver.kind == "video"
        inbound, remote = f"IT{transceiver.mid}_{stats.ssrc}", f"RO{transceiver.mid}_{stats.ssrc}"
        codec = self._add_codec(transceiver, reception.payload_type)
        reported = stats.remote_timestamp is not None
        last = stats.last_packet_received
        self._add(
            inbound,
            "inbound-rtp",
            ssrc=stats.ssrc,
            kind=transceiver.kind,
            mid=transceiver.mid,
            rid=reception.rid,
            trackIdentifier=transceiver.remote_track_id or None,
            transportId=TRANSPORT,
            codecId=codec,
            remoteId=remote if reported else None,
            packetsReceived=stats.packets_received + stats.retransmitted_packets_received,
            bytesReceived=stats.bytes_received + stats.retransmitted_bytes_received,
            headerBytesReceived=stats.header_bytes_received,
            packetsLost=stats.packets_lost,
            jitter=stats.jitter,
            packetsDiscarded=stats.packets_discarded,
            retransmittedPacketsReceived=stats.retransmitted_packets_received,
            retransmittedBytesReceived=stats.retransmitted_bytes_received,
            fecPacketsReceived=stats.fec_packets_received,
            nackCount=stats.nack_count,
            pliCount=stats.pli_count if video else None,
            firCount=stats.fir_count if video else None,
            framesReceived=stats.frames_received if video else None,
            framesDropped=stats.frames_dropped if video else None,
            frameWidth=None if reception.frame_size is None else reception.frame_size[0],
            frameHeight=None if reception.frame_size is None else reception.frame_size[1],
            keyFramesDecoded=stats.key_frames_received if video else None,
            jitterBufferDelay=stats.jitter_buffer_delay,
            jitterBufferTargetDelay=stats.jitter_buffer_target_delay,
            jitterBufferEmittedCount=stats.jitter_buffer_emitted_count,
            lastPacketReceivedTimestamp=None
            if last is None
            else self._timestamp - (self._connection.now - last) * 1000,
        )
        if stats.remote_timestamp is not None:
            self._add(
                remote,
                "remote-outbound-rtp",
                ssrc=stats.ssrc,
                kind=transceiver.kind,
                transportId=TRANSPORT,
                codecId=codec,
                localId=inbound,
                packetsSent=stats.remote_packets_sent,
                bytesSent=stats.remote_bytes_sent,
                remoteTimestamp=(stats.remote_timestamp - NTP_TO_UNIX) * 1000,
                roundTripTime=stats.round_trip_time,
                totalRoundTripTime=stats.total_round_trip_time,
                roundTripTimeMeasurements=stats.round_trip_time_measurements,
            )

    # -- data --------------------------------------------------------------------------------------------------

    def _add_channel(self, channel: datachannel.Channel) -> None:
        self._add(
            f"D{channel.id if channel.id is not None else id(channel)}",
            "data-channel",
            label=channel.label,
            protocol=channel.protocol,
            dataChannelIdentifier=channel.id,
            state=channel.state,
            messagesSent=channel.messages_sent,
            bytesSent=channel.bytes_sent,
            messagesReceived=channel.messages_received,
            bytesReceived=channel.bytes_received,
        )


def _pair_id(local: Address, remote: Address) -> str:
    return f"CP{local}_{remote}"
