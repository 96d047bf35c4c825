"""STUN: messages, the server, the client."""

from stack.core import Address, ParseError
from stack.stun import BINDING, Class, Client, Message, binding_response, is_stun
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


TARGETS = {"stun-message": check_message, "stun-server": check_server, "stun-client": check_client}
