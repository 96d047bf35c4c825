"""`webrtc stun`: ask a STUN server, find out about the NAT, run a server."""

import asyncio
import os
import ssl
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from stack import __version__

from ..aio.stun_server import StunServer
from ..aio.udp import UdpSocket
from ..core import Address, Datagram, ParseError
from ..stun import (
    RATE,
    Client,
    Discovered,
    Failed,
    NatDiscovery,
    Redirected,
    Responded,
    RtoCache,
    TestCompleted,
    TestStarted,
    Unreachable,
    Uri,
    parse_uri,
)
from .common import (
    NO_ANSWER,
    CommandError,
    Output,
    family_of,
    is_ip_address,
    local_host_towards,
    resolve,
    run,
    until_stopped,
)
from .stun_channels import Channel, open_channel
from .stun_words import expectations_of, json_of, summary_of, title_of

SOFTWARE: Final = f"webrtc-stack {__version__}"
MAX_REDIRECTS: Final = 4
"""Times that a server may send us on to another one, which it does once in practice."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]
Ipv4Option = Annotated[bool, typer.Option("-4", "--ipv4", help="Over IPv4 only.")]
Ipv6Option = Annotated[bool, typer.Option("-6", "--ipv6", help="Over IPv6 only.")]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Ask STUN servers, find out about the NAT, run a server.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def parse_target(text: str, *, secure: bool = False) -> Uri:
    """Read `host`, `host:port`, or a URI by RFC 7064.

    Raises:
        BadParameter: It is none.
    """
    scheme = "stuns:" if secure else "stun:"
    has_scheme = text.lower().startswith(("stun:", "stuns:"))
    bare = f"[{text}]" if is_ip_address(text) and ":" in text else text
    try:
        uri = parse_uri(text if has_scheme else scheme + bare)
    except ParseError as error:
        raise typer.BadParameter(f"{text!r} is no STUN server; write host, host:port or stun:host:port") from error
    return uri


# -- query -------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:  [bold]webrtc stun query stun.example.org[/] ·  [bold]webrtc stun query stuns:example.org[/]  "
    "over TLS ·  [bold]webrtc stun query -6 --count 5 example.org:3478[/] ·  Exit codes: 0 answered, 1 could not be "
    "asked or refused, 2 wrong usage, 3 no answer, 130 Ctrl-C"
)
def query(
    server: Annotated[str, typer.Argument(help="host, host:port, stun:host:port or stuns:host:port.")],
    tcp: Annotated[bool, typer.Option("--tcp", help="Over TCP.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="Over TLS, port 5349 unless given.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option(help="Trust the certificates in this PEM file.", exists=True, dir_okay=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How often to ask, once a second.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds to wait for an answer.")] = 5.0,
    ipv4: Ipv4Option = False,
    ipv6: Ipv6Option = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a server which address it sees, and how long that takes."""
    uri = parse_target(server, secure=tls)
    transport = "tls" if tls or uri.secure else "tcp" if tcp else "udp"
    family = family_of(ipv4=ipv4, ipv6=ipv6)
    raise typer.Exit(run(_query(uri, transport, family, ca_file, count, timeout, Output(as_json=as_json))))


async def _query(
    uri: Uri, transport: str, family: int, ca_file: Path | None, count: int, patience: float, output: Output
) -> int:
    address = await resolve(uri.host, uri.port, family=family)
    channel = await open_channel(address, transport, uri.host, ca_file, patience)
    times: list[float] = []
    answered = 0
    rtos = RtoCache()
    try:
        for number in range(count):
            if number:
                await asyncio.sleep(1.0)
            started = time.monotonic()
            channel, event, client = await _ask(channel, uri.host, ca_file, patience, rtos)
            rtt = client.rtt or time.monotonic() - started
            if isinstance(event, Responded):
                answered += 1
                times.append(rtt)
                _report_answer(output, channel, event, rtt, client.transmissions, brief=number > 0)
            elif isinstance(event, Failed | Unreachable) or count == 1:
                raise _query_error(event, channel, patience)
            else:
                output.report("no-answer", "no answer", number=number + 1)
    finally:
        await channel.close()
    if count > 1:
        spread = f", {min(times) * 1e3:.1f} to {max(times) * 1e3:.1f} ms" if times else ""
        output.report("done", f"{answered} of {count} answered{spread}", asked=count, answered=answered)
    return 0 if answered else NO_ANSWER


async def _ask(
    channel: Channel, name: str, ca_file: Path | None, patience: float, rtos: RtoCache
) -> tuple[Channel, object, Client]:
    """Ask once, and go where the server sends us: RFC 8489 section 10. The old channel is closed then."""
    asked = {channel.remote}
    while True:
        host = channel.remote.host
        client = Client(
            random_bytes=os.urandom,
            rto=rtos.rto(host, time.monotonic()),
            software=SOFTWARE,
            timeout=patience,
            reliable=channel.transport != "udp",
        )
        event = await channel.ask(client)
        rtos.measured(host, client.rtt, time.monotonic())
        if not isinstance(event, Redirected):
            return channel, event, client
        if event.server in asked or len(asked) > MAX_REDIRECTS:
            raise CommandError(f"{channel.remote} sends us to {event.server}, where we have been already")
        asked.add(event.server)
        await channel.close()
        channel = await open_channel(event.server, channel.transport, event.domain or name, ca_file, patience)


