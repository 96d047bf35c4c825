"""What a layer gives so that the ten laws can be run over its machine."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stack.core import Machine


class NullMachine(Machine):
    """A partner for machines that talk to nobody."""

    def receive_datagram(self, datagram, now):
        """Ignore it."""

    def handle_timer(self, now):
        """Nothing is ever due."""

    def datagrams_to_send(self, now):
        """Nothing to send."""
        return []

    def close(self, now):
        """Nothing to close."""


def nothing(now):
    """A command that does nothing."""


@dataclass
class Rig:
    """Two fresh machines that can talk to each other, and commands to give them.

    start: the commands that set both going (connect, gather, ...).
    work: commands given once both are up: send messages, open channels ...
    """

    a: Machine
    b: Machine
    start: Callable[[float], None] = nothing
    work: Callable[[float], None] = nothing


@dataclass
class Subject:
    """A machine under the laws.

    name: shown in the test's id.
    build: seed -> Rig; the same seed must give the same Rig. Use stack.testing.seeded_random_bytes.
    terminal: the event type(s) after which nothing may come.
    wrap: makes the machine's input out of bytes (identity for machines on bytes).
    garbage: inputs that must be dropped *and counted*, whatever the state.
    misuse: each is called with (rig, now) in the connected state, must raise LocalError and change nothing.
    limits: name of each named limit -> a test that hits it (law 9).
    """

    name: str
    build: Callable[[int], Rig]
    terminal: type | tuple[type, ...]
    limits: dict[str, Callable[[], None]]
    wrap: Callable[[bytes], Any] = lambda data: data
    garbage: list[bytes] = field(default_factory=lambda: [b"\x00", b"\xff" * 40])
    misuse: list[Callable[[Rig, float], None]] = field(default_factory=list)
    seconds_to_close: float = 60.0


def all_subjects():
    """Every Subject of every module in tests/contract/subjects."""
    from . import subjects

    found = []
    for module in sorted(pkgutil.iter_modules(subjects.__path__), key=lambda m: m.name):
        found += importlib.import_module(f"{subjects.__name__}.{module.name}").SUBJECTS
    return found
