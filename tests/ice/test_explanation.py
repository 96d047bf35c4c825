"""What people are told, of calls in virtual time that go well or wrong in all the usual ways."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import Address, Datagram, ParseError
from stack.ice import explain, hints, statistics_from_json, statistics_to_json
from tests.simulation.support import KINDS, TURN, call_between

from .support import STUN_SERVER, A, B, Nat, Network, TwoPaths, agent, deliver, host, introduce, request, two

SECOND_SERVER = Address("198.51.100.2", 3478)
BY_NAME = {kind.name: kind for kind in KINDS}
GOLDEN = """\
ICE agent: completed, controlling
2 local candidates
  host 192.168.0.2:5000/udp on wifi  priority 2130706431
  srflx 203.0.113.1:40000/udp on wifi  priority 1694498815
2 remote candidates
  host 192.168.0.3:5000/udp  priority 2130706431
  srflx 203.0.113.2:40000/udp  priority 1694498815
2 pairs, best first
  local                                remote                       state        use                 rtt ms  \
sent/answered  received/answered  age s
  host 192.168.0.2:5000/udp on wifi    host 192.168.0.3:5000/udp    in-progress  -                   -       \
3/0            0/0                -
  srflx 203.0.113.1:40000/udp on wifi  srflx 203.0.113.2:40000/udp  succeeded    selected nominated  100.0   \
