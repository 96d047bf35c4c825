"""One TCP or TLS connection that carries datagrams; see `streams`, which opens them."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from struct import Struct
from typing import Final, Protocol

from ..core import Address, Datagram, ParseError
from ..turn import StreamDeframer

logger = logging.getLogger(__name__)

MAX_FRAME: Final = 18_432
"""Bytes of one frame of ICE-TCP: the largest DTLS record (RFC 6347 section 4.1) and more than anything else."""

MAX_QUEUED: Final = 256 * 1024
"""Bytes that wait for one connection, about a second of video; past it the oldest live data goes. What must not go may
take as much again, and then the connection is closed."""

MAX_READS: Final = 4
"""System calls per wakeup, so that one busy connection cannot starve the loop; the rest comes with the next turn."""

READ_SIZE: Final = 65_536
WRITE_SIZE: Final = 65_536

CONNECT_TIMEOUT: Final = 10.0
"""Seconds until a connection stands, with TLS. ICE and TURN have given up not much later."""

FIRST_FRAME_TIMEOUT: Final = 5.0
"""Seconds that whoever connects to us may take for a first STUN message; a peer sends its check at once."""

_LENGTH: Final = Struct("!H")
_unpack_length = _LENGTH.unpack_from
_pack_length = _LENGTH.pack
_MAGIC_COOKIE: Final = b"\x21\x12\xa4\x42"
_SEND_INDICATION: Final = b"\0\x16"


class Deframer(Protocol):
    """What cuts datagrams out of a stream."""

    def push(self, data: bytes) -> list[bytes]:
        """Take bytes, return the datagrams that are complete now; ParseError when they cannot be followed."""
        ...


class FrameDeframer:
    """Cuts the frames of RFC 4571 section 2 out of a stream: 16 bits of length, then the datagram."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete yet; at most `MAX_FRAME` + 2."""
        return len(self._buffer)

    def push(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the frames that are complete now; empty ones are left out.

        Raises:
            ParseError: `frame-too-long`: more than `MAX_FRAME`. Frames before the fault are lost with it.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        offset, available = 0, len(buffer)
        while available - offset >= 2:
            (length,) = _unpack_length(buffer, offset)
            if length > MAX_FRAME:
                raise ParseError("frame-too-long")
            end = offset + 2 + length
            if end > available:
                break
            if length:
                frames.append(bytes(buffer[offset + 2 : end]))
            offset = end
        del buffer[:offset]
        return frames


@lru_cache(maxsize=8)
def tls_context(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """Reading the authorities of the system takes tens of milliseconds: once is enough."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Tls:
    """TLS between two buffers in memory.

    Args:
        context: What to trust.
        name: The server's name, or its address.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "ready")

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.ready = False

    def start(self) -> bytes:
        """Return the first flight."""
        return self.receive(b"")[1]

    def receive(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """Take bytes of the wire; return plaintext, bytes for the wire, and whether the server has ended.

        Raises:
            ssl.SSLError: The handshake or a record failed; `ssl.SSLCertVerificationError` among them.
        """
        self._incoming.write(data)
        plaintext: list[bytes] = []
        ended = False
        try:
            if not self.ready:
                self._object.do_handshake()
                self.ready = True
            while part := self._object.read(READ_SIZE):
                plaintext.append(part)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            ended = True
        return b"".join(plaintext), self._outgoing.read(), ended

    def protect(self, data: bytes) -> bytes:
        """Return plaintext as records. The handshake must be complete."""
        self._object.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return close_notify, or nothing when it is too early for it."""
        with suppress(ssl.SSLError, ValueError):
            self._object.unwrap()
        return self._outgoing.read()


class Owner(Protocol):
    """What a connection belongs to."""

    loop: asyncio.AbstractEventLoop
    dropped: Counter[str]

    def deliver(self, batch: list[Datagram]) -> None:
        """Take what was read in one wakeup."""
        ...

    def on_connection_failed(self, connection: "Connection", reason: str) -> None:
        """Hear that a connection has ended by itself; it is closed already."""
        ...


class Connection:
    """One connection: frames in, frames out.

    Args:
        owner: Whose it is.
        sock: Connected or connecting, non-blocking.
        key: Local and remote address as those above know them.
        accepted: Whether the other end opened it. Then it has to send a STUN message first, and soon.
        deframer: Cuts what arrives into datagrams; TURN's also means that datagrams to send are frames already.
        tls: Encryption, or None.

    Attributes:
        key: As given.
        closed: Whether it is.
    """

    __slots__ = (
        "_bytes_waiting",
        "_connected",
        "_deadline",
        "_deframer",
        "_heard",
        "_loop",
        "_owner",
        "_sock",
        "_tls",
        "_turn",
        "_waiting",
        "_wire",
        "_writing",
        "closed",
        "key",
    )

    def __init__(
        self,
        owner: Owner,
        sock: socket.socket,
        key: tuple[Address, Address],
        *,
        accepted: bool,
        deframer: Deframer,
        tls: Tls | None = None,
    ) -> None:
        self._owner, self._loop, self._sock, self.key = owner, owner.loop, sock, key
        self._deframer, self._turn, self._tls = deframer, isinstance(deframer, StreamDeframer), tls
        self._waiting: deque[bytes] = deque()
        self._bytes_waiting = 0
        self._wire = memoryview(b"")
        self.closed = False
        self._connected, self._heard = accepted, not accepted
        self._writing = not accepted
        if accepted:
            self._deadline = self._loop.call_later(FIRST_FRAME_TIMEOUT, self._fail, "no-first-frame")
            self._loop.add_reader(sock, self._on_readable)
        else:
            self._deadline = self._loop.call_later(CONNECT_TIMEOUT, self._fail, "connect-timeout")
            self._loop.add_writer(sock, self._on_writable)

    # -- reading -----------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        batch: list[Datagram] = []
        reason = ""
        for _ in range(MAX_READS):
            try:
                data = self._sock.recv(READ_SIZE)
                reason = self._take(data, batch) if data else "ended"
            except BlockingIOError:
                break
            except ssl.SSLError as error:
                reason = self._tls_reason(error)
            except OSError as error:
                reason = error_slug(error)
            except ParseError as error:
                reason = error.reason
            if reason or len(data) < READ_SIZE:
                break
        if batch:
            self._owner.deliver(batch)
        if reason:
            self._fail(reason)

    def _take(self, data: bytes, batch: list[Datagram]) -> str:
        """Add the datagrams that are complete now to the batch; return why the connection is over, if it is."""
        ended = False
        if self._tls is not None:
            was_ready = self._tls.ready
            data, answer, ended = self._tls.receive(data)
            if answer:
                self._wire = memoryview(bytes(self._wire) + answer)
            if self._tls.ready and not was_ready:
                self._deadline.cancel()
                self._flush()
            elif answer:
                self._flush()
        remote, local = self.key[1], self.key[0]
        for message in self._deframer.push(data):
            if not self._heard:
                if not _is_stun(message):
                    return "no-stun-first"
                self._heard = True
                self._deadline.cancel()
            batch.append(Datagram(message, remote, local))
        return "ended" if ended else ""

    def _tls_reason(self, error: ssl.SSLError) -> str:
        logger.warning("TLS with %s failed: %s", self.key[1], error)
        return "certificate-refused" if isinstance(error, ssl.SSLCertVerificationError) else "tls-failed"

    # -- writing -----------------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Queue datagrams and write what the socket takes."""
        waiting = self._waiting
        for datagram in datagrams:
            data = datagram.data
            if not self._turn:
                if len(data) > MAX_FRAME:
                    self._owner.dropped["frame-too-long"] += 1
                    continue
                data = _pack_length(len(data)) + data
            waiting.append(data)
            self._bytes_waiting += len(data)
        if not self._writing:
            self._flush()
        if self._bytes_waiting > MAX_QUEUED:
            self._make_room()

    def _make_room(self) -> None:
        kept: deque[bytes] = deque()
        while self._waiting and self._bytes_waiting > MAX_QUEUED:
            frame = self._waiting.popleft()
            if self._is_live(frame):
                self._bytes_waiting -= len(frame)
                self._owner.dropped["stream-full"] += 1
            else:
                kept.append(frame)
        self._waiting.extendleft(reversed(kept))
        if self._bytes_waiting > 2 * MAX_QUEUED:
            self._fail("stream-stuck")

    def _is_live(self, frame: bytes) -> bool:
        """Tell whether the other end does without: all but STUN, and the data inside of a Send indication."""
        if self._turn:
            return frame[:1] >= b"\x40" or frame[:2] == _SEND_INDICATION
        return frame[2:3] > b"\x03"  # RFC 7983 section 7

    def _on_writable(self) -> None:
        if not self._connected:
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._fail(error_slug(OSError(error, "")))
                return
            self._connected = True
            if self._tls is None:
                self._deadline.cancel()
            else:
                self._wire = memoryview(self._tls.start())
            self._loop.add_reader(self._sock, self._on_readable)
        self._flush()

    def _flush(self) -> None:
        """Write until nothing is left or the socket is full, and watch it in that case only."""
        try:
            done = self._connected and self._write()
        except ssl.SSLError as error:
            self._fail(self._tls_reason(error))
            return
        except OSError as error:
            self._fail(error_slug(error))
            return
        if done == self._writing:
            self._writing = not done
            if done:
                self._loop.remove_writer(self._sock)
            else:
                self._loop.add_writer(self._sock, self._on_writable)

    def _write(self) -> bool:
        """Return whether everything that can be written is."""
        while True:
            if not self._wire and not self._fill():
                return True
            try:
                sent = self._sock.send(self._wire)
            except BlockingIOError:
                return False
            self._wire = self._wire[sent:]

    def _fill(self) -> bool:
        """Take frames to the wire, all at once as far as they are small."""
        if not self._waiting or (self._tls is not None and not self._tls.ready):
            return False
        frames: list[bytes] = []
        size = 0
        while self._waiting and size < WRITE_SIZE:
            frame = self._waiting.popleft()
            size += len(frame)
            frames.append(frame)
        self._bytes_waiting -= size
        data = b"".join(frames)
        self._wire = memoryview(data if self._tls is None else self._tls.protect(data))
        return True

    # -- the end -----------------------------------------------------------------------------------------------

    def _fail(self, reason: str) -> None:
        if not self.closed:
            self.close()
            self._owner.on_connection_failed(self, reason)

    def close(self) -> None:
        """Free everything; what the kernel has taken is still sent."""
        if self.closed:
            return
        self.closed = True
        self._deadline.cancel()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        if self._tls is not None and self._tls.ready and not self._wire:
            with suppress(OSError):  # a courtesy
                self._sock.send(self._tls.end())
        self._waiting.clear()
        self._bytes_waiting = 0
        self._sock.close()


def _is_stun(message: bytes) -> bool:
    return len(message) >= 20 and message[0] < 4 and message[4:8] == _MAGIC_COOKIE


def error_slug(error: OSError) -> str:
    """Return the name of a system's error as the reason to count it by."""
    return errno.errorcode.get(error.errno or 0, "os-error")
