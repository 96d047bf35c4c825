"""Publishing by WHIP and playing by WHEP: WebRTC signalled over HTTP (draft-ietf-wish-whip, draft-ietf-wish-whep).

>>> async with WhipClient("https://example.org/whip/room", token="secret") as client:
...     await client.publish(camera, microphone)
...     await client.connection_ended()

It needs aiohttp: `pip install webrtc-stack[whip]`.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

try:
    import aiohttp
    from yarl import URL
except ImportError as missing:
    raise ImportError(f"WHIP and WHEP need aiohttp ({missing}): pip install webrtc-stack[whip]") from missing


from ..core import LocalError, ParseError
from ..sdp import Candidate, Fragment, SessionDescription
from ..sdp.fragment import MEDIA_TYPE as FRAGMENT_TYPE
from .descriptions import RTCConfiguration, RTCIceCandidate, RTCIceServer, RTCSessionDescription
from .links import ice_servers
from .peer_connection import RTCPeerConnection
from .tracks import MediaStreamTrack, RemoteStreamTrack
from .whip_descriptions import posted_description, restarted_description

logger = logging.getLogger(__name__)

SDP_TYPE: Final = "application/sdp"
MAX_REDIRECTS: Final = 5
"""Redirections of one request that are followed: two balancers and a change of scheme, and some more."""

MAX_BODY: Final = 1 << 20
"""Bytes of a response that are read: the longest description in UTF-8."""

MAX_PENDING_CANDIDATES: Final = 256
"""Candidates that wait for the answer: as many as a description may hold."""

MAX_ERROR_TEXT: Final = 300
"""Characters of a server's explanation that an error shows."""

BATCH: Final = 0.05
"""Seconds in which candidates are gathered for one PATCH, which costs a round trip and an HTTP exchange."""

_REDIRECTS: Final = frozenset({307, 308})
_FORBIDDEN_REDIRECTS: Final = frozenset({301, 302, 303})


