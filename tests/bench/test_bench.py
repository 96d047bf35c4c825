"""The harness itself, with benchmarks that measure nothing."""

import json

import pytest

from tests.bench import __main__ as bench
from tests.bench import awake, report
from tests.bench.registry import Benchmark, Metric, PeerMissingError, load_all

NAMES = {
    "connection-memory",
    "datachannel-bulk",
    "datachannel-bulk-lossy",
    "datachannel-bulk-lossy-native",
    "datachannel-bulk-native",
    "datachannel-cpu-per-gb",
    "datachannel-cpu-per-gb-native",
    "datachannel-memory",
    "datachannel-memory-growth",
    "datachannel-rtt-p99-loaded",
    "datachannel-rtt-p50",
    "datachannel-rtt-p99",
    "frame-to-socket-p50",
    "frame-to-socket-p99",
    "negotiate-cpu",
    "peer-idle-cpu",
    "peer-memory",
    "sdp-roundtrip",
    "setup",
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "build" / "bench.json")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    return tmp_path / "build" / "bench.json"


@pytest.fixture
def asked(monkeypatch):
    """Two benchmarks of which the first gives 1, 2, 3 ... in turn; the list of who was asked."""
    asked = []

    def counting(side, quick):
        asked.append(side)
        return {"speed": float(len(asked)), "delay": 1.0 / len(asked)}

    async def failing(side, quick):
        raise ConnectionError("no way")

    fast = Benchmark((Metric("speed", "1/s", "higher"), Metric("delay", "s", "lower")), "aiortc", counting)
    broken = Benchmark((Metric("broken", "s", "lower"),), "aiortc", failing)
    monkeypatch.setattr(bench, "load_all", lambda: [fast, broken])
    return asked


def test_each_file_registers_its_benchmarks_once():
    names = [metric.name for found in load_all() for metric in found.metrics]
    assert set(names) >= NAMES
    assert len(names) == len(set(names))
    assert {metric.better for found in load_all() for metric in found.metrics} <= {"higher", "lower"}


def test_sides_alternate_and_the_median_counts(asked, results):
    assert bench.main(["--only", "speed,delay"]) == 0
    assert asked == ["ours", "aiortc"] * 3
    written = json.loads(results.read_text())
    assert set(written) == {"machine", "results"}
    speed, delay = written["results"]
    assert speed == {
        "name": "speed",
        "unit": "1/s",
        "better": "higher",
        "ours": 3.0,
        "peer": "aiortc",
        "theirs": 4.0,
        "ratio": 0.75,
    }
    assert (delay["ours"], delay["theirs"], delay["better"]) == (1 / 3, 1 / 4, "lower")
    assert {"cpu", "cores", "python", "kernel", "date", "peers"} <= set(written["machine"])


def test_without_a_peer_only_ours_is_measured(monkeypatch, results, capsys):
    asked = []

    def alone(side, quick):
        asked.append(side)
        return {"gap": 0.25}

    monkeypatch.setattr(bench, "load_all", lambda: [Benchmark((Metric("gap", "s", "lower"),), None, alone)])
    assert bench.main([]) == 0
    assert asked == ["ours"] * 3
    (row,) = json.loads(results.read_text())["results"]
    assert (row["ours"], row["peer"], row["theirs"], row["ratio"]) == (0.25, None, None, None)
    capsys.readouterr()
    assert bench.main(["--markdown"]) == 0
    assert "| gap | s | lower | 0.25 | - | - |" in capsys.readouterr().out


def test_only_the_metrics_asked_for(asked, results):
    assert bench.main(["--only", "delay", "--runs", "1"]) == 0
    assert [row["name"] for row in json.loads(results.read_text())["results"]] == ["delay"]


def test_one_that_fails_does_not_lose_the_others(asked, results, capsys):
    assert bench.main(["--runs", "1"]) == 1
    assert [row["name"] for row in json.loads(results.read_text())["results"]] == ["speed", "delay"]
    assert "no way" in capsys.readouterr().err


def test_an_unknown_name_is_refused(asked, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "sped"])
    assert "no such result: sped" in capsys.readouterr().err


def test_markdown(asked, results, capsys):
    bench.main(["--only", "speed", "--runs", "1"])
    capsys.readouterr()
    assert bench.main(["--markdown"]) == 0
    assert "| speed | 1/s | higher | 1.00 | 2.00 (aiortc) | 0.50 |" in capsys.readouterr().out


def test_a_peer_that_is_missing_is_named_and_ours_is_measured(monkeypatch, results, capsys):
    asked = []

    def halved(side, quick):
        asked.append(side)
        if side == "other":
            raise PeerMissingError("npm not found (Debian: apt-get install npm)")
        return {"speed": 2.0}

    monkeypatch.setattr(bench, "load_all", lambda: [Benchmark((Metric("speed", "1/s", "higher"),), "other", halved)])
    assert bench.main([]) == 0
    assert asked == ["ours", "other", "ours", "ours"]
    assert "speed: no other here: npm not found" in capsys.readouterr().err
    (row,) = json.loads(results.read_text())["results"]
    assert (row["ours"], row["peer"], row["theirs"], row["ratio"]) == (2.0, "other", None, None)
    bench.main(["--markdown"])
    assert "| speed | 1/s | higher | 2.00 | - (other) | - |" in capsys.readouterr().out


def test_sdp_is_measured_with_descriptions_that_differ():
    from tests.bench import bench_sdp

    texts = list(bench_sdp.offers())
    assert len(set(texts)) == bench_sdp.VARIANTS
    lines = [set(text.split("\r\n")) for text in texts[:2]]
    assert {line.partition(":")[0][:6] for line in lines[0] - lines[1]} >= {
        "a=ice-",
        "a=fing",
        "a=cand",
        "a=ssrc",
        "m=vide",
    }
    for side in ("ours", "aiortc"):
        assert bench_sdp.roundtrip(side, True)["sdp-roundtrip"] > 0


def test_processors_are_kept_awake_for_as_long_as_it_takes(tmp_path, monkeypatch):
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    monkeypatch.setattr(awake, "DEVICE", str(device))
    with awake.awake() as kept:
        assert kept
        assert device.read_bytes() == bytes(4)
    monkeypatch.setattr(awake, "DEVICE", str(tmp_path / "none" / "there"))
    with awake.awake() as kept:
        assert not kept
