import pytest

from stack.core import Address, LocalError
from stack.stun import (
    BINDING,
    MAX_CHALLENGES,
    RTO_LIFETIME,
    Algorithm,
    Authenticated,
    Authenticator,
    Class,
    Client,
    Closed,
    Failed,
    LongTermCredential,
    Message,
    Redirected,
    Responded,
    Retransmission,
    RtoCache,
    ShortTermCredential,
    TimedOut,
    Unreachable,
    binding_response,
    error_response,
    short_term_key,
)
from stack.testing import Conditions, Link, seeded_random_bytes

from .limits import raw
from .support import SOURCE, Responder


def client(**kwargs):
    return Client(random_bytes=seeded_random_bytes(1), **kwargs)


def run(answer=binding_response, **conditions):
    machine, server = client(), Responder(answer=answer)
    link = Link(machine, server, Conditions(**conditions))
    machine.start(link.now)
    link.run(seconds=60)
    return machine, link.events[0]


def test_it_learns_its_address():
    machine, events = run()
    assert [type(e) for e in events] == [Responded]
    assert events[0].mapped_address == SOURCE
    assert machine.next_timer() is None


def test_an_old_server_with_a_plain_mapped_address():
    def answer(data, source):
        request = Message.parse(data)
        return Message(BINDING, Class.SUCCESS, request.transaction_id, mapped_address=source).serialize()

    assert run(answer)[1][0].mapped_address == SOURCE


def test_the_schedule_of_the_rfc():
    # RFC 8489 section 6.2.1: with an RTO of 500 ms, requests at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms
    machine, server = client(), Responder(answer=lambda data, source: None)
    link = Link(machine, server, Conditions(), start=0.0, keep_trace=True)
    machine.start(0.0)
    link.run(lambda: link.events[0])
    assert [time for time, _, _ in link.trace] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert link.now == 39.5
    assert link.events[0] == [TimedOut()]
    assert len({data for _, _, data in link.trace}) == 1
    assert machine.transmissions == 7


def test_a_lost_request_is_repeated():
    machine, server = client(), Responder()
    link = Link(machine, server, Conditions(), tamper=lambda sender, index, data: [] if index < 2 else [data])
    machine.start(link.now)
    link.run(seconds=60)
    assert isinstance(link.events[0][0], Responded)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda data, _: error_response(Message.parse(data), 400).serialize(), "error-response"),
        (lambda data, _: Message(1, Class.ERROR, Message.parse(data).transaction_id).serialize(), "error-response"),
        (
            lambda data, _: Message(1, Class.SUCCESS, Message.parse(data).transaction_id).serialize(),
            "missing-mapped-address",
        ),
        (lambda data, _: raw([(0x7000, b"")], 0x0101)[:8] + data[8:20] + b"\x70\0\0\0", "unknown-attributes"),
    ],
)
def test_answers_that_are_none(answer, reason):
    events = run(answer)[1]
    assert [type(e) for e in events] == [Failed]
    assert events[0].error.reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"junk" * 10, "not-stun"),
        (raw([]), "not-a-response"),
        (raw([], 0x0011), "not-a-response"),
        (raw([], 0x0103), "not-a-response"),
        (raw([], 0x0101), "unknown-transaction"),
    ],
)
def test_what_is_dropped(data, reason):
    machine = client()
    machine.start(0.0)
    machine.receive_datagram(data, 0.1)
    assert machine.dropped == {reason: 1}
    assert machine.next_event() is None


def test_a_response_before_the_start_is_dropped():
    machine = client()
    machine.receive_datagram(raw([], 0x0101), 0.0)
    assert machine.dropped == {"unknown-transaction": 1}


def test_closing():
    machine = client()
    machine.start(0.0)
    machine.close(0.1)
    machine.close(0.2)
    assert machine.datagrams_to_send(0.2) == []
    assert machine.next_event() == Closed()
    assert machine.next_event() is None
    machine.receive_datagram(b"", 0.3)
    assert machine.dropped == {"closed": 1}
    with pytest.raises(LocalError):
        machine.start(0.4)


def test_misuse():
    machine = client()
    machine.start(0.0)
    with pytest.raises(LocalError):
        machine.start(0.0)
    with pytest.raises(LocalError):
        client(rto=0)
    with pytest.raises(LocalError):
        client(rc=0)


