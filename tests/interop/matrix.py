"""What works with which partner: kept in build/interop.json as the tests run, and shown as a page and in the README.

python -m tests.interop.matrix --markdown
"""

import argparse
import fcntl
import json
import re
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "interop.json"
PAGE, README = ROOT / "docs" / "interop.md", ROOT / "README.md"
BEGIN, END = "<!-- matrix: of `python -m tests.interop.matrix --markdown` -->\n", "<!-- end of the matrix -->"
ROLES = {True: "we offer", False: "partner offers"}
DATA = {
    "test_messages_of_every_size": "0 B to 1 MiB",
    "test_all_six_reliability_modes": "reliability modes",
    "test_many_channels_from_both_sides": "256 channels",
    "test_closing_and_opening_again": "close, reopen",
    "test_a_channel_agreed_by_other_means": "negotiated",
    "test_we_offer_again": "we offer again",
    "test_the_partner_offers_again": "it offers again",
    "test_we_restart_ice": "ICE restart",
}
MEDIA = {
    "test_vp8_both_ways": "VP8",
    "test_h264_both_ways": "H.264",
    "test_opus_both_ways": "Opus",
    "test_audio_video_and_data_in_one_bundle": "all in one bundle",
    "test_the_partner_asks_for_a_key_frame": "asks for key frames",
    "test_the_partner_sends_a_key_frame_when_we_ask": "sends them when asked",
    "test_loss_is_repaired": "5 % loss repaired",
    "test_a_gap_is_followed_by_a_key_frame": "4 s gap",
}
JANUS = {
    "test_it_sends_back_media_and_data": "echo test: we offer VP8 or H.264, Opus and a data channel, and get them back",
    "test_it_passes_media_on_in_a_video_room": "video room: we publish; what is subscribed to Janus offers",
    "test_it_offers_a_data_channel_in_a_text_room": "text room: Janus offers a data channel",
}
MODULES = frozenset({"test_matrix_data.py", "test_matrix_again.py", "test_matrix_media.py", "test_janus.py"})

INTRODUCTION = """# Interoperability

What works with other stacks, each as offerer and as answerer, as the tests found it when they last ran ({date}).
`make test ARGS="-k matrix"` runs them, `python -m tests.interop.matrix --markdown` writes this page and the README's
table. A partner is a program of its own (`tests/interop/partners`) that sends back what comes on each channel.
**yes**: both when we offer and when the partner does; -: the partner does not have it. Media goes both ways and is
decoded where the partner decodes. node-datachannel and werift do not: they send back the RTP that they get and pass
requests for key frames on, and what comes back is compared with what was sent. ICE, TURN, DTLS and SCTP have tests of
their own against aioice, coturn, OpenSSL, GnuTLS and usrsctp.
"""


def record(item, report):
    """Keep the outcome of a test, if it is one of the matrix."""
    name = item.originalname
    if item.path.name not in MODULES:
        return
    if not _is_verdict(report) or not any(name in tests for tests in (DATA, MEDIA, JANUS)):
        return
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    partner, told = item.funcargs.get("partner"), dict(report.user_properties).get("version", "")
    key = "Janus" if name in JANUS else parameters["kind"].name
    variant = ROLES[parameters["we_offer"]] if "we_offer" in parameters else parameters.get("mime", "")
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a+") as file:  # tests of other processes write too
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        found = json.loads(file.read() or "{}")
        row = found.setdefault(key, {"version": "", "results": {}})
        row["version"] = partner.version if partner else told or row["version"]
        row["date"] = time.strftime("%Y-%m-%d", time.gmtime())
        row["results"].setdefault(name, {})[variant] = _outcome(report)
        file.truncate(0)
        file.write(json.dumps(found, indent=1, ensure_ascii=False))


def _is_verdict(report):
    return report.when == "call" or (report.when == "setup" and report.outcome != "passed")


def _outcome(report):
    return f"known: {report.wasxfail}" if hasattr(report, "wasxfail") else report.outcome


def cell(outcomes):
    """One cell of the table."""
    if not outcomes:
        return "-"
    works = {role: outcomes.get(role) == "passed" for role in ROLES.values()}
    if all(works.values()):
        return "yes"
    failed = [
        f"not when {role.replace('we offer', 'we do').replace('partner offers', 'it offers')}"
        for role, passed in works.items()
        if not passed
    ]
    return "no" if len(failed) == len(works) else failed[0]


