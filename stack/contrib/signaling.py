"""Signalling for small programs and for trying things out: by copy and paste, or through a socket.

One message a line, JSON, as aiortc's programs write it, so that such a program may be at the other end.
"""

import abc
import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias

from ..aio import RTCIceCandidate, RTCSessionDescription
from ..core import LocalError

__all__ = [
    "BYE",
    "BaseSignaling",
    "CopyAndPasteSignaling",
    "TcpSocketSignaling",
    "UnixSocketSignaling",
    "add_signaling_arguments",
    "candidate_from_sdp",
    "candidate_to_sdp",
    "create_signaling",
    "object_from_string",
    "object_to_string",
]

MAX_MESSAGE: Final = 1024 * 1024
"""Bytes of one message: a description of a hundred sections with their candidates has less."""

RETRY: Final = 0.1
"""Seconds between attempts to reach a peer that does not listen yet."""

PREFIX: Final = "candidate:"


class Bye:
    """The end of a session, of which there is one: `BYE`."""

    def __repr__(self) -> str:
        return "BYE"


BYE: Final = Bye()

SignalingObject: TypeAlias = RTCSessionDescription | RTCIceCandidate | Bye


def candidate_from_sdp(sdp: str) -> RTCIceCandidate:
    """Return a candidate from its text, with or without `candidate:` before it."""
    return RTCIceCandidate(PREFIX + sdp.removeprefix("a=").removeprefix(PREFIX))


def candidate_to_sdp(candidate: RTCIceCandidate) -> str:
    """Return a candidate's text without `candidate:` before it."""
    return candidate.candidate.removeprefix(PREFIX)


def object_to_string(obj: SignalingObject) -> str:
    """Write a description, a candidate or BYE as JSON."""
    message: dict[str, Any]
    if isinstance(obj, RTCSessionDescription):
        message = {"sdp": obj.sdp, "type": obj.type}
    elif isinstance(obj, RTCIceCandidate):
        message = {
            "candidate": obj.candidate,
            "id": obj.sdpMid,
            "label": obj.sdpMLineIndex,
            "type": "candidate",
        }
    elif obj is BYE:
        message = {"type": "bye"}
    else:
        raise TypeError(f"a description, a candidate or BYE, not {type(obj).__name__}")
    return json.dumps(message, sort_keys=True)


def object_from_string(message_str: str) -> SignalingObject:
    """Read what `object_to_string` wrote, here or in a program that uses aiortc.

    Raises:
        ValueError: It is something else.
    """
    try:
        message = json.loads(message_str)
        kind = message["type"]
        if kind == "bye":
            return BYE
        if kind == "candidate":
            return RTCIceCandidate(message["candidate"], message["id"], message["label"])
        return RTCSessionDescription(sdp=message["sdp"], type=kind)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a message of signalling: {message_str[:80]!r}") from error


class BaseSignaling(abc.ABC):
    """A way to the other side."""

    @abc.abstractmethod
    async def connect(self) -> None:
        """Make ready."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Say goodbye and free everything."""

    @abc.abstractmethod
    async def send(self, descr: SignalingObject) -> None:
        """Send a description, a candidate or BYE."""

    @abc.abstractmethod
    async def receive(self) -> SignalingObject | None:
        """Return what comes next; BYE also when the other side has gone.

        Raises:
            ValueError: What came makes no sense.
        """


class CopyAndPasteSignaling(BaseSignaling):
    """A person carries the messages: they are printed, and read from the standard input."""

    def __init__(self) -> None:
        self._input: asyncio.ReadTransport | None = None
        self._lines: asyncio.StreamReader | None = None

    async def connect(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        lines = self._lines = asyncio.StreamReader(MAX_MESSAGE, loop)
        self._input, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines, loop=loop), sys.stdin)

    async def close(self) -> None:
        """Print a goodbye and read no more."""
        if self._input is not None:
            await self.send(BYE)
            self._input.close()
            self._input = self._lines = None

    async def send(self, descr: SignalingObject) -> None:
        """Print a message."""
        sys.stdout.write(f"-- Please send this message to the remote party --\n{object_to_string(descr)}\n\n")
        sys.stdout.flush()

    async def receive(self) -> SignalingObject | None:
        """Wait for a line."""
        if self._lines is None:
            raise LocalError("call connect first")
        sys.stdout.write("-- Please enter a message from remote party --\n")
        sys.stdout.flush()
        line = await self._lines.readline()
        return object_from_string(line.decode()) if line else BYE


