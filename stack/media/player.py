"""Files, cameras and streams as tracks, decoded or as they are, at the pace of real time."""

import asyncio
import logging
import threading
import time
from fractions import Fraction
from typing import Any, Final

import av

from ..core import LocalError
from .frames import TIMESTAMP_MASK, EncodedFrame, FrameQueue, MediaStreamError, clock_rate
from .tracks import AUDIO_PTIME, AUDIO_SAMPLE_RATE, EncodedMediaTrack, MediaStreamTrack

logger = logging.getLogger(__name__)

MAX_PLAYED_PICTURES: Final = 15
"""Decoded pictures that wait for a reader: the look-ahead at 60 per second, and 21 MB at 720p."""

MAX_PLAYED_FRAMES: Final = 64
"""Encoded frames and frames of sound that wait for a reader: more than a second."""

LOOK_AHEAD: Final = 0.2  # seconds that a file is read ahead of time: covers a slow keyframe, costs little memory
MAX_JUMP: Final = 0.1  # seconds by which sound may be off before it is put in its place again
RETRY: Final = 0.01  # seconds between attempts to read a device that has nothing yet
_LIVE_FORMATS: Final = frozenset(
    {"alsa", "avfoundation", "dshow", "pulse", "rtsp", "rtp", "sdp", "v4l2", "v4l2,video4linux2"}
)
"""Sources that come at their own pace."""

_PASSED_ON: Final = {
    "h264": "video/H264",
    "hevc": "video/H265",
    "vp8": "video/VP8",
    "vp9": "video/VP9",
    "av1": "video/AV1",
    "libdav1d": "video/AV1",
    "opus": "audio/opus",
    "libopus": "audio/opus",
    "pcm_mulaw": "audio/PCMU",
    "pcm_alaw": "audio/PCMA",
    "g722": "audio/G722",
}
"""What can be sent as it is: libavcodec's name to MIME type."""

_TO_ANNEX_B: Final = {"video/H264": "h264_mp4toannexb", "video/H265": "hevc_mp4toannexb"}


class MediaPlayer:
    """Reads audio and video from a file, a device or a network stream.

    A thread reads and decodes; frames come out when they are due, of files too. A reader that is too slow loses the
    oldest frames. At the end of the file the tracks end.

    Opening may block (a URL is fetched): use `await asyncio.to_thread(MediaPlayer, ...)` for what is not a local file.

    Args:
        file: A path, a URL, a device, or a file-like object.
        format: libavformat's name of the format, None to detect it; for example `v4l2` for a camera.
        options: For libavformat, for example `{"video_size": "640x480"}`.
        timeout: Seconds to open and to read.
        loop: Play again and again; the file must be seekable.
        decode: False hands on encoded frames as they are in the file: H.264, H.265, VP8, VP9, AV1, Opus, G.711, G.722.

    Raises:
        LocalError: If `loop` is asked of what cannot be played again.
    """

    def __init__(
        self,
        file: Any,
        format: str | None = None,  # noqa: A002  as Python's WebRTC users know it
        options: dict[str, str] | None = None,
        timeout: float | None = None,
        loop: bool = False,
        decode: bool = True,
    ) -> None:
        self._container: Any = av.open(file=file, format=format, mode="r", options=options, timeout=timeout)
        if loop and self._container.duration is None:
            self._container.close()
            raise LocalError("loop needs a seekable file")
        names = {self._container.format.name, *self._container.format.name.split(",")}
        self._outputs: dict[int, _Output] = {}
        for stream in self._container.streams:
            taken = any(output.track.kind == stream.type for output in self._outputs.values())
            if stream.type not in {"audio", "video"} or taken:
                continue
            output = _Output.create(self, stream, decode=decode)
            if output is not None:
                self._outputs[stream.index] = output
        self._reader = _Reader(self._container, self._outputs, paced=not names & _LIVE_FORMATS, loop=loop)

    @property
    def audio(self) -> MediaStreamTrack | None:
        """The first audio track, if there is one."""
        return self._track("audio")

    @property
    def video(self) -> MediaStreamTrack | None:
        """The first video track, if there is one."""
        return self._track("video")

    def _track(self, kind: str) -> MediaStreamTrack | None:
        return next((output.track for output in self._outputs.values() if output.track.kind == kind), None)

    async def _recv(self, output: "_Output") -> Any:
        self._reader.start(output)
        try:
            due, frame = await output.queue.get()
        except MediaStreamError:
            output.track.stop()
            if output.error is not None:
                raise MediaStreamError(f"the source has failed: {output.error}") from output.error
            raise
        if due is not None:
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if isinstance(frame, EncodedFrame):
                frame.capture_time = due
        return frame

    def _stop(self, output: "_Output") -> None:
        output.started = False
        output.queue.items.clear()
        output.queue.close()
        if all(other.queue.closed for other in self._outputs.values()):
            self._reader.stop()


