"""What an agent answers to Binding requests, and what it does with responses that are not what it asked for."""

import pytest

from stack.core import Address, Datagram, LocalError
from stack.ice import PairState, Parameters
from stack.stun import BINDING, Class, Message, short_term_key
from stack.testing import Conditions, Link

from .support import STUN_SERVER, A, B, agent, deliver, drain_events, host, request, sent, start, two

PEER = Parameters("peer", "the password of the peer")
PEER_KEY = short_term_key(PEER.pwd)


def listening(**kwargs):
    machine = agent(**kwargs)
    machine.add_local_address(A, 0.0)
    return machine


def checking(**kwargs):
    """An agent whose first check, to B, has left; and that check."""
    machine = listening(**kwargs)
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    (check,) = sent(machine, 0.0)
    return machine, check


def response(check, *, key=PEER_KEY, message_class=Class.SUCCESS, **attributes):
    attributes = attributes or {"xor_mapped_address": A}
    return Message(BINDING, message_class, check.transaction_id, **attributes).serialize(key=key)


class TestRequests:
    def test_success(self):
        machine = listening()
        (answer,) = deliver(machine, request(machine), 0.0)
        assert answer.message_class is Class.SUCCESS
        assert answer.transaction_id == bytes(12)
        assert answer.xor_mapped_address == B
        assert answer.username is None
        assert answer.has_fingerprint
        assert answer.verify_integrity(machine.local_parameters.pwd.encode())
        assert not machine.dropped

    def test_the_answer_uses_the_hash_of_the_request(self):
        machine = listening()
        local = machine.local_parameters
        data = Message(BINDING, Class.REQUEST, bytes(12), username=f"{local.ufrag}:x", priority=1, ice_controlled=1)
        (answer,) = deliver(machine, data.serialize(key=local.pwd.encode(), sha256=True), 0.0)
        assert answer.uses_sha256
        assert answer.verify_integrity(local.pwd.encode())

    @pytest.mark.parametrize(
        ("changes", "code", "reason"),
        [
            ({"signed": False}, 400, "missing-credentials"),
            ({"username": "somebody:peer"}, 401, "unknown-username"),
            ({"username": "no colon"}, 401, "unknown-username"),
            ({"key": b"wrong"}, 401, "bad-integrity"),
        ],
    )
    def test_bad_credentials(self, changes, code, reason):
        machine = listening()
        data = request(machine, **changes)
        machine.receive_datagram(Datagram(data, B, A), 0.0)
        (answer,) = machine.datagrams_to_send(0.0)
        message = Message.parse(answer.data)
        assert (answer.remote, answer.local) == (B, A)
        assert message.message_class is Class.ERROR
        assert message.error_code[0] == code
        assert not message.has_integrity
        assert len(answer.data) <= len(data)
        assert machine.dropped == {reason: 1}
        assert not machine.accepts(A, B)
        assert machine.remote_candidates == []
        machine.set_remote_parameters(PEER, 0.0)
        assert machine.pairs == []  # nothing was remembered

    def test_no_amplification(self):
        machine = listening()
        assert deliver(machine, Message(BINDING, Class.REQUEST, bytes(12)).serialize(fingerprint=False), 0.0) == []
        assert machine.dropped == {"missing-credentials": 1}

    def test_unknown_attributes(self):
        machine = listening()
        local = machine.local_parameters
        message = Message(BINDING, Class.REQUEST, bytes(12), username=f"{local.ufrag}:peer", priority=1)
        message.attributes[0x7001] = b""
        (answer,) = deliver(machine, message.serialize(key=local.pwd.encode()), 0.0)
        assert answer.error_code[0] == 420
        assert answer.unknown_attributes == (0x7001,)
        assert answer.verify_integrity(local.pwd.encode())
        assert machine.dropped == {"unknown-attributes": 1}

    def test_without_priority_from_an_unknown_address(self):
        machine = listening()
        assert deliver(machine, request(machine, priority=None), 0.0)[0].error_code[0] == 400
        assert machine.dropped == {"missing-priority": 1}
        machine.add_remote_candidate(host(B), 0.0)
        assert deliver(machine, request(machine, priority=None), 0.0)[0].message_class is Class.SUCCESS

    @pytest.mark.parametrize(
        ("controlling", "attribute", "value", "refused", "role"),
        [
            (True, "ice_controlling", 0, True, True),
            (True, "ice_controlling", 2**64 - 1, False, False),
            (False, "ice_controlled", 0, False, True),
            (False, "ice_controlled", 2**64 - 1, True, False),
        ],
    )
    def test_role_conflict(self, controlling, attribute, value, refused, role):
        machine = listening(controlling=controlling)
        attributes = {"ice_controlled": None} | {attribute: value}
        (answer,) = deliver(machine, request(machine, **attributes), 0.0)
        assert (answer.error_code is not None and answer.error_code[0] == 487) is refused
        assert answer.verify_integrity(machine.local_parameters.pwd.encode())
        assert machine.controlling is role

    @pytest.mark.parametrize("controlling", [True, False])
    def test_the_same_tie_breaker(self, controlling):
        machine = listening(controlling=controlling)
        names = ("ice_controlling", None) if controlling else (None, "ice_controlled")
        attributes = {"ice_controlled": None} | {n: machine._tie_breaker for n in names if n}
        refused = deliver(machine, request(machine, **attributes), 0.0)[0].error_code is not None
        assert refused is controlling  # RFC 8445 section 7.3.1.1: "larger than or equal" makes it controlling
        assert machine.controlling

    def test_a_request_triggers_a_check_at_once(self):
        machine = listening()
        machine.set_remote_parameters(PEER, 0.0)
        answer, check = deliver(machine, request(machine), 1.0)
        assert answer.message_class is Class.SUCCESS
        assert check.message_class is Class.REQUEST
        assert check.verify_integrity(PEER_KEY)
        (candidate,) = machine.remote_candidates
        assert (candidate.type, candidate.priority, candidate.address) == ("prflx", 100, B)
        assert machine.accepts(A, B)

    def test_a_request_triggers_a_new_check_while_one_is_under_way(self):
        machine, first = checking()
        second = deliver(machine, request(machine), 0.06)[1]
        assert second.transaction_id != first.transaction_id
        deliver(machine, response(first), 0.1)  # the answer to the first one still counts
        assert machine.selected_pair.valid
        deliver(machine, response(second), 0.16)
        assert not machine.dropped

    def test_a_failed_pair_gets_another_chance(self):
        machine, _ = checking(check_timeout=1.0)
        machine.handle_timer(machine.next_timer())
        for _ in range(9):
            if machine.pairs[0].state is not PairState.FAILED:
                machine.handle_timer(machine.next_timer())
        assert machine.pairs[0].state is PairState.FAILED
        machine.datagrams_to_send(2.0)
        assert len(deliver(machine, request(machine), 2.0)) == 2
        assert machine.pairs[0].state is PairState.IN_PROGRESS

    def test_use_candidate_of_a_controlled_peer_is_ignored(self):
        machine, check = checking()
        deliver(machine, request(machine, use_candidate=True), 0.06)
        deliver(machine, response(check), 0.1)
        assert not machine.selected_pair.nominated

    def test_use_candidate_before_the_pair_is_valid(self):
        machine, _ = checking(controlling=False)
        controlling = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}
        check = deliver(machine, request(machine, **controlling), 0.06)[1]
        assert machine.selected_pair is None
        deliver(machine, response(check), 0.1)
        assert machine.selected_pair.nominated

    def test_use_candidate_on_a_valid_pair(self):
        machine, check = checking(controlling=False)
        deliver(machine, response(check), 0.1)
        assert not machine.selected_pair.nominated
        controlling = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}
        (answer,) = deliver(machine, request(machine, **controlling), 0.2)
        assert answer.message_class is Class.SUCCESS
        assert machine.selected_pair.nominated

    def test_a_silent_selected_pair_gives_way_to_another_nominated_one(self):
        machine, check = checking(controlling=False)
        controlling = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}
        deliver(machine, response(check), 0.1)
        deliver(machine, request(machine, **controlling), 0.2)
        elsewhere = Address("10.7.7.7", 7)
        now = 1.0
        deliver(machine, request(machine, **controlling), now, remote=elsewhere)
        assert machine.selected_pair.remote == B  # lower priority: the path in use stays
        while machine.state != "disconnected":
            now = machine.next_timer()
            machine.handle_timer(now)
        machine.datagrams_to_send(now)
        check = deliver(machine, request(machine, **controlling), now, remote=elsewhere)[1]
        deliver(machine, response(check), now + 0.1, remote=elsewhere)
        assert machine.selected_pair.remote == elsewhere
        assert machine.state == "connected"

    def test_a_peer_that_moves_to_another_pair_is_followed(self):
        """Browsers nominate with every check on the pair they use; so they do after moving to another network."""
        machine, check = checking(controlling=False)
        controlling = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}
        deliver(machine, response(check), 0.1)
        deliver(machine, request(machine, **controlling), 0.2)
        elsewhere = Address("10.7.7.7", 7)
        deliver(machine, request(machine, **controlling), 2.5)
        assert len(deliver(machine, request(machine, **controlling), 3.5, remote=elsewhere)) == 1
        check = deliver(machine, request(machine, **controlling), 5.6, remote=elsewhere)[-1]
        assert check.message_class is Class.REQUEST
        deliver(machine, response(check), 5.7, remote=elsewhere)
        assert machine.selected_pair.remote == elsewhere
        assert machine.selected_pair.nominated

    def test_to_an_address_that_is_not_ours(self):
        machine = listening()
        assert deliver(machine, request(machine), 0.0, local=B) == []
        assert machine.dropped == {"unknown-local-address": 1}

    def test_other_methods_and_indications(self):
        machine = listening()
        assert deliver(machine, Message(3, Class.REQUEST, bytes(12)).serialize(), 0.0) == []
        assert machine.dropped == {"unknown-method": 1}
        assert deliver(machine, Message(BINDING, Class.INDICATION, bytes(12)).serialize(), 0.0) == []
        assert machine.dropped == {"unknown-method": 1}

    @pytest.mark.parametrize("data", [b"", b"\0", b"junk" * 9])
    def test_garbage(self, data):
        machine = listening()
        assert deliver(machine, data, 0.0) == []
        assert machine.dropped.total() == 1


