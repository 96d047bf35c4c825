"""TURN: streams, URIs, the client, the server."""

from ipaddress import ip_address

from stack import stun
from stack.core import Address, Datagram, ParseError
from stack.stun import Class, LongTermCredential, Message, long_term_key
from stack.testing import seeded_random_bytes
from stack.turn import (
    TCP,
    Client,
    Closed,
    DataConnection,
    PeerPolicy,
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


def check_tcp_request(data: bytes) -> None:
    """A request about TCP to peers gets one response at most, and nobody is connected to where policy forbids it."""
    configuration = ServerConfiguration(REALM, (SERVER.host,), {USER: PASSWORD}, tcp_relays=True)
    server = Server(configuration, random_bytes=seeded_random_bytes(1))
    local, source = SERVER._replace(transport="tcp"), CLIENT._replace(transport="tcp")
    client = Client(local, USER, PASSWORD, random_bytes=seeded_random_bytes(2), reliable=True, requested_transport=TCP)
    client.start(0.0)
    nonce = ""
    for _ in range(2):
        for datagram in client.datagrams_to_send(0.0):
            nonce = Message.parse(datagram).nonce or nonce
            server.receive_datagram(Datagram(datagram, source, local), 0.0)
        while (event := server.next_event()) is not None:
            if isinstance(event, RelayRequested):
                server.relay_opened(event.relayed, 0.0)
        for answer in server.datagrams_to_send(0.0):
            client.receive_datagram(answer.data, 0.0)
    method = (wire.CONNECT, wire.CONNECTION_BIND, wire.CHANNEL_BIND, wire.REFRESH)[(data[0] if data else 0) & 3]
    request = Message(method, Class.REQUEST, bytes(12), username=USER, realm=REALM, nonce=nonce)
    request.attributes[wire.XOR_PEER_ADDRESS] = data[1:9]
    request.attributes[wire.CONNECTION_ID] = data[9:13]
    server.receive_datagram(Datagram(request.serialize(key=KEY), source, local), 0.0)
    if len(server.datagrams_to_send(0.0)) > 1:
        raise AssertionError("more than one answer")
    while (event := server.next_event()) is not None:
        peer = getattr(event, "peer", None)
        if peer is not None and (not PeerPolicy().permits(peer.host) or not peer.port):
            raise AssertionError(f"connects to {peer}")


def check_data_connection(data: bytes) -> None:
    """A stream in any pieces does the same; nothing without integrity binds a connection that has credentials."""
    outcomes = []
    for size in (1, len(data) or 1):
        credential = LongTermCredential(USER, PASSWORD)
        challenge = Message(wire.ALLOCATE, Class.ERROR, bytes(12), error_code=(401, ""), realm=REALM, nonce="n")
        credential.challenge(challenge)
        machine = DataConnection(7, credential, random_bytes=bytes)
        machine.start(0.0)
        for at in range(0, len(data), size):
            machine.receive_datagram(data[at : at + size], 0.0)
        if machine.is_bound:
            raise AssertionError("bound without the key")
        outcomes.append((machine.is_bound, machine.take_data(), machine.next_event()))
    if outcomes[0] != outcomes[1]:
        raise AssertionError("pieces make a difference")


def check_policy(data: bytes) -> None:
    """An address is permitted only if Python too calls it global, whatever it is read as."""
    for size in (4, 16):
        if len(data) < size:
            return
        address = ip_address(data[:size])
        if PeerPolicy().permits(str(address)) and not address.is_global:
            raise AssertionError(f"{address} is permitted")


TARGETS = {
    "turn-tcp-request": check_tcp_request,
    "turn-data-connection": check_data_connection,
    "turn-policy": check_policy,
    "turn-stream": check_stream,
    "turn-uri": check_uri,
    "turn-client": check_client,
    "turn-server": check_server,
    "turn-request": check_request,
}
