"""What can be negotiated, as data: cipher suites, groups, signature algorithms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ..core.crypto import AEAD, PrivateKey, PublicKey, aes_gcm, chacha20_poly1305, key_kind

Authentication = Literal["ecdsa", "rsa"]


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """One row of the cipher suite table; all are ephemeral ECDH with an AEAD.

    Args:
        id: Number on the wire.
        name: IANA's name without `TLS_ECDHE_`.
        authentication: Kind of key that signs the key exchange; `ecdsa` includes EdDSA (RFC 8422 section 2.2).
        aead: Builds the cipher from a key.
        key_length: Bytes of key.
        fixed_iv_length: Bytes of the nonce taken from the key block.
        explicit_nonce_length: Bytes of the nonce sent in each record.
        hash: Hash of the PRF and of the transcript.
    """

    id: int
    name: str
    authentication: Authentication
    aead: Callable[[bytes], AEAD]
    key_length: int
    fixed_iv_length: int
    explicit_nonce_length: int
    hash: str


# RFC 5289 section 3.2 for AES-GCM, RFC 7905 section 2 for ChaCha20-Poly1305; in our order of preference.
CIPHER_SUITES: Final[dict[int, CipherSuite]] = {
    suite.id: suite
    for suite in (
        CipherSuite(0xC02B, "ECDSA_WITH_AES_128_GCM_SHA256", "ecdsa", aes_gcm, 16, 4, 8, "sha256"),
        CipherSuite(0xC02F, "RSA_WITH_AES_128_GCM_SHA256", "rsa", aes_gcm, 16, 4, 8, "sha256"),
        CipherSuite(0xCCA9, "ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ecdsa", chacha20_poly1305, 32, 12, 0, "sha256"),
        CipherSuite(0xCCA8, "RSA_WITH_CHACHA20_POLY1305_SHA256", "rsa", chacha20_poly1305, 32, 12, 0, "sha256"),
        CipherSuite(0xC02C, "ECDSA_WITH_AES_256_GCM_SHA384", "ecdsa", aes_gcm, 32, 4, 8, "sha384"),
        CipherSuite(0xC030, "RSA_WITH_AES_256_GCM_SHA384", "rsa", aes_gcm, 32, 4, 8, "sha384"),
    )
}

# RFC 8422 section 5.1.1, in our order of preference.
GROUPS: Final[dict[int, str]] = {29: "x25519", 23: "secp256r1", 24: "secp384r1"}


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """One row of the signature algorithm table.

    Args:
        id: Number on the wire: a pair of hash and signature (RFC 5246 section 7.4.1.4.1), or a later scheme.
        key: Kind of key: `ec`, `rsa` or `ed25519`.
        hash: Hash that is signed; ignored by Ed25519.
        pss: RSASSA-PSS instead of PKCS#1 v1.5.
    """

    id: int
    key: str
    hash: str
    pss: bool = False


# SHA-1 is absent on purpose: RFC 9325 section 4.2. The PSS numbers hold in TLS 1.2 too: RFC 8446 section 4.2.3.
SIGNATURE_SCHEMES: Final[dict[int, SignatureScheme]] = {
    scheme.id: scheme
    for scheme in (
        SignatureScheme(0x0403, "ec", "sha256"),
        SignatureScheme(0x0503, "ec", "sha384"),
        SignatureScheme(0x0603, "ec", "sha512"),
        SignatureScheme(0x0807, "ed25519", "sha512"),
        SignatureScheme(0x0804, "rsa", "sha256", pss=True),
        SignatureScheme(0x0805, "rsa", "sha384", pss=True),
        SignatureScheme(0x0806, "rsa", "sha512", pss=True),
        SignatureScheme(0x0401, "rsa", "sha256"),
        SignatureScheme(0x0501, "rsa", "sha384"),
        SignatureScheme(0x0601, "rsa", "sha512"),
    )
}


MIN_RSA_BITS: Final = 2048  # RFC 9325 section 4.5: smaller keys can be factored, and then a fingerprint proves nothing


def is_strong(key: PublicKey | PrivateKey) -> bool:
    """Tell whether a key is long enough to be trusted."""
    return key_kind(key) != "rsa" or getattr(key, "key_size", 0) >= MIN_RSA_BITS


def curve_of(key: PrivateKey | PublicKey) -> str | None:
    """Return the name of an elliptic curve key's curve, as in `GROUPS`, or None for other kinds of keys."""
    return str(getattr(getattr(key, "curve", None), "name", "")) or None


def authentication_of(key: PrivateKey | PublicKey) -> Authentication:
    """Return which cipher suites a key can authenticate."""
    return "rsa" if key_kind(key) == "rsa" else "ecdsa"


def scheme_for(key: PrivateKey, offered: tuple[int, ...]) -> SignatureScheme | None:
    """Return the scheme to sign with: our first one for this kind of key that the peer accepts, or None."""
    kind = key_kind(key)
    for scheme in SIGNATURE_SCHEMES.values():
        if scheme.key == kind and scheme.id in offered:
            return scheme
    return None
