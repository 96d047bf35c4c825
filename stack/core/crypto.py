"""The one seam to cryptography: primitives only, no protocol. No other module imports the `cryptography` package.

Keys are derived from `random_bytes` and ECDSA signs deterministically (RFC 6979), so that a machine with seeded
randomness is reproducible to the byte. X.509 is imported where it is used: it brings `email` and `socket` along, which
a layer without certificates must not.
"""

import datetime as dt
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .errors import ParseError
from .machine import RandomBytes

__all__ = [
    "AEAD",
    "AesCtr",
    "HmacKey",
    "InvalidTag",
    "KeyExchange",
    "PrivateKey",
    "PublicKey",
    "aes_gcm",
    "certificate_expiry",
    "certificate_from_pem",
    "chacha20_poly1305",
    "constant_time_equal",
    "generate_ec_key",
    "generate_key_exchange",
    "key_kind",
    "load_private_key",
    "public_key_of_certificate",
    "self_signed_certificate",
    "sign",
    "verify",
]

constant_time_equal = hmac.compare_digest

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303  SRTP's HMAC-SHA1 (RFC 3711); never for signatures
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES: Final[dict[str, ec.EllipticCurve]] = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}


class AEAD(Protocol):
    """An authenticated cipher bound to one key. Build it once per key: construction costs as much as a packet."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return ciphertext and tag of `data`."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return the plaintext, or raise `InvalidTag`."""
        ...


aes_gcm: Callable[[bytes], AEAD] = AESGCM
chacha20_poly1305: Callable[[bytes], AEAD] = ChaCha20Poly1305


class AesCtr:
    """AES in counter mode with one key, the context reused for every packet (a new one costs ten times as much).

    Args:
        key: 16, 24 or 32 bytes.

    Attributes:
        reset: Takes the 16-byte counter block at which the keystream starts. `process` is the two in one; a caller
            for whom a call counts keeps them.
        update: Encrypts or decrypts what follows.
    """

    __slots__ = ("reset", "update")

    def __init__(self, key: bytes) -> None:
        context = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self.reset: Callable[[bytes], None] = context.reset_nonce
        self.update: Callable[[bytes], bytes] = context.update

    def process(self, counter_block: bytes, data: bytes) -> bytes:
        """Encrypt or decrypt `data` with a keystream that starts at the 16-byte `counter_block`."""
        self.reset(counter_block)
        return self.update(data)


class HmacKey:
    """A keyed HMAC template: copying it is cheaper than keying a new one.

    Args:
        key: The key.
        algorithm: `sha1`, `sha256`, `sha384` or `sha512`.

    Attributes:
        begin: Returns a running HMAC to `update` and to `finalize` once; `digest` does it all.
    """

    __slots__ = ("begin",)

    def __init__(self, key: bytes, algorithm: str) -> None:
        from cryptography.hazmat.primitives.hmac import HMAC

        self.begin: Callable[[], HMAC] = HMAC(key, _HASHES[algorithm]).copy

    def digest(self, *parts: bytes) -> bytes:
        """Return the HMAC of the parts joined."""
        context = self.begin()
        for part in parts:
            context.update(part)
        return context.finalize()


class KeyExchange:
    """One side's ephemeral key of an (EC)DH exchange.

    Attributes:
        group: `x25519`, `secp256r1` or `secp384r1`.
        public: The public share as it goes on the wire: 32 bytes for X25519, an uncompressed point otherwise.
    """

    __slots__ = ("_private", "group", "public")

    def __init__(self, group: str, private: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self.group = group
        self._private = private
        if isinstance(private, x25519.X25519PrivateKey):
            self.public = private.public_key().public_bytes_raw()
        else:
            self.public = private.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )

    def exchange(self, peer_public: bytes) -> bytes:
        """Return the shared secret with the peer's public share.

        Raises:
            ParseError: `bad-key-share` if it is malformed, not on the curve, or leads to the all-zero secret.
        """
        try:
            if isinstance(self._private, x25519.X25519PrivateKey):
                return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(peer_public))
            if peer_public[:1] != b"\x04":  # RFC 8422 section 5.1.2: only uncompressed points
                raise ParseError("bad-key-share")
            curve = _CURVES[self.group]
            return self._private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, peer_public))
        except ValueError as error:
            raise ParseError("bad-key-share", str(error)) from error


