"""WHIP and WHEP clients against an endpoint of ours: sessions, candidates, restarts, servers, tokens, refusals."""

import asyncio
import contextlib

import pytest

from stack.aio import RTCConfiguration, RTCIceServer
from stack.aio.links import MAX_LINKS, Link, ice_servers, parse_links
from stack.aio.whip import (
    MAX_BODY,
    MAX_ERROR_TEXT,
    MAX_PENDING_CANDIDATES,
    MAX_REDIRECTS,
    WhepClient,
    WhipClient,
    WhipError,
)
from stack.aio.whip_descriptions import restarted_description
from stack.core import LocalError, ParseError
from stack.media import TestPatternTrack, ToneTrack
from stack.sdp import Fragment, SessionDescription
from stack.sdp.lint import lint
from tests.support.waiting import until
from tests.support.whip_endpoint import FRAGMENT, SDP, endpoint

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def server():
    async with endpoint() as made:
        yield made


def pattern():
    return TestPatternTrack(160, 90, 15)


@contextlib.asynccontextmanager
async def publishing(server, *tracks, **options):
    async with WhipClient(f"{server.url}/whip", **options) as client:
        await client.publish(*(tracks or [pattern()]))
        yield client


async def refused(server, kind="whip", **options):
    client = WhipClient if kind == "whip" else WhepClient
    async with client(f"{server.url}/{kind}", **options) as made:
        with pytest.raises(WhipError) as caught:
            await (made.publish(pattern()) if kind == "whip" else made.play())
        return caught.value


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_publish_and_play(server):
    async with publishing(server, pattern(), ToneTrack()) as publisher:
        await publisher.wait_connected()
        await until(lambda: len(server.tracks) == 2)
        async with WhepClient(f"{server.url}/whep") as player:
            tracks = await player.play()
            await player.wait_connected()
            assert {track.kind for track in tracks} == {"audio", "video"}
            video = next(track for track in tracks if track.kind == "video")
            async with asyncio.timeout(30):
                picture = await video.recv()
            assert (picture.width, picture.height) == (160, 90)
            assert [session.kind for session in server.sessions.values()] == ["whip", "whep"]
    assert server.deleted == ["1", "0"]
    posted = [(headers["Content-Type"], body) for method, _, headers, body in server.requests if method == "POST"]
    offers = [SessionDescription.parse(body) for _, body in posted]
    assert [kind for kind, _ in posted] == [SDP, SDP]
    assert [{media.direction for media in offer.media} for offer in offers] == [{"sendonly"}, {"recvonly"}]
    assert [{media.setup for media in offer.media} for offer in offers] == [{"actpass"}, {"actpass"}]
    assert publisher.connection.connectionState == "closed"
    assert len({msid.stream for media in offers[0].media for msid in media.msids}) == 1
    assert len({msid.track for media in offers[0].media for msid in media.msids}) == 2
    assert all(media.rtcp_mux and media.rtcp_mux_only for offer in offers for media in offer.media)
    assert [finding for _, body in posted for finding in lint(body, "offer") if finding.severity != "info"] == []


async def test_a_counter_offer_is_answered(server):
    server.counter_offers = True
    async with publishing(server) as publisher:
        await publisher.wait_connected()
        await until(lambda: server.tracks)
        async with WhepClient(f"{server.url}/whep") as player:
            (track,) = await player.play("video")
            await player.wait_connected()
            async with asyncio.timeout(30):
                assert (await track.recv_encoded()).data
            patch = next(request for request in server.requests if request[0] == "PATCH" and "whep" in request[1])
            assert patch[2]["Content-Type"] == SDP
            assert SessionDescription.parse(patch[3]).media[0].direction == "recvonly"


async def test_the_server_ends_the_session(server):
    async with publishing(server) as client:
        await client.wait_connected()
        await server.sessions["0"].connection.close()
        async with asyncio.timeout(10):
            await client.connection_ended()


async def test_closing_twice_and_without_a_session(server):
    client = WhipClient(f"{server.url}/whip")
    await client.close()
    assert server.requests == []
    async with publishing(server) as client:
        pass
    await client.close()
    assert server.methods().count("DELETE") == 1


async def test_nothing_is_left_behind(server):
    before = asyncio.all_tasks()
    async with publishing(server, gathering_time=0) as client:
        await client.wait_connected()
    await until(lambda: not {task for task in asyncio.all_tasks() - before if "whip" in task.get_name()})
    assert client._own_http.closed


