"""The peer connection without I/O: JSEP on top, one transport below, media and data in between.

The shell (`stack.aio`) binds sockets, feeds datagrams and time, and carries out what the events say. A whole
negotiation and session runs in virtual time with nothing but two of these and a `stack.testing.Link`.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Final

from .. import datachannel, dtls, ice, rtp
from ..core import Datagram, LocalError, PeerError, RandomBytes
from . import events, explanation, stats
from .codecs import Codec
from .configuration import Configuration
from .errors import InvalidAccessError, InvalidModificationError, InvalidStateError, OperationError
from .layers import Encoding, Layer, Reception, check_encodings
from .media import Media
from .negotiation import Negotiation
from .session import Session
from .transceiver import DIRECTIONS, Transceiver, check_streams, direction_of, new_id, receives, sends
from .transport import Transport, aggregate
from .transport_events import CandidateGathered, DtlsStateChanged, GatheringCompleted, IceStateChanged

MAX_TRANSCEIVERS: Final = 64
"""As many as a session may have sections (RFC 8829 ties the two together)."""


LAST_STUN: Final = b"\x03"
"""First byte of a datagram of STUN at most: RFC 7983 section 7."""


class PeerConnection(Negotiation):
    """A WebRTC peer connection as a machine.

    Args:
        certificate: Our DTLS certificate.
        random_bytes: Source of randomness.
        configuration: Settings of all layers.

    Attributes:
        packets_sent: Datagrams; `packets_received`, `bytes_sent` and `bytes_received` likewise count UDP payloads, all
            without connectivity checks (webrtc-stats section 8.15).
        channels_opened: Data channels that were open at some time; `channels_closed` those that are no more.
    """

    def __init__(
        self, *, certificate: dtls.Certificate, random_bytes: RandomBytes, configuration: Configuration | None = None
    ) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self.configuration = configuration or Configuration()
        self._cname = random_bytes(12).hex()  # RFC 7022 section 4.2: short-term persistent, 96 random bits
        self.transport = Transport(
            controlling=True,
            certificate=certificate,
            random_bytes=random_bytes,
            configuration=self.configuration,
        )
        self.media = Media(
            self.transport, random_bytes=random_bytes, cname=self._cname, configuration=self.configuration
        )
        pacing = self.transport.ice.local_parameters.pacing_interval
        self.session = Session(
            random_bytes=random_bytes,
            fingerprints=[certificate.fingerprint("sha-256")],
            cname=self._cname,
            new_transceiver=self._new_transceiver,
            max_message_size=self.configuration.max_message_size,
            ice_options=("trickle", "renomination") if self.configuration.ice.renomination else ("trickle",),
            ice_lite=self.configuration.ice.lite,
            ice_pacing=None if pacing is None else round(pacing * 1000),
            bundle_policy=self.configuration.bundle_policy,
            packet_reports=self.configuration.packet_reports,
            encrypt_extensions=self.configuration.encrypt_extensions,
            sctp_init=self.transport.sctp_start.local_init if self.configuration.sctp_init else None,
        )
        parameters = self.transport.ice.local_parameters
        self.session.ufrag, self.session.pwd = parameters.ufrag, parameters.pwd
        self.ice_connection_state = "new"
        self.connection_state = "new"
        self._error: PeerError | None = None
        self._terminal_pending = False
        self.packets_sent = self.bytes_sent = self.packets_received = self.bytes_received = 0
        self.channels_opened = self.channels_closed = 0

    # -- what the application asks for -------------------------------------------------------------------------

    @property
    def transceivers(self) -> tuple[Transceiver, ...]:
        """All transceivers, in order of creation."""
        return tuple(self.session.transceivers)

    def add_transceiver(
        self,
        kind: str,
        direction: str = "sendrecv",
        *,
        streams: Sequence[str] = (),
        track_id: str = "",
        has_track: bool = False,
        encodings: Sequence[Encoding] = (),
        one_encoding: bool = False,
    ) -> Transceiver:
        """Add a transceiver (RFC 8829 section 4.1.6).

        Args:
            kind: `audio` or `video`.
            direction: What we want to do.
            streams: Ids of the streams that the track belongs to, for the peer's msid; without any, one of its own.
            track_id: Our track's id; made up when empty.
            has_track: Whether there is something to send already.
            encodings: How to send; several have rids that differ (simulcast). None for one that is as usual.
            one_encoding: Whether to send one whatever the peer asks for, see `Transceiver.one_encoding`.

        Raises:
            InvalidStateError: The connection is closed.
            InvalidAccessError: The kind or the direction is none, or the encodings make no sense.
            ArgumentError: The rids of the encodings do not, or an id of a stream is none.
        """
        self._check_open()
        if kind not in {"audio", "video"}:
            raise InvalidAccessError(f"kind must be 'audio' or 'video', not {kind!r}")
        if direction not in DIRECTIONS:
            raise InvalidAccessError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
        check_encodings(encodings)
        check_streams(streams)
        transceiver = self._new_transceiver(kind, direction)
        if encodings:
            first = dataclasses.replace(transceiver.layers[0], encoding=encodings[0])
            transceiver.layers = [first, *(Layer.create(other, self._random_bytes) for other in encodings[1:])]
            transceiver.simulcast = len(encodings) > 1
        transceiver.one_encoding = one_encoding
        transceiver.stream_ids = tuple(dict.fromkeys(streams)) or transceiver.stream_ids
        transceiver.track_id = track_id or transceiver.track_id
        transceiver.has_track = has_track
        self.session.transceivers.append(transceiver)
        self._update_negotiation_needed()
        return transceiver

    def add_track(
        self, kind: str, *, streams: Sequence[str] = (), track_id: str = "", one_encoding: bool = False
    ) -> Transceiver:
        """Send a track: reuse a transceiver that never sent, or add one (W3C addTrack, RFC 8829 section 4.1.5)."""
        self._check_open()
        check_streams(streams)
        for transceiver in self.session.transceivers:
            if (
                transceiver.kind == kind
                and not transceiver.has_track
                and not transceiver.stopping
                and not transceiver.has_sent
            ):
                transceiver.direction = direction_of(send=True, receive=receives(transceiver.direction))
                transceiver.stream_ids = tuple(dict.fromkeys(streams)) or transceiver.stream_ids
                transceiver.track_id = track_id or transceiver.track_id
                break
        else:
            transceiver = self.add_transceiver(kind, "sendrecv", streams=streams, track_id=track_id)
        if one_encoding and transceiver.simulcast:  # as the peer has asked for, which we need not follow
            transceiver.layers[0].encoding = dataclasses.replace(transceiver.layers[0].encoding, rid=None)
            transceiver.layers, transceiver.simulcast = transceiver.layers[:1], False
        transceiver.one_encoding = one_encoding
        transceiver.has_track = transceiver.added_by_track = True
        transceiver.is_peers = False
        self._update_negotiation_needed()
        return transceiver

    def set_streams(self, transceiver: Transceiver, streams: Sequence[str]) -> None:
        """Have the track belong to other streams (W3C setStreams); takes effect with the next negotiation.

        Raises:
            InvalidStateError: The connection is closed.
            ArgumentError: An id of a stream is none.
        """
        self._check_open()
        check_streams(streams)
        transceiver.stream_ids = tuple(dict.fromkeys(streams)) or (new_id(self._random_bytes),)
        self._update_negotiation_needed()

    def remove_track(self, transceiver: Transceiver) -> None:
        """Send nothing any more (W3C removeTrack); takes effect with the next negotiation."""
        self._check_open()
        transceiver.has_track = False
        if not transceiver.stopping and sends(transceiver.direction):
            transceiver.direction = direction_of(send=False, receive=receives(transceiver.direction))
            self._update_negotiation_needed()

    def stop_transceiver(self, transceiver: Transceiver) -> None:
        """End a transceiver: its section is rejected by the next description (W3C stop); idempotent."""
        self._check_open()
        if transceiver.stopping:
            return
        transceiver.stopping = True
        transceiver.has_track = False
        transceiver.direction = "inactive"
        if transceiver.mid is None:
            transceiver.stopped = True
            self.session.transceivers.remove(transceiver)
        self._update_negotiation_needed()

    def set_direction(self, transceiver: Transceiver, direction: str) -> None:
        """Change what we want; takes effect with the next negotiation."""
        self._check_open()
        if direction not in DIRECTIONS:
            raise InvalidAccessError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
        if transceiver.stopping:
            raise InvalidStateError("the transceiver is stopped")
        transceiver.direction = direction
        self._update_negotiation_needed()

    def set_codec_preferences(self, transceiver: Transceiver, codecs: Sequence[Codec]) -> None:
        """Choose codecs and their order (W3C setCodecPreferences)."""
        self._check_open()
        if not codecs or any(codec.kind != transceiver.kind for codec in codecs):
            raise InvalidAccessError(f"give at least one codec, all of kind {transceiver.kind}")
        transceiver.preferences = list(codecs)
        transceiver.preferences_set = True

    def set_encodings(self, transceiver: Transceiver, encodings: Sequence[Encoding]) -> None:
        """Change how we send, at once and without negotiation (W3C setParameters).

        Raises:
            InvalidModificationError: They are not those of the transceiver by number, order and rid.
            InvalidAccessError: A number makes no sense.
        """
        self._check_open()
        if [encoding.rid for encoding in encodings] != [layer.rid for layer in transceiver.layers]:
            raise InvalidModificationError("encodings cannot be added, removed or exchanged, and a rid is read only")
        check_encodings(encodings)
        for layer, encoding in zip(transceiver.layers, encodings, strict=True):
            layer.paused_by_peer = layer.paused_by_peer and not encoding.active
            layer.encoding = encoding
        self.media.sending.share_again()

    def create_data_channel(
        self,
        label: str,
        now: float,
        *,
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: int | None = None,
        negotiated: bool = False,
        channel_id: int | None = None,
        priority: int = 256,
    ) -> datachannel.Channel:
        """Open a data channel (W3C createDataChannel); `max_packet_life_time` is in milliseconds.

        Raises:
            InvalidStateError: The connection is closed.
            TypeError: An argument is out of range, or both limits are set.
            OperationError: The id is used, no id is left, or there are too many channels.
        """
        self._check_open()
        self.transport.stir()
        try:
            channel = self.transport.channels.open(
                label,
                protocol=protocol,
                ordered=ordered,
                max_retransmits=max_retransmits,
                max_packet_life_time=max_packet_life_time,
                negotiated=negotiated,
                id=channel_id,
                priority=priority,
                now=self._clamp(now),
            )
        except datachannel.ArgumentError:
            raise
        except LocalError as error:
            raise OperationError(str(error)) from error
        if not self.session.wants_data:
            self.session.wants_data = True
            self._update_negotiation_needed()
        return channel

    def send(self, channel: datachannel.Channel, data: bytes | str, now: float) -> None:
        """Send a message on an open channel.

        Raises:
            InvalidStateError: The channel is not open.
            OperationError: The send buffer is full, or the message is larger than the peer takes.
        """
        if channel.state != "open":
            raise InvalidStateError(f"data channel {channel.label!r} is {channel.state}, not open")
        self.transport.send_message(channel, data, now)

    def close_channel(self, channel: datachannel.Channel, now: float) -> None:
        """Close a channel once what was sent on it is delivered."""
        self.transport.close_channel(channel, self._clamp(now))

    def buffered_amount(self, channel: datachannel.Channel) -> int:
        """Bytes sent on the channel that have not left yet (W3C bufferedAmount)."""
        return self.transport.buffered_amount(channel)

    def send_frame(
        self,
        transceiver: Transceiver,
        data: bytes,
        timestamp: int,
        now: float,
        *,
        keyframe: bool | None = None,
        capture_time: float | None = None,
        rid: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> bool:
        """Send one encoded frame; returns whether it could be sent now.

        Args:
            transceiver: On which to send.
            data: The encoded frame (Annex B for H.264).
            timestamp: In units of the codec's clock rate.
            now: The time.
            keyframe: Whether it can be decoded alone; looked up in the bitstream when None.
            capture_time: When it was captured, on the same clock as `now`.
            rid: Of which encoding it is.
            size: Width and height of the picture, pixels, for the statistics.
        """
        now = self._clamp(now)
        layer = transceiver.layer(rid)
        if self._closed or layer is None or layer.sender is None or not self.transport.media.can_send:
            return False
        if not layer.encoding.active:
            return False
        layer.frame_size = size
        timestamp = (timestamp + transceiver.timestamp_offset) & 0xFFFFFFFF
        layer.sender.send_frame(data, timestamp, now, keyframe=keyframe, capture_time=capture_time)
        return True

    # -- what is known ------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> Counter[str]:
        """Of this connection and all its layers."""
        total = self._dropped + self.transport.dropped
        for transceiver in self.session.transceivers:
            machines: list[rtp.Sender | rtp.Receiver | None] = [layer.sender for layer in transceiver.layers]
            machines += [reception.receiver for reception in transceiver.receptions.values()]
            for machine in machines:
                if machine is not None:
                    total.update({f"rtp-{reason}": count for reason, count in machine.dropped.items()})
        return total

    @property
    def now(self) -> float:
        """The time that was told last, seconds."""
        return self._now

    def statistics(self, timestamp: float) -> stats.Report:
        """Return W3C's statistics.

        Args:
            timestamp: Milliseconds since 1970, for every dictionary.
        """
        return stats.collect(self, timestamp)

    @property
    def error(self) -> PeerError | None:
        """Why the connection failed; None if it did not."""
        return self._error

    def explain(self, *, colour: bool = False) -> str:
        """Return in plain words what is done, and what the connection waits for."""
        return explanation.explain(self, colour=colour)

    # -- the machine -------------------------------------------------------------------------------------------

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take one UDP payload; see `stack.peer.transport`."""
        if self._closed:
            return
        if datagram.data[:1] > LAST_STUN:
            self.packets_received += 1
            self.bytes_received += len(datagram.data)
        self.transport.receive_datagram(datagram, now)

    def receive_batch(self, datagrams: Sequence[Datagram], now: float) -> None:
        """Take what a socket had, in order: the same as `receive_datagram` for each, for less."""
        if self._closed:
            return
        if len(datagrams) == 1:
            self.receive_datagram(datagrams[0], now)
            return
        sizes = [len(datagram.data) for datagram in datagrams if datagram.data[:1] > LAST_STUN]
        self.packets_received += len(sizes)
        self.bytes_received += sum(sizes)
        self.transport.receive_batch(datagrams, self._clamp(now))

    def handle_timer(self, now: float) -> None:
        """Pass time to transport and media."""
        now = self._clamp(now)
        if self._closed:
            return
        self.transport.handle_timer(now)
        self.media.handle_timer(now)
        self._take_events()

    def poll(self, now: float) -> None:
        """Bring what was received up to where `next_event` finds it, before anything is sent.

        Optional: `datagrams_to_send` does it too. A shell that polls and dispatches events first lets an answer of
        the application leave in the same packet as the acknowledgement of the question.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        if self._closed:
            return
        transport = self.transport
        if transport.stirred:
            transport.poll(now)
        if transport.media.rtp or transport.media.rtcp:
            self.media.receive(self._now)
        self._take_transport_events()
        if self.session.transceivers:
            self._take_media_events()

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Everything that must leave now."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        now, transport = self._now, self.transport
        if not self._closed:
            if transport.stirred or transport.media.rtp or transport.media.rtcp:
                self.poll(now)
            if self.session.transceivers:
                self.media.send(now)
        out = transport.datagrams_to_send(now)
        for datagram in out:
            if datagram.data[:1] > LAST_STUN:
                self.packets_sent += 1
                self.bytes_sent += len(datagram.data)
        if transport.stirred or transport.has_events() or self.session.transceivers:
            self._take_events()
        if self._terminal_pending:
            self._terminal_pending = False
            self._events.append(events.Closed(self._error))
        return out

    def next_timer(self) -> float | None:
        """The earliest deadline of all layers."""
        if self._closed:
            return None
        if not self.session.transceivers:
            return self.transport.next_timer()
        a, b = self.transport.next_timer(), self.media.next_timer()
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)

    def close(self, now: float) -> None:
        """Say BYE, ABORT and close_notify; they leave with the next drain, and `Closed` follows it."""
        now = self._clamp(now)
        if self._closed:
            return
        if self.transport.dtls_state == "connected":
            self.media.close(now)
        self.transport.close(now)
        self._take_transport_events(silent=True)
        self._closed = True
        self._terminal_pending = True
        self.ice_connection_state = self.connection_state = "closed"

    # -- events ------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        self._take_transport_events()
        if self.session.transceivers:
            self._take_media_events()

    def _take_transport_events(self, *, silent: bool = False) -> None:
        transport = self.transport
        if self._closed:
            return
        if transport.stirred:
            transport.poll(self._now)
        while transport.has_events():
            event = transport.next_event()
            if type(event) is datachannel.MessageReceived:  # nearly all of them
                self._events.append(event)
                continue
            match event:
                case CandidateGathered() | GatheringCompleted() | ice.CandidateRemoved():
                    self._on_candidates(event)
                case IceStateChanged(state):
                    if state != self.ice_connection_state and not silent:
                        self.ice_connection_state = state
                        self._events.append(events.IceConnectionStateChanged(state))
                        self._update_connection_state()
                case DtlsStateChanged(_, error):
                    self._error = self._error or error
                    if not silent:
                        self._update_connection_state()
                case None:
                    break
                case _:
                    self.channels_opened += isinstance(event, datachannel.ChannelOpened)
                    self.channels_closed += isinstance(event, datachannel.ChannelClosed)
                    self._events.append(event)

    def _update_connection_state(self) -> None:
        state = aggregate(self.transport.ice_state, self.transport.dtls_state)
        if state == "failed" and self._error is None:
            if self.transport.ice_state != "failed":
                return  # it is DTLS that failed, and the event that says why comes next
            self._error = PeerError("ice", "no-path", "no candidate pair works, or consent to send has expired")
        elif state == "connected":
            self._error = None
        if state != self.connection_state:
            self.connection_state = state
            self._events.append(events.ConnectionStateChanged(state, self._error if state == "failed" else None))

    def _take_media_events(self) -> None:
        for transceiver in self.session.transceivers:
            for reception in transceiver.receptions.values():
                self._take_frames(transceiver, reception)
            for layer in transceiver.layers:
                while layer.sender is not None and (reported := layer.sender.next_event()) is not None:
                    if isinstance(reported, rtp.KeyframeRequested):
                        self._events.append(events.KeyframeRequested(transceiver, layer.rid))
        for transceiver, layer in self.media.sending.take_keyframe_requests():
            self._events.append(events.KeyframeRequested(transceiver, layer.rid))
        for transceiver, layer, bitrate in self.media.sending.take_targets():
            layer.target_bitrate = bitrate
            self._events.append(events.TargetBitrateChanged(transceiver, bitrate, layer.rid))

    def _take_frames(self, transceiver: Transceiver, reception: Reception) -> None:
        """Report what came, of several encodings that which is shown."""
        selection, rid = transceiver.selection, reception.rid
        while (received := reception.receiver.next_event()) is not None:
            if not isinstance(received, rtp.FrameReceived):
                continue
            if received.keyframe and transceiver.kind == "video":
                reception.frame_size = rtp.picture_size(received.mime, received.data)
            width, height = reception.frame_size or (0, 0)
            if selection is None or rid is None:
                self._events.append(events.MediaReceived(transceiver, received))
            elif selection.take(rid, received, width * height):
                self._events.append(events.MediaReceived(transceiver, received, rid))
            elif (wanted := selection.keyframe_wanted(received.receive_time)) is not None:
                with contextlib.suppress(
                    LocalError
                ):  # the peer takes no such request: the next key frame is waited for
                    transceiver.receptions[wanted].receiver.request_keyframe(self._now)

    # -- helpers -----------------------------------------------------------------------------------------------

    def _new_transceiver(self, kind: str, direction: str) -> Transceiver:
        if len(self.session.transceivers) >= MAX_TRANSCEIVERS:
            raise OperationError(f"more than {MAX_TRANSCEIVERS} transceivers")
        return Transceiver.create(kind, direction, self._random_bytes)
