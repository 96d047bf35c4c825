"""Rules about the text as a whole, sections, bundling, ICE, DTLS and candidates."""

from collections.abc import Iterator
from typing import Final

from .grammar import is_ip
from .lint_rule import Context, Hit, rule
from .media import MediaDescription

_WEAK_HASHES: Final = frozenset({"md2", "md5", "sha-1"})
_PRIORITY_RANGES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
_MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"


# -- the text ----------------------------------------------------------------------------------------------------------


@rule("line-ends", "warning", "RFC 8866 section 9", "lines do not end with CRLF")
def _line_ends(context: Context) -> Iterator[Hit]:
    for number, line in enumerate(context.text.split("\n"), 1):
        if line and not line.endswith("\r"):
            yield min(number, len(context.lines)), "this line, and maybe others, does not end with CR and LF"
            return


@rule("space-at-end", "warning", "RFC 8866 section 9", "white space at the end of a line")
def _space_at_end(context: Context) -> Iterator[Hit]:
    for number, line in enumerate(context.lines, 1):
        if line[-1:] in {" ", "\t"}:
            yield number, "white space at the end of the line; not every parser takes it away"


@rule("line-order", "warning", "RFC 8866 section 5", "a line stands behind the attributes of its section")
def _line_order(context: Context) -> Iterator[Hit]:
    for index in range(len(context.session.media)):
        attributes = context.find(index, "a=")
        for number in context.find(index, "b=", "c=", "i=", "k="):
            if attributes and number > attributes[0]:
                yield number, f"{context.lines[number - 1][:2]} belongs before the attributes of its section"


@rule("line-twice", "info", "RFC 8866 section 5.13", "a line of a section is there twice")
def _line_twice(context: Context) -> Iterator[Hit]:
    for section in (None, *range(len(context.session.media))):
        seen: dict[str, int] = {}
        for number in context.find(section, "a="):
            line = context.lines[number - 1]
            if seen.setdefault(line, number) != number:
                yield number, f"the same as line {seen[line]}"


@rule("no-sections", "info", "RFC 8829 section 5.2.1", "there is no section")
def _no_sections(context: Context) -> Iterator[Hit]:
    if not context.session.media and not any(line.startswith("m=") for line in context.lines):
        yield 1, "there is no m= line: nothing is offered"


@rule("times", "warning", "RFC 8829 section 5.2.1", "the session has a beginning or an end")
def _times(context: Context) -> Iterator[Hit]:
    timing = context.session.timing
    if timing.start or timing.stop:
        yield context.at(None, "t="), "t= should be 0 0: a WebRTC session has no times"


@rule("connection-missing", "warning", "RFC 8866 section 5.7", "no c= says where a section is")
def _connection_missing(context: Context) -> Iterator[Hit]:
    for index, media in enumerate(context.session.media):
        if media.connection is None and context.session.connection is None and not context.find(index, "c="):
            yield context.starts[index], "neither the section nor the session has a c= line"


# -- sections and groups -----------------------------------------------------------------------------------------------


@rule("mid-missing", "warning", "RFC 8829 section 5.2.1", "a section has no mid")
def _mid_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        if media.mid is None and not context.find(index, "a=mid:"):
            yield context.starts[index], "no a=mid: it cannot be bundled, nor its candidates be told apart"


@rule("group-unknown-mid", "error", "RFC 5888 section 9.2", "a group names a section that does not exist")
def _group_unknown_mid(context: Context) -> Iterator[Hit]:
    mids = {media.mid for media in context.session.media}
    for group, number in zip(context.session.groups, context.find(None, "a=group:"), strict=False):
        for item in group.items:
            if item not in mids:
                yield number, f"no section has a=mid:{item}"


@rule("bundle-twice", "error", "RFC 9143 section 5", "a section is in more than one BUNDLE group")
def _bundle_twice(context: Context) -> Iterator[Hit]:
    seen: set[str] = set()
    for group, number in zip(context.session.groups, context.find(None, "a=group:"), strict=False):
        if group.semantics == "BUNDLE":
            for item in dict.fromkeys(group.items):
                if item in seen:
                    yield number, f"{item} is in another BUNDLE group already"
                seen.add(item)