class TestResponses:
    def test_of_nobody(self):
        machine, _ = checking()
        stranger = Message(BINDING, Class.SUCCESS, bytes(12), xor_mapped_address=A).serialize(key=PEER_KEY)
        deliver(machine, stranger, 0.1)
        assert machine.dropped == {"unknown-transaction": 1}

    def test_with_a_bad_password_it_goes_on_waiting(self):
        machine, check = checking()
        deliver(machine, response(check, key=b"forged"), 0.05)
        assert machine.dropped == {"bad-integrity": 1}
        assert machine.pairs[0].state is PairState.IN_PROGRESS
        deliver(machine, response(check), 0.1)
        assert machine.pairs[0].state is PairState.SUCCEEDED

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"message_class": Class.ERROR, "error_code": (500, "")}, "error-response"),
            ({"message_class": Class.ERROR}, "error-response"),
            ({"software": "x"}, "missing-mapped-address"),
        ],
    )
    def test_that_fail_the_pair(self, attributes, reason):
        machine, check = checking()
        deliver(machine, response(check, **attributes), 0.1)
        assert machine.dropped == {reason: 1}
        assert machine.pairs[0].state is PairState.FAILED
        assert machine.selected_pair is None

    def test_with_unknown_attributes(self):
        machine, check = checking()
        message = Message(BINDING, Class.SUCCESS, check.transaction_id, xor_mapped_address=A)
        message.attributes[0x7001] = b""
        deliver(machine, message.serialize(key=PEER_KEY), 0.1)
        assert machine.dropped == {"unknown-attributes": 1}
        assert machine.pairs[0].state is PairState.FAILED

    def test_from_another_address(self):
        machine, check = checking()
        deliver(machine, response(check), 0.1, remote=Address("10.0.0.99", 1))
        assert machine.dropped == {"asymmetric-response": 1}
        assert machine.pairs[0].state is PairState.FAILED

    def test_that_reveal_a_peer_reflexive_candidate(self):
        machine, check = checking()
        mapped = Address("203.0.113.5", 999)
        before = machine.pairs[0].priority
        deliver(machine, response(check, xor_mapped_address=mapped), 0.1)
        pair = machine.selected_pair
        assert pair.local == A
        assert pair.local_candidate.type == "prflx"
        assert pair.local_candidate.address == mapped
        assert pair.local_candidate.priority == check.priority
        assert pair.priority < before
        assert [candidate.type for candidate in machine.local_candidates] == ["host", "prflx"]

    def test_role_conflict(self):
        machine, check = checking()
        old = machine._tie_breaker
        (again,) = deliver(machine, response(check, message_class=Class.ERROR, error_code=(487, "")), 0.1)
        assert not machine.controlling
        assert machine._tie_breaker != old
        assert again.ice_controlled == machine._tie_breaker
        assert machine.pairs[0].state is PairState.IN_PROGRESS

    def test_a_late_one_is_counted_and_harmless(self):
        machine, check = checking()
        deliver(machine, response(check), 0.1)
        deliver(machine, response(check), 0.11)
        assert machine.dropped == {"unknown-transaction": 1}
        assert machine.selected_pair.valid

    def test_a_retransmitted_check_gives_no_round_trip_time(self):
        machine, check = checking()
        machine.handle_timer(0.1)
        deliver(machine, response(check), 0.15)
        assert machine.selected_pair.rtt is None

    def test_a_nomination_that_nobody_answers_is_given_up(self):
        machine, check = checking()
        second = Address("10.0.0.3", 3)
        machine.add_remote_candidate(host(second, 1000, foundation="2"), 0.05)
        other, nomination = deliver(machine, response(check), 0.1)
        assert nomination.use_candidate
        deliver(machine, response(other), 0.12, remote=second)
        assert machine.selected_pair.remote == B
        now = 0.2
        while machine.selected_pair.remote == B:
            now = machine.next_timer()
            machine.handle_timer(now)
        assert now < 5.3
        assert machine.selected_pair.remote == second
        machine.handle_timer(now + 0.1)
        assert any(message.use_candidate for message in sent(machine, now + 0.1))


