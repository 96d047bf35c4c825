"""One track for several consumers, and a consumer that throws everything away."""

import asyncio
import contextlib
import time
from typing import Any, Final, TypeAlias

from .frames import EncodedFrame, FrameQueue, MediaStreamError
from .tracks import EncodedMediaTrack, MediaStreamTrack

MAX_RELAYED_PICTURES: Final = 10
"""Decoded pictures that wait for a slow consumer: a third of a second, and 14 MB at 720p."""

MAX_RELAYED_FRAMES: Final = 50
"""Encoded frames or frames of sound that wait for a slow consumer: more than a second."""

KEYFRAME_REQUEST_INTERVAL: Final = 0.3
"""Seconds between keyframe requests to a source: many consumers ask, but one keyframe serves them all."""


class MediaRelay:
    """Gives one track to several consumers, each at its own speed.

    Decoded frames are shared: a consumer that changes one changes it for all. A track of encoded frames is relayed as
    such, so that it is encoded once for all peers: keyframe requests are merged, and the source is told the lowest of
    the target bit rates.
    """

    def __init__(self) -> None:
        self._feeds: dict[MediaStreamTrack, _Feed] = {}

    def subscribe(
        self, track: MediaStreamTrack, buffered: bool = True, *, encoded: bool | None = None
    ) -> MediaStreamTrack:
        """Return a track that delivers what `track` does, from the first `recv` on.

        Args:
            track: The source. It is read while somebody reads.
            buffered: Whether frames wait for a slow consumer, the oldest being dropped past a limit; otherwise it
                gets the newest and misses the rest.
            encoded: Whether to hand on encoded frames; None for what the track delivers. True passes a remote track on
                without decoding it.
        """
        as_encoded = isinstance(track, EncodedMediaTrack) if encoded is None else encoded
        self._feeds = {source: feed for source, feed in self._feeds.items() if source.readyState == "live"}
        feed = self._feeds.get(track)
        if feed is None or feed.encoded != as_encoded:
            feed = self._feeds[track] = _Feed(track, encoded=as_encoded)
        return _EncodedProxy(feed) if as_encoded else _Proxy(feed, buffered=buffered)


class _Proxy(MediaStreamTrack):
    """A consumer's own track of decoded frames."""

    def __init__(self, feed: "_Feed", *, buffered: bool) -> None:
        self.kind = feed.track.kind
        super().__init__()
        limit = MAX_RELAYED_PICTURES if self.kind == "video" else MAX_RELAYED_FRAMES
        self._feed = feed
        self.queue: FrameQueue[Any] = FrameQueue(limit if buffered else 1, chained=False)

    @property
    def dropped(self) -> int:
        """Frames that this consumer was too slow for."""
        return self.queue.dropped

    async def recv(self) -> Any:
        """Return the next frame."""
        if self.readyState == "ended":
            raise MediaStreamError("the track has ended")
        self._feed.add(self)
        try:
            return await self.queue.get()
        except MediaStreamError:
            self.stop()
            raise

    def stop(self) -> None:
        """End this consumer's track only."""
        super().stop()
        self.queue.items.clear()
        self.queue.close()
        self._feed.remove(self)


class _EncodedProxy(EncodedMediaTrack):
    """A consumer's own track of encoded frames. Video begins with a keyframe."""

    def __init__(self, feed: "_Feed") -> None:
        self.kind = feed.track.kind
        super().__init__()
        self._feed = feed
        self.queue: FrameQueue[Any] = FrameQueue(
            MAX_RELAYED_FRAMES, chained=self.kind == "video", on_gap=feed.request_keyframe
        )
        self.bitrate: float | None = None

    @property
    def dropped(self) -> int:
        """Frames that this consumer was too slow for."""
        return self.queue.dropped

    def start(self, mime: str) -> None:
        """Tell the source, which may serve only peers that agreed on one codec."""
        self._feed.start(mime)

    def request_keyframe(self) -> None:
        """Ask the source, unless it was asked a moment ago."""
        self._feed.request_keyframe()

    def set_target_bitrate(self, bitrate: float) -> None:
        """Tell the source if this is the slowest path."""
        self.bitrate = bitrate
        self._feed.spread_bitrate()

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame."""
        if self.readyState == "ended":
            raise MediaStreamError("the track has ended")
        if self._feed.add(self) and self.kind == "video":
            self.queue.await_keyframe()
            self._feed.request_keyframe()
        try:
            frame: EncodedFrame = await self.queue.get()
        except MediaStreamError:
            self.stop()
            raise
        return frame

    def stop(self) -> None:
        """End this consumer's track only."""
        super().stop()
        self.queue.items.clear()
        self.queue.close()
        self._feed.remove(self)
        self._feed.spread_bitrate()