@rule("bundle-missing", "info", "RFC 8829 section 5.2.1", "several sections without BUNDLE")
def _bundle_missing(context: Context) -> Iterator[Hit]:
    alone = [index for index, media in context.sections() if not context.bundle_of(media)]
    if len(alone) > 1:
        yield context.starts[alone[0]], f"{len(alone)} sections are in no BUNDLE group: each needs its own transport"


@rule("bundle-only-port", "error", "RFC 9143 section 6", "a bundle-only section with a port")
def _bundle_only_port(context: Context) -> Iterator[Hit]:
    for index, media in enumerate(context.session.media):
        if media.bundle_only and media.port and context.kind != "answer":
            yield context.starts[index], f"a=bundle-only goes with port 0, not {media.port}"


@rule("bundle-only-alone", "error", "RFC 9143 section 6", "a bundle-only section outside of BUNDLE")
def _bundle_only_alone(context: Context) -> Iterator[Hit]:
    for index, media in enumerate(context.session.media):
        if media.bundle_only and not context.bundle_of(media):
            yield context.at(index, "a=bundle-only"), "a=bundle-only, but it is in no BUNDLE group"


@rule("bundle-protocol", "error", "RFC 9143 section 9.1", "bundled RTP sections with different profiles")
def _bundle_protocol(context: Context) -> Iterator[Hit]:
    first: dict[str, str] = {}
    for index, media in context.rtp_sections():
        items = context.bundle_of(media)
        if items and first.setdefault(items[0], media.protocol) != media.protocol:
            yield context.starts[index], f"{media.protocol} is bundled with {first[items[0]]}"


@rule("bundle-no-mid-extension", "warning", "RFC 9143 section 9.1", "a bundled RTP section without the MID extension")
def _bundle_no_mid_extension(context: Context) -> Iterator[Hit]:
    bundled = [(index, media) for index, media in context.rtp_sections() if len(context.bundle_of(media)) > 1]
    if len(bundled) > 1:
        for index, media in bundled:
            if not any(extmap.uri == _MID_URI for extmap in context.session.extmaps_of(media)):
                yield context.starts[index], f"no a=extmap for {_MID_URI}: packets are told apart by SSRC and format"


@rule("bundle-transport-differs", "warning", "RFC 9143 section 7.1.3", "bundled sections with different transports")
def _bundle_transport_differs(context: Context) -> Iterator[Hit]:
    first: dict[str, MediaDescription] = {}
    for index, media in context.sections():
        items = context.bundle_of(media)
        if not items or media.bundle_only:
            continue
        other = first.setdefault(items[0], media)
        same = context.session.fingerprints_of(media) == context.session.fingerprints_of(other)
        if not same and media.fingerprints:
            yield (
                context.at(index, "a=fingerprint:"),
                f"other fingerprints than section {other.mid}, which it is bundled with",
            )


# -- security ----------------------------------------------------------------------------------------------------------


