"""aiortc's example programs with us: each is a process of its own, and does what its README says."""

import random

import av
import pytest

from .examples import becomes, run, unpack

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

FILE_SIZE = 4 * 1024 * 1024
ENOUGH_BYTES = 20_000  # of a recording: a second or more
ENOUGH = 10  # pictures


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
    return (
        (blue[2] > 200 > 60 > blue[0]) and white.min() > 200 and (red[0] > 200 > 60 > red[2]) and black.max() < 60
    )


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
        await becomes(lambda: recording.exists() and recording.stat().st_size > ENOUGH_BYTES)
        await keeper.interrupt()
        await sender.ends()
    with av.open(recording) as file:
        pictures = list(file.decode(video=0))
    assert len(pictures) > ENOUGH
    assert all(is_the_flag(picture) for picture in pictures[-ENOUGH:])
