"""Addresses of all kinds: relayed, hidden, behind a name, late; and their order."""

import pytest

from stack.core import Address, LocalError
from stack.ice import CandidateGathered, CandidateRemoved, GatheringCompleted, local_preferences
from stack.stun import BINDING, Class, Message

from .support import STUN_SERVER, A, B, agent, answer_all, deliver, drain_events, host, request, sent
from .test_requests import PEER, PEER_KEY, response

RELAYED = Address("198.51.100.9", 49152)
SERVER = Address("198.51.100.9", 3478)
MAPPED = Address("203.0.113.1", 7777)
NAME = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"


def gathered(machine):
    return [event.candidate for event in drain_events(machine) if isinstance(event, CandidateGathered)]


class TestRelayed:
    def test_the_candidate(self):
        machine = agent()
        machine.add_local_address(A, 0.0, interface="eth0")
        machine.add_relayed_address(RELAYED, 0.0, base=A, mapped=MAPPED, server=SERVER)
        _, candidate = gathered(machine)
        assert (candidate.type, candidate.address, candidate.base) == ("relay", RELAYED, RELAYED)
        assert (candidate.related_host, candidate.related_port) == MAPPED[:2]
        assert candidate.priority >> 24 == 2
        assert candidate.interface == "eth0"

    def test_its_mapped_address_may_be_kept_back(self):
        machine = agent()
        machine.add_relayed_address(RELAYED, 0.0, base=A)
        (candidate,) = gathered(machine)
        assert (candidate.related_host, candidate.related_port) == ("0.0.0.0", 9)  # RFC 8839 section 5.1

    def test_udp_to_the_server_is_preferred_to_tcp_and_that_to_tls(self):
        machine = agent()
        for number, protocol in enumerate(("tls", "tcp", "udp")):
            machine.add_relayed_address(Address("198.51.100.9", 1 + number), 0.0, base=A, protocol=protocol)
        tls, tcp, udp = gathered(machine)
        assert udp.priority > tcp.priority > tls.priority
        assert len({udp.foundation, tcp.foundation, tls.foundation}) == 3

    def test_checks_leave_from_it_and_no_stun_server_is_asked(self):
        machine = agent()
        machine.add_relayed_address(RELAYED, 0.0, base=A)
        machine.add_stun_server(STUN_SERVER, 0.0)
        machine.set_remote_parameters(PEER, 0.0)
        machine.add_remote_candidate(host(Address("192.0.2.7", 7)), 0.0)
        (datagram,) = machine.datagrams_to_send(0.0)
        assert (datagram.local, datagram.remote) == (RELAYED, Address("192.0.2.7", 7))
        check = Message.parse(datagram.data)
        answer = response(check, xor_mapped_address=RELAYED)
        deliver(machine, answer, 0.1, local=RELAYED, remote=Address("192.0.2.7", 7))
        assert machine.selected_pair.local == RELAYED
        assert machine.selected_pair.local_candidate.type == "relay"
        machine.handle_timer(10.0)
        assert not any(d.remote == STUN_SERVER for d in machine.datagrams_to_send(10.0))

    def test_it_goes_with_its_socket(self):
        machine = agent()
        machine.add_local_address(A, 0.0)
        machine.add_relayed_address(RELAYED, 0.0, base=A)
        machine.add_local_address(B, 0.0)
        candidates = gathered(machine)
        machine.remove_local_address(A, 1.0)
        assert [e.candidate for e in drain_events(machine)] == candidates[:2]
        assert machine.local_candidates == candidates[2:]
        machine.remove_local_address(RELAYED, 1.0)
        assert drain_events(machine) == []

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda m: m.add_relayed_address(A, 0.0, base=A),
            lambda m: m.add_relayed_address(Address("0.0.0.0", 1), 0.0, base=A),
            lambda m: m.add_relayed_address(RELAYED, 0.0, base=A, protocol="sctp"),
            lambda m: m.add_relayed_address(Address(*RELAYED[:2], "tcp"), 0.0, base=A),
            lambda m: m.add_relayed_address(RELAYED, 0.0, base=A, network_cost=1024),
            lambda m: m.add_local_address(B, 0.0, network_cost=-1),
        ],
    )
    def test_misuse(self, wrong):
        machine = agent()
        machine.add_local_address(A, 0.0)
        with pytest.raises(LocalError):
            wrong(machine)
        assert len(machine.local_candidates) == 1


