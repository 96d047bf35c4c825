"""A small WHIP and WHEP endpoint to test clients against: one stream, our own peer connection for each session."""

import contextlib
import itertools
import json

from aiohttp import web

from stack import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from stack.aio.whip_descriptions import restarted_description
from stack.core import ParseError
from stack.media import MediaRelay
from stack.sdp import Fragment, SessionDescription

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Expose-Headers": "*",
}


class Session:
    """One client. `connection` is ours; `kind` is `whip` or `whep`."""

    def __init__(self, kind, connection, number):
        self.kind, self.connection = kind, connection
        self.etag = f'"{number}-0"'
        self.restarts = 0
        self.candidates = []  # what was trickled


class Endpoint:
    """What the client meets. Attributes may be changed by a test at any time.

    token: what must be in Authorization, or None.
    links: Link header fields of OPTIONS and POST.
    trickle, restart: whether PATCH may do that.
    counter_offers: whether WHEP is answered with an offer of ours.
    redirects: how many 307 precede the answer to a POST.
    tracks: what is played; a WHIP client's tracks become these.
    """

    def __init__(self):
        self.token = None
        self.links = []
        self.trickle = self.restart = True
        self.counter_offers = False
        self.redirects = 0
        self.requests = []  # (method, path, headers, body)
        self.sessions = {}
        self.deleted = []
        self.tracks = []
        self.relay = MediaRelay()
        self.answer = None  # (status, headers, body) for every POST instead of a session
        self._numbers = itertools.count()
        self._runner = None
        self.url = None

    async def __aenter__(self):
        app = web.Application()
        for kind in ("whip", "whep"):
            app.router.add_route("*", f"/{kind}", self._on_endpoint)
            app.router.add_route("*", f"/{kind}/hop/{{left}}", self._on_endpoint)
            app.router.add_route("*", f"/{kind}/session/{{number}}", self._on_session)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        for session in self.sessions.values():
            await session.connection.close()
        await self._runner.cleanup()

    def methods(self):
        return [method for method, *_ in self.requests]

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _note(self, request):
        body = await request.text()
        self.requests.append((request.method, request.path, dict(request.headers), body))
        wanted = None if self.token is None or request.method == "OPTIONS" else f"Bearer {self.token}"
        if wanted is not None and request.headers.get("Authorization") != wanted:
            problem = json.dumps({"title": "unauthorized", "detail": "show your token"})
            raise web.HTTPUnauthorized(text=problem, content_type="application/problem+json", headers=CORS)
        return body

    async def _on_endpoint(self, request):
        body = await self._note(request)
        if request.method == "OPTIONS":
            response = web.Response(status=200, headers={**CORS, "Accept-Post": SDP})
            self._add_links(response)
            return response
        if request.method != "POST":
            return web.Response(status=204)
        left = int(request.match_info.get("left", self.redirects))
        kind = request.path.split("/")[1]
        if left:
            raise web.HTTPTemporaryRedirect(f"/{kind}/hop/{left - 1}")
        if self.answer is not None:
            status, headers, text = self.answer
            return web.Response(status=status, headers=headers, text=text)
        if request.content_type != SDP:
            return web.Response(status=415, headers=CORS)
        return await self._new_session(kind, body)

    def _add_links(self, response):
        for link in self.links:
            response.headers.add("Link", link)

    async def _new_session(self, kind, offer):
        if kind == "whep" and not self.tracks:
            return web.Response(status=409, headers={**CORS, "Retry-After": "1"}, text="nobody publishes")
        number = str(next(self._numbers))
        connection = RTCPeerConnection()
        session = self.sessions[number] = Session(kind, connection, number)
        status, text = 201, None
        try:
            if kind == "whep" and self.counter_offers:
                for track in self.tracks:
                    connection.addTransceiver(self._subscribe(track), direction="sendonly")
                await connection.setLocalDescription()
                status = 406
            else:
                if kind == "whip":
                    connection.on("track", self.tracks.append)
                await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                if kind == "whep":
                    self._send_tracks(connection)
                await connection.setLocalDescription()
            text = connection.localDescription.sdp
        except ValueError as error:
            return web.Response(status=422, headers=CORS, text=str(error))
        response = web.Response(status=status, headers={**CORS, "Content-Type": SDP, "ETag": session.etag}, text=text)
        response.headers["Location"] = f"/{kind}/session/{number}"
        self._add_links(response)
        return response

    def _subscribe(self, track):
        return self.relay.subscribe(track, encoded=True if hasattr(track, "recv_encoded") else None)

    def _send_tracks(self, connection):
        for transceiver in connection.getTransceivers():
            for track in self.tracks:
                if track.kind == transceiver.kind:
                    transceiver.direction = "sendonly"
                    transceiver.sender.replace(self._subscribe(track))

    async def _on_session(self, request):
        body = await self._note(request)
        if request.method == "OPTIONS":
            return web.Response(status=200, headers=CORS)
        session = self.sessions.get(request.match_info["number"])
        if session is None:
            return web.Response(status=404, headers=CORS)
        if request.method == "DELETE":
            self.deleted.append(request.match_info["number"])
            await self.sessions.pop(request.match_info["number"]).connection.close()
            return web.Response(status=200, headers=CORS)
        if request.method == "PATCH":
            return await self._patch(request, session, body)
        return web.Response(status=204, headers=CORS)

    async def _patch(self, request, session, body):
        if request.content_type == SDP and session.connection.signalingState == "have-local-offer":
            await session.connection.setRemoteDescription(RTCSessionDescription(body, "answer"))
            return web.Response(status=204, headers=CORS)
        if request.content_type != FRAGMENT:
            return web.Response(status=415, headers=CORS)
        match = request.headers.get("If-Match")
        try:
            fragment = Fragment.parse(body)
        except ParseError as error:
            return web.Response(status=400, headers=CORS, text=str(error))
        if match is None:
            return web.Response(status=428, headers=CORS)
        if match == "*":
            return await self._restart(session, fragment)
        if match != session.etag:
            return web.Response(status=412, headers=CORS)
        if not self.trickle:
            return web.Response(status=422, headers=CORS)
        for media in fragment.media:
            for candidate in media.candidates:
                session.candidates.append(candidate)
                await session.connection.addIceCandidate(RTCIceCandidate(candidate.serialize(), media.mid))
            if media.end_of_candidates:
                session.candidates.append(None)
                await session.connection.addIceCandidate(None)
        return web.Response(status=204, headers=CORS)

    async def _restart(self, session, fragment):
        if not self.restart:
            return web.Response(status=422, headers=CORS, text="no restarts here")
        connection = session.connection
        offer = restarted_description(connection.remoteDescription.sdp, fragment)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription()
        session.restarts += 1
        session.etag = f'"{session.etag[1:-3]}-{session.restarts}"'
        body = Fragment.of(SessionDescription.parse(connection.localDescription.sdp)).serialize()
        return web.Response(status=200, headers={**CORS, "Content-Type": FRAGMENT, "ETag": session.etag}, text=body)


@contextlib.asynccontextmanager
async def endpoint():
    async with Endpoint() as made:
        yield made
