"""A run that stands still says so, and goes on or ends."""

import sys

import pytest

from . import watched

ENDS, STAYS = "pass", "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    monkeypatch.setattr(watched, "JOURNAL", path)
    monkeypatch.setattr(watched, "come_first", lambda: None)
    return path


def run(*command, **limits):
    return watched.main([sys.executable, "-c", *command], look=0.05, **limits)


@pytest.mark.parametrize(("program", "code"), [(ENDS, 0), ("raise SystemExit(3)", 3)])
def test_what_ends_is_left_alone(program, code, capfd):
    assert run(program) == code
    assert capfd.readouterr().out == ""


def test_what_takes_too_long_is_ended(capfd):
    assert run(STAYS, limit=0.2) == 124
    assert "not done after 0 s" in capfd.readouterr().out


def test_what_a_test_began_is_killed_when_nothing_happens(journal, capfd):
    # Three processes as pytest, its worker, and a program that a test waits for.
    wait = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAYS!r}])"
    worker = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {wait!r}]).returncode)"
    write = f"open({str(journal)!r}, 'w').write('00:00:01 begins a\\n00:00:01 begins b\\n00:00:02 ended a\\n')"
    assert run(f"{write}\n{worker}", "-m pytest", still=0.5, limit=20.0) == 0
    told = capfd.readouterr().out
    assert "nothing has happened for 0 s\n00:00:01 begins b\nloadavg: " in told
    assert "threads do not sleep:" in told


def test_the_second_time_its_own_processes_are(journal, capfd):
    worker = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {STAYS!r}]).returncode < 0)"
    write = f"open({str(journal)!r}, 'w').write('00:00:01 begins a\\n')"
    assert run(f"{write}\n{worker}", "-m pytest", still=0.3, limit=20.0) == 1
    assert capfd.readouterr().out.count("nothing has happened") == 2
