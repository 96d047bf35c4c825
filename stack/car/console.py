"""What people see in the terminal, and what scripts read: one JSON object per line."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import segno
from rich.console import Console
from rich.text import Text

Report = Callable[..., None]

_STATES: Final = {
    "connecting": "yellow",
    "connected": "bold green",
    "disconnected": "yellow",
    "failed": "bold red",
    "closed": "dim",
}
_STOP_REASONS: Final = {
    "command-timeout": "no commands for 0.3 s",
    "peer-gone": "the driver is gone",
    "closed": "switched off",
}
_GONE_REASONS: Final = {
    "page-gone": "the page was closed",
    "bye": "said goodbye",
    "silent": "silent for too long",
    "new-offer": "connecting anew",
    "car-off": "switched off",
    "bad-offer": "an offer that cannot be used",
}


def json_report(event: str, **fields: Any) -> None:
    """Print one JSON object: `event`, `time` in seconds since the epoch, and the fields."""
    # A closed pipe must not bring the car down while somebody drives it.
    try:
        sys.stdout.write(json.dumps({"event": event, "time": round(time.time(), 4), **fields}) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = sys.stderr


class TerminalReport:
    """Prints what happens for people, in colour where the terminal has it.

    Args:
        console: Where to; standard output by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def __call__(self, event: str, **fields: Any) -> None:
        """Print one event; what is of no interest to people is left out."""
        match event:
            case "listening":
                self._welcome(**fields)
            case "connection-state":
                state = str(fields["state"])
                self._line("connection", state, _STATES.get(state, ""))
            case "failsafe-stopped":
                reason = str(fields["reason"])
                self._line("fail-safe", f"car stopped: {_STOP_REASONS.get(reason, reason)}", "bold yellow")
            case "failsafe-resumed":
                self._line("fail-safe", "driver in control", "green")
            case "driver-seated":
                self._line("driver", "connecting", "")
            case "driver-gone":
                reason = str(fields["reason"])
                self._line("driver", f"gone: {_GONE_REASONS.get(reason, reason)}", "dim")
            case "message-refused":
                self._line("signaling", f"refused {fields['reason']}: {fields['detail']}", "red")
            case "port-taken":
                self._line("port", f"{fields['wanted']} is in use; taking {fields['port']}", "yellow")
            case "stopped":
                self._line("car", "off", "dim")

    def _line(self, subject: str, text: str, style: str) -> None:
        clock = time.strftime("%H:%M:%S")
        self._console.print(Text.assemble((f"{clock}  ", "dim"), (f"{subject:<11}", "cyan"), (text, style)))

    def _welcome(self, url: str, local: bool, codec: str, picture: str) -> None:
        print_ = self._console.print
        print_()
        print_(Text.assemble(("  rccar", "bold"), ("  the car is ready", "")))
        print_()
        print_(Text.assemble(("  Drive   ", "cyan"), (url, f"bold underline link {url}")), soft_wrap=True)
        print_(Text.assemble(("  Camera  ", "cyan"), (f"{picture}, {codec}", "")))
        if local:
            print_(Text("  Only this machine can drive. For phones and others: rccar --host 0.0.0.0", "dim"))
        else:
            print_(Text("  Whoever has this link can drive: it holds the token.", "dim"))
        if self._console.is_terminal:
            print_()
            self._print_qr(url)
        print_(Text("  Ctrl-C switches the car off.", "dim"))
        print_()

    def _print_qr(self, url: str) -> None:
        """Print the URL as a QR code, two modules per character, dark on light whatever the theme is."""
        rows = [bytes(row) for row in segno.make(url, error="l").matrix_iter(border=2)]
        if len(rows[0]) + 2 > self._console.width:
            return
        rows += [bytes(len(rows[0]))] * (len(rows) % 2)
        for upper, lower in zip(rows[::2], rows[1::2], strict=True):
            blocks = "".join(" ▀▄█"[(up & 1) + 2 * (low & 1)] for up, low in zip(upper, lower, strict=True))
            self._console.print(Text.assemble("  ", (blocks, "black on white")))
        self._console.print()
