"""RTCPeerConnection: the W3C API over asyncio, a thin shell around `stack.peer.PeerConnection`.

`Driver` runs the machine; here are the names, and the events as callbacks. Nothing is decided here that the machine
could decide.
"""

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from .. import datachannel, ice
from ..peer import Configuration as MachineConfiguration
from ..peer import InvalidStateError, events
from ..peer.relays import RelayLost, RelayMoved
from ..peer.signaling import Description
from .data_channel import PRIORITIES, RTCDataChannel
from .descriptions import RTCConfiguration, RTCIceCandidate, RTCSessionDescription
from .driver import Driver
from .transceivers import Transceivers
from .transports import RTCSctpTransport

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

GATHERING_TIMEOUT: Final = 5.0
"""Seconds that `setLocalDescription` waits for candidates when nobody listens for them one by one."""

STATE_CHANGES: Final = frozenset(
    {
        events.IceGatheringStateChanged,
        events.IceConnectionStateChanged,
        events.ConnectionStateChanged,
        datachannel.ChannelOpened,
    }
)
"""After these a transport may be in another state too."""


class RTCPeerConnection(Transceivers):
    """A connection to a peer.

    Events: `icecandidate` (RTCIceCandidate or None at the end), `negotiationneeded`, `signalingstatechange`,
    `icegatheringstatechange`, `iceconnectionstatechange`, `connectionstatechange`, `datachannel` (RTCDataChannel),
    `track` (RemoteStreamTrack), `icecandidateerror` (RTCIceCandidateError), `icerestartneeded` (ours: no path is left
    that both sides know; call `restartIce` where you can signal), `error` (why the connection failed, as text; or the
    exception that ended a source).

    When nothing listens to `icecandidate`, candidates are not trickled: `setLocalDescription` waits for all of them,
    so that `localDescription` can be sent as it is.

    Args:
        configuration: ICE servers.
        machine: Settings of the layers below, see `stack.peer.Configuration`.
    """

    def __init__(
        self, configuration: RTCConfiguration | None = None, *, machine: MachineConfiguration | None = None
    ) -> None:
        super().__init__(configuration or RTCConfiguration(), machine)
        self._machine.session.wants_data = self._configuration.alwaysNegotiateDataChannels
        self._driver = Driver(
            self._machine, self._configuration, self._report, self._check_thresholds, self._report_error
        )
        self._driver.network.on_unknown_name = self._on_unknown_name
        self._channels: dict[int, RTCDataChannel] = {}
        self._draining: set[RTCDataChannel] = set()
        self._handlers: dict[type, Callable[[Any], object]] = {
            datachannel.MessageReceived: self._on_message,
            datachannel.ChannelAnnounced: self._on_channel_announced,
            datachannel.ChannelOpened: self._on_channel_opened,
            datachannel.ChannelClosing: self._on_channel_closing,
            datachannel.ChannelClosed: self._on_channel_closed,
            events.SignalingStateChanged: self._on_signaling_state,
            events.IceGatheringStateChanged: self._on_gathering_state,
            events.IceConnectionStateChanged: self._on_ice_connection_state,
            events.NegotiationNeeded: self._on_negotiation_needed,
            events.ConnectionStateChanged: self._on_connection_state,
            events.IceCandidateGathered: self._on_candidate,
            **self._media_handlers(),
            ice.ResolutionRequested: lambda event: self._driver.network.resolve(event.name),
            RelayMoved: lambda event: self._driver.network.relay_moved(event.server, event.domain),
            RelayLost: self._on_relay_lost,
            ice.ServerFailed: self._on_stun_failed,
            ice.RestartNeeded: lambda event: self.dispatch("icerestartneeded", event.reason),
        }
        self.error: str | None = None

    # -- channels ---------------------------------------------------------------------------------------------

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The transport of the data channels, and by it those below; None while no channel is wanted (W3C sctp)."""
        return self.transports().sctp

    def createDataChannel(
        self,
        label: str,
        maxPacketLifeTime: int | None = None,
        maxRetransmits: int | None = None,
        ordered: bool = True,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,
        *,
        priority: str = "low",
        latest: bool = False,
    ) -> RTCDataChannel:
        """Open a data channel (W3C createDataChannel).

        Args:
            label: Name, up to 65535 bytes of UTF-8.
            maxPacketLifeTime: For how many milliseconds a message is tried; not together with `maxRetransmits`.
            maxRetransmits: How often a message is sent again at the most.
            ordered: Whether messages come in order.
            protocol: Subprotocol, up to 65535 bytes of UTF-8.
            negotiated: Whether the peer opens the same channel by itself; then `id` is needed.
            id: Stream, 0..65534; of no meaning unless `negotiated`.
            priority: Weight among the channels: `very-low`, `low`, `medium` or `high` (W3C webrtc-priority).
            latest: Ours: whether a message replaces what has not left yet, see `RTCDataChannel.latest`.

        Raises:
            InvalidStateError: The connection is closed.
            TypeError: An argument is out of range, or both limits are set.
            OperationError: The id is used, no id is left, or there are too many channels.
        """
        if priority not in PRIORITIES:
            raise TypeError(f"priority must be one of {', '.join(PRIORITIES)}, not {priority!r}")
        channel = self._machine.create_data_channel(
            label,
            self._driver.now(),
            protocol=protocol,
            ordered=ordered,
            max_retransmits=maxRetransmits,
            max_packet_life_time=maxPacketLifeTime,
            negotiated=negotiated,
            channel_id=id,
            priority=PRIORITIES[priority],
        )
        channel.latest = latest
        self._driver.schedule_flush()
        return self._wrap_channel(channel)

    # -- negotiation -------------------------------------------------------------------------------------------

    async def createOffer(self, *, iceRestart: bool = False) -> RTCSessionDescription:
        """Describe what we want (RFC 8829 section 5.2).

        Args:
            iceRestart: Whether this offer looks for new paths, as one after `restartIce` does.

        Raises:
            InvalidStateError: The connection is closed, or the state takes no offer.
        """
        if iceRestart and self.localDescription is not None:
            self._machine.session.restart_wanted = True
        created = self._machine.create_offer()
        return RTCSessionDescription(created.sdp, created.type)

    async def createAnswer(self) -> RTCSessionDescription:
        """Describe what we accept (RFC 8829 section 5.3).

        Raises:
            InvalidStateError: The connection is closed, or there is no offer of the peer's.
        """
        created = self._machine.create_answer()
        return RTCSessionDescription(created.sdp, created.type)

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:
        """Apply what createOffer or createAnswer returned, or without an argument create and apply it.

        One without a text creates what its type says; one of type `rollback` goes back to the state `stable`. When
        nothing listens to `icecandidate`, it returns when all candidates are in `localDescription`, after
        `GATHERING_TIMEOUT` seconds at the latest.

        Raises:
            InvalidStateError: The connection is closed, or it does not fit the state.
            InvalidModificationError: It is not what was created last, unchanged.
        """
        given = None if sessionDescription is None else Description(sessionDescription.type, sessionDescription.sdp)
        with self._driver.network.new_servers():
            self._machine.set_local_description(given, self._driver.now())
        if self._event_log is not None:  # written for that alone, since its candidates may not be there yet
            self._log_description("local", self._machine.local_description)
        if self._machine.wants_sockets:
            self._gathered.clear()
            self._driver.gather()
        self._hold()
        self._driver.flush()
        if not self.listeners("icecandidate") and self._machine.ice_gathering_state == "gathering":
            try:
                async with asyncio.timeout(GATHERING_TIMEOUT):
                    await self._gathered.wait()
            except TimeoutError:
                logger.warning("gathering took longer than %s s; going on with what was found", GATHERING_TIMEOUT)

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply the peer's description.

        An offer that crosses ours takes its place: ours is rolled back (W3C's perfect negotiation).

        Raises:
            InvalidStateError: The connection is closed, or it does not fit the state.
            SdpSyntaxError: It is malformed; the message names the line.
            InvalidAccessError: It is well-formed, and cannot be accepted.
        """
        given = Description(sessionDescription.type, sessionDescription.sdp)
        with self._driver.network.new_servers():
            self._machine.set_remote_description(given, self._driver.now())
        self._log_description("remote", given)
        self._driver.flush()

    def _log_description(self, whose: str, description: Description | None) -> None:
        if self._event_log is not None and description is not None:
            self._event_log.write("signaling", f"{whose}-description-set", type=description.type, sdp=description.sdp)

    def restartIce(self) -> None:
        """Look for new paths with the next offer, which `negotiationneeded` asks for (W3C restartIce).

        Until one is found the old path is used. On a closed connection nothing happens.
        """
        if not self._is_over:
            self._machine.restart_ice()
            self._driver.schedule_flush()

    def iceReport(self) -> ice.Statistics:
        """Return all candidates and pairs with their history; `stack.ice.explain` puts it into words."""
        report = self._machine.transport.ice.statistics()
        report.turn_servers = self._driver.network.turn_servers
        return report

    def explain(self, *, colour: bool = False) -> str:
        """Return in plain words why this is not connected, or how it is: print it when in doubt."""
        return self._machine.explain(colour=colour)

    async def addIceCandidate(self, candidate: RTCIceCandidate | None = None) -> None:
        """Take a trickled candidate; None or an empty one ends them.

        Raises:
            InvalidStateError: The connection is closed, or there is no remote description yet.
            OperationError: It names a section or a generation that is not in the remote description.
            SdpSyntaxError: It is malformed.
        """
        given = candidate or RTCIceCandidate()
        self._check_candidate(given)
        ufrag = given.usernameFragment or None
        self._machine.add_remote_candidate(given.candidate or None, self._driver.now(), ufrag=ufrag)
        self._driver.schedule_flush()

    async def close(self) -> None:
        """Close: tell the peer, stop everything, free sockets, tasks and threads. Takes no round trip."""
        if self._driver.closed:
            return
        for transceiver in list(self._transceivers.values()):
            transceiver.sender.halt()
            transceiver.receiver.track.stop()
        await self._driver.close()
        self._gathered.set()
        self.remove_all_listeners()
        for log in (self._packet_log, self._event_log):
            if log is not None:
                log.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- events ------------------------------------------------------------------------------------------------

    def _report(self, event: events.Event) -> None:
        if self._event_log is not None:
            self._event_log.report(event)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
        if self._transports is not None and type(event) in STATE_CHANGES:
            self._transports.update()

    def _report_error(self, error: BaseException) -> None:
        """Make sure that an exception in a task of ours is heard."""
        if not self._driver.closed and self.listeners("error"):
            self.dispatch("error", error)
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a task of the peer connection failed", "exception": error}
            )

    def _check_thresholds(self) -> bool:
        """Fire `bufferedamountlow` where it is due; return whether a handler may have sent something."""
        fired = False
        for channel in list(self._draining):
            fired = channel.check_threshold() or fired
            if not channel.above_threshold:  # a handler may have filled it again
                self._draining.discard(channel)
        return fired

    def _on_message(self, event: datachannel.MessageReceived) -> None:
        channel = self._channels.get(id(event.channel))
        if channel is not None:
            channel.deliver(event.data)

    def _on_channel_announced(self, event: datachannel.ChannelAnnounced) -> None:
        self.dispatch("datachannel", self._wrap_channel(event.channel))

    def _on_channel_opened(self, event: datachannel.ChannelOpened) -> None:
        self._wrap_channel(event.channel).dispatch("open")

    def _on_channel_closing(self, event: datachannel.ChannelClosing) -> None:
        self._wrap_channel(event.channel).dispatch("closing")

    def _on_channel_closed(self, event: datachannel.ChannelClosed) -> None:
        channel = self._channels.pop(id(event.channel), None)
        if channel is not None:
            self._draining.discard(channel)
            if event.error is not None and channel.listeners("error"):
                channel.dispatch("error", str(event.error))
            channel.dispatch("close")

    def _on_negotiation_needed(self, _event: events.NegotiationNeeded) -> None:
        if self._machine.needs_negotiation:  # it may have come about meanwhile, or not be possible now
            self.dispatch("negotiationneeded")

    def _on_connection_state(self, event: events.ConnectionStateChanged) -> None:
        self._connection_state = event.state
        if event.error is not None:
            self.error = str(event.error)
            logger.warning("connection failed: %s", self.error)
            if self.listeners("error"):
                self.dispatch("error", self.error)
        if event.state == "closed" or self._machine.transport.dtls_state == "failed":
            # No way back, as there is from a failed ICE: whoever waits for a frame must hear of it.
            for transceiver in list(self._transceivers.values()):
                transceiver.sender.halt()
                transceiver.receiver.track.stop()
        self.dispatch("connectionstatechange")

    # -- called by channels and senders ------------------------------------------------------------------------

    def send_message(self, channel: datachannel.Channel, data: bytes | str) -> None:
        """Queue a message of a channel."""
        if self._driver.closed:
            raise InvalidStateError("the peer connection is closed")
        self._machine.send(channel, data, self._driver.now())
        self._driver.schedule_flush()

    def buffered_amount(self, channel: datachannel.Channel) -> int:
        """Bytes of a channel that have not left yet."""
        return self._machine.buffered_amount(channel)

    def close_channel(self, channel: datachannel.Channel) -> None:
        """Close a channel."""
        self._machine.close_channel(channel, self._driver.now())
        self._driver.schedule_flush()

    # -- wrappers ----------------------------------------------------------------------------------------------

    def _wrap_channel(self, channel: datachannel.Channel) -> RTCDataChannel:
        wrapper = self._channels.get(id(channel))
        if wrapper is None:
            wrapper = self._channels[id(channel)] = RTCDataChannel(self, channel)
        return wrapper
