"""One way to drive a peer connection of either stack: both follow W3C names over asyncio."""

import asyncio
import contextlib
import importlib

import pytest

MODULES = {"ours": "stack", "aiortc": "aiortc"}
WITH_US = [("ours", "ours"), ("ours", "aiortc"), ("aiortc", "ours")]
PATIENCE = 40.0  # seconds for a whole test; a connection takes well under one, on a machine that has nothing else to do

offerer_and_answerer = pytest.mark.parametrize(("offerer", "answerer"), WITH_US)


def load(name):
    """The module with RTCPeerConnection and its friends of `ours` or `aiortc`."""
    return importlib.import_module(MODULES[name])


def new_connection(name):
    """A peer connection with no STUN server: host candidates only."""
    api = load(name)
    return api.RTCPeerConnection(api.RTCConfiguration(iceServers=[]))


def description(name, sdp, kind):
    return load(name).RTCSessionDescription(sdp=sdp, type=kind)


def name_of(pc):
    """Which stack a peer connection is of."""
    top = type(pc).__module__.partition(".")[0]
    return next(name for name, module in MODULES.items() if module == top)


@contextlib.asynccontextmanager
async def connections(*names):
    """New connections, one of each stack named, closed at the end; all within PATIENCE."""
    made = [new_connection(name) for name in names]
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        await asyncio.gather(*(pc.close() for pc in made))


async def negotiate(offerer, answerer, *, tamper=lambda kind, sdp: sdp, prepare_answer=None):
    """Offer and answer, each with all its candidates.

    tamper: changes a description's text on its way; called with `offer` or `answer` and the text.
    prepare_answer: called once the answerer knows the offer, before it answers.
    """
    await offerer.setLocalDescription(await offerer.createOffer())
    offer = tamper("offer", offerer.localDescription.sdp)
    await answerer.setRemoteDescription(description(name_of(answerer), offer, "offer"))
    if prepare_answer:
        prepare_answer()
    await answerer.setLocalDescription(await answerer.createAnswer())
    answer = tamper("answer", answerer.localDescription.sdp)
    await offerer.setRemoteDescription(description(name_of(offerer), answer, "answer"))


async def state_reached(pc, *wanted):
    """Wait until the connection's state is one of those wanted, and return it."""
    changed = asyncio.Event()
    pc.on("connectionstatechange", changed.set)
    while pc.connectionState not in wanted:
        changed.clear()
        await changed.wait()
    return pc.connectionState


async def connected(*pcs):
    """Wait until all say they are connected."""
    reached = await asyncio.gather(*(state_reached(pc, "connected", "failed", "closed") for pc in pcs))
    if any(state != "connected" for state in reached):
        raise ConnectionError(f"connection states are {', '.join(reached)}")


async def connect(offerer, answerer, **options):
    """Negotiate and wait until both say they are connected."""
    await negotiate(offerer, answerer, **options)
    await connected(offerer, answerer)


async def opened(channel):
    """Wait until a data channel is open, and return it."""
    event = asyncio.Event()
    channel.on("open", event.set)
    if channel.readyState != "open":
        await event.wait()
    return channel


async def closed(channel):
    """Wait until a data channel is closed."""
    event = asyncio.Event()
    channel.on("close", event.set)
    if channel.readyState != "closed":
        await event.wait()


def announced(pc):
    """A queue of the data channels that the peer opens."""
    channels = asyncio.Queue()
    pc.on("datachannel", channels.put_nowait)
    return channels


def inbox(channel):
    """A queue of the messages of a channel."""
    messages = asyncio.Queue()
    channel.on("message", messages.put_nowait)
    return messages


def prefer(pc, mime):
    """Negotiate this codec, and no other, for all video of a connection."""
    capabilities = load(name_of(pc)).RTCRtpSender.getCapabilities("video").codecs
    chosen = [codec for codec in capabilities if codec.mimeType == mime]
    for transceiver in pc.getTransceivers():
        if transceiver.kind == "video":
            transceiver.setCodecPreferences(chosen)
