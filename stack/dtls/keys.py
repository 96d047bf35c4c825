"""The TLS 1.2 key schedule: PRF, master secret, record keys, Finished, exporter."""

import hashlib
import hmac
from typing import Final

from .suites import CipherSuite

MASTER_SECRET_SIZE: Final = 48  # RFC 5246 section 8.1
VERIFY_DATA_SIZE: Final = 12  # RFC 5246 section 7.4.9


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """Return `length` bytes of the pseudorandom function, RFC 5246 section 5."""
    seed = label + seed
    a = seed
    blocks: list[bytes] = []
    size = 0
    while size < length:
        a = hmac.digest(secret, a, hash_name)
        block = hmac.digest(secret, a + seed, hash_name)
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)[:length]


class KeySchedule:
    """All that is derived from one premaster secret. Holds secrets: its repr shows none.

    Args:
        suite: The negotiated cipher suite.
        premaster_secret: Result of the key exchange.
        client_random: 32 bytes.
        server_random: 32 bytes.
        transcript: All handshake messages up to and including ClientKeyExchange, for the extended master secret
            (RFC 7627 section 4), or None for the ordinary one (RFC 5246 section 8.1).

    Attributes:
        client_key: Key of what the client sends.
        server_key: Key of what the server sends.
        client_iv: Fixed part of the client's nonces.
        server_iv: Fixed part of the server's nonces.
    """

    __slots__ = ("_hash", "_master", "_randoms", "client_iv", "client_key", "server_iv", "server_key")

    def __init__(
        self,
        suite: CipherSuite,
        premaster_secret: bytes,
        client_random: bytes,
        server_random: bytes,
        transcript: bytes | None,
    ) -> None:
        self._hash = suite.hash
        self._randoms = client_random + server_random
        if transcript is None:
            label, seed = b"master secret", self._randoms
        else:
            label, seed = b"extended master secret", hashlib.new(suite.hash, transcript).digest()
        self._master = prf(suite.hash, premaster_secret, label, seed, MASTER_SECRET_SIZE)
        key, iv = suite.key_length, suite.fixed_iv_length
        block = prf(suite.hash, self._master, b"key expansion", server_random + client_random, 2 * (key + iv))
        self.client_key = block[:key]
        self.server_key = block[key : 2 * key]
        self.client_iv = block[2 * key : 2 * key + iv]
        self.server_iv = block[2 * key + iv :]

    def verify_data(self, label: bytes, transcript: bytes) -> bytes:
        """Return the content of a Finished message, RFC 5246 section 7.4.9.

        Args:
            label: `client finished` or `server finished`.
            transcript: All handshake messages before it.
        """
        return prf(self._hash, self._master, label, hashlib.new(self._hash, transcript).digest(), VERIFY_DATA_SIZE)

    def export(self, label: bytes, length: int, context: bytes | None) -> bytes:
        """Return exported keying material, RFC 5705 section 4."""
        seed = self._randoms
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        return prf(self._hash, self._master, label, seed, length)

    def keylog_line(self) -> str:
        """Return the line of an NSS key log that lets packet analysers decrypt the connection."""
        return f"CLIENT_RANDOM {self._randoms[:32].hex()} {self._master.hex()}"
