"""DTLS: whole handshakes against OpenSSL's, records against the bare cipher."""

import contextlib
import hashlib
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from stack import dtls
from stack.dtls.record import new_reader, new_writer
from stack.dtls.suites import CIPHER_SUITES

from .registry import Metric, benchmark

NOW_UNIX = 1_800_000_000.0
PAYLOAD = bytes(1200)
BURST = 64  # records at a time, as a bulk transfer drains them
TRIAL = 1.0  # seconds
QUICK_TRIAL = 0.05
ROUND = 0.02  # seconds


def rate(step, each, seconds):
    """How many things per second `step` does, which does `each` of them at a time, in the quickest of many rounds.

    What else a machine does only ever makes a round slower. The first step is a rehearsal.
    """
    step()
    rates, end = [], time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        count = 0
        while (elapsed := time.perf_counter() - begin) < ROUND:
            step()
            count += each
        rates.append(count / elapsed)
    return max(rates)


@benchmark(Metric("dtls-handshake", "1/s", "higher"), peer="pyOpenSSL")
def handshake(stack, quick):
    """Both ends in one process, no network: P-256 certificates on both sides, X25519, AES-128-GCM, use_srtp.

    Both ends compare the SHA-256 of the other's certificate. A connection of OpenSSL's has a context of its own, as
    in aiortc.
    """
    certificates = [dtls.Certificate.generate(os.urandom, now_unix=NOW_UNIX) for _ in range(2)]
    step = {"ours": our_handshakes, "pyOpenSSL": openssl_handshakes}[stack](certificates)
    return {"dtls-handshake": rate(step, 1, QUICK_TRIAL if quick else TRIAL)}


def our_handshakes(certificates):
    fingerprints = [[certificate.fingerprint()] for certificate in certificates]

    def step():
        ends = [
            dtls.Connection(role, certificate=own, random_bytes=os.urandom, remote_fingerprints=expected)
            for role, own, expected in zip(("client", "server"), certificates, reversed(fingerprints), strict=True)
        ]
        for end in ends:
            end.start(0.0)
        for sender, receiver in ((0, 1), (1, 0)) * 2:
            for datagram in ends[sender].datagrams_to_send(0.0):
                ends[receiver].receive_datagram(datagram, 0.0)
        if not all(end.handshake_complete for end in ends):
            raise RuntimeError("not connected")

    return step


def openssl_handshakes(certificates):

    loaded = [(x509.load_der_x509_certificate(own.der), own.private_key) for own in certificates]
    expected = [hashlib.sha256(own.der).digest() for own in reversed(certificates)]

    def context(certificate, key):
        made = SSL.Context(SSL.DTLS_METHOD)
        made.use_certificate(certificate)
        made.use_privatekey(key)
        made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        made.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256")
        made.set_options(SSL.OP_NO_QUERY_MTU)
        made.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80")
        return made

    def step():
        ends = [SSL.Connection(context(certificate, key)) for certificate, key in loaded]
        ends[0].set_connect_state()
        ends[1].set_accept_state()
        done = [False, False]
        for end in ends:
            end.set_ciphertext_mtu(1200)
        while not all(done):
            for me, end in enumerate(ends):
                with contextlib.suppress(SSL.WantReadError):
                    if not done[me]:
                        end.do_handshake()
                        done[me] = True
                with contextlib.suppress(SSL.WantReadError):
                    ends[1 - me].bio_write(end.bio_read(65536))
        for end, digest in zip(ends, expected, strict=True):
            if (
                hashlib.sha256(end.get_peer_certificate(as_cryptography=True).public_bytes(Encoding.DER)).digest()
                != digest
            ):
                raise RuntimeError("wrong certificate")

    return step


@benchmark(Metric("dtls-record", "1/s", "higher"), Metric("dtls-record-open", "1/s", "higher"), peer="cryptography")
def record(stack, quick):
    """Records of 1200 bytes protected, and opened, with AES-128-GCM.

    Ours is the record layer: headers, sequence numbers, replay window. The peer is bare calls of `AESGCM`, with what
    no record can do without: a nonce and associated data of its own.
    """
    seconds = QUICK_TRIAL if quick else TRIAL
    protect, unprotect = {"ours": our_records, "cryptography": bare_calls}[stack]()
    return {"dtls-record": rate(protect, BURST, seconds), "dtls-record-open": rate(unprotect, BURST, seconds)}


def our_records():
    suite, key, salt = CIPHER_SUITES[0xC02B], bytes(16), bytes(4)
    writer = new_writer(1, suite, key, salt)
    burst = [PAYLOAD] * BURST
    sealed = new_writer(1, suite, key, salt).protect(23, burst)

    def unprotect():
        reader, _ = new_reader(1, suite, key, salt, 256)  # or all but the first burst would be replays
        for number, datagram in enumerate(sealed, 1 << 48):
            reader(datagram, 23, number)

    return lambda: writer.protect(23, burst), unprotect


def bare_calls():
    cipher, salt, associated = AESGCM(bytes(16)), bytes(4), b"\x17\xfe\xfd\x04\xb0"
    encrypt, decrypt = cipher.encrypt, cipher.decrypt
    explicits = [number.to_bytes(8, "big") for number in range(BURST)]
    sealed = [(explicit, encrypt(salt + explicit, PAYLOAD, explicit + associated)) for explicit in explicits]

    def protect():
        kept = []
        for number in range(BURST):
            explicit = number.to_bytes(8, "big")
            kept.append(encrypt(salt + explicit, PAYLOAD, explicit + associated))

    def unprotect():
        for explicit, ciphertext in sealed:
            decrypt(salt + explicit, ciphertext, explicit + associated)

    return protect, unprotect
