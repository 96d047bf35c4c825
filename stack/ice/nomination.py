"""Renomination: draft-thatcher-ice-renomination-01, and when another pair is enough better to be worth one."""

from typing import Final

from ..stun import Message
from .checklist import Pair

_NOMINATION: Final = 0xC001  # comprehension-optional, so that it may be sent to anybody
_MAX_VALUE: Final = 0xFFFFFF  # three bytes: section 4 of the draft
_BETTER_SHARE: Final = 0.8  # of the round-trip time: less than a fifth is not worth the disturbance
_BETTER_SECONDS: Final = 0.01  # nor is what a scheduler can make up
_BETTER_SAMPLES: Final = 3  # in a row
_SETTLED_AFTER: Final = 10.0  # seconds between two renominations for a better path; a dead one does not wait


def put_nomination(message: Message, value: int) -> None:
    """Add the NOMINATION attribute."""
    message.attributes[_NOMINATION] = value.to_bytes(4, "big")


def nomination_of(message: Message) -> int:
    """Return the value of the NOMINATION attribute, 0 without one."""
    value = message.attributes.get(_NOMINATION)
    return int.from_bytes(value, "big") & _MAX_VALUE if isinstance(value, bytes) and len(value) == 4 else 0


def is_relayed(pair: Pair) -> bool:
    """Tell whether a relay is on the path."""
    return "relay" in {pair.base.type, pair.remote_candidate.type}


class Nominations:
    """What was nominated last by either side, and whether something better is there.

    Attributes:
        negotiated: Both sides know renomination.
        sent: Value of our last nomination.
        received: Highest value that the other side has nominated with.
        changed_at: When the nominated pair changed last.
    """

    __slots__ = ("_better", "changed_at", "negotiated", "received", "sent")

    def __init__(self) -> None:
        self.negotiated = False
        self.sent = 0
        self.received = 0
        self.changed_at = float("-inf")
        self._better: dict[Pair, int] = {}  # samples in a row; at most one entry per pair of the checklist

    def next_value(self) -> int:
        """Return the value of a new nomination."""
        if self.sent < _MAX_VALUE:
            self.sent += 1
        return self.sent

    def changed(self, now: float) -> None:
        """Take note that another pair is nominated now."""
        self.changed_at = now
        self._better.clear()

    def forget(self, pair: Pair) -> None:
        """Take note that a pair is gone."""
        self._better.pop(pair, None)

    def is_clearly_better(self, pair: Pair, selected: Pair, now: float) -> bool:
        """Take note of a new sample on `pair`, and tell whether it should take the place of the selected one.

        A cheaper network counts first, then a path without relay, then a shorter round-trip time; each has to hold
        for several samples.
        """
        better = _better(pair, selected)
        count = self._better[pair] = self._better.get(pair, 0) + 1 if better else 0
        return count >= _BETTER_SAMPLES and now - self.changed_at >= _SETTLED_AFTER


def _better(pair: Pair, selected: Pair) -> bool:
    if pair.rtt is None or selected.rtt is None:
        return False
    if pair.base.network_cost != selected.base.network_cost:
        return pair.base.network_cost < selected.base.network_cost
    if is_relayed(pair) != is_relayed(selected):
        return is_relayed(selected) and pair.rtt <= selected.rtt + _BETTER_SECONDS
    return pair.rtt <= selected.rtt * _BETTER_SHARE and pair.rtt <= selected.rtt - _BETTER_SECONDS