def _all_passed(outcomes):
    return "yes" if outcomes and set(outcomes.values()) == {"passed"} else "no"


def table(found, columns):
    """A table in Markdown: partners down, what was tried across."""
    lines = ["| partner | " + " | ".join(columns.values()) + " |", "| --- " * (len(columns) + 1) + "|"]
    for partner, row in found.items():
        cells = [cell(row["results"].get(name)) for name in columns]
        if set(cells) != {"-"}:
            lines.append(f"| {partner} {row['version']} | " + " | ".join(cells) + " |")
    return lines


def markdown(found):
    """The page."""
    from .partner import KINDS

    janus, order = found.get("Janus"), [kind.name for kind in KINDS]
    found = {name: found[name] for name in order if name in found}
    date = max((row["date"] for row in found.values()), default="never")
    lines = [INTRODUCTION.format(date=date), "## Data channels", "", *table(found, DATA), ""]
    lines += ["## Video and audio", "", *table(found, MEDIA), ""]
    if janus:
        lines += [f"## Janus {janus['version']}", "", "| what | works |", "| --- | --- |"]
        lines += [f"| {what} | {_all_passed(janus['results'].get(name, {}))} |" for name, what in JANUS.items()]
        lines.append("")
    lines += [
        "## What partners do differently",
        "",
        "The tests leave this out.",
        "",
        "| partner | what |",
        "| --- | --- |",
    ]
    lines += [f"| {kind.name} | {text} |" for kind in KINDS for text in kind.quirks.values()]
    known = sorted(
        {
            (name, outcome.removeprefix("known: "))
            for name, row in found.items()
            for outcomes in row["results"].values()
            for outcome in outcomes.values()
            if outcome.startswith("known: ")
        }
    )
    if known:
        lines += ["", "## What does not work yet", "", "| partner | why |", "| --- | --- |"]
        lines += [f"| {name} | {why} |" for name, why in known]
    return "\n".join(lines) + "\n"


def rows(page, heading):
    """The table below a heading of the page: cells by column, by what is in the first one."""
    lines = page.partition(f"\n{heading}")[2].partition("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {first: dict(zip(cells[0][1:], others, strict=True)) for first, *others in cells[2:]}


def short(page):
    """The table of the README: what the page says, in a line for each partner."""
    lines = ["| partner | data, we offer | data, it offers | video | sound |", "| --- | --- | --- | --- | --- |"]
    media = rows(page, "## Video and audio")
    for partner, cells in rows(page, "## Data channels").items():
        offers = [not {"no", other} & set(cells.values()) for other in ("not when we do", "not when it offers")]
        found = media.get(partner, {})
        video = [codec for codec in ("VP8", "H.264") if found.get(codec) == "yes"]
        sound = [codec for codec in ("Opus",) if found.get(codec) == "yes"]
        lines.append(_short_row(partner, *offers, video, sound))
    janus = re.search(r"^## (Janus \S+)$", page, re.MULTILINE)
    if janus:
        echoes, _, text = (cells["works"] == "yes" for cells in rows(page, janus[0]).values())
        lines.append(_short_row(janus[1], echoes, text, ["VP8", "H.264"] * echoes, ["Opus"] * echoes))
    return "\n".join(lines) + "\n"


def _short_row(partner, we_offer, it_offers, video, sound):
    cells = ["yes" if works else "no" for works in (we_offer, it_offers)]
    return f"| {' | '.join([partner, *cells, ', '.join(video) or '-', ', '.join(sound) or '-'])} |"


def in_readme(readme):
    """The table that the README has: (what is before it, it, what is after it)."""
    before, begin, rest = readme.partition(BEGIN)
    table, end, after = rest.partition(END)
    return before + begin, table, end + after


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--markdown", action="store_true", help="write the page (else: print the results as they are kept)"
    )
    arguments = parser.parse_args()
    text = RESULTS.read_text() if RESULTS.exists() else "{}"
    if not arguments.markdown:
        print(text, end="")  # noqa: T201  a command
        return
    page = markdown(json.loads(text))
    before, _, after = in_readme(README.read_text())
    PAGE.write_text(page)
    README.write_text(before + short(page) + after)


if __name__ == "__main__":
    main()
