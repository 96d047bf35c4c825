"""Attributes that nothing here acts on, taken apart for those who do: found among `attributes`, and not changed there.

A malformed one counts as absent: none of them decides about keys or addresses.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from .grammar import TOKEN_GRAMMAR, is_token
from .values import Attribute

_is_frame_rate = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,6})?").fullmatch
_match_sctpmap = re.compile(rf"([0-9]{{1,5}}) ({TOKEN_GRAMMAR})(?: ([0-9]{{1,5}}))?.*").fullmatch
_SET = r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]"  # a value may be a range or a list, in brackets of its own
_match_image_list = re.compile(rf"(send|recv)((?: +(?:\*|{_SET}))+)").match
_find_sets = re.compile(_SET).findall
_find_pairs = re.compile(r"([a-z]+)=(\[[^\[\]]*\]|[^,\[\]]+)").findall
_match_crypto = re.compile(rf"([0-9]{{1,9}}) ({TOKEN_GRAMMAR}) ([a-z]+):.+").fullmatch
MAX_IMAGE_SETS: Final = 64
"""Sets of one direction of `a=imageattr` that are returned: it has one per resolution a camera knows."""


class SctpMap(NamedTuple):
    """`a=sctpmap`, as it was before RFC 8841 (draft-ietf-mmusic-sctp-sdp-05): in use by browsers until 2019.

    Attributes:
        port: Of the association.
        application: `webrtc-datachannel`.
        streams: How many, or None.
    """

    port: int
    application: str
    streams: int | None = None


class Crypto(NamedTuple):
    """`a=crypto`, RFC 4568 section 9.1, without its key. RFC 8827 section 6.5 forbids it: nothing here uses it.

    Attributes:
        tag: Which of the lines.
        suite: For example `AES_CM_128_HMAC_SHA1_80`.
        method: How the key is given: `inline`.
    """

    tag: int
    suite: str
    method: str


class ImageAttribute(NamedTuple):
    """`a=imageattr`, RFC 6236 section 3.1.1.

    Attributes:
        payload_type: As written; `*` for all.
        send: What the writer may send, one dictionary for each set; empty if it is not said or `*`.
        recv: What the writer wants to receive, as `send`.
    """

    payload_type: str
    send: list[dict[str, str]]
    recv: list[dict[str, str]]


def values_of(attributes: Iterable[Attribute], name: str) -> Iterator[str]:
    """Yield the values of all attributes with this name."""
    for attribute in attributes:
        if attribute.name == name and attribute.value is not None:
            yield attribute.value


def label(attributes: Iterable[Attribute]) -> str | None:
    """Return `a=label`, RFC 4574 section 5, or None."""
    return next((value for value in values_of(attributes, "label") if is_token(value)), None)


def content(attributes: Iterable[Attribute]) -> list[str]:
    """Return the items of `a=content`, such as `slides` or `main` (RFC 4796 section 5)."""
    items = next(values_of(attributes, "content"), "").split(",")
    return [item.strip() for item in items if is_token(item.strip())]


def frame_rate(attributes: Iterable[Attribute]) -> float | None:
    """Return `a=framerate`, frames per second (RFC 8866 section 6.13), or None."""
    return next((float(value) for value in values_of(attributes, "framerate") if _is_frame_rate(value)), None)


def sctp_maps(attributes: Iterable[Attribute]) -> list[SctpMap]:
    """Return the `a=sctpmap` lines."""
    found = (_match_sctpmap(value) for value in values_of(attributes, "sctpmap"))
    return [SctpMap(int(m[1]), m[2], int(m[3]) if m[3] else None) for m in found if m and int(m[1]) <= 65535]


def cryptos(attributes: Iterable[Attribute]) -> list[Crypto]:
    """Return the `a=crypto` lines, without the keys."""
    found = (_match_crypto(value) for value in values_of(attributes, "crypto"))
    return [Crypto(int(match[1]), match[2], match[3]) for match in found if match]


def image_attributes(attributes: Iterable[Attribute]) -> list[ImageAttribute]:
    """Return the `a=imageattr` lines."""
    return [found for value in values_of(attributes, "imageattr") if (found := _image_attribute(value)) is not None]


def _image_attribute(value: str) -> ImageAttribute | None:
    payload_type, _, rest = value.partition(" ")
    lists: dict[str, list[dict[str, str]]] = {}
    while rest:
        match = _match_image_list(rest)
        if match is None or match[1] in lists:
            return None
        lists[match[1]] = _image_sets(match[2])
        rest = rest[match.end() :].strip(" ")
    if not lists or not is_token(payload_type):
        return None
    return ImageAttribute(payload_type, lists.get("send", []), lists.get("recv", []))


def _image_sets(text: str) -> list[dict[str, str]]:
    """Return the sets of one direction; ranges and lists stay as they are written."""
    return [dict(_find_pairs(found)) for found in _find_sets(text)[:MAX_IMAGE_SETS]]
