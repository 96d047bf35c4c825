"""Networks inside of this machine: namespaces, cables between them, and routers that translate addresses with nftables.

A `Lab` is an internet (203.0.113.0/24, one switch in the namespace `public`) and whatever is attached to it. Everything
is gone when it ends. It takes Linux, root, iproute2 and nftables; `missing` says which of them there is not.
"""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC = "203.0.113"
NAT_KINDS = ("masquerade", "random", "full-cone", "udp-blocked")

_numbers = itertools.count()


def run(*argv, **options):
    """Run a program; what it complained about is in the exception."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def missing():
    """Return what this machine lacks for a lab, and what to do about it; None if there is nothing."""
    if sys.platform != "linux":
        return "network namespaces are Linux only"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"no {program} here: on Debian, apt-get install {package}"
    name = f"webrtc-probe-{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
    except RuntimeError as error:
        return f"no right to make network namespaces (root, CAP_NET_ADMIN and CAP_SYS_ADMIN): {error}"
    try:
        Node(name).nft(_ruleset("random", "10.0.0.2"))
    except RuntimeError as error:
        return f"no right to translate addresses, or a kernel without nftables: {error}"
    finally:
        run("ip", "netns", "delete", name)
    return None


def _ruleset(kind, inside):
    """Return the rules of a router between `lan` and `wan`."""
    forward = {
        "full-cone": 'iifname "wan" udp dport 1024-65535 accept',
        "udp-blocked": "meta l4proto udp drop",
    }.get(kind, "")
    translate = {"random": "masquerade fully-random"}.get(kind, "masquerade")
    port_forwarding = f'iifname "wan" udp dport 1024-65535 dnat to {inside}' if kind == "full-cone" else ""
    # What nobody asked for is dropped, as every router for homes does. To refuse it would do more than that: the kernel
    # would remember the refused packet's ports as taken, and give our side of a hole another one.
    return f"""
    table ip nat {{
        chain after {{
            type nat hook postrouting priority srcnat;
            oifname "wan" {translate}
        }}
        chain before {{
            type nat hook prerouting priority dstnat;
            {port_forwarding}
        }}
    }}
    table inet firewall {{
        chain forward {{
            type filter hook forward priority filter;
            {forward if kind == "udp-blocked" else ""}
            ct state established,related accept
            {forward if kind != "udp-blocked" else ""}
            iifname "wan" drop
        }}
        chain input {{
            type filter hook input priority filter;
            ct state established,related accept
            iifname "wan" drop
        }}
    }}
    """


class Node:
    """One namespace: a machine with a network of its own.

    Args:
        name: Of the namespace.
    """

    def __init__(self, name):
        self.name = name

    def ip(self, *arguments):
        """Run `ip` in it."""
        return run("ip", "-n", self.name, *arguments)

    def run(self, *argv, **options):
        """Run a program in it and return what it says."""
        return run("ip", "netns", "exec", self.name, *argv, **options)

    def nft(self, rules):
        """Add rules of nftables."""
        self.run("nft", "-f", "-", input=rules)

    def black_hole(self, interface):
        """Lose everything that an interface carries from now on, while it stays up."""
        self.nft(f"""
        table inet hole_{interface} {{
            chain forward {{
                type filter hook forward priority -200;
                iifname "{interface}" drop
                oifname "{interface}" drop
            }}
        }}
        """)

    def mend(self, interface):
        """End a black hole."""
        self.nft(f"delete table inet hole_{interface}")

    async def program(self, script, *arguments):
        """Start a program of this folder in it, and return it as a `Program`."""
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.name, sys.executable, "-u", "-m", f"tests.netns.{script}", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            limit=1 << 20,
        )
        return Program(process)


class Program:
    """A program that takes and gives a JSON value per line.

    Args:
        process: Its process.

    Attributes:
        reports: Lines that answer nothing, in order; None at the end.
    """

    def __init__(self, process):
        self._process = process
        self._answers = defaultdict(asyncio.Queue)
        self.reports = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while text := await self._process.stdout.readline():
            line = json.loads(text)
            if "answer" in line:
                self._answers[line["answer"]].put_nowait(line["value"])
            else:
                self.reports.put_nowait(line)
        self.reports.put_nowait(None)

    def tell(self, command, **arguments):
        """Send a command."""
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")

    async def ask(self, command, seconds=20, **arguments):
        """Send a command and return its answer; of one that was told before, the answers come first."""
        self.tell(command, **arguments)
        async with asyncio.timeout(seconds):
            return await self._answers[command].get()

    async def end(self):
        """End its input, and wait until it ends; kill it if it does not."""
        self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._reading


class Lab:
    """Namespaces that end together. Use it with `with`."""

    def __init__(self):
        self._prefix = f"webrtc-{os.getpid()}-{next(_numbers)}-"
        self.nodes = []
        self._networks = itertools.count(1)
        self._public_hosts = itertools.count(2)

    def __enter__(self):
        try:
            self.public = self.add("public")
            self.public.ip("link", "add", "switch", "type", "bridge")
            self.public.ip("address", "add", f"{PUBLIC}.1/24", "dev", "switch")
            self.public.ip("link", "set", "switch", "up")
            # The rest of the internet: takes everything and never answers. Without a route sending fails, and coturn
            # ends the session of a client whose peer it has no route to.
            self.public.ip("route", "add", "default", "dev", "switch")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        for node in self.nodes:
            with suppress(RuntimeError):
                run("ip", "netns", "delete", node.name)

    def add(self, name, *, forward=False, ipv6=False):
        """Make a machine; a router if it forwards."""
        node = Node(self._prefix + name)
        run("ip", "netns", "add", node.name)
        self.nodes.append(node)
        if not ipv6:
            node.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        node.ip("link", "set", "lo", "up")
        if forward:
            node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        return node

    @staticmethod
    def cable(one, interface, other, other_interface):
        """Connect two machines."""
        one.ip(
            *("link", "add", interface, "type", "veth", "peer"),
            *("name", other_interface, "netns", other.name),
        )
        one.ip("link", "set", interface, "up")
        other.ip("link", "set", other_interface, "up")

    def attach(self, node, interface="wan"):
        """Connect a machine to the internet and return its address there."""
        number = next(self._public_hosts)
        self.cable(node, interface, self.public, f"port{number}")
        self.public.ip("link", "set", f"port{number}", "master", "switch")
        node.ip("address", "add", f"{PUBLIC}.{number}/24", "dev", interface)
        return f"{PUBLIC}.{number}"

    def nat(self, name, kind, behind=None):
        """Make a router that translates addresses; `join` puts machines behind it.

        Args:
            name: Of the machine.
            kind: One of `NAT_KINDS`.
            behind: Another router; without, it is on the internet.
        """
        node = self.add(name, forward=True)
        node.network = f"10.{next(self._networks)}.0"
        if behind is None:
            self.attach(node)
        else:
            self.join(node, behind, "wan")
        node.ip("link", "add", "lan", "type", "bridge")
        node.ip("address", "add", f"{node.network}.1/24", "dev", "lan")
        node.ip("link", "set", "lan", "up")
        node.hosts = itertools.count(2)
        node.nft(_ruleset(kind, f"{node.network}.2"))
        return node

    def join(self, node, router, interface="eth0", metric=100):
        """Connect a machine to a router with an address and a default route; return the address."""
        number = next(router.hosts)
        self.cable(node, interface, router, f"port{number}")
        router.ip("link", "set", f"port{number}", "master", "lan")
        node.ip("address", "add", f"{router.network}.{number}/24", "dev", interface)
        node.ip("route", "add", "default", "via", f"{router.network}.1", "dev", interface, "metric", str(metric))
        return f"{router.network}.{number}"
