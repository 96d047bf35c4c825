"""Long-term credentials: keys, cookies, vectors, and the dialogue of both sides (RFC 8489 section 9.2)."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import Address, LocalError, ParseError
from stack.stun import (
    BINDING,
    MAX_BUFFERED,
    NONCE_LIFETIME,
    Algorithm,
    Authenticated,
    Authenticator,
    Class,
    Deframer,
    LongTermCredential,
    Message,
    PasswordAlgorithm,
    Refused,
    SecurityFeatures,
    long_term_key,
    nonce_cookie,
    nonce_features,
    userhash,
)
from stack.testing import seeded_random_bytes

from .limits import raw
from .support import SOURCE, TRANSACTION_ID, vectors

RFC8489 = vectors("rfc8489.json")
USER, PASSWORD, REALM = "user", "pass", "example.org"
BOTH = (PasswordAlgorithm(2), PasswordAlgorithm(1))


class TestVector:
    key = long_term_key(RFC8489["username"], RFC8489["realm"], RFC8489["password"], Algorithm.SHA256)

    def test_the_corrected_one(self):
        data = bytes.fromhex(RFC8489["corrected"]["hex"])
        message = Message.parse(data)
        assert message.transaction_id.hex() == RFC8489["transaction_id"]
        assert message.userhash.hex() == RFC8489["userhash"]
        assert message.nonce == RFC8489["nonce"]
        assert message.realm == RFC8489["realm"]
        assert message.password_algorithm == PasswordAlgorithm(RFC8489["corrected"]["password_algorithm"])
        assert message.unknown_comprehension_required == []
        assert message.verify_integrity(self.key)
        assert message.serialize(key=self.key, sha256=True, fingerprint=False) == data

    def test_the_printed_one_is_shorter_than_it_says(self):
        data = bytes.fromhex(RFC8489["printed"]["hex"])
        with pytest.raises(ParseError) as caught:
            Message.parse(data)
        assert caught.value.reason == "truncated"
        assert hmac.digest(self.key, data[:-36], "sha256") == data[-32:]

    def test_userhash(self):
        assert userhash(RFC8489["username"], RFC8489["realm"]).hex() == RFC8489["userhash"]


def test_nonce_cookies():
    assert nonce_cookie(SecurityFeatures(0)) == "obMatJos2AAAA"
    assert nonce_cookie(SecurityFeatures.PASSWORD_ALGORITHMS) == "obMatJos2gAAA"
    assert nonce_cookie(SecurityFeatures.USERNAME_ANONYMITY) == "obMatJos2QAAA"
    both = SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY
    assert nonce_features(nonce_cookie(both) + "rest") == both
    assert nonce_features(RFC8489["nonce"]) == SecurityFeatures(0)  # its bit is not assigned
    for none in ("", "obMatJos2", "obMatJos2gAA", "obMatJos2g=AA", "obMatJos2g*AA", "obmatjos2gAAA"):
        assert nonce_features(none) is None


def test_keys():
    assert len(long_term_key("u", "r", "p", Algorithm.SHA256)) == 32
    assert long_term_key("u", "r", "p") == long_term_key("u", "r", "p", Algorithm.MD5)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (0x001D, b""),
        (0x001D, b"\0\2\0\0\0\1\0\0"),
        (0x001D, b"\0\2\0"),
        (0x8002, b"\0\2\0\4\0\0"),
        (0x8002, b"\0\2\0\0" * 17),
        (0x001E, bytes(31)),
        (0x8003, b"\xff"),
        (0x8003, b"a" * 256),
        (0x8023, b"\0\1\0\0"),
    ],
)
def test_attributes_of_the_wrong_shape(attribute, value):
    with pytest.raises(ParseError) as caught:
        Message.parse(raw([(attribute, value)]))
    assert caught.value.reason == "bad-attribute"


@pytest.mark.parametrize(
    "wrong",
    [
        {"userhash": b"short"},
        {"alternate_domain": "ä"},
        {"alternate_domain": "a" * 256},
        {"password_algorithms": BOTH * 9},
        {"password_algorithm": 2},
    ],
)
def test_values_that_do_not_fit(wrong):
    with pytest.raises(LocalError):
        Message(BINDING, Class.REQUEST, TRANSACTION_ID, **wrong).serialize()


@given(
    st.lists(st.builds(PasswordAlgorithm, st.integers(0, 65535), st.binary(max_size=9)), max_size=16).map(tuple),
    st.builds(PasswordAlgorithm, st.integers(0, 65535), st.binary(max_size=9)),
    st.binary(min_size=32, max_size=32),
)
def test_round_trip(algorithms, algorithm, name):
    message = Message(
        BINDING,
        Class.REQUEST,
        TRANSACTION_ID,
        password_algorithms=algorithms,
        password_algorithm=algorithm,
        userhash=name,
        alternate_server=Address("2001:db8::1", 1),
        alternate_domain="example.org",
    )
    assert Message.parse(message.serialize()) == message


class Dialogue:
    """A credential and an authenticator that talk."""

    def __init__(self, password=PASSWORD, **kwargs):
        self.client = LongTermCredential(USER, password)
        passwords = {USER: (PASSWORD,)}
        self.server = Authenticator(
            REALM, lambda name: passwords.get(name, ()), random_bytes=seeded_random_bytes(1), **kwargs
        )

    def ask(self, now=0.0, source=SOURCE):
        request = Message.parse(self.client.serialize(Message(BINDING, Class.REQUEST, TRANSACTION_ID)))
        return self.server.authenticate(request, source, now)

    def challenge(self, code=401, now=0.0, source=SOURCE):
        response = Message(BINDING, Class.ERROR, TRANSACTION_ID, error_code=(code, ""))
        self.server.challenge(response, source, now)
        return self.client.challenge(Message.parse(response.serialize()))

    def response(self, who, **kwargs):
        message = Message(BINDING, Class.SUCCESS, TRANSACTION_ID, **kwargs)
        return Message.parse(message.serialize(key=who.key, sha256=who.sha256))


class TestDialogue:
    @pytest.mark.parametrize(
        ("kwargs", "algorithm"),
        [
            ({}, Algorithm.SHA256),
            ({"algorithms": (Algorithm.MD5, Algorithm.SHA256)}, Algorithm.MD5),
            ({"algorithms": ()}, None),
            ({"username_of": {userhash(USER, REALM): USER}.get}, Algorithm.SHA256),
        ],
    )
    def test_success(self, kwargs, algorithm):
        talk = Dialogue(**kwargs)
        assert talk.ask() == Refused(401, challenge=True)
        assert not talk.client.challenged
        assert talk.challenge() is None
        assert talk.client.challenged
        who = talk.ask()
        assert isinstance(who, Authenticated)
        assert who.username == USER
        assert who.sha256 is talk.client.uses_sha256 is (algorithm is not None)
        assert who.key == long_term_key(USER, REALM, PASSWORD, algorithm or Algorithm.MD5)
        assert talk.client.verify(talk.response(who))

    def test_a_stale_nonce(self):
        talk = Dialogue()
        talk.challenge()
        assert isinstance(talk.ask(NONCE_LIFETIME), Authenticated)
        assert talk.ask(NONCE_LIFETIME + 1) == Refused(438, challenge=True)
        assert talk.challenge(438, NONCE_LIFETIME + 1) is None
        assert isinstance(talk.ask(NONCE_LIFETIME + 1), Authenticated)

    def test_a_nonce_of_another_client(self):
        talk = Dialogue()
        talk.challenge()
        assert talk.ask(source=Address(SOURCE.host, 1)) == Refused(438, challenge=True)

    def test_a_nonce_of_the_future(self):
        talk = Dialogue()
        talk.challenge(now=100.0)
        assert talk.ask(0.0) == Refused(438, challenge=True)

    def test_a_wrong_password(self):
        talk = Dialogue("wrong")
        talk.challenge()
        assert talk.ask() == Refused(401, challenge=True)

    def test_responses_that_are_forged(self):
        talk = Dialogue()
        assert not talk.client.verify(talk.response(Authenticated(USER, b"", sha256=True)))
        talk.challenge()
        who = talk.ask()
        assert not talk.client.verify(talk.response(Authenticated(USER, b"wrong", sha256=True)))
        assert not talk.client.verify(talk.response(Authenticated(USER, who.key, sha256=False)))
        assert not talk.client.verify(Message.parse(raw([], 0x0101)))
        # RFC 8489 section 9.2.5: a cookie that promises algorithms, and none there
        assert not talk.client.verify(talk.response(who, nonce="obMatJos2gAAAx"))
        assert talk.client.verify(talk.response(who, nonce="obMatJos2gAAAx", password_algorithms=BOTH))

    @pytest.mark.parametrize(
        ("named", "reason"),
        [
            ({}, "missing-nonce"),
            ({"realm": "r"}, "missing-nonce"),
            ({"nonce": "n"}, "missing-nonce"),
            ({"realm": "r", "nonce": "obMatJos2gAAAn"}, "bid-down"),
            ({"realm": "r", "nonce": "n", "password_algorithms": ()}, "no-common-algorithm"),
            ({"realm": "r", "nonce": "n", "password_algorithms": (PasswordAlgorithm(2, b"x"),)}, "no-common-algorithm"),
        ],
    )
    def test_challenges_that_cannot_be_answered(self, named, reason):
        client = LongTermCredential(USER, PASSWORD)
        assert client.challenge(Message(BINDING, Class.ERROR, TRANSACTION_ID, **named)) == reason
        assert not client.challenged

    def test_misuse(self):
        with pytest.raises(LocalError):
            Dialogue(nonce_lifetime=0)


class TestStream:
    def test_any_pieces(self):
        messages = [raw([(0x8022, b"x" * size)]) for size in (0, 5, 700)]
        stream = b"".join(messages)
        for size in (1, 3, 20, len(stream)):
            deframer = Deframer()
            found = [m for at in range(0, len(stream), size) for m in deframer.push(stream[at : at + size])]
            assert found == messages
            assert deframer.buffered == 0

    @pytest.mark.parametrize(("data", "reason"), [(b"\x40\0\0\0", "not-stun"), (b"\0\1\0\1", "bad-length")])
    def test_what_cannot_be_followed(self, data, reason):
        with pytest.raises(ParseError) as caught:
            Deframer().push(data)
        assert caught.value.reason == reason

    def test_no_more_is_buffered_than_a_message(self):
        deframer = Deframer()
        assert deframer.push(b"\0\1\xff\xfc" + bytes(65535)) == []
        assert deframer.buffered == 65539
        assert deframer.buffered <= MAX_BUFFERED
        (message,) = deframer.push(bytes(30))
        assert len(message) == 65532 + 20
