"""STUN: messages, the server, the client."""

from stack.core import Address, Datagram, ParseError
from stack.stun import (
    BINDING,
    BindingServer,
    Class,
    Client,
    Discovered,
    Message,
    NatDiscovery,
    binding_response,
    is_stun,
)
from stack.testing import seeded_random_bytes

KEY = b"a password"
SOURCE = Address("192.0.2.1", 1)


def check_message(data: bytes) -> None:
    """Parse raises only ParseError, and what it returns survives serialize and parse unchanged."""
    try:
        message = Message.parse(data)
    except ParseError:
        return
    if is_stun(data) != (data[0] < 4):  # RFC 7983 section 7 leaves room for the methods below 0x100 only
        raise AssertionError("parsed, but is_stun says something else")
    message.verify_integrity(KEY)
    again = Message.parse(message.serialize(key=KEY))
    if again != message or not again.verify_integrity(KEY):
        raise AssertionError(f"{again} is not {message}")


def check_server(data: bytes) -> None:
    """The server answers a Binding request with a message of the same transaction, and nothing else at all."""
    answer = binding_response(data, SOURCE)
    if answer is not None:
        request, response = Message.parse(data), Message.parse(answer)
        if (request.method, request.message_class) != (BINDING, Class.REQUEST):
            raise AssertionError("answered what is no Binding request")
        if response.transaction_id != request.transaction_id or response.message_class < Class.SUCCESS:
            raise AssertionError("the answer is none")


def check_client(data: bytes) -> None:
    """Each datagram is counted as dropped or ends the client with one event; then no timer is armed."""
    client = Client(random_bytes=seeded_random_bytes(1))
    client.start(0.0)
    request = client.datagrams_to_send(0.0)[0]
    for number, datagram in enumerate((data, data[:8] + request[8:20] + data[20:]), 1):
        client.receive_datagram(datagram, 0.0)
        ended = client.next_event() is not None
        if ended:
            if client.next_timer() is not None or client.next_event() is not None:
                raise AssertionError("not the end")
            return
        if client.dropped.total() != number:
            raise AssertionError("neither dropped nor used")


PRIMARY, ALTERNATE, LOCAL = Address("192.0.2.1", 3478), Address("192.0.2.2", 3479), Address("10.0.0.2", 5000)


def check_binding_server(data: bytes) -> None:
    """One datagram is dropped and counted, or answered once: to its host, and not at much greater length."""
    for alternate in (ALTERNATE, None):
        server = BindingServer(PRIMARY, alternate)
        server.receive_datagram(Datagram(data, SOURCE, PRIMARY), 0.0)
        responses = server.datagrams_to_send(0.0)
        if len(responses) + server.dropped.total() != 1:
            raise AssertionError("neither dropped nor answered once")
        for response in responses:
            if response.remote.host != SOURCE.host or response.local not in server.addresses:
                raise AssertionError("a response gone astray")
            if len(response.data) > max(120, len(data)):
                raise AssertionError("an amplifier")
            if Message.parse(response.data).transaction_id != Message.parse(data).transaction_id:
                raise AssertionError("the answer is none")


def check_discovery(data: bytes) -> None:
    """Whatever the server answers, the tests end with one report, in bounded time, and no timer stays armed."""
    machine = NatDiscovery(PRIMARY, LOCAL, random_bytes=seeded_random_bytes(1), hairpinning=True)
    machine.start(0.0)
    now, last = 0.0, None
    for _ in range(200):
        for request in machine.datagrams_to_send(now):
            machine.receive_datagram(Datagram(data, request.remote, request.local), now)
            machine.receive_datagram(Datagram(data[:8] + request.data[8:20] + data[20:], request.remote, LOCAL), now)
        while (event := machine.next_event()) is not None:
            ended = isinstance(last, Discovered)
            if ended:
                raise AssertionError("something came after the end")
            last = event
        deadline = machine.next_timer()
        if deadline is None:
            break
        now = deadline
        machine.handle_timer(now)
    if not isinstance(last, Discovered) or machine.next_timer() is not None or now > 60:
        raise AssertionError(f"no orderly end: {last} at {now}")
    last.report.expectations()


TARGETS = {
    "stun-message": check_message,
    "stun-server": check_server,
    "stun-client": check_client,
    "stun-binding-server": check_binding_server,
    "stun-discovery": check_discovery,
}
