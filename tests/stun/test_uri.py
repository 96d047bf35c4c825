import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import ParseError
from stack.stun import Uri, parse_uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        # RFC 7064 appendix B
        ("stun:example.org", Uri("example.org", 3478, secure=False)),
        ("stuns:example.org", Uri("example.org", 5349, secure=True)),
        ("stun:example.org:8000", Uri("example.org", 8000, secure=False)),
        ("STUNS:[2001:DB8::1]:1", Uri("2001:db8::1", 1, secure=True)),
        ("stun:192.0.2.1:", Uri("192.0.2.1", 3478, secure=False)),
    ],
)
def test_uris(text, uri):
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        *("", "stun:", "stun://example.org", "turn:example.org", "stun:a:0", "stun:a:65536", "stun:a:123456"),
        *("stun:a?transport=udp", "stun:[::1", "stun:a b", "stun:a\n", "stun:user@example.org"),
    ],
)
def test_uris_that_are_none(text):
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert caught.value.reason == "not-a-stun-uri"


@given(st.text(max_size=40))
def test_uris_raise_nothing_but_parse_errors(text):
    for candidate in (text, "stun:" + text):
        try:
            uri = parse_uri(candidate)
        except ParseError:
            continue
        assert parse_uri(str(uri)) == uri
