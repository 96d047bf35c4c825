"""`webrtc whip publish` and `webrtc whep play`: send a stream to a server and watch one, signalled over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from ..aio import RTCConfiguration, RTCIceServer
from ..aio.network import parse_servers
from ..core import LocalError
from .common import NO_ANSWER, CommandError, Output, run, until_stopped
from .turn import password_of

if TYPE_CHECKING:
    from ..aio import MediaStreamTrack
    from ..aio.whip import HttpSignaling, WhepClient, WhipClient

TOKEN_VARIABLE: Final = "WEBRTC_WHIP_TOKEN"  # noqa: S105  the name of a variable
"""Environment variable with the bearer token."""
MAX_ATTEMPTS: Final = 100
"""Attempts of `whep play --wait` before it gives up: some minutes at the intervals that servers ask for."""
LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts at most, whatever the server asks for."""
REPORT_INTERVAL: Final = 5.0
"""Seconds between two lines about what is going on."""

_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Publish to a WHIP endpoint.", context_settings=_CONTEXT
)
whep_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Play from a WHEP endpoint.", context_settings=_CONTEXT
)

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The endpoint: https://host/path, or http:.")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        envvar=TOKEN_VARIABLE,
        help="Bearer token, or @FILE. Every user of this machine sees arguments: better give the file or the variable.",
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server", metavar="URL", help="stun:HOST, in place of the servers that the endpoint names. Repeatable."
    ),
]
DurationOption = Annotated[float | None, typer.Option(min=0.1, help="Seconds after which to end; else Ctrl-C ends it.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, max=120, help="Seconds for each request, and to connect.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]


@app.callback()
def _whip() -> None:
    """Publish to a WHIP endpoint."""


@whep_app.callback()
def _whep() -> None:
    """Play from a WHEP endpoint."""


@app.command(
    "publish",
    epilog="Examples:  [bold]webrtc whip publish https://example.org/whip/room --token @token[/]  a test picture ·  "
    "[bold]webrtc whip publish http://localhost:8889/stage/whip --media film.mp4 --loop[/] ·  Exit codes: 0 ended by "
    "--duration or with the file, 1 refused or the connection failed, 2 wrong usage, 3 nobody answered, 130 Ctrl-C",
)
def publish_command(
    url: UrlArgument,
    media: Annotated[
        str, typer.Option(metavar="FILE", help="What to send: a file or URL, or testsrc, a test picture with a tone.")
    ] = "testsrc",
    loop: Annotated[bool, typer.Option("--loop", help="Play the file again and again.")] = False,
    audio: Annotated[bool, typer.Option(help="Send sound.")] = True,
    video: Annotated[bool, typer.Option(help="Send pictures.")] = True,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of the test picture.")] = "1280x720",
    token: TokenOption = None,
    server: ServerOption = None,
    duration: DurationOption = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Publish a file or a test picture (draft-ietf-wish-whip)."""
    if not audio and not video:
        raise typer.BadParameter("there is nothing left to send")
    width, height = _size(size)
    configuration, secret = _configuration(server), _token(token)

    async def publish() -> int:
        from ..aio.whip import WhipClient

        tracks = await _sources(media, width, height, loop=loop)
        wanted = [track for track in tracks if (audio if track.kind == "audio" else video)]
        if not wanted:
            raise CommandError(f"{media} has nothing of what is to be sent")
        client = WhipClient(url, token=secret, configuration=configuration, timeout=timeout)
        try:
            return await _publish(client, wanted, duration, timeout, Output(as_json=as_json))
        finally:
            for track in tracks:
                track.stop()

    raise typer.Exit(run(_with_aiohttp(publish)))


@whep_app.command(
    "play",
    epilog="Examples:  [bold]webrtc whep play https://example.org/whep/room[/]  does it play? ·  [bold]webrtc whep "
    "play https://example.org/whep/room --record film.mkv --duration 60[/] ·  Exit codes: 0 ended by --duration, 1 "
    "refused or the connection failed, 2 wrong usage, 3 nobody answered, 130 Ctrl-C",
)
def play_command(
    url: UrlArgument,
    record: Annotated[Path | None, typer.Option(help="Write it to this file: mkv, mp4, webm, wav.")] = None,
    audio: Annotated[bool, typer.Option(help="Play sound.")] = True,
    video: Annotated[bool, typer.Option(help="Play pictures.")] = True,
    wait: Annotated[bool, typer.Option("--wait", help="Try again while nobody publishes.")] = False,
    token: TokenOption = None,
    server: ServerOption = None,
    duration: DurationOption = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Play a stream, and record it if wanted (draft-ietf-wish-whep)."""
    kinds = [kind for kind, wanted in (("video", video), ("audio", audio)) if wanted]
    if not kinds:
        raise typer.BadParameter("there is nothing left to play")
    configuration, secret = _configuration(server), _token(token)

    async def play() -> int:
        from ..aio.whip import WhepClient, WhipError

        output = Output(as_json=as_json)
        for attempt in range(MAX_ATTEMPTS):
            client = WhepClient(url, token=secret, configuration=configuration, timeout=timeout)
            try:
                async with client:
                    return await _play(client, kinds, record, duration, timeout, output)
            except WhipError as error:
                if not wait or error.status not in {404, 409} or attempt == MAX_ATTEMPTS - 1:
                    raise
                seconds = min(LONGEST_WAIT, error.retry_after or 2.0)
                output.report("waiting", f"[dim]nobody publishes; again in {seconds:g} s[/]", seconds=seconds)
                await asyncio.sleep(seconds)
        raise CommandError("nobody publishes")

    raise typer.Exit(run(_with_aiohttp(play)))


# -- what is asked for -------------------------------------------------------------------------------------------------


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in (width, height)):
        raise typer.BadParameter(f"a size is of the form 1280x720, not {text}")
    return int(width), int(height)


def _token(text: str | None) -> str | None:
    return None if text is None else password_of(text)


def _configuration(urls: list[str] | None) -> RTCConfiguration:
    configuration = RTCConfiguration([RTCIceServer(url) for url in urls or []])
    try:
        parse_servers(configuration.iceServers)
    except LocalError as error:
        raise typer.BadParameter(str(error)) from error
    return configuration


async def _sources(media: str, width: int, height: int, *, loop: bool) -> "list[MediaStreamTrack]":
    """Return the tracks of a file or of the test picture."""
    try:
        from ..media import MediaPlayer, TestPatternTrack, ToneTrack
    except ImportError as missing:
        raise CommandError(
            f"sending media needs more packages ({missing}): pip install webrtc-stack[media]"
        ) from missing
    if media == "testsrc":
        return [TestPatternTrack(width, height), ToneTrack()]
    try:
        player = await asyncio.to_thread(MediaPlayer, media, loop=loop)
    except (OSError, ValueError) as error:
        raise CommandError(f"{media} cannot be played: {error}") from error
    return [track for track in (player.video, player.audio) if track is not None]


# -- doing it ----------------------------------------------------------------------------------------------------------


async def _with_aiohttp(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run the coroutine function; what the server says becomes the command's error."""
    try:
        from ..aio.whip import WhipError, WhipUnreachableError
    except ImportError as missing:
        raise CommandError(str(missing)) from missing
    try:
        return await _until_stopped(work)
    except WhipUnreachableError as error:
        raise CommandError(str(error), NO_ANSWER) from error
    except WhipError as error:
        raise CommandError(str(error)) from error


async def _until_stopped(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run the coroutine function until it ends or somebody stops it; it says goodbye to the server either way."""
    stopped = asyncio.ensure_future(until_stopped())
    await asyncio.sleep(0)  # its signal handlers come first
    working = asyncio.ensure_future(work())
    await asyncio.wait({stopped, working}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return stopped.result()
    stopped.cancel()
    return working.result()


async def _publish(
    client: "WhipClient", tracks: "list[MediaStreamTrack]", duration: float | None, patience: float, output: Output
) -> int:
    async with client:
        await client.publish(*tracks)
        ended = asyncio.Event()
        for track in tracks:
            track.on("ended", ended.set)
        await client.wait_connected(patience)
        kinds = " and ".join(track.kind for track in tracks)
        output.report(
            "connected", f"[green]publishing[/] {kinds}: {escape(client.resource or '')}", url=client.resource
        )
        async with _reporting(client, output):
            return await _until_the_end(client, ended, duration, output)


async def _play(
    client: "WhepClient", kinds: list[str], record: Path | None, duration: float | None, patience: float, output: Output
) -> int:
    from ..media import MediaBlackhole, MediaRecorder

    tracks = await client.play(*kinds)
    await client.wait_connected(patience)
    names = " and ".join(track.kind for track in tracks)
    output.report(
        "connected", f"[green]playing[/] {names or 'nothing'}: {escape(client.resource or '')}", url=client.resource
    )
    sink: Any
    try:
        sink = MediaRecorder(str(record)) if record is not None else MediaBlackhole()
        for track in tracks:
            sink.addTrack(track)
    except (OSError, ValueError, LocalError) as error:
        raise CommandError(f"{record} cannot be written: {error}") from error
    await sink.start()
    try:
        async with _reporting(client, output):
            return await _until_the_end(client, asyncio.Event(), duration, output)
    finally:
        await sink.stop()
        if record is not None and not await asyncio.to_thread(record.exists):
            output.report("recorded", f"[yellow]nothing came: there is no {escape(str(record))}[/]", file=None)
        elif record is not None:
            output.report("recorded", f"recorded {escape(str(record))}", file=str(record))


async def _until_the_end(client: "HttpSignaling", ended: asyncio.Event, duration: float | None, output: Output) -> int:
    """Wait until time is up, the media ends or the connection ends; return the exit code."""
    waiting = {
        asyncio.ensure_future(client.connection_ended()): "the connection ended",
        asyncio.ensure_future(ended.wait()): "the media ended",
    }
    try:
        done, _ = await asyncio.wait(waiting, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    why = next((waiting[task] for task in done), "time is up")
    if why == "the connection ended":
        error = client.connection.error if client.connection is not None else None
        raise CommandError(f"the connection ended: {error or 'the server closed it'}")
    output.report("ended", f"[dim]{why}[/]", reason=why)
    return 0


@contextlib.asynccontextmanager
async def _reporting(client: "HttpSignaling", output: Output) -> AsyncIterator[None]:
    """Say from time to time over which path it goes."""

    async def report() -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            if client.connection is not None:
                selected = next((pair for pair in client.connection.iceReport().pairs if pair.selected), None)
                if selected is not None:
                    path = (
                        f"{selected.local.host}:{selected.local.port} - {selected.remote.host}:{selected.remote.port}"
                    )
                    output.report("path", f"[dim]{client.connection.connectionState}, {escape(path)}[/]", path=path)

    task = asyncio.create_task(report(), name="whip-report")
    try:
        yield
    finally:
        task.cancel()
