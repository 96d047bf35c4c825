"""Which reports on single packets both sides agree on: one kind for the whole transport (RFC 8888 section 6)."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from .. import rtp, sdp
from .codecs import NegotiatedCodec
from .extensions import Form, form_of

TRANSPORT_CC: Final = "transport-cc"
"""By transport-wide sequence numbers: draft-holmer-rmcat-transport-wide-cc-extensions-01."""

CCFB: Final = "ccfb"
"""By the sequence numbers of the streams: RFC 8888."""

CCFB_LINE: Final = sdp.Attribute("rtcp-fb", "* ack ccfb")
"""RFC 8888 section 6: for all formats. libwebrtc has also been seen to name each, which is read too."""


def kinds_of(media: sdp.MediaDescription) -> set[str]:
    """Return the kinds that a section of the peer's description has."""
    feedback = {item for codec in media.codecs for item in codec.feedback}
    found = set()
    if sdp.Feedback("transport-cc") in feedback and any(form_of(ext).uri == rtp.TRANSPORT_CC for ext in media.extmaps):
        found.add(TRANSPORT_CC)
    if sdp.Feedback("ack", "ccfb") in feedback:
        found.add(CCFB)
    return found


def choose(wanted: Iterable[str], sections: Iterable[sdp.MediaDescription]) -> str | None:
    """Return the first kind wanted that a section of the peer's description has; None for none."""
    known = {kind for media in sections if not media.is_rejected for kind in kinds_of(media)}
    return next((kind for kind in wanted if kind in known), None)


def limit(
    codecs: Sequence[NegotiatedCodec], extensions: Mapping[Form, int], kinds: Collection[str | None]
) -> tuple[list[NegotiatedCodec], dict[Form, int]]:
    """Return formats and header extensions without those of transport-cc, where that is not among the kinds."""
    if TRANSPORT_CC in kinds:
        return list(codecs), dict(extensions)
    return [_without_numbers(item) for item in codecs], {
        form: number for form, number in extensions.items() if form.uri != rtp.TRANSPORT_CC
    }


def _without_numbers(item: NegotiatedCodec) -> NegotiatedCodec:
    feedback = tuple(name for name in item.codec.feedback if name != TRANSPORT_CC)
    return dataclasses.replace(item, codec=dataclasses.replace(item.codec, feedback=feedback))


def agreed(
    kind: str | None,
    codecs: Sequence[NegotiatedCodec],
    extensions: Mapping[str, int],
    theirs: sdp.MediaDescription,
) -> str | None:
    """Return the kind chosen if a section has it for what is sent first, its first codec; None if not."""
    if kind == TRANSPORT_CC:
        has = rtp.TRANSPORT_CC in extensions and codecs and TRANSPORT_CC in codecs[0].codec.feedback
        return kind if has else None
    return kind if kind is not None and kind in kinds_of(theirs) else None
