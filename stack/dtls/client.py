"""The client's side of the handshake."""

from typing import Final

from ..core.crypto import generate_key_exchange
from .flights import Flight
from .handshake import Handshake, HandshakeFailure, State
from .messages import (
    CertificateMessage,
    CertificateRequest,
    ClientHello,
    ClientKeyExchange,
    Extensions,
    HelloVerifyRequest,
    ServerHello,
    ServerKeyExchange,
    parse_alpn,
    parse_use_srtp,
    parse_vector8_extension,
    serialize_alpn,
    serialize_u16s,
    serialize_use_srtp,
    vector8,
    vector16,
)
from .reassembly import Message
from .suites import CIPHER_SUITES, GROUPS, SIGNATURE_SCHEMES, authentication_of
from .wire import DTLS_1_2, NULL_COMPRESSION, UNCOMPRESSED_POINT, ExtensionType, HandshakeType

# A server whose secret changes may refuse a cookie once (RFC 6347 section 4.2.1); more is a loop.
MAX_HELLO_VERIFY_REQUESTS: Final = 2


class ClientHandshake(Handshake):
    """The handshake as client; see `Handshake` for the arguments."""

    label = b"client finished"
    peer_label = b"server finished"

    def start(self) -> None:
        """Make the ClientHello."""
        self._handlers = {
            HandshakeType.HELLO_VERIFY_REQUEST: self._on_hello_verify_request,
            HandshakeType.SERVER_HELLO: self._on_server_hello,
            HandshakeType.CERTIFICATE: self._on_certificate,
            HandshakeType.SERVER_KEY_EXCHANGE: self._on_server_key_exchange,
            HandshakeType.CERTIFICATE_REQUEST: self._on_certificate_request,
            HandshakeType.SERVER_HELLO_DONE: self._on_server_hello_done,
            HandshakeType.FINISHED: self._on_finished,
        }
        self._client_random = self._random_bytes(32)
        self._hello_verify_requests = 0
        self._hello = ClientHello(self._client_random, self._config.cipher_suites, self._offer())
        self._server_algorithms: tuple[int, ...] | None = None
        self._server_share = b""
        self._send_hello()
        # Most likely the group that the server takes; made now, for later the server waits for it.
        self._key_exchange = generate_key_exchange(GROUPS[self._config.groups[0]], self._random_bytes)
        self.state = State.WAIT_SERVER_HELLO

    def _offer(self) -> Extensions:
        extensions: Extensions = {
            ExtensionType.RENEGOTIATION_INFO: vector8(b""),
            ExtensionType.EXTENDED_MASTER_SECRET: b"",
            ExtensionType.SUPPORTED_GROUPS: vector16(serialize_u16s(self._config.groups)),
            ExtensionType.EC_POINT_FORMATS: vector8(bytes((UNCOMPRESSED_POINT,))),
            ExtensionType.SIGNATURE_ALGORITHMS: vector16(serialize_u16s(tuple(SIGNATURE_SCHEMES))),
        }
        if self._config.srtp_profiles:
            extensions[ExtensionType.USE_SRTP] = serialize_use_srtp(self._config.srtp_profiles)
        if self._config.alpn_protocols:
            names = tuple(name.encode() for name in self._config.alpn_protocols)
            extensions[ExtensionType.ALPN] = serialize_alpn(names)
        return extensions

    def _send_hello(self) -> None:
        # A hello without the cookie is not part of the transcript if one is asked for: RFC 6347 section 4.2.1.
        self._transcript.clear()
        self.flight = Flight([self._message(HandshakeType.CLIENT_HELLO, self._hello.serialize())])

    def _on_hello_verify_request(self, message: Message) -> State:
        request = HelloVerifyRequest.parse(message.body)
        self._hello_verify_requests += 1
        if self._hello_verify_requests > MAX_HELLO_VERIFY_REQUESTS:
            raise HandshakeFailure("unexpected-message", "hello_verify_request again")
        self._hello.cookie = request.cookie
        self._send_hello()
        return State.WAIT_SERVER_HELLO

    def _on_server_hello(self, message: Message) -> State:
        hello = ServerHello.parse(message.body)
        if hello.version != DTLS_1_2:
            raise HandshakeFailure("unsupported-version", f"{hello.version:#06x}")
        if hello.cipher_suite not in self._config.cipher_suites:
            raise HandshakeFailure("illegal-cipher-suite", f"{hello.cipher_suite:#06x}")
        if hello.compression_method != NULL_COMPRESSION:
            raise HandshakeFailure("illegal-compression")
        self.suite = CIPHER_SUITES[hello.cipher_suite]
        self._server_random = hello.random
        self._check_extensions(hello.extensions)
        self._record(message)
        return State.WAIT_SERVER_CERTIFICATE

    def _check_extensions(self, extensions: Extensions) -> None:
        for kind in extensions:
            if kind not in self._hello.extensions:
                raise HandshakeFailure("unsolicited-extension", str(kind))
        renegotiation = extensions.get(ExtensionType.RENEGOTIATION_INFO)
        if renegotiation is None:
            # RFC 5746 section 4.1 leaves it to the client; whoever implements RFC 7627 implements this too.
            raise HandshakeFailure("no-renegotiation-info")
        if renegotiation != vector8(b""):
            raise HandshakeFailure("bad-renegotiation-info")
        self._extended_master_secret = ExtensionType.EXTENDED_MASTER_SECRET in extensions
        if not self._extended_master_secret and self._config.require_extended_master_secret:
            raise HandshakeFailure("no-extended-master-secret")
        formats = extensions.get(ExtensionType.EC_POINT_FORMATS)
        if formats is not None and UNCOMPRESSED_POINT not in parse_vector8_extension(formats):
            raise HandshakeFailure("illegal-point-format")
        srtp = extensions.get(ExtensionType.USE_SRTP)
        if srtp is not None:
            profiles, mki = parse_use_srtp(srtp)
            # RFC 5764 section 4.1.1: exactly one profile, of those offered; section 4.1.3: our MKI, which is empty.
            if len(profiles) != 1 or profiles[0] not in self._config.srtp_profiles or mki:
                raise HandshakeFailure("illegal-srtp-profile")
            self.srtp_profile = profiles[0]
        alpn = extensions.get(ExtensionType.ALPN)
        if alpn is not None:
            self.application_protocol = self._check_application_protocol(parse_alpn(alpn))

    def _check_application_protocol(self, names: tuple[bytes, ...]) -> str:
        ours = {name.encode(): name for name in self._config.alpn_protocols}
        if len(names) != 1 or names[0] not in ours:  # RFC 7301 section 3.1: exactly one, of those offered
            raise HandshakeFailure("illegal-application-protocol")
        return ours[names[0]]

    def _on_certificate(self, message: Message) -> State:
        self._accept_certificate(message.body)
        self._record(message)
        if (
            self._peer_key is None
            or self.suite is None
            or authentication_of(self._peer_key) != self.suite.authentication
        ):
            raise HandshakeFailure("unsupported-certificate", "key does not fit the cipher suite")
        return State.WAIT_SERVER_KEY_EXCHANGE

    def _on_server_key_exchange(self, message: Message) -> State:
        exchange = ServerKeyExchange.parse(message.body)
        if exchange.group not in self._config.groups:
            raise HandshakeFailure("illegal-group", str(exchange.group))
        signed = self._client_random + self._server_random + exchange.params()
        self._check_signature(exchange.scheme, exchange.signature, signed)
        if self._key_exchange is None or self._key_exchange.group != GROUPS[exchange.group]:
            self._key_exchange = generate_key_exchange(GROUPS[exchange.group], self._random_bytes)
        self._server_share = exchange.public
        self._record(message)
        return State.WAIT_CERTIFICATE_REQUEST

    def _on_certificate_request(self, message: Message) -> State:
        self._server_algorithms = CertificateRequest.parse(message.body).signature_algorithms
        self._record(message)
        return State.WAIT_SERVER_HELLO_DONE

    def _on_server_hello_done(self, message: Message) -> State:
        if message.body or self._key_exchange is None or self.suite is None:
            raise HandshakeFailure("decode-error", "server_hello_done: not empty")
        if self._server_algorithms is None and self._config.require_certificate_request:
            raise HandshakeFailure("no-certificate-request")
        self._record(message)
        premaster_secret = self._key_exchange.exchange(self._server_share)
        messages = []
        if self._server_algorithms is not None:
            own = CertificateMessage([self._certificate.der]).serialize()
            messages.append(self._message(HandshakeType.CERTIFICATE, own))
        share = ClientKeyExchange(self._key_exchange.public).serialize()
        messages.append(self._message(HandshakeType.CLIENT_KEY_EXCHANGE, share))
        self._derive_keys(self.suite, premaster_secret)
        if self._server_algorithms is not None:
            proof = self._sign(self._server_algorithms, bytes(self._transcript)).serialize()
            messages.append(self._message(HandshakeType.CERTIFICATE_VERIFY, proof))
        if self.keys is not None:
            self.flight = Flight(messages, self._finished_message(self.keys))
        return State.WAIT_SERVER_FINISHED

    def _on_finished(self, message: Message) -> State:
        self._check_finished(message)
        return self._finish()

    def _complete(self) -> State:
        return State.CONNECTED
