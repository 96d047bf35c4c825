"""The RFCs' own vectors."""

import json
from pathlib import Path

import pytest

from stack.core import DropPacket
from stack.srtp import Receiver, Sender
from stack.srtp.ciphers import CounterMode, Gcm, derive

VECTORS = Path(__file__).parents[2] / "vectors" / "srtp"
RFC3711 = json.loads((VECTORS / "rfc3711.json").read_text())
RFC6188 = json.loads((VECTORS / "rfc6188.json").read_text())
RFC6904 = json.loads((VECTORS / "rfc6904.json").read_text())
RFC7714 = json.loads((VECTORS / "rfc7714.json").read_text())


COUNTER_MODE = pytest.mark.parametrize("vectors", [RFC3711, RFC6188], ids=["AES-128", "AES-256"])


@COUNTER_MODE
def test_counter_mode_keystream(vectors):
    vector = vectors["aes_cm"]
    cipher = CounterMode(bytes.fromhex(vector["key"]), bytes.fromhex(vector["salt"]), bytes(20), 10, 10)
    octets = vector["keystream_octets"]
    keystream = cipher.sealer(vector["ssrc"])(bytes(octets), 0, vector["index"])[:-10]
    assert len(keystream) == octets
    for number, block in vector["blocks"].items():
        at = int(number) * 16
        assert keystream[at : at + 16].hex() == block


@pytest.mark.parametrize(("label", "name"), [(0, "cipher_key"), (1, "auth_key"), (2, "cipher_salt")])
@COUNTER_MODE
def test_key_derivation(vectors, label, name):
    vector = vectors["key_derivation"]
    expected = bytes.fromhex(vector[name])
    master = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["master_salt"])
    assert derive(*master, label, len(expected)) == expected


@pytest.mark.parametrize(("label", "name"), [(6, "cipher_key"), (7, "cipher_salt")])
def test_key_derivation_for_header_extensions(label, name):
    vector = RFC6904["key_derivation"]
    expected = bytes.fromhex(vector[name])
    master = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["master_salt"])
    assert derive(*master, label, len(expected)) == expected


def test_header_extension_encryption():
    vector, keys = RFC6904["encryption"], RFC6904["key_derivation"]
    key, salt = bytes.fromhex(keys["master_key"]), bytes.fromhex(keys["master_salt"])
    start = bytes.fromhex("90601234 00000000") + vector["ssrc"].to_bytes(4, "big")
    start += bytes.fromhex(vector["form_and_length"])
    plain, sealed = (start + bytes.fromhex(vector[name]) for name in ("plain", "sealed"))
    profile = 0x0001
    sender = Sender(profile, key, salt, encrypted_extensions=vector["encrypted_ids"])
    protected = sender.protect(plain + b"payload")
    assert protected[: len(sealed)] == sealed
    receiver = Receiver(profile, key, salt, encrypted_extensions=vector["encrypted_ids"])
    assert receiver.unprotect(protected) == plain + b"payload"


def gcm(vector, overhead):
    return Gcm(bytes.fromhex(vector["key"]), bytes.fromhex(RFC7714["salt"]), overhead)


@pytest.mark.parametrize("vector", RFC7714["rtp"], ids=lambda v: v["section"])
def test_gcm_rtp(vector):
    cipher = gcm(vector, 16)
    plain, sealed = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["sealed"])
    ssrc = int.from_bytes(plain[8:12], "big")
    assert (cipher.iv_base(ssrc) ^ vector["index"]).to_bytes(12, "big").hex() == vector["iv"]
    assert cipher.sealer(ssrc)(plain, vector["header"], vector["index"]) == sealed
    assert cipher.opener(ssrc)(sealed, vector["header"], vector["index"]) == plain


@pytest.mark.parametrize("vector", RFC7714["rtcp"], ids=lambda v: v["section"])
def test_gcm_rtcp(vector):
    cipher = gcm(vector, 20)
    plain, sealed = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["sealed"])
    ssrc = int.from_bytes(plain[4:8], "big")
    assert (cipher.iv_base(ssrc) ^ vector["index"]).to_bytes(12, "big").hex() == vector["iv"]
    word = int.from_bytes(cipher.index_word(sealed), "big")
    assert word == vector["index"] | (0x80000000 if vector["encrypted"] else 0)
    assert cipher.open_rtcp(sealed, ssrc, word) == plain
    if vector["encrypted"]:
        assert cipher.seal_rtcp(plain, ssrc, vector["index"]) == sealed


@pytest.mark.parametrize("vector", RFC7714["rtcp"], ids=lambda v: v["section"])
def test_gcm_authenticates_the_e_flag(vector):
    cipher, sealed = gcm(vector, 20), bytearray(bytes.fromhex(vector["sealed"]))
    sealed[-4] ^= 0x80
    word = int.from_bytes(cipher.index_word(bytes(sealed)), "big")
    with pytest.raises(DropPacket, match="bad-tag"):
        cipher.open_rtcp(bytes(sealed), int.from_bytes(sealed[4:8], "big"), word)
