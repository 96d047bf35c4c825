"""Video and audio with the stacks that have them, each as offerer and as answerer."""

import asyncio
import itertools

import pytest

from .audio import RATE, Decoder, Tone, clip
from .lossy import lossy_path
from .matrix_link import link
from .partner import H264, VP8, partners
from .stacks import announced, inbox, opened, prefer
from .video import FPS, encoded_track, is_the_picture

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("we_offer", [True, False], ids=["we offer", "partner offers"]),
]
ENOUGH_FRAMES = 20
ENOUGH_PACKETS = 40
LOSS = 0.05
LOSSY_TIME = 4  # seconds
GAP = 4.0  # seconds; 1 s is repaired by retransmission, without a key frame
UNREAD = 1.5  # seconds in which more frames come than a track keeps


async def exchange(one, *tracks, mime="", channels=()):
    """Send tracks and receive one of each kind; return the received ones by kind."""
    received = asyncio.Queue()
    one.pc.on("track", received.put_nowait)

    def add():
        for track in tracks:
            one.pc.addTrack(track)
        if mime:
            prefer(one.pc, mime)

    if one.we_offer:
        add()
    await one.partner.call("start", media=[track.kind for track in tracks], mime=mime, channels=list(channels))
    await one.connect(prepare_answer=add)
    return {track.kind: track for track in [await received.get() for _ in tracks]}


async def partner_receives(one, kind, wanted):
    """What the partner says of the media that it gets from us, once it is as wanted."""
    name = f"inbound-rtp {kind}"
    found = await one.partner.until("statistics", lambda found: name in found and wanted(found[name]))
    return found[name]


def with_key_frames_when_asked():
    """A track, and an event: no key frame is sent until the peer asks for one, which sets the event."""
    track = encoded_track("ours", VP8)
    every, asked = track.recv, asyncio.Event()

    async def recv():
        frame = await every()
        while frame.keyframe and not asked.is_set():
            frame = await every()
        return frame

    track.recv, track.request_keyframe = recv, asked.set
    return track, asked


def frames_of(entry):
    return entry.get("framesDecoded", entry.get("framesReceived", 0))


async def video_both_ways(one, mime, kind):
    ours = encoded_track("ours", mime)
    track = (await exchange(one, ours, mime=mime))["video"]
    frames = [await track.recv() for _ in range(ENOUGH_FRAMES)]
    assert all(is_the_picture(frame) if kind.echoes else frame.width * frame.height for frame in frames)
    steps = [(later.pts - earlier.pts) % (1 << 32) for earlier, later in itertools.pairwise(frames)]
    assert all(0 < step < 90000 for step in steps)
    await partner_receives(one, "video", lambda entry: frames_of(entry) >= ENOUGH_FRAMES)
    assert ours.started == [mime]


