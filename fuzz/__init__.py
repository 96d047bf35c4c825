"""One `check(data)` per parser and per machine, and the two ways to run them all: `python -m fuzz` and pytest.

A module of this package that defines `TARGETS = {"<layer>-<what>": check}` takes part. A check takes any bytes and
raises when its invariant, stated on top of it, does not hold. Inputs worth keeping are in corpus/<target>/.
"""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

Check = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT = 4096  # bytes: more than any datagram that gets through a network, so that length limits are passed


def targets() -> dict[str, Check]:
    """Every target of every module in this folder, by name."""
    found: dict[str, Check] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module.name != "__main__":
            for name, check in getattr(importlib.import_module(f"fuzz.{module.name}"), "TARGETS", {}).items():
                if name in found:
                    raise ValueError(f"two targets are called {name}")
                found[name] = check
    return found


def seeds(target: str) -> list[Path]:
    """The files of a target's corpus."""
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


@st.composite
def _mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """A seed with a few things wrong: cut, flipped, overwritten by extremes, grown, or spliced with another."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case 2:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 3:
                extreme = draw(st.sampled_from([b"\x00", b"\xff", b"\x7f", b"\x80"]))
                data[at : at + 4] = extreme * draw(st.sampled_from([1, 2, 4]))
            case 4:
                data[at:at] = draw(st.binary(min_size=1, max_size=32))
            case _:
                other = draw(st.sampled_from(corpus))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data[:MAX_INPUT])


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """What to feed a target: bytes out of nowhere, and its corpus with things wrong."""
    corpus = [path.read_bytes() for path in seeds(target)]
    anything = st.binary(max_size=MAX_INPUT)
    return st.one_of(_mutated(corpus), anything) if corpus else anything
