"""Event emitters that lose nothing: an exception in a handler reaches the loop's exception handler."""

from ..media.events import EventTarget

__all__ = ["EventTarget"]
