"""`webrtc turn`: run a TURN server, or ask one whether it works."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from ..aio.turn_check import CheckError, Report, check_server
from ..aio.turn_server import Listener, ListenError, TurnServer, TurnSettings, machine_hosts
from ..core import LocalError, ParseError
from ..turn import AllocationCreated, RelayReleased, ServerConfiguration, ServerEvent, parse_uri, rest_password
from ..turn.configuration import MAX_ALLOCATIONS, MAX_ALLOCATIONS_PER_USER
from ..turn.wire import MAX_LIFETIME

USERS_VARIABLE: Final = "WEBRTC_TURN_USERS"
"""Environment variable with users, as NAME:PASSWORD, separated by commas or spaces."""
PASSWORD_VARIABLE: Final = "WEBRTC_TURN_PASSWORD"  # noqa: S105  the name of a variable
CREDENTIAL_TIME: Final = 24 * 3600  # seconds that the credentials in the printed configuration are good for
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104  compared, not bound

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run a TURN relay, or check one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    epilog="Example:  [bold]webrtc turn serve --listen 0.0.0.0 --relay-ip 203.0.113.7 --user me:secret[/]",
)
def serve(
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TRANSPORT://]HOST[:PORT]",
            help=r"Where clients come to: HOST for UDP and TCP at 3478 (and TLS at 5349 with a certificate), or "
            r"udp://, tcp://, tls://. Repeatable.  \[default: 127.0.0.1]",
        ),
    ] = None,
    relay_ip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IP[/LOCAL]",
            help="Address to relay from, one of IPv4 and one of IPv6; with /LOCAL the one that a NAT in front of this "
            r"machine has, and the one to bind.  \[default: the address listened on]",
        ),
    ] = None,
    realm: Annotated[str, typer.Option(help="Realm of the accounts; by custom your domain.")] = "webrtc",
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:PASSWORD",
            help=f"An account; NAME:@FILE reads the password from a file, and {USERS_VARIABLE} has more accounts: "
            "arguments are seen by every user of this machine. Repeatable.",
        ),
    ] = None,
    rest_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret of time-limited credentials (coturn's use-auth-secret).")
    ] = None,
    ports: Annotated[str, typer.Option(metavar="FIRST-LAST", help="Ports to relay from.")] = "49152-65535",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain for TLS, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM, if not in the same file.")] = None,
    allow_peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Relay there although it is not public, as 10.0.0.0/8. Repeatable."),
    ] = None,
    deny_peer: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Never relay there. Repeatable.")
    ] = None,
    tcp_relay: Annotated[bool, typer.Option("--tcp-relay", help="Relay TCP connections too (RFC 6062).")] = False,
    max_allocations: Annotated[int, typer.Option(min=1, help="Allocations at a time.")] = MAX_ALLOCATIONS,
    user_quota: Annotated[int, typer.Option(min=1, help="Allocations of one user.")] = MAX_ALLOCATIONS_PER_USER,
    max_lifetime: Annotated[
        int, typer.Option(min=600, help="Seconds of an allocation without renewal.")
    ] = MAX_LIFETIME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event, for scripts.")] = False,
) -> None:
    """Relay for your own users. Public addresses only, unless allowed by name."""
    try:
        hosts, binds = _relay_hosts(relay_ip or [], listen or ["127.0.0.1"])
        tls = _certificate(tls_cert, tls_key)
        configuration = ServerConfiguration(
            realm,
            hosts,
            _users(user or []),
            rest_secret="" if rest_secret_file is None else _secret(rest_secret_file),
            ports=_ports(ports),
            max_lifetime=max_lifetime,
            max_allocations=max_allocations,
            max_allocations_per_user=user_quota,
            allowed_peers=tuple(allow_peer or ()),
            denied_peers=tuple(deny_peer or ()),
            tcp_relays=tcp_relay,
        )
        if not configuration.users and not configuration.rest_secret:
            _fail(f"nobody could use it: give --user, {USERS_VARIABLE} or --rest-secret-file")
        listeners = [found for text in listen or ["127.0.0.1"] for found in _listeners(text, tls is not None)]
        settings = TurnSettings(configuration, listeners, tls, binds)
        asyncio.run(_serve(settings, as_json=as_json))
    except LocalError as error:
        _fail(str(error))
    except ListenError as error:
        _fail(_why(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _serve(settings: TurnSettings, *, as_json: bool) -> None:
    def report(event: ServerEvent) -> None:
        match event:
            case AllocationCreated(client, relayed, username):
                _say(as_json, "allocated", client=str(client), relayed=str(relayed), user=username)
            case RelayReleased(relayed):
                _say(as_json, "released", relayed=str(relayed))

    server = TurnServer(settings, report)
    await server.start()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ice_servers = _ice_servers(server, settings)
    if as_json:
        _say(as_json, "listening", listeners=[str(found) for found in server.addresses], ice_servers=ice_servers)
    else:
        typer.echo(f"Listening on {', '.join(str(found) for found in server.addresses)}. Ctrl-C ends it.")
        typer.echo(f"\niceServers: {json.dumps(ice_servers, indent=2)}\n")
    try:
        await stop.wait()
    finally:
        await server.close()
    _say(as_json, "stopped", dropped=dict(server.dropped))


def _ice_servers(server: TurnServer, settings: TurnSettings) -> list[dict[str, Any]]:
    """Return what a browser's RTCPeerConnection wants, for the first account."""
    configuration = settings.configuration
    public = dict(zip(settings.bind_hosts.values(), settings.bind_hosts, strict=True))
    urls = []
    for found in server.addresses:
        host = public.get(found.host, found.host)
        if host in WILDCARDS:
            host = next((one for one in configuration.relay_hosts if (":" in one) == (":" in host)), host)
        name = f"[{host}]" if ":" in host else host
        scheme, transport = ("turns", "tcp") if found.transport == "tls" else ("turn", found.transport)
        urls.append(f"{scheme}:{name}:{found.port}?transport={transport}")
    if configuration.users:
        username, password = next(iter(configuration.users.items()))
    else:
        username = f"{int(time.time()) + CREDENTIAL_TIME}:user"
        password = rest_password(configuration.rest_secret, username)
    return [{"urls": list(dict.fromkeys(urls)), "username": username, "credential": password}]


