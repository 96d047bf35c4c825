"""Every ```python block of the documentation runs as it stands, in a process of its own.

A line `<!-- no-run -->` above a block excepts it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"(?P<no_run>^<!-- no-run -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            if not match["no_run"]:
                line = text[: match.start("code")].count("\n") + 1
                yield pytest.param(page, line, match["code"], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize(("page", "line", "code"), list(blocks()))
def test_the_example_runs(page, line, code, tmp_path):
    script = tmp_path / "example.py"
    script.write_text("\n" * (line - 1) + code)  # so that a traceback names the page's line
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::SyntaxWarning", "-W", "error::RuntimeWarning", str(script)]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"{page.name}, line {line}:\n{ran.stdout}{ran.stderr}"
    assert "Traceback" not in ran.stderr, ran.stderr  # an exception lost in a task


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_fences_say_nothing_but_the_language(page):
    """The site's Markdown takes a fence with more on its line for text."""
    assert [match[0] for match in re.finditer(r"^```\w+[ \t].*$", page.read_text(), re.MULTILINE)] == []


def test_blocks_are_found():
    assert len(list(blocks())) > 3