class _PlayedTrack(MediaStreamTrack):
    """Decoded frames of a player."""

    def __init__(self, player: MediaPlayer, kind: str) -> None:
        self.kind = kind
        super().__init__()
        self._player = player
        self.output: _Output

    async def recv(self) -> Any:
        """Return the next frame when it is due."""
        if self.readyState == "ended":
            raise MediaStreamError("the track has ended")
        return await self._player._recv(self.output)  # noqa: SLF001  two halves of one thing

    def stop(self) -> None:
        """End the track; the player closes the file with its last one."""
        if self.readyState == "live":
            super().stop()
            self._player._stop(self.output)  # noqa: SLF001  the same


class _PlayedEncodedTrack(EncodedMediaTrack):
    """Encoded frames of a player. A file cannot make keyframes or keep to a bit rate: both wishes are ignored."""

    def __init__(self, player: MediaPlayer, kind: str, mime: str) -> None:
        self.kind = kind
        super().__init__(mime)
        self._player = player
        self.output: _Output

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame when it is due."""
        if self.readyState == "ended":
            raise MediaStreamError("the track has ended")
        frame: EncodedFrame = await self._player._recv(self.output)  # noqa: SLF001  two halves of one thing
        return frame

    def stop(self) -> None:
        """End the track; the player closes the file with its last one."""
        if self.readyState == "live":
            super().stop()
            self._player._stop(self.output)  # noqa: SLF001  the same


class _Output:
    """One stream's way from the reader's thread to its track."""

    def __init__(self, track: "_PlayedTrack | _PlayedEncodedTrack", stream: Any, mime: str) -> None:
        self.track = track
        self.stream = stream
        self.started = False
        self.error: Exception | None = None
        self._mime = mime
        limit = MAX_PLAYED_PICTURES if track.kind == "video" and not mime else MAX_PLAYED_FRAMES
        self.queue: FrameQueue[tuple[float | None, Any]] = FrameQueue(
            limit, chained=bool(mime) and track.kind == "video"
        )
        track.output = self
        self._filter: Any = None
        extradata = stream.codec_context.extradata
        if mime in _TO_ANNEX_B and extradata and extradata[0] == 1:  # avcC or hvcC: lengths instead of start codes
            self._filter = av.bitstream.BitStreamFilterContext(_TO_ANNEX_B[mime], stream)
        self._samples = 0  # of sound handed out since it was last put in its place
        self._origin: float | None = None  # seconds at which they began
        self._resampler: Any = None

    @classmethod
    def create(cls, player: MediaPlayer, stream: Any, *, decode: bool) -> "_Output | None":
        """Return the output for a stream, None if it cannot be passed on as it is."""
        if decode:
            return cls(_PlayedTrack(player, stream.type), stream, "")
        mime = _PASSED_ON.get(stream.codec_context.name)
        if mime is None:
            logger.warning("%s cannot be sent as it is", stream.codec_context.name)
            return None
        return cls(_PlayedEncodedTrack(player, stream.type, mime), stream, mime)

    def frames(self, packet: Any, origin: float, offset: float) -> list[tuple[float, bool, Any]]:
        """Turn a packet into (seconds, is a keyframe, frame). Runs on the reader's thread.

        Args:
            packet: Of the container.
            origin: Seconds in the file that become 0.
            offset: Seconds to add, of the rounds before this one.
        """
        if self._mime:
            return self._passed_on(packet, origin, offset)
        found: list[tuple[float, bool, Any]] = []
        for frame in packet.decode():
            if frame.pts is None or frame.time_base is None:
                continue
            seconds = float(frame.pts * frame.time_base) - origin + offset
            if self.track.kind == "video":
                frame.time_base = Fraction(1, 90_000)
                frame.pts = round(seconds * 90_000)
                found.append((seconds, True, frame))
            else:
                found += self._sounds(frame, seconds)
        return found

    def _sounds(self, frame: Any, seconds: float) -> list[tuple[float, bool, Any]]:
        """Sound of any kind as 20 ms of s16, stereo, 48 kHz, numbered without gaps."""
        played = 0.0 if self._origin is None else self._origin + self._samples / AUDIO_SAMPLE_RATE
        if self._origin is None or abs(seconds - played) > MAX_JUMP:
            self._origin, self._samples = seconds, 0
            size = round(AUDIO_SAMPLE_RATE * AUDIO_PTIME)
            self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=AUDIO_SAMPLE_RATE, frame_size=size)
        found: list[tuple[float, bool, Any]] = []
        for part in self._resampler.resample(frame):
            begin = self._origin + self._samples / AUDIO_SAMPLE_RATE
            self._samples += part.samples
            part.pts, part.time_base = round(begin * AUDIO_SAMPLE_RATE), Fraction(1, AUDIO_SAMPLE_RATE)
            found.append((begin, True, part))
        return found

    def _passed_on(self, packet: Any, origin: float, offset: float) -> list[tuple[float, bool, Any]]:
        if packet.size == 0 or packet.pts is None:  # the end
            return []
        pts, keyframe = packet.pts, bool(packet.is_keyframe)
        # Paced by decoding time: frames leave in that order, whatever the order they are shown in.
        due = float((pts if packet.dts is None else packet.dts) * packet.time_base) - origin + offset
        seconds = float(pts * packet.time_base) - origin + offset
        packets = [packet] if self._filter is None else self._filter.filter(packet)
        data = b"".join(bytes(one) for one in packets)
        timestamp = round(seconds * clock_rate(self._mime)) & TIMESTAMP_MASK
        return [(due, keyframe, EncodedFrame(data, timestamp, keyframe, mime=self._mime))] if data else []


class _Reader:
    """The thread that reads the container. It owns it and closes it."""

    def __init__(self, container: Any, outputs: dict[int, _Output], *, paced: bool, loop: bool) -> None:
        self._container = container
        self._outputs = outputs
        self._paced = paced
        self._loop = loop
        self._quit = threading.Event()
        self._thread: threading.Thread | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._begin = 0.0  # monotonic time of the file's second 0
        self._end = 0.0  # seconds: how far the file has come, for the next round

    def start(self, output: _Output) -> None:
        """Begin to read for a track; called on the event loop."""
        output.started = True
        if self._thread is None and not self._quit.is_set():
            self._home = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="media-player", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; the thread closes the container when it is through with what it reads."""
        self._quit.set()
        if self._thread is None:
            self._container.close()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            self._begin = time.monotonic()
            offset = 0.0
            while not self._quit.is_set():
                self._play(offset)
                if not self._loop or self._end <= offset:
                    break
                offset = self._end
                self._container.seek(0)
        except Exception as caught:  # noqa: BLE001  whoever reads the tracks gets it
            error = caught
        finally:
            self._container.close()
            self._call(self._close, error)

    def _play(self, offset: float) -> None:
        """Play the file once."""
        streams = [output.stream for output in self._outputs.values()]
        start = self._container.start_time
        origin = None if start is None or not self._paced else start / av.time_base
        packets = self._container.demux(*streams)
        while not self._quit.is_set():
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.BlockingIOError:  # a device that has nothing yet
                self._quit.wait(RETRY)
                packets = self._container.demux(*streams)
                continue
            output = self._outputs[packet.stream.index]
            if packet.dts is not None:
                if origin is None:
                    origin = float(packet.dts * packet.time_base)
                end = float((packet.dts + (packet.duration or 0)) * packet.time_base) - origin + offset
                self._end = max(self._end, end)
            if not output.started:
                self._wait_until(self._end)
                continue
            try:
                frames = output.frames(packet, origin or 0.0, offset)
            except av.error.InvalidDataError as damage:
                logger.info("a damaged packet was left out: %s", damage)
                continue
            for seconds, keyframe, frame in frames:
                self._wait_until(seconds)
                due = self._begin + seconds if self._paced else None
                self._call(self._put, output, due, keyframe, frame)

    def _wait_until(self, seconds: float) -> None:
        """Do not read a file further ahead than needed."""
        if self._paced:
            wait = self._begin + seconds - LOOK_AHEAD - time.monotonic()
            if wait > 0:
                self._quit.wait(wait)

    def _call(self, function: Any, *arguments: Any) -> None:
        if self._home is not None:
            try:
                self._home.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # the loop has closed: nobody will read any more
                self._quit.set()

    @staticmethod
    def _put(output: _Output, due: float | None, keyframe: bool, frame: Any) -> None:
        output.queue.put((due, frame), keyframe=keyframe)

    def _close(self, error: Exception | None) -> None:
        for output in self._outputs.values():
            output.error = error
            output.queue.close()
