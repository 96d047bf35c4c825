"""W3C WebRTC, section by section: states, the order of events, and what is raised where.

Sections are those of https://www.w3.org/TR/webrtc/ of 2024.
"""

import asyncio
import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    OperationError,
    RTCCertificate,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
    SdpSyntaxError,
)
from stack.aio.interfaces import AddressPolicy, local_addresses
from stack.aio.udp import UdpSocket
from tests.support.waiting import until

from .support import Camera, negotiate, server_that_answers

pytestmark = pytest.mark.timeout(30)

ATTRIBUTES = {
    "signalingstatechange": "signalingState",
    "icegatheringstatechange": "iceGatheringState",
    "iceconnectionstatechange": "iceConnectionState",
    "connectionstatechange": "connectionState",
}
EVENTS = (*ATTRIBUTES, "negotiationneeded", "icecandidate", "track", "datachannel")
UNKNOWN = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host"


def of_servers(*urls):
    return RTCConfiguration(iceServers=[RTCIceServer(url) for url in urls])


def record(pc):
    """What a connection tells, in order, with what the attribute of that name says at that moment."""
    told = []
    for name in EVENTS:

        def heard(*args, name=name):
            state = getattr(pc, ATTRIBUTES[name]) if name in ATTRIBUTES else None
            if name == "icecandidate":
                state = "end" if args[0] is None else "candidate"
                if told[-1:] == [(name, state)]:
                    return  # as many as this machine has addresses
            told.append((name, state))

        pc.on(name, heard)
    return told


