"""`webrtc sdp` as people run it: files, standard input, JSON, colours, exit codes."""

import asyncio
import json
import sys

import pytest

from stack.cli.sdp import MAX_FILE
from stack.sdp import MAX_SIZE
from stack.sdp.lint import RULES
from tests.sdp.support import DATA, FINGERPRINT, HEADER, load, text_of

from .support import PLAIN, ROOT, begin, in_process, on_a_terminal, webrtc

GOOD = text_of(
    *HEADER,
    "a=group:BUNDLE 0",
    DATA,
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:" + "s3cret" * 4,
    "a=fingerprint:" + FINGERPRINT,
    "a=setup:actpass",
    "a=mid:0",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
)
BAD = GOOD.replace("a=setup:actpass", "a=setup:leader[bold]")
CAPTURES = {p.id: p.values[0] for p in [*load("browsers.json"), *load("stacks.json")]}


@pytest.fixture
def save(tmp_path):
    def save(text, name="offer.sdp"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return save


def objects(code, out):
    lines = [json.loads(line) for line in out.splitlines()]
    assert all(line["time"] > 1e9 for line in lines)
    return code, lines


# -- explain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAPTURES)
def test_explain_what_implementations_write(name, save):
    code, out, err = in_process("sdp", "explain", save(CAPTURES[name]))
    assert (code, err) == (0, "")
    assert out.startswith("session\n  sections: ")
    assert "data channels with messages" in out


def test_explain_in_words(save):
    code, out, _ = in_process("sdp", "explain", save(GOOD))
    assert code == 0
    assert "section 1: application, mid 0\n  data channels with messages up to 262144 bytes, SCTP port 5000\n" in out
    assert "s3cret" not in out


def test_explain_names_wrong_lines_and_goes_on(save):
    path = save(BAD)
    code, out, _ = in_process("sdp", "explain", path)
    assert code == 1
    assert "data channels with messages up to 262144 bytes" in out
    assert f"{path}:11: role 'leader[bold]'\n    a=setup:leader[bold]\n" in out


def test_explain_for_scripts(save):
    code, lines = objects(*in_process("sdp", "explain", save(BAD), "--json")[:2])
    assert code == 1
    assert [line["event"] for line in lines] == ["passage", "passage", "error"]
    assert lines[1]["title"] == "section 1: application, mid 0"
    assert "ICE user abcd" in lines[1]["points"]
    assert (lines[2]["line"], lines[2]["reason"], lines[2]["content"]) == (11, "bad-setup", "a=setup:leader[bold]")


async def test_explain_reads_standard_input():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack.cli", "sdp", "explain", "-"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=PLAIN,
    )
    out, _ = await asyncio.wait_for(process.communicate(CAPTURES["firefox-offer-avd"].encode()), 60)
    assert process.returncode == 0
    assert "written by Firefox" in out.decode()


async def test_colours_on_a_terminal_only(save):
    path = save(GOOD)
    shown = await on_a_terminal("sdp", "explain", path)
    assert b"\x1b[1msession\x1b[0m" in shown
    _, out, _ = await webrtc("sdp", "explain", path)
    assert "\x1b" not in out


# -- lint --------------------------------------------------------------------------------------------------------------


def test_lint_of_a_good_one(save):
    code, out, err = in_process("sdp", "lint", save(GOOD), "--type", "offer")
    assert (code, out, err) == (0, "0 errors, 0 warnings, 0 info\n", "")


def test_lint_names_line_rule_and_specification(save):
    path = save(GOOD.replace("a=sctp-port:5000\r\n", ""))
    code, out, _ = in_process("sdp", "lint", path)
    assert code == 1
    assert out.splitlines() == [
        f"{path}:6: error sctp-port-missing: no a=sctp-port (RFC 8841 section 5.1)",
        "    m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "1 error, 0 warnings, 0 info",
    ]


def test_lint_shows_all_wrong_lines_as_they_are(save):
    path = save(BAD.replace("a=mid:0", "a=mid:"))
    code, out, _ = in_process("sdp", "lint", path)
    assert code == 1
    assert f"{path}:11: error syntax-bad-setup: role 'leader[bold]' (RFC 4145 section 4)" in out
    assert f"{path}:12: error syntax-bad-mid: '' (RFC 5888 section 4)" in out


def test_lint_for_scripts(save):
    path = save(BAD)
    code, lines = objects(*in_process("sdp", "lint", path, "--json")[:2])
    assert code == 1
    finding = next(line for line in lines if line["event"] == "finding")
    assert {key: finding[key] for key in ("file", "line", "rule", "severity", "source", "content")} == {
        "file": str(path),
        "line": 11,
        "rule": "syntax-bad-setup",
        "severity": "error",
        "source": "RFC 4145 section 4",
        "content": "a=setup:leader[bold]",
    }
    assert lines[-1]["event"] == "result"
    assert lines[-1]["error"] == 1


