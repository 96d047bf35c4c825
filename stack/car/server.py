"""HTTP and WebSocket: serves the page, does the signaling, and gives the one seat to the first who asks."""

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from ..core import ParseError
from . import messages
from .driver import Driver
from .simulation import Simulation

MAX_VISITORS: Final = 32  # open WebSockets; a school class may watch the page, a crowd may not
MAX_BAD_MESSAGES: Final = 20  # per WebSocket; after that the other end is not our page
MAX_OUTBOX: Final = 256  # messages; an answer and its candidates are some 20
SILENT_SEAT: Final = 10.0  # seconds without a command after which the next visitor may take the seat
CLOSE_PATIENCE: Final = 0.5  # seconds that a peer connection may take to say goodbye
_HEARTBEAT: Final = 5.0  # seconds; finds a WebSocket whose other end has vanished
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_STATIC: Final = resources.files(__package__) / "static"
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the token is in the URL
    "X-Content-Type-Options": "nosniff",
}
_TYPES: Final = {
    "html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"
}  # fmt: skip

PeerFactory = Callable[[], tuple[Any, Any]]
"""Makes a new peer connection and the video track for it."""
Report = Callable[..., None]
"""`report(event, **fields)`: tells people and scripts what happened."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server needs to know.

    Args:
        token: Wanted in the URL of the WebSocket, or None if everybody who can connect may drive.
        codec: `H264` or `VP8`: what the page shall prefer.
        ice_servers: As in `RTCConfiguration`, for the page.
    """

    token: str | None = None
    codec: str = "H264"
    ice_servers: tuple[dict[str, Any], ...] = ()


@dataclass(slots=True, eq=False)
class _Visitor:
    """One open WebSocket."""

    socket: web.WebSocketResponse
    outbox: asyncio.Queue[dict[str, Any]] = field(default_factory=lambda: asyncio.Queue(MAX_OUTBOX))
    driver: Driver | None = None
    bad_messages: int = 0

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; what a visitor does not read is lost to him."""
        with contextlib.suppress(asyncio.QueueFull):
            self.outbox.put_nowait(message)

    async def write(self) -> None:
        """Send what is queued until cancelled or the socket is gone."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.socket.send_json(await self.outbox.get())


