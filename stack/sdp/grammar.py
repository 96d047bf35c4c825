"""Limits, and the terminals of the grammar that several attributes share.

Every check here matches whole strings with ASCII classes: `str.isdigit` would let other scripts' digits in.
"""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Final, TypeVar

from ..core import ParseError

MAX_SIZE: Final = 262_144
"""Characters of one description. A browser's offer with 100 sections of video is about 200 000."""

MAX_LINES: Final = 8192
"""Lines of one description: `MAX_SIZE` at 32 characters a line, the average of browsers' offers."""

MAX_LINE_LENGTH: Final = 16_384
"""Characters of one line. The longest ones list a stream id (37 characters) per participant of a conference."""

MAX_MEDIA: Final = 256
"""Sections of one description: a conference of a hundred, audio and video each, with room for data."""

MAX_CANDIDATES: Final = 256
"""Candidates of one section: 30 interfaces with two address families, UDP and TCP, and two components."""

MAX_FEEDBACK: Final = 32
"""Different `a=rtcp-fb` values of one section: browsers use eight, and a wildcard multiplies them by the formats."""

MAX_ICE_OPTIONS: Final = 32
"""ICE options of one level: fewer than ten are defined."""

MAX_REMEMBERED: Final = 512
"""Values of one kind that are remembered: the formats of three browsers are about 300 different lines."""

MAX_REMEMBERED_LENGTH: Final = 256
"""Characters of a value that is remembered: longer ones do not come again, and memory stays under 256 KB a kind."""

Value = TypeVar("Value")

TOKEN_GRAMMAR: Final = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"  # noqa: S105  a token of a grammar
"""RFC 8866 section 9, `token`, as a regular expression."""

is_token = re.compile(TOKEN_GRAMMAR).fullmatch
is_protocol = re.compile(rf"{TOKEN_GRAMMAR}(?:/{TOKEN_GRAMMAR})*").fullmatch
"""RFC 8866 section 9, `proto`."""

is_digits = re.compile(r"[0-9]{1,20}").fullmatch
"""Twenty digits hold any 64-bit number; `int` of text without a bound is a way to burn time."""

is_plain_integer = re.compile(r"0|[1-9][0-9]{0,19}").fullmatch
"""An integer whose leading zeros are forbidden, as RFC 8841 does."""

_IPV4_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_is_ipv4 = re.compile(rf"{_IPV4_BYTE}(?:\.{_IPV4_BYTE}){{3}}").fullmatch
_is_domain_name = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]*[A-Za-z-][A-Za-z0-9-]*\.?").fullmatch

MAX_IPV6_LENGTH: Final = 45
"""Eight groups, the last two as IPv4 address."""

MAX_UINT32: Final = 0xFFFFFFFF
MAX_UINT64: Final = 0xFFFFFFFFFFFFFFFF


def excerpt(text: str) -> str:
    """Return `text` quoted and cut to a length that is fit for an error message."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


def integer(text: str, reason: str, what: str, low: int, high: int) -> int:
    """Return the decimal number `text`.

    Args:
        text: What to convert.
        reason: Slug of the error.
        what: Name of the number, for the message.
        low: Smallest legal value.
        high: Largest legal value.

    Raises:
        ParseError: `reason` if it is not a number, or out of range.
    """
    if is_digits(text):
        value = int(text)
        if low <= value <= high:
            return value
    raise ParseError(reason, f"{what} must be a number from {low} to {high}, not {excerpt(text)}")


class _Remembered(dict[str, Value]):
    """What `parse` made of the last short texts. A subclass of dict, for this is asked once for each line."""

    __slots__ = ("_parse",)

    def __init__(self, parse: Callable[[str], Value]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> Value:
        value = self._parse(text)
        if len(text) <= MAX_REMEMBERED_LENGTH:
            if len(self) == MAX_REMEMBERED:
                self.clear()
            self[text] = value
        return value


def remembered(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """Remember what `parse` made of short texts: every browser offers the same formats again and again.

    Args:
        parse: A pure function whose results nobody changes.
    """
    return _Remembered(parse).__getitem__


@remembered  # every section repeats the hosts of the first
def is_host(text: str) -> bool:
    """Whether `text` is an IPv4 address, an IPv6 address without zone, or a domain name."""
    return is_ip(text) or (":" not in text and _is_domain_name(text) is not None)


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 address or an IPv6 address without zone."""
    if ":" in text:
        return len(text) <= MAX_IPV6_LENGTH and _is_ipv6(text)
    return _is_ipv4(text) is not None


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False