def _query_error(event: object, channel: Channel, patience: float) -> CommandError:
    remote = channel.remote
    match event:
        case Failed(error, _):
            return CommandError(f"{remote} answered with an error: {error.detail or error.reason}")
        case Unreachable():
            return CommandError(f"nobody listens at {remote} ({channel.transport}). Is the port right?", NO_ANSWER)
    if channel.transport == "udp":
        return CommandError(
            f"no answer from {remote} within {patience:g} s. Is UDP blocked here? Try --tcp, or another server.",
            NO_ANSWER,
        )
    return CommandError(f"no answer from {remote} within {patience:g} s. Is it a STUN server?", NO_ANSWER)


def _report_answer(
    output: Output, channel: Channel, event: Responded, rtt: float, transmissions: int, *, brief: bool
) -> None:
    message, mapped, local = event.message, event.mapped_address, channel.local
    behind_nat = mapped[:2] != local[:2]
    lines = [
        f"mapped address   [bold green]{mapped}[/]",
        f"local address    {local[0]}:{local[1]}  ({'behind a NAT' if behind_nat else 'no NAT between'})",
        f"round trip       {rtt * 1e3:.1f} ms" + (f"  (request sent {transmissions} times)" * (transmissions > 1)),
        f"server           {channel.remote[0]} port {channel.remote[1]}, {channel.transport}",
    ]
    if message.software:
        lines.append(f"software         {escape(message.software)}")
    if message.other_address is not None:
        lines.append(f"other address    {message.other_address}")
    output.report(
        "answer",
        f"{mapped}  {rtt * 1e3:.1f} ms" if brief else "\n".join(lines),
        mapped=list(mapped[:2]),
        local=list(local[:2]),
        server=list(channel.remote[:2]),
        transport=channel.transport,
        behind_nat=behind_nat,
        rtt_ms=round(rtt * 1e3, 3),
        transmissions=transmissions,
        software=message.software,
        other_address=list(message.other_address[:2]) if message.other_address else None,
    )


# -- nat ---------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:  [bold]webrtc stun nat stun.example.org[/] ·  [bold]webrtc stun nat one.example.org --second "
    "two.example.org[/]  where the first server has one address only ·  Exit codes: 0 found out, 1 could not be "
    "tried, 2 wrong usage, 3 no answer (UDP may be blocked), 130 Ctrl-C"
)
def nat(
    server: Annotated[str, typer.Argument(help="host, host:port or stun:host:port; best one with RFC 5780.")],
    second: Annotated[str | None, typer.Option(help="Another server, for when the first has one address only.")] = None,
    hairpin: Annotated[bool, typer.Option("--hairpin", help="Also test hairpinning.")] = False,
    lifetime: Annotated[
        float, typer.Option(min=0, max=3600, help="Also search for the lifetime of a mapping, up to so many seconds.")
    ] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds until UDP counts as blocked.")] = 10.0,
    ipv4: Ipv4Option = False,
    ipv6: Ipv6Option = False,
    as_json: JsonOption = False,
) -> None:
    """Find out what the NAT does, and with whom a direct connection can be expected."""
    uri = parse_target(server)
    second_uri = parse_target(second) if second else None
    if uri.secure or (second_uri is not None and second_uri.secure):
        raise typer.BadParameter("NATs are tested over UDP; write stun: instead of stuns:")
    family = family_of(ipv4=ipv4, ipv6=ipv6)
    output = Output(as_json=as_json)
    raise typer.Exit(run(_nat(uri, second_uri, family, timeout, lifetime, output, hairpin=hairpin)))


async def _nat(
    uri: Uri,
    second: Uri | None,
    family: int,
    patience: float,
    lifetime: float,
    output: Output,
    *,
    hairpin: bool,
) -> int:
    server = await resolve(uri.host, uri.port, family=family)
    second_server = await resolve(second.host, second.port, family=family) if second else None
    loop = asyncio.get_running_loop()
    incoming: asyncio.Queue[list[Datagram]] = asyncio.Queue()
    host = local_host_towards(server)
    sockets = [UdpSocket(host, loop, incoming.put_nowait) for _ in range(2 if lifetime else 1)]
    try:
        discovery = NatDiscovery(
            server,
            sockets[0].address,
            random_bytes=os.urandom,
            second_server=second_server,
            second_local=sockets[1].address if lifetime else None,
            hairpinning=hairpin,
            max_lifetime=lifetime,
            timeout=patience,
            software=SOFTWARE,
        )
        by_address = {udp.address: udp for udp in sockets}
        discovery.start(loop.time())
        with output.console.status(f"asking {uri.host}") as status:
            while True:
                for datagram in discovery.datagrams_to_send(loop.time()):
                    by_address[datagram.local].send([datagram])
                while (event := discovery.next_event()) is not None:
                    match event:
                        case TestStarted(test, remote):
                            status.update(f"{title_of(test)}: {remote}")
                        case TestCompleted(test, answered, mapped):
                            _report_test(output, test, mapped, answered=answered)
                        case Discovered(report):
                            status.stop()
                            output.report("result", summary_of(report), **json_of(report))
                            if not output.as_json:
                                output.console.print(expectations_of(report))
                            return 0 if report.mapped is not None else NO_ANSWER
                await _receive(discovery, incoming, loop)
    finally:
        for udp in sockets:
            udp.close()


