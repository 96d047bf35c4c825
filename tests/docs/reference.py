# ruff: noqa: T201  a command line prints
"""Write the signatures and docstrings of the public names into docs/reference.

    python -m tests.docs.reference

A page of docs/reference has its prose by hand, and a place for each name that it describes:

    <!-- api: RTCDataChannel -->
    <!-- /api -->

What is between is written here, so that nobody copies a signature or a docstring by hand; a test compares both.
"""

import ast
import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from stack import aio
from stack.peer import stats

PAGES = Path(__file__).parents[2] / "docs" / "reference"
BLOCK = re.compile(r"<!-- api: (\w+) -->\n(?P<text>.*?)<!-- /api -->", re.DOTALL)
STATISTICS = re.compile(r"<!-- statistics -->\n.*?<!-- /statistics -->", re.DOTALL)
MAX_DEFAULT = 30  # characters: longer defaults are named only

WEBRTC = "https://www.w3.org/TR/webrtc/#"
STATS = "https://www.w3.org/TR/webrtc-stats/#"
CAPTURE = "https://www.w3.org/TR/mediacapture-streams/#"

CLASSES = {
    "InvalidAccessError": "https://webidl.spec.whatwg.org/#invalidaccesserror",
    "InvalidModificationError": "https://webidl.spec.whatwg.org/#invalidmodificationerror",
    "InvalidStateError": "https://webidl.spec.whatwg.org/#invalidstateerror",
    "MediaStreamTrack": f"{CAPTURE}mediastreamtrack",
    "NotSupportedError": "https://webidl.spec.whatwg.org/#notsupportederror",
    "OperationError": "https://webidl.spec.whatwg.org/#operationerror",
    "RTCDataChannel": f"{WEBRTC}rtcdatachannel",
    "RTCDtlsTransport": f"{WEBRTC}rtcdtlstransport-interface",
    "RTCIceCandidate": f"{WEBRTC}rtcicecandidate-interface",
    "RTCIceCandidateError": f"{WEBRTC}rtcpeerconnectioniceerrorevent",
    "RTCIceTransport": f"{WEBRTC}rtcicetransport",
    "RTCPeerConnection": f"{WEBRTC}interface-definition",
    "RTCRtpReceiver": f"{WEBRTC}rtcrtpreceiver-interface",
    "RTCRtpSender": f"{WEBRTC}rtcrtpsender-interface",
    "RTCRtpTransceiver": f"{WEBRTC}rtcrtptransceiver-interface",
    "RTCSctpTransport": f"{WEBRTC}rtcsctptransport-interface",
    "RTCSessionDescription": f"{WEBRTC}rtcsessiondescription-class",
    "RTCStatsReport": f"{WEBRTC}rtcstatsreport-object",
    "SdpSyntaxError": f"{WEBRTC}dom-rtcerrordetailtype-sdp-syntax-error",
}
"""Where a name is specified, if not at `#dom-` and the name; of names without RTC only those here are W3C's."""

OLD_STYLE = {
    "RTCPeerConnection": {
        "addIceCandidate": "dom-peerconnection-addicecandidate",
        "connectionState": "dom-peerconnection-connection-state",
        "createDataChannel": "dom-peerconnection-createdatachannel",
        "currentLocalDescription": "dom-peerconnection-currentlocaldesc",
        "currentRemoteDescription": "dom-peerconnection-currentremotedesc",
        "getReceivers": "dom-peerconnection-getreceivers",
        "getSenders": "dom-peerconnection-getsenders",
        "getStats": "widl-RTCPeerConnection-getStats-Promise-RTCStatsReport--MediaStreamTrack-selector",
        "getTransceivers": "dom-peerconnection-gettranseceivers",
        "iceConnectionState": "dom-peerconnection-ice-connection-state",
        "iceGatheringState": "dom-peerconnection-ice-gathering-state",
        "localDescription": "dom-peerconnection-localdescription",
        "pendingLocalDescription": "dom-peerconnection-pendinglocaldesc",
        "pendingRemoteDescription": "dom-peerconnection-pendingremotedesc",
        "remoteDescription": "dom-peerconnection-remotedescription",
        "setLocalDescription": "dom-peerconnection-setlocaldescription",
        "setRemoteDescription": "dom-peerconnection-setremotedescription",
        "signalingState": "dom-peerconnection-signaling-state",
    },
    "RTCDataChannel": {
        name: f"dom-datachannel-{name.lower()}"
        for name in (
            "binaryType",
            "bufferedAmount",
            "label",
            "maxPacketLifeTime",
            "maxRetransmits",
            "negotiated",
            "ordered",
            "protocol",
            "readyState",
        )
    },
    "RTCRtpReceiver": {"track": "dom-rtpreceiver-track"},
    "RTCRtpTransceiver": {"mid": "dom-rtptransceiver-mid"},
}
"""Members whose place in the specification is not `#dom-class-member`."""

