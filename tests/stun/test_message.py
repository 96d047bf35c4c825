import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import Address, LocalError, ParseError
from stack.stun import (
    BINDING,
    Class,
    Message,
    binding_response,
    error_response,
    is_stun,
    long_term_key,
    short_term_key,
)

from .limits import DISCOVERY_LIMITS, LIMITS, SERVER_LIMITS, raw
from .support import SOURCE, TRANSACTION_ID, vectors

KEY = short_term_key("VOkJxbRl1RmTxUk/WvJxBt")
RFC5769 = vectors("rfc5769.json")["vectors"]


def key_of(vector):
    if "realm" in vector:
        return long_term_key(vector["username"], vector["realm"], vector["password"])
    return short_term_key(vector["password"])


def refused(data):
    with pytest.raises(ParseError) as caught:
        Message.parse(data)
    return caught.value.reason


@pytest.mark.parametrize("vector", RFC5769, ids=lambda v: v["name"])
class TestVectors:
    def test_parse(self, vector):
        message = Message.parse(bytes.fromhex(vector["hex"]))
        assert message.method == vector["method"]
        assert message.message_class.name.lower() == vector["class"]
        assert message.transaction_id.hex() == vector["transaction_id"]
        for name in ("software", "username", "realm", "nonce", "priority"):
            assert getattr(message, name) == vector.get(name)
        mapped = vector.get("xor_mapped_address")
        assert message.xor_mapped_address == (Address(*mapped) if mapped else None)
        controlled = vector.get("ice_controlled")
        assert message.ice_controlled == (int(controlled, 16) if controlled else None)
        assert message.has_fingerprint is vector["fingerprint"]
        assert message.unknown_comprehension_required == []

    def test_integrity(self, vector):
        message = Message.parse(bytes.fromhex(vector["hex"]))
        assert message.has_integrity
        assert message.verify_integrity(key_of(vector))
        assert not message.verify_integrity(b"another key")

    def test_serialize_gives_an_equal_message(self, vector):
        message = Message.parse(bytes.fromhex(vector["hex"]))
        again = message.serialize(key=key_of(vector), fingerprint=vector["fingerprint"])
        assert len(again) == len(vector["hex"]) // 2  # the RFC pads with spaces in places, we with zeros
        assert Message.parse(again) == message
        assert Message.parse(again).verify_integrity(key_of(vector))

    def test_any_flipped_bit_is_noticed(self, vector):
        data = bytearray.fromhex(vector["hex"])
        for at in range(len(data)):
            data[at] ^= 1
            try:
                message = Message.parse(bytes(data))
                unharmed = message.verify_integrity(key_of(vector)) and message.has_fingerprint is vector["fingerprint"]
            except ParseError:
                unharmed = False
            assert not unharmed, at
            data[at] ^= 1


def test_serialize_reproduces_the_long_term_vector_to_the_byte():
    vector = RFC5769[3]  # the only one that is padded with zeros
    assert Message.parse(bytes.fromhex(vector["hex"])).serialize(
        key=key_of(vector), fingerprint=False
    ) == bytes.fromhex(vector["hex"])


@pytest.mark.parametrize("entry", vectors("browsers.json")["messages"], ids=lambda e: e["capture"] + e["hex"][:4])
def test_browsers_messages(entry):
    data = bytes.fromhex(entry["hex"])
    message = Message.parse(data)
    assert is_stun(data)
    assert message.has_fingerprint
    assert message.has_integrity
    assert message.unknown_comprehension_required == []
    if message.message_class is Class.REQUEST:
        assert ":" in message.username
        assert message.priority >> 24 == 110
        assert (message.ice_controlling is None) != (message.ice_controlled is None)
    else:
        assert message.xor_mapped_address.port > 1024


def test_a_request_of_ice():
    message = Message(
        BINDING,
        Class.REQUEST,
        TRANSACTION_ID,
        username="a:b",
        priority=7,
        use_candidate=True,
        ice_controlling=2**64 - 1,
    )
    parsed = Message.parse(message.serialize(key=KEY))
    assert parsed == message
    assert parsed.use_candidate is True
    assert parsed.ice_controlling == 2**64 - 1
    assert parsed.ice_controlled is None
    assert parsed.mapped_address is None


