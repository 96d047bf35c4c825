"""Packets, and both directions of a session in this stack and in libsrtp."""

import struct

from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi

from stack.srtp import AES_256_CM_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, PROFILES, Receiver, Sender

LIBSRTP_PROFILES = {
    0x0001: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    0x0002: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    0x0007: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    0x0008: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
SRTP_AES_ICM_256 = (5, 46)  # libsrtp's number of the cipher, bytes of its key and salt
ENC_XTN_HDR = 104  # where srtp_policy_t has this pointer; their number follows it
EVERY_PROFILE = (*PROFILES, AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32)  # as `Sender` takes them
SSRC = 0x12345678


def profile_of(profile):
    return PROFILES.get(profile, profile)


def keys(profile_id):
    profile = profile_of(profile_id)
    return bytes(range(profile.key_length)), bytes(range(100, 100 + profile.salt_length))


def pair(profile_id, **options):
    return Sender(profile_id, *keys(profile_id)), Receiver(profile_id, *keys(profile_id), **options)


def extension_pair(profile_id, ids):
    make = keys(profile_id)
    return Sender(profile_id, *make, encrypted_extensions=ids), Receiver(profile_id, *make, encrypted_extensions=ids)


def libsrtp(profile_id, *, inbound, extensions=()):
    """A session of libsrtp; extensions: the ids of those that are encrypted.

    What its Python binding has no names for is written into the structures that it hands to libsrtp.
    """
    profile = profile_of(profile_id)
    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    dtls_number = profile.profile_id or (0x0001 if profile.tag_length == 10 else 0x0002)
    key = b"".join(keys(profile_id))
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=LIBSRTP_PROFILES[dtls_number])
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    structure = policy._policy
    if profile.profile_id is None:
        for part in ("rtp", "rtcp"):
            words = ffi.cast("int *", ffi.addressof(structure, part))
            words[0], words[1] = SRTP_AES_ICM_256
    ids = ffi.new("int[]", list(extensions))
    if extensions:
        assert ffi.sizeof("srtp_policy_t") == 128, "another libsrtp: look where it has enc_xtn_hdr"
        end = ffi.cast("char *", structure) + ENC_XTN_HDR
        ffi.cast("int **", end)[0] = ids
        ffi.cast("int *", end + 8)[0] = len(ids)
    return Session(policy)  # which copies it all


def rtp(sequence, payload=b"payload", *, ssrc=SSRC, csrcs=(), extension=None, payload_type=96, form=0xBEDE):
    first = 0x80 | len(csrcs) | (0x10 if extension is not None else 0)
    packet = struct.pack("!BBHLL", first, payload_type, sequence & 0xFFFF, 1000, ssrc)
    packet += b"".join(struct.pack("!L", csrc) for csrc in csrcs)
    if extension is not None:
        packet += struct.pack("!HH", form, len(extension) // 4) + extension
    return packet + payload


def rtcp(payload=b"", *, ssrc=SSRC, packet_type=200):
    return struct.pack("!BBHL", 0x80, packet_type, 1 + len(payload) // 4, ssrc) + payload
