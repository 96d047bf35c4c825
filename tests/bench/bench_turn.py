"""A TURN relay: channel data of four clients to their peers and back, through this stack's server and through coturn.

The load comes from a process of its own with plain sockets, one system call per packet; so does each server run in
one. CPU time is the server's, from the kernel's books.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .registry import Metric, benchmark
from .turn_load import HOST, PASSWORD, USER

PEER = "coturn"
PACKETS = 300_000
WINDOW = 160  # packets in flight: what every socket's queue takes
REALM = "example.org"

OURS = """
import asyncio, sys
from stack.aio.turn_server import Listener, TurnServer, TurnSettings
from stack.turn import ServerConfiguration

async def main(host, port, user, password, realm):
    configuration = ServerConfiguration(realm, (host,), {user: password}, allowed_peers=(host + "/32",))
    await TurnServer(TurnSettings(configuration, [Listener("udp", host, int(port))])).start()
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def start_coturn(folder, port):
    program = shutil.which("turnserver")
    if program is None:
        raise FileNotFoundError("no turnserver here: on Debian, apt-get install coturn")
    config = Path(folder) / "turnserver.conf"
    config.write_text(
        f"listening-ip={HOST}\nrelay-ip={HOST}\nlistening-port={port}\nlt-cred-mech\nuser={USER}:{PASSWORD}\n"
        f"realm={REALM}\nallow-loopback-peers\nno-cli\nno-tls\nno-dtls\nno-tcp\nno-tcp-relay\nlog-file=stdout\n"
        f"userdb={folder}/turndb\npidfile={folder}/turnserver.pid\nrelay-threads=1\n"
    )
    return subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)


def start_ours(port):
    return subprocess.Popen([sys.executable, "-c", OURS, HOST, str(port), USER, PASSWORD, REALM])


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@benchmark(
    Metric("turn-relay", "packets/s", "higher"),
    Metric("turn-relay-cpu", "CPU s per million packets", "lower"),
    peer=PEER,
)
def relay(side, quick):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = start_ours(port) if side == "ours" else start_coturn(folder, port)
        try:
            time.sleep(0.7)  # starting is not measured
            before = cpu_seconds(server.pid)
            command = [sys.executable, "-m", "tests.bench.turn_load", str(port)]
            numbers = [str(PACKETS // 10 if quick else PACKETS), str(WINDOW)]
            run = subprocess.run([*command, *numbers], capture_output=True, text=True, timeout=60, check=False)
            if run.returncode:
                raise RuntimeError(run.stderr.strip().splitlines()[-1])
            cpu = cpu_seconds(server.pid) - before
        finally:
            server.kill()
            server.wait(10)
    result = json.loads(run.stdout)
    return {"turn-relay": result["rate"], "turn-relay-cpu": cpu / result["received"] * 1e6}