def test_attributes_can_be_set_and_removed():
    message = Message(BINDING, Class.REQUEST, TRANSACTION_ID, priority=1, use_candidate=False)
    assert not message.use_candidate
    message.use_candidate = True
    message.priority = None
    message.realm = "r"
    assert message.use_candidate
    message.use_candidate = False
    assert Message.parse(message.serialize()).attributes == {0x0014: "r"}


@pytest.mark.parametrize(
    ("host", "port"), [("0.0.0.0", 0), ("255.255.255.255", 65535), ("::", 1), ("fe80::1", 2), ("2001:db8::ff", 3)]
)
def test_addresses(host, port):
    message = Message(
        BINDING,
        Class.SUCCESS,
        TRANSACTION_ID,
        xor_mapped_address=Address(host, port),
        mapped_address=Address(host, port),
    )
    assert Message.parse(message.serialize()) == message


def test_an_unknown_address_family_is_ignored():
    assert Message.parse(raw([(0x0020, b"\0\x03\0\0\0\0\0\0")])).xor_mapped_address is None


def test_unknown_attributes_are_kept_and_reported():
    message = Message.parse(raw([(0x7ABC, b"x"), (0xC057, b"yy"), (0x7ABC, b"second")]))
    assert message.attributes == {0x7ABC: b"x", 0xC057: b"yy"}
    assert message.unknown_comprehension_required == [0x7ABC]
    assert Message.parse(message.serialize()) == message


def test_what_follows_integrity_is_ignored():
    protected = Message(BINDING, Class.REQUEST, TRANSACTION_ID, username="a").serialize(key=KEY, fingerprint=False)
    smuggled = raw([(0x0025, b""), (0x7FFF, b"")])[20:]
    data = protected[:2] + (len(protected) - 20 + len(smuggled)).to_bytes(2, "big") + protected[4:] + smuggled
    message = Message.parse(data)
    assert message.verify_integrity(KEY)
    assert not message.use_candidate
    assert message.unknown_comprehension_required == []


def test_integrity_with_sha256():
    message = Message(BINDING, Class.REQUEST, TRANSACTION_ID, username="a")
    parsed = Message.parse(message.serialize(key=KEY, sha256=True))
    assert parsed.uses_sha256
    assert parsed.verify_integrity(KEY)
    assert not parsed.verify_integrity(b"other")
    both = Message.parse(with_both(message))
    assert both.verify_integrity(KEY)
    assert not Message.parse(with_both(message)[:-1] + b"\0").verify_integrity(KEY)


def with_both(message):
    sha1 = message.serialize(key=KEY, fingerprint=False)
    text = sha1[:2] + (len(sha1) - 20 + 36).to_bytes(2, "big") + sha1[4:]
    return text + b"\0\x1c\0\x20" + hmac.digest(KEY, text, hashlib.sha256)


@pytest.mark.parametrize("size", [16, 20, 24, 28, 32])
def test_a_truncated_sha256(size):
    message = Message(BINDING, Class.REQUEST, TRANSACTION_ID, username="a")
    parsed = Message.parse(message.serialize(key=KEY, sha256=True, sha256_size=size))
    assert parsed == message
    assert parsed.verify_integrity(KEY, sha256_minimum=size)
    assert not parsed.verify_integrity(b"other", sha256_minimum=16)
    assert not parsed.verify_integrity(KEY, sha256_minimum=size + 4)
    assert parsed.verify_integrity(KEY) is (size == 32)


@pytest.mark.parametrize("size", [12, 18, 36])
def test_sizes_that_a_truncated_sha256_has_not(size):
    with pytest.raises(LocalError):
        Message(BINDING, Class.REQUEST, TRANSACTION_ID).serialize(key=KEY, sha256=True, sha256_size=size)


def test_both_integrity_attributes():
    message = Message(BINDING, Class.REQUEST, TRANSACTION_ID, username="a")
    assert message.serialize(key=KEY, both=True, fingerprint=False) == with_both(message)
    assert Message.parse(message.serialize(key=KEY, both=True)).verify_integrity(KEY)


