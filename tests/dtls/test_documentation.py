"""The tables of docs/layers/dtls.md name what the code names."""

import re
from pathlib import Path

from stack.dtls.handshake import FAILURES

ROOT = Path(__file__).parents[2]
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