def _ec_scalar(curve: ec.EllipticCurve, random_bytes: RandomBytes) -> int:
    order = curve.group_order
    size = (order.bit_length() + 7) // 8
    # 64 extra bits make the modular bias negligible (FIPS 186-5 A.2.1).
    return int.from_bytes(random_bytes(size + 8), "big") % (order - 1) + 1


def generate_key_exchange(group: str, random_bytes: RandomBytes) -> KeyExchange:
    """Make an ephemeral key for `x25519`, `secp256r1` or `secp384r1`."""
    if group == "x25519":
        return KeyExchange(group, x25519.X25519PrivateKey.from_private_bytes(random_bytes(32)))
    curve = _CURVES[group]
    return KeyExchange(group, ec.derive_private_key(_ec_scalar(curve, random_bytes), curve))


def generate_ec_key(random_bytes: RandomBytes, curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    """Make a signing key on `secp256r1` or `secp384r1`."""
    return ec.derive_private_key(_ec_scalar(_CURVES[curve], random_bytes), _CURVES[curve])


def self_signed_certificate(
    key: PrivateKey, random_bytes: RandomBytes, *, common_name: str, not_before: float, not_after: float
) -> bytes:
    """Return a self-signed X.509 certificate in DER.

    Args:
        key: The private key.
        random_bytes: Source of the serial number.
        common_name: Subject and issuer.
        not_before: Seconds since the epoch.
        not_after: Seconds since the epoch.
    """
    from cryptography import x509  # lazily: see the module's docstring

    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random_bytes(16), "big") >> 1 or 1)
        .not_valid_before(dt.datetime.fromtimestamp(not_before, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(not_after, dt.UTC))
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    deterministic = True if isinstance(key, ec.EllipticCurvePrivateKey) else None
    certificate = builder.sign(key, algorithm, ecdsa_deterministic=deterministic)
    return certificate.public_bytes(serialization.Encoding.DER)


def load_private_key(pem: bytes) -> PrivateKey:
    """Load an unencrypted PEM private key of a kind that we can sign with.

    Raises:
        ParseError: `bad-private-key`.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise ParseError("bad-private-key", str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ParseError("bad-private-key", "only EC, RSA and Ed25519 keys")
    return key


def public_key_of_certificate(der: bytes) -> PublicKey:
    """Return the public key inside a DER certificate.

    Raises:
        ParseError: `bad-certificate` if it does not parse or holds a key of another kind.
    """
    from cryptography import x509  # lazily: see the module's docstring

    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except Exception as error:  # the ASN.1 parser raises several kinds on hostile input
        raise ParseError("bad-certificate", type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ParseError("bad-certificate", "unsupported key")
    return key


def certificate_from_pem(pem: bytes) -> bytes:
    """Return the DER of the first certificate in a PEM text.

    Raises:
        ParseError: `bad-certificate`.
    """
    from cryptography import x509  # lazily: see the module's docstring

    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise ParseError("bad-certificate", str(error)) from error


def certificate_expiry(der: bytes) -> float:
    """Return the end of a certificate's validity in seconds since the epoch.

    Raises:
        ParseError: `bad-certificate`.
    """
    from cryptography import x509  # lazily: see the module's docstring

    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except Exception as error:  # the ASN.1 parser raises several kinds on hostile input
        raise ParseError("bad-certificate", type(error).__name__) from error


def key_kind(key: PrivateKey | PublicKey) -> str:
    """Return `ec`, `rsa` or `ed25519`."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return "ec"
    return "rsa" if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else "ed25519"


def sign(key: PrivateKey, data: bytes, hash_name: str = "sha256", *, pss: bool = False) -> bytes:
    """Sign `data`: ECDSA (DER) for EC keys, PKCS#1 v1.5 or PSS for RSA, Ed25519 ignores `hash_name`."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(_HASHES[hash_name], deterministic_signing=True))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _rsa_padding(hash_name, pss=pss), _HASHES[hash_name])
    return key.sign(data)


def verify(key: PublicKey, signature: bytes, data: bytes, hash_name: str = "sha256", *, pss: bool = False) -> bool:
    """Tell whether `signature` is `key`'s over `data`."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(_HASHES[hash_name]))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _rsa_padding(hash_name, pss=pss), _HASHES[hash_name])
        else:
            key.verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _rsa_padding(hash_name: str, *, pss: bool) -> padding.PSS | padding.PKCS1v15:
    if pss:
        return padding.PSS(padding.MGF1(_HASHES[hash_name]), padding.PSS.DIGEST_LENGTH)
    return padding.PKCS1v15()
