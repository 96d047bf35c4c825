"""ICE: the agent under hostile datagrams, unsigned and signed."""

from stack.core import Address, Datagram, ParseError
from stack.ice import Agent, Candidate, Parameters, candidate_priority
from stack.stun import Class, Message, short_term_key
from stack.testing import seeded_random_bytes

LOCAL = Address("10.0.0.1", 1)
REMOTE = Address("10.0.0.2", 2)
PEER = Parameters("peer", "the password of the peer")
PEER_KEY = short_term_key(PEER.pwd)


def checking() -> tuple[Agent, Message]:
    """An agent whose first check has left, and that check."""
    agent = Agent(controlling=True, random_bytes=seeded_random_bytes(1))
    agent.add_local_address(LOCAL, 0.0)
    agent.set_remote_parameters(PEER, 0.0)
    priority = candidate_priority("host", 65535)
    agent.add_remote_candidate(Candidate("1", 1, "udp", priority, REMOTE.host, REMOTE.port, "host"), 0.0)
    return agent, Message.parse(agent.datagrams_to_send(0.0)[0].data)


def deliver(agent: Agent, data: bytes, now: float) -> list[Datagram]:
    """Give it a datagram, and hold it to the laws of machines afterwards."""
    agent.receive_datagram(Datagram(data, REMOTE, LOCAL), now)
    agent.handle_timer(now)
    due = agent.next_timer()
    if due is not None and due <= now:
        raise AssertionError("a timer is still due")
    out = agent.datagrams_to_send(now)
    if agent.datagrams_to_send(now):
        raise AssertionError("a second drain is not empty")
    return out


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
    pair = agent.selected_pair
    if pair is not None and not (pair.valid and agent.accepts(pair.local, pair.remote)):
        raise AssertionError("data goes to a pair that is not valid")
    agent.close(1.0)
    if agent.next_timer() is not None or agent.datagrams_to_send(1.0):
        raise AssertionError("not the end")


TARGETS = {"ice-unsigned": check_unsigned, "ice-signed": check_signed}
