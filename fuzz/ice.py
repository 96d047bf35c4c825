"""ICE: the agent under hostile datagrams, unsigned and signed, hostile candidates, and hostile sequences of all."""

from contextlib import suppress

from stack.core import Address, Datagram, LocalError, ParseError
from stack.ice import (
    MAX_PEER_REFLEXIVE_PER_HOST,
    Agent,
    Candidate,
    Config,
    Parameters,
    ResolutionRequested,
    candidate_priority,
    explain,
)
from stack.ice.candidate import ip_of, is_unicast
from stack.stun import BINDING, Class, Message, short_term_key
from stack.testing import seeded_random_bytes

LOCAL = Address("10.0.0.1", 1)
REMOTE = Address("10.0.0.2", 2)
ACTIVE = Address("10.0.0.1", 9, "tcp")
RELAYED = Address("198.51.100.1", 3)
PEER = Parameters("peer", "the password of the peer", renomination=True)
PEER_KEY = short_term_key(PEER.pwd)
NAME = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"
MAX_STEPS = 200  # of one sequence: more find nothing that these do not


def checking() -> tuple[Agent, Message]:
    """An agent whose first check has left, and that check."""
    agent = Agent(controlling=True, random_bytes=seeded_random_bytes(1))
    agent.add_local_address(LOCAL, 0.0)
    agent.set_remote_parameters(PEER, 0.0)
    priority = candidate_priority("host", 65535)
    agent.add_remote_candidate(Candidate("1", 1, "udp", priority, REMOTE.host, REMOTE.port, "host"), 0.0)
    return agent, Message.parse(agent.datagrams_to_send(0.0)[0].data)


def drained(agent: Agent, now: float) -> list[Datagram]:
    """Hold an agent to the laws of machines, and return what it sends."""
    agent.handle_timer(now)
    due = agent.next_timer()
    if due is not None and due <= now:
        raise AssertionError("a timer is still due")
    out = agent.datagrams_to_send(now)
    if agent.datagrams_to_send(now):
        raise AssertionError("a second drain is not empty")
    return out


def deliver(agent: Agent, data: bytes, now: float) -> list[Datagram]:
    """Give it a datagram, and hold it to the laws of machines afterwards."""
    agent.receive_datagram(Datagram(data, REMOTE, LOCAL), now)
    return drained(agent, now)


def check_unsigned(data: bytes) -> None:
    """What is not signed learns nothing, opens nothing, and gets no answer longer than itself."""
    agent, _ = checking()
    for datagram in deliver(agent, data, 0.01):
        if len(datagram.data) > len(data):
            raise AssertionError("amplification")
    if agent.selected_pair is not None or agent.accepts(LOCAL, REMOTE) or len(agent.remote_candidates) != 1:
        raise AssertionError("an unsigned datagram had an effect")


def check_signed(data: bytes) -> None:
    """Signed with the right key, whatever its attributes are, nothing raises and the agent stays consistent."""
    agent, check = checking()
    try:
        message = Message.parse(data)
    except ParseError:
        return
    if message.message_class in {Class.REQUEST, Class.INDICATION}:
        message.username = f"{agent.local_parameters.ufrag}:peer"
        key = short_term_key(agent.local_parameters.pwd)
    else:
        message.transaction_id, key = check.transaction_id, PEER_KEY
    signed = message.serialize(key=key)
    deliver(agent, signed, 0.01)
    deliver(agent, signed, 0.2)
    consistent(agent)
    end(agent, 1.0)


def check_candidate(data: bytes) -> None:
    """A candidate is taken, asked for by name, or counted, whatever is in it; checks go to unicast addresses only."""
    fields = data.decode("utf-8", "replace").split("\n")
    fields += [""] * (5 - len(fields))
    numbers = (fields[4].encode() + bytes(6))[:6]
    candidate = Candidate(
        fields[0],
        numbers[0],
        fields[1],
        int.from_bytes(numbers[1:4], "big"),
        fields[2],
        int.from_bytes(numbers[4:], "big"),
        ("host", "srflx", "prflx", "relay", fields[3])[len(fields[3]) % 5],
        tcp_type=fields[3] or None,
    )
    agent = Agent(controlling=True, random_bytes=seeded_random_bytes(1))
    agent.add_local_address(LOCAL, 0.0)
    agent.add_local_address(ACTIVE, 0.0, tcp_type="active")
    agent.set_remote_parameters(PEER, 0.0)
    agent.add_remote_candidate(candidate, 0.0)
    names = 0
    while (event := agent.next_event()) is not None:
        names += isinstance(event, ResolutionRequested)
    if agent.dropped.total() + len(agent.remote_candidates) + names != 1:
        raise AssertionError("a candidate is lost, or counted twice")
    for datagram in drained(agent, 0.1):
        ip = ip_of(datagram.remote.host)
        if ip is None or not is_unicast(ip) or ip.is_loopback:
            raise AssertionError("a check to no unicast address")
    end(agent, 1.0)


