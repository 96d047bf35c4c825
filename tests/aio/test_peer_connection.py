"""The asyncio API over real sockets: what it reports, what it refuses, what it leaves behind."""

import asyncio
import gc
import threading

import pytest

from stack import (
    EncodedFrame,
    EncodedVideoTrack,
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    MediaStreamError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    SdpSyntaxError,
    stun,
)
from stack.aio import network_monitor
from stack.aio.data_channel import MAX_UNHEARD
from stack.aio.interfaces import local_addresses
from stack.aio.tracks import MAX_RECEIVED_FRAMES, RemoteStreamTrack
from stack.core import Address
from tests.support.waiting import until

from .support import negotiate, open_channel

pytestmark = pytest.mark.timeout(30)  # a timeout in the fixture would not reach the test, which is a task of its own


async def test_messages_that_came_before_the_listener_are_kept(pair):
    here, there = await open_channel(*pair)
    for number in range(3):
        here.send(str(number))
    await until(lambda: len(there._unheard) == 3)
    heard = asyncio.Queue()
    there.on("message", heard.put_nowait)
    here.send("3")
    assert [await heard.get() for _ in range(4)] == ["0", "1", "2", "3"]


async def test_unheard_messages_are_bounded(pair):
    _, there = await open_channel(*pair)
    for number in range(MAX_UNHEARD + 5):
        there.deliver(str(number))
    assert len(there._unheard) == MAX_UNHEARD
    assert there.dropped == 5


