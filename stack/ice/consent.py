"""Consent freshness on the selected pair: RFC 7675."""

from typing import Final

from ..core import RandomBytes, Timers
from .checklist import Pair
from .config import Config

CONSENT_CHECK: Final = "consent-check"
CONSENT_EXPIRY: Final = "consent-expiry"
DISCONNECTED: Final = "disconnected"
SPARE_CHECK: Final = "spare-check"


class Consent:
    """When to ask for consent, when it expires, and whether the other side is silent.

    Args:
        random_bytes: Source of the randomisation.
        timers: Of the machine; the names above are used.
        config: Of the agent.

    Attributes:
        silent: Nothing was heard for `Config.disconnected_after` after a consent check.
    """

    def __init__(self, random_bytes: RandomBytes, timers: Timers, config: Config) -> None:
        self._random_bytes = random_bytes
        self._timers = timers
        self._config = config
        self.silent = False

    def start(self, pair: Pair, now: float) -> None:
        """Watch a pair that has just been selected, whose consent is fresh."""
        self.heard()
        self._timers.set(CONSENT_EXPIRY, pair.responded_at + self._config.consent_timeout)
        if self._config.lite:
            self._await_requests(now)
        else:
            self._timers.set(CONSENT_CHECK, now + self._interval())

    def next_spare_check(self, now: float) -> None:
        """Say when the pairs not in use are asked again."""
        interval = self._config.spare_interval * (0.8 + 0.4 * self._fraction())
        self._timers.set(SPARE_CHECK, now + interval)

    def sent(self, now: float) -> None:
        """Take note that a consent check leaves now."""
        self._timers.set(CONSENT_CHECK, now + self._interval())
        if not self.silent:
            self._timers.set_default(DISCONNECTED, now + self._config.disconnected_after)

    def responded(self, now: float) -> None:
        """Take note of a valid response."""
        self._timers.set(CONSENT_EXPIRY, now + self._config.consent_timeout)
        self.heard()

    def requested(self, now: float) -> None:
        """Take note, as a lite agent, that the other side asks for consent: it is there, and the path works."""
        self._timers.set(CONSENT_EXPIRY, now + self._config.consent_timeout)
        self.heard()
        self._await_requests(now)

    def _await_requests(self, now: float) -> None:
        longest = 1.2 * self._config.consent_interval  # between two checks of the other side: RFC 7675 section 5.1
        self._timers.set(DISCONNECTED, now + longest + self._config.disconnected_after)

    def heard(self) -> None:
        """Take note that the other side is alive."""
        self._timers.cancel(DISCONNECTED)
        self.silent = False

    def fresh(self, pair: Pair, now: float) -> bool:
        """Tell whether the last response on a pair is young enough to send data there."""
        return now - pair.responded_at < self._config.consent_timeout

    def stop(self) -> None:
        """Watch nothing."""
        for name in (CONSENT_CHECK, CONSENT_EXPIRY, DISCONNECTED, SPARE_CHECK):
            self._timers.cancel(name)
        self.silent = False

    def _interval(self) -> float:
        return self._config.consent_interval * (0.8 + 0.4 * self._fraction())

    def _fraction(self) -> float:
        return int.from_bytes(self._random_bytes(4), "big") / 2**32