class TestOrderOfEvents:
    """Sections 4.4.1 (states), 4.4.1.5 (setting a description), 4.8 (candidates), 6.2 (channels)."""

    async def test_of_who_offers(self, pair):
        a, b = pair
        told = record(a)
        a.addTrack(Camera())
        channel = a.createDataChannel("x")
        channel.on("open", lambda: told.append(("open", channel.readyState)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == [("negotiationneeded", None)]
        await a.setLocalDescription()
        assert told[1:] == [("signalingstatechange", "have-local-offer")]
        await until(lambda: a.iceGatheringState == "complete")
        assert told[2:] == [
            ("icegatheringstatechange", "gathering"),
            ("icecandidate", "candidate"),
            ("icecandidate", "end"),
            ("icegatheringstatechange", "complete"),
        ]
        b.addTrack(Camera())
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        del told[:]
        await a.setRemoteDescription(b.localDescription)
        assert told[:2] == [("signalingstatechange", "stable"), ("track", None)]
        await until(lambda: channel.readyState == "open")
        assert told[2:5] == [
            ("iceconnectionstatechange", "checking"),
            ("connectionstatechange", "connecting"),
            ("iceconnectionstatechange", "connected"),
        ]
        await until(lambda: ("iceconnectionstatechange", "completed") in told)
        assert sorted(told[5:]) == [
            ("connectionstatechange", "connected"),
            ("iceconnectionstatechange", "completed"),
            ("open", "open"),
        ]
        assert told.index(("connectionstatechange", "connected")) < told.index(("open", "open"))

    async def test_of_who_answers(self, pair):
        a, b = pair
        told, channels = record(b), []

        @b.on("datachannel")
        def announced(channel):
            channels.append(channel.readyState)
            channel.on("open", lambda: told.append(("open", None)))

        a.addTrack(Camera())
        a.createDataChannel("x")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        assert told == [("signalingstatechange", "have-remote-offer"), ("track", None)]
        await b.setLocalDescription()
        assert told[2:3] == [("signalingstatechange", "stable")]
        assert ("icegatheringstatechange", "gathering") not in told
        await a.setRemoteDescription(b.localDescription)
        await until(lambda: ("open", None) in told)
        assert channels == ["open"]
        assert told.index(("datachannel", None)) < told.index(("open", None))
        assert told.index(("connectionstatechange", "connected")) < told.index(("datachannel", None))
        gathering = [entry for entry in told if entry[0] in {"icegatheringstatechange", "icecandidate"}]
        assert [state for _, state in gathering] == ["gathering", "candidate", "end", "complete"]
        assert ("negotiationneeded", None) not in told

    async def test_an_attribute_says_what_its_event_has_told(self, pair):
        """An offer that crosses ours: W3C has two changes, and the attribute is right in both handlers."""
        a, b = pair
        a.createDataChannel("x")
        b.createDataChannel("x")
        await a.setLocalDescription()
        await b.setLocalDescription()
        told = record(a)
        await a.setRemoteDescription(b.localDescription)
        assert told[:2] == [("signalingstatechange", "stable"), ("signalingstatechange", "have-remote-offer")]

    async def test_negotiationneeded_comes_once_for_a_turn_and_again_when_stable(self, pair):
        """Section 4.7.3: several changes are one event; what happens in between is looked at in the state stable."""
        a, b = pair
        told = []
        a.on("negotiationneeded", lambda: told.append(a.signalingState))
        a.addTrack(Camera())
        a.addTransceiver("audio")
        a.createDataChannel("x")
        await asyncio.sleep(0.01)
        assert told == ["stable"]
        await a.setLocalDescription()
        a.addTransceiver("video")
        await asyncio.sleep(0.01)
        assert told == ["stable"]
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await asyncio.sleep(0.01)
        assert told == ["stable", "stable"]
        await negotiate(a, b)
        await asyncio.sleep(0.01)
        assert told == ["stable", "stable"]

    async def test_an_exception_in_a_handler_holds_nothing_up(self, pair):
        a, b = pair
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        for name in ("signalingstatechange", "icecandidate", "connectionstatechange"):
            a.on(name, lambda *_: 1 / 0)
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: channel.readyState == "open")
        assert reported
        assert all(isinstance(error, ZeroDivisionError) for error in reported)


class TestConfiguration:
    """Sections 4.4.1.6 and 4.4.1.7, setConfiguration and getConfiguration."""

    async def test_what_was_given_can_be_read_and_is_a_copy(self):
        async with RTCPeerConnection(RTCConfiguration(bundlePolicy="max-bundle")) as pc:
            pc.getConfiguration().iceServers.append(RTCIceServer("stun:192.0.2.1"))
            assert pc.getConfiguration() == RTCConfiguration(bundlePolicy="max-bundle")

    @pytest.mark.parametrize(
        "change",
        [{"bundlePolicy": "max-compat"}, {"certificates": [RTCCertificate.generate()]}, {"iceTcp": True}],
        ids=lambda change: next(iter(change)),
    )
    async def test_what_is_fixed_cannot_change(self, change):
        async with RTCPeerConnection() as pc:
            before = pc.getConfiguration()
            with pytest.raises(InvalidModificationError, match=next(iter(change))):
                pc.setConfiguration(dataclasses.replace(before, **change))
            assert pc.getConfiguration() == before

    async def test_certificates_that_are_not_given_stay(self):
        certificate = RTCCertificate.generate()
        async with RTCPeerConnection(RTCConfiguration(certificates=[certificate])) as pc:
            pc.setConfiguration(RTCConfiguration(iceServers=[RTCIceServer("stun:192.0.2.1")]))
            assert pc.getConfiguration().certificates == [certificate]

    async def test_a_server_that_is_none_is_refused_and_changes_nothing(self):
        async with RTCPeerConnection() as pc:
            for server, error in (
                (RTCIceServer("http://example.org"), SdpSyntaxError),
                (RTCIceServer("turn:example.org"), InvalidAccessError),
            ):
                with pytest.raises(error):
                    pc.setConfiguration(RTCConfiguration(iceServers=[server]))
            assert pc.getConfiguration().iceServers == []

    async def test_only_relays_from_the_first_gathering_on(self):
        async with RTCPeerConnection() as pc:
            pc.createDataChannel("x")
            pc.setConfiguration(RTCConfiguration(iceTransportPolicy="relay"))
            await pc.setLocalDescription()
            assert "a=candidate" not in pc.localDescription.sdp

    async def test_only_relays_from_the_next_gathering_on_and_back(self, pair):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: a.connectionState == "connected")
        for policy, offered in (("relay", False), ("all", True)):
            before = a.localDescription.sdp
            a.setConfiguration(RTCConfiguration(iceTransportPolicy=policy))
            assert a.localDescription.sdp == before
            a.restartIce()
            await a.setLocalDescription()
            assert ("a=candidate" in a.localDescription.sdp) is offered
            await b.setRemoteDescription(a.localDescription)
            await b.setLocalDescription()
            await a.setRemoteDescription(b.localDescription)
            await asyncio.sleep(0.1)
            assert a.connectionState == "connected"  # over the old path, while there is no new one

    async def test_a_server_that_is_not_named_any_more_is_not_asked(self, pair):
        a, b = pair
        loop, asked = asyncio.get_running_loop(), []
        server = UdpSocket(local_addresses(AddressPolicy(families=(4,)))[0].host, loop, asked.extend)
        a.setConfiguration(RTCConfiguration([RTCIceServer(f"stun:{server.address.host}:{server.address.port}")]))
        a.createDataChannel("x")
        gathering = loop.create_task(a.setLocalDescription())
        try:
            await until(lambda: asked)
            a.setConfiguration(RTCConfiguration())
            gathering.cancel()
            await b.setRemoteDescription(a.localDescription)
            await b.setLocalDescription()
            await a.setRemoteDescription(b.localDescription)
            a.restartIce()
            asked.clear()
            await a.setLocalDescription()
            assert a.iceGatheringState == "complete"
            assert asked == []
        finally:
            server.close()

    async def test_servers_are_asked_by_the_next_gathering(self, pair):
        a, b = pair
        loop, asked = asyncio.get_running_loop(), []
        server = UdpSocket(local_addresses(AddressPolicy(families=(4,)))[0].host, loop, asked.extend)
        a.createDataChannel("x")
        await negotiate(a, b)
        try:
            address = server.address
            given = RTCConfiguration(iceServers=[RTCIceServer(f"stun:{address.host}:{address.port}")])
            a.setConfiguration(given)
            await asyncio.sleep(0.01)
            assert asked == []
            a.restartIce()
            gathered = loop.create_task(a.setLocalDescription())
            await until(lambda: asked or gathered.done())
            assert asked, "the server was not asked"
            assert a.iceGatheringState == "gathering"
            gathered.cancel()
        finally:
            server.close()


