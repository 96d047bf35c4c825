"""What a description offers, in plain words.

>>> for passage in explain(session):
...     print(passage.title, passage.points)
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..core import ParseError
from .candidate import Candidate
from .formats import H264, Av1, Opus, Red, Rtx, TelephoneEvent, Vp9, format_of
from .media import MediaDescription
from .session import SessionDescription
from .values import Bandwidth, Codec

MAX_SHOWN: Final = 12
"""Items of one enumeration that are shown; how many more there are is told."""

_MAX_WORD: Final = 60
_EXTENSIONS: Final = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": "MID",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": "RID",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": "repaired RID",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": "audio level",
    "urn:ietf:params:rtp-hdrext:csrc-audio-level": "audio level of contributors",
    "urn:ietf:params:rtp-hdrext:toffset": "transmission offset",
    "urn:ietf:params:rtp-hdrext:encrypt": "encrypted extensions",
    "urn:3gpp:video-orientation": "video orientation",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": "absolute send time",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time": "absolute capture time",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": "playout delay",
    "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type": "video content type",
    "http://www.webrtc.org/experiments/rtp-hdrext/video-timing": "video timing",
    "http://www.webrtc.org/experiments/rtp-hdrext/color-space": "colour space",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": "transport-wide sequence number",
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension": "dependency descriptor",
}
_DIRECTIONS: Final = {
    "sendrecv": "wants to send and to receive",
    "sendonly": "wants to send only",
    "recvonly": "wants to receive only",
    "inactive": "neither sends nor receives for now",
}
_ROLES: Final = {
    "actpass": "either side may begin the handshake (actpass)",
    "active": "this side begins the handshake (active)",
    "passive": "the other side begins the handshake (passive)",
    "holdconn": "no handshake for now (holdconn)",
}
_TYPES: Final = {
    "host": "of the machine itself",
    "srflx": "as a STUN server sees it",
    "prflx": "as the peer saw it",
    "relay": "of a TURN relay",
}
_BANDWIDTHS: Final = {"AS": "kbit/s", "CT": "kbit/s", "TIAS": "bit/s", "RR": "bit/s", "RS": "bit/s"}


@dataclass(slots=True)
class Passage:
    """Some sentences about one thing.

    Attributes:
        title: What it is about.
        points: One sentence each, for people; values from the description are cut, never keys or passwords.
    """

    title: str
    points: list[str] = field(default_factory=list)


def explain(session: SessionDescription) -> list[Passage]:
    """Return what a description offers: one passage about the whole, and one about each section."""
    passages = [Passage("session", list(_session(session)))]
    for index, media in enumerate(session.media):
        name = f", mid {_word(media.mid)}" if media.mid is not None else ""
        passages.append(Passage(f"section {index + 1}: {media.kind}{name}", list(_section(session, media))))
    return passages


def _word(text: str) -> str:
    """Return text of the description as it may be shown."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= _MAX_WORD else f"{shown[:_MAX_WORD]}..."


