"""Video and sound with browsers over bad links: loss, bursts of it, and a rate that falls and rises again.

Each call goes both ways at once, so that it sees us as sender and as receiver. What is lost is tried at a bitrate that
leaves two cores time for both encoders and decoders: who has no processor for some tenths of a second asks too late.
Then, over a good link, the statistics of both sides are held against each other.
"""

import asyncio
import re
import time

import pytest
import pytest_asyncio

from stack import RTCConfiguration

from .media_browser import FPS, until
from .media_call import MAX_BITRATE, call, offered, offered_above, offered_below
from .media_path import DELAY
from .partner import H264, VP8
from .stacks import inbox, opened

CALLS = [("Chromium", H264), ("Chromium", VP8), ("Firefox", VP8)]
pytestmark = [
    pytest.mark.interop,
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
RATE = 3_000_000  # bit/s each way
LOW = 600_000  # bit/s after the step down
LOW_OF_BROWSERS = 300_000  # the same of what they send: they are slow to rise above it here
LOSS = 0.05
LOSSY = 4.0  # seconds
SETTLED = 2.0  # seconds after that in which what is late may come: libwebrtc's pacer lets so much wait
TRIES = 4  # times of LOSSY
ENOUGH = 0.85  # of the pictures
MODEST = 500_000  # bit/s of each video while packets are lost
BURST = 4  # packets of video in a row
PATIENCE = 6.0  # seconds until a key frame is there; browsers wait 3 s before they ask
QUEUE = 0.4  # seconds of LOW that wait before the bottleneck; more are lost
RISE = 30.0  # seconds until the rate is up; each pause of a process on a busy machine sets it back by some
FALL = 3.0  # seconds until it fits after a step down
FALL_OF_FIREFOX = 8.0  # the same of its sender
QUIET = 2.0  # seconds until the last reports are there
OURS, BROWSER = 0, 1  # in reports
MESSAGES = 20
LATE = {  # seconds, by who sends and the browser; libwebrtc's pacer lets 2 s wait
    ("from us", "Chromium"): 0.5,
    ("from us", "Firefox"): 0.5,
    ("from the browser", "Chromium"): 0.5,
    ("from the browser", "Firefox"): 2.0,
}
LOOKS = 3  # of two seconds, for pictures that are not late


@pytest.mark.parametrize(("browser", "mime"), CALLS)
async def test_a_call_over_a_link_that_narrows(browser, mime):
    async with call(browser, mime, RATE) as line:
        feedback_is_negotiated(line)
        await the_rate_comes_up(line)
        await the_rate_follows_a_step_of_the_link(line)
        sound_was_heard(*await line.reports())


@pytest.mark.parametrize(("browser", "mime"), CALLS)
async def test_a_call_over_a_link_that_loses(browser, mime):
    async with call(browser, mime, RATE, MODEST) as line:
        await loss_is_repaired(line)
        await a_burst_of_loss_ends_with_a_key_frame(line)
        sound_was_heard(*await line.reports())


async def test_reports_of_rfc_8888_both_ways():
    """Chromium knows them where it is told to."""
    configuration = RTCConfiguration(packetReports=["transport-cc", "ccfb"])
    flags = ["--force-fieldtrials=WebRTC-RFC8888CongestionControlFeedback/Enabled,offer:true/"]
    async with call("Chromium", VP8, RATE, configuration=configuration, flags=flags) as line:
        offer, answer = line.descriptions
        assert all(text in offer for text in ("ack ccfb", "transport-cc", TRANSPORT_CC))
        assert "ack ccfb" in answer
        assert "transport-cc" not in answer
        await the_rate_comes_up(line)


def feedback_is_negotiated(line):
    """transport-cc, NACK, PLI and retransmission: in both descriptions of the video."""
    for sdp in line.descriptions:
        video = sdp[sdp.index("m=video") :].partition("\r\nm=")[0]
        assert re.search(rf"a=extmap:\d+ {TRANSPORT_CC}\r\n", video)
        payload_type = re.search(rf"a=rtpmap:(\d+) {line.mime.partition('/')[2]}/90000", video)[1]
        for feedback in ("transport-cc", "nack", "nack pli", "ccm fir"):
            assert f"a=rtcp-fb:{payload_type} {feedback}\r\n" in video
        assert f"apt={payload_type}\r\n" in video


def sound_was_heard(ours, browser):
    """Opus, through all of that."""
    for this, other in ((ours, browser), (browser, ours)):
        sent, received = this.one("outbound-rtp", "audio"), other.one("inbound-rtp", "audio")
        assert received["packetsReceived"] > 0.8 * sent["packetsSent"] > 200
        assert other[received["codecId"]]["mimeType"] == "audio/opus"
    assert browser.one("inbound-rtp", "audio")["totalAudioEnergy"] > 0


async def the_rate_comes_up(line):
    """Both sides find what the path carries; both say so in their statistics, and the encoders use it."""
    goals = {"from us": 0.6 * MAX_BITRATE, "from the browser": 1.1 * LOW_OF_BROWSERS}

    async def ours_says():
        ours = await line.ours()
        target = ours.one("outbound-rtp", "video")["targetBitrate"]
        return min(ours.pair()["availableOutgoingBitrate"], target) > goals["from us"]

    async def browser_says():
        browser = await line.browser.report()
        target = browser.one("outbound-rtp", "video")["targetBitrate"]
        return min(browser.pair()["availableOutgoingBitrate"], target) > goals["from the browser"]

    waiting = {"from us": (line.path.to_peer, ours_says)}
    if line.name == "Chromium":  # Firefox has no such members, and its encoder is too slow for the goal here
        waiting["from the browser"] = line.path.to_us, browser_says
    took = await asyncio.gather(*(offered_above(lane, goals[who], RISE) for who, (lane, _) in waiting.items()))
    await asyncio.gather(*(until(says, RISE) for _, says in waiting.values()))
    for who, seconds in zip(waiting, took, strict=True):
        line.measured[f"rate up, {who}"] = f"{goals[who] / 1e6:.1f} Mbit/s after {seconds:.1f} s"


async def the_rate_follows_a_step_of_the_link(line):
    """Down and up again: what is sent fits within 3 s, pictures are not late then, and it comes back within 30 s."""
    lanes = {"from us": (line.path.to_peer, LOW), "from the browser": (line.path.to_us, LOW_OF_BROWSERS)}
    await asyncio.gather(*(offered_above(lane, 1.1 * limit, RISE) for lane, limit in lanes.values()))
    for lane, limit in lanes.values():
        lane.rate, lane.queue = limit, QUEUE * limit / 8
    begin = time.monotonic()
    patience = {"from us": FALL, "from the browser": FALL if line.name == "Chromium" else FALL_OF_FIREFOX}
    fell = await asyncio.gather(*(offered_below(lane, limit, patience[who]) for who, (lane, limit) in lanes.items()))
    await asyncio.sleep(max(0.0, begin + FALL - time.monotonic()))
    for _ in range(LOOKS):
        rates, late, bitrates = await _over_the_narrow_link(line, lanes)
        if all(late[who] < LATE[who, line.name] for who in lanes):
            break  # who had no processor for a moment is late once
    for who, (_, limit) in lanes.items():
        assert bitrates[who] is None or bitrates[who] < 1.1 * limit
        assert 0.15 * limit < rates[who] <= 1.05 * limit
        assert late[who] < LATE[who, line.name]
    for (who, (_, limit)), seconds in zip(lanes.items(), fell, strict=True):
        used = f"{rates[who] / 1e6:.2f} of {limit / 1e6:.1f} Mbit/s"
        line.measured[f"step down, {who}"] = f"fits after {seconds:.1f} s, then {used}, {late[who]:.2f} s late at most"
    for lane, _ in lanes.values():
        lane.rate, lane.queue = RATE, QUEUE * LOW / 8
    goals = {"from us": 0.6 * MAX_BITRATE, "from the browser": 1.1 * LOW_OF_BROWSERS}
    rose = await asyncio.gather(*(offered_above(lanes[who][0], goal, RISE) for who, goal in goals.items()))
    for (who, goal), seconds in zip(goals.items(), rose, strict=True):
        line.measured[f"step up, {who}"] = f"{goal / 1e6:.2f} Mbit/s after {seconds:.1f} s"


async def _over_the_narrow_link(line, lanes):
    """Two seconds: bit/s that were offered, the latest picture, and the estimates (None for what is not told)."""
    await line.shown()
    then, begin = (await line.shown()).times[-1][0], time.monotonic()
    rates = await asyncio.gather(*(offered(lane, 2.0) for lane, _ in lanes.values()))
    late = (await line.shown()).lateness(then)[0], line.watcher.shown.lateness(begin)[0]
    ours, browser = await line.reports()
    theirs = browser.pair()["availableOutgoingBitrate"] if line.name == "Chromium" else None
    bitrates = ours.pair()["availableOutgoingBitrate"], theirs
    return tuple(dict(zip(lanes, values, strict=True)) for values in (rates, late, bitrates))


async def loss_is_repaired(line):
    """NACK and RTX: 5 % lost each way, and pictures come all the same.

    Without either, each loss ends in a key frame, several a second: most pictures are lost. Where a machine
    has no time for one side for so long that a packet is given up, pictures are lost as well, but not each time.
    """
    before, tries = await line.reports(), []
    while not all(_most_came(tries, who) for who in ("from us", "from the browser")):
        assert len(tries) < TRIES, tries
        tries.append(await _pictures_while_packets_are_lost(line))
    reports = before, await line.reports()
    for who, sender, receiver in (("from us", OURS, BROWSER), ("from the browser", BROWSER, OURS)):
        nacks = _grew(reports, sender, "outbound-rtp", "nackCount")
        again = _grew(reports, sender, "outbound-rtp", "retransmittedPacketsSent")
        assert min(nacks, again, _grew(reports, receiver, "inbound-rtp", "nackCount")) > 0
        if line.name == "Chromium" or receiver == OURS:  # Firefox has no such member
            assert _grew(reports, receiver, "inbound-rtp", "retransmittedPacketsReceived") > 0
        sent, came = max((found[who] for found in tries), key=_share)
        line.measured[f"5 % loss, {who}"] = f"{came} of {sent} pictures, {nacks} NACK, {again} sent again"


def _grew(reports, side, kind, member):
    before, after = (report[side].one(kind, "video")[member] for report in reports)
    return after - before


def _share(counts):
    sent, came = counts
    return came / sent


def _most_came(tries, who):
    return any(_share(found[who]) >= ENOUGH for found in tries)


async def _pictures_while_packets_are_lost(line):
    """(sent, came out at the other end), by who sent them."""
    before, taken = await line.reports(), len(line.watcher.frames)
    lanes = line.path.to_peer, line.path.to_us
    for lane in lanes:
        lane.loss = LOSS
    await asyncio.sleep(LOSSY)
    for lane in lanes:
        lane.loss = 0.0
    await asyncio.sleep(SETTLED)
    reports, came = (before, await line.reports()), len(line.watcher.frames) - taken
    by_us, by_browser = (_grew(reports, side, "outbound-rtp", "framesSent") for side in (OURS, BROWSER))
    assert min(by_us, by_browser) > 0.3 * LOSSY * FPS
    shown = _grew(reports, BROWSER, "inbound-rtp", "framesDecoded")
    return {"from us": (by_us, shown), "from the browser": (by_browser, came)}


async def a_burst_of_loss_ends_with_a_key_frame(line):
    """What is lost does not come again either: the receiver asks for a key frame, and has it within a second.

    We send one unasked when we are asked for packets that are gone, or when the rate falls far.
    """
    reports, begin = await line.reports(), time.monotonic()
    lanes = line.path.to_peer, line.path.to_us
    for lane in lanes:
        lane.burst, lane.without = BURST, line.retransmission_types()
    try:
        at_browser, at_us = await asyncio.gather(
            _browser_recovers(line, *reports), _we_recover(line, reports[0], begin)
        )
    finally:
        for lane in lanes:
            lane.burst, lane.without = 0, frozenset()
    line.measured["burst, from us"] = _recovery(begin, *at_browser)
    line.measured["burst, from the browser"] = _recovery(begin, *at_us)
    asked, came = at_browser
    assert asked is None or came - asked < 1.0
    asked, came = at_us
    assert came - asked < 1.0


def _recovery(begin, asked, came):
    if asked is None:
        return f"key frame after {came - begin:.1f} s, before the receiver asked"
    return f"PLI after {asked - begin:.1f} s, key frame {came - asked:.2f} s later"


def _has_asked(before, now, kind):
    return now.one(kind, "video")["pliCount"] > before.one(kind, "video")["pliCount"]


async def _browser_recovers(line, ours, browser):
    """When we were asked for a key frame (None for not at all), and when the browser had decoded one."""
    asked, keyframes = None, browser.one("inbound-rtp", "video")["keyFramesDecoded"]

    async def decoded():
        nonlocal asked
        now, browser = await line.reports()
        if asked is None and _has_asked(ours, now, "outbound-rtp"):
            asked = time.monotonic()
        return browser.one("inbound-rtp", "video")["keyFramesDecoded"] > keyframes

    await until(decoded, PATIENCE, every=0.02)
    return asked, time.monotonic()


async def _we_recover(line, before, begin):
    """The same with the sides changed; we always ask."""

    async def asked():
        return _has_asked(before, await line.ours(), "inbound-rtp")

    async def came():
        return any(keyframe and when > at for when, keyframe in line.watcher.frames)

    await until(asked, PATIENCE, every=0.01)
    at = time.monotonic()
    await until(came, PATIENCE, every=0.01)
    return at, time.monotonic()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quiet_call():
    """Ours and Chromium's statistics of a call without loss: while it lasts, and when all has come through."""
    async with call("Chromium", VP8, None) as made:
        async with asyncio.timeout(PATIENCE):
            echoes = inbox(await opened(made.channel))
            for number in range(MESSAGES):
                made.channel.send("\N{EURO SIGN}" * number)
            for _ in range(MESSAGES):
                await echoes.get()
        await asyncio.sleep(QUIET)
        lively = await made.reports()
        await made.hush()
        await asyncio.sleep(QUIET)
        return lively, await made.reports()


@pytest.fixture
def reports(quiet_call):
    """The latter."""
    return quiet_call[1]


def streams(reports, kind):
    """(what a side sent, what the other received) both ways."""
    ours, browser = reports
    return [(a.one("outbound-rtp", kind), b.one("inbound-rtp", kind)) for a, b in ((ours, browser), (browser, ours))]


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_both_ends_count_the_same_packets(reports, kind):
    for sent, received in streams(reports, kind):
        assert sent["packetsSent"] == received["packetsReceived"] > 80
        assert sent["bytesSent"] == received["bytesReceived"] > 1000
        assert sent["headerBytesSent"] == received["headerBytesReceived"]
        assert sent["nackCount"] == received.get("nackCount", 0) == 0
        assert received["packetsLost"] == 0


async def test_both_ends_count_the_same_pictures(reports):
    for sent, received in streams(reports, "video"):
        assert sent["framesSent"] == received["framesReceived"] + received["framesDropped"] > 30
        assert sent["keyFramesEncoded"] >= received["keyFramesDecoded"] >= 1
        assert sent["pliCount"] == received["pliCount"]
        assert sent["rtxSsrc"]


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_both_ends_say_the_same_of_each_other(reports, kind):
    for this, other in (reports, reports[::-1]):
        inbound, outbound = this.one("remote-inbound-rtp", kind), this.one("remote-outbound-rtp", kind)
        assert inbound["packetsLost"] == inbound["fractionLost"] == 0
        assert inbound["jitter"] < 0.1
        assert 2 * DELAY <= inbound["roundTripTime"] < 2 * DELAY + 0.2
        sent = other.one("outbound-rtp", kind)
        assert 0 < outbound["packetsSent"] <= sent["packetsSent"]
        assert 0 < outbound["bytesSent"] <= sent["bytesSent"]
        assert abs(outbound["remoteTimestamp"] - outbound["timestamp"]) < 10_000


async def test_both_ends_count_the_same_messages(reports):
    ours, browser = (report.one("data-channel") for report in reports)
    octets = 3 * MESSAGES * (MESSAGES - 1) // 2
    for side in (ours, browser):
        assert side["messagesSent"] == side["messagesReceived"] == MESSAGES
        assert side["bytesSent"] == side["bytesReceived"] == octets
    for member in ("label", "protocol", "dataChannelIdentifier", "state"):
        assert ours[member] == browser[member]


async def test_both_ends_name_the_transport_alike(reports):
    ours, browser = (report.one("transport") for report in reports)
    for member in ("dtlsState", "iceState", "tlsVersion", "dtlsCipher", "srtpCipher"):
        assert ours[member] == browser[member]
    assert {ours["dtlsRole"], browser["dtlsRole"]} == {"client", "server"}
    assert {ours["iceRole"], browser["iceRole"]} == {"controlling", "controlled"}
    for this, other in ((ours, browser), (browser, ours)):
        assert this["bytesSent"] == pytest.approx(other["bytesReceived"], rel=0.02)
        assert this["packetsSent"] == pytest.approx(other["packetsReceived"], rel=0.02)
    pairs = [report.pair() for report in reports]
    for pair in pairs:
        assert (pair["state"], pair["nominated"]) == ("succeeded", True)
        assert 2 * DELAY <= pair["currentRoundTripTime"] < 2 * DELAY + 0.2
        assert pair["responsesReceived"] <= pair["requestsSent"]
    certificates = [
        {entry["fingerprint"] for entry in report.values() if entry["type"] == "certificate"} for report in reports
    ]
    assert certificates[0] == certificates[1]


async def test_every_member_of_ours_is_one_of_chromium_too(quiet_call):
    """Which is W3C's dictionary, as far as it is implemented there."""
    ours, browser = quiet_call[0]
    for entry in ours.values():
        theirs = [other for other in browser.values() if other["type"] == entry["type"]]
        assert (entry["type"], entry.keys() - set().union(*theirs)) == (entry["type"], set())
