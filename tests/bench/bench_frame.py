"""How long an encoded frame is on its way from the encoder's hands to the kernel.

A connection sends 2.5 Mbit/s of H.264 at 30 frames a second; the estimator begins with twice that, so that the pacer
lets a frame pass at once, except for the keyframe every ten seconds. Timed is from `push` until the system call returns
that takes the frame's last packet.
"""

import asyncio
import time

from stack import EncodedFrame, EncodedVideoTrack, RTCConfiguration, RTCPeerConnection
from stack.aio.udp import UdpSocket
from tests.interop import stacks

from .awake import awake
from .bench_rtp import BITRATE, FRAME_RATE, access_units
from .peer import percentile
from .registry import Metric, benchmark

FRAMES, QUICK_FRAMES = 600, 90
SETTLE = 30  # frames that do not count: the first keyframe, the first probes
CLOCK = 90_000
MARKER = 0x80
PATIENCE = 1.0  # seconds after the last frame for its last packet


def frame_ending(payload):
    """The timestamp of the frame whose last packet this is, None if it is something else."""
    # RTP and not RTCP (RFC 7983, RFC 5761), the marker set (RFC 6184 section 5.1): the header is in the clear.
    if len(payload) > 12 and 128 <= payload[0] <= 191 and payload[1] & MARKER and not 192 <= payload[1] <= 223:
        return payload[4:8]
    return None


class Stopwatch:
    """Notes when frames were pushed, and when their last packets were given to the kernel."""

    def __init__(self, frames):
        self.frames, self.pushed, self.sent = frames, [], {}
        self.done = asyncio.Event()
        self.original = UdpSocket._send_run

    def __enter__(self):
        def send_run(sock, remote, payloads, size):
            result = self.original(sock, remote, payloads, size)
            now = time.perf_counter()
            for payload in payloads:
                if (timestamp := frame_ending(payload)) is not None:
                    self.sent.setdefault(timestamp, now)  # what comes later is a retransmission
            if len(self.sent) == self.frames:
                self.done.set()
            return result

        UdpSocket._send_run = send_run
        return self

    def __exit__(self, *_error):
        UdpSocket._send_run = self.original

    def delays(self):
        """Seconds of each frame, in order: timestamps have a random origin, but leave in order."""
        return [left - pushed for pushed, left in zip(self.pushed, self.sent.values(), strict=True)]


async def send_frames(track, units, stopwatch):
    """Push the frames at their times."""
    clock = asyncio.get_running_loop().time
    due = clock()
    for number, unit in enumerate(units):
        frame = EncodedFrame(unit, number * CLOCK // FRAME_RATE, keyframe=number % (10 * FRAME_RATE) == 0)
        stopwatch.pushed.append(time.perf_counter())
        track.push(frame)
        due += 1 / FRAME_RATE
        await asyncio.sleep(max(due - clock(), 0))
    async with asyncio.timeout(PATIENCE):
        await stopwatch.done.wait()


@benchmark(Metric("frame-to-socket-p50", "ms", "lower"), Metric("frame-to-socket-p99", "ms", "lower"))
async def frame_to_socket(_stack, quick):
    """From `push` to `sendmsg`, of all frames but the first second's."""
    units = access_units(SETTLE + (QUICK_FRAMES if quick else FRAMES))
    bitrates = (50_000, 2 * BITRATE, 4 * BITRATE)
    sender, receiver = RTCPeerConnection(RTCConfiguration(bitrates=bitrates)), RTCPeerConnection()
    track = EncodedVideoTrack("video/H264")
    try:
        sender.addTrack(track)
        stacks.prefer(sender, "video/H264")
        await stacks.connect(sender, receiver)
        with awake(), Stopwatch(len(units)) as stopwatch:
            await send_frames(track, units, stopwatch)
    finally:
        await sender.close()
        await receiver.close()
    delays = sorted(stopwatch.delays()[SETTLE:])
    return {
        "frame-to-socket-p50": percentile(delays, 50) * 1e3,
        "frame-to-socket-p99": percentile(delays, 99) * 1e3,
    }
