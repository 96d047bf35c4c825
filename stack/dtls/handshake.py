"""The handshake without transport: states, the transition table, and what client and server have in common.

Messages come in whole and in order, flights go out; fragments, records and timers are somebody else's business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar, Final

from ..core import ParseError, RandomBytes
from ..core.crypto import (
    KeyExchange,
    PublicKey,
    constant_time_equal,
    key_kind,
    public_key_of_certificate,
    sign,
    verify,
)
from .certificate import Certificate, Fingerprint, check_fingerprints
from .config import Config
from .flights import Flight  # noqa: TC001  an import kept for type checkers only would hide the dependency
from .keys import KeySchedule
from .messages import CertificateMessage, CertificateVerify
from .reassembly import Message
from .suites import SIGNATURE_SCHEMES, CipherSuite, is_strong, scheme_for
from .wire import Alert, HandshakeType


class State(StrEnum):
    """Which message is due. Named after the states of RFC 8446 appendix A, which TLS 1.2 never drew."""

    START = "START"
    WAIT_SERVER_HELLO = "WAIT_SERVER_HELLO"
    WAIT_SERVER_CERTIFICATE = "WAIT_SERVER_CERTIFICATE"
    WAIT_SERVER_KEY_EXCHANGE = "WAIT_SERVER_KEY_EXCHANGE"
    WAIT_CERTIFICATE_REQUEST = "WAIT_CERTIFICATE_REQUEST"
    WAIT_SERVER_HELLO_DONE = "WAIT_SERVER_HELLO_DONE"
    WAIT_SERVER_FINISHED = "WAIT_SERVER_FINISHED"
    WAIT_CLIENT_HELLO = "WAIT_CLIENT_HELLO"
    WAIT_CLIENT_CERTIFICATE = "WAIT_CLIENT_CERTIFICATE"
    WAIT_CLIENT_KEY_EXCHANGE = "WAIT_CLIENT_KEY_EXCHANGE"
    WAIT_CERTIFICATE_VERIFY = "WAIT_CERTIFICATE_VERIFY"
    WAIT_CLIENT_FINISHED = "WAIT_CLIENT_FINISHED"
    WAIT_FINGERPRINTS = "WAIT_FINGERPRINTS"
    CONNECTED = "CONNECTED"


_S, _T = State, HandshakeType

# What may arrive in which state, and where that may lead; everything else is unexpected_message (RFC 5246 section 7.3).
TRANSITIONS: Final[dict[State, dict[HandshakeType, tuple[State, ...]]]] = {
    _S.START: {},
    _S.WAIT_SERVER_HELLO: {
        _T.HELLO_VERIFY_REQUEST: (_S.WAIT_SERVER_HELLO,),
        _T.SERVER_HELLO: (_S.WAIT_SERVER_CERTIFICATE,),
    },
    _S.WAIT_SERVER_CERTIFICATE: {_T.CERTIFICATE: (_S.WAIT_SERVER_KEY_EXCHANGE,)},
    _S.WAIT_SERVER_KEY_EXCHANGE: {_T.SERVER_KEY_EXCHANGE: (_S.WAIT_CERTIFICATE_REQUEST,)},
    _S.WAIT_CERTIFICATE_REQUEST: {
        _T.CERTIFICATE_REQUEST: (_S.WAIT_SERVER_HELLO_DONE,),
        _T.SERVER_HELLO_DONE: (_S.WAIT_SERVER_FINISHED,),
    },
    _S.WAIT_SERVER_HELLO_DONE: {_T.SERVER_HELLO_DONE: (_S.WAIT_SERVER_FINISHED,)},
    _S.WAIT_SERVER_FINISHED: {_T.FINISHED: (_S.CONNECTED, _S.WAIT_FINGERPRINTS)},
    _S.WAIT_CLIENT_HELLO: {_T.CLIENT_HELLO: (_S.WAIT_CLIENT_CERTIFICATE, _S.WAIT_CLIENT_HELLO)},
    _S.WAIT_CLIENT_CERTIFICATE: {_T.CERTIFICATE: (_S.WAIT_CLIENT_KEY_EXCHANGE,)},
    _S.WAIT_CLIENT_KEY_EXCHANGE: {_T.CLIENT_KEY_EXCHANGE: (_S.WAIT_CERTIFICATE_VERIFY,)},
    _S.WAIT_CERTIFICATE_VERIFY: {_T.CERTIFICATE_VERIFY: (_S.WAIT_CLIENT_FINISHED,)},
    _S.WAIT_CLIENT_FINISHED: {_T.FINISHED: (_S.CONNECTED, _S.WAIT_FINGERPRINTS)},
    _S.WAIT_FINGERPRINTS: {},
    _S.CONNECTED: {},
}

# Every reason for which a handshake is broken off, with the alert that tells the peer.
FAILURES: Final[dict[str, Alert]] = {
    "bad-certificate": Alert.BAD_CERTIFICATE,
    "bad-finished": Alert.DECRYPT_ERROR,
    "bad-key-share": Alert.ILLEGAL_PARAMETER,
    "bad-renegotiation-info": Alert.HANDSHAKE_FAILURE,
    "bad-signature": Alert.DECRYPT_ERROR,
    "decode-error": Alert.DECODE_ERROR,
    "duplicate-extension": Alert.DECODE_ERROR,
    "fingerprint-mismatch": Alert.BAD_CERTIFICATE,
    "illegal-application-protocol": Alert.ILLEGAL_PARAMETER,
    "illegal-cipher-suite": Alert.ILLEGAL_PARAMETER,
    "illegal-compression": Alert.ILLEGAL_PARAMETER,
    "illegal-group": Alert.ILLEGAL_PARAMETER,
    "illegal-point-format": Alert.ILLEGAL_PARAMETER,
    "illegal-signature-algorithm": Alert.ILLEGAL_PARAMETER,
    "illegal-srtp-profile": Alert.ILLEGAL_PARAMETER,
    "no-certificate": Alert.HANDSHAKE_FAILURE,
    "no-certificate-request": Alert.HANDSHAKE_FAILURE,
    "no-common-application-protocol": Alert.NO_APPLICATION_PROTOCOL,
    "no-common-cipher-suite": Alert.HANDSHAKE_FAILURE,
    "no-common-group": Alert.HANDSHAKE_FAILURE,
    "no-common-signature-algorithm": Alert.HANDSHAKE_FAILURE,
    "no-extended-master-secret": Alert.HANDSHAKE_FAILURE,
    "no-renegotiation-info": Alert.HANDSHAKE_FAILURE,
    "unexpected-message": Alert.UNEXPECTED_MESSAGE,
    "unsolicited-extension": Alert.UNSUPPORTED_EXTENSION,
    "unsupported-certificate": Alert.UNSUPPORTED_CERTIFICATE,
    "unsupported-fingerprint": Alert.BAD_CERTIFICATE,
    "unsupported-version": Alert.PROTOCOL_VERSION,
}


class HandshakeFailure(Exception):  # noqa: N818  the RFC's name of the alert
    """The peer broke the rules, or nothing common was found.

    Args:
        reason: A key of `FAILURES`.
        detail: For people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.alert = FAILURES[reason]