class TestDescriptions:
    """Sections 4.4.1.5 and 4.4.2, createOffer to setRemoteDescription."""

    async def test_a_description_that_does_not_fit_the_state(self, pair):
        a, b = pair
        a.createDataChannel("x")
        with pytest.raises(InvalidStateError, match="stable"):
            await a.createAnswer()
        with pytest.raises(InvalidStateError, match="stable"):
            await a.setLocalDescription(RTCSessionDescription("", "answer"))
        with pytest.raises(InvalidStateError, match="rollback"):
            await a.setLocalDescription(RTCSessionDescription("", "rollback"))
        await a.setLocalDescription()
        with pytest.raises(InvalidStateError, match="answer"):
            await b.setRemoteDescription(RTCSessionDescription(a.localDescription.sdp, "answer"))
        await b.setRemoteDescription(a.localDescription)
        with pytest.raises(InvalidStateError, match="have-remote-offer"):
            await b.createOffer()
        assert (a.signalingState, b.signalingState) == ("have-local-offer", "have-remote-offer")

    @pytest.mark.parametrize("kind", ["offer", ""])
    async def test_an_empty_text_is_created(self, pair, kind):
        a, b = pair
        a.createDataChannel("x")
        await a.setLocalDescription(RTCSessionDescription("", kind) if kind else None)
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(RTCSessionDescription("", "answer") if kind else None)
        assert (a.localDescription.type, b.localDescription.type) == ("offer", "answer")

    async def test_a_description_as_json(self, pair):
        """Section 4.7.1, toJSON."""
        a, b = pair
        a.createDataChannel("x")
        await a.setLocalDescription()
        message = json.loads(json.dumps(a.localDescription.toJSON()))
        assert sorted(message) == ["sdp", "type"]
        await b.setRemoteDescription(RTCSessionDescription(**message))
        assert b.signalingState == "have-remote-offer"

    async def test_a_description_that_was_changed_is_refused(self, pair):
        a, _ = pair
        a.createDataChannel("x")
        offer = await a.createOffer()
        with pytest.raises(InvalidModificationError):
            await a.setLocalDescription(RTCSessionDescription(offer.sdp.replace("9 UDP", "8 UDP"), "offer"))
        assert a.signalingState == "stable"
        await a.setLocalDescription(offer)
        assert a.signalingState == "have-local-offer"

    async def test_an_offer_that_crosses_ours_rolls_it_back(self, pair):
        a, b = pair
        a.createDataChannel("x")
        b.createDataChannel("x")
        await a.setLocalDescription()
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        assert a.signalingState == "have-remote-offer"
        assert a.pendingLocalDescription is None
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await until(lambda: a.connectionState == b.connectionState == "connected")

    async def test_what_is_no_description_rolls_nothing_back(self, pair):
        a, _ = pair
        a.createDataChannel("x")
        await a.setLocalDescription()
        with pytest.raises(SdpSyntaxError, match="line 1"):
            await a.setRemoteDescription(RTCSessionDescription("nonsense", "offer"))
        assert a.signalingState == "have-local-offer"

    async def test_create_offer_with_ice_restart(self, pair):
        """Section 4.4.4.1, RTCOfferOptions."""
        a, b = pair
        a.createDataChannel("x")
        first = await a.createOffer(iceRestart=True)  # nothing to restart yet
        assert first.sdp.count("a=ice-ufrag") == 1
        await negotiate(a, b)
        ufrag = a.sctp.transport.transport.getLocalParameters().usernameFragment
        assert f"a=ice-ufrag:{ufrag}" in (await a.createOffer()).sdp
        assert f"a=ice-ufrag:{ufrag}" not in (await a.createOffer(iceRestart=True)).sdp

    async def test_restart_ice_asks_for_negotiation_once_and_survives_a_rollback(self, pair):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: a.connectionState == b.connectionState == "connected")
        told = []
        a.on("negotiationneeded", lambda: told.append(a.signalingState))
        a.restartIce()
        a.restartIce()
        await asyncio.sleep(0.01)
        assert told == ["stable"]
        old = a.currentLocalDescription.sdp
        await a.setLocalDescription()
        new = a.localDescription.sdp
        await a.setLocalDescription(RTCSessionDescription("", "rollback"))
        await asyncio.sleep(0.01)
        assert told == ["stable", "stable"]
        await negotiate(a, b)
        assert len({text.partition("a=ice-ufrag:")[2][:4] for text in (old, new, a.localDescription.sdp)}) == 3
        await asyncio.sleep(0.05)
        assert a.connectionState == "connected"
        assert told == ["stable", "stable"]


