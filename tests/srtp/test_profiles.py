"""Profiles and the split of exported keying material: RFC 5764 section 4.2."""

from dataclasses import replace

import pytest

from stack.core import LocalError
from stack.srtp import (
    AES_256_CM_HMAC_SHA1_32,
    AES_256_CM_HMAC_SHA1_80,
    ALL_PROFILES,
    PROFILES,
    Receiver,
    Sender,
    keying_material_length,
    split_keying_material,
)


@pytest.mark.parametrize(
    ("profile_id", "key", "salt", "tag", "rtcp_tag"),
    [(1, 16, 14, 10, 10), (2, 16, 14, 4, 10), (7, 16, 12, 16, 16), (8, 32, 12, 16, 16)],
)
def test_the_table(profile_id, key, salt, tag, rtcp_tag):
    p = PROFILES[profile_id]
    assert (p.key_length, p.salt_length, p.tag_length, p.rtcp_tag_length) == (key, salt, tag, rtcp_tag)
    assert p.profile_id == profile_id
    assert keying_material_length(profile_id) == 2 * (key + salt)


def test_the_profiles_that_dtls_has_no_number_for():
    for profile, tag in ((AES_256_CM_HMAC_SHA1_80, 10), (AES_256_CM_HMAC_SHA1_32, 4)):
        assert (profile.key_length, profile.salt_length, profile.tag_length, profile.rtcp_tag_length) == (
            32,
            14,
            tag,
            10,
        )
        assert profile.profile_id is None
        assert profile not in PROFILES.values()
        assert keying_material_length(profile) == 92
        assert len(split_keying_material(profile, bytes(92), True)[0]) == 32
    assert len(ALL_PROFILES) == len(PROFILES) + 2


def test_a_profile_of_ones_own_is_refused():
    with pytest.raises(LocalError, match="mine is not one of"):
        Sender(replace(PROFILES[1], name="mine", tag_length=0), bytes(16), bytes(14))


@pytest.mark.parametrize("profile_id", PROFILES)
def test_client_key_server_key_client_salt_server_salt(profile_id):
    p = PROFILES[profile_id]
    parts = [b"a" * p.key_length, b"b" * p.key_length, b"c" * p.salt_length, b"d" * p.salt_length]
    client_key, server_key, client_salt, server_salt = parts
    material = b"".join(parts)
    assert split_keying_material(profile_id, material, True) == (client_key, client_salt, server_key, server_salt)
    assert split_keying_material(profile_id, material, False) == (server_key, server_salt, client_key, client_salt)


def test_misuse():
    with pytest.raises(LocalError, match="0x0003"):
        keying_material_length(3)
    with pytest.raises(LocalError, match="takes 60 bytes"):
        split_keying_material(1, bytes(56), True)
    for make in (Sender, Receiver):
        with pytest.raises(LocalError, match="not implemented"):
            make(5, b"", b"")
        with pytest.raises(LocalError, match="key of 16 bytes"):
            make(1, bytes(16), bytes(12))
        with pytest.raises(LocalError, match="key of 32 bytes"):
            make(8, bytes(16), bytes(12))


@pytest.mark.parametrize("window", [127, 0, -1, 32769])
def test_the_replay_window_has_bounds(window):
    with pytest.raises(LocalError, match="replay_window"):
        Receiver(1, bytes(16), bytes(14), replay_window=window)