# -- candidates --------------------------------------------------------------------------------------------------------


async def test_an_offer_with_all_candidates_needs_no_patch(server):
    async with publishing(server) as client:
        await client.wait_connected()
        offer = SessionDescription.parse(server.requests[1][3])
        assert offer.media[0].candidates
    assert server.methods() == ["OPTIONS", "POST", "DELETE"]


async def test_candidates_are_trickled_in_one_patch(server):
    async with publishing(server, gathering_time=0) as client:
        await client.wait_connected()
        await until(lambda: None in server.sessions["0"].candidates)
        offer = SessionDescription.parse(server.requests[1][3])
        patches = [request for request in server.requests if request[0] == "PATCH"]
        assert offer.media[0].candidates == []
        assert len(patches) == 1
        _, _, headers, body = patches[0]
        assert headers["Content-Type"] == FRAGMENT
        assert headers["If-Match"] == server.sessions["0"].etag
        fragment = Fragment.parse(body)
        assert fragment.media[0].mid == offer.media[0].mid
        assert fragment.ice_parameters_of(fragment.media[0]) == offer.ice_parameters_of(offer.media[0])
        assert fragment.media[0].end_of_candidates
        assert fragment.media[0].candidates


async def test_a_server_that_takes_no_candidates_is_not_asked_again(server):
    server.trickle = False
    async with publishing(server, gathering_time=0) as client:
        await client.wait_connected()  # its own candidates are in the answer, and ours become peer-reflexive
        await until(lambda: "PATCH" in server.methods())
        await until(lambda: not client._can_trickle)
    assert server.methods().count("PATCH") == 1


async def test_waiting_candidates_are_bounded(server):
    client = WhipClient(f"{server.url}/whip")
    for number in range(MAX_PENDING_CANDIDATES + 1):
        client._on_candidate(number)
    assert client._pending == list(range(MAX_PENDING_CANDIDATES))


# -- restarts ----------------------------------------------------------------------------------------------------------


async def test_restart(server):
    async with publishing(server) as client:
        await client.wait_connected()
        before = SessionDescription.parse(client.connection.localDescription.sdp).media[0].ice_ufrag
        etag = client._etag
        await client.restart()
        patch = next(request for request in server.requests if request[0] == "PATCH")
        assert patch[2]["If-Match"] == "*"
        fragment = Fragment.parse(patch[3])
        assert fragment.media[0].ice_ufrag not in {None, before}
        assert client._etag == server.sessions["0"].etag != etag
        await client.restart()
        assert server.sessions["0"].restarts == 2
        await until(lambda: client.connection.iceConnectionState in {"connected", "completed"})
        assert client.connection.signalingState == "stable"
        await until(lambda: server.tracks)
        async with asyncio.timeout(10):
            assert (await server.tracks[0].recv_encoded()).data


async def test_a_restart_that_is_refused_can_be_tried_again(server):
    server.restart = False
    async with publishing(server) as client:
        await client.wait_connected()
        with pytest.raises(WhipError, match="no restarts here") as caught:
            await client.restart()
        assert caught.value.status == 422
        assert client.connection.connectionState == "connected"
        assert client.connection.signalingState == "stable"
        server.restart = True
        await client.restart()
        assert server.sessions["0"].restarts == 1
        await until(lambda: client.connection.connectionState == "connected")


ANSWER = """v=0
o=- 1 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=candidate:1 1 udp 1 192.0.2.1 5000 typ host
a=end-of-candidates
m=video 0 UDP/TLS/RTP/SAVPF 96
a=mid:1
a=bundle-only
"""


def test_a_description_after_a_restart():
    fragment = Fragment.parse(
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=ice-ufrag:wxyz\na=ice-pwd:zyxwvutsrqponmlkjihgfe\n"
        "a=candidate:2 1 udp 1 192.0.2.2 6000 typ host"
    )
    session = SessionDescription.parse(restarted_description(ANSWER, fragment))
    assert session.origin.session_version == 3
    assert [media.ice_ufrag for media in session.media] == ["wxyz", "wxyz"]
    assert [candidate.port for candidate in session.media[0].candidates] == [6000]
    assert not session.media[0].end_of_candidates
    with pytest.raises(ParseError) as caught:
        restarted_description(ANSWER, Fragment.parse("m=audio 9 RTP/AVP 0\na=mid:0"))
    assert caught.value.reason == "no-ice-parameters"


# -- servers and tokens ------------------------------------------------------------------------------------------------

