"""The README shows the interoperability matrix as docs/interop.md has it."""

from tests.interop.matrix import DATA, JANUS, MEDIA, PAGE, README, in_readme, markdown, short

BOTH = {"we offer": "passed", "partner offers": "passed"}
OURS = {"we offer": "passed", "partner offers": "failed"}


def test_the_readme_has_the_table_of_the_page():
    _, table, _ = in_readme(README.read_text())
    assert table == short(PAGE.read_text())
    assert table.count("\n") > 10


def entry(**results):
    return {"version": "1.0", "date": "2026-01-01", "results": results}


def test_the_short_table_says_what_failed():
    found = {
        "Chromium": entry(**dict.fromkeys([*DATA, *MEDIA], BOTH)),
        "werift": entry(**dict.fromkeys(DATA, BOTH) | {"test_all_six_reliability_modes": OURS}),
        "Pion": entry(**dict.fromkeys(DATA, BOTH) | {"test_vp8_both_ways": BOTH, "test_opus_both_ways": OURS}),
        "Janus": entry(**dict.fromkeys(JANUS, BOTH)),
    }
    assert short(markdown(found)).splitlines()[2:] == [
        "| Chromium 1.0 | yes | yes | VP8, H.264 | Opus |",
        "| Pion 1.0 | yes | yes | VP8 | - |",
        "| werift 1.0 | yes | no | - | - |",
        "| Janus 1.0 | yes | yes | VP8, H.264 | Opus |",
    ]


def test_the_table_is_put_between_what_is_around_it():
    before, table, after = in_readme(README.read_text())
    assert before + table + after == README.read_text()
    assert table not in before + after
