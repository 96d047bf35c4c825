"""What the sub-commands share: output, errors, exit codes, names, signals."""

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console

from ..core import Address, LocalError

T = TypeVar("T")

CANNOT: Final = 1
"""It could not be done: a name that is unknown, a port in use, a server that refuses."""
NO_ANSWER: Final = 3
"""Nobody answered."""
INTERRUPTED: Final = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""

_KINDS: Final[dict[int, str]] = {socket.AF_INET: "an IPv4 address of ", socket.AF_INET6: "an IPv6 address of "}


class CommandError(Exception):
    """Ends the command with a message for people and an exit code.

    Args:
        message: What is wrong, and what to do.
        code: The exit code.
    """

    def __init__(self, message: str, code: int = CANNOT) -> None:
        super().__init__(message)
        self.code = code


class Output:
    """Standard output, for people or for scripts. Colours only on a terminal, and not with NO_COLOR.

    Args:
        as_json: One JSON object per line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)

    def report(self, event: str, text: str | None = None, **fields: Any) -> None:
        """Print one event: `text`, in rich's markup, for people, and `fields` for scripts."""
        if self.as_json:
            sys.stdout.write(json.dumps({"event": event, "time": round(time.time(), 4), **fields}) + "\n")
            sys.stdout.flush()
        elif text is not None:
            self.console.print(text)


def fail(message: str, code: int = CANNOT) -> NoReturn:
    """Print a message on standard error and end the command.

    Raises:
        Exit: Always.
    """
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"webrtc: {message}", style="red", markup=False)
    raise typer.Exit(code)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; what goes wrong becomes a message and an exit code.

    Raises:
        Exit: With the code, where it went wrong.
    """
    try:
        return asyncio.run(coroutine)
    except CommandError as error:
        fail(str(error), error.code)
    except LocalError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def resolve(host: str, port: int, *, family: int = socket.AF_UNSPEC) -> Address:
    """Return the first address of a name.

    Raises:
        CommandError: There is none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        kind = _KINDS.get(family, "")
        why = error.strerror if isinstance(error, socket.gaierror) else "not a name"
        raise CommandError(f"cannot find {kind}{host}: {why}. Check the spelling and the DNS.") from error
    return Address(*found[0][4][:2])


def local_host_towards(remote: Address) -> str:
    """Return the address of this machine that packets to `remote` leave from; nothing is sent.

    Raises:
        CommandError: There is no way there.
    """
    family = socket.AF_INET6 if ":" in remote.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(remote[:2])
        except OSError as error:
            raise CommandError(
                f"there is no route to {remote.host}: {error.strerror}. Is this machine online?"
            ) from error
        return str(probe.getsockname()[0])


def is_ip_address(text: str) -> bool:
    """Tell whether `text` is an IP address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def family_of(*, ipv4: bool, ipv6: bool) -> int:
    """Return the address family that -4 or -6 asks for.

    Raises:
        BadParameter: Both are given.
    """
    if ipv4 and ipv6:
        raise typer.BadParameter("-4 and -6 exclude each other")
    return socket.AF_INET if ipv4 else socket.AF_INET6 if ipv6 else socket.AF_UNSPEC


async def until_stopped() -> int:
    """Wait for SIGINT or SIGTERM and return the exit code for it: 130 or 0."""
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    for number, code in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 0)):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stop, code)
    return await stopped
