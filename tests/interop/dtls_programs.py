"""Foreign programs that speak DTLS, and certificates for them."""

import contextlib
import datetime as dt
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stack import dtls

from .dtls_shim import LABEL, Shim

PATIENCE = 5.0  # seconds for what a program must print
STOP_PATIENCE = 10.0  # seconds for one that was killed to end
KEYS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def need(program, package):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {package}")


def make_credentials(folder):
    """Write <kind>.pem and <kind>.key for every kind of key."""
    now = dt.datetime.now(dt.UTC)
    for kind, make in KEYS.items():
        key = make()
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, kind)])
        start, end = now - dt.timedelta(days=1), now + dt.timedelta(days=1)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, end)
        signed = builder.sign(key, None if kind == "ed25519" else hashes.SHA256())
        (folder / f"{kind}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{kind}.key").write_bytes(private)
    return folder


def fingerprint(path):
    der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)
    found = dtls.Fingerprint.of(der)
    return f"{found.algorithm}:{found.value}"


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """A running program; `says` is typed into it at once, or when it has printed `after`.

    with Program(["openssl", "s_server", ...], tmp_path, says="pong") as program: ...
    """

    def __init__(self, command, folder, says="", after=None):
        self.command = [str(part) for part in command]
        self.log = folder / f"{Path(self.command[0]).name}-{time.monotonic_ns()}.log"
        self.says, self.after = says, after

    def __enter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        self.typing = threading.Thread(target=self.type)
        self.typing.start()
        return self

    def type(self):
        while self.after is not None and self.after not in self.output:
            if self.process.poll() is not None:
                return
            time.sleep(0.01)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(self.says.encode() + b"\n")
            self.process.stdin.flush()

    def __exit__(self, *details):
        self.process.kill()
        self.process.wait(STOP_PATIENCE)
        self.typing.join(STOP_PATIENCE)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def printed(self, pattern):
        """What the pattern's group matches in the output, once it is there."""
        end = time.monotonic() + PATIENCE
        while (match := re.search(pattern, self.output)) is None:
            assert time.monotonic() < end, f"no {pattern!r} in what {self.command} says:\n{self.output}"
            time.sleep(0.01)
        return match[1] if match.groups() else match[0]


def meet(role, command, folder, arguments, says="pong", after=None):
    """Run our end in `role` against the program that `command(port)` tells; return (our result, the program).

    The program is dead when this returns, its output is not.
    """
    if role == "server":
        shim = Shim([role, *arguments])
        with Program(command(shim.port), folder, says) as program:
            result = shim.run()
            wait_for_output(result, program)
    else:
        port = free_port()
        with Program(command(port), folder, says, after) as program:
            wait_until_bound(port, program)
            result = Shim([role, "--port", str(port), *arguments]).run()
            wait_for_output(result, program)
    return result, program


def wait_until_bound(port, program):
    """Look in the kernel's tables: a socket that tries the port would take it from who wants it at that moment."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        sockets = [line.split() for table in Path("/proc/net").glob("udp*") for line in table.read_text().splitlines()]
        if any(local.endswith(f":{port:04X}") for _, local, *_ in sockets):
            return
        time.sleep(0.01)
    raise AssertionError(f"{program.command} has not bound port {port}:\n{program.output}")


def wait_for_output(result, program):
    """A program killed at once may not have printed what it got."""
    if result["connected"]:
        program.printed("ping")


__all__ = ["LABEL", "Program", "fingerprint", "free_port", "make_credentials", "meet", "need"]
