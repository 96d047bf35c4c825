"""TURN servers on an address of this machine, which is to be none of loopback: many programs do not use those."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

from stack.aio.turn_server import Listener, TurnServer, TurnSettings
from stack.turn import ServerConfiguration

USER, PASSWORD, REALM = "driver", "secret", "example.org"
PATIENCE = 10.0  # seconds for coturn to listen, or to end


@contextlib.asynccontextmanager
async def ours(host):
    """Our server; its address by transport."""
    configuration = ServerConfiguration(REALM, (host,), {USER: PASSWORD}, allowed_peers=(f"{host}/32",))
    server = TurnServer(TurnSettings(configuration, [Listener(transport, host, 0) for transport in ("udp", "tcp")]))
    await server.start()
    try:
        yield {listener.transport: (host, listener.port) for listener in server.addresses}
    finally:
        await server.close()


@contextlib.contextmanager
def coturn(host, folder):
    """A turnserver with its files in a folder; its address by transport."""
    program = shutil.which("turnserver")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no turnserver here, and continuous integration has to have it")
        pytest.skip("no turnserver here: on Debian, apt-get install coturn")
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    config = folder / "turnserver.conf"
    config.write_text(
        f"listening-ip={host}\nrelay-ip={host}\nlistening-port={port}\nlt-cred-mech\nuser={USER}:{PASSWORD}\n"
        f"realm={REALM}\nno-cli\nno-tls\nno-dtls\nno-tcp-relay\nlog-file=stdout\nuserdb={folder}/turndb\n"
        f"pidfile={folder}/turnserver.pid\nrelay-threads=1\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "-c", config], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        end = time.monotonic() + PATIENCE
        while not _listens(host, port):
            assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.02)
        yield {"udp": (host, port), "tcp": (host, port)}
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)


def _listens(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
