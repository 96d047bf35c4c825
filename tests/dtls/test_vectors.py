import hashlib
import json
from pathlib import Path

import pytest

from stack import dtls
from stack.core import PeerError
from stack.dtls import messages
from stack.dtls.keys import KeySchedule, prf
from stack.dtls.reassembly import Reassembler, parse_fragments
from stack.dtls.suites import CIPHER_SUITES
from stack.dtls.wire import ExtensionType, HandshakeType
from stack.testing import seeded_random_bytes

from .record_handshakes import new_connection, settings
from .support import certificate, events_of

VECTORS = Path(__file__).parents[2] / "vectors" / "dtls"
PRF = json.loads((VECTORS / "prf.json").read_text())["vectors"]
EXTENDED_MASTER_SECRET = json.loads((VECTORS / "rfc7627.json").read_text())["vectors"]
BROWSERS = json.loads((VECTORS / "browser_handshakes.json").read_text())["handshakes"]
PROGRAMS = json.loads((VECTORS / "program_handshakes.json").read_text())["handshakes"]
WITH_KEYS = json.loads((VECTORS / "browser_handshakes_with_keys.json").read_text())["handshakes"]
CODECS = {
    HandshakeType.CLIENT_HELLO: messages.ClientHello,
    HandshakeType.SERVER_HELLO: messages.ServerHello,
    HandshakeType.CERTIFICATE: messages.CertificateMessage,
    HandshakeType.SERVER_KEY_EXCHANGE: messages.ServerKeyExchange,
    HandshakeType.CERTIFICATE_REQUEST: messages.CertificateRequest,
    HandshakeType.CLIENT_KEY_EXCHANGE: messages.ClientKeyExchange,
    HandshakeType.CERTIFICATE_VERIFY: messages.CertificateVerify,
}


def name_of(handshake):
    return f"{handshake['browser']}-{handshake['browser_role']}"


def plaintext_messages(datagrams):
    """The unprotected handshake messages in one direction of a recorded handshake."""
    reassembler, found = Reassembler(), []
    for data in datagrams:
        offset = 0
        while offset < len(data):
            end = offset + 13 + int.from_bytes(data[offset + 11 : offset + 13], "big")
            if data[offset] == 22 and data[offset + 3 : offset + 5] == bytes(2):
                for fragment in parse_fragments(data[offset + 13 : end]):
                    reassembler.add(fragment)
            offset = end
        while (message := reassembler.next_message()) is not None:
            found.append(message)
    return found


def of(handshake, sender):
    return [bytes.fromhex(d["datagram"]) for d in handshake["datagrams"] if d["sender"] == sender]


@pytest.mark.parametrize("vector", PRF, ids=lambda v: v["hash"])
def test_prf(vector):
    output = bytes.fromhex(vector["output"])
    secret, seed = bytes.fromhex(vector["secret"]), bytes.fromhex(vector["seed"])
    assert prf(vector["hash"], secret, vector["label"].encode(), seed, len(output)) == output


@pytest.mark.parametrize("vector", EXTENDED_MASTER_SECRET, ids=lambda v: v["hash"])
def test_extended_master_secret(vector):
    transcript, premaster_secret, client_random, server_random = (
        bytes.fromhex(vector[name])
        for name in ("handshake_messages", "premaster_secret", "client_random", "server_random")
    )
    session_hash = hashlib.new(vector["hash"], transcript).digest()
    assert session_hash.hex() == vector["session_hash"]
    master_secret = prf(vector["hash"], premaster_secret, b"extended master secret", session_hash, 48)
    assert master_secret.hex() == vector["master_secret"]
    suite = CIPHER_SUITES[vector["cipher_suite"]]
    keys = KeySchedule(suite, premaster_secret, client_random, server_random, transcript)
    assert keys.keylog_line() == f"CLIENT_RANDOM {vector['client_random']} {vector['master_secret']}"
    assert keys.export(vector["exporter_label"].encode(), 60, None).hex() == vector["exported"]
    ordinary = KeySchedule(suite, premaster_secret, client_random, server_random, None)
    assert ordinary.keylog_line() != keys.keylog_line()


@pytest.mark.parametrize("handshake", BROWSERS, ids=name_of)
@pytest.mark.parametrize("sender", ["client", "server"])
def test_recorded_messages_survive_parsing_and_serializing(handshake, sender):
    kinds = set()
    for message in plaintext_messages(of(handshake, sender)):
        kinds.add(message.type)
        codec = CODECS.get(message.type)
        if codec is not None:
            assert codec.parse(message.body).serialize() == message.body
    assert {"client": HandshakeType.CERTIFICATE_VERIFY, "server": HandshakeType.SERVER_HELLO_DONE}[sender] in kinds


