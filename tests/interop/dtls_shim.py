"""This stack's DTLS over UDP, as client or server, for other test suites to drive: one connection, one line of JSON.

python -m tests.interop.dtls_shim server --port 4433 --expect ping --send pong
python -m tests.interop.dtls_shim client --port 4433 --send ping --expect pong
python -m tests.interop.dtls_shim client --port 4433 --certificate c.pem --key k.pem --suites c02c --mtu 300
python -m tests.interop.dtls_shim server --port 4433 --suites c02f --expect-failure no-common-cipher-suite

A server binds its port before it says anything, prints `{"port": ...}` and serves the first address that sends.
The last line tells what has become of it; the exit status is 0 if that is what was expected.
"""

import argparse
import json
import os
import socket
import sys
import time
from pathlib import Path

from stack import dtls

LINGER = 0.3  # seconds in which a peer may still ask for our last flight
LABEL = "EXTRACTOR-dtls_srtp"  # of the keying material in the result
MAX_DATAGRAM = 65536


def numbers(base):
    return lambda text: tuple(int(part, base) for part in text.split(",") if part)


def parser():
    p = argparse.ArgumentParser(
        prog="python -m tests.interop.dtls_shim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = dtls.Config()
    p.add_argument("role", choices=("client", "server"))
    p.add_argument("--host", default="127.0.0.1", help="the server's address (default: %(default)s)")
    p.add_argument("--port", type=int, default=0, help="the server's port (default of a server: any)")
    p.add_argument("--certificate", type=Path, metavar="PEM", help="ours (default: one on P-256, made now)")
    p.add_argument("--key", type=Path, metavar="PEM", help="its private key")
    p.add_argument("--fingerprint", metavar="HASH:VALUE", help="the peer's, as sha-256:AB:CD... (default: any)")
    p.add_argument("--suites", type=numbers(16), default=defaults.cipher_suites, help="as c02b,cca9, best first")
    p.add_argument("--groups", type=numbers(10), default=defaults.groups, help="as 29,23,24, best first")
    p.add_argument("--srtp", type=numbers(10), default=defaults.srtp_profiles, help="profiles as 7,1; empty for none")
    p.add_argument("--alpn", default="", help="application protocols as webrtc,c-webrtc")
    p.add_argument("--mtu", type=int, default=defaults.mtu, help="bytes of a datagram (default: %(default)s)")
    p.add_argument("--initial-timeout", type=float, default=0.2, help="seconds (default: %(default)s)")
    p.add_argument("--cookie", action="store_true", help="as server, send HelloVerifyRequest first")
    p.add_argument("--no-extended-master-secret", action="store_true", help="accept peers without it")
    p.add_argument("--no-certificate-request", action="store_true", help="accept servers that do not ask for ours")
    p.add_argument("--lose", type=numbers(10), default=(), help="datagrams to lose, counted from 0 both ways")
    p.add_argument("--send", metavar="TEXT", help="application data to send")
    p.add_argument("--expect", metavar="TEXT", help="application data to wait for")
    p.add_argument("--expect-failure", metavar="REASON", help="the connection must end with this reason")
    p.add_argument(
        "--keylog",
        type=Path,
        metavar="FILE",
        default=os.environ.get("SSLKEYLOGFILE"),
        help="append the secrets (default: what the environment names in SSLKEYLOGFILE)",
    )
    p.add_argument("--timeout", type=float, default=10.0, help="seconds for all of it (default: %(default)s)")
    return p


class Shim:
    """One connection over a socket of its own, bound at once.

    options: what `parser` returns, or a list of arguments.
    """

    def __init__(self, options):
        self.options = options = parser().parse_args(options) if isinstance(options, list) else options
        self.socket = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET, socket.SOCK_DGRAM)
        self.peer = None
        if options.role == "server":
            self.socket.bind((options.host, options.port))
        else:
            self.peer = (options.host, options.port)
            self.socket.connect(self.peer)
        self.port = self.socket.getsockname()[1]
        self.datagrams = self.largest = self.cookies = 0
        self.received = []
        self.closed = None
        self.connection = self.new_connection()

    def new_connection(self):
        o = self.options
        config = dtls.Config(
            srtp_profiles=o.srtp,
            cipher_suites=o.suites,
            groups=o.groups,
            mtu=o.mtu,
            initial_timeout=o.initial_timeout,
            cookie_exchange=o.cookie,
            alpn_protocols=tuple(name for name in o.alpn.split(",") if name),
            require_extended_master_secret=not o.no_extended_master_secret,
            require_certificate_request=not o.no_certificate_request,
        )
        if o.certificate:
            certificate = dtls.Certificate.from_pem(o.certificate.read_bytes(), (o.key or o.certificate).read_bytes())
        else:
            certificate = dtls.Certificate.generate(os.urandom, now_unix=time.time())
        fingerprints = None if o.fingerprint is None else [dtls.Fingerprint(*o.fingerprint.split(":", 1))]
        return dtls.Connection(
            o.role,
            certificate=certificate,
            random_bytes=os.urandom,
            config=config,
            remote_fingerprints=fingerprints,
            keylog=self.log_key if o.keylog else None,
        )

    def log_key(self, line):
        with self.options.keylog.open("a") as file:
            file.write(line + "\n")

    def run(self):
        """Connect, exchange data, close; return the result as a dictionary."""
        begin = time.monotonic()
        end = begin + self.options.timeout
        with self.socket:
            self.connection.start(begin)
            in_time = self.step_until(lambda: self.connection.handshake_complete, end)
            result = self.describe()
            if in_time and self.closed is None:
                if self.options.role == "server":  # what it says first can overtake its Finished, and be ignored
                    in_time = self.step_until(self.has_all, end)
                if self.options.send is not None and self.closed is None:
                    self.connection.send(self.options.send.encode(), time.monotonic())
                in_time = in_time and self.step_until(self.has_all, end)
                self.step_until(lambda: False, time.monotonic() + LINGER)
            if self.closed is None:
                self.connection.close(time.monotonic())
                self.send_all(time.monotonic())
                self.take_events()
        error = None if self.closed is None else self.closed.error
        result |= {
            "failure": str(error.reason) if error else None if in_time else "shim-timeout",
            "detail": error.detail if error else "",
            "received": [data.decode("utf-8", "replace") for data in self.received],
            "dropped": dict(self.connection.dropped),
        }
        return result

    def has_all(self):
        wanted = self.options.expect
        return wanted is None or wanted.encode() in b"".join(self.received)

    def describe(self):
        c = self.connection
        result = {
            "connected": c.handshake_complete,
            "datagrams": self.datagrams,
            "largest": self.largest,
            "cookies": self.cookies,
        }
        if c.handshake_complete:
            result |= {
                "suite": f"{c.cipher_suite:04x}",
                "srtp": c.srtp_profile,
                "alpn": c.application_protocol,
                "peer": c.peer_certificate and dtls.Fingerprint.of(c.peer_certificate).value,
                "exported": c.export_keying_material(LABEL, 60).hex(),
            }
        return result

    def step_until(self, done, end):
        """Work until `done()`, the connection's end, or the time `end`; tell whether it is done."""
        while True:
            now = time.monotonic()
            self.connection.handle_timer(now)
            self.trust_if_any()
            self.send_all(now)
            self.take_events()
            if done():
                return True
            if self.closed is not None or now >= end:
                return self.closed is not None
            due = self.connection.next_timer()
            self.receive_one(min(end, end if due is None else due) - now)

    def trust_if_any(self):
        c = self.connection
        if self.options.fingerprint is None and c.peer_certificate is not None and c.state == "connecting":
            c.set_remote_fingerprints([dtls.Fingerprint.of(c.peer_certificate)], time.monotonic())

    def is_lost(self, data):
        """Whether this datagram, of either direction, is to be lost; count it."""
        self.datagrams += 1
        self.largest = max(self.largest, len(data))
        self.cookies += data[:1] == b"\x16" and data[13:14] == b"\x03"  # HelloVerifyRequest
        return self.datagrams - 1 in self.options.lose

    def send_all(self, now):
        for data in self.connection.datagrams_to_send(now):
            if self.peer is not None and not self.is_lost(data):
                try:
                    self.socket.send(data)
                except ConnectionRefusedError:  # the peer is not there yet, or no more
                    continue

    def receive_one(self, seconds):
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data, sender = self.socket.recvfrom(MAX_DATAGRAM)
        except (TimeoutError, ConnectionRefusedError):
            return
        if self.peer is None:
            self.peer = sender
            self.socket.connect(sender)
        if not self.is_lost(data):
            self.connection.receive_datagram(data, time.monotonic())

    def take_events(self):
        self.received += self.connection.take_application_data()
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, dtls.Closed):
                self.closed = event


def main(arguments=None):
    options = parser().parse_args(arguments)
    shim = Shim(options)
    if options.role == "server":
        sys.stdout.write(json.dumps({"port": shim.port}) + "\n")
        sys.stdout.flush()
    result = shim.run()
    sys.stdout.write(json.dumps(result) + "\n")
    return int(result["failure"] != options.expect_failure)


if __name__ == "__main__":
    sys.exit(main())
