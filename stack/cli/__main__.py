"""The command line: `webrtc`, or `python -m stack.cli`."""

import importlib
import os
import sys
from typing import Annotated, Any, Final

try:
    import typer
    from typer.core import TyperGroup
except ImportError as missing:
    sys.exit(f"webrtc needs more packages ({missing}): pip install webrtc-stack[cli]")

from stack import __version__

COMMANDS: Final = {
    "ice": "stack.cli.ice:app",
    "log": "stack.cli.log:app",
    "sdp": "stack.cli.sdp:app",
    "stun": "stack.cli.stun:app",
    "turn": "stack.cli.turn:app",
    "whep": "stack.cli.whip:whep_app",
    "whip": "stack.cli.whip:app",
}
"""Where each sub-command is: `module:typer application`. It is imported when somebody asks for it."""


class _LazyGroup(TyperGroup):
    """A group that imports its commands when they are wanted."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature is Typer's
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  as above
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = typer.main.get_group(getattr(importlib.import_module(module), name))
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_LazyGroup,
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"webrtc {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Examples:  [bold]webrtc stun nat stun.example.org[/]  what does my NAT do? ·  "
    "[bold]webrtc stun serve --help[/]  run a server"
)
def _webrtc(
    _show: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Tools for WebRTC.

    Exit codes: 0 done, 1 could not be done, 2 wrong usage, 3 nobody answered, 130 Ctrl-C.
    """


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="webrtc")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
