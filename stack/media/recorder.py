"""Tracks into a file: encoded frames as they are where the format can hold them, everything else encoded."""

import asyncio
import functools
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Final

import av

from ..core import LocalError
from .decoder import Decoder
from .frames import EncodedFrame, MediaStreamError, TimestampUnwrapper, clock_rate
from .pictures import own_picture
from .tracks import AUDIO_SAMPLE_RATE, EncodedMediaTrack, MediaStreamTrack

logger = logging.getLogger(__name__)

MAX_HELD_PACKETS: Final = 2000
"""Packets of a track that wait until all tracks have begun, which the file's header needs: half a minute of both kinds.
Past that, and after `START_TIMEOUT`, the file begins without the tracks that have not."""

START_TIMEOUT: Final = 10.0  # seconds from the first frame until the file begins without the tracks that have not
MAX_JUMP: Final = 0.1  # seconds by which sound may be off before it is put in its place again
_AUDIO_ONLY: Final = {"wav": "pcm_s16le", "mp3": "mp3", "ogg": "libopus", "opus": "libopus", "alsa": "pcm_s16le"}
_WITH_OPUS: Final = frozenset({"mp4", "mov", "matroska", "webm", "ogg", "opus"})
_WITH_VIDEO: Final = {
    "mp4": frozenset({"video/h264", "video/h265", "video/vp9", "video/av1"}),
    "mov": frozenset({"video/h264", "video/h265"}),
    "matroska": frozenset({"video/h264", "video/h265", "video/vp8", "video/vp9", "video/av1"}),
    "webm": frozenset({"video/vp8", "video/vp9", "video/av1"}),
    "mpegts": frozenset({"video/h264", "video/h265"}),
}
"""What a format holds as it is, by libavformat's name."""

_CODEC_NAMES: Final = {
    "video/h264": "h264",
    "video/h265": "hevc",
    "video/vp8": "vp8",
    "video/vp9": "vp9",
    "video/av1": "av1",
}


class MediaRecorder:
    """Writes tracks to a file: mp4, mkv, webm, wav and whatever else libavformat knows.

    Encoded tracks and remote tracks are written as they are where the format can hold their codec, so that recording
    costs next to nothing; video begins with a keyframe, which is asked for. Otherwise, and for tracks of pictures and
    samples, it is encoded on a thread. Tracks keep their offset to each other by the time their frames arrive.

    Args:
        file: A path or a file-like object.
        format: libavformat's name of the format, None for what the file's name says.
        options: For libavformat, for example `{"movflags": "frag_keyframe"}` for an mp4 that survives a crash.
    """

    def __init__(
        self,
        file: Any,
        format: str | None = None,  # noqa: A002  as Python's WebRTC users know it
        options: dict[str, str] | None = None,
    ) -> None:
        self._container: Any = av.open(file=file, format=format, mode="w", options=options)
        self._writer = _Writer(self._container)
        self._tracks: dict[MediaStreamTrack, asyncio.Task[None] | None] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._error: Exception | None = None

    def addTrack(self, track: MediaStreamTrack) -> None:  # noqa: N802  as Python's WebRTC users know it
        """Add a track; before `start`.

        Raises:
            LocalError: If the format cannot hold video, or the recorder has begun or ended.
        """
        if self._container is None or self._executor is not None:
            raise LocalError("tracks are added before the recorder starts")
        if track.kind == "video" and self._container.format.name in _AUDIO_ONLY:
            raise LocalError(f"{self._container.format.name} holds no video")
        if track not in self._tracks:
            self._tracks[track] = None
            self._writer.add(track)

    async def start(self) -> None:
        """Start to record.

        Raises:
            LocalError: The recorder has been stopped.
        """
        if self._container is None:
            raise LocalError("the recorder has been stopped")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "media-recorder")
        for track, task in self._tracks.items():
            if task is None:
                self._tracks[track] = asyncio.get_running_loop().create_task(self._run(track), name="media-recorder")

    async def stop(self) -> None:
        """Stop to record, write what is left and close the file. The tracks live on.

        Raises:
            Exception: The first failure of a track or of writing it, which has been logged when it happened; the file
                holds what came before.
        """
        if self._container is None:
            return
        tasks = [task for task in self._tracks.values() if task is not None]
        container, self._container = self._container, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        executor = self._executor or ThreadPoolExecutor(1, "media-recorder")
        try:
            await asyncio.get_running_loop().run_in_executor(executor, self._writer.finish)
        finally:
            executor.shutdown(wait=False)
            container.close()
        if self._error is not None:
            raise self._error

    async def _run(self, track: MediaStreamTrack) -> None:
        source: Any = track
        encoded = isinstance(track, EncodedMediaTrack) or hasattr(track, "recv_encoded")
        receive = source.recv if isinstance(track, EncodedMediaTrack) or not encoded else source.recv_encoded
        if encoded and track.kind == "video" and hasattr(track, "request_keyframe"):
            source.request_keyframe()
        loop = asyncio.get_running_loop()
        try:
            while self._executor is not None:
                frame = await receive()
                arrived = time.monotonic()
                write = functools.partial(self._writer.write, track, frame, arrived)
                if await loop.run_in_executor(self._executor, write) and hasattr(track, "request_keyframe"):
                    source.request_keyframe()
        except MediaStreamError:
            if self._executor is not None:
                await loop.run_in_executor(self._executor, self._writer.end, track)
        except Exception as error:  # noqa: BLE001  `stop` raises it
            logger.error("recording %s has failed: %s", track.kind, error)  # noqa: TRY400  the caller gets the trace
            self._error = self._error or error