class TestCandidates:
    """Section 4.4.2, addIceCandidate."""

    async def test_before_there_is_a_remote_description(self, pair):
        for candidate in (None, RTCIceCandidate(UNKNOWN, "0")):
            with pytest.raises(InvalidStateError, match="remote description"):
                await pair[0].addIceCandidate(candidate)

    @pytest.mark.parametrize(
        ("candidate", "words"),
        [
            (RTCIceCandidate(UNKNOWN, "7"), "no section '7'"),
            (RTCIceCandidate(UNKNOWN, None, 3), "none at 3"),
            (RTCIceCandidate(UNKNOWN, None, -1), "none at -1"),
            (RTCIceCandidate(UNKNOWN, "0", None, "nobody"), "ufrag 'nobody'"),
            (RTCIceCandidate(UNKNOWN, None, None, "nobody"), "ufrag 'nobody'"),
        ],
    )
    async def test_of_another_section_or_generation(self, pair, candidate, words):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        before = len(a.iceReport().remote_candidates)
        with pytest.raises(OperationError, match=words):
            await a.addIceCandidate(candidate)
        assert len(a.iceReport().remote_candidates) == before

    @pytest.mark.parametrize("given", [(UNKNOWN, "0"), (UNKNOWN, None, 0), (UNKNOWN,), (UNKNOWN, "0", 5)])
    async def test_the_section_is_named_by_either_or_not_at_all(self, pair, given):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        await a.addIceCandidate(RTCIceCandidate(*given))
        assert "192.0.2.1" in [candidate.host for candidate in a.iceReport().remote_candidates]

    @pytest.mark.parametrize("end", [None, RTCIceCandidate(), RTCIceCandidate("", "0")])
    async def test_the_end(self, pair, end):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        await a.addIceCandidate(end)
        assert a.iceReport().remote_ended

    async def test_a_server_whose_name_is_not_known(self):
        """Section 4.8.3, RTCPeerConnectionIceErrorEvent."""
        servers = [RTCIceServer("stun:no-such-host.invalid:3478")]
        async with RTCPeerConnection(RTCConfiguration(iceServers=servers)) as pc:
            failures = []
            pc.on("icecandidateerror", failures.append)
            pc.createDataChannel("x")
            await pc.setLocalDescription()
            (failure,) = failures
            assert (failure.url, failure.errorCode) == ("stun:no-such-host.invalid:3478", 701)
            assert failure.errorText
            assert pc.iceGatheringState == "complete"

    async def test_a_stun_server_that_refuses(self):
        """Section 4.8.3: with the code that it answered, and from where it was asked."""
        async with server_that_answers(400) as url, RTCPeerConnection(of_servers(url)) as pc:
            failures = []
            pc.on("icecandidateerror", failures.append)
            pc.createDataChannel("x")
            await pc.setLocalDescription()
            hosts = {candidate.host for candidate in pc.iceReport().local_candidates if ":" not in candidate.host}
            assert {(failure.url, failure.errorCode, failure.address) for failure in failures} == {
                (url, 400, host) for host in hosts
            }
            assert failures[0].errorText == "error response"
            assert failures[0].port

    async def test_one_of_the_generation_before_a_restart_is_no_error(self, pair):
        a, b = pair
        a.createDataChannel("x")
        await negotiate(a, b)
        ufrag = b.sctp.transport.transport.getLocalParameters().usernameFragment
        b.restartIce()
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await a.addIceCandidate(RTCIceCandidate(UNKNOWN, "0", None, ufrag))
        assert "192.0.2.1" not in [candidate.host for candidate in a.iceReport().remote_candidates]
        assert a._machine.dropped["candidate-of-another-generation"] == 1