def test_a_late_timer_does_not_burst():
    schedule = Retransmission(0.0)
    assert schedule.expire(20.0)
    assert schedule.deadline == 21.0
    assert schedule.transmissions == 2


def test_a_schedule_that_sends_once():
    schedule = Retransmission(0.0, rc=1, timeout=3.0)
    assert schedule.deadline == 3.0
    assert not schedule.expire(3.0)


def test_the_client_names_itself():
    machine = client(software="probe")
    machine.start(0.0)
    assert Message.parse(machine.datagrams_to_send(0.0)[0]).software == "probe"


def test_over_a_stream_it_asks_once_and_waits_as_long():
    machine = client(reliable=True)
    machine.start(0.0)
    assert len(machine.datagrams_to_send(0.0)) == 1
    assert machine.next_timer() == 39.5
    machine.handle_timer(39.5)
    assert machine.datagrams_to_send(39.5) == []
    assert machine.next_event() == TimedOut()


def test_a_timeout_of_ones_own():
    machine = client(timeout=2.0)
    machine.start(0.0)
    times = []
    while (deadline := machine.next_timer()) is not None:
        times.append(deadline)
        machine.handle_timer(deadline)
    assert times == [0.5, 1.5, 2.0]


def test_there_is_no_way():
    machine = client()
    machine.start(0.0)
    machine.transport_failed(0.1)
    machine.transport_failed(0.2)
    assert machine.next_event() == Unreachable()
    assert machine.next_event() is None
    assert machine.next_timer() is None


def test_the_round_trip_is_known_only_without_retransmission():
    for wait, rtt in ((0.2, 0.2), (0.6, None)):
        machine = client()
        machine.start(0.0)
        [request] = machine.datagrams_to_send(0.0)
        assert machine.rtt is None
        machine.handle_timer(wait)
        machine.receive_datagram(binding_response(request, SOURCE), wait)
        assert machine.rtt == rtt


def test_a_redirection():
    def answer(data, source):
        request = Message.parse(data)
        return Message(
            BINDING,
            Class.ERROR,
            request.transaction_id,
            error_code=(300, "Try Alternate"),
            alternate_server=Address("192.0.2.99", 1),
            alternate_domain="other.example.org",
        ).serialize()

    [event] = run(answer)[1]
    assert isinstance(event, Redirected)
    assert (event.server, event.domain) == (Address("192.0.2.99", 1), "other.example.org")


def test_a_redirection_to_nowhere_is_an_error():
    events = run(lambda data, _: error_response(Message.parse(data), 300).serialize())[1]
    assert events[0].error.reason == "error-response"


class TestRtoCache:
    def test_it_learns(self):
        cache = RtoCache()
        assert cache.rto("a", 0.0) == 0.5
        cache.measured("a", 1.0, 0.0)
        assert cache.rto("a", 1.0) == 1.0 + 4 * 0.5
        cache.measured("a", 1.0, 1.0)
        assert cache.rto("a", 1.0) == 1.0 + 4 * 0.375
        assert cache.rto("b", 1.0) == 0.5

    def test_not_below_half_a_second(self):
        cache = RtoCache()
        cache.measured("a", 0.01, 0.0)
        assert cache.rto("a", 0.0) == 0.5

    def test_it_forgets_after_ten_minutes(self):
        cache = RtoCache()
        cache.measured("a", 1.0, 0.0)
        cache.measured("a", None, 500.0)
        assert cache.rto("a", 500.0 + RTO_LIFETIME) == 3.0
        assert cache.rto("a", 501.0 + RTO_LIFETIME) == 0.5
        assert len(cache) == 0
        cache.measured("a", 1.0, 0.0)
        cache.measured("a", 2.0, 2000.0)
        assert cache.rto("a", 2000.0) == 6.0

    def test_a_retransmission_teaches_nothing(self):
        cache = RtoCache()
        cache.measured("a", None, 0.0)
        assert len(cache) == 0