3/3            2/2                0.0
after 0 ms first candidate, 100 ms gathered, 100 ms remote parameters, 100 ms first remote candidate, \
100 ms first check, 250 ms first valid pair, 450 ms nominated"""


def reasons(machine, **changes):
    statistics = machine.statistics()
    for name, value in changes.items():
        setattr(statistics, name, value)
    return [hint.reason for hint in hints(statistics)]


def homes(*, nats=None, servers=(STUN_SERVER,), seconds=5.0, talk=True, passes=None):
    """Two agents in private networks, and what becomes of them."""
    a, b = two()
    nats = nats or (Nat("203.0.113.1"), Nat("203.0.113.2"))
    network = Network(a, b, nats=nats, servers=servers)
    network.passes = passes or (lambda source, target: not target.host.startswith("192.168."))
    for machine, last in ((a, 2), (b, 3)):
        machine.add_local_address(
            Address(f"192.168.{0 if servers else last}.{last}", 5000), network.now, interface="wifi"
        )
        for server in servers:
            machine.add_stun_server(server, network.now)
        machine.end_local_addresses(network.now)
    network.run(seconds=0.2 if not servers else 0.1 + 0.05 * (len(servers) - 1))
    if talk:
        network.signal()
        for machine in (a, b):
            machine.end_of_remote_candidates(network.now)
    network.run(seconds=seconds)
    return network


def test_all_is_well():
    network = homes(seconds=0.6)
    assert explain(network.agents[0].statistics()) == GOLDEN
    assert reasons(network.agents[0]) == reasons(network.agents[1]) == []


def test_colours_are_for_terminals():
    statistics = homes(passes=lambda source, target: False).agents[0].statistics()
    plain, coloured = explain(statistics), explain(statistics, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[33mhint\x1b[0m" in coloured
    for code in (1, 31, 32, 33, 0):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


def test_nothing_was_signalled():
    machine = homes(talk=False).agents[0]
    assert reasons(machine) == ["no-remote-parameters"]
    machine.set_remote_parameters(agent("other").local_parameters, 2000.0)
    assert reasons(machine) == ["no-remote-candidates"]
    assert reasons(agent()) == ["no-local-candidates", "no-remote-parameters"]


def test_two_private_networks_without_a_stun_server():
    assert reasons(homes(servers=()).agents[0]) == ["other-private-network"]


def test_where_udp_is_blocked():
    network = homes(passes=lambda source, target: False, seconds=10)
    assert reasons(network.agents[0]) == ["no-reflexive-candidates", "no-answer"]
    assert "UDP may be blocked" in explain(network.agents[0].statistics())


def test_a_firewall_that_lets_nothing_out():
    def passes(source, target):
        return STUN_SERVER in {target, source} or source.host == "203.0.113.2"

    network = homes(passes=passes, nats=(Nat("203.0.113.1", restricted=False), Nat("203.0.113.2")))
    assert reasons(network.agents[0]) == ["one-way"]
    assert reasons(network.agents[1]) == ["no-answer"]


def test_a_symmetric_nat():
    nats = (Nat("203.0.113.1", symmetric=True), Nat("203.0.113.2"))
    network = homes(nats=nats, servers=(STUN_SERVER, SECOND_SERVER))
    assert "symmetric-nat" in reasons(network.agents[0])
    assert "symmetric-nat" not in reasons(network.agents[1])


def test_through_a_relay():
    call = call_between(BY_NAME["symmetric"], BY_NAME["symmetric"], relay=TURN)
    assert call.connect()
    for machine in call.agents:
        assert reasons(machine, turn_servers=1) == ["relay-selected"]


def test_a_turn_server_that_does_not_relay():
    call = call_between(BY_NAME["symmetric"], BY_NAME["symmetric"])
    call.connect(8.0)
    assert reasons(call.agents[0], turn_servers=2)[0] == "no-relay-candidates"
    assert "2 TURN servers" in hints(_with_turn(call.agents[0]))[0].text


def _with_turn(machine):
    statistics = machine.statistics()
    statistics.turn_servers = 2
    return statistics


def test_symmetric_nats_without_filters_and_without_a_relay():
    kind = BY_NAME["symmetric, open filter"]
    call = call_between(kind, kind)
    call.connect(3.0)
    assert "asymmetric-responses" in reasons(call.agents[0]) or "one-way" in reasons(call.agents[0])


def test_credentials_of_another_call():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(agent("other").local_parameters, 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    for _ in range(3):
        deliver(machine, request(machine, key=b"of another call"), 0.0)
    assert reasons(machine) == ["wrong-credentials", "no-answer"]


def test_credentials_of_a_few_strangers_are_no_wonder():
    network = homes()
    machine = network.agents[0]
    for _ in range(5):
        deliver(machine, request(machine, key=b"guess"), network.now, local=Address("192.168.0.2", 5000))
    assert machine.dropped["bad-integrity"] == 5
    assert reasons(machine) == []


def test_a_path_that_was_lost():
    network = TwoPaths().settle()
    network.dark = {(n, side) for n in (0, 1) for side in (0, 1)}
    network.talk(13)
    assert reasons(network.agents[0]) == ["path-silent"]
    network.talk(30)
    assert reasons(network.agents[0]) == ["consent-lost"]
    network.agents[0].restart(network.now)
    assert "1 restart" in explain(network.agents[0].statistics())


def test_other_families_and_transports():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(agent("other").local_parameters, 0.0)
    machine.add_remote_candidate(host(Address("2001:db8::2", 5)), 0.0)
    assert reasons(machine) == ["nothing-to-pair"]
    name = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"
    machine.add_remote_candidate(host(Address(name, 5)), 0.0)
    assert reasons(machine) == ["nothing-to-pair", "names-not-resolved"]


def test_floods():
    machine = agent(max_remote_candidates=3)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(agent("other").local_parameters, 0.0)
    for port in range(1, 6):
        machine.add_remote_candidate(host(B._replace(port=port)), 0.0)
    assert "too-many" in reasons(machine)


def test_over_tcp():
    a, b = two()
    a.add_local_address(Address("10.0.0.1", 9, "tcp"), 0.0, tcp_type="active")
    b.add_local_address(Address("10.0.0.2", 7000, "tcp"), 0.0, tcp_type="passive")
    introduce(a, b, 0.0)
    connection = Address("10.0.0.1", 41000, "tcp")
    (check,) = a.datagrams_to_send(0.0)
    for answer in deliver(b, check.data, 0.1, local=check.remote, remote=connection)[:1]:
        data = answer.serialize(key=a.pairs[0].key)
        a.receive_datagram(Datagram(data, check.remote, check.local), 0.2)
    assert reasons(a) == ["tcp-selected"]


# As JSON


def examples():
    yield agent().statistics()
    yield homes().agents[0].statistics()
    call = call_between(BY_NAME["symmetric"], BY_NAME["symmetric"], relay=TURN)
    call.connect()
    yield call.agents[1].statistics()


@pytest.mark.parametrize("statistics", list(examples()))
def test_json_and_back(statistics):
    again = statistics_from_json(statistics_to_json(statistics))
    assert again == statistics
    assert explain(again) == explain(statistics)


def test_members_of_another_version():
    value = json.loads(statistics_to_json(agent().statistics()))
    value["from the future"] = [1]
    del value["turn_servers"]
    assert statistics_from_json(json.dumps(value)) == agent().statistics()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad-json"),
        (b"\xff", "bad-json"),
        ("[" * 100_000, "bad-json"),
        ("[]", "bad-statistics"),
        ("{}", "bad-statistics"),
        ('{"state": 5}', "bad-statistics"),
        ('{"pairs": {}}', "bad-statistics"),
        ('{"pairs": [5]}', "bad-statistics"),
        ('{"dropped": {"x": "y"}}', "bad-statistics"),
        ('{"now": true}', "bad-statistics"),
        ('{"now": Infinity}', "bad-statistics"),
    ],
)
def test_what_is_no_report(text, reason):
    with pytest.raises(ParseError) as caught:
        statistics_from_json(text)
    assert caught.value.reason == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
REPORT = json.loads(statistics_to_json(homes(seconds=1.0).agents[0].statistics()))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(REPORT)), JSON)
def test_any_member_may_be_anything(name, value):
    try:
        statistics = statistics_from_json(json.dumps(REPORT | {name: value}))
    except ParseError:
        return
    assert statistics.now is None or math.isfinite(statistics.now)
    assert explain(statistics)


def test_times_count_from_the_start():
    network = homes(seconds=0.6)
    statistics = network.agents[0].statistics()
    assert 0.0 < statistics.now < 0.7
    assert statistics.milestones.started == 0.0
    assert (
        0.0 == statistics.local_candidates[0].known_at < statistics.local_candidates[1].known_at == pytest.approx(0.1)
    )
    assert all(pair.formed_at == pytest.approx(0.1) for pair in statistics.pairs)
    selected = next(pair for pair in statistics.pairs if pair.selected)
    assert selected.total_rtt == pytest.approx(selected.rtt_samples * 0.1)
    assert selected.last_rtt == pytest.approx(0.1)