async def _receive(
    discovery: NatDiscovery, incoming: asyncio.Queue[list[Datagram]], loop: asyncio.AbstractEventLoop
) -> None:
    """Wait for datagrams or the next timer, whichever is first."""
    deadline = discovery.next_timer()
    try:
        async with asyncio.timeout_at(deadline):
            for datagram in await incoming.get():
                discovery.receive_datagram(datagram, loop.time())
    except TimeoutError:
        discovery.handle_timer(loop.time())


def _report_test(output: Output, test: str, mapped: Address | None, *, answered: bool) -> None:
    came = f"from {mapped}" if mapped else "answered" if answered else "no answer"
    output.report(
        "test",
        f"[dim]{title_of(test):<34} {came}[/]",
        test=test,
        answered=answered,
        mapped=list(mapped[:2]) if mapped else None,
    )


# -- serve -------------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples:  [bold]webrtc stun serve[/]  for this machine ·  [bold]webrtc stun serve --host 192.0.2.1 "
    "--alternate-host 192.0.2.2[/]  a full server, with NAT discovery ·  Exit codes: 0 stopped by SIGTERM, 1 could not "
    "listen, 2 wrong usage, 130 Ctrl-C"
)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="UDP and TCP port; 0 takes any.")] = 3478,
    alternate_host: Annotated[
        str | None, typer.Option(help="A second address of this machine, for NAT discovery (RFC 5780).")
    ] = None,
    alternate_port: Annotated[int, typer.Option(min=0, max=65535, help="The second port, on both addresses.")] = 3479,
    public_host: Annotated[
        str | None, typer.Option(help="What clients see instead of --host, behind a one-to-one NAT.")
    ] = None,
    public_alternate_host: Annotated[
        str | None, typer.Option(help="What clients see instead of --alternate-host.")
    ] = None,
    tcp: Annotated[bool, typer.Option(help="Listen on TCP too.")] = True,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file, to listen with TLS too.", exists=True, dir_okay=False)
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the private key.", exists=True, dir_okay=False)] = None,
    tls_port: Annotated[int, typer.Option(min=0, max=65535, help="TLS port; 0 takes any.")] = 5349,
    rate: Annotated[float, typer.Option(min=0.1, max=1e6, help="Answers per second for one address.")] = RATE,
    as_json: JsonOption = False,
) -> None:
    """Run a STUN server, with two addresses one for NAT discovery."""
    if alternate_host is not None and alternate_port == port and port:
        raise typer.BadParameter("--alternate-port must differ from --port")
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key belong together")
    context = _tls_context(certificate, key)
    public = {own: seen for own, seen in ((host, public_host), (alternate_host, public_alternate_host)) if own and seen}
    primary = Address(host, port)
    alternate = Address(alternate_host, alternate_port) if alternate_host else None

    for address in filter(None, (host, alternate_host, public_host, public_alternate_host)):
        if not is_ip_address(address):
            raise typer.BadParameter(f"{address!r} is not an IP address")

    async def start_and_serve() -> int:
        server = StunServer(
            primary,
            alternate,
            tcp=tcp,
            tls=context,
            tls_port=tls_port,
            software=SOFTWARE,
            rate=rate,
            public_hosts=public,
        )
        return await _serve(server, Output(as_json=as_json))

    raise typer.Exit(run(start_and_serve()))


async def _serve(server: StunServer, output: Output) -> int:
    try:
        await server.start()
    except OSError as error:
        raise CommandError(
            f"cannot listen: {error.strerror or error}. Is the address one of this machine, and the port free?"
        ) from error
    try:
        addresses = server.addresses
        shown = ", ".join(map(str, addresses))
        nat = "with NAT discovery" if len(addresses) > 1 else "without NAT discovery: that needs --alternate-host"
        tls = f", TLS on {server.tls_address[:2]}" if server.tls_address else ""
        output.report(
            "listening",
            f"listening on {shown}{tls}; {nat}. Ctrl-C stops.",
            addresses=[list(address[:2]) for address in addresses],
            tls=list(server.tls_address[:2]) if server.tls_address else None,
        )
        return await until_stopped()
    finally:
        await server.close()
        dropped = dict(server.dropped)
        text = f"{server.answered} answered" + (f", dropped {dropped}" if dropped else "")
        output.report("stopped", text, answered=server.answered, dropped=dropped)


def _tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise typer.BadParameter(f"cannot use {certificate} with {key}: {error}") from error
    return context
