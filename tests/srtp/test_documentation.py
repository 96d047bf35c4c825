"""The tables of docs/layers/srtp.md name what the code names."""

import re
from pathlib import Path

from stack.srtp import ALL_PROFILES, mki, packet, receiver, sender

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "layers" / "srtp.md").read_text()
SOURCE = "".join(path.read_text() for path in sorted((ROOT / "stack" / "srtp").glob("*.py")))


def section(title):
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def test_limits_and_their_values():
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (2\^)?(\d+)( - 1)?", section("Limits"), re.MULTILINE)
    modules = {"mki": mki, "packet": packet, "receiver": receiver, "sender": sender}
    for module, name, power, number, less in rows:
        value = 2 ** int(number) if power else int(number)
        assert getattr(modules[module], name) == value - bool(less), name
    named = {name for _, name, *_ in rows} | {"MIN_REPLAY_WINDOW", "MAX_REPLAY_WINDOW"}
    assert named == set(re.findall(r"^((?:MAX|MIN|RE)\w+): Final = ", SOURCE, re.MULTILINE))


def test_drop_reasons():
    raised = set(re.findall(r'DropPacket\("([a-z-]+)"\)', SOURCE))
    assert set(re.findall(r"^\| `([a-z-]+)`", section("Drop reasons"), re.MULTILINE)) == raised


def test_profiles():
    text = section("What is implemented") + section("Cost") + section("Alone")
    for profile in ALL_PROFILES:
        name = profile.name.removesuffix("_32").removesuffix("_80")
        assert name in text or f"0x{profile.profile_id:04x}" in text
