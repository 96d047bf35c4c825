"""aiortc's example programs with us: each is a process of its own, and does what its README says."""

import asyncio
import contextlib
import random
import socket
from fractions import Fraction

import aiohttp
import av
import pytest

from stack import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription
from tests.interop.video import FPS, HEIGHT, WIDTH, is_the_picture, picture, picture_track

from .examples import run, unpack

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

FILE_SIZE = 4 * 1024 * 1024
RECORDED = 2.0  # seconds, of which some go by before the first picture comes
ENOUGH = 10  # pictures
LOUD = 1000  # of 32767
CLIP_LENGTH = 5  # seconds
PATIENCE = 30.0  # seconds for a whole call


def through(folder, how):
    """The options that let two programs find each other."""
    if how == "unix-socket":
        return ["--signaling", how, "--signaling-path", folder / "socket"]
    return ["--signaling", how, "--signaling-port", random.randrange(20000, 30000)]


@pytest.mark.parametrize("how", ["unix-socket", "tcp-socket"])
async def test_datachannel_cli_plays_ping_pong(tmp_path, how):
    script, signaling = unpack("datachannel-cli", tmp_path) / "cli.py", through(tmp_path, how)
    async with run(script, "answer", *signaling) as answerer, run(script, "offer", *signaling) as offerer:
        trips = await offerer.prints(r"RTT ([\d.]+) ms", 2)
        assert all(0 < float(trip) < 1000 for trip in trips)
        await answerer.prints(r"channel\(chat\) < ping \d+", 2)
        await answerer.interrupt()
        await offerer.ends()
        assert "Exiting" in offerer.printed


async def test_filexfer_moves_a_file(tmp_path):
    script, signaling = unpack("datachannel-filexfer", tmp_path) / "filexfer.py", through(tmp_path, "unix-socket")
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(random.Random(1).randbytes(FILE_SIZE))
    async with (
        run(script, "receive", received, *signaling) as receiver,
        run(script, "send", sent, *signaling) as sender,
    ):
        await receiver.prints(f"received {FILE_SIZE} bytes in")
        await sender.ends()
        await receiver.ends()
    assert received.read_bytes() == sent.read_bytes()


def is_the_flag(picture):
    """Blue, white and red in the middle of black."""
    seen = picture.to_ndarray(format="rgb24").astype(int)
    blue, white, red, black = seen[240, 220], seen[240, 320], seen[240, 420], seen[20, 20]
    dark, bright = max(blue[0], red[2], black.max()), min(blue[2], red[0], white.min())
    return dark < 60 and bright > 200


@pytest.mark.parametrize("recorder", ["offer", "answer"])
async def test_videostream_cli_records_what_the_other_one_sends(tmp_path, recorder):
    script, signaling = unpack("videostream-cli", tmp_path) / "cli.py", through(tmp_path, "unix-socket")
    recording = tmp_path / "recording.mp4"
    other = {"offer": "answer", "answer": "offer"}[recorder]
    async with (
        run(script, recorder, "--record-to", recording, *signaling) as keeper,
        run(script, other, *signaling) as sender,
    ):
        await keeper.prints("Receiving video")
        await asyncio.sleep(RECORDED)
        await keeper.interrupt()
        await sender.ends()
    with av.open(recording) as file:
        pictures = list(file.decode(video=0))
    assert len(pictures) > ENOUGH
    assert all(is_the_flag(picture) for picture in pictures[-ENOUGH:])


@contextlib.asynccontextmanager
async def served(folder, name, *arguments):
    """An example that is a web server, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = unpack(name, folder) / f"{name}.py"
    async with run(script, "--host", "127.0.0.1", "--port", port, *arguments) as program:
        await program.prints("Running on")
        yield program, f"http://127.0.0.1:{port}"


async def call(pc, url, **more):
    """Offer to the server and take its answer."""
    await pc.setLocalDescription()
    offer = {"sdp": pc.localDescription.sdp, "type": pc.localDescription.type}
    async with aiohttp.ClientSession() as client, client.post(f"{url}/offer", json=offer | more) as response:
        answer = await response.json()
    await pc.setRemoteDescription(RTCSessionDescription(**answer))


def tracks_of(pc):
    tracks = asyncio.Queue()
    pc.on("track", tracks.put_nowait)
    return tracks


async def by_kind(tracks):
    found = [await tracks.get(), await tracks.get()]
    return {track.kind: track for track in found}


async def test_server_answers_pings_sends_its_sound_and_what_it_makes_of_our_video(tmp_path):
    recording = tmp_path / "recording.mp4"
    async with (
        asyncio.timeout(PATIENCE),
        served(tmp_path, "server", "--record-to", recording) as (program, url),
        RTCPeerConnection() as pc,
    ):
        channel, messages, tracks = pc.createDataChannel("chat"), asyncio.Queue(), tracks_of(pc)
        channel.on("open", lambda: channel.send("ping 5"))
        channel.on("message", messages.put_nowait)
        pc.addTrack(AudioStreamTrack())
        pc.addTrack(picture_track("ours"))
        await call(pc, url, video_transform="edges")
        assert await messages.get() == "pong 5"
        received = await by_kind(tracks)
        loudest = 0
        while loudest < LOUD:
            loudest = int(abs((await received["audio"].recv()).to_ndarray().astype(int)).max())
        for _ in range(ENOUGH):
            edges = await received["video"].recv()
        luma = edges.to_ndarray(format="gray")
        assert luma.mean() < 60  # most of it has become black
        assert luma[:, WIDTH // 2 - 8 : WIDTH // 2 + 8].max() > 150  # but for where black met white
        await pc.close()
        await program.prints("Connection state is closed")
        await program.prints("Track (?:audio|video) ended", 2)
        await program.interrupt()
    with av.open(recording) as file:
        kinds = {stream.type for stream in file.streams}
        pictures = list(file.decode(video=0))
    assert kinds == {"audio", "video"}
    assert len(pictures) >= ENOUGH
    assert is_the_picture(pictures[-1])


@pytest.mark.parametrize("options", [[], ["--play-without-decoding", "--video-codec", "video/H264"]])
async def test_webcam_plays_a_file(tmp_path, options):
    file = clip_file(tmp_path / "clip.ts")
    async with (
        asyncio.timeout(PATIENCE),
        served(tmp_path, "webcam", "--play-from", file, *options) as (program, url),
        RTCPeerConnection() as pc,
    ):
        pc.addTransceiver("video", direction="recvonly")
        pc.addTransceiver("audio", direction="recvonly")
        tracks = tracks_of(pc)
        await call(pc, url)
        track = await tracks.get()
        assert track.kind == "video"
        pictures = [await track.recv() for _ in range(ENOUGH)]
        assert all(is_the_picture(picture) for picture in pictures)
        await program.prints("Connection state is connected")
        await program.interrupt()


def clip_file(path):
    """Some seconds of H.264 in a transport stream, which is what the example passes on without decoding."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"profile": "baseline", "g": str(FPS // 2)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(CLIP_LENGTH * FPS):
            frame = picture(number)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
