"""Relays, TCP, names, restarts and policies through the asyncio API, over real sockets of this machine."""

import asyncio
import logging
import ssl

import pytest

from stack import (
    InvalidAccessError,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    SdpSyntaxError,
    ice,
)
from stack.aio import AddressPolicy
from stack.aio.interfaces import local_addresses
from stack.aio.network import Server, parse_servers
from stack.aio.turn_server import Listener, TurnServer, TurnSettings
from stack.turn import ServerConfiguration
from tests.support.certificates import self_signed
from tests.support.waiting import until

from .support import negotiate, open_channel

pytestmark = pytest.mark.timeout(30)

USER, PASSWORD = "driver", "secret"


@pytest.fixture
def host():
    return next(entry.host for entry in local_addresses() if ":" not in entry.host)


@pytest.fixture
def certificate(host, tmp_path):
    """A self-signed certificate for this address, as files (certificate, key)."""
    return self_signed(tmp_path, host)


@pytest.fixture
async def turn(host, certificate):
    """Our own TURN server on an address of this machine, by every transport."""
    configuration = ServerConfiguration("example.org", (host,), {USER: PASSWORD}, allowed_peers=(f"{host}/32",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    listeners = [Listener(transport, host, 0) for transport in ("udp", "tcp", "tls")]
    server = TurnServer(TurnSettings(configuration, listeners, tls))
    await server.start()
    yield server
    await server.close()


def url(server, transport):
    at = next(listener for listener in server.addresses if listener.transport == transport)
    if transport == "tls":
        return f"turns:{at.host}:{at.port}"
    return f"turn:{at.host}:{at.port}?transport={transport}"


def through(server, transport, **options):
    servers = [RTCIceServer(url(server, transport), USER, PASSWORD)]
    return RTCConfiguration(servers, iceTransportPolicy="relay", **options)


async def echo_works(a, b):
    here, there = await open_channel(a, b)
    there.on("message", there.send)
    heard = asyncio.Queue()
    here.on("message", heard.put_nowait)
    here.send("there and back")
    assert await heard.get() == "there and back"
    return here


async def restart(a, b):
    a.restartIce()
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_only_relays_carry_it_after_a_restart_and_none_after_another(turn, certificate, transport):
    """W3C WebRTC section 4.4.1.6, RFC 8829 section 4.1.18."""
    relayed = through(turn, transport, caFile=str(certificate[0]))
    direct = RTCConfiguration(caFile=relayed.caFile)

    def path(pc):
        return pc._machine.transport.ice.selected_pair.local_candidate.type

    async with RTCPeerConnection(direct) as a, RTCPeerConnection() as b:
        channel = await echo_works(a, b)
        heard = asyncio.Queue()
        channel.on("message", heard.put_nowait)
        assert path(a) != "relay"
        for configuration, through_relay in ((relayed, True), (direct, False)):
            a.setConfiguration(configuration)
            await restart(a, b)
            await until(lambda wanted=through_relay: (path(a) == "relay") is wanted)
            channel.send("still there")
            async with asyncio.timeout(5):
                assert await heard.get() == "still there"
        await until(lambda: not a._machine.transport.path.relays)
        assert not a._driver.network._turn_streams
        assert "relay" not in a.localDescription.sdp


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_only_relays_carry_it(turn, certificate, transport):
    configuration = through(turn, transport, caFile=str(certificate[0]))
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
        await echo_works(a, b)
        for pc in (a, b):
            pair = pc._machine.transport.ice.selected_pair
            assert (pair.local_candidate.type, pair.remote_candidate.type) == ("relay", "relay")
            candidates = [line for line in pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
            assert candidates
            assert all(" typ relay raddr 0.0.0.0 rport 9" in line for line in candidates)  # nothing else is told
        assert turn.allocations >= 2
    await until(lambda: turn.allocations == 0)  # closing gives them back


async def test_a_direct_path_is_preferred_to_the_relay(turn):
    configuration = RTCConfiguration([RTCIceServer(url(turn, "udp"), USER, PASSWORD)])
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection() as b:
        await echo_works(a, b)
        await until(lambda: " typ relay " in a.localDescription.sdp)
        assert a._machine.transport.ice.selected_pair.local_candidate.type in {"host", "prflx"}


async def test_a_wrong_password_is_said_and_holds_nothing_up(turn, caplog):
    configuration = RTCConfiguration([RTCIceServer(url(turn, "udp"), USER, "wrong")])
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection() as b:
        failures = []
        a.on("icecandidateerror", failures.append)
        await echo_works(a, b)
        await until(lambda: failures)
        assert failures[0].errorCode == 401
    assert "unauthorized" in caplog.text
    assert "wrong" not in caplog.text


async def test_a_stream_that_ends_is_opened_again(turn, monkeypatch, caplog):
    monkeypatch.setattr("stack.aio.network.RECONNECT_DELAY", 0.05)
    caplog.set_level(logging.INFO)
    configuration = through(turn, "tcp")
    async with RTCPeerConnection(configuration) as a:
        a.createDataChannel("test")
        await a.setLocalDescription()
        first = [c.address for c in a._machine.transport.ice.local_candidates]
        assert len(first) == 1
        for stream in list(turn._streams.values()):
            stream.abort()
        await until(lambda: [c.address for c in a._machine.transport.ice.local_candidates] not in ([], first))
        assert "ended" in caplog.text


# Servers as they are written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stun:stun.example.org", ("stun.example.org", 3478, False, "udp")),
        ("stun:192.0.2.1:19302", ("192.0.2.1", 19302, False, "udp")),
        ("stun:[2001:db8::1]:3479", ("2001:db8::1", 3479, False, "udp")),
        ("turn:turn.example.org", ("turn.example.org", 3478, True, "udp")),
        ("turn:turn.example.org?transport=tcp", ("turn.example.org", 3478, True, "tcp")),
        ("turns:turn.example.org", ("turn.example.org", 5349, True, "tls")),
        ("turns:turn.example.org:443?transport=tcp", ("turn.example.org", 443, True, "tls")),
    ],
)
def test_server_urls(text, expected):
    (server,) = parse_servers([RTCIceServer(text, USER, PASSWORD)])
    assert (server.host, server.port, server.relay, server.protocol) == expected
    assert PASSWORD not in repr(server)


@pytest.mark.parametrize(
    "text",
    [
        "stun:192.0.2.1:99999",
        "stun:[2001:db8::1",
        "stun:",
        "http://example.org",
        "turn:example.org?transport=sctp",
        "turns:example.org?transport=udp",
    ],
)
async def test_urls_that_are_none_are_refused(text):
    with pytest.raises(SdpSyntaxError, match="ICE server"):
        RTCPeerConnection(RTCConfiguration([RTCIceServer(text, USER, PASSWORD)]))


async def test_a_turn_server_needs_credentials():
    with pytest.raises(InvalidAccessError, match="username and credential"):
        RTCPeerConnection(RTCConfiguration([RTCIceServer("turn:example.org")]))
    assert PASSWORD not in repr(RTCIceServer("turn:example.org", USER, PASSWORD))
    assert isinstance(parse_servers([RTCIceServer("stun:example.org")])[0], Server)


# Restarts


async def test_a_restart_finds_new_paths_while_data_flows():
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        here = await echo_works(a, b)
        needed = asyncio.Event()
        a.on("negotiationneeded", needed.set)
        for offerer, answerer in ((a, b), (b, a)):
            before = [pc.localDescription.sdp.split("a=ice-ufrag:")[1].split("\r")[0] for pc in (a, b)]
            offerer.restartIce()
            await asyncio.sleep(0)
            await negotiate(offerer, answerer)
            after = [pc.localDescription.sdp.split("a=ice-ufrag:")[1].split("\r")[0] for pc in (a, b)]
            assert all(one != other for one, other in zip(before, after, strict=True))
            heard = asyncio.Event()
            here.on("message", lambda _, heard=heard: heard.set())
            here.send("after the restart")
            await heard.wait()
            agents = [pc._machine.transport.ice for pc in (a, b)]
            await until(lambda agents=agents: all(agent.state in {"connected", "completed"} for agent in agents))
            assert all(pc.connectionState == "connected" for pc in (a, b))
        assert needed.is_set()


async def test_a_restart_before_the_first_negotiation_does_nothing():
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.restartIce()
        await echo_works(a, b)


# TCP, names, policies


async def test_without_udp_tcp_candidates_do(host):
    configuration = RTCConfiguration(iceTcp=True)
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
        for pc in (a, b):  # a firewall, from the first datagram on
            pc._machine.receive_batch = _without_udp(pc._machine.receive_batch)
        await echo_works(a, b)
        for pc in (a, b):
            assert pc._machine.transport.ice.selected_pair.local.transport == "tcp"


def _without_udp(receive):
    return lambda batch, now: receive([item for item in batch if item.local.transport == "tcp"], now)


@pytest.mark.alone
async def test_names_in_place_of_addresses():
    configuration = RTCConfiguration(mdnsCandidates=True)
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
        await echo_works(a, b)
        for pc in (a, b):
            lines = [line for line in pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
            assert lines
            assert all(".local " in line for line in lines)


async def test_ports_and_families_can_be_chosen():
    policy = AddressPolicy(families=(4,), ports=(42000, 42099))
    async with RTCPeerConnection(RTCConfiguration(addresses=policy)) as a:
        a.createDataChannel("test")
        await a.setLocalDescription()
        candidates = a._machine.transport.ice.local_candidates
        assert candidates
        assert all(":" not in c.host and 42000 <= c.port <= 42099 for c in candidates)


async def test_a_report_says_what_happened():
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        await echo_works(a, b)
        text = ice.explain(a.iceReport())
        assert "succeeded" in text
        assert a._machine.transport.ice.selected_pair.remote.host in text
