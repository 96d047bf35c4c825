"""Every named limit, hit from both sides."""

from stack.sdp import MAX_CANDIDATES, MAX_LINE_LENGTH, MAX_LINES, MAX_MEDIA, MAX_SIZE
from stack.sdp.grammar import (
    MAX_FEEDBACK,
    MAX_ICE_OPTIONS,
    MAX_IPV6_LENGTH,
    MAX_REMEMBERED,
    MAX_REMEMBERED_LENGTH,
    is_host,
    remembered,
)

from .support import DATA, HEADER, VIDEO, media, refused, session


def test_size():
    line = "a=x:" + "y" * (MAX_LINE_LENGTH - 6)  # with its line end, a whole part of MAX_SIZE
    count = MAX_SIZE // MAX_LINE_LENGTH
    header = sum(len(text) + 2 for text in HEADER)
    assert len(session(*[line] * (count - 1), line[:-header]).attributes) == count
    assert refused(*[line] * (count - 1), line[:-header] + "y") == (
        "too-large",
        f"{MAX_SIZE + 1} characters, {MAX_SIZE} allowed",
    )


def test_lines():
    assert len(session(*["a=x"] * (MAX_LINES - len(HEADER))).attributes) == MAX_LINES - len(HEADER)
    assert refused(*["a=x"] * (MAX_LINES - len(HEADER) + 1))[0] == "too-many-lines"


def test_line_length():
    assert len(session("a=x:" + "y" * (MAX_LINE_LENGTH - 4)).attributes) == 1
    reason, detail = refused("a=x", "a=x:" + "y" * (MAX_LINE_LENGTH - 3))
    assert reason == "line-too-long"
    assert detail.startswith("line 6: ")


def test_media():
    assert len(session(*[DATA] * MAX_MEDIA).media) == MAX_MEDIA
    reason, detail = refused(*[DATA] * (MAX_MEDIA + 1))
    assert reason == "too-many-media"
    assert detail.startswith(f"line {len(HEADER) + MAX_MEDIA + 1}: ")


def test_candidates():
    lines = [f"a=candidate:{n} 1 udp 1 192.0.2.1 {n + 1} typ host" for n in range(MAX_CANDIDATES + 1)]
    assert len(media(*lines[:-1]).candidates) == MAX_CANDIDATES
    assert refused(VIDEO, *lines)[0] == "too-many-candidates"
    assert refused(VIDEO, DATA, *lines)[0] == "too-many-candidates"


def test_feedback():
    lines = [f"a=rtcp-fb:96 x{n}" for n in range(MAX_FEEDBACK + 1)]
    assert len(media("a=rtpmap:96 VP8/90000", *lines[:-1], lines[0]).codec(96).feedback) == MAX_FEEDBACK
    assert refused(VIDEO, *lines)[0] == "too-many-feedback"


def test_ice_options():
    options = [f"o{n}" for n in range(MAX_ICE_OPTIONS + 1)]
    assert len(media("a=ice-options:" + " ".join(options[:-1])).ice_options) == MAX_ICE_OPTIONS
    assert refused(VIDEO, "a=ice-options:" + " ".join(options))[0] == "too-many-ice-options"


def test_ipv6_length():
    longest = "0000:0000:0000:0000:0000:ffff:192.168.100.100"
    assert len(longest) == MAX_IPV6_LENGTH
    assert is_host(longest)
    assert not is_host("0" + longest)


def test_what_is_remembered():
    asked = []
    parse = remembered(lambda text: asked.append(text) or len(text))
    short, long = "x" * MAX_REMEMBERED_LENGTH, "x" * (MAX_REMEMBERED_LENGTH + 1)
    assert [parse(short), parse(short), parse(long), parse(long)] == [len(short), len(short), len(long), len(long)]
    assert asked == [short, long, long]
    for number in range(MAX_REMEMBERED):  # one too many: it begins anew
        parse(str(number))
    asked.clear()
    assert [parse(short), parse(str(MAX_REMEMBERED - 1))] == [len(short), 3]
    assert asked == [short]