@partners(lambda kind: VP8 in kind.video)
async def test_vp8_both_ways(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        await video_both_ways(one, VP8, kind)


@partners(lambda kind: H264 in kind.video)
async def test_h264_both_ways(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        await video_both_ways(one, H264, kind)


@partners(lambda kind: kind.audio)
async def test_opus_both_ways(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        track = (await exchange(one, Tone()))["audio"]
        frames = [await track.recv_encoded() for _ in range(ENOUGH_PACKETS)]
        decoder = Decoder()
        assert sum(decoder.samples(frame.data) for frame in frames) >= ENOUGH_PACKETS // 2 * RATE // 50
        assert not kind.echoes or {frame.data for frame in frames} <= set(clip())
        await partner_receives(one, "audio", heard)


def heard(entry):
    """Packets came, and, where the partner measures it, they were more than silence."""
    return entry["packetsReceived"] >= ENOUGH_PACKETS and entry.get("totalAudioEnergy", 1) > 0


@partners(lambda kind: VP8 in kind.video and kind.audio, "data")
async def test_audio_video_and_data_in_one_bundle(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        if we_offer:
            channel, channels = one.pc.createDataChannel("first"), []
        else:
            others, channels = announced(one.pc), [{"label": "first"}]
        tracks = await exchange(one, encoded_track("ours", VP8), Tone(), mime=VP8, channels=channels)
        if not we_offer:
            channel = await others.get()
        echoes = inbox(await opened(channel))
        for number in range(20):
            channel.send(str(number))
            assert await echoes.get() == str(number)
            await tracks["video"].recv()
            await tracks["audio"].recv_encoded()
        await partner_receives(one, "video", lambda entry: frames_of(entry) >= ENOUGH_FRAMES)
        await partner_receives(one, "audio", heard)


@partners(lambda kind: VP8 in kind.video)
async def test_the_partner_asks_for_a_key_frame(partner, we_offer, kind):
    """The first frames build on one that was never sent: only a key frame, asked for, brings the picture."""
    async with link(partner, we_offer=we_offer) as one:
        track, asked = with_key_frames_when_asked()
        await exchange(one, track, mime=VP8)
        await partner_receives(one, "video", lambda entry: frames_of(entry) >= ENOUGH_FRAMES)
        assert asked.is_set()


@partners(lambda kind: VP8 in kind.video)
async def test_the_partner_sends_a_key_frame_when_we_ask(partner, we_offer, kind):
    """We ask when frames were lost on the way to a slow reader."""
    async with link(partner, we_offer=we_offer) as one:
        track = (await exchange(one, encoded_track("ours", VP8), mime=VP8))["video"]
        assert (await track.recv_encoded()).keyframe
        await asyncio.sleep(UNREAD)
        while not track.dropped:  # noqa: ASYNC110  a counter has no event
            await asyncio.sleep(1 / FPS)
        while not (await track.recv_encoded()).keyframe:
            pass
        sent = (await partner.call("statistics")).get("outbound-rtp video", {})
        assert sent.get("pliCount", 1) >= 1


@partners(lambda kind: kind.counts_repairs)
async def test_loss_is_repaired(partner, we_offer, kind):
    """5 % are lost each way, for as long as it takes: what is missing is asked for and comes again (RFC 4588)."""
    async with lossy_path() as (path, bend), link(partner, we_offer=we_offer, bend=bend) as one:
        track = (await exchange(one, encoded_track("ours", VP8), mime=VP8))["video"]
        assert (await track.recv_encoded()).keyframe
        before = (await partner.call("statistics"))["outbound-rtp video"]["framesSent"]
        path.loss = LOSS
        frames = await frames_in(track, LOSSY_TIME)
        sent = (await partner.call("statistics"))["outbound-rtp video"]
        assert len(frames) >= (sent["framesSent"] - before) * 9 // 10 >= LOSSY_TIME * 10
        assert path.lost >= 10
        assert sent["nackCount"] >= 1
        assert sent["retransmittedPacketsSent"] >= 1
        received = await partner_receives(one, "video", lambda entry: entry["nackCount"] >= 1)
        assert frames_of(received) >= LOSSY_TIME * FPS * 3 // 4


@partners(lambda kind: kind.counts_repairs)
async def test_a_gap_is_followed_by_a_key_frame(partner, we_offer, kind):
    """Too much is lost for repair: both sides ask for a key frame, and go on with it."""
    async with lossy_path() as (path, bend), link(partner, we_offer=we_offer, bend=bend) as one:
        ours, asked = with_key_frames_when_asked()
        track = (await exchange(one, ours, mime=VP8))["video"]
        assert (await track.recv_encoded()).keyframe
        await partner_receives(one, "video", lambda entry: frames_of(entry) >= 10)
        before = await partner.call("statistics")
        asked.clear()
        path.loss = 1.0
        await asyncio.sleep(GAP)
        path.loss = 0.0
        while not (await track.recv_encoded()).keyframe:
            pass
        shown = frames_of(before["inbound-rtp video"])
        await partner_receives(one, "video", lambda entry: frames_of(entry) >= shown + ENOUGH_FRAMES)
        after = await partner.call("statistics")
        assert after["outbound-rtp video"]["pliCount"] > before["outbound-rtp video"]["pliCount"]
        assert after["inbound-rtp video"]["pliCount"] > before["inbound-rtp video"]["pliCount"]
        assert asked.is_set()


async def frames_in(track, seconds):
    """The frames that come in that time."""
    frames, end = [], asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        frames.append(await track.recv_encoded())
    return frames
