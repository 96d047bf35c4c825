"""DTLS: handshake messages, fragments, and connections before and after the handshake."""

from functools import cache
from typing import Literal

from stack import dtls
from stack.core import DropPacket, ParseError
from stack.dtls import messages
from stack.dtls.reassembly import MAX_HANDSHAKE_MESSAGE, MAX_MESSAGES_AHEAD, Reassembler, parse_fragments
from stack.testing import seeded_random_bytes

CODECS = (
    messages.ClientHello,
    messages.ServerHello,
    messages.HelloVerifyRequest,
    messages.CertificateMessage,
    messages.ServerKeyExchange,
    messages.CertificateRequest,
    messages.ClientKeyExchange,
    messages.CertificateVerify,
)


@cache
def certificate() -> dtls.Certificate:
    return dtls.Certificate.generate(seeded_random_bytes(1), now_unix=1_800_000_000.0)


def connection(role: Literal["client", "server"]) -> dtls.Connection:
    return dtls.Connection(
        role,
        certificate=certificate(),
        random_bytes=seeded_random_bytes(role),
        remote_fingerprints=[certificate().fingerprint()],
    )


def check_message(data: bytes) -> None:
    """Parse raises only ParseError, and what it returns survives serialize and parse. The first byte picks a codec."""
    codec = CODECS[data[0] % len(CODECS)] if data else CODECS[0]
    try:
        message = codec.parse(data[1:])
    except ParseError:
        return
    if codec.parse(message.serialize()) != message:
        raise AssertionError(f"{message} does not survive")


def check_alpn(data: bytes) -> None:
    """Names of application protocols parse, or raise ParseError; none is empty, and they survive serialize."""
    try:
        names = messages.parse_alpn(data)
    except ParseError:
        return
    if not names or not all(names) or messages.serialize_alpn(names) != data:
        raise AssertionError(f"{names} does not survive")


def check_fragments(data: bytes) -> None:
    """Only ParseError and DropPacket, memory stays bounded, messages come out in order and complete."""
    try:
        fragments = parse_fragments(data)
    except ParseError:
        return
    reassembler = Reassembler()
    due = 0
    for fragment in fragments:
        if fragment.sequence < reassembler.next_sequence:
            continue
        try:
            reassembler.add(fragment)
        except DropPacket:
            continue
        while (message := reassembler.next_message()) is not None:
            if message.sequence != due or len(message.body) > MAX_HANDSHAKE_MESSAGE:
                raise AssertionError(f"{message} out of order or too long")
            due += 1
        if reassembler.waiting > MAX_MESSAGES_AHEAD:
            raise AssertionError("too many messages wait")


def check_rest(machine: dtls.Connection) -> None:
    """What holds after any input: nothing is left after a drain, and the end is the end."""
    datagrams = machine.datagrams_to_send(0.0)
    if machine.datagrams_to_send(0.0) or len(datagrams) > 8:
        raise AssertionError("more to send than a flight")
    closed = 0
    while (event := machine.next_event()) is not None:
        if closed:
            raise AssertionError("an event after the end")
        closed += isinstance(event, dtls.Closed)
    if closed and machine.next_timer() is not None:
        raise AssertionError("a timer after the end")


def check_new(data: bytes) -> None:
    """A connection that has just begun never raises, whether the bytes are a datagram or a handshake message."""
    size = max(0, len(data) - 1).to_bytes(3, "big")
    fragment = data[:1] + size + bytes(5) + size + data[1:]
    wrapped = b"\x16\xfe\xfd" + bytes(8) + len(fragment).to_bytes(2, "big") + fragment
    for role in ("client", "server"):
        for datagram in (data, wrapped):
            machine = connection(role)
            machine.start(0.0)
            machine.receive_datagram(datagram, 0.0)
            if machine.handshake_complete:
                raise AssertionError("complete after one datagram")
            check_rest(machine)


def check_connected(data: bytes) -> None:
    """Without the keys nobody ends a connection, gives it data, or makes it send; all is counted as dropped."""
    client, server = connection("client"), connection("server")
    client.start(0.0)
    server.start(0.0)
    for sender, receiver in ((client, server), (server, client)) * 2:
        for datagram in sender.datagrams_to_send(0.0):
            receiver.receive_datagram(datagram, 0.0)
    for machine in (client, server):
        check_rest(machine)
        machine.receive_datagram(data, 0.0)
        if machine.state != "connected" or machine.take_application_data() or machine.datagrams_to_send(0.0):
            raise AssertionError("a forged datagram had an effect")
        if not machine.dropped:
            raise AssertionError("neither dropped nor used")


TARGETS = {
    "dtls-message": check_message,
    "dtls-alpn": check_alpn,
    "dtls-fragments": check_fragments,
    "dtls-new": check_new,
    "dtls-connected": check_connected,
}
