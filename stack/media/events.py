"""Event emitters that lose nothing: an exception in a handler reaches the loop's exception handler."""

import asyncio
from collections.abc import Callable
from typing import Any

from pyee.asyncio import AsyncIOEventEmitter


class EventTarget(AsyncIOEventEmitter):
    """Base of everything with `on`. Handlers may be functions or coroutine functions."""

    def dispatch(self, name: str, *args: Any) -> bool:
        """Call the handlers of `name`. What they raise goes to the event loop's exception handler, never up."""
        handlers, handled = self._events.get(name), True
        try:
            if handlers is not None and len(handlers) == 1:
                (handler,) = handlers.values()
                self._call(handler, args)
            else:
                handled = self.emit(name, *args)
        except Exception as error:  # noqa: BLE001  the handler is the application's: whatever it raises is reported
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"exception in a handler of {name!r}", "exception": error, "emitter": self}
            )
        return handled

    def _call(self, handler: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Call the only handler, as for nearly every message: the way without pyee's locks, copies and questions."""
        try:
            result = handler(*args)
        except Exception as error:  # noqa: BLE001  as pyee does, which raises it again if nobody hears of it
            self.emit("error", error)
            return
        if result is not None:  # a coroutine or a future is pyee's to run
            self._emit_run(lambda: result, (), {})