class WhipError(Exception):
    """A server refused, or could not be understood.

    Args:
        message: What went wrong, for people.
        status: HTTP status code; None if there was no response.
        retry_after: Seconds after which the server wants to be asked again, or None.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class WhipUnreachableError(WhipError):
    """There was no response."""


@dataclass(slots=True)
class _Response:
    status: int
    url: URL
    headers: "Mapping[str, str]"
    links: list[str]
    text: str

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class HttpSignaling:
    """What WHIP and WHEP have in common; use `WhipClient` or `WhepClient`.

    Args:
        url: Of the endpoint: `http:` or `https:`.
        token: Bearer token, or None.
        configuration: For the peer connection. If it names no ICE servers, those are used that the endpoint names.
        gathering_time: Seconds to wait for candidates before the offer is sent; what is found later is trickled, which
            not every server can. 0 sends the offer at once.
        timeout: Seconds for each HTTP request.
        http: A session to use, with its TLS settings and proxies; it is not closed. None makes one.

    Attributes:
        connection: The peer connection, from `publish` or `play` on.
        resource: URL of the session on the server, or None.
        ice_servers: What the endpoint named.

    Raises:
        LocalError: If the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        configuration: RTCConfiguration | None = None,
        gathering_time: float = 1.0,
        timeout: float = 10.0,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        try:
            self._endpoint = URL(url)
        except ValueError as error:
            raise LocalError(f"{url!r} is no URL: {error}") from error
        if self._endpoint.scheme not in {"http", "https"} or not self._endpoint.host:
            raise LocalError(f"{url!r} is no URL of the form https://host/path")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise LocalError("a token is of visible ASCII characters")
        self._token = token
        self._configuration = configuration or RTCConfiguration()
        self._gathering_time = gathering_time
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None
        self._etag: str | None = None
        self._pending: list[RTCIceCandidate] = []
        self._gathered = asyncio.Event()
        self._something_pending = asyncio.Event()
        self._trickling: asyncio.Task[None] | None = None
        self._can_trickle = True
        self._ended = asyncio.Event()
        self.connection: RTCPeerConnection | None = None
        self.resource: str | None = None
        self.ice_servers: list[RTCIceServer] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- the session -------------------------------------------------------------------------------------------

    async def wait_connected(self, timeout: float = 20.0) -> None:  # noqa: ASYNC109  one deadline is all there is
        """Wait until media can flow.

        Raises:
            WhipError: The connection failed, or took too long.
        """
        connection = self._started()
        changed = asyncio.Event()
        connection.on("connectionstatechange", changed.set)
        try:
            async with asyncio.timeout(timeout):
                while connection.connectionState != "connected":
                    if connection.connectionState in {"failed", "closed"}:
                        raise WhipError(f"the connection {connection.connectionState}: {connection.error or 'no path'}")
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            raise WhipError(
                f"signalled, but not connected after {timeout:g} s: ICE is {connection.iceConnectionState}; "
                "connection.iceReport() knows more"
            ) from None
        finally:
            with contextlib.suppress(KeyError):
                connection.remove_listener("connectionstatechange", changed.set)

    async def connection_ended(self) -> None:
        """Wait until the connection has failed or the server has ended it."""
        self._started()
        await self._ended.wait()

    async def restart(self) -> None:
        """Look for new paths: an ICE restart by PATCH (draft-ietf-wish-whip section 4.3.3).

        If it is refused the connection goes on as it was, and it may be tried again.

        Raises:
            LocalError: Nothing is published or played.
            WhipError: The server refused, or cannot do it.
        """
        connection = self._started()
        answer = connection.remoteDescription
        if self.resource is None or answer is None:
            raise LocalError("there is no session to restart")
        await self._stop_trickling()
        self._pending.clear()
        self._gathered.clear()
        connection.restartIce()
        await connection.setLocalDescription()
        offer = await self._gathered_description()
        try:
            await self._exchange_restart(connection, offer.sdp, answer.sdp)
        except BaseException:
            if connection.signalingState == "have-local-offer":
                await connection.setLocalDescription(RTCSessionDescription("", "rollback"))
            raise
        self._begin_trickling(offer)

    async def _exchange_restart(self, connection: RTCPeerConnection, offer: str, answer: str) -> None:
        body = Fragment.of(SessionDescription.parse(offer)).serialize()
        response = await self._request(
            "PATCH", URL(self.resource or ""), body, FRAGMENT_TYPE, {"If-Match": "*"}, follow=False
        )
        if response.status != 200 or response.media_type != FRAGMENT_TYPE:
            raise self._refused(response, "restart ICE")
        try:
            restarted = restarted_description(answer, Fragment.parse(response.text))
        except ParseError as error:
            raise WhipError(f"the answer to the restart cannot be read: {error}", response.status) from error
        await connection.setRemoteDescription(RTCSessionDescription(restarted, "answer"))
        self._etag = response.headers.get("ETag") or self._etag

    async def close(self) -> None:
        """End the session here and on the server, and close the connection. Harmless when repeated."""
        await self._stop_trickling()
        resource, self.resource = self.resource, None
        try:
            if resource is not None:
                response = await self._request("DELETE", URL(resource), follow=False)
                if response.status >= 400:
                    logger.info("the server did not delete %s: %s", resource, response.status)
        except WhipError as error:
            logger.info("the session was not deleted: %s", error)
        finally:
            if self.connection is not None:
                await self.connection.close()
            self._ended.set()
            if self._own_http is not None:
                await self._own_http.close()

    # -- negotiation -------------------------------------------------------------------------------------------

    def _started(self) -> RTCPeerConnection:
        if self.connection is None:
            raise LocalError("nothing is published or played yet")
        return self.connection

    async def _new_connection(self) -> RTCPeerConnection:
        if self.connection is not None:
            raise LocalError("a client has one session; make another client")
        configuration = self._configuration
        if not configuration.iceServers:
            await self._ask_for_servers()
            configuration = replace(configuration, iceServers=list(self.ice_servers))
        self.connection = connection = RTCPeerConnection(configuration)
        self._watch(connection)
        return connection

    def _watch(self, connection: RTCPeerConnection) -> None:
        def changed() -> None:
            if connection.connectionState in {"failed", "closed"} and connection is self.connection:
                self._ended.set()

        connection.on("connectionstatechange", changed)

    async def _ask_for_servers(self) -> None:
        """Ask for ICE servers before an offer is made: those of the answer would come too late for its candidates."""
        try:
            response = await self._request("OPTIONS", self._endpoint)
        except WhipError as error:
            logger.info("no ICE servers by OPTIONS: %s", error)
            return
        if response.status < 300:
            self.ice_servers = ice_servers(response.links)

    def _use_servers(self, connection: RTCPeerConnection, response: _Response) -> None:
        """Take the servers that only the 201 names: a restart looks for paths through them."""
        named = ice_servers(response.links)
        if not named:
            return
        self.ice_servers = named
        if not self._configuration.iceServers:
            try:
                connection.setConfiguration(replace(connection.getConfiguration(), iceServers=named))
            except LocalError as error:  # what is no server, or has no credentials
                logger.info("the ICE servers of %s cannot be used: %s", response.url, error)

    async def _offer(self, what: str) -> _Response:
        """Send an offer, and return the response if it holds a description."""
        connection = self._started()
        connection.on("icecandidate", self._on_candidate)
        offer = await connection.createOffer()
        await connection.setLocalDescription(offer)
        if self._gathering_time:
            offer = await self._gathered_description()
        response = await self._request("POST", self._endpoint, posted_description(offer.sdp), SDP_TYPE)
        if response.status not in {201, 406} or (response.status == 406 and response.media_type != SDP_TYPE):
            raise self._refused(response, what)
        location = response.headers.get("Location")
        if location is None:
            raise WhipError(f"{response.url} made a session, but does not say where (no Location)", response.status)
        self.resource = str(self._next_url(response.url, location))
        self._use_servers(connection, response)
        self._etag = response.headers.get("ETag")
        if response.media_type != SDP_TYPE:
            raise WhipError(f"{response.url} answered with {response.media_type or 'nothing'}, not {SDP_TYPE}", 201)
        if response.status == 201:
            await self._take_answer(response)
            self._begin_trickling(offer)
        return response

    async def _take_answer(self, response: _Response) -> None:
        connection = self._started()
        try:
            await connection.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        except Exception as error:
            raise WhipError(f"the answer of {response.url} cannot be used: {error}", response.status) from error

    # -- candidates --------------------------------------------------------------------------------------------

    def _on_candidate(self, candidate: RTCIceCandidate | None) -> None:
        if candidate is None:
            self._gathered.set()
        elif len(self._pending) < MAX_PENDING_CANDIDATES:
            self._pending.append(candidate)
        self._something_pending.set()

    async def _gathered_description(self) -> RTCSessionDescription:
        """Return our description with the candidates that are found in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gathering_time):
                await self._gathered.wait()
        description = self._started().localDescription
        if description is None:
            raise LocalError("the connection was closed meanwhile")
        return description

    def _begin_trickling(self, offer: RTCSessionDescription) -> None:
        """Trickle what the offer did not have, from now on."""
        self._pending = [candidate for candidate in self._pending if candidate.candidate not in offer.sdp]
        complete = self._gathered.is_set() and not self._pending
        if self._can_trickle and not complete and self._trickling is None:
            self._trickling = asyncio.create_task(self._trickle(), name="whip-trickle")

    async def _stop_trickling(self) -> None:
        task, self._trickling = self._trickling, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _trickle(self) -> None:
        while True:
            await self._something_pending.wait()
            await asyncio.sleep(BATCH)
            self._something_pending.clear()
            found, self._pending = self._pending, []
            ended = self._gathered.is_set()
            if (found or ended) and not await self._send_candidates(found, ended=ended):
                self._can_trickle = False
                return
            if ended and not self._pending:
                return

    async def _send_candidates(self, candidates: list[RTCIceCandidate], *, ended: bool) -> bool:
        """Send candidates by PATCH, and tell whether the server takes them."""
        connection = self._started()
        offer = connection.localDescription
        if offer is None or self.resource is None:
            return False
        fragment = Fragment.of(SessionDescription.parse(offer.sdp))
        section = fragment.media[0]
        fragment.media = [section]
        fragment.end_of_candidates = False
        section.candidates = [Candidate.parse(candidate.candidate) for candidate in candidates]
        section.end_of_candidates = ended
        headers = {"If-Match": self._etag} if self._etag is not None else {}
        try:
            response = await self._request(
                "PATCH", URL(self.resource), fragment.serialize(), FRAGMENT_TYPE, headers, follow=False
            )
        except WhipError as error:
            logger.info("candidates were not trickled: %s", error)
            return False
        if response.status >= 300:
            logger.info("the server takes no candidates: %s", response.status)
            return False
        return True

    # -- HTTP --------------------------------------------------------------------------------------------------

    def _session(self) -> aiohttp.ClientSession:
        if self._http is not None:
            return self._http
        if self._own_http is None:
            self._own_http = aiohttp.ClientSession()
        return self._own_http

    async def _request(
        self,
        method: str,
        url: URL,
        body: str | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        follow: bool = True,
    ) -> _Response:
        """Send a request, follow redirections within bounds, and return the response.

        Raises:
            WhipError: There is no response, or it leads nowhere.
        """
        fields = {**(headers or {}), **({"Content-Type": content_type} if content_type is not None else {})}
        if self._token is not None:
            fields["Authorization"] = f"Bearer {self._token}"
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._exchange(method, url, body, fields)
            location = response.headers.get("Location")
            if response.status in _FORBIDDEN_REDIRECTS:
                raise WhipError(
                    f"{url} redirects with {response.status}, which loses the offer: servers must use 307",
                    response.status,
                )
            if not follow or response.status not in _REDIRECTS or location is None:
                return response
            url = self._next_url(url, location)
        raise WhipError(f"{self._endpoint} redirects more than {MAX_REDIRECTS} times")

    @staticmethod
    def _next_url(base: URL, location: str) -> URL:
        try:
            url = base.join(URL(location))
        except ValueError as error:
            raise WhipError(f"{base} leads to {location[:MAX_ERROR_TEXT]!r}, which is no URL") from error
        if url.scheme not in {"http", "https"} or not url.host or (base.scheme == "https" and url.scheme != "https"):
            raise WhipError(f"{base} leads to {str(url)[:MAX_ERROR_TEXT]}, which is not safe to follow")
        return url

    async def _exchange(self, method: str, url: URL, body: str | None, fields: Mapping[str, str]) -> _Response:
        try:
            async with self._session().request(
                method,
                url,
                data=None if body is None else body.encode(),
                headers=fields,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > MAX_BODY:
                        raise WhipError(f"{url} answers with more than {MAX_BODY} bytes", response.status)
                text = data.decode("utf-8", "replace")
                return _Response(response.status, url, response.headers, response.headers.getall("Link", []), text)
        except TimeoutError as error:
            raise WhipUnreachableError(f"{url} gave no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WhipUnreachableError(f"{url} cannot be reached: {error}") from error

    def _refused(self, response: _Response, what: str) -> WhipError:
        status = response.status
        advice = {
            401: "it wants a token, or another one",
            403: "the token does not allow it",
            404: "there is nothing of that name",
            405: "it cannot do that",
            409: "not now: there is no such stream, or it is taken",
            412: "the session is another one by now",
            415: "it is no WHIP or WHEP endpoint",
            501: "it cannot do that",
            503: "it is overloaded",
        }.get(status, "")
        said = _explanation(response)
        parts = [f"{response.url} refused to {what}: {status}", advice, said]
        after = response.headers.get("Retry-After", "")
        retry_after = int(after) if after.isascii() and after.isdigit() and len(after) < 7 else None
        return WhipError("; ".join(part for part in parts if part), status, retry_after)


class WhipClient(HttpSignaling):
    """Publishes tracks. Arguments and attributes are those of `HttpSignaling`."""

    async def publish(self, *tracks: MediaStreamTrack) -> RTCPeerConnection:
        """Offer tracks to the endpoint: at most one of each kind (draft-ietf-wish-whip section 4.4.2).

        Raises:
            LocalError: There is no track, or two of a kind, or the client has a session already.
            WhipError: The server refused, or cannot be reached; `close` must follow.
        """
        kinds = [track.kind for track in tracks]
        if not kinds or len(set(kinds)) != len(kinds):
            raise LocalError("WHIP publishes one audio track, one video track, or both")
        connection = await self._new_connection()
        for track in tracks:
            connection.addTransceiver(track, direction="sendonly")
        response = await self._offer("publish")
        if response.status != 201:
            raise self._refused(response, "publish")
        return connection


class WhepClient(HttpSignaling):
    """Plays a stream. Arguments and attributes are those of `HttpSignaling`.

    Attributes:
        tracks: What is played, from `play` on.
    """

    tracks: list[RemoteStreamTrack]

    async def play(self, *kinds: str) -> list[RemoteStreamTrack]:
        """Ask the endpoint for its stream, and return its tracks.

        An endpoint may answer with an offer of its own (draft-ietf-wish-whep section 4.3.2): it is answered.

        Args:
            kinds: `audio`, `video`, or both, which is the default.

        Raises:
            LocalError: Other kinds, or the client has a session already.
            WhipError: The server refused, or cannot be reached; `close` must follow.
        """
        wanted = kinds or ("video", "audio")
        if not set(wanted) <= {"audio", "video"} or len(set(wanted)) != len(wanted):
            raise LocalError("WHEP plays audio, video, or both")
        connection = await self._new_connection()
        self.tracks = []
        connection.on("track", self.tracks.append)
        for kind in wanted:
            connection.addTransceiver(kind, direction="recvonly")
        response = await self._offer("play")
        if response.status == 406:
            await self._answer(response)
        return self.tracks

    async def _answer(self, response: _Response) -> None:
        """Answer the offer of an endpoint that did not like ours."""
        old = self._started()
        configuration = replace(self._configuration, iceServers=self._configuration.iceServers or self.ice_servers)
        self.connection = connection = RTCPeerConnection(configuration)
        await old.close()
        self._watch(connection)
        self.tracks = []
        connection.on("track", self.tracks.append)
        try:
            await connection.setRemoteDescription(RTCSessionDescription(response.text, "offer"))
            await connection.setLocalDescription()  # nobody listens for candidates: it waits for all of them
        except Exception as error:
            raise WhipError(f"the offer of {response.url} cannot be used: {error}", response.status) from error
        answer, resource = connection.localDescription, self.resource
        if answer is None or resource is None:
            raise LocalError("the connection was closed meanwhile")
        accepted = await self._request("PATCH", URL(resource), answer.sdp, SDP_TYPE, follow=False)
        if accepted.status >= 300:
            raise self._refused(accepted, "take our answer")
        self._etag = accepted.headers.get("ETag") or self._etag


def _explanation(response: _Response) -> str:
    """Return what a server says about an error: problem details (RFC 9457), or a line of text."""
    text = response.text
    if response.media_type.endswith("json"):
        with contextlib.suppress(ValueError, RecursionError):
            found: Any = json.loads(text)
            if isinstance(found, dict):
                words = [found.get(key) for key in ("title", "detail", "error", "message")]
                text = ": ".join(word for word in words if isinstance(word, str))
    elif "html" in response.media_type:
        return ""
    line = " ".join(text.split())
    return line[:MAX_ERROR_TEXT] if line.isprintable() else ""
