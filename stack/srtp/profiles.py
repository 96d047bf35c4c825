"""SRTP protection profiles and what DTLS-SRTP makes of exported keying material."""

from dataclasses import dataclass
from typing import Final

from ..core import LocalError

EXPORTER_LABEL: Final = b"EXTRACTOR-dtls_srtp"
"""The TLS exporter's label; the context is empty (RFC 5764 section 4.2)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Parameters of one SRTPProtectionProfile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).

    Args:
        profile_id: The profile's number in DTLS's use_srtp extension, or None if it has none there.
        name: The name without its `SRTP_` prefix.
        key_length: Bytes of the master key and of the session's encryption key.
        salt_length: Bytes of the master salt and of the session's salt.
        tag_length: Bytes that authenticate an SRTP packet.
        rtcp_tag_length: Bytes that authenticate an SRTCP packet.
        aead: AES-GCM (RFC 7714) if true; AES counter mode with HMAC-SHA1 (RFC 3711) otherwise.
    """

    profile_id: int | None
    name: str
    key_length: int
    salt_length: int
    tag_length: int
    rtcp_tag_length: int
    aead: bool


PROFILES: Final[dict[int, Profile]] = {
    0x0001: Profile(0x0001, "AES128_CM_HMAC_SHA1_80", 16, 14, 10, 10, aead=False),
    # RFC 3711 section 5.2: SRTCP keeps the 80-bit tag whatever SRTP uses.
    0x0002: Profile(0x0002, "AES128_CM_HMAC_SHA1_32", 16, 14, 4, 10, aead=False),
    0x0007: Profile(0x0007, "AEAD_AES_128_GCM", 16, 12, 16, 16, aead=True),
    0x0008: Profile(0x0008, "AEAD_AES_256_GCM", 32, 12, 16, 16, aead=True),
}
"""The profiles that DTLS can negotiate, by their number in its use_srtp extension."""

AES_256_CM_HMAC_SHA1_80: Final = Profile(None, "AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10, aead=False)
"""RFC 6188 section 4. SDES and the like negotiate it; DTLS has no number for it."""

AES_256_CM_HMAC_SHA1_32: Final = Profile(None, "AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10, aead=False)
"""RFC 6188 section 4, the same with a tag of 32 bits on SRTP."""

ALL_PROFILES: Final = (*PROFILES.values(), AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32)
"""Every profile implemented."""


def find_profile(profile: int | Profile) -> Profile:
    """Return the profile of that number, or one of `ALL_PROFILES` itself.

    Raises:
        LocalError: If it is not implemented.
    """
    if isinstance(profile, Profile):
        if profile in ALL_PROFILES:
            return profile
        raise LocalError(f"SRTP protection profile {profile.name} is not one of srtp.ALL_PROFILES")
    found = PROFILES.get(profile)
    if found is None:
        raise LocalError(f"SRTP protection profile 0x{profile:04x} is not implemented; see srtp.PROFILES")
    return found


def keying_material_length(profile_id: int | Profile) -> int:
    """Return how many bytes to export from DTLS for a profile (RFC 5764 section 4.2).

    Raises:
        LocalError: If the profile is not implemented.
    """
    profile = find_profile(profile_id)
    return 2 * (profile.key_length + profile.salt_length)


def split_keying_material(
    profile_id: int | Profile, material: bytes, is_client: bool
) -> tuple[bytes, bytes, bytes, bytes]:
    """Cut exported keying material into the two directions' master keys and salts (RFC 5764 section 4.2).

    Args:
        profile_id: The profile that DTLS negotiated.
        material: `keying_material_length(profile_id)` bytes exported under `EXPORTER_LABEL`.
        is_client: Whether this side was the DTLS client.

    Returns:
        Local key, local salt, remote key, remote salt: `Sender` takes the local pair, `Receiver` the remote one.

    Raises:
        LocalError: If the profile is not implemented or the material has another length.
    """
    profile = find_profile(profile_id)
    if len(material) != keying_material_length(profile_id):
        raise LocalError(f"{profile.name} takes {keying_material_length(profile_id)} bytes, not {len(material)}")
    keys, salt = 2 * profile.key_length, profile.salt_length
    client = material[: profile.key_length], material[keys : keys + salt]
    server = material[profile.key_length : keys], material[keys + salt :]
    return (*client, *server) if is_client else (*server, *client)
