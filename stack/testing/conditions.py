"""What a path does to datagrams, one direction of it: shared by `Link` and `Network`."""

import random
from dataclasses import dataclass

from ..core import DropPacket


@dataclass(slots=True)
class Conditions:
    """What one direction of a link does to datagrams.

    Args:
        delay: One-way delay, seconds.
        jitter: Additional uniform random delay up to this many seconds; reorders when larger than the gaps.
        loss: Probability of loss, 0..1.
        duplicate: Probability of a second copy, 0..1.
        rate: Bit/s of the bottleneck, None for no limit.
        queue: Bytes that may wait at the bottleneck; what does not fit is lost.
        burst: Probability that a burst of loss begins with a datagram, 0..1: the Gilbert-Elliott model, in which
            `loss` applies between bursts.
        burst_length: Mean number of datagrams of a burst, 1 or more.
        burst_loss: Probability of loss inside a burst, 0..1.
        reorder: Probability that a datagram is held back, 0..1, so that later ones overtake it.
        reorder_delay: How long it is held back, seconds.
    """

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    rate: float | None = None
    queue: int = 100_000
    burst: float = 0.0
    burst_length: float = 4.0
    burst_loss: float = 1.0
    reorder: float = 0.0
    reorder_delay: float = 0.02


class Pipe:
    """One direction of a link, under conditions that may be replaced at any time.

    Args:
        conditions: What it does to datagrams.
    """

    __slots__ = ("_bursting", "_busy_until", "conditions")

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._busy_until = 0.0
        self._bursting = False

    def carry(self, size: int, now: float, rng: random.Random) -> list[float]:
        """Send one datagram in.

        Args:
            size: Of its payload, bytes.
            now: The time.
            rng: What decides; a condition that is 0 draws nothing from it.

        Returns:
            When it comes out: one time, or one for each copy.

        Raises:
            DropPacket: `link-loss`, or `queue-full` at the bottleneck.
        """
        c = self.conditions
        if self._is_lost(c, rng):
            raise DropPacket("link-loss")
        leaves = now
        if c.rate is not None:
            starts = max(now, self._busy_until)
            if (starts - now) * c.rate / 8 > c.queue:
                raise DropPacket("queue-full")
            leaves = self._busy_until = starts + size * 8 / c.rate
        if c.reorder and rng.random() < c.reorder:
            leaves += c.reorder_delay
        copies = 2 if c.duplicate and rng.random() < c.duplicate else 1
        return [leaves + c.delay + (rng.random() * c.jitter if c.jitter else 0.0) for _ in range(copies)]

    def _is_lost(self, c: Conditions, rng: random.Random) -> bool:
        if self._bursting:
            self._bursting = rng.random() >= 1 / c.burst_length
        elif c.burst:
            self._bursting = rng.random() < c.burst
        loss = c.burst_loss if self._bursting else c.loss
        return loss > 0 and rng.random() < loss
