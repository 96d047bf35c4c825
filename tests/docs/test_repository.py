"""What the repository promises about itself."""

import json
import re
from pathlib import Path

import pytest

import stack

ROOT = Path(__file__).parents[2]
VECTORS = sorted((ROOT / "vectors").rglob("*.json"))
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_vectors_file_is_loaded_by_a_test_and_names_its_source(path):
    name = re.compile(rf"[\"'/]({re.escape(path.name)}|{re.escape(path.stem)})[\"']")
    assert any(name.search(text) for text in TESTS.values()), "no test names this file"
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    assert content["source"]


def test_there_are_vectors():
    assert VECTORS


def test_the_changelog_knows_this_version():
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert len(headings) == 1 or headings[1] == stack.__version__


def test_the_links_of_the_readme_lead_somewhere():
    links = LINK.findall((ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_goal_that_the_pages_name_is_in_the_makefile():
    goals = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {goal for page in pages for goal in re.findall(r"`?\bmake ([a-z]+)\b`", page.read_text())}
    assert named
    assert named <= goals
