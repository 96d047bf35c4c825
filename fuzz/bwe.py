# ruff: noqa: SLF001  the limits to check are inside
"""The machines of stack.bwe against any order of any calls, coded in bytes: one octet says what, the next ones how."""

import math
import struct

from stack.bwe import Estimator, KeyframeNeeded, Kind, PacedPacket, Pacer, ProbeCluster, ProbeRequested, RemoteEstimator
from stack.bwe import estimator as estimator_module
from stack.bwe import pacer as pacer_module

_RESULT = struct.Struct("!Hf")
LOW, HIGH = 50_000, 4_000_000
START = 1000.0


def require(condition, message):
    """Raise unless the invariant holds."""
    if not condition:
        raise RuntimeError(message)


def calls_in(data, size=8):
    """Cut the input into calls of `size` octets; the last one is filled up with zeros."""
    for at in range(0, len(data), size):
        yield data[at : at + size].ljust(size, b"\0")


def check_estimator(data):
    """Nothing reported raises; the target is within its bounds, the tables are bounded, no deadline is in the past."""
    made = Estimator(min_bitrate=LOW, start_bitrate=300_000, max_bitrate=HIGH, transport_feedback=data[:1] != b"\xff")
    now, number = START, 0
    for call in calls_in(data):
        what, how = call[0] % 8, call[1]
        value = struct.unpack_from("!f", call, 2)[0]
        if what == 0:  # a train of packets, some in a cluster, and a report on them in even gaps
            sent = []
            for _ in range(how % 32 + 1):
                made.packet_sent(number & 0xFFFF, 1200, now, probe=call[6] % 4 or None)
                sent.append(number & 0xFFFF)
                number += 1
                now += call[7] / 20_000
            begin = value if abs(value) < 1e9 else 0.0
            made.feedback([(n, begin + index * call[2] / 10_000) for index, n in enumerate(sent)], now)
        elif what == 1:
            made.packet_sent(how << 8 | call[2], call[3] + 1, now)
        elif what == 2:
            made.feedback([(_RESULT.unpack_from(call, 1)[0], value), (number - 1 & 0xFFFF, None)], now)
        elif what == 3:
            made.report_block(value, value, now)
        elif what == 4:
            made.remb(value, now)
        elif what == 5:
            made.round_trip(value, now)
        elif what == 6:
            made.path_changed(now)
        now += how / 100
        while (due := made.next_timer()) is not None and due <= now:
            made.handle_timer(due)
            after = made.next_timer()
            require(after is None or after > due, "a deadline that has passed")
        require(LOW <= made.target_bitrate <= HIGH, f"target {made.target_bitrate}")
        require(made.target_bitrate <= made.pacing_rate <= 3 * HIGH, f"pacing {made.pacing_rate}")
        require(len(made._history) <= estimator_module.MAX_HISTORY, "history")
        require(len(made._events) <= estimator_module.MAX_PENDING_EVENTS, "events")
        require(made.in_flight >= 0 and math.isfinite(made.queue_delay), "in flight, queue delay")
        require(made.acknowledged_bitrate is None or made.acknowledged_bitrate >= 0, "acknowledged")
    while (event := made.next_event()) is not None:
        if isinstance(event, ProbeRequested):
            require(event.cluster.bitrate > 0 and event.cluster.size > 0, "an empty cluster")


def _call_pacer(pacer, call, now):
    """Make one call; return how many packets were given."""
    what, how, size = call[0] % 8, call[1], (call[2] << 8 | call[3]) % 1500 + 1
    if what < 3:
        for index in range(how % 16 + 1):
            pacer.send(PacedPacket(None, size, Kind.VIDEO, call[4] % 3, call[5] % 4 == 0, index == 0), now)
        return how % 16 + 1
    if what == 3:
        kind = (Kind.RTCP, Kind.AUDIO, Kind.RETRANSMISSION, Kind.PADDING)[call[4] % 4]
        pacer.send(PacedPacket(None, size, kind), now)
        return 1
    if what == 4:
        pacer.set_pacing_rate(20_000 + how * size, now)
    elif what == 5:
        pacer.probe(ProbeCluster(how, 20_000 + how * size, 5, size * 4), now)
    elif what == 6:
        pacer.remove_stream(call[4] % 3, now)
    elif wanted := pacer.padding_needed(now):
        pacer.send(PacedPacket(None, wanted, Kind.PADDING), now)
        return 1
    return 0


def check_pacer(data):
    """Each packet leaves once or is counted as dropped; RTCP and audio leave at once; it comes to rest."""
    pacer, now = Pacer(pacing_rate=300_000), START
    given = left = 0

    def drain(until):
        nonlocal now, left
        for _ in range(20_000):
            out = pacer.datagrams_to_send(now)
            left += len(out)
            require(not pacer.datagrams_to_send(now), "a second drain")
            require(not any(pacer._urgent), "urgent packets wait")
            due = pacer.next_timer()
            if due is None or due > until:
                return
            now = max(now, due)
            pacer.handle_timer(now)
            after = pacer.next_timer()
            require(after is None or after > now, "a deadline that has passed")
        raise RuntimeError("no rest")

    for call in calls_in(data):
        given += _call_pacer(pacer, call, now)
        later = now + call[7] / 1000
        drain(later)
        now = later
        require(pacer.queued_bytes >= 0, "bytes")
        require(len(pacer._events) <= pacer_module.MAX_PENDING_EVENTS, "events")
    drain(now + 100.0)
    dropped = sum(count for reason, count in pacer.dropped.items() if not reason.startswith("probe"))
    require(given == left + dropped, f"{given} given, {left} left, {dropped} dropped")
    require(pacer.queued_packets == pacer.queued_bytes == pacer._keyframe_packets == 0, "something is left")
    while (event := pacer.next_event()) is not None:
        require(isinstance(event, KeyframeNeeded), "another event")


def check_remote(data):
    """The estimate is within its bounds whatever the send times say."""
    made, now = RemoteEstimator(min_bitrate=LOW, start_bitrate=300_000, max_bitrate=HIGH), START
    for call in calls_in(data, 6):
        now += call[0] / 500
        made.packet_received(call[1], call[2] * 5 + 1, now, abs_send_time=int.from_bytes(call[3:6], "big"))
        made.handle_timer(now)
        require(LOW <= made.bitrate <= HIGH, f"estimate {made.bitrate}")
        require(len(made._events) <= 16, "events")


TARGETS = {"bwe-estimator": check_estimator, "bwe-pacer": check_pacer, "bwe-remote": check_remote}