class _SocketSignaling(BaseSignaling):
    """One listens and one connects: who sends first listens."""

    def __init__(self) -> None:
        self._listening = False
        self._server: asyncio.Server | None = None
        self._connected = asyncio.Event()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Do nothing yet: who connects to whom shows with the first message."""

    async def close(self) -> None:
        """Say goodbye and free the socket."""
        writer, self._reader, self._writer = self._writer, None, None
        self._connected.clear()
        if writer is not None:
            with contextlib.suppress(ConnectionError):  # the other side may have been faster
                await _write(writer, BYE)
                writer.close()
                await writer.wait_closed()
        if self._server is not None:
            self._server.close()
            self._remove()
        self._server, self._listening = None, False

    async def send(self, descr: SignalingObject) -> None:
        """Send a message; the first one waits for somebody to connect."""
        if self._writer is None:
            if not self._listening:
                self._listening = True
                self._server = await self._listen()
            await self._connected.wait()
        if self._writer is not None:
            await _write(self._writer, descr)

    async def receive(self) -> SignalingObject | None:
        """Return the next message; the first call waits for somebody to listen."""
        while self._reader is None:
            if self._listening:
                await self._connected.wait()
                continue
            try:
                self._on_connected(*await self._open())
            except (ConnectionRefusedError, FileNotFoundError):  # who offers has not begun yet
                await asyncio.sleep(RETRY)
        try:
            line = await self._reader.readuntil()
        except (asyncio.IncompleteReadError, ConnectionError):
            return BYE
        except asyncio.LimitOverrunError as error:
            raise ValueError(f"a message of signalling is longer than {MAX_MESSAGE} bytes") from error
        return object_from_string(line.decode())

    def _on_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None:
            writer.close()  # there is one other side
            return
        self._reader, self._writer = reader, writer
        self._connected.set()

    @abc.abstractmethod
    async def _listen(self) -> asyncio.Server: ...

    @abc.abstractmethod
    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...

    def _remove(self) -> None:
        """Remove what a listening socket leaves behind."""


async def _write(writer: asyncio.StreamWriter, descr: SignalingObject) -> None:
    writer.write(object_to_string(descr).encode() + b"\n")
    await writer.drain()


class TcpSocketSignaling(_SocketSignaling):
    """Messages over TCP.

    Args:
        host: Name or address to listen on or to connect to.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._host, self._port = host, port

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._on_connected, self._host, self._port, limit=MAX_MESSAGE)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=MAX_MESSAGE)


class UnixSocketSignaling(_SocketSignaling):
    """Messages over a Unix socket.

    Args:
        path: Of the socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._on_connected, self._path, limit=MAX_MESSAGE)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._path, limit=MAX_MESSAGE)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # since Python 3.13 the server has done it
            Path(self._path).unlink()


def add_signaling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `create_signaling` reads."""
    parser.add_argument("--signaling", "-s", choices=["copy-and-paste", "tcp-socket", "unix-socket"])
    parser.add_argument("--signaling-host", default="127.0.0.1", help="Signaling host (tcp-socket only)")
    parser.add_argument("--signaling-port", default=1234, type=int, help="Signaling port (tcp-socket only)")
    parser.add_argument(
        "--signaling-path", default="aiortc.socket", help="Signaling socket path (unix-socket only)"
    )  # aiortc's own default, for a program at the other end that uses it


def create_signaling(args: argparse.Namespace) -> BaseSignaling:
    """Return the way that the command line asks for, copy and paste if none."""
    if args.signaling == "tcp-socket":
        return TcpSocketSignaling(args.signaling_host, args.signaling_port)
    if args.signaling == "unix-socket":
        return UnixSocketSignaling(args.signaling_path)
    return CopyAndPasteSignaling()
