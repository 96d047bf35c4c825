"""When what happened first: how long it took to connect, and where the time went."""

from dataclasses import dataclass


@dataclass(slots=True)
class Milestones:
    """Of one generation; seconds, None for what has not happened.

    Args:
        started: The agent was told the time, or was restarted.
        first_candidate: There was a local candidate.
        remote_parameters: The other side's credentials were there.
        first_remote_candidate: The other side had a candidate that could be used, signalled or learnt from a check.
        first_check: A check left.
        first_valid: A pair was valid: data could flow.
        nominated: A pair was nominated.
        gathered: Gathering was over.
    """

    started: float | None = None
    first_candidate: float | None = None
    remote_parameters: float | None = None
    first_remote_candidate: float | None = None
    first_check: float | None = None
    first_valid: float | None = None
    nominated: float | None = None
    gathered: float | None = None

    def reach(self, name: str, now: float) -> None:
        """Take note of something, if it is the first time."""
        if getattr(self, name) is None:
            setattr(self, name, now)
