"""The crypto seam: reproducible from a seed, strict about what it accepts."""

import pytest

from stack.core import ParseError, crypto
from stack.testing import seeded_random_bytes


@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1"])
def test_both_sides_of_an_exchange_agree(group):
    a = crypto.generate_key_exchange(group, seeded_random_bytes("a"))
    b = crypto.generate_key_exchange(group, seeded_random_bytes("b"))
    assert a.exchange(b.public) == b.exchange(a.public)
    assert a.public == crypto.generate_key_exchange(group, seeded_random_bytes("a")).public


@pytest.mark.parametrize(
    ("group", "share"),
    [
        ("x25519", bytes(32)),  # leads to the all-zero secret, RFC 8422 section 5.11
        ("x25519", bytes(31)),
        ("secp256r1", b"\x04" + bytes(64)),  # not on the curve
        ("secp256r1", b"\x02" + bytes(32)),  # compressed
        ("secp256r1", b""),
    ],
)
def test_a_bad_share_is_refused(group, share):
    with pytest.raises(ParseError) as caught:
        crypto.generate_key_exchange(group, seeded_random_bytes(1)).exchange(share)
    assert caught.value.reason == "bad-key-share"


def test_signatures_and_certificates():
    random_bytes = seeded_random_bytes(1)
    key = crypto.generate_ec_key(random_bytes)
    der = crypto.self_signed_certificate(key, random_bytes, common_name="test", not_before=0, not_after=1e9)
    public = crypto.public_key_of_certificate(der)
    signature = crypto.sign(key, b"data")
    assert signature == crypto.sign(key, b"data")
    assert crypto.verify(public, signature, b"data")
    assert not crypto.verify(public, signature, b"other")
    assert not crypto.verify(public, b"junk", b"data")
    with pytest.raises(ParseError) as caught:
        crypto.public_key_of_certificate(der[:-5])
    assert caught.value.reason == "bad-certificate"
    with pytest.raises(ParseError) as caught:
        crypto.load_private_key(b"nonsense")
    assert caught.value.reason == "bad-private-key"


def test_hmac_template_and_counter_mode():
    # RFC 4231 test case 2
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert crypto.HmacKey(b"Jefe", "sha256").digest(b"what do ya want ", b"for nothing?") == expected
    cipher = crypto.AesCtr(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))  # NIST SP 800-38A F.5.1
    block = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert cipher.process(block, plain).hex() == "874d6191b620e3261bef6864990db6ce"
    assert cipher.process(block, plain).hex() == "874d6191b620e3261bef6864990db6ce"
