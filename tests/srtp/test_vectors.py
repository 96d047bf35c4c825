"""The RFCs' own vectors."""

import json
from pathlib import Path

import pytest

from stack.core import DropPacket
from stack.srtp.ciphers import CounterMode, Gcm, derive

VECTORS = Path(__file__).parents[2] / "vectors" / "srtp"
RFC3711 = json.loads((VECTORS / "rfc3711.json").read_text())
RFC7714 = json.loads((VECTORS / "rfc7714.json").read_text())


def test_counter_mode_keystream():
    vector = RFC3711["aes_cm"]
    cipher = CounterMode(bytes.fromhex(vector["key"]), bytes.fromhex(vector["salt"]), bytes(20), 10, 10)
    octets = vector["keystream_octets"]
    keystream = cipher.seal(bytes(octets), 0, cipher.iv_base(vector["ssrc"]), vector["index"])[:-10]
    assert len(keystream) == octets
    for number, block in vector["blocks"].items():
        at = int(number) * 16
        assert keystream[at : at + 16].hex() == block


@pytest.mark.parametrize(("label", "name"), [(0, "cipher_key"), (1, "auth_key"), (2, "cipher_salt")])
def test_key_derivation(label, name):
    vector = RFC3711["key_derivation"]
    expected = bytes.fromhex(vector[name])
    master = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["master_salt"])
    assert derive(*master, label, len(expected)) == expected


def gcm(vector, overhead):
    return Gcm(bytes.fromhex(vector["key"]), bytes.fromhex(RFC7714["salt"]), overhead)


@pytest.mark.parametrize("vector", RFC7714["rtp"], ids=lambda v: v["section"])
def test_gcm_rtp(vector):
    cipher = gcm(vector, 16)
    plain, sealed = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["sealed"])
    base = cipher.iv_base(int.from_bytes(plain[8:12], "big"))
    assert (base ^ vector["index"]).to_bytes(12, "big").hex() == vector["iv"]
    assert cipher.seal(plain, vector["header"], base, vector["index"]) == sealed
    assert cipher.open(sealed, vector["header"], base, vector["index"]) == plain


@pytest.mark.parametrize("vector", RFC7714["rtcp"], ids=lambda v: v["section"])
def test_gcm_rtcp(vector):
    cipher = gcm(vector, 20)
    plain, sealed = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["sealed"])
    base = cipher.iv_base(int.from_bytes(plain[4:8], "big"))
    assert (base ^ vector["index"]).to_bytes(12, "big").hex() == vector["iv"]
    word = int.from_bytes(cipher.index_word(sealed), "big")
    assert word == vector["index"] | (0x80000000 if vector["encrypted"] else 0)
    assert cipher.open_rtcp(sealed, base, word) == plain
    if vector["encrypted"]:
        assert cipher.seal_rtcp(plain, base, vector["index"]) == sealed


@pytest.mark.parametrize("vector", RFC7714["rtcp"], ids=lambda v: v["section"])
def test_gcm_authenticates_the_e_flag(vector):
    cipher, sealed = gcm(vector, 20), bytearray(bytes.fromhex(vector["sealed"]))
    sealed[-4] ^= 0x80
    word = int.from_bytes(cipher.index_word(bytes(sealed)), "big")
    with pytest.raises(DropPacket, match="bad-tag"):
        cipher.open_rtcp(bytes(sealed), cipher.iv_base(int.from_bytes(sealed[4:8], "big")), word)
