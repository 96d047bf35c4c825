"""OpenSSL, through pyOpenSSL and memory BIOs, as the independent judge of handshake, keys and records."""

import contextlib
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from stack import dtls
from stack.core import PeerError
from stack.dtls.suites import CIPHER_SUITES
from stack.testing import seeded_random_bytes

from .support import NOW_UNIX, certificate, events_of, failure_of

SRTP_NAMES = {b"SRTP_AES128_CM_SHA1_80": 1, b"SRTP_AEAD_AES_128_GCM": 7}
ALL_PROFILES = b":".join(SRTP_NAMES)
EXPORT_LABEL = b"EXTRACTOR-dtls_srtp"
OPENSSL_SUITES = {
    0xC02B: b"ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02C: b"ECDHE-ECDSA-AES256-GCM-SHA384",
    0xCCA9: b"ECDHE-ECDSA-CHACHA20-POLY1305",
    0xC02F: b"ECDHE-RSA-AES128-GCM-SHA256",
    0xC030: b"ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA8: b"ECDHE-RSA-CHACHA20-POLY1305",
}


def make_certificate(kind):
    key = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "judge")])
    start = dt.datetime.fromtimestamp(NOW_UNIX, dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=30))
    return builder.sign(key, hashes.SHA256()), key


def pems(cert, key):
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return cert.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture(scope="module")
def credentials():
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = make_certificate(kind)
        return made[kind]

    return get


class Judge:
    """One end run by OpenSSL."""

    def __init__(self, role, cert, key, *, ciphers=None, mtu=1200, srtp=ALL_PROFILES, verify=True, alpn=None):
        context = SSL.Context(SSL.DTLS_METHOD)
        context.use_certificate(cert)
        context.use_privatekey(key)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_cipher_list(ciphers or b"ALL")
        if verify:
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if srtp:
            context.set_tlsext_use_srtp(srtp)
        if alpn:
            context.set_alpn_protos([alpn])
            context.set_alpn_select_callback(lambda connection, offered: alpn if alpn in offered else b"")
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(mtu)
        (self.ssl.set_connect_state if role == "client" else self.ssl.set_accept_state)()
        self.complete = False
        self.error = None

    def work(self):
        if not self.complete and self.error is None:
            try:
                self.ssl.do_handshake()
                self.complete = True
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self.error = error
        return self.output()

    def output(self):
        try:
            return split(self.ssl.bio_read(65536))
        except SSL.WantReadError:
            return []


def split(data):
    """Cut a run of records: a memory BIO forgets where datagrams end."""
    records, offset = [], 0
    while offset < len(data):
        size = 13 + int.from_bytes(data[offset + 11 : offset + 13], "big")
        records.append(data[offset : offset + size])
        offset += size
    return records


def run(ours, judge, now=0.0):
    """Handshake, one datagram at a time: a memory BIO must not hold two."""
    ours.start(now)
    for _ in range(50):
        moved = False
        for data in ours.datagrams_to_send(now):
            for record in split(data):
                judge.ssl.bio_write(record)
                for answer in judge.work():
                    ours.receive_datagram(answer, now)
            moved = True
        for answer in judge.work():
            ours.receive_datagram(answer, now)
            moved = True
        if not moved:
            break


def meet(role, cert, key, *, own=None, config=None, **judge_options):
    other = "server" if role == "client" else "client"
    judge = Judge(other, cert, key, **judge_options)
    fingerprint = dtls.Fingerprint.of(cert.public_bytes(serialization.Encoding.DER))
    ours = dtls.Connection(
        role,
        certificate=own or certificate(),
        random_bytes=seeded_random_bytes(1),
        config=config or dtls.Config(),
        remote_fingerprints=[fingerprint],
    )
    run(ours, judge)
    return ours, judge


def check_agreement(ours, judge):
    assert judge.error is None
    assert judge.complete
    assert ours.handshake_complete, events_of(ours)
    for length, context in ((60, None), (56, None), (32, b""), (100, b"context")):
        theirs = judge.ssl.export_keying_material(EXPORT_LABEL, length, context)
        assert ours.export_keying_material(EXPORT_LABEL, length, context) == theirs
    for size in (0, 1, 1000, 1200, 1000):
        ours.send(bytes([size % 251]) * size, 0)
    for data in ours.datagrams_to_send(0):
        judge.ssl.bio_write(data)
        if len(data) > 13 + 8 + 16:
            judge.ssl.recv(65536)
    for text in (b"one", b"two" * 300):
        judge.ssl.send(text)
        for record in judge.output():
            ours.receive_datagram(record, 0)
    assert ours.take_application_data() == [b"one", b"two" * 300]
    assert not ours.dropped


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("profile", SRTP_NAMES)
def test_handshake_export_and_data_with_openssl(role, profile, credentials):
    ours, judge = meet(role, *credentials("ec"), srtp=profile)
    check_agreement(ours, judge)
    assert ours.srtp_profile == SRTP_NAMES[profile]
    assert judge.ssl.get_selected_srtp_profile() == profile
    assert judge.ssl.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert judge.ssl.get_protocol_version_name() == "DTLSv1.2"
    peer = judge.ssl.get_peer_certificate(as_cryptography=True)
    assert peer.public_bytes(serialization.Encoding.DER) == certificate().der


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("suite", CIPHER_SUITES)
def test_every_cipher_suite_with_openssl(role, suite, credentials):
    kind = "rsa" if CIPHER_SUITES[suite].authentication == "rsa" else "ec"
    cert, key = credentials(kind)
    own = dtls.Certificate.from_pem(*pems(cert, key))
    ours, judge = meet(role, cert, key, own=own, ciphers=OPENSSL_SUITES[suite])
    check_agreement(ours, judge)
    assert ours.cipher_suite == suite


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("protocol", [b"webrtc", b"c-webrtc"])
def test_application_protocol_with_openssl(role, protocol, credentials):
    config = dtls.Config(alpn_protocols=("webrtc", "c-webrtc"))
    ours, judge = meet(role, *credentials("ec"), config=config, alpn=protocol)
    check_agreement(ours, judge)
    assert ours.application_protocol == judge.ssl.get_alpn_proto_negotiated().decode() == protocol.decode()


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("kind", ["p384", "rsa"])  # not Ed25519: OpenSSL has that in TLS 1.2, but not in DTLS 1.2
def test_other_kinds_of_keys_with_openssl(role, kind, credentials):
    cert, key = credentials(kind)
    ours, judge = meet(role, cert, key, own=dtls.Certificate.from_pem(*pems(cert, key)))
    check_agreement(ours, judge)