class CarServer:
    """Serves one car.

    Args:
        simulation: The car.
        create_peer: Makes the peer connection and video track for a new driver.
        settings: See `Settings`.
        report: See `Report`.
    """

    def __init__(self, simulation: Simulation, create_peer: PeerFactory, settings: Settings, report: Report) -> None:
        self._simulation = simulation
        self._create_peer = create_peer
        self._settings = settings
        self._report = report
        self._visitors: set[_Visitor] = set()
        self._seat: _Visitor | None = None
        self._endings: set[asyncio.Task[None]] = set()
        outline = simulation.track.points[::10]
        self._outline = [[round(float(x), 2), round(float(y), 2)] for x, y in outline]

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/state", self._state)
        app.router.add_get("/ws", self._signal)
        app.on_shutdown.append(self._shut_down)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse other sites' pages: by Origin, and without a token by Host too (DNS rebinding)."""
        origin = request.headers.get("Origin")
        try:
            hostname = urlsplit(f"//{request.host}").hostname
            foreign = origin is not None and urlsplit(origin).netloc != request.host
        except ValueError as error:
            raise web.HTTPBadRequest(text="malformed Host or Origin\n") from error
        if foreign:
            raise web.HTTPForbidden(text="another site's page may not talk to the car\n")
        if self._settings.token is None and hostname not in _LOOPBACK:
            raise web.HTTPForbidden(text="without a token the car answers only to localhost\n")
        return await handler(request)

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return self._file("index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._file(request.match_info["name"])

    @staticmethod
    def _file(name: str) -> web.StreamResponse:
        names = {entry.name: entry for entry in _STATIC.iterdir() if entry.is_file()}
        content_type = _TYPES.get(name.rpartition(".")[2])
        if name not in names or content_type is None:
            raise web.HTTPNotFound(text="no such file\n")
        return web.Response(body=names[name].read_bytes(), content_type=content_type, charset="utf-8", headers=_HEADERS)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        if not self._may_enter(request):
            raise web.HTTPForbidden(text="wrong token\n")
        seat = self._seat is not None
        return web.json_response({"driver": seat, "visitors": len(self._visitors), **self._simulation.telemetry()})

    def _may_enter(self, request: web.Request) -> bool:
        token = self._settings.token
        return token is None or hmac.compare_digest(request.query.get("token", "").encode(), token.encode())

    async def _signal(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket from hello to goodbye."""
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=messages.MAX_MESSAGE)
        await socket.prepare(request)
        if not self._may_enter(request):
            await socket.send_json(_error("bad-token", "Open the link that the car has printed; it holds the token."))
            await socket.close(code=4401, message=b"bad-token")
            return socket
        if len(self._visitors) >= MAX_VISITORS:
            await socket.send_json(_error("too-many-visitors", "Too many pages are open. Close one and reload."))
            await socket.close(code=4429, message=b"too-many-visitors")
            return socket
        visitor = _Visitor(socket)
        self._visitors.add(visitor)
        writer = asyncio.create_task(visitor.write())
        visitor.send(self._hello())
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
                if message.type is WSMsgType.TEXT:
                    await self._handle(visitor, message.data)
                else:
                    self._refuse(visitor, "not-text", "Messages are JSON texts.")
                if visitor.bad_messages > MAX_BAD_MESSAGES:
                    await socket.close(code=1008, message=b"too-many-bad-messages")
        finally:
            self._visitors.discard(visitor)
            writer.cancel()
            await self._leave_seat(visitor, "page-gone")
        return socket

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "busy": self._seat is not None,
            "codec": self._settings.codec,
            "iceServers": list(self._settings.ice_servers),
            "track": self._outline,
            "trackWidth": self._simulation.track.width,
        }

    async def _handle(self, visitor: _Visitor, text: str) -> None:
        try:
            message = messages.parse(text)
        except ParseError as error:
            self._refuse(visitor, error.reason, error.detail)
            return
        match message:
            case messages.Offer(sdp):
                await self._take_seat(visitor, sdp)
            case messages.Candidate() if visitor.driver is not None:
                try:
                    await visitor.driver.add_candidate(message)
                except Exception as error:  # noqa: BLE001  whatever is wrong with it, the server lives on
                    self._refuse(visitor, "bad-candidate", str(error))
            case messages.Candidate():
                visitor.send(_error("no-offer", "A candidate needs an offer before it."))
            case messages.Bye():
                await self._leave_seat(visitor, "bye")

    def _refuse(self, visitor: _Visitor, reason: str, detail: str) -> None:
        visitor.bad_messages += 1
        visitor.send(_error(reason, detail))
        self._report("message-refused", reason=reason, detail=detail[:200])

    async def _take_seat(self, visitor: _Visitor, sdp: str) -> None:
        holder = self._seat
        if holder is not None and holder is not visitor:
            if holder.driver is None or holder.driver.silent_for < SILENT_SEAT:
                visitor.send({"type": "busy", "message": "Somebody else is driving. You are next when they leave."})
                return
            self._seat = visitor  # before anything is awaited, or two could take it
            holder.send({"type": "bye", "reason": "silent"})
            await self._leave_seat(holder, "silent")
        self._seat = visitor
        await self._leave_seat(visitor, "new-offer", keep_seat=True)
        try:
            visitor.driver = self._create_driver(visitor)
            await visitor.driver.answer(sdp)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the offer, the server lives on
            self._refuse(visitor, "bad-offer", f"{type(error).__name__}: {error}")
            await self._leave_seat(visitor, "bad-offer")
            return
        self._report("driver-seated")

    def _create_driver(self, visitor: _Visitor) -> Driver:
        peer, video = self._create_peer()
        driver = Driver(
            peer, video, self._simulation, visitor.send, lambda state: self._on_state(visitor, driver, state)
        )
        return driver

    def _on_state(self, visitor: _Visitor, driver: Driver, state: str) -> None:
        if visitor.driver is not driver:
            return  # the last words of a connection that was given up
        self._report("connection-state", state=state)
        if state in ("failed", "closed"):
            visitor.send({"type": "bye", "reason": f"connection-{state}"})
            ending = asyncio.create_task(self._end(visitor, driver, f"connection-{state}"))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _end(self, visitor: _Visitor, driver: Driver, reason: str) -> None:
        if visitor.driver is driver:  # it may have made way for a new one since
            await self._leave_seat(visitor, reason)

    async def _leave_seat(self, visitor: _Visitor, reason: str, *, keep_seat: bool = False) -> None:
        driver, visitor.driver = visitor.driver, None
        if self._seat is visitor and not keep_seat:
            self._seat = None
        if driver is None:
            return
        # The car stops inside close() before anything is awaited.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(driver.close(), CLOSE_PATIENCE)
        self._report("driver-gone", reason=reason)
        if self._seat is None:
            for other in self._visitors:
                if other is not visitor:
                    other.send({"type": "seat-free"})

    async def _shut_down(self, _app: web.Application) -> None:
        for visitor in list(self._visitors):
            visitor.send({"type": "bye", "reason": "car-off"})
            await self._leave_seat(visitor, "car-off", keep_seat=True)
            await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(visitor.socket.close(code=1001, message=b"car-off"), 0.2)


def _error(reason: str, message: str) -> dict[str, Any]:
    return {"type": "error", "reason": reason, "message": message[:500]}
