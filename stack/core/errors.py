"""The four ways in which something can be wrong.

| who is at fault | what happens |
| --- | --- |
| the caller | `LocalError` is raised and nothing has changed |
| the text or bytes given to a codec | `ParseError` is raised |
| a packet given to a transform | `DropPacket` is raised; whoever holds the transform counts it |
| the peer, fatally | a `PeerError` value on the machine's terminal event; nothing is raised |

Reasons are short stable slugs such as `bad-checksum`: tests assert them and counters are keyed by them.
"""

from dataclasses import dataclass


class LocalError(Exception):
    """The caller asked for something that is not possible now; the state is unchanged."""


class ParseError(ValueError):
    """Bytes or text do not follow their grammar.

    Args:
        reason: Stable slug, for example `truncated`.
        detail: For people: where and what.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class DropPacket(Exception):  # noqa: N818  it is an instruction to the caller more than an error
    """A keyed transform refuses a packet; it must be dropped and counted under `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PeerError:
    """Why the peer's behaviour ended a machine.

    Args:
        layer: The layer that gave up, for example `dtls`.
        reason: Stable slug, for example `bad-finished`.
        detail: For people.
    """

    layer: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.layer}: {self.reason}"
        return f"{text} ({self.detail})" if self.detail else text
