"""The tables of docs/layers/dtls.md name what the code names."""

import re
from pathlib import Path

from stack.dtls.handshake import FAILURES, TRANSITIONS

from . import loss

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text()
PAGE = (ROOT / "docs" / "layers" / "dtls.md").read_text()
SOURCE = "".join(path.read_text() for path in sorted((ROOT / "stack" / "dtls").glob("*.py")))


def section(title):
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def test_failures_and_alerts():
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\w+)", section("Why a connection ends"), re.MULTILINE))
    for reason in ("peer-alert", "sequence-exhausted", "timeout"):
        rows.pop(reason)
    assert rows == {reason: alert.name.lower() for reason, alert in FAILURES.items()}


def test_drop_reasons():
    raised = set(re.findall(r'DropPacket\("([a-z-]+)"\)', SOURCE))
    counted = set(re.findall(r'dropped\["([a-z-]+)"', SOURCE)) | {"old-epoch"}
    assert set(re.findall(r"`([a-z-]+)`", section("Drop reasons"))) == raised | counted


def test_limits():
    limits = set(re.findall(r"^(MAX_\w+): Final", SOURCE, re.MULTILINE)) - {"MAX_PLAINTEXT"}
    assert set(re.findall(r"`(MAX_\w+)`", section("Limits"))) == limits


def test_every_pattern_of_three_losses_completes_in_the_time_of_the_table():
    assert loss.table() in section("What loss costs")


def drawn(role):
    """The states of one role as they are left, from the transition table."""
    lines, state = [], {"client": "WAIT_SERVER_HELLO", "server": "WAIT_CLIENT_HELLO"}[role]
    waiting, seen = [state], {state}
    while waiting:
        state = waiting.pop(0)
        for message, targets in TRANSITIONS[state].items():
            for target in targets:
                lines.append(f"{state:<26}-- {message.name.lower():<20} --> {target}")
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
    return "\n".join(lines)


def test_state_diagrams():
    for role in ("client", "server"):
        assert drawn(role) in section("States"), "\n" + drawn(role)


def test_the_tests_that_the_security_page_names_are_there():
    named = re.findall(r"`(tests/[^`]+)`", SECURITY)
    assert len(named) >= 7
    for pattern in named:
        assert list(ROOT.glob(pattern)), pattern