TURN = '<turn:192.0.2.1?transport=udp>; rel="ice-server"; username="user"; credential="a\\"b,;c"'
OTHER = '<https://example.org/sse>; rel="urn:ietf:params:whip:ext:example"'
LINKS = ['<stun:192.0.2.1:3478>; rel="ice-server"', f'{TURN}; credential-type="password", {OTHER}']


async def test_the_endpoint_names_servers(server):
    server.links = LINKS
    async with publishing(server, gathering_time=0.1) as client:
        assert client.ice_servers == [
            RTCIceServer("stun:192.0.2.1:3478"),
            RTCIceServer("turn:192.0.2.1?transport=udp", "user", 'a"b,;c'),
        ]
        assert client.connection._configuration.iceServers == client.ice_servers


async def test_servers_that_only_the_answer_names_are_for_a_restart(server, monkeypatch):
    add = server._add_links
    monkeypatch.setattr(server, "_add_links", lambda response: add(response) if response.status == 201 else None)
    server.links = LINKS
    async with publishing(server) as client:
        assert len(client.ice_servers) == 2
        assert client.connection.getConfiguration().iceServers == client.ice_servers
        assert client.connection.iceReport().turn_servers == 1


async def test_servers_that_make_no_sense_are_left_out(server, caplog):
    server.links = ['<turn:192.0.2.1>; rel="ice-server"']  # without credentials
    add = server._add_links
    server._add_links = lambda response: add(response) if response.status == 201 else None
    with caplog.at_level("INFO"):
        async with publishing(server) as client:
            assert client.connection.getConfiguration().iceServers == []
    assert "needs username and credential" in caplog.text


async def test_servers_of_ours_override(server):
    server.links = LINKS
    configuration = RTCConfiguration([RTCIceServer("stun:127.0.0.1:9")])
    async with publishing(server, gathering_time=0.1, configuration=configuration) as client:
        assert client.connection._configuration == configuration
        assert "OPTIONS" not in server.methods()


async def test_a_token_is_shown_everywhere_but_not_asked_of_options(server):
    server.token = "s3cret"
    async with publishing(server, token="s3cret", gathering_time=0):
        await until(lambda: "PATCH" in server.methods())
    assert {headers.get("Authorization") for method, _, headers, _ in server.requests if method != "OPTIONS"} == {
        "Bearer s3cret"
    }
    error = await refused(server, token="wrong")
    assert error.status == 401
    assert "it wants a token, or another one; unauthorized: show your token" in str(error)
    assert "wrong" not in str(error)


async def test_without_a_token_there_is_no_header(server):
    async with publishing(server):
        pass
    assert all("Authorization" not in headers for _, _, headers, _ in server.requests)


# -- redirections ------------------------------------------------------------------------------------------------------


async def test_redirections_are_followed(server):
    server.redirects = MAX_REDIRECTS
    async with publishing(server) as client:
        await client.wait_connected()
        assert client.resource == f"{server.url}/whip/session/0"


async def test_redirections_are_bounded(server):
    server.redirects = MAX_REDIRECTS + 1
    error = await refused(server)
    assert f"redirects more than {MAX_REDIRECTS} times" in str(error)
    assert server.sessions == {}


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_redirections_that_lose_the_offer_are_refused(status, server):
    server.answer = status, {"Location": "/whip"}, ""
    error = await refused(server)
    assert error.status == status
    assert "must use 307" in str(error)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://[/", "file:///etc/passwd"])
async def test_redirections_to_elsewhere_are_refused(location, server):
    server.answer = 307, {"Location": location}, ""
    assert "leads to" in str(await refused(server))


