"""`webrtc whip publish` and `webrtc whep play` as processes, against an endpoint of ours."""

import asyncio
import json
import signal
import wave

import av
import pytest

from stack.cli.whip import TOKEN_VARIABLE
from stack.media import TestPatternTrack
from tests.support.waiting import until
from tests.support.whip_endpoint import endpoint

from .support import PLAIN, begin, in_process, webrtc

pytestmark = pytest.mark.timeout(90)
SMALL = ["--size", "160x90"]


@pytest.fixture
async def server():
    async with endpoint() as made:
        yield made


def events(out):
    return {line["event"]: line for line in map(json.loads, out.splitlines())}


async def test_publish_the_test_picture(server):
    code, out, err = await webrtc("whip", "publish", f"{server.url}/whip", *SMALL, "--duration", 1, "--json")
    assert (code, err) == (0, "")
    said = events(out)
    assert said["connected"]["url"] == f"{server.url}/whip/session/0"
    assert said["ended"]["reason"] == "time is up"
    assert {track.kind for track in server.tracks} == {"audio", "video"}
    assert server.deleted == ["0"]


async def test_play_and_record(server, tmp_path):
    server.tracks = [TestPatternTrack(160, 90, 15)]
    path = tmp_path / "film.mkv"
    code, out, err = await webrtc("whep", "play", f"{server.url}/whep", "--no-audio", "--record", path, "--duration", 3)
    assert (code, err) == (0, "")
    assert f"playing video: {server.url}/whep/session/0" in out
    assert f"recorded {path}" in out
    with av.open(str(path)) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (160, 90)
        assert next(film.decode(video=0)) is not None
    assert server.deleted == ["0"]


async def test_a_file_ends(server, tmp_path):
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 48000, 0, "NONE", ""))
        sound.writeframes(bytes(48000 * 2))  # a second
    code, out, err = await webrtc("whip", "publish", f"{server.url}/whip", "--media", path)
    assert (code, err) == (0, "")
    assert "publishing audio" in out
    assert "the media ended" in out


async def test_the_server_hangs_up(server):
    process = await begin("whip", "publish", f"{server.url}/whip", *SMALL, "--no-audio")
    await until(lambda: server.sessions and server.sessions["0"].connection.connectionState == "connected", 40)
    await process.stdout.readline()
    await server.sessions["0"].connection.close()
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"the connection ended: the server closed it" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_it_says_goodbye_when_stopped(number, code, server):
    process = await begin("whip", "publish", f"{server.url}/whip", *SMALL, "--no-audio")
    await asyncio.wait_for(process.stdout.readline(), 40)
    process.send_signal(number)
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == code
    assert server.deleted == ["0"]


async def test_a_token_from_a_file_or_the_environment(server, tmp_path):
    server.token = "s3cret"
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    arguments = ["whip", "publish", f"{server.url}/whip", *SMALL, "--no-audio", "--duration", 0.2]
    assert (await webrtc(*arguments, "--token", f"@{path}"))[0] == 0
    assert (await webrtc(*arguments, env={**PLAIN, TOKEN_VARIABLE: "s3cret"}))[0] == 0
    code, _, err = await webrtc(*arguments)
    assert code == 1
    assert "refused to publish: 401; it wants a token" in err


async def test_waiting_for_somebody_to_publish(server):
    code, _, err = await webrtc("whep", "play", f"{server.url}/whep")
    assert code == 1
    assert "refused to play: 409" in err
    process = await begin("whep", "play", f"{server.url}/whep", "--wait", "--no-audio", "--duration", 0.5, "--json")
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 40))
    assert (line["event"], line["seconds"]) == ("waiting", 1)
    server.tracks = [TestPatternTrack(160, 90, 15)]
    out, _ = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 0
    assert "connected" in events(out.decode())


async def test_nobody_answers():
    code, _, err = await webrtc("whep", "play", "http://127.0.0.1:9/whep")
    assert code == 3
    assert "cannot be reached" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["whip", "publish", "ftp://x/"], 1, "no URL of the form https://host/path"),
        (["whip", "publish", "http://127.0.0.1/", "--media", "/nothing.mp4"], 1, "/nothing.mp4 cannot be played"),
        (["whip", "publish", "http://127.0.0.1/", "--no-audio", "--no-video"], 2, "nothing left to send"),
        (["whip", "publish", "http://127.0.0.1/", "--size", "big"], 2, "of the form 1280x720"),
        (["whip", "publish", "http://127.0.0.1/", "--size", "3x3"], 1, "the size must be even"),
        (["whip", "publish", "http://127.0.0.1/", "--server", "x"], 2, "x"),
        (["whip", "publish", "http://127.0.0.1/", "--token", "@/nothing"], 2, "/nothing cannot be read"),
        (["whep", "play", "http://127.0.0.1/", "--no-audio", "--no-video"], 2, "nothing left to play"),
    ],
)
def test_wrong_usage(options, code, message):
    found, out, err = in_process(*options)
    assert (found, out) == (code, "")
    assert message in " ".join(err.split())


@pytest.mark.parametrize("command", [("whip", "publish"), ("whep", "play")])
def test_help_has_examples(command):
    code, out, _ = in_process(*command, "--help")
    assert code == 0
    assert "Examples:" in out
