"""SRTP: what the receiver makes of anything, and that only what the sender made gets through."""

from stack.core import DropPacket
from stack.srtp import PROFILES, Receiver, Sender

KEYS = {p.profile_id: (bytes(range(p.key_length)), bytes(range(p.salt_length))) for p in PROFILES.values()}
STRANGER = {p.profile_id: (bytes(p.key_length), bytes(p.salt_length)) for p in PROFILES.values()}


def check_receiver(data: bytes) -> None:
    """Bytes that no holder of the key has made are dropped, by every profile, and leave no source behind."""
    for profile_id, keys in KEYS.items():
        receiver = Receiver(profile_id, *keys)
        for unprotect in (receiver.unprotect, receiver.unprotect_rtcp):
            try:
                unprotect(data)
            except DropPacket:
                continue
            raise AssertionError("a forgery got through")
        if receiver._sources or receiver._rtcp_sources:  # noqa: SLF001  the invariant is about them
            raise AssertionError("a forgery left a trace")


def check_sender(data: bytes) -> None:
    """What the sender takes for a packet comes back unchanged, once, and not with other keys."""
    for profile_id, keys in KEYS.items():
        sender, receiver = Sender(profile_id, *keys), Receiver(profile_id, *keys)
        stranger = Receiver(profile_id, *STRANGER[profile_id])
        for protect, unprotect, foreign in (
            (sender.protect, receiver.unprotect, stranger.unprotect),
            (sender.protect_rtcp, receiver.unprotect_rtcp, stranger.unprotect_rtcp),
        ):
            try:
                sealed = protect(data)
            except DropPacket:
                continue
            if unprotect(sealed) != data:
                raise AssertionError("not what was sent")
            for refuse in (unprotect, foreign):
                try:
                    refuse(sealed)
                except DropPacket:
                    continue
                raise AssertionError("a replay or a stranger's packet got through")


TARGETS = {"srtp-receiver": check_receiver, "srtp-sender": check_sender}