OURS = {
    "RTCCertificate": {"generate", "generateCertificate"},
    "RTCDataChannel": {"drain", "error", "latest", "send_wait", "__aiter__"},
    "RTCPeerConnection": {"explain", "iceReport", "statistics"},
    "RTCRtpCodecCapability": {"name"},
    "RTCRtpReceiver": {"streams"},
    "RTCRtpSender": {"kind", "replace"},
    "RTCRtpTransceiver": {"kind", "stopped"},
    "RTCStatsReport": {"of_type"},
}
"""Members that W3C has not."""

INTERNAL = {
    "RTCDataChannel": {"above_threshold", "check_threshold", "deliver", "dispatch"},
    "RTCPeerConnection": {
        "buffered_amount",
        "close_channel",
        "request_keyframe",
        "run_sender",
        "send_frame",
        "send_message",
        "set_codec_preferences",
        "set_direction",
        "set_encodings",
        "set_streams",
        "stop_transceiver",
        "transports",
    },
    "RTCRtpReceiver": {"renew"},
    "RTCRtpSender": {"halt", "on_keyframe_request", "on_target_bitrate", "start"},
    "RemoteStreamTrack": {"deliver"},
}
"""What the parts of the API call on each other, and no application does."""

SHORT = re.compile(r"(?<![\w.])(?:stack|collections|typing|asyncio|os|datetime|fractions)\.(?:\w+\.)*(?=[A-Z])")


def shorten(text: str) -> str:
    """Leave out modules and the quotes of forward references."""
    return SHORT.sub("", text).replace("'", "") if "Literal" not in text else SHORT.sub("", text)


def names(cls: type) -> list[str]:
    """The members of a class that are documented, in the order of its source."""
    bases = [base for base in reversed(cls.__mro__) if base is cls or _is_part(base)]
    found = [name for base in bases for name in vars(base) if not name.startswith("_") or name == "__aiter__"]
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    return [name for name in found if name not in INTERNAL.get(cls.__name__, set()) | fields and describes(cls, name)]


def _is_part(base: type) -> bool:
    """Whether a base class is there only to keep files short, and not a name of its own."""
    return base.__module__.startswith("stack.aio.") and base.__name__ not in aio.__all__


def describes(cls: type, name: str) -> bool:
    """Whether there is something to say: constants of a class and overridden methods are described elsewhere."""
    member = inspect.getattr_static(cls, name)
    return isinstance(member, property | staticmethod | classmethod) or inspect.isfunction(member)


def link(cls: str, member: str | None = None) -> str:
    """Where it is specified, as Markdown; empty if it is ours."""
    if member is None:
        url = CLASSES.get(cls, f"{WEBRTC}dom-{cls.lower()}" if cls.startswith("RTC") else "")
        return f"[Specification]({url})" if url else ""
    if member in OURS.get(cls, set()) or not link(cls) or (cls == "MediaStreamTrack" and member != "stop"):
        return ""
    base = CAPTURE if cls == "MediaStreamTrack" else WEBRTC
    if cls == "RTCDataChannel" and member == "priority":
        return "[W3C](https://www.w3.org/TR/webrtc-priority/#dom-rtcdatachannel-priority)"
    anchor = OLD_STYLE.get(cls, {}).get(member, f"dom-{cls}-{member}".lower())
    return f"[W3C]({base}{anchor})"


def signature(name: str, function: object) -> str:
    """The signature as one writes it, without `self`, one argument a line where it is long."""
    found = inspect.signature(function)  # type: ignore[arg-type]  whatever has one
    parameters = [p for p in found.parameters.values() if p.name not in {"self", "cls"}]
    texts, keyword_only = [], False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            keyword_only = True
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            texts.append("*")
        texts.append(_parameter(parameter))
    returned = "" if found.return_annotation in {found.empty, None} else shorten(_annotation(found.return_annotation))
    end = f" -> {returned}" if returned and returned != "None" else ""
    line = f"{name}({', '.join(texts)}){end}"
    return line if len(line) <= 100 else "\n".join([f"{name}(", *(f"    {text}," for text in texts), f"){end}"])


