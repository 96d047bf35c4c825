"""STUN alone: one connectivity check of ICE, written and read, through this stack and through aioice."""

import statistics
import time

import aioice.stun

from stack.stun import BINDING, Class, Message

from .registry import Metric, benchmark

KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION_ID = bytes(range(12))
USERNAME, PRIORITY, TIE_BREAKER = "evtj:h6vY", 1845494271, 0x932FF9B151263B36
MESSAGES = 500  # in a round


def ours():
    request = Message(
        BINDING,
        Class.REQUEST,
        TRANSACTION_ID,
        username=USERNAME,
        priority=PRIORITY,
        ice_controlling=TIE_BREAKER,
    )
    data = request.serialize(key=KEY)
    received = Message.parse(data)
    if not received.verify_integrity(KEY) or received.username != USERNAME:
        raise RuntimeError("not what was sent")
    return data


def theirs():
    request = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST, TRANSACTION_ID)
    request.attributes["USERNAME"] = USERNAME
    request.attributes["PRIORITY"] = PRIORITY
    request.attributes["ICE-CONTROLLING"] = TIE_BREAKER
    request.add_message_integrity(KEY)
    request.add_fingerprint()
    data = bytes(request)
    received = aioice.stun.parse_message(data)
    received.check_message_integrity(KEY)  # raises
    if received.attributes["USERNAME"] != USERNAME:
        raise RuntimeError("not what was sent")
    return data


@benchmark(Metric("stun-codec", "messages/s", "higher"), peer="aioice")
def codec(side, quick):
    """A Binding request with USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY and FINGERPRINT.

    Written from its values, then parsed with the fingerprint checked, and its integrity verified.
    """
    if ours() != theirs():
        raise RuntimeError("the two disagree about the bytes")
    one = ours if side == "ours" else theirs
    rounds = []
    for _ in range(5 if quick else 60):
        begin = time.perf_counter()
        for _ in range(MESSAGES):
            one()
        rounds.append(time.perf_counter() - begin)
    return {"stun-codec": MESSAGES / statistics.median(rounds)}
