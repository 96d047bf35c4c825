"""SRTP and SRTCP: protect and unprotect packets with the keys that DTLS exports (RFC 3711, 7714, 6188, 6904, 5764).

A transform: it holds keys and per-source counters, but knows no time and sends nothing.
"""

from .profiles import (
    AES_256_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    ALL_PROFILES,
    EXPORTER_LABEL,
    PROFILES,
    Profile,
    keying_material_length,
    split_keying_material,
)
from .receiver import Receiver
from .sender import Sender

__all__ = [
    "AES_256_CM_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80",
    "ALL_PROFILES",
    "EXPORTER_LABEL",
    "PROFILES",
    "Profile",
    "Receiver",
    "Sender",
    "keying_material_length",
    "split_keying_material",
]
