"""Keys and names out of what people type, and the nonce cookie: RFC 8489 sections 9.1.1, 9.2.2, 14.4 and 18.1."""

import hashlib
import unicodedata
from base64 import b64decode, b64encode
from enum import IntEnum, IntFlag
from typing import Final

COOKIE_START: Final = "obMatJos2"
COOKIE_SIZE: Final = 13


class Algorithm(IntEnum):
    """Password algorithms: RFC 8489 section 18.5."""

    MD5 = 1
    SHA256 = 2


class SecurityFeatures(IntFlag):
    """The 24 bits in a nonce cookie, with bit 0 as the most significant one: RFC 8489 section 18.1."""

    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


def _opaque_string(text: str) -> str:
    # Not implemented: RFC 8265 section 4.2 also refuses control characters and unassigned code points.
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def short_term_key(password: str) -> bytes:
    """Return the key for a password that was agreed for one session, as in ICE."""
    return (password if password.isascii() else _opaque_string(password)).encode()


def long_term_key(username: str, realm: str, password: str, algorithm: Algorithm = Algorithm.MD5) -> bytes:
    """Return the key for an account at a server: 16 bytes with MD5, 32 with SHA-256."""
    text = f"{username}:{_opaque_string(realm)}:{_opaque_string(password)}".encode()
    if algorithm is Algorithm.SHA256:
        return hashlib.sha256(text).digest()
    return hashlib.md5(text, usedforsecurity=False).digest()


def userhash(username: str, realm: str) -> bytes:
    """Return the value of USERHASH."""
    return hashlib.sha256(f"{_opaque_string(username)}:{_opaque_string(realm)}".encode()).digest()


def nonce_cookie(features: SecurityFeatures) -> str:
    """Return what a server by RFC 8489 puts before its nonces."""
    return COOKIE_START + b64encode(int(features).to_bytes(3, "big")).decode()


def nonce_features(nonce: str) -> SecurityFeatures | None:
    """Return what a nonce says its server can do; None if it has no cookie.

    Bits that are not assigned are left out.
    """
    if not nonce.startswith(COOKIE_START) or len(nonce) < COOKIE_SIZE:
        return None
    try:
        bits = int.from_bytes(b64decode(nonce[len(COOKIE_START) : COOKIE_SIZE], validate=True), "big")
    except ValueError:
        return None
    return SecurityFeatures(bits & (SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY))
