"""SRTP: what the receiver makes of anything, and that only what the sender made gets through."""

from stack.core import DropPacket
from stack.srtp import ALL_PROFILES, Receiver, Sender

KEYS = {p: (bytes(range(p.key_length)), bytes(range(p.salt_length))) for p in ALL_PROFILES}
STRANGER = {p: (bytes(p.key_length), bytes(p.salt_length)) for p in ALL_PROFILES}


def check_receiver(data: bytes) -> None:
    """Bytes that no holder of the key has made are dropped, by every profile, and leave no source behind."""
    for number, (profile, keys) in enumerate(KEYS.items()):
        receiver = Receiver(profile, *keys, encrypted_extensions={1, 2, 14}, mki=data[:number])
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
    for profile, keys in KEYS.items():
        sender, receiver = Sender(profile, *keys), Receiver(profile, *keys)
        stranger = Receiver(profile, *STRANGER[profile])
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


def check_extensions(data: bytes) -> None:
    """With encrypted header extensions the packet has the same length, comes back unchanged, or is refused."""
    packet = b"\x90" + data
    for profile, keys in KEYS.items():
        try:
            sealed = Sender(profile, *keys, encrypted_extensions={1, 3, 14, 200}).protect(packet)
        except DropPacket:
            continue
        if len(sealed) != len(packet) + profile.tag_length:
            raise AssertionError("another length")
        if Receiver(profile, *keys, encrypted_extensions={1, 3, 14, 200}).unprotect(sealed) != packet:
            raise AssertionError("not what was sent")


def check_mki(data: bytes) -> None:
    """With a master key identifier packets come back, before and after a change of keys; with an unknown one, none."""
    for profile, keys in KEYS.items():
        sender, receiver = Sender(profile, *keys, mki=b"ab"), Receiver(profile, *keys, mki=b"ab")
        other = Receiver(profile, *keys, mki=b"ef")
        for mki in (b"ab", b"cd"):
            if mki == b"cd":
                sender.change_master_key(mki, *STRANGER[profile])
                receiver = Receiver(profile, *STRANGER[profile], mki=b"cd")  # to which nothing is a replay
            for protect, unprotect, refuse in (
                (sender.protect, receiver.unprotect, other.unprotect),
                (sender.protect_rtcp, receiver.unprotect_rtcp, other.unprotect_rtcp),
            ):
                try:
                    sealed = protect(data)
                except DropPacket:
                    continue
                if unprotect(sealed) != data:
                    raise AssertionError("not what was sent")
                try:
                    refuse(sealed)
                except DropPacket:
                    continue
                raise AssertionError("an unknown identifier got through")


TARGETS = {
    "srtp-mki": check_mki,
    "srtp-extensions": check_extensions,
    "srtp-receiver": check_receiver,
    "srtp-sender": check_sender,
}