class TestMisuse:
    @pytest.mark.parametrize(
        "wrong",
        [
            lambda m: m.add_local_address(A, 0.0),
            lambda m: m.add_local_address(Address("0.0.0.0", 1), 0.0),
            lambda m: m.add_local_address(Address("localhost", 1), 0.0),
            lambda m: m.add_local_address(Address("10.0.0.9", 0), 0.0),
            lambda m: m.add_local_address(Address("10.0.0.9", 1), 0.0, local_preference=65536),
            lambda m: m.add_stun_server(Address("stun.example.org", 3478), 0.0),
            lambda m: m.add_stun_server(STUN_SERVER, 0.0),
            lambda m: m.set_remote_parameters(Parameters("a:b", "x"), 0.0),
            lambda m: m.set_remote_parameters(Parameters("other", "x"), 0.0),
            lambda m: m.set_controlling(True),
        ],
    )
    def test_it_raises_and_changes_nothing(self, wrong):
        machine = listening()
        machine.add_stun_server(STUN_SERVER, 0.0)
        machine.set_remote_parameters(PEER, 0.0)
        machine.datagrams_to_send(0.0)
        drain_events(machine)
        before = machine.next_timer()
        with pytest.raises(LocalError):
            wrong(machine)
        assert machine.next_timer() == before
        assert machine.datagrams_to_send(0.0) == []
        assert machine.next_event() is None
        assert len(machine.local_candidates) == 1
        assert machine.remote_parameters == PEER

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda m: m.add_local_address(B, 0.0),
            lambda m: m.add_stun_server(STUN_SERVER, 0.0),
            lambda m: m.set_remote_parameters(PEER, 0.0),
            lambda m: m.add_remote_candidate(host(B), 0.0),
            lambda m: m.end_local_addresses(0.0),
            lambda m: m.end_of_remote_candidates(0.0),
            lambda m: m.set_controlling(False),
            lambda m: m.restart(0.0),
        ],
    )
    def test_nothing_goes_after_closing(self, wrong):
        machine = listening()
        machine.close(0.0)
        with pytest.raises(LocalError):
            wrong(machine)
        deliver(machine, b"", 0.0)
        assert machine.dropped == {"closed": 1}

    def test_no_servers_after_the_end(self):
        machine = listening()
        machine.end_local_addresses(0.0)
        with pytest.raises(LocalError):
            machine.add_stun_server(STUN_SERVER, 0.0)

    def test_the_role_can_be_set_before_the_checks(self):
        machine = listening()
        machine.set_controlling(False)
        assert not machine.controlling


def test_statistics():
    a, b = two()
    link = Link(a, b, Conditions(delay=0.05))
    start(a, b, link.now)
    link.run(lambda: a.state == b.state == "completed")
    link.run(seconds=0.5)
    for ours, theirs in ((a.selected_pair, b.selected_pair), (b.selected_pair, a.selected_pair)):
        assert ours.requests_sent >= 2
        assert ours.responses_received == ours.requests_sent
        assert theirs.requests_received >= ours.requests_sent - 1  # one came before the pair was formed