@pytest.mark.parametrize("handshake", [h for h in BROWSERS if h["browser_role"] == "client"], ids=name_of)
@pytest.mark.parametrize("reverse", [False, True])
def test_hello_of_a_browser_is_answered_by_1_2(handshake, reverse):
    """A hello in two datagrams that offers 1.3 with a post-quantum key share leads to plain 1.2."""
    hello = of(handshake, "client")[:2]
    parsed = messages.ClientHello.parse(plaintext_messages(hello)[0].body)
    assert ExtensionType.SUPPORTED_VERSIONS in parsed.extensions
    server = dtls.Connection("server", certificate=certificate(), random_bytes=seeded_random_bytes(1))
    server.start(0)
    for data in reversed(hello) if reverse else hello:
        assert server.datagrams_to_send(0) == []
        server.receive_datagram(data, 0)
    flight = plaintext_messages(server.datagrams_to_send(0))
    assert [m.type for m in flight] == [2, 11, 12, 13, 14]
    answer = messages.ServerHello.parse(flight[0].body)
    assert (answer.version, answer.cipher_suite) == (0xFEFD, 0xC02B)
    assert set(answer.extensions) == {
        ExtensionType.RENEGOTIATION_INFO,
        ExtensionType.EXTENDED_MASTER_SECRET,
        ExtensionType.EC_POINT_FORMATS,
        ExtensionType.USE_SRTP,
    }
    assert messages.parse_use_srtp(answer.extensions[ExtensionType.USE_SRTP]) == ((7,), b"")
    assert messages.ServerKeyExchange.parse(flight[2].body).group == 29
    assert not server.dropped


def test_a_client_that_accepts_only_1_3_is_refused():
    handshake = next(h for h in BROWSERS if h["browser_role"] == "client")
    hello = messages.ClientHello.parse(plaintext_messages(of(handshake, "client")[:2])[0].body)
    hello.extensions[ExtensionType.SUPPORTED_VERSIONS] = b"\x02\xfe\xfc"
    body = hello.serialize()
    size = len(body).to_bytes(3, "big")
    fragment = b"\x01" + size + bytes(5) + size + body
    server = dtls.Connection("server", certificate=certificate(), random_bytes=seeded_random_bytes(1))
    server.start(0)
    server.receive_datagram(b"\x16\xfe\xff" + bytes(8) + len(fragment).to_bytes(2, "big") + fragment, 0)
    assert [d[-2:] for d in server.datagrams_to_send(0)] == [bytes((2, 70))]
    assert events_of(server) == [dtls.Closed(PeerError("dtls", "unsupported-version", "0xfefd"))]


def replay(handshake, config):
    """Our end of a recorded handshake once more; returns it, its key log, and the data that came behind."""
    lines, compared, now = [], 0, 0.0
    peer = dtls.Fingerprint("sha-256", handshake["program_fingerprint"])
    assert certificate().der.hex() == handshake["stack_certificate"]
    ours = new_connection(handshake["stack_role"], handshake["seed"], peer, lines.append, config)
    ours.start(now)
    sent = ours.datagrams_to_send(now)
    for item in handshake["datagrams"]:
        data = bytes.fromhex(item["datagram"])
        if item["sender"] == "program":
            ours.receive_datagram(data, now)
            sent += ours.datagrams_to_send(now)
        elif sent or not ours.handshake_complete:  # behind the handshake there is data, which is not repeated here
            if not sent:  # a flight that got no answer, as the first one where the other end was not ready yet
                now = ours.next_timer()
                ours.handle_timer(now)
                sent = ours.datagrams_to_send(now)
            assert sent.pop(0) == data
            compared += 1
    assert compared >= 2
    assert ours.handshake_complete
    assert ours.cipher_suite == handshake["cipher_suite"]
    assert lines == [f"CLIENT_RANDOM {handshake['client_random']} {handshake['master_secret']}"]
    assert ours.export_keying_material("EXTRACTOR-dtls_srtp", 60).hex() == handshake["exported"]
    return ours


@pytest.mark.parametrize("handshake", PROGRAMS, ids=lambda h: h["seed"])
def test_recorded_handshakes_replay(handshake):
    """With the same randomness each of our datagrams is what it was, and both ends had the same keys."""
    ours = replay(handshake, settings())
    assert handshake["program_exported"] in {None, handshake["exported"]}
    assert b"hello" in b"".join(ours.take_application_data()) or handshake["stack_role"] == "client"


@pytest.mark.parametrize("handshake", WITH_KEYS, ids=lambda h: h["seed"])
def test_recorded_handshakes_of_browsers_replay(handshake):
    """As above; what comes behind the handshake is SCTP."""
    ours = replay(handshake, settings(cipher_suites=(handshake["cipher_suite"],)))
    packets = ours.take_application_data()
    assert packets
    assert all(packet[:4] == b"\x13\x88\x13\x88" for packet in packets)  # from port 5000 to port 5000
    assert not ours.dropped


@pytest.mark.parametrize("handshake", [h for h in WITH_KEYS if h["stack_role"] == "server"], ids=lambda h: h["seed"])
def test_browsers_offer_1_3_with_post_quantum_shares_in_two_datagrams(handshake):
    """What the handshakes above are with: both browsers do it by default."""
    hello = [d for d in handshake["datagrams"] if d["sender"] == "program"][:2]
    message = plaintext_messages(bytes.fromhex(d["datagram"]) for d in hello)[0]
    assert message.type == HandshakeType.CLIENT_HELLO
    assert len(message.body) > 1200
    extensions = messages.ClientHello.parse(message.body).extensions
    assert 0xFEFC in messages.parse_u16s(messages.parse_vector8_extension(extensions[ExtensionType.SUPPORTED_VERSIONS]))
    assert 0x11EC in messages.parse_u16_vector(extensions[ExtensionType.SUPPORTED_GROUPS])  # X25519MLKEM768
