"""`webrtc turn`: run a TURN server, or ask one whether it works."""

import asyncio
import errno
import json
import os
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from ..aio.turn_check import CheckError, Report, check_server
from ..aio.turn_server import Listener, ListenError, TurnServer, TurnSettings, machine_hosts
from ..core import LocalError, ParseError
from ..turn import AllocationCreated, RelayReleased, ServerConfiguration, ServerEvent, Uri, parse_uri, rest_password
from ..turn.configuration import MAX_ALLOCATIONS, MAX_ALLOCATIONS_PER_USER
from ..turn.wire import MAX_LIFETIME
from .common import CANNOT, NO_ANSWER, CommandError, Output, is_ip_address, run, until_stopped

USERS_VARIABLE: Final = "WEBRTC_TURN_USERS"
"""Environment variable with users, as NAME:PASSWORD, separated by commas or spaces."""
PASSWORD_VARIABLE: Final = "WEBRTC_TURN_PASSWORD"  # noqa: S105  the name of a variable
CREDENTIAL_TIME: Final = 24 * 3600  # seconds that the credentials in the printed configuration are good for
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104  compared, not bound
DEFAULT_LISTEN: Final = ("127.0.0.1",)
SILENT: Final = ("no answer", "nobody listens")  # how the texts of a check begin that nobody answered

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run a TURN relay, or check one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# -- serve -------------------------------------------------------------------------------------------------------------

ListenOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TRANSPORT://]HOST[:PORT]",
        help=r"Where clients come to: HOST for UDP and TCP at 3478 (and TLS at 5349 with a certificate), or "
        r"udp://, tcp://, tls://. Repeatable.  \[default: 127.0.0.1]",
    ),
]
RelayIpOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IP[/LOCAL]",
        help="Address to relay from, one of IPv4 and one of IPv6; with /LOCAL the one that a NAT in front of this "
        r"machine has, and the one to bind.  \[default: the address listened on]",
    ),
]
UserOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME:PASSWORD",
        help=f"An account; NAME:@FILE reads the password from a file, and {USERS_VARIABLE} has more accounts: "
        "arguments are seen by every user of this machine. Repeatable.",
    ),
]
RestSecretOption = Annotated[
    Path | None, typer.Option(help="File with the secret of time-limited credentials (coturn's use-auth-secret).")
]
PortsOption = Annotated[str, typer.Option(metavar="FIRST-LAST", help="Ports to relay from.")]
AllowPeerOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="Relay there although it is not public, as 10.0.0.0/8. Repeatable."),
]
DenyPeerOption = Annotated[list[str] | None, typer.Option(metavar="NETWORK", help="Never relay there. Repeatable.")]
LifetimeOption = Annotated[int, typer.Option(min=600, help="Seconds of an allocation without renewal.")]


@app.command(
    epilog="Examples:  [bold]webrtc turn serve --user me:@file[/]  for this machine ·  [bold]webrtc turn serve "
    "--listen 0.0.0.0 --relay-ip 203.0.113.7 --user me:@file[/]  for others ·  Exit codes: 0 stopped by SIGTERM, 1 "
    "could not listen, 2 wrong usage, 130 Ctrl-C"
)
def serve(
    listen: ListenOption = None,
    relay_ip: RelayIpOption = None,
    realm: Annotated[str, typer.Option(help="Realm of the accounts; by custom your domain.")] = "webrtc",
    user: UserOption = None,
    rest_secret_file: RestSecretOption = None,
    ports: PortsOption = "49152-65535",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain for TLS, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM, if not in the same file.")] = None,
    allow_peer: AllowPeerOption = None,
    deny_peer: DenyPeerOption = None,
    tcp_relay: Annotated[bool, typer.Option("--tcp-relay", help="Relay TCP connections too (RFC 6062).")] = False,
    max_allocations: Annotated[int, typer.Option(min=1, help="Allocations at a time.")] = MAX_ALLOCATIONS,
    user_quota: Annotated[int, typer.Option(min=1, help="Allocations of one user.")] = MAX_ALLOCATIONS_PER_USER,
    max_lifetime: LifetimeOption = MAX_LIFETIME,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")] = False,
) -> None:
    """Relay for your own users. Public addresses only, unless allowed by name."""
    where = listen or DEFAULT_LISTEN
    tls = _certificate(tls_cert, tls_key)
    try:
        hosts, binds = _relay_hosts(relay_ip or [], where)
        configuration = ServerConfiguration(
            realm,
            hosts,
            _users(user or []),
            rest_secret="" if rest_secret_file is None else _secret(rest_secret_file),
            ports=parse_ports(ports),
            max_lifetime=max_lifetime,
            max_allocations=max_allocations,
            max_allocations_per_user=user_quota,
            allowed_peers=tuple(allow_peer or ()),
            denied_peers=tuple(deny_peer or ()),
            tcp_relays=tcp_relay,
        )
        if not configuration.users and not configuration.rest_secret:
            raise typer.BadParameter(f"nobody could use it: give --user, {USERS_VARIABLE} or --rest-secret-file")
        listeners = list(dict.fromkeys(found for text in where for found in _listeners(text, tls is not None)))
        server = _Serving(TurnSettings(configuration, listeners, tls, binds), Output(as_json=as_json))
    except LocalError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(run(server.run()))


