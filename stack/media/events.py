"""Event emitters that lose nothing: an exception in a handler reaches the loop's exception handler."""

import asyncio
from typing import Any

from pyee.asyncio import AsyncIOEventEmitter


class EventTarget(AsyncIOEventEmitter):
    """Base of everything with `on`. Handlers may be functions or coroutine functions."""

    def dispatch(self, name: str, *args: Any) -> bool:
        """Call the handlers of `name`. What they raise goes to the event loop's exception handler, never up."""
        handlers, handled = self._events.get(name), True
        try:
            if handlers is None or len(handlers) != 1:
                handled = self.emit(name, *args)
            else:  # as for nearly every message: the way without pyee's locks, copies and questions
                (handler,) = handlers.values()
                try:
                    result = handler(*args)
                except Exception as error:  # noqa: BLE001  as pyee does, which raises it again if nobody hears of it
                    self.emit("error", error)
                else:
                    if result is not None:  # a coroutine or a future is pyee's to run
                        self._emit_run(lambda: result, (), {})
        except Exception as error:  # noqa: BLE001  the handler is the application's: whatever it raises is reported
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"exception in a handler of {name!r}", "exception": error, "emitter": self}
            )
        return handled
