"""Keys for MESSAGE-INTEGRITY out of what people type: RFC 8489 sections 9.1.1 and 9.2.2."""

import hashlib
import unicodedata


def _opaque_string(text: str) -> str:
    # Not implemented: RFC 8265 section 4.2 also refuses control characters and unassigned code points.
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def short_term_key(password: str) -> bytes:
    """Return the key for a password that was agreed for one session, as in ICE."""
    return (password if password.isascii() else _opaque_string(password)).encode()


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """Return the 16-byte key for an account at a server, with the MD5 algorithm."""
    text = f"{username}:{_opaque_string(realm)}:{_opaque_string(password)}"
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()