async def test_buffered_amount_low_fires_when_what_was_sent_has_left(pair):
    here, there = await open_channel(*pair)
    there.on("message", lambda _: None)
    low = asyncio.Event()
    here.on("bufferedamountlow", low.set)
    here.bufferedAmountLowThreshold = 1000
    here.send(bytes(500_000 // 2))
    here.send(bytes(500_000 // 2))
    assert here.bufferedAmount == 500_000
    await low.wait()
    assert here.bufferedAmount <= 1000


async def test_an_exception_in_a_handler_is_reported_and_nothing_stops(pair):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    here, there = await open_channel(*pair)

    def fails(_):
        raise ZeroDivisionError

    heard = asyncio.Queue()
    there.on("message", fails)
    here.send("one")
    await until(lambda: reported)
    assert isinstance(reported[0], ZeroDivisionError)
    there.remove_listener("message", fails)
    there.on("message", heard.put_nowait)
    here.send("two")
    assert await heard.get() == "two"


async def test_misuse_of_a_channel_says_what_is_wrong(pair):
    a, b = pair
    channel = a.createDataChannel("test")
    with pytest.raises(InvalidStateError, match="connecting"):
        channel.send("too early")
    with pytest.raises(TypeError, match="int"):
        channel.send(5)
    with pytest.raises(ValueError, match="bufferedAmountLowThreshold"):
        channel.bufferedAmountLowThreshold = -1
    await negotiate(a, b)
    await a.close()
    with pytest.raises(InvalidStateError, match="closed"):
        channel.send("too late")


async def test_malformed_signaling_is_an_error_for_the_caller_and_leaves_the_connection_usable(pair):
    a, b = pair
    with pytest.raises(SdpSyntaxError, match="line 1"):
        await a.setRemoteDescription(RTCSessionDescription("nonsense", "offer"))
    with pytest.raises(ValueError, match="type"):
        RTCSessionDescription("v=0", "question")
    here, _ = await open_channel(a, b)
    with pytest.raises(SdpSyntaxError, match="malformed candidate"):
        await a.addIceCandidate(RTCIceCandidate("candidate:nonsense"))
    assert here.readyState == "open"


async def test_candidates_are_there_in_the_first_turn():
    async with RTCPeerConnection() as pc:
        pc.createDataChannel("test")
        heard = []
        pc.on("icecandidate", heard.append)
        await pc.setLocalDescription()
        await asyncio.sleep(0)
        assert heard[-1] is None
        hosts = [entry.host for entry in local_addresses()]
        assert [candidate.address for candidate in heard[:-1]] == hosts
        candidate = heard[0]
        assert candidate.toJSON()["sdpMid"] == candidate.sdpMid == "0"
        assert (candidate.type, candidate.protocol) == ("host", "udp")
        assert pc.localDescription.sdp.count("a=candidate:") == len(hosts)


async def test_a_stun_server_is_asked_and_a_dead_one_does_not_hold_up_for_long():
    loop = asyncio.get_running_loop()
    asked = []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            asked.append(address)
            self.transport.sendto(stun.binding_response(data, Address("198.51.100.7", 4242)), address)

    host = next(entry.host for entry in local_addresses() if ":" not in entry.host)
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=(host, 0))
    url = f"stun:{host}:{transport.get_extra_info('sockname')[1]}"
    servers = [RTCIceServer([url, url]), RTCIceServer("stun:127.0.0.1:9")]  # the same one twice must do no harm
    async with RTCPeerConnection(RTCConfiguration(servers)) as pc:
        pc.createDataChannel("test")
        await pc.setLocalDescription()
        assert "198.51.100.7 4242 typ srflx" in pc.localDescription.sdp
    transport.close()
    assert asked


async def test_closing_leaves_no_socket_task_thread_or_timer(pair):
    here, there = await open_channel(*pair)
    there.on("message", lambda _: None)
    here.send("something")
    threads = threading.active_count()
    closed = asyncio.Event()
    there.on("close", closed.set)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await pair[0].close()
    await closed.wait()
    await pair[1].close()
    gc.collect()
    assert asyncio.all_tasks() - {asyncio.current_task()} <= tasks
    assert threading.active_count() <= threads
    for pc in pair:
        assert pc.connectionState == pc.signalingState == "closed"
        assert not pc._driver._timer.armed
        assert all(sock._closed for sock in pc._driver.network.sockets.values())
    assert not network_monitor._groups.get(asyncio.get_running_loop())  # with the last connection


async def test_a_failing_source_is_heard_of(pair):
    a, b = pair

    class Broken(EncodedVideoTrack):
        async def recv(self):
            raise OSError("the camera is unplugged")

    errors = asyncio.Queue()
    a.on("error", errors.put_nowait)
    a.addTrack(Broken())
    await negotiate(a, b)
    assert "unplugged" in str(await errors.get())


async def test_what_is_pushed_leaves_before_push_returns_and_a_frame_that_is_none_is_heard_of(pair):
    a, b = pair
    errors, connected = asyncio.Queue(), asyncio.Event()
    a.on("error", errors.put_nowait)
    a.on("connectionstatechange", lambda: a.connectionState == "connected" and connected.set())
    track = EncodedVideoTrack("video/VP8")
    a.addTrack(track)
    await negotiate(a, b)
    await asyncio.wait_for(connected.wait(), 5)
    before = a._machine.packets_sent
    track.push(EncodedFrame(b"\x10\x02\x00\x9d\x01\x2a" + bytes(300), 0, keyframe=True))
    assert a._machine.packets_sent > before
    track.push(EncodedFrame(b"", 900))  # the pusher is not the one to be told
    assert "bytes" in str(await asyncio.wait_for(errors.get(), 5))


async def test_the_encoder_hears_of_key_frames_wanted(pair):
    a, b = pair
    wanted, tracks = asyncio.Event(), asyncio.Queue()

    class Source(EncodedVideoTrack):
        number = 0

        def start(self, mime):
            self.mime = mime

        def request_keyframe(self):
            wanted.set()

        async def recv(self):
            await asyncio.sleep(0.01)
            self.number += 1
            return EncodedFrame(b"\x10\x02\x00\x9d\x01\x2a" + bytes(100), self.number * 900, keyframe=True)

    b.on("track", tracks.put_nowait)
    source = Source()
    sender = a.addTrack(source)
    assert sender.track is source
    with pytest.raises(InvalidAccessError, match="already"):
        a.addTrack(source)
    await negotiate(a, b)
    track = await tracks.get()
    frame = await track.recv_encoded()
    assert frame.keyframe
    assert source.mime == "video/VP8"
    track._request_keyframe()
    await wanted.wait()
    await a.close()

    async def watch():
        while True:
            await track.recv_encoded()

    with pytest.raises(MediaStreamError):
        await watch()


def test_a_slow_reader_of_video_skips_to_the_next_key_frame():
    asked = []
    track = RemoteStreamTrack("video", "", lambda: asked.append(1))
    for number in range(MAX_RECEIVED_FRAMES):
        track.deliver("video/VP8", EncodedFrame(b"x", number, keyframe=number == 0))
    track.deliver("video/VP8", EncodedFrame(b"x", 98))
    assert asked == [1]
    track.deliver("video/VP8", EncodedFrame(b"x", 99))
    assert len(track._frames) == 0
    track.deliver("video/VP8", EncodedFrame(b"x", 100, keyframe=True))
    assert [frame.timestamp for _, frame in track._frames] == [100]
    assert track.dropped == MAX_RECEIVED_FRAMES + 2


async def test_several_readers_of_a_track_all_get_frames_and_all_hear_of_its_end():
    track = RemoteStreamTrack("audio", "", lambda: None)
    readers = [asyncio.create_task(track.recv_encoded()) for _ in range(3)]
    await asyncio.sleep(0)
    for number in range(2):
        track.deliver("audio/opus", EncodedFrame(b"x", number))
    async with asyncio.timeout(5):
        done, waiting = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        assert sorted(reader.result().timestamp for reader in done) == [0, 1]
        track.stop()
        with pytest.raises(MediaStreamError):
            await waiting.pop()


async def test_sound_that_is_not_encoded_is_refused_with_advice(pair):
    a, b = pair

    class Microphone(MediaStreamTrack):
        kind = "audio"

    errors = asyncio.Queue()
    a.on("error", errors.put_nowait)
    a.addTrack(Microphone())
    await negotiate(a, b)
    assert "EncodedMediaTrack" in str(await errors.get())


async def test_capabilities_and_preferences(pair):
    a, _ = pair
    names = [codec.mimeType for codec in RTCRtpSender.getCapabilities("video").codecs]
    assert names == ["video/VP8", "video/H264", "video/H264", "video/VP9", "video/AV1"]
    with pytest.raises(InvalidAccessError):
        RTCRtpSender.getCapabilities("smell")
    transceiver = a.addTransceiver("video", direction="recvonly")
    with pytest.raises(InvalidModificationError, match="opus"):
        transceiver.setCodecPreferences(RTCRtpSender.getCapabilities("audio").codecs)
    transceiver.direction = "inactive"
    assert transceiver.direction == "inactive"
    assert a.getTransceivers() == [transceiver]
