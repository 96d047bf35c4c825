"""SRTP alone: packets of 1200 bytes of one source, in order, through this stack and through libsrtp.

The quickest of many short rounds counts, as in `timeit`: what else a machine does only ever makes a round slower.
"""

import struct
import time
from collections import Counter

from pylibsrtp import Policy, Session

from stack.srtp import PROFILES, Receiver, Sender

from .registry import Metric, benchmark

PEER = "pylibsrtp"
SIZE = 1200  # bytes of an RTP packet, header included
PACKETS = 500  # in a round: what fits in a processor's cache, as a packet fresh from a socket does
BATCH = 20  # packets in one call: a frame at 5 Mbit/s
LIBSRTP_PROFILES = {0x0001: Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 0x0007: Policy.SRTP_PROFILE_AEAD_AES_128_GCM}

PLAIN = [struct.pack("!BBHLL", 0x80, 96, 1000 + n, 3000 * n, 0x12345678) + bytes(SIZE - 12) for n in range(PACKETS)]
# As they leave a sender here: with an extension that holds the identification and the transport-wide number.
EXTENDED = [packet[:12].replace(b"\x80", b"\x90", 1) + b"\xbe\xde\0\x02" + bytes(8) + packet[24:] for packet in PLAIN]


def keys(profile_id):
    profile = PROFILES[profile_id]
    return bytes(range(profile.key_length)), bytes(range(100, 100 + profile.salt_length))


def libsrtp(profile_id, direction):
    policy = Policy(key=b"".join(keys(profile_id)), ssrc_type=direction, srtp_profile=LIBSRTP_PROFILES[profile_id])
    return Session(policy)


def new_protect(side, profile_id):
    if side == PEER:
        return libsrtp(profile_id, Policy.SSRC_ANY_OUTBOUND).protect
    return Sender(profile_id, *keys(profile_id)).protect


def new_unprotect(side, profile_id):
    if side == PEER:
        return libsrtp(profile_id, Policy.SSRC_ANY_INBOUND).unprotect
    return Receiver(profile_id, *keys(profile_id)).unprotect


def rate(new_transform, packets, quick):
    """Packets per second in the quickest round; each has a new session, so that nothing is a replay."""
    rounds = []
    for _ in range(5 if quick else 100):
        transform = new_transform()
        transform(packets[0])  # a source's first packet sets it up
        begin = time.perf_counter()
        for packet in packets[1:]:
            transform(packet)
        rounds.append(time.perf_counter() - begin)
    return (len(packets) - 1) / min(rounds)


def measure(side, profile_id, name, quick):
    protect = new_protect("ours", profile_id)
    sealed = [protect(packet) for packet in PLAIN]
    return {
        f"srtp-protect-{name}": rate(lambda: new_protect(side, profile_id), PLAIN, quick),
        f"srtp-unprotect-{name}": rate(lambda: new_unprotect(side, profile_id), sealed, quick),
    }


def batch_rate(new_transform, side, packets, quick):
    """The same with `BATCH` packets at a time: in one call of ours, in a call for each of libsrtp's."""
    batches = [packets[at : at + BATCH] for at in range(1, len(packets), BATCH)]
    rounds = []
    for _ in range(5 if quick else 100):
        transform, dropped, done = new_transform(), Counter(), 0
        if side == PEER:
            transform(packets[0])
            begin = time.perf_counter()
            for batch in batches:
                done += len([transform(packet) for packet in batch])
        else:
            transform(packets[:1], dropped)
            begin = time.perf_counter()
            for batch in batches:
                done += len(transform(batch, dropped))
        rounds.append(time.perf_counter() - begin)
        if done != len(packets) - 1:
            raise RuntimeError(f"not all packets came out: {dropped}")
    return (len(packets) - 1) / min(rounds)


@benchmark(
    Metric("srtp-protect-gcm-batch", "packets/s", "higher"),
    Metric("srtp-unprotect-gcm-batch", "packets/s", "higher"),
    peer=PEER,
)
def gcm_batch(side, quick):
    """AEAD_AES_128_GCM as the peer connection uses it: packets with an extension, `BATCH` of them at a time."""
    profile_id = 0x0007
    protect = new_protect("ours", profile_id)
    sealed = [protect(packet) for packet in EXTENDED]
    protect, unprotect = (
        (lambda: new_protect(side, profile_id), lambda: new_unprotect(side, profile_id))
        if side == PEER
        else (
            lambda: Sender(profile_id, *keys(profile_id)).protect_batch,
            lambda: Receiver(profile_id, *keys(profile_id)).unprotect_batch,
        )
    )
    return {
        "srtp-protect-gcm-batch": batch_rate(protect, side, EXTENDED, quick),
        "srtp-unprotect-gcm-batch": batch_rate(unprotect, side, sealed, quick),
    }


@benchmark(
    Metric("srtp-protect-gcm", "packets/s", "higher"),
    Metric("srtp-unprotect-gcm", "packets/s", "higher"),
    peer=PEER,
)
def gcm(side, quick):
    """AEAD_AES_128_GCM."""
    return measure(side, 0x0007, "gcm", quick)


@benchmark(
    Metric("srtp-protect-cm80", "packets/s", "higher"),
    Metric("srtp-unprotect-cm80", "packets/s", "higher"),
    peer=PEER,
)
def cm80(side, quick):
    """AES_CM_128_HMAC_SHA1_80."""
    return measure(side, 0x0001, "cm80", quick)