class TestShortTerm:
    KEY = short_term_key("secret")

    def ask(self, answer, *, reliable=False, **kwargs):
        credential = ShortTermCredential("us", "secret", **kwargs)
        machine, server = client(credential=credential, reliable=reliable), Responder(answer=answer)
        link = Link(machine, server)
        machine.start(link.now)
        link.run(seconds=60)
        return machine, link.events[0], server.received, credential

    def response(self, key=KEY, code=None, **kwargs):
        def answer(data, source):
            request = Message.parse(data)
            if code:
                return error_response(request, code).serialize()
            message = Message(BINDING, Class.SUCCESS, request.transaction_id, xor_mapped_address=source)
            return message.serialize(key=key, **kwargs)

        return answer

    @pytest.mark.parametrize("sha256", [False, True])
    def test_the_first_request_has_both_and_the_next_what_was_answered(self, sha256):
        _, events, received, credential = self.ask(self.response(sha256=sha256))
        assert isinstance(events[0], Responded)
        first = Message.parse(received[0])
        assert first.username == "us"
        assert first.uses_sha256
        assert first.verify_integrity(self.KEY)
        again = Message.parse(credential.serialize(Message(BINDING, Class.REQUEST, bytes(12))))
        assert again.uses_sha256 is sha256
        assert again.verify_integrity(self.KEY)
        assert len(credential.serialize(Message(BINDING, Class.REQUEST, bytes(12)))) < len(received[0])

    def test_the_wrong_algorithm(self):
        machine, events, _, _ = self.ask(self.response(sha256=False), sha256=True)
        assert events[0].error.reason == "integrity-violated"
        assert machine.dropped["bad-integrity"] == 7

    @pytest.mark.parametrize("answer", [{"key": b"wrong"}, {"key": None}, {"code": 400}, {"code": 401}])
    def test_what_is_not_authentic_is_as_if_it_had_not_come(self, answer):
        machine, events, received, _ = self.ask(self.response(**answer))
        assert len(received) == 7
        assert [type(event) for event in events] == [Failed]
        assert events[0].error.reason == "integrity-violated"
        assert machine.rtt is None

    def test_over_a_stream_it_is_the_end(self):
        machine, events, received, _ = self.ask(self.response(b"wrong"), reliable=True)
        assert len(received) == 1
        assert events[0].error.reason == "integrity-violated"
        assert machine.dropped == {"bad-integrity": 1}


class TestLongTerm:
    def server(self, password="pass", *, stale=0, **kwargs):
        authenticator = Authenticator(
            "example.org", {"user": (password,)}.get, random_bytes=seeded_random_bytes(2), **kwargs
        )
        left = [stale]

        def answer(data, source):
            request = Message.parse(data)
            verdict = authenticator.authenticate(request, source, 0.0)
            if isinstance(verdict, Authenticated) and left[0]:
                left[0] -= 1
                response = error_response(request, 438)
                authenticator.challenge(response, source, 0.0)
                return response.serialize()
            if isinstance(verdict, Authenticated):
                message = Message(BINDING, Class.SUCCESS, request.transaction_id, xor_mapped_address=source)
                return message.serialize(key=verdict.key, sha256=verdict.sha256)
            response = error_response(request, verdict.code)
            authenticator.challenge(response, source, 0.0)
            return response.serialize()

        return answer

    def ask(self, answer):
        machine, server = client(credential=LongTermCredential("user", "pass")), Responder(answer=answer)
        link = Link(machine, server)
        machine.start(link.now)
        link.run(seconds=60)
        return machine, link.events[0], server.received

    @pytest.mark.parametrize("algorithms", [(), (Algorithm.MD5,), (Algorithm.SHA256, Algorithm.MD5)])
    def test_success(self, algorithms):
        _, events, received = self.ask(self.server(algorithms=algorithms))
        assert [type(event) for event in events] == [Responded]
        assert len(received) == 2
        assert not Message.parse(received[0]).has_integrity
        assert Message.parse(received[0]).transaction_id != Message.parse(received[1]).transaction_id

    def test_a_stale_nonce(self):
        _, events, received = self.ask(self.server(stale=1))
        assert [type(event) for event in events] == [Responded]
        assert len(received) == 3

    def test_nonces_that_are_always_stale(self):
        _, events, received = self.ask(self.server(stale=99))
        assert events[0].error.reason == "error-response"
        assert len(received) == 1 + MAX_CHALLENGES

    def test_the_wrong_password(self):
        _, events, received = self.ask(self.server("another"))
        assert (events[0].error.reason, events[0].error.detail) == ("error-response", "401 Unauthenticated")
        assert len(received) == 2

    def test_a_challenge_that_is_none(self):
        _, events, _ = self.ask(lambda data, _: error_response(Message.parse(data), 401).serialize())
        assert events[0].error.reason == "missing-nonce"

    def test_a_server_that_wants_nothing(self):
        assert [type(event) for event in self.ask(binding_response)[1]] == [Responded]