def message_name(kind: int) -> str:
    """Return the RFC's name of a handshake message, or its number."""
    try:
        return HandshakeType(kind).name.lower()
    except ValueError:
        return f"message type {kind}"


class Handshake(ABC):
    """One handshake, one role. Holds secrets.

    Args:
        certificate: Ours.
        config: Settings.
        random_bytes: Source of randoms and ephemeral keys.
        remote_fingerprints: What the peer's certificate must match, or None as long as that is not known.
        keylog: Receives the NSS key log line, or None.

    Attributes:
        state: Which message is due.
        flight: What must be sent now; whoever takes it sets None.
        suite: The negotiated cipher suite, or None.
        keys: The key schedule once the master secret is known, or None.
        srtp_profile: The negotiated SRTP protection profile, or None.
        application_protocol: The negotiated one of ALPN, or None.
        peer_certificate: The peer's certificate in DER, or None.
    """

    label: ClassVar[bytes]
    peer_label: ClassVar[bytes]

    def __init__(
        self,
        certificate: Certificate,
        config: Config,
        random_bytes: RandomBytes,
        remote_fingerprints: Sequence[Fingerprint] | None,
        keylog: Callable[[str], None] | None,
    ) -> None:
        self.state = State.START
        self.flight: Flight | None = None
        self.suite: CipherSuite | None = None
        self.keys: KeySchedule | None = None
        self.srtp_profile: int | None = None
        self.application_protocol: str | None = None
        self.peer_certificate: bytes | None = None
        self._certificate = certificate
        self._config = config
        self._random_bytes = random_bytes
        self._fingerprints = None if remote_fingerprints is None else tuple(remote_fingerprints)
        self._keylog = keylog
        self._transcript = bytearray()
        self._client_random = b""
        self._server_random = b""
        self._extended_master_secret = False
        self._peer_key: PublicKey | None = None
        self._key_exchange: KeyExchange | None = None
        self._next_sequence = 0
        self._handlers: dict[int, Callable[[Message], State]] = {}

    @property
    def complete(self) -> bool:
        """Whether the handshake is done and the peer verified."""
        return self.state is State.CONNECTED

    @property
    def finished_is_due(self) -> bool:
        """Whether ChangeCipherSpec and Finished are what is awaited, so that the read epoch may change."""
        return self.state in {State.WAIT_CLIENT_FINISHED, State.WAIT_SERVER_FINISHED}

    @property
    def peer_finished(self) -> bool:
        """Whether the peer's last message is here, so that it needs nothing repeated but our last flight."""
        return self.state in {State.CONNECTED, State.WAIT_FINGERPRINTS}

    @abstractmethod
    def start(self) -> None:
        """Begin: the client makes its first flight, the server waits."""

    def handle(self, message: Message) -> State:
        """Take the next message and return the state that it leads to.

        Raises:
            HandshakeFailure: The handshake is over.
        """
        if message.type not in TRANSITIONS[self.state]:
            raise HandshakeFailure("unexpected-message", f"{message_name(message.type)} in {self.state}")
        try:
            self.state = self._handlers[message.type](message)
        except ParseError as error:
            known = error.reason in FAILURES
            detail = f"{message_name(message.type)}: {error.detail if known else error.reason}"
            raise HandshakeFailure(error.reason if known else "decode-error", detail) from error
        return self.state

    def set_remote_fingerprints(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Say what the peer's certificate must match; completes a handshake that waited for it.

        Raises:
            HandshakeFailure: The certificate that the peer already sent does not match.
        """
        self._fingerprints = tuple(fingerprints)
        if self.peer_certificate is not None:
            self._check_fingerprints(self.peer_certificate, self._fingerprints)
        if self.state is State.WAIT_FINGERPRINTS:
            self.state = self._complete()

    @abstractmethod
    def _complete(self) -> State:
        """Do what follows the peer's Finished once the peer is verified."""

    def _finish(self) -> State:
        """Complete now, or wait until it is known whose certificate this is."""
        return State.WAIT_FINGERPRINTS if self._fingerprints is None else self._complete()

    def _record(self, message: Message) -> None:
        self._transcript += message.serialize()

    def _message(self, kind: HandshakeType, body: bytes, *, hashed: bool = True) -> Message:
        """Number a message of ours and put it on the transcript."""
        message = Message(kind, self._next_sequence, body)
        self._next_sequence += 1
        if hashed:
            self._record(message)
        return message

    def _accept_certificate(self, body: bytes) -> None:
        chain = CertificateMessage.parse(body).chain
        if not chain:
            raise HandshakeFailure("no-certificate")
        # Validity and names are not looked at: the fingerprint is what vouches for the key (RFC 8827 section 6.5).
        self._peer_key = public_key_of_certificate(chain[0])
        if not is_strong(self._peer_key):
            raise HandshakeFailure("unsupported-certificate", "RSA key too short")
        if self._fingerprints is not None:
            self._check_fingerprints(chain[0], self._fingerprints)
        self.peer_certificate = chain[0]

    @staticmethod
    def _check_fingerprints(der: bytes, fingerprints: Sequence[Fingerprint]) -> None:
        reason = check_fingerprints(der, fingerprints)
        if reason is not None:
            raise HandshakeFailure(reason, f"certificate has {Fingerprint.of(der).value}")

    def _check_signature(self, scheme_id: int, signature: bytes, data: bytes) -> None:
        scheme = SIGNATURE_SCHEMES.get(scheme_id)
        key = self._peer_key
        if scheme is None or key is None or scheme.key != key_kind(key):
            raise HandshakeFailure("illegal-signature-algorithm", f"{scheme_id:#06x}")
        if not verify(key, signature, data, scheme.hash, pss=scheme.pss):
            raise HandshakeFailure("bad-signature")

    def _sign(self, offered: tuple[int, ...], data: bytes) -> CertificateVerify:
        """Sign with a scheme that the peer accepts; server and client carry the pair in different messages."""
        scheme = scheme_for(self._certificate.private_key, offered)
        if scheme is None:
            raise HandshakeFailure("no-common-signature-algorithm")
        signature = sign(self._certificate.private_key, data, scheme.hash, pss=scheme.pss)
        return CertificateVerify(scheme.id, signature)

    def _derive_keys(self, suite: CipherSuite, premaster_secret: bytes) -> None:
        transcript = bytes(self._transcript) if self._extended_master_secret else None
        self.keys = KeySchedule(suite, premaster_secret, self._client_random, self._server_random, transcript)
        self._key_exchange = None  # forward secrecy: nobody needs the ephemeral key any more
        if self._keylog is not None:
            self._keylog(self.keys.keylog_line())

    def _finished_message(self, keys: KeySchedule) -> Message:
        return self._message(HandshakeType.FINISHED, keys.verify_data(self.label, bytes(self._transcript)))

    def _check_finished(self, message: Message) -> KeySchedule:
        keys = self.keys
        if keys is None:
            raise HandshakeFailure("unexpected-message", "finished before the keys")
        if not constant_time_equal(message.body, keys.verify_data(self.peer_label, bytes(self._transcript))):
            raise HandshakeFailure("bad-finished")
        self._record(message)
        return keys
