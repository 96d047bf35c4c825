"""Perfect negotiation of two peers who want something new all the time, over signaling that takes its time.

Invariants, whatever is asked for in whatever order while messages are under way:
- Nothing raises but what W3C's pattern expects.
- When nobody asks for more, it comes to an end: both are stable, nothing is left to negotiate, both know of the same
  sections, and their directions fit together.
"""

from collections import deque
from typing import Final

from stack import peer
from stack.core import LocalError
from stack.testing import seeded_random_bytes

from .peer import certificate

MAX_CALLS: Final = 40  # of one input
MAX_ROUNDS: Final = 200  # messages until it has to have come to an end: some for each call
MIRRORED: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class Side:
    """One peer with W3C's pattern (W3C WebRTC section 10.7), and what is under way to it."""

    def __init__(self, number: int) -> None:
        self.machine = peer.PeerConnection(certificate=certificate(), random_bytes=seeded_random_bytes(number))
        self.polite = number == 0
        self.inbox: deque[peer.Description] = deque()
        self.other = self

    def offer_if_needed(self) -> bool:
        """Hear what the machine reports; return whether an offer was made."""
        needed = False
        while (event := self.machine.next_event()) is not None:
            needed = needed or isinstance(event, peer.NegotiationNeeded)
        if needed and self.machine.needs_negotiation:
            self.send()
            return True
        return False

    def send(self) -> None:
        """Make the description that the state asks for, and send it."""
        self.machine.set_local_description(None, 0.0)
        description = self.machine.local_description
        if description is None:
            raise AssertionError("a description was set and is not there")
        self.other.inbox.append(description)

    def take(self) -> bool:
        """Take the oldest message; return whether there was one."""
        if not self.inbox:
            return False
        description, machine = self.inbox.popleft(), self.machine
        crossed = description.type == "offer" and machine.signaling_state != "stable"
        if crossed and not self.polite:
            return True
        machine.set_remote_description(description, 0.0)
        if description.type == "offer":
            self.send()
        return True

    def call(self, what: int) -> None:
        """Ask for something."""
        machine, known = self.machine, self.machine.transceivers
        transceiver = known[(what >> 4) % len(known)] if known else None
        try:
            match what & 15:
                case 0 | 1:
                    machine.add_track("audio" if what & 16 else "video")
                case 2:
                    machine.add_transceiver("video", ("sendrecv", "recvonly", "sendonly", "inactive")[what >> 6])
                case 3:
                    machine.create_data_channel("fuzz", 0.0)
                case 4 if transceiver is not None:
                    machine.stop_transceiver(transceiver)
                case 5 if transceiver is not None:
                    machine.remove_track(transceiver)
                case 6 | 7 if transceiver is not None:
                    machine.set_direction(transceiver, ("sendrecv", "recvonly", "sendonly", "inactive")[what >> 6])
                case 8:
                    machine.restart_ice()
        except LocalError as error:
            if "stopped" not in str(error) and "transceivers" not in str(error):
                raise


def check(data: bytes) -> None:
    """These bytes as what both sides ask for, and when their messages arrive."""
    sides = Side(0), Side(1)
    sides[0].other, sides[1].other = sides[1], sides[0]
    for byte in data[:MAX_CALLS]:
        side = sides[byte & 1]
        if byte & 0x0E == 0x0E:
            side.take()
        elif byte & 0x0E == 0x0C:
            side.offer_if_needed()
        else:
            side.call(byte >> 1 | (byte & 1) << 7)
    for _ in range(MAX_ROUNDS):
        busy = [side.take() for side in sides]
        busy += [side.offer_if_needed() for side in sides]
        if not any(busy):
            break
    else:
        raise AssertionError(f"still negotiating after {MAX_ROUNDS} rounds")
    agree(*sides)


def agree(a: Side, b: Side) -> None:
    """Look whether both have come to the same end."""
    machines = a.machine, b.machine
    if any(machine.signaling_state != "stable" or machine.needs_negotiation for machine in machines):
        raise AssertionError([(machine.signaling_state, machine.needs_negotiation) for machine in machines])
    directions = [{t.mid: t.current_direction for t in machine.transceivers if t.mid} for machine in machines]
    mirrored = {mid: MIRRORED.get(direction or "") for mid, direction in directions[1].items()}
    if directions[0] != mirrored:
        raise AssertionError(directions)


TARGETS = {"peer-negotiation": check}
