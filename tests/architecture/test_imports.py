"""The import rule of docs/design.md: layers import one way, and each imports alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STACK = ROOT / "stack"

LAYERS = ["sdp", "stun", "turn", "ice", "dtls", "srtp", "rtp", "bwe", "sctp", "datachannel"]
ALLOWED = {
    "core": set(),
    **{layer: {"core"} for layer in LAYERS},
    "ice": {"core", "stun"},
    "turn": {"core", "stun"},
    "demux": {"core"},
    "testing": {"core"},
    "peer": {"core", "demux", *LAYERS},
    "aio": {"core", "peer", "media", *LAYERS},  # media only inside functions, when pixels are asked for
    "media": {"core", "rtp"},
    "cli": {"core", "aio", "media", "sdp", "stun", "turn", "ice", "__init__"},
    "contrib": {"core", "aio", "media", "__init__"},
    "car": {"core", "rtp", "aio", "media", "__init__"},
    "__init__": {"aio", "media"},
}
IO_MODULES = {"asyncio", "socket", "time", "threading", "selectors", "concurrent", "random", "secrets", "os"}
IO_ALLOWED = {"aio", "media", "contrib", "cli", "car"}
RANDOM_ALLOWED = {"testing": {"random"}}


def owner(path):
    """The layer that a file belongs to."""
    first = path.relative_to(STACK).parts[0]
    return first.removesuffix(".py")


def imported_modules(path):
    """(absolute dotted name, is from stack) of every import in a file, lazy ones included."""
    package = ("stack", *path.relative_to(STACK).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                prefix = ".".join([*base, *([node.module] if node.module else [])])
                if prefix == "stack":
                    yield from (f"stack.{alias.name}" for alias in node.names)
                else:
                    yield prefix
            else:
                yield node.module


FILES = sorted(STACK.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    layer = owner(path)
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "stack":
            target = parts[1] if len(parts) > 1 else "__init__"
            assert target == layer or target in ALLOWED[layer], f"{layer} must not import {name}"
        if parts[0] == "cryptography":
            assert path == STACK / "core" / "crypto.py", "only core/crypto.py imports cryptography"
        if parts[0] in IO_MODULES - RANDOM_ALLOWED.get(layer, set()):
            assert layer in IO_ALLOWED, f"{layer} must not import {name}"


@pytest.mark.parametrize("layer", [d.name for d in sorted(STACK.iterdir()) if d.is_dir() and d.name in LAYERS])
def test_a_layer_imports_alone(layer):
    code = (
        f"import sys, crc32c; foreign = set(sys.modules); import stack.{layer}\n"  # crc32c itself brings socket
        "wanted = ('asyncio', 'socket', 'av', 'aiohttp')\n"
        "print(*sorted(m for m in sys.modules if m.startswith('stack.') or m in wanted and m not in foreign))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = run.stdout.split()
    allowed = {layer, *ALLOWED[layer]}
    foreign = [m for m in loaded if not m.startswith("stack.") or m.split(".")[1] not in allowed]
    assert not foreign


def test_no_assert_statement_in_the_stack():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: python -O removes it; raise instead"