@pytest.mark.parametrize("key", [b"", b"k" * 64, b"k" * 65, b"k" * 200])
@pytest.mark.parametrize("sha256", [False, True])
def test_keys_of_every_length(key, sha256):
    data = Message(BINDING, Class.REQUEST, TRANSACTION_ID).serialize(key=key, sha256=sha256, fingerprint=False)
    assert hmac.digest(key, data[:20], "sha256" if sha256 else "sha1") == data[24:]


def test_no_integrity_verifies_as_false():
    assert not Message.parse(raw([])).verify_integrity(KEY)
    assert not Message(BINDING, Class.REQUEST, TRANSACTION_ID).verify_integrity(KEY)


@pytest.mark.parametrize("message_class", Class)
@pytest.mark.parametrize("method", [0, 1, 0x0F, 0x10, 0x7F, 0x80, 0xFFF])
def test_methods_and_classes(method, message_class):
    message = Message(method, message_class, TRANSACTION_ID)
    assert Message.parse(message.serialize()) == message


GOOD = Message(BINDING, Class.REQUEST, TRANSACTION_ID, username="abc").serialize(key=KEY)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (GOOD[:19], "truncated"),
        (GOOD[:-4], "truncated"),
        (GOOD + b"\0", "bad-length"),
        (b"\x80" + GOOD[1:], "not-stun"),
        (GOOD[:4] + b"\0" + GOOD[5:], "bad-magic-cookie"),
        (GOOD[:3] + bytes([GOOD[3] + 1]) + GOOD[4:] + b"\0", "bad-length"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "bad-fingerprint"),
        (raw([(0x8028, b"\0" * 4), (0x0006, b"a")]), "fingerprint-not-last"),
        (raw([(0x8028, b"\0" * 5)]), "fingerprint-not-last"),
        (raw([(0x0006, b"a")])[:20] + b"\0\x06\0\xff" + bytes(4), "truncated"),
        (raw([(0x0006, b"\xff")]), "bad-attribute"),
        (raw([(0x0008, b"\0" * 16)]), "bad-attribute"),
        (raw([(0x001C, b"\0" * 12)]), "bad-attribute"),
        (raw([(0x001C, b"\0" * 36)]), "bad-attribute"),
        (raw([(0x001C, b"\0" * 18)]), "bad-attribute"),
        (raw([(0x0024, b"\0" * 5)]), "bad-attribute"),
        (raw([(0x8029, b"\0" * 4)]), "bad-attribute"),
        (raw([(0x0025, b"\0" * 4)]), "bad-attribute"),
        (raw([(0x0020, b"\0\x01\0\0")]), "bad-attribute"),
        (raw([(0x0020, b"\0\x02" + b"\0" * 6)]), "bad-attribute"),
        (raw([(0x0020, b"")]), "bad-attribute"),
        (raw([(0x0009, b"\0\0\x02\0")]), "bad-attribute"),
        (raw([(0x0009, b"\0\0\x04\x64")]), "bad-attribute"),
        (raw([(0x0009, b"\0\0\x04")]), "bad-attribute"),
        (raw([(0x000A, b"\0\0\0")]), "bad-attribute"),
    ],
)
def test_what_is_refused(data, reason):
    assert refused(data) == reason


def test_is_stun():
    assert is_stun(GOOD)
    assert not is_stun(b"")
    assert not is_stun(GOOD[:19])
    assert not is_stun(Message(0x100, Class.REQUEST, GOOD[8:20]).serialize())  # STUN, but RFC 7983's for others
    assert not is_stun(b"\x16" + GOOD[1:])
    assert not is_stun(GOOD[:4] + b"\0" + GOOD[5:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 2**32},
        {"priority": "high"},
        {"username": 7},
        {"ice_controlled": -1},
        {"error_code": (200, "")},
        {"xor_mapped_address": Address("example.org", 1)},
        {"xor_mapped_address": Address("10.0.0.1", 70000)},
        {"unknown_attributes": (70000,)},
    ],
)
def test_values_that_do_not_fit(wrong):
    with pytest.raises(LocalError):
        Message(BINDING, Class.REQUEST, TRANSACTION_ID, **wrong).serialize()


def test_headers_that_do_not_fit():
    with pytest.raises(LocalError):
        Message(BINDING, Class.REQUEST, b"short").serialize()
    with pytest.raises(LocalError):
        Message(0x1000, Class.REQUEST, TRANSACTION_ID).serialize()
    with pytest.raises(TypeError, match="colour"):
        Message(BINDING, Class.REQUEST, TRANSACTION_ID, colour="red")


