"""Record handshakes with OpenSSL and GnuTLS for vectors/dtls/program_handshakes.json. Needs their programs.

python -m tests.dtls.record_handshakes
"""

import json
import subprocess
import tempfile
from pathlib import Path

from stack import dtls
from stack.testing import seeded_random_bytes
from tests.interop.dtls_programs import LABEL, Program, fingerprint, free_port, make_credentials, wait_until_bound
from tests.interop.dtls_shim import Shim

from .support import certificate

FILE = Path(__file__).parents[2] / "vectors" / "dtls" / "program_handshakes.json"
SOURCE = (
    "Handshakes over UDP between this stack and openssl s_client/s_server and gnutls-cli/gnutls-serv, made by "
    "tests/dtls/record_handshakes.py; where program_exported is given, the program has printed it: the first 60 bytes "
    f"of keying material with the label {LABEL}. The stack's randomness is the seeded generator of stack/testing, so "
    "that its datagrams can be compared; its certificate is tests/dtls/support.py's"
)
SUITES = {
    0xC02B: ("ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", "ec"),
    0xC02C: ("ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", "ec"),
    0xC030: ("ECDHE-RSA-AES256-GCM-SHA384", "AES-256-GCM", "rsa"),
    0xCCA9: ("ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20-POLY1305", "ec"),
}


def settings(**more):
    """What our end of the recorded handshakes is configured with."""
    return dtls.Config(initial_timeout=5.0, srtp_profiles=(7, 1), **more)


def new_connection(role, seed, peer, keylog=None, config=settings()):  # noqa: B008  frozen
    """Our end of a recorded handshake; peer: its fingerprint."""
    return dtls.Connection(
        role,
        certificate=certificate(),
        random_bytes=seeded_random_bytes(seed),
        config=config,
        remote_fingerprints=[peer],
        keylog=keylog,
    )


class Recorder(Shim):
    """A shim with seeded randomness that keeps what it sends and receives."""

    def __init__(self, options, seed, peer):
        self.seed, self.expected = seed, peer
        self.lines, self.trace = [], []
        super().__init__(options)

    def new_connection(self):
        connection = new_connection(self.options.role, self.seed, self.expected, self.lines.append)
        drain, receive = connection.datagrams_to_send, connection.receive_datagram

        def datagrams_to_send(now):
            datagrams = drain(now)
            self.trace += [("stack", data.hex()) for data in datagrams]
            return datagrams

        def receive_datagram(data, now):
            self.trace.append(("program", data.hex()))
            receive(data, now)

        connection.datagrams_to_send, connection.receive_datagram = datagrams_to_send, receive_datagram
        return connection


def command(program, role, port, suite, files):
    openssl_name, gnutls_name, kind = SUITES[suite]
    cert, key = files / f"{kind}.pem", files / f"{kind}.key"
    if program == "openssl":
        if role == "server":  # ours
            end = ["s_client", "-connect", f"127.0.0.1:{port}"]
        else:
            end = ["s_server", "-verify", "1", "-port", port]
        export = ["-keymatexport", LABEL, "-keymatexportlen", "60"]
        own = ["-cert", cert, "-key", key, "-cipher", openssl_name]
        return ["stdbuf", "-o0", "openssl", *end, "-dtls1_2", *own, *export]
    if role == "server":
        end = ["gnutls-cli", "--insecure", "--keymatexport", LABEL, "--keymatexportsize", "60", "127.0.0.1"]
    else:
        end = ["gnutls-serv", "--echo", "--require-client-cert"]
    priority = f"NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+{gnutls_name}:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"
    own = ["--x509certfile", cert, "--x509keyfile", key]
    return ["stdbuf", "-o0", *end, "--udp", "--port", port, *own, "--priority", priority]


def version(program):
    asking = {"openssl": ["openssl", "version"], "gnutls": ["gnutls-cli", "--version"]}[program]
    return subprocess.run(asking, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def record(program, role, suite, files, folder):
    seed = f"{program}-{role}-{suite:04x}"
    peer = dtls.Fingerprint(*fingerprint(files / f"{SUITES[suite][2]}.pem").split(":", 1))
    port = free_port() if role == "client" else 0
    options = [role, "--port", str(port), *(["--send", "ping\n"] if role == "client" else ["--expect", "hello"])]
    if role == "client":
        with Program(command(program, role, port, suite, files), folder, "hello", after="ping") as running:
            wait_until_bound(port)
            recorder = Recorder(options, seed, peer)
            result = recorder.run()
    else:
        recorder = Recorder(options, seed, peer)
        with Program(command(program, role, recorder.port, suite, files), folder, "hello") as running:
            result = recorder.run()
    if not result["connected"] or int(result["suite"], 16) != suite:
        raise RuntimeError(f"{seed}: {result} {running.output}")
    exported = None
    if program == "openssl" or role == "server":
        exported = running.printed(r"(?i)key(?:ing)? material: ([0-9a-f]+)").lower()
    _, client_random, master_secret = recorder.lines[0].split()
    return {
        "program": version(program),
        "stack_role": role,
        "cipher_suite": suite,
        "seed": seed,
        "stack_certificate": certificate().der.hex(),
        "program_fingerprint": peer.value,
        "client_random": client_random,
        "master_secret": master_secret,
        "exported": result["exported"],
        "program_exported": exported,
        "datagrams": [{"sender": sender, "datagram": data} for sender, data in recorder.trace],
    }


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_credentials(folder)
        found = [
            record(program, role, suite, files, folder)
            for program in ("openssl", "gnutls")
            for role in ("client", "server")
            for suite, (*_, kind) in SUITES.items()
            if role == "client" or kind == "ec"  # as our certificate is
        ]
    FILE.write_text(json.dumps({"source": SOURCE, "handshakes": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
