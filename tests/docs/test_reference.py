"""The reference names everything that is public, with the signatures that the code has."""

import inspect
import re

import pytest

from stack import aio

from . import reference

PAGES = sorted(reference.PAGES.glob("*.md"))
TEXT = "\n".join(page.read_text() for page in PAGES)
HINT = "`python -m tests.docs.reference` brings docs/reference up to date; then read what it has changed"
SOURCES = [*(reference.PAGES.parents[1] / "stack" / "aio").glob("*.py")]
EVENTS = {name for path in SOURCES for name in re.findall(r"dispatch\(\"(\w+)\"", path.read_text())}


def test_every_public_name_has_its_place_once():
    described = [match[1] for match in reference.BLOCK.finditer(TEXT)]
    assert sorted(described) == sorted(aio.__all__), (
        "give each name a place in docs/reference: <!-- api: NAME --> and <!-- /api -->. " + HINT
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_generated_is_up_to_date(page):
    assert reference.written(page.read_text()) == page.read_text(), HINT


@pytest.mark.parametrize("name", aio.__all__)
def test_every_public_member_says_what_it_is(name):
    cls = getattr(aio, name)
    assert inspect.getdoc(cls)
    silent = [
        member
        for member in reference.names(cls)
        if not (value := inspect.getattr_static(cls, member)).__doc__
        and not (isinstance(value, staticmethod | classmethod) and value.__func__.__doc__)
        and not any(getattr(getattr(base, member, None), "__doc__", None) for base in cls.__mro__[1:])
    ]
    assert silent == []


def test_what_the_generator_knows_of_names_is_still_true():
    for table in (reference.OLD_STYLE, reference.OURS, reference.INTERNAL):
        for name, members in table.items():
            assert [member for member in members if not hasattr(getattr(aio, name), member)] == []


def test_every_event_is_described():
    assert len(EVENTS) > 12
    assert [name for name in sorted(EVENTS) if f"| `{name}` |" not in TEXT] == []