@pytest.mark.parametrize("role", ["client", "server"])
def test_no_use_srtp_with_openssl(role, credentials):
    ours, judge = meet(role, *credentials("ec"), srtp=None)
    check_agreement(ours, judge)
    assert ours.srtp_profile is None


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("group", [23, 24, 29])
def test_every_group_with_openssl(role, group, credentials):
    # An RSA key, because the curve of an EC key must be among the groups too (RFC 8422 section 5.1.1).
    cert, key = credentials("rsa")
    own = dtls.Certificate.from_pem(*pems(cert, key))
    ours, judge = meet(role, cert, key, own=own, config=dtls.Config(groups=(group,)))
    check_agreement(ours, judge)


@pytest.mark.parametrize("role", ["client", "server"])
def test_small_mtu_with_openssl(role, credentials):
    ours, judge = meet(role, *credentials("ec"), mtu=256, config=dtls.Config(mtu=200))
    check_agreement(ours, judge)


def test_cookie_exchange_with_openssl_client(credentials):
    ours, judge = meet("server", *credentials("ec"), config=dtls.Config(cookie_exchange=True))
    check_agreement(ours, judge)


def test_openssl_server_that_wants_no_certificate(credentials):
    config = dtls.Config(require_certificate_request=False)
    ours, judge = meet("client", *credentials("ec"), verify=False, config=config)
    check_agreement(ours, judge)
    assert judge.ssl.get_peer_certificate() is None
    ours, judge = meet("client", *credentials("ec"), verify=False)
    assert failure_of(ours) == "no-certificate-request"
    assert judge.error is not None


def test_wrong_fingerprint_tells_openssl(credentials):
    cert, key = credentials("ec")
    judge = Judge("server", cert, key)
    ours = dtls.Connection(
        "client",
        certificate=certificate(),
        random_bytes=seeded_random_bytes(1),
        remote_fingerprints=[certificate("b").fingerprint()],
    )
    run(ours, judge)
    assert failure_of(ours) == "fingerprint-mismatch"
    assert judge.error is not None
    assert "alert bad certificate" in str(judge.error)


def test_openssl_alert_ends_the_handshake(credentials):
    ours, judge = meet("client", *credentials("ec"), config=dtls.Config(cipher_suites=(0xC02F,)))
    assert judge.error is not None
    assert events_of(ours)[-1] == dtls.Closed(PeerError("dtls", "peer-alert", "handshake_failure"))


@pytest.mark.parametrize("role", ["client", "server"])
def test_close_notify_with_openssl(role, credentials):
    ours, judge = meet(role, *credentials("ec"))
    assert len(events_of(ours)) == 1
    judge.ssl.shutdown()
    for record in judge.output():
        ours.receive_datagram(record, 0)
    for data in ours.datagrams_to_send(0):
        judge.ssl.bio_write(data)
    assert events_of(ours) == [dtls.Closed(None)]
    with pytest.raises(SSL.ZeroReturnError):
        judge.ssl.recv(100)


@pytest.mark.parametrize("role", ["client", "server"])
def test_close_is_understood_by_openssl(role, credentials):
    ours, judge = meet(role, *credentials("ec"))
    ours.close(0)
    for data in ours.datagrams_to_send(0):
        judge.ssl.bio_write(data)
    with pytest.raises(SSL.ZeroReturnError):
        judge.ssl.recv(100)


def test_renegotiation_asked_by_openssl_is_refused(credentials):
    ours, judge = meet("client", *credentials("ec"))
    judge.ssl.renegotiate()
    with contextlib.suppress(SSL.Error):
        judge.ssl.do_handshake()
    for record in judge.output():
        ours.receive_datagram(record, 0)
    assert ours.dropped["renegotiation"] == 1
    alerts = ours.datagrams_to_send(0)
    assert len(alerts) == 1
    assert alerts[0][0] == 21
    assert ours.state == "connected"
