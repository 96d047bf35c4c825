"""The list of benchmarks. A new one is a file `bench_<what>.py` in this folder with a function under `@benchmark`."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import tests.bench

Measure = Callable[[str, bool], Awaitable[dict[str, float]] | dict[str, float]]


class PeerMissingError(Exception):
    """The peer of a benchmark cannot be had on this machine; the text says what is missing and how to get it."""


@dataclass(frozen=True)
class Metric:
    """One number that a benchmark yields.

    better: `higher` or `lower`.
    """

    name: str
    unit: str
    better: str


@dataclass(frozen=True)
class Benchmark:
    """A function that measures `ours` or the peer once, and returns a value for each of its metrics.

    measure: (`ours` or the peer's name, quick) -> {metric name: value}; it may be a coroutine function.
    peer: what we compare with, and the name of the package whose version is reported; None if there is nobody to
        compare with, and only `ours` is measured.
    """

    metrics: tuple[Metric, ...]
    peer: str | None
    measure: Measure


BENCHMARKS: list[Benchmark] = []


def benchmark(*metrics: Metric, peer: str | None = None) -> Callable[[Measure], Measure]:
    """Register the decorated function."""

    def register(measure: Measure) -> Measure:
        BENCHMARKS.append(Benchmark(metrics, peer, measure))
        return measure

    return register


def load_all() -> list[Benchmark]:
    """Import every `bench_*` module of this folder and return what they registered, by file name."""
    for module in sorted(pkgutil.iter_modules(tests.bench.__path__), key=lambda m: m.name):
        if module.name.startswith("bench_"):
            importlib.import_module(f"tests.bench.{module.name}")
    return BENCHMARKS
