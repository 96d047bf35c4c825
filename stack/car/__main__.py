"""The command line: `rccar`, or `python -m stack.car`."""

import asyncio
import errno
import secrets
import signal
import socket
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

try:
    import typer
    from aiohttp import web

    from .console import TerminalReport, json_report
except ImportError as missing:
    sys.exit(f"rccar needs more packages ({missing}): pip install webrtc-stack[car]")

from stack import RTCConfiguration, RTCIceServer, RTCPeerConnection, __version__

from ..core import LocalError
from ..media import Worker, create_encoder
from .camera import Camera
from .failsafe import Closed, FailSafeEvent, Resumed, Stopped
from .network import lan_address
from .server import CarServer, Report, Settings
from .simulation import Simulation
from .track import Track
from .video import CarVideoTrack

DEFAULT_PORT: Final = 8080
PORTS_TO_TRY: Final = 20  # from DEFAULT_PORT on, when none was asked for


class Codec(StrEnum):
    """What the page is asked to prefer."""

    H264 = "h264"
    VP8 = "vp8"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, read.

    Args:
        host: Address to listen on.
        port: TCP port, 0 for any free one, None for the first free one from `DEFAULT_PORT` on.
        codec: Preferred codec.
        width: Pixels.
        height: Pixels.
        fps: Pictures per second.
        bitrate: Upper limit of the video, bit/s.
        ice_servers: For the car and for the page.
        token: Wanted from drivers, or None.
    """

    host: str
    port: int | None
    codec: Codec
    width: int
    height: int
    fps: int
    bitrate: int
    ice_servers: tuple[RTCIceServer, ...]
    token: str | None


app = typer.Typer(
    add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]}
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"rccar {__version__}")
        raise typer.Exit


@app.command(
    epilog="Examples:  [bold]rccar[/]  drive from this machine ·  [bold]rccar --host 0.0.0.0[/]  from a phone in the "
    "same network ·  [bold]rccar --json --port 0[/]  from a script",
)
def run(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all, then a token is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=r"TCP port; 0 takes any.  \[default: first free from 8080]")
    ] = None,
    codec: Annotated[Codec, typer.Option(help="Video codec that the page shall prefer.")] = Codec.H264,
    width: Annotated[int, typer.Option(help="Pixels.")] = 640,
    height: Annotated[int, typer.Option(help="Pixels.")] = 360,
    fps: Annotated[int, typer.Option(min=1, max=60, help="Pictures per second.")] = 30,
    bitrate: Annotated[int, typer.Option(min=100, max=20_000, help="Most that the video may take, kbit/s.")] = 2_000,
    ice_server: Annotated[
        list[str] | None,
        typer.Option(
            help="STUN or TURN server, for drivers beyond this network: stun:host, turn:host, turns:host. Repeatable."
        ),
    ] = None,
    ice_username: Annotated[str | None, typer.Option(envvar="RCCAR_ICE_USERNAME", help="For the TURN servers.")] = None,
    ice_credential: Annotated[
        str | None,
        typer.Option(envvar="RCCAR_ICE_CREDENTIAL", help="Its password; better in the environment than here."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help=r"Token in the link.  \[default: a new one, none for localhost]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event, for scripts.")] = False,
    _show: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Drive a simulated RC car from a browser: live video, controls and telemetry over WebRTC."""
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        token = secrets.token_urlsafe(12)
    servers = tuple(RTCIceServer(url, ice_username, ice_credential) for url in ice_server or ())
    options = Options(host, port, codec, width, height, fps, bitrate * 1000, servers, token)
    report: Report = json_report if as_json else TerminalReport()
    try:
        asyncio.run(drive(options, report))
    except LocalError as error:
        _fail(str(error))
    except socket.gaierror as error:
        _fail(f"cannot listen on {host}: {error.strerror}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"port {port} on {host} is in use; choose another with --port, or --port 0 for any")
        if error.errno in (errno.EACCES, errno.EADDRNOTAVAIL, None):  # None: asyncio's own, since Python 3.13
            _fail(f"cannot listen on {host} port {port}: {error.strerror or error}")
        raise
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def drive(options: Options, report: Report) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        LocalError: If an option is not usable.
        OSError: If the port cannot be had.
    """
    track = Track()
    camera = Camera(track, options.width, options.height)
    create_encoder(f"video/{options.codec}", options.width, options.height, options.fps)  # fail now, not in a drive
    worker = Worker("camera")
    simulation = Simulation(track, options.fps, on_event=lambda event: _report_failsafe(event, report))
    configuration = RTCConfiguration(iceServers=list(options.ice_servers), playoutDelay=(0.0, 0.0))
    await RTCPeerConnection(configuration).close()  # a server that is none is said now, too

    def create_peer() -> tuple[Any, Any]:
        peer = RTCPeerConnection(configuration)
        return peer, CarVideoTrack(camera, worker, options.fps, options.bitrate)

    settings = Settings(options.token, options.codec.upper(), tuple(map(_for_the_page, options.ice_servers)))
    runner = web.AppRunner(
        CarServer(simulation, create_peer, settings, report).application(), access_log=None, shutdown_timeout=0.2
    )
    stop = _stop_on_signals()
    await runner.setup()
    running = asyncio.create_task(simulation.run())
    running.add_done_callback(lambda _task: stop.set())
    try:
        port = await _listen(runner, options, report)
        report(
            "listening",
            url=_url(options, port),
            local=options.token is None,
            codec=settings.codec,
            picture=f"{options.width}x{options.height} at {options.fps}/s",
        )
        await stop.wait()
    finally:
        await runner.cleanup()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        worker.close()
    if not running.cancelled():
        running.result()
    report("stopped")


def _for_the_page(server: RTCIceServer) -> dict[str, Any]:
    """Return a server as a browser's RTCConfiguration has it."""
    account = {"username": server.username, "credential": server.credential}
    return {"urls": server.urls} | {name: value for name, value in account.items() if value is not None}


async def _listen(runner: web.AppRunner, options: Options, report: Report) -> int:
    """Open the port and return its number."""
    if options.port is not None:
        await web.TCPSite(runner, options.host, options.port).start()
        port: int = runner.addresses[0][1]
        return port
    for port in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TO_TRY):
        try:
            await web.TCPSite(runner, options.host, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        if port != DEFAULT_PORT:
            report("port-taken", wanted=DEFAULT_PORT, port=port)
        return port
    raise LocalError(f"ports {DEFAULT_PORT} to {DEFAULT_PORT + PORTS_TO_TRY - 1} are all in use; try --port 0")


def _stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            break
    return stop


def _url(options: Options, port: int) -> str:
    host = lan_address() if options.host in ("0.0.0.0", "::") else options.host  # noqa: S104  compared, not bound
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}:{port}/" + (f"?token={options.token}" if options.token else "")


def _report_failsafe(event: FailSafeEvent, report: Report) -> None:
    match event:
        case Stopped(reason, at, last):
            age = None if last is None else round((at - last) * 1000)
            report("failsafe-stopped", reason=reason, last_command_age_ms=age)
        case Resumed():
            report("failsafe-resumed")
        case Closed():
            report("failsafe-closed")


def _fail(message: str) -> None:
    typer.secho(f"rccar: {message}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app(prog_name="rccar")


if __name__ == "__main__":
    main()
