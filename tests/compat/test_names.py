"""The names and calls of aiortc are here, but for those that docs/guides/from-aiortc.md lists."""

import dataclasses
import inspect
import re
from pathlib import Path

import aiortc
import aiortc.contrib.media
import aiortc.contrib.signaling
import pytest
from pyee.asyncio import AsyncIOEventEmitter

import stack
import stack.contrib.media
import stack.contrib.signaling

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "from-aiortc.md").read_text()
SHARED = sorted(set(aiortc.__all__) & set(stack.__all__))
CONTRIB = {
    "media": ["MediaBlackhole", "MediaPlayer", "MediaRecorder", "MediaRelay"],
    "signaling": [
        "BYE",
        "BaseSignaling",
        "CopyAndPasteSignaling",
        "TcpSocketSignaling",
        "UnixSocketSignaling",
        "add_signaling_arguments",
        "candidate_from_sdp",
        "candidate_to_sdp",
        "create_signaling",
        "object_from_string",
        "object_to_string",
    ],
}
EXCEPTIONS = {"InvalidAccessError", "InvalidStateError", "MediaStreamError"}
MADE_BY_CONNECTIONS = {
    "RTCDataChannel",
    "RTCDtlsTransport",
    "RTCIceTransport",
    "RTCRtpReceiver",
    "RTCRtpSender",
    "RTCRtpTransceiver",
    "RTCSctpTransport",
    "RTCStatsReport",
}
DIFFERENT_CALLS = {"RTCCertificate", "RTCIceCandidate"}
DIFFERENT_DEFAULTS = {("RTCConfiguration", "iceServers")}


def section(title):
    return GUIDE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names_in_first_column(title):
    rows = re.findall(r"^\| (`.*?`) \|", section(title), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def members(cls):
    """Public methods and attributes of a class of aiortc's, but for those of an event emitter."""
    inherited = {*dir(AsyncIOEventEmitter), *dir(dict), *dir(str)}
    found = {name for name in dir(cls) if not name.startswith("_")}
    if dataclasses.is_dataclass(cls):
        found |= {field.name for field in dataclasses.fields(cls)}
    return found - inherited


def samples():
    """Objects whose attributes are set when they are made."""
    pc = stack.RTCPeerConnection()
    channel, transceiver = pc.createDataChannel("test"), pc.addTransceiver("audio")
    made = [
        *(pc, channel, transceiver, transceiver.sender, transceiver.receiver, transceiver.receiver.track),
        *(pc.sctp, pc.sctp.transport, pc.sctp.transport.transport),
        *(stack.AudioStreamTrack(), stack.VideoStreamTrack(), stack.MediaStreamTrack()),
        *(stack.RTCConfiguration(), stack.RTCIceServer("stun:example.org"), stack.RTCIceParameters()),
        *(stack.RTCSessionDescription("", "offer"), stack.RTCDtlsFingerprint("sha-256", "")),
        *(stack.RTCRtpSender.getCapabilities("video"), *stack.RTCRtpSender.getCapabilities("video").codecs),
        stack.RTCIceCandidate("candidate:1 1 udp 1 192.0.2.1 9 typ host"),
    ]
    return {type(one).__name__: one for one in made}


def test_what_is_not_there_is_in_the_guide_and_nothing_else():
    missing = set(aiortc.__all__) - set(stack.__all__)
    made = samples()
    for name in SHARED:
        ours = made.get(name, getattr(stack, name))
        missing |= {f"{name}.{member}" for member in members(getattr(aiortc, name)) if not hasattr(ours, member)}
    assert names_in_first_column("What is not there") == missing


def test_all_names_can_be_imported():
    assert all(getattr(stack, name) is not None for name in stack.__all__)


def calls(cls):
    """The constructor and the methods of a class of aiortc's, by name."""
    yield cls.__name__, cls
    for name in sorted(members(cls)):
        if inspect.isroutine(getattr(cls, name, None)):
            yield f"{cls.__name__}.{name}", getattr(cls, name)


def shared_calls():
    """(name, aiortc's, ours)"""
    for name in SHARED:
        if name in EXCEPTIONS or issubclass(getattr(aiortc, name), str) or name.endswith("Policy"):
            continue
        for path, theirs in calls(getattr(aiortc, name)):
            attribute = path.partition(".")[2]
            ours = getattr(stack, name)
            if path in MADE_BY_CONNECTIONS | DIFFERENT_CALLS or (attribute and not hasattr(ours, attribute)):
                continue
            yield pytest.param(theirs, getattr(ours, attribute) if attribute else ours, id=path)
    for module, names in CONTRIB.items():
        for name in names:
            theirs = getattr(getattr(aiortc.contrib, module), name)
            ours = getattr(getattr(stack.contrib, module), name)
            if inspect.isclass(theirs):
                for path, call in calls(theirs):
                    attribute = path.partition(".")[2]
                    yield pytest.param(call, getattr(ours, attribute) if attribute else ours, id=f"{module}.{path}")
            elif inspect.isroutine(theirs):
                yield pytest.param(theirs, ours, id=f"{module}.{name}")


def plain(default):
    """A default of ours and of aiortc's in the same words."""
    return getattr(default, "value", repr(default) if "factory" in repr(default) else default)


@pytest.mark.parametrize(("theirs", "ours"), list(shared_calls()))
def test_the_call_is_the_same(request, theirs, ours):
    there, here = inspect.signature(theirs), inspect.signature(ours)
    values = dict.fromkeys(there.parameters, 0)
    required = {name: 0 for name, parameter in there.parameters.items() if parameter.default is parameter.empty}
    here.bind(*values.values())
    here.bind(*list(values)[:1], **dict(list(values.items())[1:]))  # as a method, all but self by name
    here.bind(**required)
    for name, parameter in there.parameters.items():
        allowed = (request.node.callspec.id, name) in DIFFERENT_DEFAULTS
        if parameter.default is not parameter.empty and not allowed:
            assert plain(here.parameters[name].default) == plain(parameter.default)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs) or returns_done(ours)


def returns_done(call):
    return inspect.signature(call).return_annotation is stack.aio.rtp.Done


def test_calls_that_differ_are_in_the_guide():
    listed = {re.match(r"\w+", call)[0] for call in names_in_first_column("Calls that differ")}
    assert listed == DIFFERENT_CALLS | {name for name, _ in DIFFERENT_DEFAULTS}
    text = section("Calls that differ")
    assert all(f"`{name}`" in text for name in MADE_BY_CONNECTIONS)


@pytest.mark.parametrize("name", sorted(name for name in SHARED if name.endswith("Policy")))
def test_enumerations_have_the_same_values(name):
    theirs, ours = getattr(aiortc, name), getattr(stack, name)
    assert {item.name: item.value for item in theirs} == {item.name: item.value for item in ours}
