"""TURN: streams, URIs, the client, the server."""

from stack import stun
from stack.core import Address, Datagram, ParseError
from stack.stun import Class, Message, long_term_key
from stack.testing import seeded_random_bytes
from stack.turn import (
    Client,
    Closed,
    RelayRequested,
    Server,
    ServerConfiguration,
    StreamDeframer,
    frame,
    parse_uri,
    wire,
)

SERVER = Address("203.0.113.1", 3478)
CLIENT = Address("198.51.100.7", 40000)
PEER = Address("9.9.9.9", 5000)
USER, PASSWORD, REALM = "driver", "secret", "example.org"
KEY = long_term_key(USER, REALM, PASSWORD)


def check_stream(data: bytes) -> None:
    """A stream gives the same messages in one piece and byte by byte, and those make the same stream again."""
    whole, single = StreamDeframer(), StreamDeframer()
    found: list[bytes] = []
    try:
        for at in range(len(data)):
            found += single.push(data[at : at + 1])
        messages = whole.push(data)
    except ParseError as error:
        if error.reason not in {"not-stun", "bad-length"}:
            raise
        return
    if found != messages or whole.buffered != single.buffered:
        raise AssertionError("pieces make a difference")
    if StreamDeframer().push(b"".join(map(frame, messages))) != messages:
        raise AssertionError("not the same stream")


def check_uri(data: bytes) -> None:
    """Parse raises only ParseError, and what it returns survives being written and parsed; so too for STUN's URIs."""
    text = data.decode("utf-8", "replace")
    for parse, candidate in ((parse_uri, text), (stun.parse_uri, text.replace("turn", "stun"))):
        try:
            uri = parse(candidate)
        except ParseError:
            continue
        if parse(str(uri)) != uri:
            raise AssertionError(f"{uri} is not read back")


def pair() -> tuple[Client, Server]:
    """Return a client with an allocation, a permission and a channel at a server."""
    server = Server(ServerConfiguration(REALM, (SERVER.host,), {USER: PASSWORD}), random_bytes=seeded_random_bytes(1))
    client = Client(SERVER, USER, PASSWORD, random_bytes=seeded_random_bytes(2))
    client.start(0.0)
    for _ in range(4):
        exchange(client, server)
        if client.relayed is not None:
            client.bind_channel(PEER, 0.0)
    while client.next_event() is not None:
        pass
    return client, server


def exchange(client: Client, server: Server) -> None:
    """Carry what both have to say, and open the sockets that the server wants."""
    for data in client.datagrams_to_send(0.0):
        server.receive_datagram(Datagram(data, CLIENT, SERVER), 0.0)
    while (event := server.next_event()) is not None:
        if isinstance(event, RelayRequested):
            server.relay_opened(event.relayed, 0.0)
    for datagram in server.datagrams_to_send(0.0):
        if datagram.local == SERVER:
            client.receive_datagram(datagram.data, 0.0)


def check_client(data: bytes) -> None:
    """Whatever comes without integrity is dropped, or data of a permitted peer; it never ends an allocation."""
    client, _ = pair()
    client.handle_timer(560.0)  # requests are under way
    requests = [Message.parse(request) for request in client.datagrams_to_send(560.0)]
    copies = [data, b"\x40\x00" + data]
    copies += [data[:8] + request.transaction_id + data[20:] for request in requests]
    for copy in copies:
        before = client.dropped.total()
        client.receive_datagram(copy, 560.0)
        received = client.take_data()
        event = client.next_event()
        if any(peer.host != PEER.host for _, peer in received):
            raise AssertionError("data of a stranger")
        if isinstance(event, Closed):
            message = Message.parse(copy)
            if message.error_code is None or message.error_code[0] not in {401, 438}:
                raise AssertionError("an allocation ended by a message without integrity")
            return
        if client.dropped.total() - before + len(received) < 1 and not client.datagrams_to_send(560.0):
            raise AssertionError("neither dropped nor used")


def check_server(data: bytes) -> None:
    """Nothing without integrity makes or ends an allocation, and no more than one datagram answers one."""
    _, server = pair()
    for source in (CLIENT, Address(CLIENT.host, 1)):
        for copy in (data, b"\x40\x00" + data, b"\x00\x16" + data[2:]):
            server.receive_datagram(Datagram(copy, source, SERVER), 1.0)
            if len(server.datagrams_to_send(1.0)) > 1 or server.allocations != 1 or server.next_event() is not None:
                raise AssertionError("a stranger was listened to")


def check_request(data: bytes) -> None:
    """An authenticated request with any method and attributes is answered, once, by a response to it or by silence."""
    _, server = pair()
    challenge = Message(wire.ALLOCATE, Class.REQUEST, bytes(12)).serialize()
    server.receive_datagram(Datagram(challenge, CLIENT, SERVER), 1.0)
    nonce = Message.parse(server.datagrams_to_send(1.0)[0].data).nonce
    request = Message(data[0] & 15 if data else 0, Class.REQUEST, bytes(12), username=USER, realm=REALM, nonce=nonce)
    for at in range(1, len(data) - 2, 12):  # a type in the range of TURN, a size, a value
        request.attributes[data[at] & 0x2F] = data[at + 2 : at + 2 + (data[at + 1] & 15)]
    try:
        packet = request.serialize(key=KEY)
        Message.parse(packet)
    except Exception:  # noqa: BLE001  a value that STUN itself would not take
        return
    server.receive_datagram(Datagram(packet, CLIENT, SERVER), 1.0)
    answers = server.datagrams_to_send(1.0)
    if len(answers) > 1:
        raise AssertionError("more than one answer")
    for answer in answers:
        response = Message.parse(answer.data)
        if response.method != request.method or response.transaction_id != request.transaction_id:
            raise AssertionError("the answer is none")


TARGETS = {
    "turn-stream": check_stream,
    "turn-uri": check_uri,
    "turn-client": check_client,
    "turn-server": check_server,
    "turn-request": check_request,
}
