"""Our certificate, and the fingerprints that stand for certificates in session descriptions (RFC 8122)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..core import LocalError, ParseError, RandomBytes
from ..core.crypto import (
    PrivateKey,
    certificate_expiry,
    certificate_from_pem,
    constant_time_equal,
    generate_ec_key,
    load_private_key,
    public_key_of_certificate,
    self_signed_certificate,
)
from .suites import GROUPS, MIN_RSA_BITS, curve_of, is_strong

_DAY: Final = 86400.0
# RFC 8122 section 5; SHA-1 and MD5 are absent on purpose (RFC 8827 section 6.5 wants SHA-256).
FINGERPRINT_HASHES: Final[dict[str, str]] = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A hash of a certificate.

    Args:
        algorithm: Name of the hash, such as `sha-256`.
        value: Upper-case hexadecimal bytes joined by colons.
    """

    algorithm: str
    value: str

    @classmethod
    def of(cls, der: bytes, algorithm: str = "sha-256") -> "Fingerprint":
        """Return the fingerprint of a DER certificate.

        Raises:
            LocalError: If the hash is not supported.
        """
        name = FINGERPRINT_HASHES.get(algorithm.lower())
        if name is None:
            raise LocalError(f"no fingerprints with {algorithm!r}")
        return cls(algorithm.lower(), hashlib.new(name, der).digest().hex(":").upper())


def check_fingerprints(der: bytes, fingerprints: Sequence[Fingerprint]) -> str | None:
    """Return None if one fingerprint with a supported hash is that of the certificate, else the reason why not.

    The reason is `unsupported-fingerprint` or `fingerprint-mismatch`.
    """
    usable = [f for f in fingerprints if f.algorithm.lower() in FINGERPRINT_HASHES]
    if not usable:
        return "unsupported-fingerprint"
    for fingerprint in usable:
        ours = Fingerprint.of(der, fingerprint.algorithm).value
        if constant_time_equal(ours.encode(), fingerprint.value.upper().encode("utf-8", "replace")):
            return None
    return "fingerprint-mismatch"


class Certificate:
    """A certificate with its private key.

    Args:
        der: The certificate.
        private_key: ECDSA on P-256 or P-384, RSA of at least 2048 bits, or Ed25519.

    Raises:
        LocalError: If the key is of another kind.

    Attributes:
        der: The certificate in DER.
        expires: End of its validity, seconds since the epoch.
    """

    __slots__ = ("der", "expires", "private_key")

    def __init__(self, der: bytes, private_key: PrivateKey) -> None:
        if not is_strong(private_key):
            raise LocalError(f"RSA keys need {MIN_RSA_BITS} bits")
        if curve_of(private_key) not in {None, *GROUPS.values()}:
            raise LocalError(f"no peer needs to know {curve_of(private_key)}")
        self.der = der
        self.private_key = private_key
        self.expires = certificate_expiry(der)

    @classmethod
    def generate(
        cls,
        random_bytes: RandomBytes,
        *,
        now_unix: float,
        days: int = 30,
        curve: Literal["secp256r1", "secp384r1"] = "secp256r1",
    ) -> "Certificate":
        """Make a self-signed certificate with an ECDSA key, by default on P-256: RFC 8827 section 6.5.

        Args:
            random_bytes: Source of the key and of the names.
            now_unix: Seconds since the epoch. Validity begins a day earlier, for peers whose clocks are behind.
            days: Validity from now.
            curve: Of the key.

        Raises:
            LocalError: If `days` is not positive.
        """
        if days <= 0:
            raise LocalError(f"days must be positive, not {days}")
        key = generate_ec_key(random_bytes, curve)
        # A random name, so that the certificate tells nothing about who made it (RFC 8827 section 6.5).
        der = self_signed_certificate(
            key,
            random_bytes,
            common_name=random_bytes(8).hex(),
            not_before=now_unix - _DAY,
            not_after=now_unix + days * _DAY,
        )
        return cls(der, key)

    @classmethod
    def from_pem(cls, cert_pem: bytes | str, key_pem: bytes | str) -> "Certificate":
        """Load a certificate and its unencrypted private key (EC, RSA or Ed25519).

        Raises:
            LocalError: If either does not parse, or if they do not belong together.
        """
        try:
            der = certificate_from_pem(cert_pem.encode() if isinstance(cert_pem, str) else cert_pem)
            key = load_private_key(key_pem.encode() if isinstance(key_pem, str) else key_pem)
            matches = public_key_of_certificate(der) == key.public_key()
        except ParseError as error:
            raise LocalError(str(error)) from error
        if not matches:
            raise LocalError("certificate and private key do not belong together")
        return cls(der, key)

    def expired(self, now_unix: float) -> bool:
        """Tell whether the validity is over at `now_unix`, seconds since the epoch (W3C RTCCertificate.expires)."""
        return now_unix >= self.expires

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        """Return the certificate's fingerprint."""
        return Fingerprint.of(self.der, algorithm)

    def __repr__(self) -> str:
        return f"Certificate({self.fingerprint().value})"