@rule("plain-rtp", "error", "RFC 8827 section 6.5", "media without encryption")
def _plain_rtp(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        if "SAVP" not in media.protocol and not context.session.fingerprints_of(media):
            yield context.starts[index], f"{media.protocol} without a fingerprint is not encrypted: browsers refuse it"


@rule("profile", "warning", "RFC 8829 section 5.1.2", "an RTP profile that is not the one of WebRTC")
def _profile(context: Context) -> Iterator[Hit]:
    for index, media in context.rtp_sections():
        if media.protocol not in {"UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"}:
            yield context.starts[index], f"{media.protocol} instead of UDP/TLS/RTP/SAVPF"


@rule("sdes", "error", "RFC 8827 section 6.5", "keys in the description")
def _sdes(context: Context) -> Iterator[Hit]:
    for index in range(len(context.session.media)):
        numbers = context.find(index, "a=crypto:")
        if numbers:
            yield numbers[0], "a=crypto gives the SRTP key to whoever reads this; WebRTC forbids it, nobody may use it"


@rule("fingerprint-missing", "error", "RFC 8827 section 6.5", "no fingerprint")
def _fingerprint_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        known = context.session.fingerprints_of(media) or context.find(index, "a=fingerprint:")
        if not known and not context.find(None, "a=fingerprint:") and context.carries_transport(media):
            yield context.starts[index], "no a=fingerprint: who answers the DTLS handshake cannot be checked"


@rule("fingerprint-weak", "warning", "RFC 8122 section 5", "only fingerprints of broken hash functions")
def _fingerprint_weak(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        found = context.session.fingerprints_of(media)
        if found and all(fingerprint.algorithm in _WEAK_HASHES for fingerprint in found):
            yield context.at(index if media.fingerprints else None, "a=fingerprint:"), "no hash better than SHA-1"


@rule("setup-missing", "warning", "RFC 8842 section 5.2", "no DTLS role")
def _setup_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        unset = context.session.setup_of(media) is None and not context.find(index, "a=setup:")
        if unset and context.session.fingerprints_of(media) and context.carries_transport(media):
            yield context.starts[index], "no a=setup: who begins the DTLS handshake is left open"


@rule("setup-role", "error", "RFC 8842 section 5.2", "a DTLS role that does not fit")
def _setup_role(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        role = context.session.setup_of(media)
        number = context.at(index if media.setup else None, "a=setup:")
        if role == "holdconn":
            yield number, "holdconn: no DTLS association can come of it"
        elif role == "actpass" and context.kind == "answer":
            yield number, "an answer must choose: active or passive"


@rule("setup-offer", "warning", "RFC 8829 section 5.2.1", "an offer that fixes the DTLS role")
def _setup_offer(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        role = context.session.setup_of(media)
        if context.kind == "offer" and role in {"active", "passive"}:
            yield context.at(index if media.setup else None, "a=setup:"), f"an offer says actpass, not {role}"


@rule("identity", "info", "RFC 8827 section 7", "an identity assertion")
def _identity(context: Context) -> Iterator[Hit]:
    for number in context.find(None, "a=identity:"):
        yield number, "nobody checks identity assertions any more; it is ignored"


# -- ICE ---------------------------------------------------------------------------------------------------------------


@rule("ice-missing", "error", "RFC 8839 section 5.4", "no ICE credentials")
def _ice_missing(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        ufrag, password = context.session.ice_parameters_of(media)
        tried = context.find(index, "a=ice-ufrag:", "a=ice-pwd:")
        if ufrag is None and password is None and not tried and context.carries_transport(media):
            yield context.starts[index], "no a=ice-ufrag and a=ice-pwd: WebRTC endpoints connect with ICE only"
        elif (ufrag is None) != (password is None):
            yield context.at(index, "a=ice-"), "a=ice-ufrag and a=ice-pwd go together"


@rule("ice-characters", "warning", "RFC 8839 section 5.4", "characters that ICE credentials do not have")
def _ice_characters(context: Context) -> Iterator[Hit]:
    for section in (None, *range(len(context.session.media))):
        for number in context.find(section, "a=ice-ufrag:", "a=ice-pwd:"):
            value = context.lines[number - 1].partition(":")[2].strip()
            if any(character in value for character in "-_#="):
                yield number, "letters, digits, + and / only; not every endpoint takes others"


@rule("ice-options-form", "warning", "RFC 8839 section 5.6", "ICE options separated by commas")
def _ice_options_form(context: Context) -> Iterator[Hit]:
    for section in (None, *range(len(context.session.media))):
        for number in context.find(section, "a=ice-options:"):
            if "," in context.lines[number - 1]:
                yield number, "options are separated by spaces; with a comma they are one option that nobody knows"


@rule("lite-candidates", "warning", "RFC 8445 section 5.2", "a lite agent with candidates that are not of type host")
def _lite_candidates(context: Context) -> Iterator[Hit]:
    if context.session.ice_lite:
        for index, media in context.sections():
            for number in context.find(index, "a=candidate:"):
                if media.candidates and " typ host" not in context.lines[number - 1]:
                    yield number, "a lite agent has host candidates only"


# -- candidates --------------------------------------------------------------------------------------------------------


@rule("candidate-ignored", "warning", "RFC 8839 section 5.1", "a candidate that everybody ignores")
def _candidate_ignored(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        kept = {f"a=candidate:{item.value}" for item in media.attributes if item.name == "candidate"}
        for number in context.find(index, "a=candidate:"):
            if context.lines[number - 1] in kept:
                yield number, "its transport, type or extensions are unknown: it is ignored"


def _candidate_lines(context: Context) -> Iterator[tuple[int, MediaDescription, int, int]]:
    """Yield section index, section, position among its candidates, and line."""
    wrong = {error.line_number for error in context.errors}
    for index, media in context.sections():
        ignored = {f"a=candidate:{item.value}" for item in media.attributes if item.name == "candidate"}
        numbers = [
            number
            for number in context.find(index, "a=candidate:")
            if number not in wrong and context.lines[number - 1] not in ignored
        ]
        for position, number in enumerate(numbers[: len(media.candidates)]):
            yield index, media, position, number


@rule("candidate-related", "warning", "RFC 8839 section 5.1", "a candidate without its related address, or with one")
def _candidate_related(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        candidate = media.candidates[position]
        complete = candidate.related_host is not None and candidate.related_port is not None
        if candidate.type != "host" and not complete:
            yield number, f"a {candidate.type} candidate has raddr and rport"
        elif candidate.type == "host" and candidate.related_host is not None:
            yield number, "a host candidate has no raddr"


@rule("candidate-tcp", "warning", "RFC 6544 section 4.5", "a TCP candidate whose type or port is wrong")
def _candidate_tcp(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        candidate = media.candidates[position]
        if candidate.transport == "tcp" and candidate.tcp_type is None:
            yield number, "a TCP candidate has a tcptype"
        elif candidate.transport == "udp" and candidate.tcp_type is not None:
            yield number, "tcptype is for TCP candidates"
        elif candidate.tcp_type == "active" and candidate.port not in {0, 9}:
            yield number, f"an active TCP candidate has port 9, not {candidate.port}"


@rule("candidate-name", "warning", "RFC 8839 section 5.1", "a candidate with a domain name")
def _candidate_name(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        host = media.candidates[position].host
        if not is_ip(host) and not host.lower().rstrip(".").endswith(".local"):
            yield number, f"{host} is a domain name; most endpoints resolve .local names only"


@rule("candidate-component", "info", "RFC 8834 section 4.5", "a candidate for RTCP where it is multiplexed")
def _candidate_component(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        if media.candidates[position].component != 1 and (media.rtcp_mux_only or "RTP/" not in media.protocol):
            yield number, "component 2 is never used here"


@rule("candidate-twice", "warning", "RFC 8839 section 5.1", "two candidates with one transport address")
def _candidate_twice(context: Context) -> Iterator[Hit]:
    seen: dict[tuple[object, ...], int] = {}
    for index, media, position, number in _candidate_lines(context):
        c = media.candidates[position]
        key = (index, c.component, c.transport, c.tcp_type, c.host, c.port, c.related_host, c.related_port, c.type)
        if seen.setdefault(key, number) != number and context.lines[seen[key] - 1] != context.lines[number - 1]:
            yield number, f"the same address as in line {seen[key]}"


@rule("candidate-ufrag", "warning", "RFC 8839 section 5.1", "a candidate of another ICE generation")
def _candidate_ufrag(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        ufrag = media.candidates[position].ufrag
        if ufrag is not None and ufrag != context.session.ice_parameters_of(media)[0]:
            yield number, f"its ufrag {ufrag[:40]} is not the one of the section: it is ignored"


@rule("candidate-priority", "info", "RFC 8445 section 5.1.2.1", "a priority that does not fit the type")
def _candidate_priority(context: Context) -> Iterator[Hit]:
    for _, media, position, number in _candidate_lines(context):
        candidate = media.candidates[position]
        preference = candidate.priority >> 24
        if candidate.type == "relay" and preference >= _PRIORITY_RANGES["host"]:
            yield number, "a relay is preferred over direct paths"
        elif candidate.type == "host" and preference < _PRIORITY_RANGES["srflx"] and candidate.transport == "udp":
            yield number, "a host candidate is preferred less than server-reflexive ones"


@rule("candidate-after-end", "info", "RFC 8840 section 8.1", "candidates behind end-of-candidates")
def _candidate_after_end(context: Context) -> Iterator[Hit]:
    for index, _ in context.sections():
        ends, candidates = context.find(index, "a=end-of-candidates"), context.find(index, "a=candidate:")
        if ends and candidates and candidates[-1] > ends[0]:
            yield candidates[-1], f"behind a=end-of-candidates in line {ends[0]}"


@rule("end-without-candidates", "warning", "RFC 8840 section 8.1", "end-of-candidates without any candidate")
def _end_without_candidates(context: Context) -> Iterator[Hit]:
    for index, media in context.sections():
        bundled = any(section.candidates for section in context.session.media if context.bundle_of(media))
        if media.end_of_candidates and not media.candidates and not bundled:
            yield context.at(index, "a=end-of-candidates"), "no candidates, and none will come: nobody can connect"