class TestConcealed:
    def reflexive(self, machine, mapped):
        (query,) = machine.datagrams_to_send(0.0)
        tid = Message.parse(query.data).transaction_id
        answer = Message(BINDING, Class.SUCCESS, tid, xor_mapped_address=mapped).serialize()
        deliver(machine, answer, 0.1, remote=STUN_SERVER)
        return gathered(machine)

    def test_a_hidden_address_is_used_and_never_signalled(self):
        machine = agent()
        machine.add_local_address(A, 0.0, hidden=True)
        machine.add_stun_server(STUN_SERVER, 0.0)
        assert gathered(machine) == []
        assert machine.local_candidates == []
        (found,) = self.reflexive(machine, MAPPED)
        assert (found.related_host, found.related_port) == ("0.0.0.0", 9)  # RFC 8839 section 5.1
        assert found.base == A
        machine.set_remote_parameters(PEER, 0.2)
        machine.add_remote_candidate(host(B), 0.2)
        assert [(pair.local, pair.remote) for pair in machine.pairs] == [(A, B)]
        machine.remove_local_address(A, 1.0)
        assert [e.candidate.type for e in drain_events(machine) if isinstance(e, CandidateRemoved)] == ["srflx"]

    def test_what_the_other_side_sees_of_a_hidden_address_stays_hidden(self):
        machine = agent()
        machine.add_local_address(A, 0.0, hidden=True)
        machine.set_remote_parameters(PEER, 0.0)
        machine.add_remote_candidate(host(B), 0.0)
        (check,) = sent(machine, 0.0)
        deliver(machine, response(check, xor_mapped_address=MAPPED), 0.1)
        assert machine.selected_pair.local_candidate.address == MAPPED
        assert machine.local_candidates == []

    @pytest.mark.parametrize("mapped", [MAPPED, A])
    def test_a_name_in_place_of_the_address(self, mapped):
        machine = agent()
        machine.add_local_address(A, 0.0, mdns_name=NAME)
        machine.add_stun_server(STUN_SERVER, 0.0)
        (candidate,) = gathered(machine)
        assert (candidate.host, candidate.port, candidate.type) == (NAME, A.port, "host")
        assert machine.local_candidates == [candidate]
        # Even without a NAT it is not redundant: section 3.1.2.2 of the mDNS draft.
        (found,) = self.reflexive(machine, mapped)
        assert (found.type, found.address) == ("srflx", mapped)
        assert (found.related_host, found.related_port) == ("0.0.0.0", 9)
        machine.remove_local_address(A, 1.0)
        assert [e.candidate for e in drain_events(machine) if isinstance(e, CandidateRemoved)] == [candidate, found]

    def test_ipv6(self):
        machine = agent()
        machine.add_relayed_address(Address("2001:db8::9", 1), 0.0, base=A)
        assert gathered(machine)[0].related_host == "::"