class _Serving:
    """A server that says what it does.

    Args:
        settings: How it is set up.
        output: Where.
    """

    def __init__(self, settings: TurnSettings, output: Output) -> None:
        self._settings, self._output = settings, output
        self._server = TurnServer(settings, self._report)

    def _report(self, event: ServerEvent) -> None:
        match event:
            case AllocationCreated(client, relayed, username):
                text = f"allocated {relayed} to {escape(username)} at {client}"
                self._output.report("allocated", text, client=str(client), relayed=str(relayed), user=username)
            case RelayReleased(relayed):
                self._output.report("released", f"released {relayed}", relayed=str(relayed))

    async def run(self) -> int:
        """Serve until a signal comes; return the exit code."""
        server = self._server
        try:
            await server.start()
        except ListenError as error:
            raise CommandError(_why(error)) from error
        waiting = asyncio.create_task(until_stopped())
        await asyncio.sleep(0)  # so that a signal is heard that comes as soon as we say that we listen
        try:
            where = [str(found) for found in server.addresses]
            ice_servers = _ice_servers(server, self._settings)
            shown = escape(json.dumps(ice_servers, indent=2))
            text = f"listening on {escape(', '.join(where))}. Ctrl-C stops.\n\niceServers: {shown}\n"
            self._output.report("listening", text, listeners=where, ice_servers=ice_servers)
            return await waiting
        finally:
            await server.close()
            dropped = dict(server.dropped)
            self._output.report("stopped", f"stopped{f', dropped {dropped}' if dropped else ''}", dropped=dropped)


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
        raise typer.BadParameter(f"--listen {text}: the transport is udp, tcp or tls")
    if scheme == "tls" and not with_tls:
        raise typer.BadParameter(f"--listen {text}: TLS needs --tls-cert")
    host, port = _host_and_port(rest)
    plain = 3478 if port is None else port
    listeners = [Listener("udp", host, plain), Listener("tcp", host, plain)]
    if with_tls:  # beside the others it cannot have their port
        listeners.append(Listener("tls", host, port if port is not None and (scheme or port == 0) else 5349))
    return [found for found in listeners if scheme in {"", found.transport}]


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
        raise typer.BadParameter(f"{text}: {digits} is no port")
    if not is_ip_address(host):
        raise typer.BadParameter(f"{text}: {host} is not an IP address")
    return host, int(digits) if digits else None


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
                raise typer.BadParameter(
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
            raise typer.BadParameter("--user wants NAME:PASSWORD or NAME:@FILE")
        users[name] = password_of(password)
    return users


def password_of(text: str) -> str:
    """Return a password, from its file where `text` is @FILE.

    Raises:
        BadParameter: The file cannot be read, or is empty.
    """
    return _secret(Path(text[1:])) if text.startswith("@") else text


def _secret(path: Path) -> str:
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not found:
        raise typer.BadParameter(f"{path} is empty")
    return found


def parse_ports(text: str) -> tuple[int, int]:
    """Read FIRST-LAST, or one port.

    Raises:
        BadParameter: It is neither.
    """
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise typer.BadParameter(f"--ports wants FIRST-LAST, not {text}") from None


def _certificate(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise typer.BadParameter("--tls-key needs --tls-cert")
        return None
    for path in (cert, key):
        if path is not None and not path.exists():
            raise typer.BadParameter(f"{path} cannot be read: there is no such file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise typer.BadParameter(f"{cert} is no certificate with its key: {why}") from error
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


# -- check -------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:  [bold]webrtc turn check turn:turn.example.org --user me --password @file[/] ·  [bold]webrtc "
    "turn check 'turns:turn.example.org:443' --user me[/]  over TLS ·  Exit codes: 0 it relays, 1 it refuses or does "
    "not relay, 2 wrong usage, 3 no answer, 130 Ctrl-C"
)
def check(
    uri: Annotated[str, typer.Argument(help="turn:host, turns:host, turn:host:port?transport=tcp ...")],
    user: Annotated[str, typer.Option(help="User name.")],
    password: Annotated[
        str,
        typer.Option(
            envvar=PASSWORD_VARIABLE,
            prompt=True,
            hide_input=True,
            help="Password, or @FILE. Every user of this machine sees arguments: better give the file or the variable.",
        ),
    ],
    insecure: Annotated[bool, typer.Option("--insecure", help="Take any certificate.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for all of it.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")] = False,
) -> None:
    """Allocate at a TURN server twice and send data from one to the other."""
    try:
        parsed = parse_uri(uri)
    except ParseError as error:
        raise typer.BadParameter(f"{uri} is no TURN URI; try turn:host:3478?transport=udp") from error
    work = _check(parsed, user, password_of(password), Output(as_json=as_json), insecure=insecure, patience=timeout)
    raise typer.Exit(run(work))


async def _check(uri: Uri, user: str, password: str, output: Output, *, insecure: bool, patience: float) -> int:
    try:
        found = await check_server(uri, user, password, insecure=insecure, timeout=patience)
    except CheckError as error:
        raise CommandError(str(error), NO_ANSWER if str(error).startswith(SILENT) else CANNOT) from error
    output.report("result", escape(_words_of(found)), ok=not found.relay_error, **found.as_dict())
    if found.relay_error:
        raise CommandError(found.relay_error)
    return 0


def _words_of(found: Report) -> str:
    lines = [
        f"server      {found.server}",
        f"relayed     {found.relayed}",
        f"mapped      {found.mapped or 'not said'}",
        f"lifetime    {found.lifetime} s",
        f"server RTT  {found.rtt * 1000:.1f} ms",
    ]
    if not found.relay_error:
        rtt = found.relay_rtt * 1000
        lines.append(f"relay RTT   {rtt:.1f} ms, {found.received} of {found.sent} packets came back")
    return "\n".join(lines)
