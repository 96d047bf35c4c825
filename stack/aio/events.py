"""Event emitters that lose nothing: an exception in a handler reaches the loop's exception handler."""

from collections.abc import Generator
from typing import Final

from ..media.events import EventTarget

__all__ = ["DONE", "Done", "EventTarget"]


class Done:
    """What may be awaited though it is done: W3C has a promise there, and nothing takes time here."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


DONE: Final = Done()
