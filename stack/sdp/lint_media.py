"""Rules about formats, header extensions, sources, simulcast and data channels."""

from collections.abc import Iterator
from typing import Final

from ..core import ParseError
from .formats import H264, Rtx, format_of
from .lint_rule import Context, Hit, rule
from .values import STATIC_FORMATS, Codec

_OBSOLETE_SEMANTIC: Final = "a=msid-semantic:"


def _payload_type_of(line: str) -> str:
    return line.partition(":")[2].partition(" ")[0]


# -- RTP and RTCP ------------------------------------------------------------------------------------------------------


@rule("rtcp-mux-missing", "error", "RFC 8834 section 4.5", "RTCP on a port of its own")
def _rtcp_mux_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        if not media.rtcp_mux and context.carries_transport(media):
            yield context.starts[index], "no a=rtcp-mux: browsers that require it, which is the default, refuse this"


@rule("rtcp-mux-only", "error", "RFC 8858 section 4", "rtcp-mux-only where it must not be")
def _rtcp_mux_only(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        if media.rtcp_mux_only and context.kind == "answer":
            yield context.at(index, "a=rtcp-mux-only"), "it is forbidden in answers"
        elif media.rtcp_mux_only and not media.rtcp_mux:
            yield context.at(index, "a=rtcp-mux-only"), "an offer with it has a=rtcp-mux too"


@rule("feedback-missing", "warning", "RFC 8834 section 5.1", "video that cannot be repaired")
def _feedback_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        kinds = {feedback.kind for codec in media.codecs for feedback in codec.feedback}
        if media.kind == "video" and media.codecs and not kinds & {"nack", "ccm"}:
            yield context.starts[index], "no a=rtcp-fb for nack or ccm: a lost packet freezes the picture"


# -- formats -----------------------------------------------------------------------------------------------------------


@rule("format-undescribed", "error", "RFC 8866 section 6.6", "a dynamic payload type without rtpmap")
def _format_undescribed(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        known = {str(codec.payload_type) for codec in media.codecs}
        known.update(map(_payload_type_of, (context.lines[n - 1] for n in context.find(index, "a=rtpmap:"))))
        for payload_type in media.formats:
            if payload_type not in known and int(payload_type) not in STATIC_FORMATS:
                yield context.starts[index], f"nothing says what payload type {payload_type} is"


@rule("format-unlisted", "warning", "RFC 8866 section 5.14", "a line about a payload type that is not offered")
def _format_unlisted(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for number in context.find(index, "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"):
            payload_type = _payload_type_of(context.lines[number - 1])
            if payload_type != "*" and payload_type not in media.formats:
                yield number, f"the m= line does not list {payload_type[:20]}"


@rule("format-reserved", "error", "RFC 5761 section 4", "a payload type that looks like RTCP")
def _format_reserved(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for payload_type in media.formats:
            if 64 <= int(payload_type) <= 95 and media.rtcp_mux:
                yield context.starts[index], f"{payload_type} is in 64 to 95, which is RTCP where both share a port"


@rule("format-conflict", "error", "RFC 9143 section 9.1.1", "one payload type for two formats of a bundle")
def _format_conflict(context: Context) -> Iterator[Hit]:
    seen: dict[tuple[str, int], tuple[Codec, int]] = {}
    for index, media in context.rtp_sections():
        items = context.bundle_of(media)
        for codec in media.codecs if items else ():
            other, where = seen.setdefault((items[0], codec.payload_type), (codec, index))
            same = (codec.name.lower(), codec.clock_rate, codec.channels or 1, codec.parameters) == (
                other.name.lower(),
                other.clock_rate,
                other.channels or 1,
                other.parameters,
            )
            if where != index and not same:
                number = context.at(index, f"a=rtpmap:{codec.payload_type} ")
                yield (
                    number,
                    f"{codec.payload_type} is {_name(other)} with other parameters in another section"
                    if (codec.name.lower() == other.name.lower())
                    else f"{codec.payload_type} is {_name(other)} in another section of the bundle",
                )


def _name(codec: Codec) -> str:
    return f"{codec.name}/{codec.clock_rate}"[:60]


@rule("format-parameters", "warning", "RFC 8866 section 6.15", "format parameters that make no sense")
def _format_parameters(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for codec in media.codecs:
            try:
                format_of(codec)
            except ParseError as error:
                starts = f"a=fmtp:{codec.payload_type} ", f"a=rtpmap:{codec.payload_type} "
                numbers = context.find(index, starts[0]) or context.find(index, starts[1])
                yield (numbers or [context.starts[index]])[0], error.detail


def _typed(codec: Codec) -> object:
    try:
        return format_of(codec)
    except ParseError:
        return None


@rule("rtx-of-nothing", "error", "RFC 4588 section 8.6", "retransmissions of a format that is not offered")
def _rtx_of_nothing(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for codec in media.codecs:
            parameters = _typed(codec)
            if isinstance(parameters, Rtx):
                number = context.at(index, f"a=fmtp:{codec.payload_type} ")
                other = media.codec(parameters.apt)
                if other is None:
                    yield number, f"apt={parameters.apt} is no format of this section"
                elif other.name.lower() == "rtx":
                    yield number, f"apt={parameters.apt} is itself rtx"
                elif other.clock_rate != codec.clock_rate:
                    yield number, f"its clock rate is not the one of {parameters.apt}"


@rule("h264-mode", "info", "RFC 7742 section 6.2", "H.264 in packetization mode 0 only")
def _h264_mode(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        found = [parameters for codec in media.codecs if isinstance(parameters := _typed(codec), H264)]
        if found and all(parameters.packetization_mode == 0 for parameters in found):
            yield context.starts[index], "frames in packets of one NAL unit: mode 1, which all must support, is better"


@rule("opus-form", "error", "RFC 7587 section 7", "Opus without 48000/2")
def _opus_form(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for codec in media.codecs:
            if codec.name.lower() == "opus" and (codec.clock_rate, codec.channels) != (48000, 2):
                yield context.at(index, f"a=rtpmap:{codec.payload_type} "), "Opus is always opus/48000/2"


# -- header extensions -------------------------------------------------------------------------------------------------


@rule("extmap-levels", "error", "RFC 8285 section 5", "header extensions at both levels")
def _extmap_levels(context: Context) -> Iterator[Hit]:
    numbers = context.find(None, "a=extmap:")
    if numbers and any(media.extmaps for media in context.session.media):
        yield numbers[0], "extensions stand either at session level or in the sections, not in both"


@rule("extmap-conflict", "error", "RFC 9143 section 12", "one identifier for two extensions of a bundle")
def _extmap_conflict(context: Context) -> Iterator[Hit]:
    seen: dict[tuple[str, int], str] = {}
    for index, media in context.rtp_sections():
        items = context.bundle_of(media)
        for extmap in media.extmaps if items else ():
            uri = seen.setdefault((items[0], extmap.id), extmap.uri)
            if uri != extmap.uri and extmap.id < 4096:
                yield (
                    context.at(index, f"a=extmap:{extmap.id} ", f"a=extmap:{extmap.id}/"),
                    f"{extmap.id} is {uri[:80]}",
                )


@rule("extmap-two-byte", "info", "RFC 8285 section 4.2", "an identifier that needs two-byte headers")
def _extmap_two_byte(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for extmap in media.extmaps:
            if 15 <= extmap.id <= 255 and not context.session.extmap_allow_mixed_of(media):
                number = context.at(index, f"a=extmap:{extmap.id} ", f"a=extmap:{extmap.id}/")
                yield number, f"{extmap.id} does not fit the one-byte form, and there is no a=extmap-allow-mixed"


@rule("extmap-twice", "warning", "RFC 8285 section 5", "one extension under two identifiers")
def _extmap_twice(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        seen: dict[tuple[str, str, str | None], int] = {}
        for extmap in media.extmaps:
            first = seen.setdefault((extmap.uri, extmap.attributes, extmap.direction), extmap.id)
            if first != extmap.id:
                number = context.at(index, f"a=extmap:{extmap.id} ", f"a=extmap:{extmap.id}/")
                yield number, f"the same extension as identifier {first}"


# -- sources and streams -----------------------------------------------------------------------------------------------


@rule("ssrc-conflict", "error", "RFC 9143 section 9.1", "one source in two sections of a bundle")
def _ssrc_conflict(context: Context) -> Iterator[Hit]:
    seen: dict[tuple[str, int], int] = {}
    for index, media in context.rtp_sections():
        items = context.bundle_of(media)
        for source in media.ssrcs if items else ():
            if seen.setdefault((items[0], source.ssrc), index) != index:
                yield context.at(index, f"a=ssrc:{source.ssrc} "), f"source {source.ssrc} is in another section too"


@rule("ssrc-cname", "warning", "RFC 5576 section 6.1", "a source without cname")
def _ssrc_cname(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for source in media.ssrcs:
            if "cname" not in source.attributes:
                yield context.at(index, f"a=ssrc:{source.ssrc} "), f"source {source.ssrc} has no cname"


@rule("ssrc-group-member", "warning", "RFC 5576 section 4.2", "a group of sources that nothing describes")
def _ssrc_group_member(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        known = {source.ssrc for source in media.ssrcs}
        for group, number in zip(media.ssrc_groups, context.find(index, "a=ssrc-group:"), strict=False):
            for ssrc in group.ssrcs:
                if ssrc not in known:
                    yield number, f"no a=ssrc line for {ssrc}"


@rule("msid-semantic", "info", "RFC 8830 section 4", "a line of an old draft")
def _msid_semantic(context: Context) -> Iterator[Hit]:
    for number in context.find(None, _OBSOLETE_SEMANTIC)[:1]:
        yield number, "a=msid-semantic is of an old draft; it says nothing any more"


@rule("rid-discarded", "warning", "RFC 8851 section 6.2", "a malformed rid or simulcast line")
def _rid_discarded(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for name in ("rid", "simulcast"):
            kept = {f"a={name}:{item.value}" for item in media.attributes if item.name == name}
            for number in context.find(index, f"a={name}:"):
                if context.lines[number - 1] in kept:
                    yield number, "malformed, or there twice: it is discarded"


@rule("rid-format", "warning", "RFC 8851 section 5", "a rid for a format that is not offered")
def _rid_format(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        for rid in media.rids:
            for payload_type in rid.formats:
                if payload_type not in media.formats:
                    yield context.at(index, f"a=rid:{rid.id} "), f"the m= line does not list {payload_type[:20]}"


@rule("simulcast-rid", "error", "RFC 8853 section 5.2", "simulcast of a rid that does not exist")
def _simulcast_rid(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        if media.simulcast is None:
            continue
        known = {(rid.id, rid.direction) for rid in media.rids}
        for direction, streams in (("send", media.simulcast.send), ("recv", media.simulcast.recv)):
            for identifier in dict.fromkeys(item.rid for stream in streams for item in stream):
                if (identifier, direction) not in known:
                    yield context.at(index, "a=simulcast:"), f"no a=rid:{identifier[:40]} {direction}"


# -- data channels -----------------------------------------------------------------------------------------------------


@rule("sctp-port-missing", "error", "RFC 8841 section 5.1", "data channels without SCTP port")
def _sctp_port_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        tried = context.find(index, "a=sctp-port:", "a=sctpmap:")
        if "webrtc-datachannel" in media.formats and media.sctp_port is None and not tried:
            yield context.starts[index], "no a=sctp-port"


@rule("sctpmap", "warning", "RFC 8841 section 5.1", "data channels as in an old draft")
def _sctpmap(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        numbers = context.find(index, "a=sctpmap:")
        if numbers and media.sctp_port is None:
            yield numbers[0], "a=sctpmap is of an old draft; since 2017 it is m=... webrtc-datachannel and a=sctp-port"


@rule("sctp-protocol", "warning", "RFC 8841 section 4.2", "the protocol of an old draft")
def _sctp_protocol(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        if media.protocol == "DTLS/SCTP":
            yield context.starts[index], "DTLS/SCTP is of an old draft: UDP/DTLS/SCTP"


@rule("max-message-size", "info", "RFC 8841 section 6.1", "no largest message size")
def _max_message_size(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        if media.sctp_port is not None and media.max_message_size is None:
            yield context.starts[index], "no a=max-message-size: 64 KB is what the other side may send at once"
