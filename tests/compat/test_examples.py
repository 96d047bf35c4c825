"""aiortc's example programs with us: each is a process of its own, and does what its README says."""

import asyncio
import contextlib
import importlib.util
import random
import shutil
import socket
import subprocess
from fractions import Fraction

import aiohttp
import av
import pytest

from stack import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription
from tests.interop.video import FPS, HEIGHT, WIDTH, is_the_picture, picture, picture_track
from tests.support.chromium import MEDIA_FLAGS, running_chromium

from .examples import becomes, run, unpack

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
needs_opencv = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="the example needs OpenCV: pip install opencv-python-headless"
)

FILE_SIZE = 4 * 1024 * 1024
RECORDED = 2.0  # seconds, of which some go by before the first picture comes
ENOUGH = 10  # pictures
LOUD = 1000  # of 32767
CLIP_LENGTH = 5  # seconds
PATIENCE = 30.0  # seconds for a whole call


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def through(folder, how):
    """The options that let two programs find each other."""
    if how == "unix-socket":
        return ["--signaling", how, "--signaling-path", folder / "socket"]
    return ["--signaling", how, "--signaling-port", free_port()]


@pytest.mark.parametrize(
    ("offers", "answers", "how"),
    [
        ("ours", "ours", "unix-socket"),
        ("ours", "ours", "tcp-socket"),
        ("ours", "aiortc", "unix-socket"),
        ("aiortc", "ours", "tcp-socket"),
    ],
)
async def test_datachannel_cli_plays_ping_pong(tmp_path, offers, answers, how):
    """With aiortc at the other end too: the same program as it stands."""
    signaling = through(tmp_path, how)
    scripts = {name: unpack("datachannel-cli", tmp_path / name, ours=name == "ours") for name in (offers, answers)}
    async with contextlib.AsyncExitStack() as running:
        offerer = await running.enter_async_context(run(scripts[offers] / "cli.py", "offer", *signaling))
        if answers == "aiortc":  # it does not wait until somebody listens
            await becomes((tmp_path / "socket").exists)
        answerer = await running.enter_async_context(run(scripts[answers] / "cli.py", "answer", *signaling))
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


@needs_opencv
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
    port = free_port()
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


@needs_opencv
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
        for _ in range(3 * ENOUGH):  # the recorder is to have its share
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


@pytest.fixture
async def browser():
    async with running_chromium(*MEDIA_FLAGS) as running:
        yield running


PLAYS = "() => { const video = document.getElementById('video'); return video.currentTime > 0.5 && video.videoWidth; }"


@needs_opencv
@pytest.mark.browser
@pytest.mark.parametrize("codec", ["VP8/90000", "H264/90000"])
async def test_server_with_its_own_page(tmp_path, browser, codec):
    async with served(tmp_path, "server") as (program, url):
        page = await browser.new_page()
        await page.goto(url)
        await page.check("#use-video")
        await page.select_option("#video-codec", codec)
        await page.select_option("#video-transform", "rotate")
        await page.click("#start")
        await page.wait_for_function("() => /< pong/.test(document.getElementById('data-channel').textContent)")
        await page.wait_for_function(PLAYS)
        await page.wait_for_function("() => document.getElementById('audio').currentTime > 0.5")
        answer = await page.text_content("#answer-sdp")
        assert f" {codec}" in answer
        await page.click("#stop")
        await program.prints("Connection state is closed")
        await program.interrupt()


@pytest.mark.browser
async def test_webcam_with_its_own_page(tmp_path, browser):
    file = clip_file(tmp_path / "clip.mp4")
    async with served(tmp_path, "webcam", "--play-from", file) as (program, url):
        page = await browser.new_page()
        await page.goto(url)
        await page.click("#start")
        width = await page.wait_for_function(PLAYS)
        assert await width.json_value() == WIDTH
        await page.click("#stop")
        await program.prints("Connection state is closed")
        await program.interrupt()


@contextlib.asynccontextmanager
async def janus(folder):
    """Janus with a video room and its HTTP interface; the address of that."""
    program = shutil.which("janus")
    if program is None:
        pytest.skip("no Janus here: on Debian, apt-get install janus")
    port = free_port()
    (folder / "janus.jcfg").write_text(
        'general: { debug_level = 4 admin_secret = "unused" }\n'
        'transports: { disable = "libjanus_websockets.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_mqtt.so,'
        'libjanus_nanomsg.so" }\n'
        'plugins: { disable = "libjanus_sip.so,libjanus_nosip.so,libjanus_lua.so,libjanus_duktape.so,'
        'libjanus_audiobridge.so,libjanus_voicemail.so,libjanus_recordplay.so,libjanus_videocall.so" }\n'
    )
    (folder / "janus.transport.http.jcfg").write_text(
        f'general: {{ base_path = "/janus" http = true port = {port} ip = "127.0.0.1" https = false }}\n'
        "admin: { admin_http = false }\n"
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text(
        'room-1234: { description = "Demo" publishers = 6 bitrate = 512000 fir_freq = 10 }\n'
    )
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            program, "-F", folder, "-o", stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while "HTTP webserver started" not in (folder / "log").read_text():
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/janus"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_janus_publishes_to_a_room_and_records_from_it(tmp_path):
    file, recording = clip_file(tmp_path / "clip.mp4"), tmp_path / "recording.mp4"
    (tmp_path / "janus").mkdir()
    script = unpack("janus", tmp_path) / "janus.py"
    async with (
        janus(tmp_path / "janus") as url,
        run(script, url, "--play-from", file) as publisher,
    ):
        await publisher.prints("Exchanging media")
        async with run(script, url, "--record-to", recording) as subscriber:
            await subscriber.prints("Track video received")
            await asyncio.sleep(RECORDED)
            await subscriber.interrupt()
        await publisher.interrupt()
    with av.open(recording) as recorded:
        pictures = list(recorded.decode(video=0))
    assert len(pictures) >= ENOUGH
    assert all(is_the_picture(picture) for picture in pictures)


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