class _Sink:
    """One track's stream in the file. All of it runs on the recorder's thread."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.stream: Any = None
        self.held: list[Any] = []
        self.ended = False
        self.passed_on = False
        self.decoder: Decoder | None = None
        self.waiting = kind == "video"  # for a keyframe
        self._unwrapper = TimestampUnwrapper()
        self._first: float | None = None  # seconds of the first frame on its own clock
        self._offset = 0.0  # seconds of the first frame in the file
        self._last_pts = -1
        self._resampler: Any = None
        self._samples = 0
        self._origin: float | None = None

    # -- times -------------------------------------------------------------------------------------------------

    def seconds(self, own: float, arrived: float, epoch: float) -> float:
        """Return the place in the file of a frame, by its own clock from the first one on."""
        if self._first is None:
            self._first = own
            self._offset = max(0.0, arrived - epoch)
        return own - self._first + self._offset

    def encoded_seconds(self, frame: EncodedFrame) -> float:
        """Return when an encoded frame is shown, on its own clock."""
        return self._unwrapper.unwrap(frame.timestamp) / clock_rate(frame.mime)

    # -- as it is ----------------------------------------------------------------------------------------------

    def packet(self, frame: EncodedFrame, seconds: float) -> Any:
        """Return a packet of what was encoded elsewhere."""
        rate = clock_rate(frame.mime)
        packet = av.Packet(frame.data)
        # Containers take no time twice, and none that goes back.
        self._last_pts = max(round(seconds * rate), self._last_pts + 1)
        packet.pts = packet.dts = self._last_pts
        packet.time_base = Fraction(1, rate)
        packet.is_keyframe = frame.keyframe or self.kind == "audio"
        packet.stream = self.stream
        return packet

    # -- encoded here ------------------------------------------------------------------------------------------

    def encode_picture(self, frame: Any, seconds: float) -> list[Any]:
        """Encode a picture."""
        pixel_format = self.stream.codec_context.pix_fmt
        picture = own_picture(frame, self.stream.codec_context.width, self.stream.codec_context.height, pixel_format)
        self._last_pts = max(round(seconds * 90_000), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, Fraction(1, 90_000)
        picture.pict_type = av.video.frame.PictureType.NONE
        packets: list[Any] = self.stream.encode(picture)
        return packets

    def encode_sound(self, frame: Any, seconds: float) -> list[Any]:
        """Encode samples."""
        context = self.stream.codec_context
        rate = context.sample_rate
        played = 0.0 if self._origin is None else self._origin + self._samples / rate
        if self._origin is None or abs(seconds - played) > MAX_JUMP:
            self._origin, self._samples = seconds, 0
            size = context.frame_size or 0
            self._resampler = av.AudioResampler(
                format=context.format.name, layout=context.layout.name, rate=rate, frame_size=size or None
            )
        packets: list[Any] = []
        for part in self._resampler.resample(frame):
            self._put_in_place(part, rate)
            packets += self.stream.encode(part)
        return packets

    def _put_in_place(self, part: Any, rate: int) -> None:
        self._last_pts = max(round((self._origin or 0.0) * rate) + self._samples, self._last_pts + 1)
        part.pts, part.time_base = self._last_pts, Fraction(1, rate)
        self._samples += part.samples

    def flush(self) -> list[Any]:
        """Return what the encoder holds back."""
        if self.stream is None or self.passed_on:
            return []
        packets: list[Any] = []
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                self._put_in_place(part, self.stream.codec_context.sample_rate)
                packets += self.stream.encode(part)
        if self.stream.codec_context.is_open:
            packets += self.stream.encode(None)
        return packets


class _Writer:
    """Owns the container on the recorder's thread."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._format = container.format.name.split(",")[0]
        self._sinks: dict[MediaStreamTrack, _Sink] = {}
        self._epoch: float | None = None
        self._begun = False

    def add(self, track: MediaStreamTrack) -> None:
        """Expect frames of a track."""
        self._sinks[track] = _Sink(track.kind)

    def write(self, track: MediaStreamTrack, frame: Any, arrived: float) -> bool:
        """Write a frame; return whether a keyframe should be asked for."""
        sink = self._sinks[track]
        if isinstance(frame, EncodedFrame):
            if frame.capture_time is not None:
                arrived = frame.capture_time
            return self._write_encoded(track, sink, frame, arrived)
        self._write_raw(sink, frame, arrived)
        return False

    def _write_encoded(self, track: MediaStreamTrack, sink: _Sink, frame: EncodedFrame, arrived: float) -> bool:
        if not frame.mime and isinstance(track, EncodedMediaTrack):
            frame.mime = track.mime or ""
        if not frame.mime:
            raise LocalError("an encoded track must say what it is: EncodedVideoTrack('video/H264')")
        if sink.waiting and not frame.keyframe:
            return False
        if sink.stream is None and sink.decoder is None:
            if self._begun:
                return False
            if not self._pass_on(sink, frame):
                sink.decoder = Decoder(frame.mime)
        sink.waiting = False
        own = sink.encoded_seconds(frame)
        if sink.decoder is not None:
            for picture in sink.decoder.decode(frame):
                self._write_raw(sink, picture, arrived)
            return sink.decoder.keyframe_needed
        self._mux(sink, [sink.packet(frame, sink.seconds(own, arrived, self._time(arrived)))])
        return False

    def _pass_on(self, sink: _Sink, frame: EncodedFrame) -> bool:
        """Open a stream for frames as they are, if the format can hold them."""
        mime = frame.mime.lower()
        if mime == "audio/opus" and self._format in _WITH_OPUS:
            # Opened as if to encode: that makes the header (RFC 7845 section 5.1).
            sink.stream = self._container.add_stream("libopus", rate=AUDIO_SAMPLE_RATE, layout="stereo")
        elif mime in _WITH_VIDEO.get(self._format, frozenset()) and hasattr(self._container, "add_mux_stream"):
            pictures = Decoder(frame.mime).decode(frame)
            if not pictures:  # it is no keyframe that anybody could decode
                return False
            sink.stream = self._stream_for(mime, pictures[0])
        else:
            return False
        sink.passed_on = True
        logger.info("%s is recorded as it is", frame.mime)
        return True

    def _stream_for(self, mime: str, picture: Any) -> Any:
        time_base = Fraction(1, clock_rate(mime))
        if mime == "video/vp9" and self._format in {"mp4", "mov"}:
            # Its header tells the pixel format (vpcC), which a stream without a codec has not; nothing is encoded.
            stream = self._container.add_stream("libvpx-vp9", rate=30)
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
            context.time_base = time_base
            return stream
        stream = self._container.add_mux_stream(_CODEC_NAMES[mime], rate=30, width=picture.width, height=picture.height)
        stream.time_base = time_base
        return stream

    def _write_raw(self, sink: _Sink, frame: Any, arrived: float) -> None:
        if sink.stream is None:
            if self._begun:
                return
            self._open_encoder(sink, frame)
        own = arrived if frame.pts is None else float(frame.pts * frame.time_base)
        seconds = sink.seconds(own, arrived, self._time(arrived))
        encode = sink.encode_picture if sink.kind == "video" else sink.encode_sound
        self._mux(sink, encode(frame, seconds))

    def _open_encoder(self, sink: _Sink, frame: Any) -> None:
        name = self._format
        if sink.kind == "audio":
            codec = _AUDIO_ONLY.get(name) or ("libopus" if name in {"webm", "matroska"} else "aac")
            layout = "mono" if len(frame.layout.channels) == 1 else "stereo"
            rate = frame.sample_rate if codec == "pcm_s16le" else AUDIO_SAMPLE_RATE
            sink.stream = self._container.add_stream(codec, rate=rate, layout=layout)
            sink.stream.codec_context.open(strict=False)
            return
        if name == "image2":
            codec, options = "png", {}
        elif name == "webm":
            codec, options = "libvpx", {"deadline": "realtime", "cpu-used": "-6", "crf": "10"}
        else:
            codec, options = "libx264", {"preset": "veryfast"}
        sink.stream = self._container.add_stream(codec, rate=30, options=options)
        context = sink.stream.codec_context
        context.width, context.height = frame.width // 2 * 2, frame.height // 2 * 2
        context.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        context.time_base = Fraction(1, 90_000)
        if codec == "libvpx":
            context.bit_rate = 4_000_000  # the most; `crf` decides below that
            context.thread_count = 1  # its threads wait for each other by spinning: measured up to 100 times slower
        context.open(strict=False)

    def _time(self, arrived: float) -> float:
        if self._epoch is None:
            self._epoch = arrived
        return self._epoch

    # -- muxing ------------------------------------------------------------------------------------------------

    def _mux(self, sink: _Sink, packets: list[Any]) -> None:
        if self._begun:
            self._container.mux(packets)
            return
        sink.held += packets
        waiting = [other for other in self._sinks.values() if other.stream is None and not other.ended]
        patience = time.monotonic() - (self._epoch or 0.0) < START_TIMEOUT and len(sink.held) < MAX_HELD_PACKETS
        if waiting and patience:
            return
        if waiting:
            logger.warning("recording without %s: nothing has come", " and ".join(other.kind for other in waiting))
        self._begin()

    def _begin(self) -> None:
        self._begun = True
        for sink in self._sinks.values():
            packets, sink.held = sink.held, []
            self._container.mux(packets)

    def end(self, track: MediaStreamTrack) -> None:
        """A track has ended: nobody waits for it any more, and its encoder gives out the rest."""
        sink = self._sinks[track]
        if not sink.ended:
            packets = sink.flush()
            sink.ended = True
            if sink.stream is not None:
                self._mux(sink, packets)

    def finish(self) -> None:
        """Write what is left."""
        for track in self._sinks:
            self.end(track)
        if not self._begun and any(sink.stream is not None for sink in self._sinks.values()):
            self._begin()
