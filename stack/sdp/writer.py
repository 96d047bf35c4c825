"""From values to the text of a description, in the order of RFC 8866 section 9."""

from typing import TYPE_CHECKING

from ..core import LocalError

if TYPE_CHECKING:
    from .media import MediaDescription
    from .session import SessionDescription
    from .values import Attribute, Bandwidth, Codec, Connection, ExtMap, Fingerprint, SimulcastId


def write(session: "SessionDescription") -> str:
    """Return the text of `session`, with CRLF line ends.

    Raises:
        LocalError: If a value holds a line break or a NUL.
    """
    lines = _session_lines(session)
    for media in session.media:
        _add_media(lines, media)
    return join_lines(lines)


def join_lines(lines: list[str]) -> str:
    """Return the text that these lines make.

    Raises:
        LocalError: If one holds a line break or a NUL.
    """
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if "\0" in text or text.count("\r") != breaks or text.count("\n") != breaks:
        raise LocalError("a value with a line break or a NUL would become lines of its own")
    return text + "\r\n"


def lines_of(session: "SessionDescription") -> tuple[list[str], list[list[str]]]:
    """Return the lines of the session level, and those of each section with its `m=` line first."""
    sections: list[list[str]] = []
    for media in session.media:
        sections.append([])
        _add_media(sections[-1], media)
    return _session_lines(session), sections


def _session_lines(session: "SessionDescription") -> list[str]:
    o = session.origin
    lines = [
        f"v={session.version}",
        f"o={o.username} {o.session_id} {o.session_version} {o.net_type} {o.addr_type} {o.address}",
        f"s={session.name}",
    ]
    lines += [f"{letter}={value}" for letter, value in session.other_lines if letter in "iuep"]
    if session.connection is not None:
        lines.append(f"c={_connection(session.connection)}")
    _add_bandwidth(lines, session.bandwidth)
    lines.append(f"t={session.timing.start} {session.timing.stop}")
    lines += [f"{letter}={value}" for letter, value in session.other_lines if letter not in "iuep"]
    lines += [f"a=group:{' '.join([group.semantics, *group.items])}" for group in session.groups]
    if session.ice_lite:
        lines.append("a=ice-lite")
    if session.ice_pacing is not None:
        lines.append(f"a=ice-pacing:{session.ice_pacing}")
    _add_transport(lines, session)
    if session.extmap_allow_mixed:
        lines.append("a=extmap-allow-mixed")
    _add_extmaps(lines, session.extmaps)
    if session.msid_semantic is not None:
        lines.append(f"a=msid-semantic:{session.msid_semantic}")
    if session.direction is not None:
        lines.append(f"a={session.direction}")
    _add_attributes(lines, session.attributes)
    return lines


def _add_media(lines: list[str], media: "MediaDescription") -> None:
    port = f"{media.port}/{media.port_count}" if media.port_count is not None else str(media.port)
    formats = media.formats or [str(codec.payload_type) for codec in media.codecs]
    lines.append(f"m={media.kind} {port} {media.protocol} {' '.join(formats)}")
    if media.title is not None:
        lines.append(f"i={media.title}")
    if media.connection is not None:
        lines.append(f"c={_connection(media.connection)}")
    lines += [f"c={value}" for letter, value in media.other_lines if letter == "c"]
    _add_bandwidth(lines, media.bandwidth)
    lines += [f"{letter}={value}" for letter, value in media.other_lines if letter != "c"]
    if media.rtcp is not None:
        address = media.rtcp.connection
        lines.append(f"a=rtcp:{media.rtcp.port}{f' {_connection(address)}' if address is not None else ''}")
    lines += [f"a={candidate.serialize()}" for candidate in media.candidates]
    _add_transport(lines, media)
    if media.tls_id is not None:
        lines.append(f"a=tls-id:{media.tls_id}")
    if media.mid is not None:
        lines.append(f"a=mid:{media.mid}")
    if media.bundle_only:
        lines.append("a=bundle-only")
    if media.extmap_allow_mixed:
        lines.append("a=extmap-allow-mixed")
    _add_extmaps(lines, media.extmaps)
    if media.direction is not None:
        lines.append(f"a={media.direction}")
    _add_rtp(lines, media)
    if media.sctp_port is not None:
        lines.append(f"a=sctp-port:{media.sctp_port}")
    if media.max_message_size is not None:
        lines.append(f"a=max-message-size:{media.max_message_size}")
    if media.sctp_init is not None:
        lines.append(f"a=sctp-init:{media.sctp_init}")
    _add_attributes(lines, media.attributes)


