"""One driver's peer connection: the car answers, sends video and telemetry, and takes controls."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Final

from stack import RTCIceCandidate, RTCSessionDescription

from .messages import Candidate
from .simulation import Simulation

TELEMETRY_INTERVAL: Final = 0.05  # seconds
MAX_TELEMETRY_BUFFERED: Final = 8192  # bytes; when more waits to be sent, telling newer things later helps nobody
MAX_CANDIDATES: Final = 100  # of one page; a machine with many interfaces and relays has some 20

Send = Callable[[dict[str, Any]], None]


class Driver:
    """A peer connection to whoever drives.

    Args:
        peer: An `RTCPeerConnection`, new.
        video: The track to send; also the simulation's viewer.
        simulation: The car.
        send: Sends a signaling message to the page.
        on_state: Called with each new `connectionState`.
    """

    def __init__(
        self, peer: Any, video: Any, simulation: Simulation, send: Send, on_state: Callable[[str], None]
    ) -> None:
        self._peer = peer
        self._video = video
        self._simulation = simulation
        self._send = send
        self._on_state = on_state
        self._candidates = 0
        self._telemetry: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._seated = self._loop.time()
        self._closed = False
        peer.on("icecandidate", self._on_candidate)
        peer.on("datachannel", self._on_channel)
        peer.on("connectionstatechange", lambda: on_state(peer.connectionState))

    @property
    def silent_for(self) -> float:
        """Seconds since the last fresh command, or since the driver took the seat."""
        return self._loop.time() - max(self._seated, self._simulation.failsafe.last_command or 0.0)

    async def answer(self, sdp: str) -> None:
        """Take the page's offer and send the answer; raises what the peer connection raises."""
        peer = self._peer
        await peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        peer.addTrack(self._video)
        await peer.setLocalDescription(await peer.createAnswer())
        if self._closed:  # the connection failed while it was being set up
            raise ConnectionError("closed")
        self._send({"type": "answer", "sdp": peer.localDescription.sdp})
        self._simulation.failsafe.start_session(self._loop.time())
        self._simulation.viewer = self._video

    async def add_candidate(self, candidate: Candidate) -> None:
        """Hand one of the page's candidates on; those beyond `MAX_CANDIDATES` are ignored."""
        self._candidates += 1
        if self._candidates > MAX_CANDIDATES:
            return
        if candidate.candidate is None:
            await self._peer.addIceCandidate(None)
            return
        await self._peer.addIceCandidate(
            RTCIceCandidate(
                candidate=candidate.candidate, sdpMid=candidate.sdp_mid, sdpMLineIndex=candidate.sdp_m_line_index
            )
        )

    async def close(self) -> None:
        """Stop the car, then let the connection go. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._simulation.failsafe.peer_gone(self._loop.time())
        if self._simulation.viewer is self._video:
            self._simulation.viewer = None
        self._video.stop()
        try:
            if self._telemetry is not None:
                self._telemetry.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._telemetry
        finally:  # also when telemetry has failed: the sockets must not outlive the driver
            await self._peer.close()

    def _on_candidate(self, candidate: Any) -> None:
        if candidate is None:
            self._send({"type": "candidate", "candidate": None})
        else:
            self._send(
                {
                    "type": "candidate",
                    "candidate": candidate.candidate,
                    "sdpMid": candidate.sdpMid,
                    "sdpMLineIndex": candidate.sdpMLineIndex,
                }
            )

    def _on_channel(self, channel: Any) -> None:
        if channel.label == "controls":
            channel.on("message", self._on_command)
        elif channel.label == "telemetry" and self._telemetry is None:
            self._telemetry = asyncio.create_task(self._tell(channel))

    def _on_command(self, data: bytes | str) -> None:
        if not self._closed:
            self._simulation.failsafe.receive_datagram(
                data.encode() if isinstance(data, str) else bytes(data), self._loop.time()
            )

    async def _tell(self, channel: Any) -> None:
        """Send telemetry until cancelled or the channel closes."""
        while channel.readyState in ("connecting", "open"):
            if channel.readyState == "open" and channel.bufferedAmount <= MAX_TELEMETRY_BUFFERED:
                channel.send(json.dumps(self._simulation.telemetry(), separators=(",", ":")))
            await asyncio.sleep(TELEMETRY_INTERVAL)