def test_https_is_not_left():
    from yarl import URL

    with pytest.raises(WhipError, match="not safe to follow"):
        WhipClient._next_url(URL("https://example.org/whip"), "http://example.org/session")
    assert str(WhipClient._next_url(URL("http://example.org/a/b"), "../c")) == "http://example.org/c"


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {}, "no such room"), "refused to publish: 404; there is nothing of that name; no such room"),
        ((503, {"Retry-After": "7"}, ""), "503; it is overloaded"),
        ((599, {}, ""), "refused to publish: 599"),
        ((200, {}, "hello"), "refused to publish: 200"),
        ((500, {"Content-Type": "text/html"}, "<html>"), "refused to publish: 500"),
        ((400, {"Content-Type": "application/json"}, "{"), "refused to publish: 400; {"),
        ((201, {"Content-Type": SDP}, "v=0"), "does not say where"),
        ((201, {"Content-Type": SDP, "Location": "ftp://x/"}, "v=0"), "not safe to follow"),
        ((201, {"Content-Type": "text/plain", "Location": "/whip/session/9"}, "v=0"), "not application/sdp"),
        ((201, {"Content-Type": SDP, "Location": "/whip/session/9"}, "v=0"), "cannot be used"),
        ((201, {"Content-Type": SDP, "Location": "/whip/session/9"}, "x" * (MAX_BODY + 1)), "more than"),
        ((406, {"Content-Type": SDP, "Location": "/whip/session/9"}, ANSWER), "refused to publish: 406"),
        ((400, {}, "x" * 1000), "x" * MAX_ERROR_TEXT),
    ],
    ids=range(13),
)
async def test_refusals(answer, message, server):
    server.answer = answer
    error = await refused(server)
    assert message in str(error)
    assert len(str(error)) < MAX_ERROR_TEXT + 200
    assert error.status in {answer[0], None}
    assert error.retry_after == (7 if answer[0] == 503 else None)


async def test_nobody_publishes_yet(server):
    error = await refused(server, "whep")
    assert (error.status, error.retry_after) == (409, 1)
    assert "nobody publishes" in str(error)


async def test_nobody_is_there():
    async with WhipClient("http://127.0.0.1:9/whip") as client:
        with pytest.raises(WhipError, match="cannot be reached") as caught:
            await client.publish(pattern())
        assert caught.value.status is None


async def test_somebody_who_says_nothing():
    async def silent(_reader, _writer):
        await asyncio.sleep(30)

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, WhipClient(f"http://127.0.0.1:{port}/whip", timeout=0.2) as client:
        with pytest.raises(WhipError, match=r"gave no answer within 0\.2 s"):
            await client.publish(pattern())


async def test_it_takes_too_long(server):
    async with publishing(server) as client:
        with pytest.raises(WhipError, match="not connected after 0 s"):
            await client.wait_connected(0)


@pytest.mark.parametrize("url", ["", "ftp://x/", "example.org/whip", "http://", "https:///whip", "http://[x/"])
async def test_urls_that_are_none(url):
    with pytest.raises(LocalError):
        WhipClient(url)


async def test_misuse(server):
    with pytest.raises(LocalError, match="visible ASCII"):
        WhipClient("http://127.0.0.1/", token="a\r\nb: c")
    async with WhipClient(f"{server.url}/whip") as client:
        for call in (client.restart(), client.wait_connected(), client.connection_ended()):
            with pytest.raises(LocalError):
                await call
        for tracks in ([], [pattern(), pattern()]):
            with pytest.raises(LocalError):
                await client.publish(*tracks)
        assert server.requests == []
        await client.publish(pattern())
        with pytest.raises(LocalError, match="one session"):
            await client.publish(pattern())
    async with WhepClient(f"{server.url}/whep") as player:
        for kinds in (["text"], ["audio", "audio"]):
            with pytest.raises(LocalError):
                await player.play(*kinds)


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a>", [Link("a")]),
        ('<a>;rel=x , < b > ; REL="y z"', [Link("a", {"rel": "x"}), Link("b", {"rel": "y z"})]),
        ('<a>; x="1,2;3<4>"; y', [Link("a", {"x": "1,2;3<4>", "y": ""})]),
        ("<a>; x=1; x=2", [Link("a", {"x": "1"})]),
        ('<a>; x = "\\"q\\\\"', [Link("a", {"x": '"q\\'})]),
        ("; x=1, nonsense", []),
        ("", []),
        ('<a>; x="', [Link("a", {"x": ""})]),
    ],
)
def test_links(text, expected):
    assert parse_links([text]) == expected


def test_links_are_bounded():
    assert len(parse_links([", ".join(["<a>"] * (MAX_LINKS + 1))])) == MAX_LINKS
    assert len(parse_links(["<a>"] * (MAX_LINKS + 1))) == MAX_LINKS


@pytest.mark.parametrize(
    "link",
    [
        '<https://example.org/>; rel="ice-server"',
        "<stun:192.0.2.1>",
        '<turn:192.0.2.1>; rel="ice-server"; username="u"; credential="c"; credential-type="oauth"',
        '<turn:a b>; rel="ice-server"',
    ],
)
def test_links_that_are_no_servers(link):
    assert ice_servers([link]) == []


def test_several_relations():
    assert ice_servers(['<STUN:192.0.2.1>; rel="x ICE-SERVER"']) == [RTCIceServer("STUN:192.0.2.1")]