class TestClosed:
    """Section 4.4.2, close."""

    async def test_states_and_events(self, pair):
        a, b = pair
        a.addTrack(Camera())
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: channel.readyState == "open")
        told = record(a)
        (transceiver,) = a.getTransceivers()
        await a.close()
        await a.close()
        assert (a.signalingState, a.iceConnectionState, a.connectionState) == ("closed",) * 3
        assert (transceiver.direction, transceiver.currentDirection, transceiver.stopped) == ("stopped",) * 2 + (True,)
        assert channel.readyState == "closed"
        assert told == []
        assert (await a.getStats())["P"]["dataChannelsOpened"] == 1
        assert a.localDescription.type == "offer"
        assert a.explain().startswith("peer connection: closed")
        a.restartIce()
        assert told == []
        await until(lambda: b.connectionState == "closed")
        assert b.signalingState == "stable"

    @pytest.mark.parametrize(
        "call",
        [
            lambda pc: pc.createOffer(),
            lambda pc: pc.createAnswer(),
            lambda pc: pc.setLocalDescription(),
            lambda pc: pc.setRemoteDescription(RTCSessionDescription("", "offer")),
            lambda pc: pc.addIceCandidate(None),
            lambda pc: pc.addIceCandidate(RTCIceCandidate(UNKNOWN, "0")),
            lambda pc: pc.createDataChannel("x"),
            lambda pc: pc.addTrack(Camera()),
            lambda pc: pc.addTransceiver("video"),
            lambda pc: pc.removeTrack(pc.getSenders()[0]),
            lambda pc: pc.getSenders()[0].replaceTrack(None),
            lambda pc: pc.getTransceivers()[0].stop(),
            lambda pc: pc.getTransceivers()[0].setCodecPreferences([]),
            lambda pc: setattr(pc.getTransceivers()[0], "direction", "sendonly"),
            lambda pc: pc.setConfiguration(RTCConfiguration()),
            lambda pc: pc.getSenders()[0].setParameters(pc.getSenders()[0].getParameters()),
        ],
    )
    async def test_nothing_more_can_be_asked_for(self, call):
        pc = RTCPeerConnection()
        pc.addTransceiver("video")
        await pc.close()
        with pytest.raises(InvalidStateError):
            await outcome(call, pc)

    @pytest.mark.parametrize("moment", ["new", "gathering", "offered", "checking", "handshake", "connected"])
    async def test_nothing_is_left_whenever_it_comes(self, moment):
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        await loop.getaddrinfo("127.0.0.1", 1)  # the loop's own thread for names stays
        async with RTCPeerConnection() as warm:  # what is made once for a process
            warm.createDataChannel("x")
            await warm.setLocalDescription()
        await asyncio.sleep(0)
        before = left()
        servers = [RTCIceServer("stun:192.0.2.1")] if moment == "gathering" else []
        a, b = RTCPeerConnection(RTCConfiguration(iceServers=servers)), RTCPeerConnection()
        a.createDataChannel("x")
        a.addTrack(Camera())
        if moment == "gathering":
            a.on("icecandidate", lambda _: None)
            await a.setLocalDescription()
            await asyncio.sleep(0.02)
            assert a.iceGatheringState == "gathering"
        elif moment != "new":
            await a.setLocalDescription()
        found = asyncio.Event()
        a.on("iceconnectionstatechange", lambda: a.iceConnectionState == "connected" and found.set())
        if moment in {"checking", "handshake", "connected"}:
            await b.setRemoteDescription(a.localDescription)
            await b.setLocalDescription()
            await a.setRemoteDescription(b.localDescription)
        if moment == "handshake":
            await found.wait()
            assert a.connectionState == "connecting"
        if moment == "connected":
            await until(lambda: a.connectionState == b.connectionState == "connected")
        begun = loop.time()
        await a.close()
        await b.close()
        assert loop.time() - begun < 1
        await asyncio.sleep(0)  # a transport that is closed goes with the next turn
        await asyncio.sleep(0)
        assert left() == before

    async def test_whoever_waits_for_candidates_goes_on(self):
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer("stun:192.0.2.1")]))
        pc.createDataChannel("x")
        waiting = asyncio.get_running_loop().create_task(pc.setLocalDescription())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await pc.close()
        await waiting
        assert pc.localDescription.type == "offer"


async def outcome(call, pc):
    result = call(pc)
    if asyncio.iscoroutine(result):
        await result


def left():
    """What a process has: tasks, threads, descriptors, armed timers."""
    loop = asyncio.get_running_loop()
    timers = [handle for handle in getattr(loop, "_scheduled", []) if not handle.cancelled()]
    ours = [handle for handle in timers if "stack" in repr(handle)]
    return len(asyncio.all_tasks()), threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), len(ours)