_AnyProxy: TypeAlias = _Proxy | _EncodedProxy


class _Feed:
    """Reads one source while somebody wants it."""

    def __init__(self, track: MediaStreamTrack, *, encoded: bool) -> None:
        self.track = track
        self.encoded = encoded
        self._proxies: set[_AnyProxy] = set()
        self._task: asyncio.Task[None] | None = None
        self._asked = float("-inf")  # when the source was asked for a keyframe
        self._asking: asyncio.TimerHandle | None = None
        self._mime = ""

    def add(self, proxy: _AnyProxy) -> bool:
        """Register a consumer and start to read; return whether it is new."""
        if proxy in self._proxies:
            return False
        if self.track.readyState == "ended":
            proxy.queue.close()
            return False
        self._proxies.add(proxy)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read(), name="media-relay")
        return True

    def remove(self, proxy: _AnyProxy) -> None:
        """Forget a consumer; without any the source rests."""
        self._proxies.discard(proxy)
        if self._proxies:
            return
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def start(self, mime: str) -> None:
        """Tell an encoded source what was negotiated; it refuses what it cannot do."""
        if isinstance(self.track, EncodedMediaTrack) and mime.lower() != self._mime.lower():
            self.track.start(mime)
            self._mime = mime

    def request_keyframe(self) -> None:
        """Ask the source for a keyframe, at most every 0.3 seconds; a request that comes too soon is made later."""
        if self._asking is not None:
            return
        wait = self._asked + KEYFRAME_REQUEST_INTERVAL - time.monotonic()
        if wait > 0:
            self._asking = asyncio.get_running_loop().call_later(wait, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        self._asking = None
        self._asked = time.monotonic()
        ask = getattr(self.track, "request_keyframe", None)
        if ask is not None and self.track.readyState == "live":
            ask()

    def spread_bitrate(self) -> None:
        """Tell an encoded source what the slowest path carries."""
        rates = [proxy.bitrate for proxy in self._proxies if isinstance(proxy, _EncodedProxy) and proxy.bitrate]
        if rates and isinstance(self.track, EncodedMediaTrack):
            self.track.set_target_bitrate(min(rates))

    async def _read(self) -> None:
        track: Any = self.track
        receive = track.recv_encoded if self.encoded and not isinstance(track, EncodedMediaTrack) else track.recv
        try:
            while True:
                frame = await receive()
                keyframe = frame.keyframe if self.encoded else True
                for proxy in self._proxies:
                    proxy.queue.put(frame, keyframe=keyframe)
        except MediaStreamError:
            pass
        finally:
            # Also after an exception: the consumers end, and the loop reports it as one of a task.
            if asyncio.current_task() is self._task:
                self._task = None
                for proxy in list(self._proxies):
                    proxy.queue.close()


class MediaBlackhole:
    """Reads tracks and throws away what they deliver, without decoding it where that can be avoided."""

    def __init__(self) -> None:
        self._tracks: dict[MediaStreamTrack, asyncio.Task[None] | None] = {}

    def addTrack(self, track: MediaStreamTrack) -> None:  # noqa: N802  as Python's WebRTC users know it
        """Add a track whose media is to be discarded."""
        self._tracks.setdefault(track, None)

    async def start(self) -> None:
        """Start to discard."""
        for track, task in self._tracks.items():
            if task is None:
                self._tracks[track] = asyncio.get_running_loop().create_task(_discard(track), name="media-blackhole")

    async def stop(self) -> None:
        """Stop to discard; the tracks live on."""
        tasks = [task for task in self._tracks.values() if task is not None]
        self._tracks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _discard(track: Any) -> None:
    receive = getattr(track, "recv_encoded", track.recv)
    with contextlib.suppress(MediaStreamError):
        while True:
            await receive()
