"""What descriptions say about several encodings of one source: `a=rid` and `a=simulcast` (RFC 8851, RFC 8853).

We offer to send as W3C's sendEncodings say, answer an offer to send by receiving all of it, and follow one that asks
for it. What is agreed may lose encodings later and gains none (W3C WebRTC section 5.4.1).
"""

import dataclasses
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from .. import rtp, sdp
from ..core import RandomBytes
from .extensions import form_of
from .layers import MAX_LAYERS, MAX_RID, Encoding, Layer
from .transceiver import Transceiver, receives, sends

RESTRICTIONS: Final = frozenset({"max-width", "max-height", "max-fps", "max-fs", "max-br", "max-pps", "max-bpp"})
"""What RFC 8851 section 5 defines; whoever sends may bind himself to any of them."""


def offer(transceiver: Transceiver, media: sdp.MediaDescription) -> None:
    """Complete our offer's section (RFC 8829 section 5.2.1)."""
    if not _is_possible(form_of(ext).uri for ext in media.extmaps):
        return
    if sends(media.direction) and transceiver.simulcast:
        _write(media, "send", [(sdp.Rid(rid, "send"), paused) for rid, paused in _sent(transceiver)])
    if receives(media.direction):
        _write(media, "recv", [(sdp.Rid(rid, "recv"), False) for rid in transceiver.remote_rids])


def answer(transceiver: Transceiver, remote: sdp.MediaDescription, media: sdp.MediaDescription) -> None:
    """Complete our answer's section (RFC 8829 section 5.3.1, RFC 8853 section 5.3.2)."""
    if not _is_possible(form_of(ext).uri for ext in media.extmaps):
        return
    formats = [str(codec.payload_type) for codec in media.codecs if codec.name.lower() != "rtx"]
    if sends(media.direction) and transceiver.simulcast:
        wanted = _streams(remote, "recv", formats[:1])
        _write(media, "send", [(sdp.Rid(rid, "send"), paused) for rid, paused in _sent(transceiver) if rid in wanted])
    if receives(media.direction) and media.kind == "video":
        offered = _streams(remote, "send", formats).values()
        _write(
            media,
            "recv",
            [
                (sdp.Rid(rid.id, "recv", [pt for pt in rid.formats if pt in formats], dict(rid.restrictions)), paused)
                for rid, paused in offered
            ],
        )


def propose(transceiver: Transceiver, remote: sdp.MediaDescription, random_bytes: RandomBytes) -> None:
    """Follow an offer that asks for several encodings, unless ours were chosen (W3C WebRTC section 4.4.1.5)."""
    if transceiver.kind != "video" or transceiver.simulcast or transceiver.one_encoding:
        return
    wanted = list(_streams(remote, "recv", None)) if _is_possible(form_of(ext).uri for ext in remote.extmaps) else []
    if not wanted:
        return
    first = transceiver.layers[0].encoding
    transceiver.layers = [
        Layer.create(
            Encoding(
                active=first.active,
                scale_resolution_down_by=2.0 ** (len(wanted) - index - 1),
                priority=first.priority,
                rid=rid,
            ),
            random_bytes,
        )
        for index, rid in enumerate(wanted)
    ]
    transceiver.simulcast = True


def settle(
    transceiver: Transceiver, ours: sdp.MediaDescription, theirs: sdp.MediaDescription, random_bytes: RandomBytes
) -> None:
    """Take note of what both sides agreed on; directions, codecs and header extensions are known."""
    direction = transceiver.current_direction
    possible = _is_possible(transceiver.extensions)
    formats = [str(item.payload_type) for item in transceiver.codecs]
    if receives(direction):
        offered = _streams(theirs, "send", formats)
        transceiver.remote_rids = tuple(rid for rid in _named(ours, "recv") if rid in offered) if possible else ()
    if sends(direction) and transceiver.simulcast:
        wanted, mine = _streams(theirs, "recv", formats[:1]), _named(ours, "send")
        agreed = {rid: paused for rid, (_, paused) in wanted.items() if rid in mine} if possible else {}
        _narrow(transceiver, agreed, random_bytes)


def _narrow(transceiver: Transceiver, agreed: dict[str, bool], random_bytes: RandomBytes) -> None:
    """Keep the encodings that the peer wants: the first one, without a rid on the wire, if it knows of none."""
    if not agreed:
        first = transceiver.layers[0]
        if first.sender is not None:  # with a rid until now, which a stream does not lose
            first = Layer.create(first.encoding, random_bytes)
        transceiver.layers, transceiver.simulcast = [first], False
        return
    transceiver.layers = [layer for layer in transceiver.layers if layer.rid in agreed]
    for layer in transceiver.layers:
        paused = agreed[layer.rid or ""]
        # Deviates: W3C WebRTC section 4.4.1.5 activates whatever is not marked as paused. Here that undoes only what
        # the peer's own mark has done, as it is no reason to send what the application does not want to be sent.
        if layer.encoding.active if paused else layer.paused_by_peer:
            layer.encoding = dataclasses.replace(layer.encoding, active=not paused)
            layer.paused_by_peer = paused


def _is_possible(extensions: Iterable[str]) -> bool:
    """Whether packets can say to which encoding they belong (RFC 8853 section 5.5)."""
    return rtp.RID in extensions


def _sent(transceiver: Transceiver) -> list[tuple[str, bool]]:
    """Return the rids that we send and whether they are paused: what only the peer has paused is up to it."""
    return [
        (layer.rid, not layer.encoding.active and not layer.paused_by_peer)
        for layer in transceiver.layers
        if layer.rid is not None
    ]


def _streams(
    media: sdp.MediaDescription, direction: str, formats: Collection[str] | None
) -> dict[str, tuple[sdp.Rid, bool]]:
    """Return what a description says to send or to receive: its rids in order, each with whether it is paused.

    Of alternatives the first one that is acceptable counts. Not implemented: limits to what we send, so that a stream
    is refused that asks for any (RFC 8851 section 6.3).

    Args:
        media: The section.
        direction: `send` or `recv`.
        formats: Payload types that can be used, one of which must be allowed; None for any.
    """
    if media.simulcast is None:
        return {}
    limits = RESTRICTIONS if direction == "send" else frozenset()
    known = {
        rid.id: rid
        for rid in media.rids
        if rid.direction == direction
        and rid.restrictions.keys() <= limits
        and (formats is None or not rid.formats or not set(formats).isdisjoint(rid.formats))
    }
    found: dict[str, tuple[sdp.Rid, bool]] = {}
    for alternatives in media.simulcast.send if direction == "send" else media.simulcast.recv:
        chosen = next((item for item in alternatives if item.rid in known), None)
        if chosen is not None and len(chosen.rid) <= MAX_RID and chosen.rid not in found:
            found[chosen.rid] = known[chosen.rid], chosen.paused
    return dict(islice(found.items(), MAX_LAYERS))


def _named(media: sdp.MediaDescription, direction: str) -> list[str]:
    """Return the rids of a description of ours."""
    found = media.simulcast or sdp.Simulcast()
    return [item.rid for ids in (found.send if direction == "send" else found.recv) for item in ids]


def _write(media: sdp.MediaDescription, direction: str, streams: Iterable[tuple[sdp.Rid, bool]]) -> None:
    streams = list(streams)
    if not streams:
        return
    media.rids += [rid for rid, _ in streams]
    media.simulcast = media.simulcast or sdp.Simulcast()
    listed = media.simulcast.send if direction == "send" else media.simulcast.recv
    listed += [[sdp.SimulcastId(rid.id, paused)] for rid, paused in streams]