def _add_rtp(lines: list[str], media: "MediaDescription") -> None:
    lines += [f"a=msid:{stream} {track}" if track is not None else f"a=msid:{stream}" for stream, track in media.msids]
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    if media.rtcp_mux_only:
        lines.append("a=rtcp-mux-only")
    if media.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    if media.ptime is not None:
        lines.append(f"a=ptime:{_number(media.ptime)}")
    if media.maxptime is not None:
        lines.append(f"a=maxptime:{_number(media.maxptime)}")
    for codec in media.codecs:
        _add_codec(lines, codec)
    for rid in media.rids:
        parts = [f"pt={','.join(rid.formats)}"] if rid.formats else []
        parts += _parameters(rid.restrictions)
        lines.append(f"a=rid:{rid.id} {rid.direction}{' ' if parts else ''}{';'.join(parts)}")
    if media.simulcast is not None:
        directions = (("send", media.simulcast.send), ("recv", media.simulcast.recv))
        lines.append(
            "a=simulcast:" + " ".join(f"{name} {_streams(streams)}" for name, streams in directions if streams)
        )
    for group in media.ssrc_groups:
        lines.append(f"a=ssrc-group:{group.semantics} {' '.join(map(str, group.ssrcs))}")
    for source in media.ssrcs:
        prefix = f"a=ssrc:{source.ssrc} "
        lines += [
            f"{prefix}{name}:{value}" if value is not None else f"{prefix}{name}"
            for name, value in source.attributes.items()
        ]


def _add_codec(lines: list[str], codec: "Codec") -> None:
    payload_type = codec.payload_type
    if codec.channels is None:
        lines.append(f"a=rtpmap:{payload_type} {codec.name}/{codec.clock_rate}")
    else:
        lines.append(f"a=rtpmap:{payload_type} {codec.name}/{codec.clock_rate}/{codec.channels}")
    for kind, parameter in codec.feedback:
        if parameter is None:
            lines.append(f"a=rtcp-fb:{payload_type} {kind}")
        else:
            lines.append(f"a=rtcp-fb:{payload_type} {kind} {parameter}")
    if codec.raw_parameters is not None:
        lines.append(f"a=fmtp:{payload_type} {codec.raw_parameters}")
    if codec.parameters:
        lines.append(f"a=fmtp:{payload_type} {';'.join(_parameters(codec.parameters))}")


def _add_transport(lines: list[str], level: "SessionDescription | MediaDescription") -> None:
    if level.end_of_candidates:
        lines.append("a=end-of-candidates")
    if level.ice_ufrag is not None:
        lines.append(f"a=ice-ufrag:{level.ice_ufrag}")
    if level.ice_pwd is not None:
        lines.append(f"a=ice-pwd:{level.ice_pwd}")
    if level.ice_options:
        lines.append(f"a=ice-options:{' '.join(level.ice_options)}")
    _add_fingerprints(lines, level.fingerprints)
    if level.setup is not None:
        lines.append(f"a=setup:{level.setup}")


def _add_fingerprints(lines: list[str], fingerprints: "list[Fingerprint]") -> None:
    lines += [f"a=fingerprint:{algorithm} {value}" for algorithm, value in fingerprints]


def _add_extmaps(lines: list[str], extmaps: "list[ExtMap]") -> None:
    for extmap in extmaps:
        direction = f"/{extmap.direction}" if extmap.direction is not None else ""
        attributes = f" {extmap.attributes}" if extmap.attributes else ""
        lines.append(f"a=extmap:{extmap.id}{direction} {extmap.uri}{attributes}")


def _add_bandwidth(lines: list[str], bandwidth: "list[Bandwidth]") -> None:
    lines += [f"b={item.modifier}:{item.value}" for item in bandwidth]


def _add_attributes(lines: list[str], attributes: "list[Attribute]") -> None:
    lines += [f"a={name}:{value}" if value is not None else f"a={name}" for name, value in attributes]


def _connection(connection: "Connection") -> str:
    return f"{connection.net_type} {connection.addr_type} {connection.address}"


def _parameters(parameters: dict[str, str | None]) -> list[str]:
    return [f"{name}={value}" if value is not None else name for name, value in parameters.items()]


def _streams(streams: "list[list[SimulcastId]]") -> str:
    return ";".join(",".join(f"~{rid}" if paused else rid for rid, paused in stream) for stream in streams)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