def _list(items: Iterable[str]) -> str:
    words = [_word(item) for item in items]
    more = len(words) - MAX_SHOWN
    return ", ".join(words[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


# -- the session -------------------------------------------------------------------------------------------------------


def _session(session: SessionDescription) -> Iterator[str]:
    kinds = Counter(media.kind for media in session.media if not media.is_rejected)
    refused = sum(media.is_rejected for media in session.media)
    what = ", ".join(f"{count} of {_word(kind)}" for kind, count in kinds.items()) or "nothing"
    yield f"sections: {what}{f'; {refused} refused or removed' if refused else ''}"
    version = session.origin.session_version
    yield f"written by {_author(session)}; session {session.origin.session_id}, version {version}"
    for group in session.groups:
        if group.semantics == "BUNDLE":
            yield f"one transport for {_list(group.items)} (BUNDLE)" if group.items else "BUNDLE of nothing"
        elif group.semantics == "LS":
            yield f"lip synchronisation of {_list(group.items)}"
        else:
            yield f"group {_word(group.semantics)} of {_list(group.items)}"
    if session.ice_lite:
        yield "ICE lite: a server with a public address, which waits for checks and makes none"
    if session.ice_pacing is not None:
        yield f"ICE checks {session.ice_pacing} ms apart"
    yield from _bandwidths(session.bandwidth)
    if any(attribute.name == "identity" for attribute in session.attributes):
        yield "an identity assertion, which is ignored"


def _author(session: SessionDescription) -> str:
    """Guess from habits which implementation wrote it."""
    name, user = session.name.lower(), session.origin.username.lower()
    flags = {attribute.name for attribute in session.attributes}
    for word, author in (
        ("mozilla", "Firefox"),
        ("asterisk", "Asterisk"),
        ("freeswitch", "FreeSWITCH"),
        ("mediasoup", "mediasoup"),
        ("rtpengine", "rtpengine"),
    ):
        if word in user or word in name or any(word in flag.lower() for flag in flags):
            return author
    if name.startswith("videoroom") or "janus" in name or "streaming" in name:
        return "Janus"
    if any(candidate.generation is not None for media in session.media for candidate in media.candidates):
        return "libwebrtc, as in Chromium and Safari"
    return "an implementation that does not tell its name"


def _bandwidths(bandwidths: Iterable[Bandwidth]) -> Iterator[str]:
    for item in bandwidths:
        unit = _BANDWIDTHS.get(item.modifier)
        yield f"at most {item.value} {unit} ({item.modifier})" if unit else f"b={_word(item.modifier)}:{item.value}"


# -- a section ---------------------------------------------------------------------------------------------------------


def _section(session: SessionDescription, media: MediaDescription) -> Iterator[str]:
    if media.is_rejected:
        yield "refused, or no longer wanted (port 0)"
        return
    if "RTP/" in media.protocol:
        yield _DIRECTIONS[session.direction_of(media)] + _streams(media)
        yield from _codecs(media)
        yield from _rtp(session, media)
    elif "webrtc-datachannel" in media.formats or media.sctp_maps:
        yield from _data_channels(media)
    else:
        yield f"{_word(media.protocol)} with {_list(media.formats)}: nothing that WebRTC knows"
    yield from _bandwidths(media.bandwidth)
    if media.bundle_only:
        yield "only inside of its BUNDLE group (bundle-only)"
    yield from _security(session, media)
    yield from _ice(session, media)
    yield from _details(media)


def _streams(media: MediaDescription) -> str:
    if not media.msids:
        return ""
    streams = [msid.stream for msid in media.msids if msid.stream != "-"]
    return f": stream {_list(streams)}" if streams else ": a track in no stream"


def _codecs(media: MediaDescription) -> Iterator[str]:
    repaired = {}
    names = []
    for codec in media.codecs:
        parameters = _typed(codec)
        if isinstance(parameters, Rtx):
            repaired[parameters.apt] = codec.payload_type
    for codec in media.codecs:
        if codec.name.lower() != "rtx":
            text = f"{_word(codec.name)}{_parameters(codec)} as {codec.payload_type}"
            names.append(text + (f" (rtx {repaired[codec.payload_type]})" if codec.payload_type in repaired else ""))
    if names:
        shown = ", ".join(names[:MAX_SHOWN])
        yield f"formats, best first: {shown}" + (f" and {len(names) - MAX_SHOWN} more" if names[MAX_SHOWN:] else "")
    else:
        yield "no format that is described"


def _typed(codec: Codec) -> object:
    try:
        return format_of(codec)
    except ParseError:
        return None


def _parameters(codec: Codec) -> str:
    match _typed(codec):
        case H264(level, mode):
            return f" {level.profile or 'of an unknown profile'} {level.level}{', mode 1' if mode == 1 else ''}"
        case Opus(stereo=stereo, use_inband_fec=fec, use_dtx=dtx):
            words = [word for word, is_on in (("stereo", stereo), ("FEC", fec), ("DTX", dtx)) if is_on]
            return f" with {', '.join(words)}" if words else ""
        case Vp9(profile):
            return f" profile {profile}"
        case Av1(profile, level_idx):
            return f" profile {profile}, level {level_idx // 4 + 2}.{level_idx % 4}"
        case Red(payload_types) if payload_types:
            return f" of {'/'.join(map(str, payload_types[:MAX_SHOWN]))}"
        case TelephoneEvent(events):
            return f" {_word(events)}"
        case _:
            return ""


def _rtp(session: SessionDescription, media: MediaDescription) -> Iterator[str]:
    feedback = dict.fromkeys(feedback for codec in media.codecs for feedback in codec.feedback)
    if feedback:
        yield f"feedback: {_list(' '.join(filter(None, item)) for item in feedback)}"
    extensions = session.extmaps_of(media)
    if extensions:
        yield f"header extensions: {_list(_EXTENSIONS.get(extmap.uri, extmap.uri) for extmap in extensions)}"
    if media.simulcast is not None:
        for verb, streams in (("sends", media.simulcast.send), ("receives", media.simulcast.recv)):
            if streams:
                names = ("|".join(("~" if item.paused else "") + item.rid for item in stream) for stream in streams)
                yield f"simulcast: {verb} {len(streams)} versions: {_list(names)}"
    if media.ssrcs:
        yield f"sources: {_list(str(source.ssrc) for source in media.ssrcs)}"
    for group in media.ssrc_groups:
        yield f"{_word(group.semantics)} group of sources: {_list(map(str, group.ssrcs))}"
    mux = "shares the port of RTP" if media.rtcp_mux else "has a port of its own (no rtcp-mux)"
    size = ", small packets are allowed (rtcp-rsize)" if media.rtcp_rsize else ""
    yield f"RTCP {mux}{size}"
    if media.ptime is not None or media.maxptime is not None:
        yield f"packets of {media.ptime or '?'} ms, at most {media.maxptime or '?'} ms"


def _data_channels(media: MediaDescription) -> Iterator[str]:
    if media.sctp_port is not None:
        limit = media.max_message_size
        size = "of any size" if limit == 0 else f"up to {65536 if limit is None else limit} bytes"
        yield f"data channels with messages {size}, SCTP port {media.sctp_port}"
    elif media.sctp_maps:
        yield f"data channels as in an old draft, SCTP port {media.sctp_maps[0].port}"
    else:
        yield "data channels, but no SCTP port"


# -- transport ---------------------------------------------------------------------------------------------------------


def _security(session: SessionDescription, media: MediaDescription) -> Iterator[str]:
    fingerprints = session.fingerprints_of(media)
    role = session.setup_of(media)
    if fingerprints:
        algorithms = _list(fingerprint.algorithm for fingerprint in fingerprints)
        yield f"encrypted with DTLS: {_ROLES.get(role or '', 'nobody says who begins the handshake')}, {algorithms}"
    elif not _is_bundled(session, media):
        yield "NOT encrypted with DTLS: there is no fingerprint"
    if media.cryptos:
        yield "keys in the clear (a=crypto), which are never used here"


def _is_bundled(session: SessionDescription, media: MediaDescription) -> bool:
    return any(group.semantics == "BUNDLE" and media.mid in group.items[1:] for group in session.groups)


def _ice(session: SessionDescription, media: MediaDescription) -> Iterator[str]:
    ufrag, password = session.ice_parameters_of(media)
    if ufrag is None or password is None:
        if not _is_bundled(session, media):
            yield "no ICE: only old telephones and gateways connect like this"
        return
    options = session.ice_options_of(media)
    more = f", options {_list(options)}" if options else ""
    yield f"ICE user {_word(ufrag)}{more}"
    yield from _candidates(media.candidates)
    if session.end_of_candidates_of(media):
        yield "these are all candidates"
    elif "trickle" in options or not media.candidates:
        yield "more candidates may come (trickle)"


def _candidates(candidates: list[Candidate]) -> Iterator[str]:
    if not candidates:
        yield "no candidates yet"
    for kind, where in _TYPES.items():
        found = [candidate for candidate in candidates if candidate.type == kind]
        if found:
            yield f"{len(found)} {kind} candidates, {where}: {_list(map(_place, found))}"


def _place(candidate: Candidate) -> str:
    host = f"[{candidate.host}]" if ":" in candidate.host else candidate.host
    kind = f" {candidate.tcp_type}" if candidate.tcp_type is not None else ""
    return f"{host}:{candidate.port}/{candidate.transport}{kind}"


def _details(media: MediaDescription) -> Iterator[str]:
    if media.title is not None:
        yield f"title: {_word(media.title)}"
    if media.label is not None:
        yield f"label: {_word(media.label)}"
    if media.content:
        yield f"content: {_list(media.content)}"
    if media.frame_rate is not None:
        yield f"at most {media.frame_rate:g} frames per second"
    known = {"label", "content", "framerate", "sctpmap", "crypto", "imageattr", "candidate", "rtpmap"}
    others = dict.fromkeys(attribute.name for attribute in media.attributes if attribute.name not in known)
    if others:
        yield f"kept, and not acted upon: {_list(others)}"
