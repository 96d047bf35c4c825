"""`webrtc log show`: timelines of event logs."""

import asyncio
import json
import sys

import pytest

from stack.cli.log import MAX_KINDS, MAX_LINE, MAX_VALUE, Entry, read_log

from .support import PLAIN, ROOT, in_process

LOG = [
    {"time": 100.0, "layer": "ice", "event": "gathering-started"},
    {"time": 100.0123, "layer": "ice", "event": "candidate-gathered", "candidate": "host 192.0.2.1:5000"},
    {"time": 100.5, "layer": "dtls", "event": "handshake-started", "role": "client", "version": [1, 2]},
    {"time": 103.0, "layer": "dtls", "event": "handshake-failed", "connection": "b", "reason": "bad-finished"},
]


@pytest.fixture
def save(tmp_path):
    def save(*entries):
        path = tmp_path / "call.jsonl"
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")
        return path

    return save


def test_a_timeline(save):
    code, out, err = in_process("log", "show", save(*LOG))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "         0.0  ice         gathering-started",
        "        12.3  ice         candidate-gathered  candidate=host 192.0.2.1:5000",
        "       500.0  dtls        handshake-started  role=client version=[1, 2]",
        "              ... nothing for 2.5 s",
        "      3000.0  b dtls        handshake-failed  reason=bad-finished",
    ]


@pytest.mark.parametrize(
    ("options", "events"),
    [
        (["--layer", "ice"], ["gathering-started", "candidate-gathered"]),
        (["--layer", "ice", "--layer", "dtls", "--to", 0.2], ["gathering-started", "candidate-gathered"]),
        (["--event", "*-started"], ["gathering-started", "handshake-started"]),
        (["--connection", "b"], ["handshake-failed"]),
        (["--from", 0.4, "--to", 1], ["handshake-started"]),
        (["--layer", "none"], []),
    ],
)
def test_what_is_wanted(options, events, save):
    code, out, _ = in_process("log", "show", save(*LOG), *options, "--json")
    assert code == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == events


def test_for_scripts(save):
    _, out, _ = in_process("log", "show", save(*LOG), "--json")
    entry = json.loads(out.splitlines()[3])
    assert {key: entry[key] for key in ("event", "name", "layer", "seconds", "connection", "at", "fields")} == {
        "event": "entry",
        "name": "handshake-failed",
        "layer": "dtls",
        "seconds": 3.0,
        "connection": "b",
        "at": 103.0,
        "fields": {"reason": "bad-finished"},
    }


def test_a_summary(save):
    code, out, _ = in_process("log", "show", save(*LOG, *LOG), "--summary")
    assert code == 0
    assert out.splitlines()[0].split() == ["count", "first", "ms", "last", "ms", "layer", "event"]
    assert out.splitlines()[1].split() == ["2", "500.0", "500.0", "dtls", "handshake-started"]
    assert len(out.splitlines()) == 5
    _, out, _ = in_process("log", "show", save(*LOG), "--summary", "--json")
    assert [json.loads(line)["count"] for line in out.splitlines()] == [1, 1, 1, 1]


def test_a_summary_is_bounded(save):
    entries = [{"time": 0, "layer": "x", "event": str(number)} for number in range(MAX_KINDS + 5)]
    _, out, _ = in_process("log", "show", save(*entries), "--summary", "--json")
    counts = [json.loads(line) for line in out.splitlines()]
    assert len(counts) == MAX_KINDS + 1
    assert next(line for line in counts if line["name"] == "others")["count"] == 5


def test_what_commands_print_is_a_log_too(save):
    code, out, _ = in_process("log", "show", save({"event": "listening", "time": 1.5, "port": 3478}))
    assert (code, out) == (0, "         0.0  -           listening  port=3478\n")


BAD = [
    "nonsense",
    "[]",
    '{"time": 1}',
    '{"time": "1", "event": "x"}',
    '{"time": true, "event": "x"}',
    '{"time": NaN, "event": "x"}',
    '{"time": 1e999, "event": "x"}',
    '{"time": 1, "event": 2}',
    '{"a":' * 100_000,
    '{"time": 1, "event": "' + "x" * MAX_LINE + '"}',
]


def test_lines_that_are_no_events_are_counted(save):
    code, out, _ = in_process("log", "show", save(LOG[0], "", *BAD, LOG[1]))
    assert code == 0
    assert out.splitlines()[1].endswith("candidate=host 192.0.2.1:5000")
    assert out.splitlines()[2] == f"{len(BAD)} lines are no events, the first one is line 3"


def test_line_numbers_after_a_long_line():
    bad = []
    lines = [json.dumps(LOG[0]), *BAD, json.dumps(LOG[1])]
    assert [entry.event for entry in read_log(lines, bad)] == ["gathering-started", "candidate-gathered"]
    assert bad == list(range(2, len(BAD) + 2))


def test_an_entry():
    (entry,) = read_log([json.dumps(LOG[3])], [])
    assert entry == Entry(103.0, "dtls", "handshake-failed", "b", {"reason": "bad-finished"})


def test_values_do_nothing_to_the_terminal(save):
    entry = {"time": 0, "layer": "[red]", "event": "\x1b[2J", "x": "[/]\n" + "y" * 1000, "\x07": {"a": "\u202e"}}
    code, out, _ = in_process("log", "show", save(entry))
    assert code == 0
    (line,) = out.splitlines()
    assert line.isprintable()
    assert "[red]" in line
    assert len(line) < 3 * MAX_VALUE


@pytest.mark.parametrize("content", [[], BAD[:1]])
def test_nothing_in_it(content, save):
    path = save(*content)
    code, _, err = in_process("log", "show", path)
    assert code == 1
    assert f"there is no event in {path}" in err


def test_no_file(tmp_path):
    code, _, err = in_process("log", "show", tmp_path / "none")
    assert code == 1
    assert "cannot be read: No such file or directory" in err


async def test_standard_input_as_it_comes():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "stack.cli", "log", "show", "-"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=PLAIN,
    )
    for entry in LOG[:2]:  # the second one while the pipe is still open
        process.stdin.write((json.dumps(entry) + "\n").encode())
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert entry["event"] in line.decode()
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 0


def test_help_has_examples():
    code, out, _ = in_process("log", "show", "--help")
    assert code == 0
    assert "Examples:" in out