def _listeners(text: str, with_tls: bool) -> list[Listener]:
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "", text
    if scheme not in {"", "udp", "tcp", "tls"}:
        raise LocalError(f"--listen {text}: the transport is udp, tcp or tls")
    if scheme == "tls" and not with_tls:
        raise LocalError(f"--listen {text}: TLS needs --tls-cert")
    host, port = _host_and_port(rest)
    listeners = [Listener("udp", host, port or 3478), Listener("tcp", host, port or 3478)]
    if with_tls:
        listeners.append(Listener("tls", host, 5349 if port is None or not scheme else port))
    return (
        [found for found in listeners if scheme in {"", found.transport}]
        if port != 0
        else [Listener(found.transport, host, 0) for found in listeners if scheme in {"", found.transport}]
    )


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Split HOST, HOST:PORT, IPv6 or [IPv6]:PORT."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        digits = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
    else:
        host, digits = text, ""
    if digits and not (digits.isascii() and digits.isdigit() and int(digits) < 65536):
        raise LocalError(f"{text}: {digits} is no port")
    return ServerConfiguration("-", (host,)).relay_hosts[0], int(digits) if digits else None


def _relay_hosts(texts: Sequence[str], listen: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the addresses to relay from, and what to bind for them where it is another."""
    binds = {}
    hosts = []
    for text in texts:
        host, _, local = text.partition("/")
        hosts.append(host)
        if local:
            binds[host] = local
    if not hosts:
        for text in listen:
            host = _host_and_port(text.rpartition("://")[2])[0]
            if host in WILDCARDS:
                raise LocalError(
                    f"--listen {host} needs --relay-ip: one of {', '.join(machine_hosts())}, or your NAT's"
                )
            if all((":" in host) != (":" in other) for other in hosts):
                hosts.append(host)
    return tuple(hosts), binds


def _users(texts: Sequence[str]) -> dict[str, str]:
    users = {}
    for text in (*os.environ.get(USERS_VARIABLE, "").replace(",", " ").split(), *texts):
        name, colon, password = text.partition(":")
        if not name or not colon or not password:
            raise LocalError("--user wants NAME:PASSWORD or NAME:@FILE")
        users[name] = _secret(Path(password[1:])) if password.startswith("@") else password
    return users


def _secret(path: Path) -> str:
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not found:
        raise LocalError(f"{path} is empty")
    return found


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise LocalError(f"--ports wants FIRST-LAST, not {text}") from None


def _certificate(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise LocalError("--tls-key needs --tls-cert")
        return None
    for path in (cert, key):
        if path is not None and not os.access(path, os.R_OK):
            raise LocalError(f"{path} cannot be read: {'no permission' if path.exists() else 'there is no such file'}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise LocalError(f"{cert} is no certificate with its key: {error.reason or error}") from error
    return context


def _why(error: ListenError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"{error.listener} is in use; is another TURN server running? Choose another port with --listen"
        case errno.EADDRNOTAVAIL:
            return f"{error.listener}: this machine has no such address; it has {', '.join(machine_hosts())}"
        case errno.EACCES:
            return f"{error.listener}: no permission; ports below 1024 need privileges"
    return f"{error.listener} cannot be opened: {error.strerror}"


@app.command()
def check(
    uri: Annotated[str, typer.Argument(help="turn:host, turns:host, turn:host:port?transport=tcp ...")],
    user: Annotated[str, typer.Option(help="User name.")],
    password: Annotated[
        str,
        typer.Option(envvar=PASSWORD_VARIABLE, prompt=True, hide_input=True, help="Password, or @FILE."),
    ],
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all of it.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Allocate at a TURN server twice and send data from one to the other."""
    try:
        parsed = parse_uri(uri)
        secret = _secret(Path(password[1:])) if password.startswith("@") else password
        found = asyncio.run(check_server(parsed, user, secret, insecure=insecure, timeout=timeout))
    except ParseError:
        _fail(f"{uri} is no TURN URI; try turn:host:3478?transport=udp")
    except (CheckError, LocalError) as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "error": str(error)}))
            raise typer.Exit(1) from None
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    _show(found, as_json)
    if found.relay_error:
        raise typer.Exit(1)


def _show(found: Report, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": not found.relay_error, **found.as_dict()}))
        return
    typer.echo(f"server    {found.server}")
    typer.echo(f"relayed   {found.relayed}")
    typer.echo(f"mapped    {found.mapped or 'not said'}")
    typer.echo(f"lifetime  {found.lifetime} s")
    typer.echo(f"server RTT  {found.rtt * 1000:.1f} ms")
    if found.relay_error:
        typer.secho(f"relay     {found.relay_error}", fg=typer.colors.RED, err=True)
    else:
        typer.echo(f"relay RTT   {found.relay_rtt * 1000:.1f} ms, {found.received} of {found.sent} packets came back")


def _say(as_json: bool, event: str, **fields: Any) -> None:
    if as_json:
        typer.echo(json.dumps({"event": event, "time": round(time.time(), 3), **fields}))
    else:
        details = ", ".join(f"{name} {value}" for name, value in fields.items() if value)
        typer.echo(f"{event}: {details}" if details else event)
    sys.stdout.flush()


def _fail(message: str) -> NoReturn:
    typer.secho(f"webrtc turn: {message}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
