"""HTTP and signaling against a fake peer connection: who gets the seat, and that nothing a visitor sends hurts."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from stack.car import driver as driver_module
from stack.car import server as server_module
from stack.car.driver import MAX_CANDIDATES, MAX_TELEMETRY_BUFFERED
from stack.car.messages import MAX_MESSAGE
from stack.car.physics import SAFE
from stack.car.server import MAX_BAD_MESSAGES, MAX_OUTBOX, MAX_VISITORS, CarServer, Settings
from stack.car.simulation import Simulation
from stack.car.track import Track
from tests.support.waiting import until

from .fakes import FakeChannel, FakePeer, FakeTrack
from .support import FULL_AHEAD, datagram

TRACK = Track()
OFFER = {"type": "offer", "sdp": "v=0"}


class Garage:
    """A server with fake peers, and what became of them."""

    def __init__(self, settings):
        self.peers, self.reports = [], []
        self.simulation = Simulation(TRACK)
        self.server = CarServer(self.simulation, self._create, settings, self._report)

    def _create(self):
        self.peers.append(FakePeer())
        return self.peers[-1], FakeTrack()

    def _report(self, event, **fields):
        self.reports.append((event, fields))

    def reported(self, event):
        return [fields for name, fields in self.reports if name == event]


@pytest.fixture
def settings():
    return Settings()


@pytest.fixture
async def garage(settings):
    return Garage(settings)


@pytest.fixture
async def client(garage):
    async with TestClient(TestServer(garage.server.application())) as client:
        yield client


async def visit(client, *, path="/ws", **kwargs):
    socket = await client.ws_connect(path, **kwargs)
    assert (await receive(socket))["type"] == "hello"
    return socket


async def receive(socket):
    return json.loads(await socket.receive_str(timeout=5))


async def receive_until(socket, kind):
    while (message := await receive(socket))["type"] != kind:
        pass
    return message


async def take_seat(client):
    socket = await visit(client)
    await socket.send_json(OFFER)
    await receive_until(socket, "answer")
    return socket


# --- HTTP ------------------------------------------------------------------------------------------------------------


async def test_the_page_and_its_files(client):
    page = await client.get("/")
    assert page.status == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    text = await page.text()
    for name in ("style.css", "main.js", "icon.svg"):
        assert f"static/{name}" in text
        assert (await client.get(f"/static/{name}")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/etc/passwd",
        "/static/",
    ],
)
async def test_nothing_else_is_served(client, path):
    from yarl import URL

    assert (await client.get(URL(path, encoded=True))).status == 404


async def test_no_file_of_the_page_needs_the_internet(client):
    for name in (
        "index.html",
        "style.css",
        "main.js",
        "connection.js",
        "hud.js",
        "input.js",
        "dashboard.js",
        "command.js",
    ):
        text = await (await client.get(f"/static/{name}")).text()
        assert "https://" not in text
        assert "http://" not in text


async def test_state(client):
    state = await (await client.get("/state")).json()
    assert state["driver"] is False
    assert state["stopped"] is True


async def test_another_sites_page_is_refused(client):
    assert (await client.get("/state", headers={"Origin": "http://evil.example"})).status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect("/ws", headers={"Origin": "http://evil.example"})
    assert caught.value.status == 403
    assert (await client.get("/state", headers={"Origin": "null"})).status == 403


@pytest.mark.parametrize("headers", [{"Origin": "http://["}, {"Host": "["}])
async def test_malformed_headers_are_refused(client, headers):
    assert (await client.get("/state", headers=headers)).status == 400


async def test_our_own_page_is_not(client):
    socket = await visit(client, headers={"Origin": f"http://127.0.0.1:{client.port}"})
    await socket.close()


async def test_without_a_token_a_rebound_name_is_refused(client):
    assert (await client.get("/", headers={"Host": "evil.example"})).status == 403
    assert (await client.get("/", headers={"Host": "localhost:1"})).status == 200
    assert (await client.get("/", headers={"Host": "[::1]:1"})).status == 200


class TestToken:
    @pytest.fixture
    def settings(self):
        return Settings(token="s3cret")

    @pytest.mark.parametrize("query", ["", "?token=", "?token=S3cret", "?token=s3cret2", "?token=%ff%fe"])
    async def test_a_wrong_one_is_told_and_closed(self, client, garage, query):
        socket = await client.ws_connect(f"/ws{query}")
        assert (await receive(socket))["reason"] == "bad-token"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4401
        assert (await client.get(f"/state{query}")).status == 403
        assert garage.peers == []

    async def test_the_right_one_enters_under_any_name(self, client):
        socket = await visit(client, path="/ws?token=s3cret", headers={"Host": "car.lan"})
        await socket.close()
        assert (await client.get("/state?token=s3cret")).status == 200


# --- signaling -------------------------------------------------------------------------------------------------------


async def test_hello_tells_the_page_what_it_needs(client):
    socket = await client.ws_connect("/ws")
    hello = await receive(socket)
    assert hello["busy"] is False
    assert hello["codec"] == "H264"
    assert hello["iceServers"] == []
    assert len(hello["track"]) > 50


async def test_an_offer_is_answered_and_candidates_trickle_both_ways(client, garage):
    socket = await visit(client)
    await socket.send_json(OFFER)
    kinds = [await receive(socket) for _ in range(3)]
    assert {"type": "answer", "sdp": "v=0 the answer"} in kinds
    assert {"type": "candidate", "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0} in kinds
    assert {"type": "candidate", "candidate": None} in kinds
    await socket.send_json({"type": "candidate", "candidate": "candidate:9", "sdpMid": "0"})
    await socket.send_json({"type": "candidate", "candidate": None})
    await until(lambda: len(garage.peers[0].candidates) == 2)
    assert garage.peers[0].candidates[0].candidate == "candidate:9"
    assert garage.peers[0].candidates[1] is None
    assert garage.simulation.failsafe.in_session


async def test_commands_reach_the_failsafe_and_telemetry_flows_back(client, garage, monkeypatch):
    monkeypatch.setattr(driver_module, "TELEMETRY_INTERVAL", 0.005)
    socket = await take_seat(client)
    controls, telemetry = FakeChannel("controls"), FakeChannel("telemetry")
    peer, failsafe = garage.peers[0], garage.simulation.failsafe
    peer.fire("datachannel", controls)
    peer.fire("datachannel", telemetry)
    peer.fire("datachannel", FakeChannel("something else"))
    now = asyncio.get_running_loop().time()
    controls.listeners["message"](datagram(1, now))
    assert failsafe.controls == FULL_AHEAD
    controls.listeners["message"]("text")
    assert failsafe.dropped == {"bad-size": 1}
    await until(lambda: len(telemetry.sent) > 2)
    assert json.loads(telemetry.sent[-1])["throttle"] == 1.0
    telemetry.bufferedAmount = MAX_TELEMETRY_BUFFERED + 1
    await asyncio.sleep(0.02)
    seen = len(telemetry.sent)
    await asyncio.sleep(0.03)
    assert len(telemetry.sent) == seen
    await socket.close()
    await until(lambda: peer.closed)
    assert failsafe.controls == SAFE
    controls.listeners["message"](datagram(2, now))
    assert failsafe.controls == SAFE


BAD = {
    "nonsense": "bad-json",
    "[]": "not-an-object",
    '{"type": "dance"}': "unknown-type",
    '{"type": "offer", "sdp": 5}': "bad-offer",
    '{"type": "offer", "sdp": "rubbish"}': "bad-offer",
    '{"type": "candidate", "candidate": 5}': "bad-candidate",
    '{"type": "candidate", "candidate": "candidate:1", "sdpMid": "0"}': "no-offer",
}


@pytest.mark.parametrize(("text", "reason"), BAD.items())
async def test_what_is_wrong_is_answered_and_the_server_lives_on(client, garage, text, reason):
    socket = await visit(client)
    await socket.send_str(text)
    assert (await receive_until(socket, "error"))["reason"] == reason
    await socket.send_json(OFFER)
    await receive_until(socket, "answer")


async def test_a_bad_candidate_after_an_offer_does_not_end_the_drive(client, garage):
    socket = await take_seat(client)
    await socket.send_json({"type": "candidate", "candidate": "bad", "sdpMid": "0"})
    assert (await receive_until(socket, "error"))["reason"] == "bad-candidate"
    assert not garage.peers[0].closed


async def test_an_offer_that_cannot_be_used_frees_the_seat(client, garage):
    socket = await visit(client)
    await socket.send_json({"type": "offer", "sdp": "rubbish"})
    assert (await receive_until(socket, "error"))["reason"] == "bad-offer"
    assert garage.peers[0].closed
    other = await take_seat(client)
    await other.close()


async def test_binary_messages_are_refused(client):
    socket = await visit(client)
    await socket.send_bytes(b"\x00")
    assert (await receive_until(socket, "error"))["reason"] == "not-text"


async def test_a_message_beyond_the_limit_ends_that_websocket_only(client):
    socket = await visit(client)
    await socket.send_str("x" * (MAX_MESSAGE + 1))
    assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    other = await visit(client)
    await other.close()


async def test_too_many_bad_messages_end_that_websocket(client, garage):
    socket = await visit(client)
    for _ in range(MAX_BAD_MESSAGES + 1):
        await socket.send_str("{")
    for _ in range(MAX_BAD_MESSAGES + 1):
        message = await socket.receive(timeout=5)
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
    else:
        message = await socket.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert len(garage.reported("message-refused")) == MAX_BAD_MESSAGES + 1


async def test_too_many_candidates_are_ignored(client, garage):
    socket = await take_seat(client)
    for _ in range(MAX_CANDIDATES + 5):
        await socket.send_json({"type": "candidate", "candidate": "candidate:1", "sdpMid": "0"})
    await socket.send_str("{")
    await receive_until(socket, "error")
    assert len(garage.peers[0].candidates) == MAX_CANDIDATES


async def test_too_many_visitors_are_told(client):
    sockets = [await visit(client) for _ in range(MAX_VISITORS)]
    extra = await client.ws_connect("/ws")
    assert (await receive(extra))["reason"] == "too-many-visitors"
    assert (await extra.receive()).type is aiohttp.WSMsgType.CLOSE
    await sockets[0].close()
    await asyncio.sleep(0.02)
    again = await visit(client)
    for socket in [*sockets, again]:
        await socket.close()


async def test_a_visitor_who_does_not_read_fills_his_own_outbox_only():
    visitor = server_module._Visitor(socket=None)
    for number in range(MAX_OUTBOX + 10):
        visitor.send({"number": number})
    assert visitor.outbox.qsize() == MAX_OUTBOX


# --- the seat --------------------------------------------------------------------------------------------------------


async def test_the_first_keeps_the_seat_and_the_second_gets_it_when_it_is_free(client, garage):
    first = await take_seat(client)
    second = await visit(client)
    await second.send_json(OFFER)
    assert "driving" in (await receive_until(second, "busy"))["message"]
    assert len(garage.peers) == 1
    await first.close()
    assert await receive_until(second, "seat-free")
    await second.send_json(OFFER)
    await receive_until(second, "answer")
    assert garage.peers[0].closed
    assert garage.simulation.failsafe.in_session


async def test_a_visitor_is_told_at_once_that_the_car_is_busy(client):
    await take_seat(client)
    socket = await client.ws_connect("/ws")
    assert (await receive(socket))["busy"] is True


async def test_bye_frees_the_seat(client, garage):
    first = await take_seat(client)
    await first.send_json({"type": "bye"})
    await until(lambda: garage.reported("driver-gone") == [{"reason": "bye"}])
    assert garage.peers[0].closed
    await take_seat(client)


async def test_a_silent_driver_loses_the_seat_to_who_asks(client, garage, monkeypatch):
    first = await take_seat(client)
    monkeypatch.setattr(server_module, "SILENT_SEAT", 0.0)
    second = await visit(client)
    await second.send_json(OFFER)
    await receive_until(second, "answer")
    assert (await receive_until(first, "bye"))["reason"] == "silent"
    assert [peer.closed for peer in garage.peers] == [True, False]
    assert garage.simulation.failsafe.in_session


@pytest.mark.parametrize("state", ["failed", "closed"])
async def test_a_connection_that_failed_frees_the_seat_and_stops_the_car(client, garage, state):
    socket = await take_seat(client)
    garage.peers[0].become("connected")
    garage.peers[0].become(state)
    assert (await receive_until(socket, "bye"))["reason"] == f"connection-{state}"
    await until(lambda: garage.peers[0].closed)
    assert not garage.simulation.failsafe.in_session
    assert [fields["state"] for fields in garage.reported("connection-state")] == ["connected", state]


async def test_a_new_offer_of_the_driver_replaces_the_connection(client, garage):
    socket = await take_seat(client)
    await socket.send_json(OFFER)
    await receive_until(socket, "answer")
    assert [peer.closed for peer in garage.peers] == [True, False]
    garage.peers[0].become("closed")  # the old one's last words must not end the new one
    await asyncio.sleep(0.02)
    assert not garage.peers[1].closed


async def test_a_connection_that_fails_as_it_is_replaced_does_not_end_the_new_one(garage):
    class Socket:
        async def send_json(self, message):
            pass

    visitor = server_module._Visitor(Socket())
    await garage.server._take_seat(visitor, "v=0")
    garage.peers[0].become("failed")  # ends it with the next turn of the loop
    await garage.server._take_seat(visitor, "v=0")
    await asyncio.sleep(0.02)
    assert [peer.closed for peer in garage.peers] == [True, False]
    assert garage.server._seat is visitor


async def test_telemetry_that_failed_does_not_keep_the_connection_open(garage):
    class Broken(FakeChannel):
        def send(self, data):
            raise OSError("broken")

    peer, track = FakePeer(), FakeTrack()
    driver = driver_module.Driver(peer, track, garage.simulation, lambda _: None, lambda _: None)
    await driver.answer("v=0")
    peer.fire("datachannel", Broken("telemetry"))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="broken"):
        await driver.close()
    assert peer.closed
    assert track.stopped


async def test_switching_off_says_goodbye(garage):
    server = TestServer(garage.server.application())
    async with TestClient(server) as client:
        socket = await take_seat(client)
        closing = asyncio.create_task(server.close())
        assert (await receive_until(socket, "bye"))["reason"] == "car-off"
        await socket.close()
        await closing
    assert garage.peers[0].closed
    assert garage.reported("driver-gone") == [{"reason": "car-off"}]
