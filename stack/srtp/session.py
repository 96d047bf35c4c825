"""From a master key to the ciphers of one direction."""

from collections.abc import Collection
from typing import Final

from ..core import LocalError
from .ciphers import INDEX_WORD, CounterMode, Gcm, RtcpCipher, RtpCipher, derive
from .extensions import EXTENSION_LABEL, SALT_LENGTH, ExtensionCipher
from .profiles import Profile

RTP_LABEL: Final = 0  # RFC 3711 section 4.3.1: encryption 0, authentication 1, salt 2
RTCP_LABEL: Final = 3  # RFC 3711 section 4.3.2: encryption 3, authentication 4, salt 5
AUTHENTICATION_KEY_LENGTH: Final = 20  # n_a of HMAC-SHA1, bytes: RFC 3711 section 5.2


def session_ciphers(
    profile: Profile, key: bytes, salt: bytes, encrypted_extensions: Collection[int] | None = None
) -> tuple[RtpCipher, RtcpCipher]:
    """Derive the session keys of one direction.

    Args:
        profile: The profile.
        key: Master key.
        salt: Master salt.
        encrypted_extensions: Ids of the RTP header extension elements that are encrypted; None if there never are any.

    Returns:
        The cipher for RTP and the one for RTCP.

    Raises:
        LocalError: If key or salt do not have the profile's lengths, or an id is out of range.
    """
    if len(key) != profile.key_length or len(salt) != profile.salt_length:
        raise LocalError(
            f"{profile.name} takes a key of {profile.key_length} bytes and a salt of {profile.salt_length}"
        )
    tag, rtcp_tag = profile.tag_length, profile.rtcp_tag_length
    rtp: RtpCipher = _session_cipher(profile, key, salt, RTP_LABEL, tag, tag)
    if encrypted_extensions is not None:
        extension_key = derive(key, salt, EXTENSION_LABEL, profile.key_length)
        # RFC 7714 section 8.3 wants AES-CM here also beside GCM, whose salts have 96 bits and not 112; it does not say
        # how to get from one to the other. Browsers and all else that is built on libsrtp pad with zeros.
        extension_salt = derive(key, salt, EXTENSION_LABEL + 1, profile.salt_length).ljust(SALT_LENGTH, b"\0")
        rtp = ExtensionCipher(rtp, extension_key, extension_salt, encrypted_extensions)
    return rtp, _session_cipher(profile, key, salt, RTCP_LABEL, rtcp_tag, rtcp_tag + INDEX_WORD)


def _session_cipher(
    profile: Profile, key: bytes, salt: bytes, label: int, tag: int, overhead: int
) -> CounterMode | Gcm:
    session_key = derive(key, salt, label, profile.key_length)
    session_salt = derive(key, salt, label + 2, profile.salt_length)
    if profile.aead:
        return Gcm(session_key, session_salt, overhead)
    authentication_key = derive(key, salt, label + 1, AUTHENTICATION_KEY_LENGTH)
    return CounterMode(session_key, session_salt, authentication_key, tag, overhead)