class TestLate:
    def test_an_address_after_the_end_is_paired_at_once_and_checked_by_the_stun_servers(self):
        machine = agent()
        machine.add_stun_server(STUN_SERVER, 0.0)
        machine.end_local_addresses(0.0)
        machine.set_remote_parameters(PEER, 0.0)
        machine.add_remote_candidate(host(B), 0.0)
        assert drain_events(machine) == [GatheringCompleted()]
        machine.add_local_address(A, 5.0)
        machine.handle_timer(5.06)
        assert [d.remote for d in machine.datagrams_to_send(5.06)] == [B, STUN_SERVER]
        assert type(drain_events(machine)[0]) is CandidateGathered
        assert not any(isinstance(e, GatheringCompleted) for e in drain_events(machine))

    def test_a_remote_candidate_after_the_end_and_after_nomination(self):
        machine = agent()
        machine.add_local_address(A, 0.0)
        machine.set_remote_parameters(PEER, 0.0)
        machine.add_remote_candidate(host(B), 0.0)
        machine.end_of_remote_candidates(0.0)
        answer_all(machine, 0.0, PEER_KEY)
        assert machine.selected_pair.nominated
        late = Address("10.0.0.77", 7)
        machine.add_remote_candidate(host(late, foundation="2"), 1.0)
        assert [d.remote for d in machine.datagrams_to_send(1.0)] == [late]

    def test_queries_of_a_removed_address_are_forgotten(self):
        machine = agent()
        machine.add_local_address(A, 0.0)
        machine.add_stun_server(STUN_SERVER, 0.0)
        machine.end_local_addresses(0.0)
        assert len(sent(machine, 0.0)) == 1
        drain_events(machine)
        machine.remove_local_address(A, 0.1)
        assert machine.next_timer() is None
        assert [type(e) for e in drain_events(machine)] == [CandidateRemoved, GatheringCompleted]
        assert deliver(machine, request(machine), 0.2) == []
        assert machine.dropped == {"unknown-local-address": 1}

    def test_early_checks_and_paths_of_a_removed_address_are_forgotten(self):
        machine = agent()
        machine.add_local_address(A, 0.0)
        deliver(machine, request(machine), 0.0)
        machine.remove_local_address(A, 0.1)
        machine.set_remote_parameters(PEER, 0.2)
        assert machine.pairs == []
        assert not machine.accepts(A, B)


class TestOrder:
    def test_families_are_intermingled(self):
        hosts = ["10.0.0.1", "10.0.0.2", *(f"2001:db8::{number}" for number in range(6))]
        preferences = local_preferences(hosts)
        ranked = sorted(hosts, key=lambda h: -preferences[hosts.index(h)])
        # RFC 8421 section 4: (2 + 6) / 2 addresses of IPv6 before each one of IPv4
        assert ["6" if ":" in h else "4" for h in ranked] == list("66664664")
        assert len(set(preferences)) == len(hosts)

    @pytest.mark.parametrize(
        ("hosts", "order"),
        [
            ([], ""),
            (["10.0.0.1"], "4"),
            (["::1"], "6"),
            (["10.0.0.1", "::1"], "64"),
            (["10.0.0.1", "10.0.0.2", "::1"], "644"),
        ],
    )
    def test_few(self, hosts, order):
        preferences = local_preferences(hosts)
        ranked = sorted(hosts, key=lambda h: -preferences[hosts.index(h)])
        assert "".join("6" if ":" in h else "4" for h in ranked) == order

    def test_expensive_networks_come_last(self):
        hosts = ["10.0.0.1", "2001:db8::1", "10.1.0.1", "2001:db8:1::1"]
        preferences = local_preferences(hosts, [900, 900, 0, 0])
        assert sorted(range(4), key=lambda i: -preferences[i]) == [3, 2, 1, 0]

    def test_many_are_all_different(self):
        hosts = [f"10.0.{number >> 8}.{number & 255}" for number in range(1000)]
        preferences = local_preferences(hosts)
        assert len(set(preferences)) == 1000
        assert min(preferences) >= 0

    @pytest.mark.parametrize("wrong", [(["x"], None), (["10.0.0.1"], []), (["10.0.0.1"], [1024])])
    def test_misuse(self, wrong):
        with pytest.raises(LocalError):
            local_preferences(*wrong)

    def test_without_preferences_the_order_of_adding_and_the_cost_decide(self):
        machine = agent()
        machine.add_local_address(Address("10.0.0.1", 1), 0.0, network_cost=900)
        machine.add_local_address(Address("10.0.0.2", 1), 0.0)
        machine.add_local_address(Address("10.0.0.3", 1), 0.0)
        ranked = sorted(machine.local_candidates, key=lambda c: -c.priority)
        assert [c.host for c in ranked] == ["10.0.0.2", "10.0.0.3", "10.0.0.1"]
