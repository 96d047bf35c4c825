"""Record handshakes with Chromium and Firefox for vectors/dtls/browser_handshakes_with_keys.json. Needs both.

python -m tests.dtls.record_browsers
"""

import asyncio
import json
from pathlib import Path
from unittest import mock

import stack.aio.configured
from stack import dtls
from tests.interop.dtls_browsers import BROWSERS, CONNECTION, connected, page_of
from tests.interop.dtls_shim import LABEL

from .record_handshakes import new_connection, settings
from .support import certificate

FILE = Path(__file__).parents[2] / "vectors" / "dtls" / "browser_handshakes_with_keys.json"
SOURCE = (
    "Handshakes between RTCPeerConnection of this stack and that of Chromium and Firefox, with the first messages of a "
    "data channel, made by tests/dtls/record_browsers.py. The stack's randomness in DTLS is the seeded generator of "
    "stack/testing, so that its datagrams can be compared; its certificate is tests/dtls/support.py's"
)
SUITES = (0xC02B, 0xCCA9)
DATAGRAMS_AFTER = 4  # of both ends, once our end is connected
ATTEMPTS = 5  # until one goes without retransmissions


class Recorder:
    """Makes the one connection of a recording, and keeps what it sends and receives."""

    def __init__(self, seed, suite):
        self.seed, self.suite = seed, suite
        self.lines, self.trace, self.after = [], [], 0

    def __call__(self, role, *, remote_fingerprints, **_):
        self.peer = remote_fingerprints[0]
        config = settings(cipher_suites=(self.suite,))
        with mock.patch.object(dtls, "Connection", CONNECTION):
            self.connection = new_connection(role, self.seed, self.peer, self.lines.append, config)
        drain, receive = self.connection.datagrams_to_send, self.connection.receive_datagram

        def datagrams_to_send(now):
            datagrams = drain(now)
            for data in datagrams:
                self.keep("stack", data)
            return datagrams

        def receive_datagram(data, now):
            self.keep("program", data)
            receive(data, now)

        self.connection.datagrams_to_send, self.connection.receive_datagram = datagrams_to_send, receive_datagram
        self.connection.set_initial_timeout = lambda seconds: None  # ICE would make it short
        return self.connection

    def keep(self, sender, data):
        self.after += self.connection.handshake_complete
        if self.after <= DATAGRAMS_AFTER:
            self.trace.append((sender, data.hex()))


async def record(page, version, role, suite):
    seed = f"{version.split()[0].lower()}-{role}-{suite:04x}"
    for _ in range(ATTEMPTS):
        recorder = Recorder(seed, suite)
        with (
            mock.patch.object(dtls, "Connection", recorder),
            mock.patch.object(stack.aio.configured, "_shared_certificate", return_value=certificate()),
        ):
            async with connected(page, role):
                ours = recorder.connection
                exported = ours.export_keying_material(LABEL, 60).hex()
        if not ours.dropped["repeated-message"]:
            break
    _, client_random, master_secret = recorder.lines[0].split()
    return {
        "program": version,
        "stack_role": role,
        "cipher_suite": ours.cipher_suite,
        "seed": seed,
        "stack_certificate": certificate().der.hex(),
        "program_fingerprint": recorder.peer.value,
        "client_random": client_random,
        "master_secret": master_secret,
        "exported": exported,
        "program_exported": None,
        "datagrams": [{"sender": sender, "datagram": data} for sender, data in recorder.trace],
    }


async def main():
    found = []
    for browser in BROWSERS:
        async with page_of(browser) as (page, version):
            found += [await record(page, version, role, suite) for role in ("client", "server") for suite in SUITES]
    FILE.write_text(json.dumps({"source": SOURCE, "handshakes": found}, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
