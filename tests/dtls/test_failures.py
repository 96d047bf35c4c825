"""Every reason for breaking off a handshake, with the alert that the other end sees."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from stack import dtls
from stack.core.crypto import self_signed_certificate
from stack.dtls import messages
from stack.dtls import server as server_module
from stack.dtls.handshake import FAILURES
from stack.dtls.messages import CertificateMessage, ClientHello, ServerHello, ServerKeyExchange
from stack.dtls.wire import ExtensionType, HandshakeType
from stack.testing import Link, seeded_random_bytes

from .support import (
    connect,
    events_of,
    handshake_record,
    pair,
    plain_record,
    plaintext_kinds,
    records_of,
    rewrite,
    started,
)

bytes_of = seeded_random_bytes("weak")
HELLO, ANSWER = HandshakeType.CLIENT_HELLO, HandshakeType.SERVER_HELLO


def hello(change):
    return edit(HELLO, ClientHello, change)


def answer(change):
    return edit(ANSWER, ServerHello, change)


def edit(kind, codec, change):
    def edited(body):
        message = codec.parse(body)
        change(message)
        return message.serialize()

    return kind, edited


def assign(**values):
    def change(message):
        for name, value in values.items():
            setattr(message, name, value)

    return change


def extension(kind, data):
    return lambda message: message.extensions.__setitem__(kind, data)


def without(kind):
    return lambda message: message.extensions.pop(kind)


def flip_last(body):
    return body[:-1] + bytes((body[-1] ^ 1,))


def duplicate_extension(body):
    codec = ClientHello if len(body) > 100 else ServerHello
    message = codec.parse(body)
    plain = messages._serialize_extensions(message.extensions)
    twice = messages.vector16(plain[2:] + plain[2:])
    return body[: len(body) - len(plain)] + twice


SKE, CERTIFICATE = HandshakeType.SERVER_KEY_EXCHANGE, HandshakeType.CERTIFICATE
E = ExtensionType

# (who fails, reason, what is changed on the way)
CASES = [
    ("server", "unsupported-version", hello(assign(version=0xFEFF))),
    ("server", "unsupported-version", hello(assign(version=0x0303))),
    ("server", "unsupported-version", hello(extension(E.SUPPORTED_VERSIONS, b"\x02\xfe\xfc"))),
    ("server", "illegal-compression", hello(assign(compression_methods=b"\x01"))),
    ("server", "no-common-cipher-suite", hello(assign(cipher_suites=(0xC02F, 0x00FF)))),
    ("server", "no-common-group", hello(extension(E.SUPPORTED_GROUPS, b"\x00\x02\x00\x19"))),
    ("server", "no-common-signature-algorithm", hello(extension(E.SIGNATURE_ALGORITHMS, b"\x00\x02\x02\x03"))),
    ("server", "no-common-signature-algorithm", hello(without(E.SIGNATURE_ALGORITHMS))),
    ("server", "no-extended-master-secret", hello(without(E.EXTENDED_MASTER_SECRET))),
    ("server", "bad-renegotiation-info", hello(extension(E.RENEGOTIATION_INFO, b"\x01x"))),
    ("server", "illegal-point-format", hello(extension(E.EC_POINT_FORMATS, b"\x01\x01"))),
    ("server", "decode-error", hello(extension(E.USE_SRTP, b"\x00\x03\x00\x01\x00"))),
    ("server", "decode-error", hello(assign(session_id=bytes(33)))),
    ("server", "decode-error", (HELLO, lambda body: body[:-1])),
    ("server", "decode-error", (HELLO, lambda body: body + b"\x00")),
    ("server", "decode-error", (HELLO, lambda body: b"")),
    ("server", "duplicate-extension", (HELLO, duplicate_extension)),
    ("client", "no-certificate", (CERTIFICATE, lambda body: CertificateMessage([]).serialize())),
    ("server", "bad-key-share", (HandshakeType.CLIENT_KEY_EXCHANGE, lambda body: b"\x20" + bytes(32))),
    ("server", "bad-key-share", (HandshakeType.CLIENT_KEY_EXCHANGE, lambda body: b"\x01\x04")),
    ("server", "bad-signature", (HandshakeType.CERTIFICATE_VERIFY, flip_last)),
    ("server", "illegal-signature-algorithm", (HandshakeType.CERTIFICATE_VERIFY, lambda body: b"\x02\x03" + body[2:])),
    ("server", "illegal-signature-algorithm", (HandshakeType.CERTIFICATE_VERIFY, lambda body: b"\x04\x01" + body[2:])),
    ("client", "unsupported-version", answer(assign(version=0xFEFF))),
    ("client", "illegal-cipher-suite", answer(assign(cipher_suite=0xC009))),
    ("client", "illegal-compression", answer(assign(compression_method=1))),
    ("client", "unsolicited-extension", answer(extension(35, b""))),
    ("client", "no-renegotiation-info", answer(without(E.RENEGOTIATION_INFO))),
    ("client", "bad-renegotiation-info", answer(extension(E.RENEGOTIATION_INFO, b"\x01x"))),
    ("client", "no-extended-master-secret", answer(without(E.EXTENDED_MASTER_SECRET))),
    ("client", "illegal-point-format", answer(extension(E.EC_POINT_FORMATS, b"\x01\x02"))),
    ("client", "illegal-srtp-profile", answer(extension(E.USE_SRTP, b"\x00\x02\x00\x05\x00"))),
    ("client", "illegal-srtp-profile", answer(extension(E.USE_SRTP, b"\x00\x04\x00\x07\x00\x01\x00"))),
    ("client", "illegal-srtp-profile", answer(extension(E.USE_SRTP, b"\x00\x02\x00\x07\x01x"))),
    ("client", "unsupported-certificate", answer(assign(cipher_suite=0xC02F))),
    ("client", "duplicate-extension", (ANSWER, duplicate_extension)),
    ("client", "decode-error", (ANSWER, lambda body: body[:20])),
    ("client", "illegal-group", edit(SKE, ServerKeyExchange, assign(group=25))),
    ("client", "illegal-group", (SKE, lambda body: b"\x01" + body[1:])),
    ("client", "illegal-signature-algorithm", edit(SKE, ServerKeyExchange, assign(scheme=0x0203))),
    ("client", "bad-signature", edit(SKE, ServerKeyExchange, assign(public=bytes(32)))),
    ("client", "decode-error", (HandshakeType.SERVER_HELLO_DONE, lambda body: b"x")),
    ("client", "decode-error", (HandshakeType.CERTIFICATE_REQUEST, lambda body: body + b"x")),
    (
        "client",
        "no-common-signature-algorithm",
        edit(
            HandshakeType.CERTIFICATE_REQUEST,
            messages.CertificateRequest,
            assign(signature_algorithms=(0x0203, 0x0804)),
        ),
    ),
]


def check(client, server, failing, reason, tamper=None):
    link = started(Link(client, server, tamper=tamper))
    link.run(seconds=20)
    ours, theirs = link.events if failing == "client" else reversed(link.events)
    assert isinstance(ours[-1], dtls.Closed)
    assert ours[-1].error.reason == reason
    assert ours[-1].error.layer == "dtls"
    assert isinstance(theirs[-1], dtls.Closed)
    assert (theirs[-1].error.reason, theirs[-1].error.detail) == ("peer-alert", FAILURES[reason].name.lower())
    for machine in (client, server):
        assert machine.next_timer() is None
        assert not machine.handshake_complete
    return ours[-1].error


@pytest.mark.parametrize(("failing", "reason", "tampering"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_violations(failing, reason, tampering):
    check(*pair(), failing, reason, rewrite(*tampering))


def test_a_server_that_asks_for_no_certificate_is_refused():
    def tamper(sender, index, data):
        return [close_up(data, HandshakeType.CERTIFICATE_REQUEST)] if sender else [data]

    check(*pair(), "client", "no-certificate-request", tamper)


OFFER = dtls.Config(alpn_protocols=("webrtc", "c-webrtc"))


def test_no_common_application_protocol():
    server = {"config": dtls.Config(alpn_protocols=("h2",))}
    check(*pair(client={"config": OFFER}, server=server), "server", "no-common-application-protocol")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00\x03\x02h2", "illegal-application-protocol"),
        (b"\x00\x10\x06webrtc\x08c-webrtc", "illegal-application-protocol"),
        (b"\x00\x00", "decode-error"),
        (b"\x00\x01\x00", "decode-error"),
        (b"\x00\x07\x06webrtc!", "decode-error"),
        (b"\x00\x07\x07webrtc", "decode-error"),
    ],
)
def test_wrong_answers_about_the_application_protocol(content, reason):
    check(*pair(config=OFFER), "client", reason, rewrite(*answer(extension(E.ALPN, content))))


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"\x00\x01\x00", b"\x00\x07\x06webrtc!"])
def test_wrong_offers_of_application_protocols(content):
    check(*pair(config=OFFER), "server", "decode-error", rewrite(*hello(extension(E.ALPN, content))))


@pytest.mark.parametrize("failing", ["client", "server"])
@pytest.mark.parametrize("der", [b"", b"garbage", b"0\x03\x02\x01\x00"])
def test_bad_certificate(failing, der):
    def tamper(sender, index, data):
        change = rewrite(CERTIFICATE, lambda body: CertificateMessage([der]).serialize())
        return change(sender, index, data) if sender == (failing == "client") else [data]

    check(*pair(), failing, "bad-certificate", tamper)


@pytest.mark.parametrize("failing", ["client", "server"])
def test_a_short_rsa_key_is_refused(failing):
    key = rsa.generate_private_key(65537, 1024)
    der = self_signed_certificate(key, bytes_of, common_name="weak", not_before=0.0, not_after=2e9)

    def tamper(sender, index, data):
        change = rewrite(CERTIFICATE, lambda body: CertificateMessage([der]).serialize())
        return change(sender, index, data) if sender == (failing == "client") else [data]

    assert check(*pair(), failing, "unsupported-certificate", tamper).detail == "RSA key too short"


def test_a_client_without_a_certificate_is_refused():
    def tamper(sender, index, data):
        change = rewrite(CERTIFICATE, lambda body: CertificateMessage([]).serialize())
        return change(sender, index, data) if sender == 0 else [data]

    check(*pair(), "server", "no-certificate", tamper)


@pytest.mark.parametrize("failing", ["client", "server"])
def test_bad_finished(failing):
    client, server = pair()
    (server if failing == "client" else client)._handshake.label = b"another finished"
    link = started(Link(client, server))
    link.run(seconds=5)
    ours, theirs = link.events if failing == "client" else reversed(link.events)
    assert ours[-1].error.reason == "bad-finished"
    # To a server that is done the alert comes protected, to a client that is not, in plaintext: both are heard.
    assert (theirs[-1].error.reason, theirs[-1].error.detail) == ("peer-alert", "decrypt_error")


def test_bad_key_share_of_a_server(monkeypatch):
    def weak(group, random_bytes):
        exchange = generate(group, random_bytes)
        exchange.public = bytes(32)  # a point of small order: the secret would be all zero
        return exchange

    generate = server_module.generate_key_exchange
    monkeypatch.setattr(server_module, "generate_key_exchange", weak)
    check(*pair(), "client", "bad-key-share")


@pytest.mark.parametrize("lost", [CERTIFICATE, SKE, HandshakeType.CLIENT_KEY_EXCHANGE])
def test_a_message_left_out_is_unexpected(lost):
    """The numbers are closed up, as a peer would that never made the message."""
    failing = "client" if lost == SKE else "server"

    def tamper(sender, index, data):
        return [close_up(data, lost)] if sender == (failing == "client") else [data]

    error = check(*pair(), failing, "unexpected-message", tamper)
    assert " in WAIT_" in error.detail


def test_without_certificate_verify_the_epoch_never_changes():
    """The Finished that follows cannot be opened, however right it is."""
    client, server = pair()
    lost = HandshakeType.CERTIFICATE_VERIFY  # the number of the Finished tells that one is missing
    link = started(Link(client, server, tamper=lambda s, _, data: [close_up(data, lost)] if s == 0 else [data]))
    link.run(seconds=31)
    assert server._read_epoch == 0
    assert [(e.error.reason, e.error.detail) for e in link.events[1]] == [("timeout", "in WAIT_CERTIFICATE_VERIFY")]


def forget_certificate_verify(client):
    """Make a client that leaves CertificateVerify out, and numbers its Finished accordingly."""
    number, sent = client._handshake._message, []

    def message(kind, body):
        if kind != HandshakeType.CERTIFICATE_VERIFY:
            sent.append(number(kind, body))
        return sent[-1]  # the ClientKeyExchange once more, which is a repetition

    client._handshake._message = message


@pytest.mark.parametrize("order", ["as sent", "records reversed", "one record each", "change_cipher_spec lost"])
def test_skipped_certificate_verify_is_named(order):
    client, server = pair()
    forget_certificate_verify(client)

    def tamper(sender, index, data):
        if sender or not index:
            return [data]
        records = records_of(data)
        if order == "records reversed":
            return [b"".join(reversed(records))]
        if order == "one record each":
            return records
        return [data] if order == "as sent" else [b"".join(r for r in records if r[0] != 20)]

    error = check(client, server, "server", "unexpected-message", tamper)
    assert error.detail == "finished in WAIT_CERTIFICATE_VERIFY"


def test_a_lost_certificate_verify_is_waited_for():
    client, server = pair(config=dtls.Config(mtu=300))
    lost = []

    def tamper(sender, index, data):
        kinds = [kind for _, kind in plaintext_kinds([data])]
        if HandshakeType.CERTIFICATE_VERIFY in kinds and not lost:
            lost.append(index)
            return [r for r in records_of(data) if r[0] != 22 or r[13] != HandshakeType.CERTIFICATE_VERIFY]
        return [data]

    connect(client, server, tamper=tamper)
    assert lost
    assert server.handshake_complete


def test_forged_records_of_the_next_epoch_end_nothing():
    client, server = pair()
    link = started(Link(client, server))
    forged = plain_record(22, bytes(64), record=0, epoch=1)

    def tamper(sender, index, data):
        return [forged, plain_record(22, b"", record=1, epoch=1), *records_of(data)] if sender == 0 else [data]

    link._tamper = tamper
    assert link.run(lambda: client.handshake_complete and server.handshake_complete, seconds=5)
    assert server.dropped["bad-record-mac"] == 2  # in both flights of the client
    assert server.dropped["short-record"] == 2


def close_up(data, lost):
    out, shift, offset = b"", 0, 0
    while offset < len(data):
        end = offset + 13 + int.from_bytes(data[offset + 11 : offset + 13], "big")
        record = data[offset:end]
        offset = end
        if record[0] == 22 and record[3:5] == bytes(2):
            if record[13] == lost:
                shift = 1
                continue
            sequence = int.from_bytes(record[17:19], "big") - shift
            record = record[:17] + sequence.to_bytes(2, "big") + record[19:]
        out += record
    return out


@pytest.mark.parametrize("kind", [0, 4, 20, 22, 99])
def test_messages_that_are_never_expected(kind):
    client, server = pair()
    client.start(0)
    server.start(0)
    client.receive_datagram(handshake_record(kind, bytes(12)), 0)
    server.receive_datagram(handshake_record(kind, bytes(12)), 0)
    for machine in (client, server):
        assert [e.error.reason for e in events_of(machine)] == ["unexpected-message"]


def test_finished_before_change_cipher_spec():
    """Everything in order but the protection: Finished in plaintext must not be looked at."""
    client, server = pair()
    link = started(Link(client, server))

    def strip(sender, index, data):
        if sender == 0 and index == 1:
            at = data.index(b"\x14\xfe\xfd")
            return [data[:at] + handshake_record(20, bytes(12), sequence=4, record=3)]
        return [data]

    link._tamper = strip
    link.run(seconds=5)
    assert link.events[1][-1].error.reason == "unexpected-message"
    assert link.events[1][-1].error.detail == "finished before change_cipher_spec"
    assert not server.handshake_complete


@pytest.mark.parametrize("when", ["before", "after"])
def test_early_change_cipher_spec_is_harmless(when):
    client, server = pair()
    client.start(0)
    server.start(0)
    early = plain_record(20, b"\x01", record=77)
    if when == "before":
        client.receive_datagram(early, 0)
        server.receive_datagram(early, 0)
    link = Link(client, server, start=0)
    if when == "after":
        link.step()
        client.receive_datagram(early, 0)
        server.receive_datagram(early, 0)
    assert link.run(lambda: client.handshake_complete and server.handshake_complete, seconds=5)


def test_every_failure_has_a_test():
    tested = {reason for _, reason, _ in CASES} | {
        "bad-certificate",
        "bad-finished",
        "illegal-application-protocol",
        "no-certificate-request",
        "no-common-application-protocol",
        "fingerprint-mismatch",  # these two in test_handshake
        "unsupported-fingerprint",
        "unexpected-message",
    }
    assert tested == set(FAILURES)