def test_long_term_key():
    # RFC 8489 section 9.2.2 has this as its example
    assert long_term_key("user", "realm", "pass").hex() == "8493fbc53ba582fb4c044c456bdc40eb"
    assert long_term_key("user", "realm", "a\u00a0b") == long_term_key("user", "realm", "a b")
    assert long_term_key("user", "realm", "e\u0301") == long_term_key("user", "realm", "\u00e9")
    assert short_term_key("e\u0301") == "\u00e9".encode()


class TestServer:
    def test_it_tells_the_source(self):
        request = Message(BINDING, Class.REQUEST, TRANSACTION_ID)
        response = Message.parse(binding_response(request.serialize(), SOURCE))
        assert response == Message(BINDING, Class.SUCCESS, TRANSACTION_ID, xor_mapped_address=SOURCE)
        assert response.has_fingerprint

    def test_fingerprint_only_for_those_who_sent_one(self):
        request = Message(BINDING, Class.REQUEST, TRANSACTION_ID).serialize(fingerprint=False)
        assert not Message.parse(binding_response(request, SOURCE)).has_fingerprint

    def test_unknown_attributes(self):
        response = Message.parse(binding_response(raw([(0x7001, b""), (0x7002, b"")]), SOURCE))
        assert response.message_class is Class.ERROR
        assert response.error_code == (420, "Unknown Attribute")
        assert response.unknown_attributes == (0x7001, 0x7002)

    @pytest.mark.parametrize("data", [b"", b"junk" * 10, raw([], 0x0101), raw([], 0x0003), raw([], 0x0011)])
    def test_it_is_silent_otherwise(self, data):
        assert binding_response(data, SOURCE) is None

    def test_error_response(self):
        request = Message(BINDING, Class.REQUEST, TRANSACTION_ID)
        assert Message.parse(error_response(request, 487).serialize()).error_code == (487, "Role Conflict")


@given(st.binary(max_size=200))
def test_parse_raises_nothing_but_parse_errors(data):
    for candidate in (data, GOOD[:20] + data, GOOD[:2] + len(data).to_bytes(2, "big") + GOOD[4:20] + data):
        try:
            message = Message.parse(candidate)
        except ParseError as error:
            assert_slug(error.reason)
        else:
            assert message.verify_integrity(b"a key nobody has") is False


def assert_slug(reason):
    assert reason
    assert reason.replace("-", "").isalpha()


ADDRESSES = st.builds(
    Address,
    st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)),
    st.integers(0, 65535),
    st.just("udp"),
)
TEXT = st.text(max_size=60).filter(
    lambda text: len(text.encode("utf-8", "ignore")) == len(text.encode("utf-8", "replace"))
)


@given(
    st.builds(
        Message,
        st.integers(0, 0xFFF),
        st.sampled_from(Class),
        st.binary(min_size=12, max_size=12),
        username=st.none() | TEXT,
        software=st.none() | TEXT,
        xor_mapped_address=st.none() | ADDRESSES,
        mapped_address=st.none() | ADDRESSES,
        priority=st.none() | st.integers(0, 2**32 - 1),
        use_candidate=st.booleans(),
        ice_controlled=st.none() | st.integers(0, 2**64 - 1),
        error_code=st.none() | st.tuples(st.integers(300, 699), TEXT),
        unknown_attributes=st.none() | st.lists(st.integers(0, 65535), max_size=5).map(tuple),
    ),
    st.none() | st.binary(min_size=1, max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_round_trip(message, key, fingerprint, sha256):
    data = message.serialize(key=key, fingerprint=fingerprint, sha256=sha256)
    parsed = Message.parse(data)
    assert parsed == message
    assert parsed.has_integrity is (key is not None)
    assert key is None or parsed.verify_integrity(key)
    assert parsed.serialize(key=key, fingerprint=fingerprint, sha256=sha256) == data


ALL_LIMITS = LIMITS | SERVER_LIMITS | DISCOVERY_LIMITS


@pytest.mark.parametrize("limit", ALL_LIMITS)
def test_limits(limit):
    ALL_LIMITS[limit]()