def _annotation(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        text = ("*" if parameter.kind is parameter.VAR_POSITIONAL else "**") + text
    if parameter.annotation is not parameter.empty:
        text += f": {shorten(_annotation(parameter.annotation))}"
    if parameter.default is parameter.empty:
        return text
    default = repr(parameter.default)
    if default == "<factory>":
        default = "..."
    return f"{text} = {default if len(default) <= MAX_DEFAULT else f'{type(parameter.default).__name__}()'}"


def prose(docstring: str | None) -> Iterator[str]:
    """A Google-style docstring as Markdown."""
    title, item = "", ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        if (heading := re.fullmatch(r"(Args|Raises|Attributes|Returns):", line)) is not None:
            title = {"Args": "Arguments"}.get(heading[1], heading[1])
            yield f"{title}:"
            yield ""
        elif not title or not line.strip():
            if item:
                yield item
                item = ""
            title = title if line.startswith(" ") else ""
            yield line
        elif (entry := re.fullmatch(r" {4}(\w+): (.*)", line)) is not None:
            if item:
                yield item
            item = f"- `{entry[1]}`: {entry[2]}"
        else:
            item += f" {line.strip()}"
    if item:
        yield item
    yield ""


def describe(name: str) -> str:
    """What stands on the page for a name."""
    cls = getattr(aio, name)
    lines = [f"## {name}", ""]
    if issubclass(cls, enum.Enum):
        values = ", ".join(f"`{member.name}` is `{member.value!r}`" for member in cls)
        lines += [link(name), "", f"{inspect.getdoc(cls)} {values}.", ""]
        return "\n".join(lines).strip("\n") + "\n"
    if issubclass(cls, BaseException):
        lines += [f"A `{cls.__mro__[1].__name__}`. {link(name)}".rstrip(), ""]
    elif issubclass(cls, dict) or name in {"RTCDataChannel", "RemoteStreamTrack"} or name.endswith("Transport"):
        lines += [link(name), ""] if link(name) else []
    elif name in {"RTCRtpSender", "RTCRtpReceiver", "RTCRtpTransceiver"}:
        lines += [link(name), ""]
    else:
        lines += ["```text", signature(name, cls), "```", "", *([link(name), ""] if link(name) else [])]
    lines += prose(cls.__doc__)
    lines += _attributes(cls)
    for member in names(cls):
        value = inspect.getattr_static(cls, member)
        if not isinstance(value, property):
            lines += _method(cls, member, value)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def _attributes(cls: type) -> Iterator[str]:
    found = [(name, value) for name in names(cls) if isinstance(value := inspect.getattr_static(cls, name), property)]
    if not found:
        return
    yield "| attribute | type | what |"
    yield "| --- | --- | --- |"
    for name, value in found:
        kind = shorten(_annotation(inspect.signature(value.fget).return_annotation)).replace("|", "\\|")
        text = " ".join(line.strip() for line in prose(value.fget.__doc__) if line.strip())
        writable = " Can be assigned." if value.fset is not None and "assign" not in text else ""
        yield f"| `{name}` | `{kind}` | {text}{writable} {link(cls.__name__, name)}".rstrip() + " |"
    yield ""


def _method(cls: type, name: str, value: object) -> Iterator[str]:
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if name == "__aiter__":
        title, text = "async for", f"async for message in {cls.__name__[3:].lower()}"
    else:
        title = name
        text = ("async " if inspect.iscoroutinefunction(function) else "") + signature(name, function)
    yield f"### {cls.__name__}: {title}"
    yield ""
    yield from ("```text", text, "```", "")
    yield from prose(function.__doc__)  # type: ignore[attr-defined]  a function has one
    if found := link(cls.__name__, name):
        yield from (found, "")


def statistics() -> str:
    """The types of statistics and their members, as the code fills them in."""
    members: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse(Path(stats.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_add":
            kind = node.args[1]
            known = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
            both = ["local-candidate", "remote-candidate"]
            for name in [str(kind.value)] if isinstance(kind, ast.Constant) else both:
                members[name] = known
    rows = [
        f"| [`{name}`]({STATS}dom-rtcstatstype-{name}) | {', '.join(f'`{member}`' for member in found)} |"
        for name, found in sorted(members.items())
    ]
    return "\n".join(["| type | members beside `id`, `type` and `timestamp` |", "| --- | --- |", *rows]) + "\n"


def written(page: str) -> str:
    """A page with all that is generated brought up to date."""
    page = STATISTICS.sub(lambda _: f"<!-- statistics -->\n\n{statistics()}\n<!-- /statistics -->", page)
    return BLOCK.sub(lambda match: f"<!-- api: {match[1]} -->\n\n{describe(match[1])}\n<!-- /api -->", page)


def main() -> int:
    """Bring all pages up to date; return the exit code."""
    for path in sorted(PAGES.glob("*.md")):
        old = path.read_text()
        if (new := written(old)) != old:
            path.write_text(new)
            print(f"{path.relative_to(PAGES.parents[1])} was brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
