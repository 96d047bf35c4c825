"""SRTP and SRTCP: protect and unprotect packets with the keys that DTLS-SRTP exports (RFC 3711, RFC 7714, RFC 5764).

A transform: it holds keys and per-source counters, but knows no time and sends nothing.
"""

from .profiles import EXPORTER_LABEL, PROFILES, Profile, keying_material_length, split_keying_material
from .receiver import Receiver
from .sender import Sender

__all__ = [
    "EXPORTER_LABEL",
    "PROFILES",
    "Profile",
    "Receiver",
    "Sender",
    "keying_material_length",
    "split_keying_material",
]