def test_lint_warnings_alone_are_no_failure_unless_strict(save):
    path = save(GOOD.replace("\r\n", "\n"))
    code, out, _ = in_process("sdp", "lint", path)
    assert code == 0
    assert "warning line-ends" in out
    assert in_process("sdp", "lint", path, "--strict")[0] == 1
    code, out, _ = in_process("sdp", "lint", path, "--strict", "--ignore", "line-ends")
    assert (code, out) == (0, "0 errors, 0 warnings, 0 info\n")


def test_lint_lists_its_rules():
    code, out, _ = in_process("sdp", "lint", "--rules")
    assert code == 0
    assert len(out.splitlines()) == len(RULES)
    code, lines = objects(*in_process("sdp", "lint", "--rules", "--json")[:2])
    assert {line["id"] for line in lines} == set(RULES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name a FILE, or - for standard input"),
        (["x", "--ignore", "nonsense"], "no such rule: nonsense"),
        (["x", "--type", "question"], "'question' is not one of"),
    ],
)
def test_lint_wrong_usage(options, message):
    code, out, err = in_process("sdp", "lint", *options)
    assert (code, out) == (2, "")
    assert message in err


# -- JSON and files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"sdp": d}, lambda d: {"x": 1, **d}])
def test_json_says_what_it_is(wrap, save):
    text = json.dumps(wrap({"type": "answer", "sdp": GOOD}))
    code, out, _ = in_process("sdp", "lint", save(text, "answer.json"))
    assert code == 1
    assert "setup-role: an answer must choose" in out
    assert in_process("sdp", "lint", save(text), "--type", "offer")[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "begins like JSON, but is none"),
        ('{"a": 1}', 'is JSON without an "sdp"'),
        ('{"sdp": {"type": "offer"}}', 'is JSON without an "sdp"'),
        ('{"a":' * 100_000, "begins like JSON, but is none"),
        ("x" * (MAX_SIZE + 1), "characters, 262144 allowed"),
        ("x" * (MAX_FILE + 1), "is larger than any description"),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("command", ["explain", "lint", "diff"])
def test_what_is_no_description(command, text, message, save):
    path = save(text)
    code, _, err = in_process("sdp", command, path, *([path] if command == "diff" else []))
    assert code == 1
    assert message in err
    assert str(path) in err


def test_a_file_that_is_not_there(tmp_path):
    code, _, err = in_process("sdp", "explain", tmp_path / "none.sdp")
    assert code == 1
    assert "none.sdp cannot be read: No such file or directory" in err


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.sdp"
    path.write_bytes(b"\xff\xfe\x00" * 100)
    code, out, _ = in_process("sdp", "lint", path)
    assert code == 1
    assert "syntax-bad-character" in out


# -- diff --------------------------------------------------------------------------------------------------------------


def test_diff_of_the_same_in_another_order(save):
    lines = GOOD.split("\r\n")
    other = "\r\n".join([*lines[:7], *reversed(lines[7:-1]), ""])
    code, out, _ = in_process("sdp", "diff", save(GOOD), save(other, "other.sdp"))
    assert (code, out) == (0, "no difference in meaning\n")


def test_diff_in_words(save):
    other = GOOD.replace("actpass", "active").replace("s3cret" * 4, "p" * 22).replace("a=max", "a=x\r\na=max")
    code, out, _ = in_process("sdp", "diff", save(GOOD), save(other, "other.sdp"))
    assert code == 1
    assert out.splitlines() == [
        "application, mid 0",
        "  ~ a=ice-pwd  (not shown) -> (not shown)",
        "  ~ a=setup  actpass -> active",
        "  + a=x  x",
    ]


def test_diff_for_scripts(save):
    code, lines = objects(
        *in_process("sdp", "diff", save(GOOD), save(GOOD.replace("actpass", "active"), "b"), "--json")[:2]
    )
    assert code == 1
    assert {key: lines[0][key] for key in ("where", "change", "what", "old", "new")} == {
        "where": "application, mid 0",
        "change": "changed",
        "what": "a=setup",
        "old": "actpass",
        "new": "active",
    }
    assert lines[1]["differences"] == 1


def test_diff_refuses_what_is_wrong(save):
    path = save(BAD)
    code, _, err = in_process("sdp", "diff", path, path)
    assert code == 1
    assert f"{path}:11: role 'leader[bold]'; webrtc sdp lint says more" in err


def test_diff_reads_standard_input_once():
    code, _, err = in_process("sdp", "diff", "-", "-")
    assert code == 2
    assert "once only" in err


@pytest.mark.parametrize("command", ["explain", "lint", "diff"])
def test_help_has_examples(command):
    code, out, _ = in_process("sdp", command, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"webrtc sdp {command}" in " ".join(out.split())


async def test_a_reader_that_has_had_enough(save):
    process = await begin("sdp", "explain", save(CAPTURES["chromium-offer-avd"]))
    assert (await asyncio.wait_for(process.stdout.readline(), 30)).startswith(b"session")
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
