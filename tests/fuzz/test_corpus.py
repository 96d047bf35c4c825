"""Every fuzz target on every test run: its corpus, and a few hundred inputs made by Hypothesis."""

import pytest
from hypothesis import HealthCheck, given, settings

import fuzz

TARGETS = fuzz.targets()
SEEDS = [pytest.param(name, path, id=f"{name}/{path.name}") for name in TARGETS for path in fuzz.seeds(name)]


@pytest.mark.parametrize(("name", "path"), SEEDS)
def test_the_corpus(name, path):
    assert TARGETS[name](path.read_bytes()) is None


@pytest.mark.parametrize("name", TARGETS)
def test_generated_inputs(name):
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(fuzz.inputs(name))
    def holds(data):
        assert TARGETS[name](data) is None

    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_seeds(name):
    assert fuzz.seeds(name), f"fuzz/corpus/{name} needs an input to begin with"


def test_every_corpus_has_a_target():
    assert {path.name for path in fuzz.CORPUS.glob("*")} <= set(TARGETS)


def test_an_input_that_breaks_is_found_and_made_small(tmp_path, monkeypatch, capfd):
    from fuzz import __main__ as runner

    def check(data):
        if b"\xff" in data:
            raise ValueError("no 0xff please")

    monkeypatch.setattr(runner, "FOUND", tmp_path)
    tried, bad = runner.search("nothing-like-it", check, seconds=30)
    assert tried > 0
    assert bad == b"\xff"
    assert runner.keep("nothing-like-it", bad).read_bytes() == b"\xff"
    assert "no 0xff please" in capfd.readouterr().err
