"""Relays below ICE: hostile servers and strangers, and hostile sequences of all that a shell can do."""

from collections.abc import Callable
from contextlib import suppress

from stack.core import Address, Datagram, LocalError
from stack.ice import Candidate, Parameters
from stack.peer import Configuration
from stack.peer.ice_transport import IceTransport
from stack.peer.relays import MAX_RELAYS, Relays, TurnServer
from stack.testing import seeded_random_bytes
from stack.turn import RelayRequested, Server, ServerConfiguration

SERVER = Address("203.0.113.1", 3478)
BASE = Address("198.51.100.7", 40000)
PEER = Address("9.9.9.9", 5000)
USER, PASSWORD = "driver", "secret"
THERE = TurnServer(SERVER, USER, PASSWORD)
MAX_STEPS = 100  # of one sequence: more find nothing that these do not


def turn_server() -> Server:
    """A server that knows us."""
    configuration = ServerConfiguration("example.org", (SERVER.host,), {USER: PASSWORD})
    return Server(configuration, random_bytes=seeded_random_bytes(1))


def drained(machine: Relays | IceTransport, now: float) -> list[Datagram]:
    """Hold a machine to the laws, and return what it sends."""
    machine.handle_timer(now)
    due = machine.next_timer()
    if due is not None and due <= now:
        raise AssertionError("a timer is still due")
    out = machine.datagrams_to_send(now)
    if machine.datagrams_to_send(now):
        raise AssertionError("a second drain is not empty")
    return out


def end(machine: Relays | IceTransport, now: float) -> None:
    """Close, after which there is silence."""
    machine.close(now)
    machine.datagrams_to_send(now)  # what gives the allocations back
    if machine.next_timer() is not None or machine.datagrams_to_send(now):
        raise AssertionError("not the end")


def serve(server: Server, sent: list[Datagram], receive: Callable[[Datagram, float], object], now: float) -> None:
    """Carry datagrams to the server and its answers back."""
    for datagram in sent:
        server.receive_datagram(Datagram(datagram.data, datagram.local, datagram.remote), now)
    while (event := server.next_event()) is not None:
        if isinstance(event, RelayRequested):
            server.relay_opened(event.relayed, now)
    for answer in server.datagrams_to_send(now):
        if answer.local == SERVER:
            receive(Datagram(answer.data, SERVER, answer.remote), now)


def allocated() -> tuple[Relays, Address]:
    """Relays with one allocation that leads to one peer over a channel."""
    relays, server = Relays(random_bytes=seeded_random_bytes(2), timeout=5.0), turn_server()
    relays.add_server(THERE, 0.0)
    relays.add_base(BASE, 0.0)
    for _ in range(3):
        serve(server, relays.datagrams_to_send(0.0), relays.receive_datagram, 0.0)
    (relayed,) = relays._by_relayed  # noqa: SLF001  there is one
    for _ in range(2):
        serve(server, relays.wrap([Datagram(b"\x80", PEER, relayed)], 0.0), relays.receive_datagram, 0.0)
    while relays.next_event() is not None:
        pass
    relays.take()
    return relays, relayed


def check_datagrams(data: bytes) -> None:
    """Without integrity, what comes from the server is dropped or data of a permitted peer; a stranger's is dropped."""
    relays, relayed = allocated()
    for source, base in ((SERVER, BASE), (PEER, BASE), (SERVER, PEER)):
        for copy in (data, b"\x40\x00" + data, b"\x00\x17" + data[2:]):
            before = relays.dropped.total()
            relays.receive_datagram(Datagram(copy, source, base), 1.0)
            inner = relays.take()
            if any(found.local != relayed or found.remote.host != PEER.host for found in inner):
                raise AssertionError("data of a stranger, or to nowhere")
            if inner and (source, base) != (SERVER, BASE):
                raise AssertionError("somebody else relays")
            if relays.dropped.total() == before and not inner and relays.owns(Datagram(copy, source, base)):
                drained(relays, 1.0)  # then it was an answer of some kind, and may have a consequence
    if relays.next_event() is not None or not relays:
        raise AssertionError("an allocation ended by what anybody could send")
    end(relays, 2.0)


def check_sequence(data: bytes) -> None:
    """Whatever a shell does in whatever order, only LocalError is raised, laws and limits hold, and it ends."""
    relay_only = bool(data[:1] and data[0] & 1)
    configuration = Configuration(ice_transport_policy="relay") if relay_only else Configuration()
    transport = IceTransport(controlling=True, random_bytes=seeded_random_bytes(3), configuration=configuration)
    server, now = turn_server(), 0.0
    for step in data[1 : 1 + MAX_STEPS]:
        now += (0.001, 0.05, 0.6, 70.0)[step >> 6]
        with suppress(LocalError):
            act(transport, step & 0x3F, now)
        sent = drained(transport, now)
        if step & 1:
            serve(server, sent, transport.receive_relayed, now)
            drained(transport, now)
        while transport.next_event() is not None:
            pass
        if len(transport.relays.table) > MAX_RELAYS:
            raise AssertionError("a limit does not hold")
        bases = {relay.base for relay in transport.relays.table.values()}
        if any(candidate.type == "relay" for candidate in transport.agent.local_candidates) and not bases:
            raise AssertionError("a candidate of a relay that is gone")
    end(transport, now)


def act(transport: IceTransport, what: int, now: float) -> None:
    """One thing of those that a shell or an application can do."""
    number = what >> 3
    base = BASE._replace(port=BASE.port + number)
    stream = base._replace(transport="tcp")
    over_tcp = TurnServer(SERVER._replace(transport="tcp"), USER, PASSWORD, protocol="tcp")
    match what & 7:
        case 0:
            transport.add_local_address(base, now)
        case 1:
            transport.remove_local_address(base, now)
        case 2:
            transport.add_turn_server(THERE, now)
        case 3:
            transport.add_turn_stream(stream, over_tcp, now)
        case 4:
            transport.stream_closed(stream, now)
        case 5:
            transport.agent.set_remote_parameters(Parameters("peer", "the password of the peer"), now)
            transport.agent.add_remote_candidate(Candidate("1", 1, "udp", 9, PEER.host, 5 + number, "host"), now)
        case 6:
            transport.end_local_addresses(now)
        case _:
            transport.restart(Parameters(f"ours{number}", "our own new password"), now)


TARGETS = {"relays-datagrams": check_datagrams, "relays-sequence": check_sequence}
