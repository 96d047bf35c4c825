import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from stack import dtls
from stack.core import LocalError
from stack.core.crypto import self_signed_certificate
from stack.testing import seeded_random_bytes

from .support import NOW_UNIX, certificate
from .test_handshake import ED25519

DAY = 86400


def test_generated_certificate():
    own = dtls.Certificate.generate(seeded_random_bytes(1), now_unix=NOW_UNIX, days=7)
    parsed = x509.load_der_x509_certificate(own.der)
    assert own.expires == NOW_UNIX + 7 * DAY == parsed.not_valid_after_utc.timestamp()
    assert parsed.not_valid_before_utc.timestamp() == NOW_UNIX - DAY
    assert parsed.public_key().curve.name == "secp256r1"
    assert parsed.subject == parsed.issuer
    parsed.verify_directly_issued_by(parsed)


def test_same_randomness_same_certificate():
    one, two, other = (dtls.Certificate.generate(seeded_random_bytes(s), now_unix=NOW_UNIX) for s in (1, 1, 2))
    assert one.der == two.der != other.der


@pytest.mark.parametrize("days", [0, -1])
def test_days_must_be_positive(days):
    with pytest.raises(LocalError):
        dtls.Certificate.generate(seeded_random_bytes(1), now_unix=NOW_UNIX, days=days)


def test_fingerprint_is_upper_case_hex_with_colons():
    fingerprint = certificate().fingerprint()
    digest = hashlib.sha256(certificate().der).hexdigest().upper()
    assert fingerprint.algorithm == "sha-256"
    assert fingerprint.value.split(":") == [digest[i : i + 2] for i in range(0, 64, 2)]
    assert len(certificate().fingerprint("SHA-512").value) == 64 * 3 - 1
    with pytest.raises(LocalError, match="sha-1"):
        certificate().fingerprint("sha-1")


def test_pem():
    own = certificate()
    parsed = x509.load_der_x509_certificate(own.der)
    pem = parsed.public_bytes(serialization.Encoding.PEM)
    key = own.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert dtls.Certificate.from_pem(pem, key).der == own.der
    assert dtls.Certificate.from_pem(pem.decode(), key.decode()).fingerprint() == own.fingerprint()
    for wrong in ((b"", key), (pem, b""), (pem, ED25519[1]), (key, pem)):
        with pytest.raises(LocalError):
            dtls.Certificate.from_pem(*wrong)


def test_repr_shows_the_fingerprint_only():
    assert repr(certificate()) == f"Certificate({certificate().fingerprint().value})"


def test_expiry():
    own = dtls.Certificate.generate(seeded_random_bytes(1), now_unix=NOW_UNIX, days=1)
    assert [own.expired(NOW_UNIX + s) for s in (0, DAY - 1, DAY, DAY + 1)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("key", "text"), [(rsa.generate_private_key(65537, 1024), "2048"), (ec.generate_private_key(ec.SECP521R1()), "521")]
)
def test_keys_that_peers_would_refuse(key, text):
    der = self_signed_certificate(key, seeded_random_bytes(1), common_name="x", not_before=0.0, not_after=2e9)
    with pytest.raises(LocalError, match=text):
        dtls.Certificate(der, key)