def check_sequence(data: bytes) -> None:
    """Whatever happens in whatever order, nothing but LocalError is raised, laws hold, limits hold, and it ends."""
    config = Config(lite=bool(data[:1] and data[0] & 1), renomination=True)
    agent = Agent(controlling=True, random_bytes=seeded_random_bytes(2), config=config)
    now = 0.0
    for step in data[1 : 1 + MAX_STEPS]:
        now += (0.001, 0.05, 0.3, 6.0)[step >> 6]
        with suppress(LocalError):
            act(agent, step & 0x3F, now)
        answers = [answer for datagram in drained(agent, now) if step & 1 for answer in answered(datagram)]
        for answer in answers:
            agent.receive_datagram(answer, now)
        drained(agent, now)
        consistent(agent)
    explain(agent.statistics())
    end(agent, now)


def act(agent: Agent, what: int, now: float) -> None:
    """One thing of those that a shell, an application or a peer can do."""
    number = what >> 4
    address = Address(f"10.0.0.{10 + number}", 5)
    match what & 0xF:
        case 0:
            agent.add_local_address(address, now, network_cost=number, hidden=number == 1)
        case 1:
            agent.add_local_address(ACTIVE, now, tcp_type="active")
        case 2:
            agent.add_local_address(Address(LOCAL.host, 5, "tcp"), now, tcp_type="passive", mdns_name=NAME)
        case 3:
            agent.add_relayed_address(RELAYED._replace(port=3 + number), now, base=address)
        case 4:
            agent.remove_local_address((address, ACTIVE, RELAYED, LOCAL)[number], now)
        case 5:
            agent.set_remote_parameters(Parameters(PEER.ufrag, PEER.pwd, number == 1, number > 1), now)
        case 6:
            transport, tcp_type = ("tcp", "passive") if number == 1 else ("udp", None)
            host = f"192.0.2.{number}"
            agent.add_remote_candidate(
                Candidate("1", 1, transport, 1000 + number, host, 7, "host", tcp_type=tcp_type), now
            )
        case 7:
            agent.add_remote_candidate(Candidate("1", 1, "udp", 99, NAME, 7 + number, "host"), now)
        case 8:
            agent.name_resolved(NAME, ["192.0.2.9", "192.0.2.8"][:number], now)
        case 9:
            agent.end_local_addresses(now)
            agent.end_of_remote_candidates(now)
        case 10:
            agent.data_sent(now)
            agent.data_received(now, address, RELAYED)
        case 11:
            agent.data_received(now)
        case 12 if agent.pairs:
            pair = agent.pairs[number % len(agent.pairs)]
            agent.path_closed(pair.local, pair.remote, now)
        case 13:
            agent.restart(now)
        case 14:
            agent.add_stun_server(RELAYED._replace(port=3478 + number), now)
        case _:
            source = RELAYED._replace(port=1 + int(now * 1000) % 0xFFFF)  # a NAT with a port for each destination
            agent.receive_datagram(Datagram(request(agent, number), source, address), now)


def request(agent: Agent, number: int) -> bytes:
    """A check of the peer, which nominates or not."""
    local = agent.local_parameters
    message = Message(BINDING, Class.REQUEST, bytes(12), username=f"{local.ufrag}:peer", priority=77)
    message.use_candidate = number > 1
    message.attributes[0xC001] = number.to_bytes(4, "big")
    message.ice_controlling = number
    return message.serialize(key=short_term_key(local.pwd))


def answered(datagram: Datagram) -> list[Datagram]:
    """The peer's answer to a check."""
    message = Message.parse(datagram.data)
    if message.message_class is not Class.REQUEST:
        return []
    answer = Message(BINDING, Class.SUCCESS, message.transaction_id, xor_mapped_address=datagram.local)
    return [Datagram(answer.serialize(key=PEER_KEY), datagram.remote, datagram.local)]


def consistent(agent: Agent) -> None:
    """Data goes over valid pairs only, and tables are bounded."""
    pair = agent.selected_pair
    if pair is not None and not (pair.valid and agent.accepts(pair.local, pair.remote)):
        raise AssertionError("data goes to a pair that is not valid")
    if len(agent.pairs) > 100 or len(agent.local_candidates) > 64 or len(agent.remote_candidates) > 64:
        raise AssertionError("a limit does not hold")
    learnt = [candidate.host for candidate in agent.remote_candidates if candidate.type == "prflx"]
    if any(learnt.count(host) > MAX_PEER_REFLEXIVE_PER_HOST for host in learnt):
        raise AssertionError("too much is learnt of one host")
    known = {candidate.address for candidate in agent.remote_candidates}
    if any(pair.remote not in known for pair in agent.pairs):
        raise AssertionError("a pair of a candidate that was given up")


def end(agent: Agent, now: float) -> None:
    """Close, after which there is silence."""
    agent.close(now)
    if agent.next_timer() is not None or agent.datagrams_to_send(now):
        raise AssertionError("not the end")


TARGETS = {
    "ice-unsigned": check_unsigned,
    "ice-signed": check_signed,
    "ice-candidate": check_candidate,
    "ice-sequence": check_sequence,
}
