"""The server's side of the handshake."""

from typing import Final

from ..core.crypto import constant_time_equal, generate_key_exchange
from .flights import Flight
from .handshake import Handshake, HandshakeFailure, State
from .messages import (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ClientKeyExchange,
    Extensions,
    HelloVerifyRequest,
    ServerHello,
    ServerKeyExchange,
    parse_alpn,
    parse_u16_vector,
    parse_u16s,
    parse_use_srtp,
    parse_vector8_extension,
    serialize_alpn,
    serialize_use_srtp,
    vector8,
)
from .reassembly import Message
from .suites import CIPHER_SUITES, GROUPS, SIGNATURE_SCHEMES, CipherSuite, authentication_of, curve_of
from .wire import (
    DTLS_1_0,
    DTLS_1_2,
    NULL_COMPRESSION,
    RENEGOTIATION_SCSV,
    UNCOMPRESSED_POINT,
    ExtensionType,
    HandshakeType,
)

_COOKIE_SIZE: Final = 20
# ecdsa_sign and rsa_sign: RFC 8422 section 5.5, RFC 5246 section 7.4.4.
_CERTIFICATE_TYPES: Final = bytes((64, 1))


class ServerHandshake(Handshake):
    """The handshake as server; see `Handshake` for the arguments."""

    label = b"server finished"
    peer_label = b"client finished"

    def start(self) -> None:
        """Wait for the ClientHello."""
        self._handlers = {
            HandshakeType.CLIENT_HELLO: self._on_client_hello,
            HandshakeType.CERTIFICATE: self._on_certificate,
            HandshakeType.CLIENT_KEY_EXCHANGE: self._on_client_key_exchange,
            HandshakeType.CERTIFICATE_VERIFY: self._on_certificate_verify,
            HandshakeType.FINISHED: self._on_finished,
        }
        self._cookie = b""
        self.state = State.WAIT_CLIENT_HELLO

    def _on_client_hello(self, message: Message) -> State:
        hello = ClientHello.parse(message.body)
        self._check_version(hello)
        if self._config.cookie_exchange and not self._has_cookie(hello):
            # This exchange is part of no transcript, nor retransmitted by a timer: RFC 6347 sections 4.2.1, 4.2.4.
            request = HelloVerifyRequest(self._cookie, DTLS_1_0).serialize()
            verify_request = self._message(HandshakeType.HELLO_VERIFY_REQUEST, request, hashed=False)
            self.flight = Flight([verify_request], timed=False)
            return State.WAIT_CLIENT_HELLO
        if NULL_COMPRESSION not in hello.compression_methods:
            raise HandshakeFailure("illegal-compression")
        self._record(message)
        self._client_random = hello.random
        self.suite = self._choose_suite(hello)
        extensions = self._negotiate(hello)
        self._send_flight(hello, self.suite, extensions)
        return State.WAIT_CLIENT_CERTIFICATE

    @staticmethod
    def _check_version(hello: ClientHello) -> None:
        """Accept clients whose newest version is 1.2, and newer ones that accept 1.2 as well."""
        versions = hello.extensions.get(ExtensionType.SUPPORTED_VERSIONS)
        if versions is not None:
            accepted = DTLS_1_2 in parse_u16s(parse_vector8_extension(versions))
        else:
            # Ones' complement: newer versions have smaller numbers (RFC 6347 section 4.1).
            accepted = hello.version >> 8 == DTLS_1_2 >> 8 and hello.version <= DTLS_1_2
        if not accepted:
            raise HandshakeFailure("unsupported-version", f"{hello.version:#06x}")

    def _has_cookie(self, hello: ClientHello) -> bool:
        if not self._cookie:
            self._cookie = self._random_bytes(_COOKIE_SIZE)
            return False
        return constant_time_equal(hello.cookie, self._cookie)

    def _choose_suite(self, hello: ClientHello) -> CipherSuite:
        self._check_curve(hello)
        authentication = authentication_of(self._certificate.private_key)
        for number in self._config.cipher_suites:
            suite = CIPHER_SUITES[number]
            if suite.authentication == authentication and number in hello.cipher_suites:
                return suite
        raise HandshakeFailure("no-common-cipher-suite")

    def _check_curve(self, hello: ClientHello) -> None:
        """A client verifies signatures on the curves that it has offered: RFC 8422 section 5.1.1."""
        curve = curve_of(self._certificate.private_key)
        content = hello.extensions.get(ExtensionType.SUPPORTED_GROUPS)
        if curve is None or content is None:
            return
        if curve not in (GROUPS.get(number) for number in parse_u16_vector(content)):
            raise HandshakeFailure("no-common-group", f"our certificate is on {curve}")

    def _negotiate(self, hello: ClientHello) -> Extensions:
        """Return the ServerHello's extensions: only such as the client has offered."""
        offered = hello.extensions
        answer: Extensions = {}
        renegotiation = offered.get(ExtensionType.RENEGOTIATION_INFO)
        if renegotiation is not None and renegotiation != vector8(b""):
            raise HandshakeFailure("bad-renegotiation-info")
        if renegotiation is not None or RENEGOTIATION_SCSV in hello.cipher_suites:
            answer[ExtensionType.RENEGOTIATION_INFO] = vector8(b"")
        self._extended_master_secret = ExtensionType.EXTENDED_MASTER_SECRET in offered
        if self._extended_master_secret:
            answer[ExtensionType.EXTENDED_MASTER_SECRET] = b""
        elif self._config.require_extended_master_secret:
            raise HandshakeFailure("no-extended-master-secret")
        formats = offered.get(ExtensionType.EC_POINT_FORMATS)
        if formats is not None:
            if UNCOMPRESSED_POINT not in parse_vector8_extension(formats):
                raise HandshakeFailure("illegal-point-format")
            answer[ExtensionType.EC_POINT_FORMATS] = vector8(bytes((UNCOMPRESSED_POINT,)))
        srtp = offered.get(ExtensionType.USE_SRTP)
        if srtp is not None:
            profiles, _ = parse_use_srtp(srtp)
            self.srtp_profile = next((p for p in self._config.srtp_profiles if p in profiles), None)
            if self.srtp_profile is not None:
                # An offered MKI is declined by not repeating it: RFC 5764 section 4.1.3.
                answer[ExtensionType.USE_SRTP] = serialize_use_srtp((self.srtp_profile,))
        alpn = offered.get(ExtensionType.ALPN)
        if alpn is not None and self._config.alpn_protocols:
            self.application_protocol = self._choose_application_protocol(parse_alpn(alpn))
            answer[ExtensionType.ALPN] = serialize_alpn((self.application_protocol.encode(),))
        return answer

    def _choose_application_protocol(self, offered: tuple[bytes, ...]) -> str:
        for name in self._config.alpn_protocols:
            if name.encode() in offered:
                return name
        raise HandshakeFailure("no-common-application-protocol")

    def _choose_group(self, hello: ClientHello) -> int:
        content = hello.extensions.get(ExtensionType.SUPPORTED_GROUPS)
        if content is None:  # RFC 8422 section 4: the server is free to choose
            return self._config.groups[0]
        groups = parse_u16_vector(content)
        for group in self._config.groups:
            if group in groups:
                return group
        raise HandshakeFailure("no-common-group")

    def _send_flight(self, hello: ClientHello, suite: CipherSuite, extensions: Extensions) -> None:
        group = self._choose_group(hello)
        algorithms = hello.extensions.get(ExtensionType.SIGNATURE_ALGORITHMS)
        # Deviates: RFC 5246 section 7.4.1.4.1 means SHA-1 when the extension is missing; that is refused instead.
        offered = () if algorithms is None else parse_u16_vector(algorithms)
        self._server_random = self._random_bytes(32)
        self._key_exchange = generate_key_exchange(GROUPS[group], self._random_bytes)
        exchange = ServerKeyExchange(group, self._key_exchange.public)
        proof = self._sign(offered, self._client_random + self._server_random + exchange.params())
        exchange.scheme, exchange.signature = proof.scheme, proof.signature
        server_hello = ServerHello(self._server_random, suite.id, extensions)
        request = CertificateRequest(_CERTIFICATE_TYPES, tuple(SIGNATURE_SCHEMES))
        contents = (
            (HandshakeType.SERVER_HELLO, server_hello.serialize()),
            (HandshakeType.CERTIFICATE, CertificateMessage([self._certificate.der]).serialize()),
            (HandshakeType.SERVER_KEY_EXCHANGE, exchange.serialize()),
            (HandshakeType.CERTIFICATE_REQUEST, request.serialize()),
            (HandshakeType.SERVER_HELLO_DONE, b""),
        )
        self.flight = Flight([self._message(kind, body) for kind, body in contents])

    def _on_certificate(self, message: Message) -> State:
        self._accept_certificate(message.body)
        self._record(message)
        return State.WAIT_CLIENT_KEY_EXCHANGE

    def _on_client_key_exchange(self, message: Message) -> State:
        share = ClientKeyExchange.parse(message.body).public
        if self._key_exchange is None or self.suite is None:
            raise HandshakeFailure("unexpected-message", "client_key_exchange before the hello")
        self._record(message)
        self._derive_keys(self.suite, self._key_exchange.exchange(share))
        return State.WAIT_CERTIFICATE_VERIFY

    def _on_certificate_verify(self, message: Message) -> State:
        proof = CertificateVerify.parse(message.body)
        self._check_signature(proof.scheme, proof.signature, bytes(self._transcript))
        self._record(message)
        return State.WAIT_CLIENT_FINISHED

    def _on_finished(self, message: Message) -> State:
        self._check_finished(message)
        return self._finish()

    def _complete(self) -> State:
        if self.keys is not None:
            self.flight = Flight([], self._finished_message(self.keys), timed=False)
        return State.CONNECTED
