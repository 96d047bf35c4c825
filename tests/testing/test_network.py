"""A network in virtual time: ways, translations, lines, interfaces, and the books it keeps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import Address, Datagram, LocalError, Machine
from stack.stun import BINDING, Class, Message, binding_response
from stack.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Conditions,
    Dependence,
    LivelockError,
    NatBehavior,
    Network,
    Responder,
)
from stack.testing.responder import MAX_ANSWERS

ECHO = Address("192.0.2.1", 7)
ECHO_TCP = ECHO._replace(transport="tcp")


class Probe(Machine):
    """Sends what it is told to, and keeps what it gets."""

    def __init__(self):
        super().__init__()
        self.got = []
        self._outgoing = []

    def say(self, data, remote, local):
        self._outgoing.append(Datagram(data, remote, local))

    def receive_datagram(self, datagram, now):
        self.got.append((now, datagram))

    def handle_timer(self, now):
        pass

    def datagrams_to_send(self, now):
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def close(self, now):
        pass


def echoing(network, *sockets, conditions=None):
    """A host that answers with the source it saw."""
    host = network.host("echo", ECHO.host, conditions=conditions or Conditions(delay=0.0))
    return host.run(Responder(lambda data, source: str(source).encode()), *(sockets or (ECHO,)))


def probe(host):
    machine = Probe()
    host.run(machine)
    return machine


def home(network, behavior=PORT_RESTRICTED, name="home", number=1, outside=None, **options):
    """A NAT and a probe behind it."""
    outer = f"198.51.100.{number}" if outside is None else f"100.64.0.{number}"
    nat = network.nat(name, outer, behavior=behavior, outside=outside, **options)
    host = network.host(f"{name}'s host", f"192.168.1.{number + 1}", realm=nat.inside)
    return nat, host, probe(host)


def seen(network, machine, local, target=ECHO):
    """What `target` sees as the source."""
    machine.got.clear()
    machine.say(b"?", target, local)
    network.run(lambda: bool(machine.got), seconds=5.0)
    return machine.got[0][1].data.decode() if machine.got else None


def balanced(network):
    return network.sent + network.duplicated == network.delivered + network.lost.total() + network.in_flight


def test_a_datagram_goes_there_and_back_with_the_delays_of_both_lines():
    network = Network(start=10.0)
    echoing(network, conditions=Conditions(delay=0.02))
    host = network.host("a", "203.0.113.1", conditions=Conditions(delay=0.03))
    machine = probe(host)
    machine.say(b"hello", ECHO, host.address(1000))
    assert network.run(lambda: bool(machine.got))
    assert machine.got == [(pytest.approx(10.1), Datagram(b"203.0.113.1:1000", ECHO, host.address(1000)))]
    assert (network.sent, network.delivered, network.in_flight) == (2, 2, 0)


def test_an_empty_datagram_is_carried_too():
    network = Network()
    got = probe(network.host("b", "203.0.113.2"))
    a = network.host("a", "203.0.113.1")
    probe(a).say(b"", Address("203.0.113.2", 1), a.address(1))
    network.run()
    assert [datagram.data for _, datagram in got.got] == [b""]


def test_a_nat_shows_its_own_address_and_takes_answers_back():
    network = Network()
    echoing(network)
    _, host, machine = home(network, NatBehavior(port_preservation=True))
    assert seen(network, machine, host.address(1000)) == "198.51.100.1:1000"


def test_what_nobody_asked_for_does_not_pass_a_nat_and_is_counted():
    network = Network()
    nat, host, inside = home(network, NatBehavior(port_preservation=True))
    outside = network.host("outside", "203.0.113.5")
    probe(outside).say(b"knock", Address("198.51.100.1", 1000), outside.address(1))
    network.run()
    assert network.lost == {"nat-no-mapping": 1}
    inside.say(b"out", Address("203.0.113.6", 1), host.address(1000))
    network.run()
    knocking = next(p.machine for p in outside.processes)
    knocking.say(b"knock", Address("198.51.100.1", 1000), outside.address(1))
    network.run()
    assert network.lost == {"nat-no-mapping": 1, "no-route": 1, "nat-filtered": 1}
    assert inside.got == []
    assert nat.behavior.filtering is Dependence.ADDRESS_AND_PORT_DEPENDENT


def test_two_homes_may_use_the_same_addresses():
    network = Network()
    echoing(network)
    machines = []
    for number in (1, 2):
        nat = network.nat(f"home {number}", f"198.51.100.{number}")
        host = network.host(f"host {number}", "192.168.1.2", realm=nat.inside)
        machines.append((probe(host), host.address(1000)))
    views = [seen(network, machine, local) for machine, local in machines]
    assert [view.partition(":")[0] for view in views] == ["198.51.100.1", "198.51.100.2"]


def test_nats_nest():
    network = Network()
    echoing(network)
    carrier = network.nat("carrier", "198.51.100.9", behavior=SYMMETRIC)
    _, host, machine = home(network, FULL_CONE, outside=carrier.inside)
    first = seen(network, machine, host.address(1000))
    assert first.startswith("198.51.100.9:")
    assert seen(network, machine, host.address(1000)) == first


@pytest.mark.parametrize("hairpinning", [False, True])
def test_hairpinning_shows_the_external_source_where_there_is_any(hairpinning):
    network = Network()
    echoing(network)
    behavior = NatBehavior(filtering=Dependence.ENDPOINT_INDEPENDENT, hairpinning=hairpinning, port_preservation=True)
    nat, host, machine = home(network, behavior, isolated=True)
    neighbour = network.host("neighbour", "192.168.1.9", realm=nat.inside)
    other = probe(neighbour)
    assert seen(network, other, neighbour.address(2000)) == "198.51.100.1:2000"
    machine.say(b"direct", neighbour.address(2000), host.address(1000))
    machine.say(b"hairpin", Address("198.51.100.1", 2000), host.address(1000))
    network.run()
    if hairpinning:
        assert network.lost == {"isolated": 1}
        expected = Datagram(b"hairpin", Address("198.51.100.1", 1000), neighbour.address(2000))
        assert [datagram for _, datagram in other.got[1:]] == [expected]
    else:
        assert network.lost == {"isolated": 1, "hairpin-refused": 1}


def test_a_reboot_of_a_nat_changes_ports_and_may_change_the_address():
    network = Network()
    echoing(network)
    nat, host, machine = home(network)
    before = seen(network, machine, host.address(1000))
    nat.reboot()
    after = seen(network, machine, host.address(1000))
    assert before != after
    nat.reboot("198.51.100.77")
    assert seen(network, machine, host.address(1000)).startswith("198.51.100.77:")
    with pytest.raises(LocalError):
        nat.reboot(ECHO.host)


def test_a_firewall_without_addresses_filters_ipv6_and_does_not_translate_it():
    network = Network()
    server = network.host("server", "2001:db8::1")
    server.run(Responder(lambda data, source: str(source).encode()))
    wall = network.nat("wall", "198.51.100.1")
    inner = network.host("inner", "192.168.1.2", "2001:db8:1::2", realm=wall.inside)
    machine = probe(inner)
    local = inner.address(1000, family=6)
    target = server.address(7, family=6)
    assert seen(network, machine, local, target) == "[2001:db8:1::2]:1000"
    stranger = network.host("stranger", "2001:db8::5")
    probe(stranger).say(b"knock", local, stranger.address(1, family=6))
    network.run()
    assert network.lost == {"nat-filtered": 1}


def test_where_udp_is_blocked_streams_pass():
    network = Network()
    echoing(network, ECHO, ECHO_TCP)
    _, host, machine = home(network, NatBehavior(blocks_udp=True))
    assert seen(network, machine, host.address(1000)) is None
    assert network.lost == {"udp-blocked": 1}
    assert seen(network, machine, host.address(1000, transport="tcp"), ECHO_TCP).endswith("/tcp")


def test_a_stream_is_late_where_a_datagram_is_lost_and_stays_in_order():
    network = Network(seed=3)
    echoing(network, ECHO_TCP)
    host = network.host("a", "203.0.113.1", conditions=Conditions(delay=0.01, loss=0.3, jitter=0.02, duplicate=0.5))
    machine, listener = Probe(), Probe()
    local, remote = host.address(1000, transport="tcp"), Address("203.0.113.2", 1, "tcp")
    host.run(machine).bind(local)
    network.host("b", remote.host).run(listener, remote)
    for number in range(50):
        machine.say(bytes([number]), remote, local)
    network.run()
    assert [datagram.data[0] for _, datagram in listener.got] == list(range(50))
    assert network.lost == {}
    assert listener.got[-1][0] > 1000.2


def test_a_stream_that_is_lost_too_often_is_broken():
    network = Network()
    echoing(network, ECHO_TCP)
    host = network.host("a", "203.0.113.1", conditions=Conditions(loss=1.0))
    probe(host).say(b"x", ECHO_TCP, host.address(1, transport="tcp"))
    network.run()
    assert network.lost == {"stream-broken": 1}


def test_streams_need_a_listener_and_a_listener_needs_a_connection():
    network = Network()
    server = network.host("server", "192.0.2.1")
    listener = Probe()
    server.run(listener, ECHO_TCP)
    host = network.host("a", "203.0.113.1")
    machine, local = Probe(), Address("203.0.113.1", 9, "tcp")
    host.run(machine).bind(local)
    machine.say(b"?", ECHO_TCP._replace(port=8), local)
    listener.say(b"?", Address("203.0.113.1", 5000, "tcp"), ECHO_TCP)
    network.run()
    assert network.lost == {"connection-refused": 1, "no-connection": 1}
    machine.say(b"hello", ECHO_TCP, local)
    network.run()
    ((_, heard),) = listener.got
    assert heard.remote.port != 9  # RFC 6544 section 4.5: that port only says that the connection is opened from here
    listener.say(b"welcome", heard.remote, ECHO_TCP)
    network.run()
    assert [datagram for _, datagram in machine.got] == [Datagram(b"welcome", ECHO_TCP, local)]


def test_a_dark_interface_loses_both_ways_and_tells_nobody():
    network = Network()
    echoing(network)
    host = network.host("a", "203.0.113.1")
    machine = probe(host)
    host.interface.dark = True
    assert seen(network, machine, host.address(1)) is None
    host.interface.dark = False
    machine.say(b"?", ECHO, host.address(1))
    network.call_at(network.now + 0.015, lambda: setattr(host.interface, "dark", True))
    network.run()
    assert machine.got == []
    assert network.lost == {"interface-dark": 2}
    host.interface.dark = False
    assert seen(network, machine, host.address(1)) == "203.0.113.1:1"


def test_an_interface_that_is_gone_takes_its_address_along():
    network = Network()
    echoing(network)
    host = network.host("phone")
    wifi = host.add_interface("wifi", network.internet, "203.0.113.1")
    host.add_interface("4g", network.internet, "203.0.113.2", conditions=Conditions(delay=0.05))
    machine = probe(host)
    machine.say(b"?", ECHO, wifi.address(1))
    network.call_at(network.now + 0.015, lambda: host.remove_interface("wifi"))
    network.run()
    assert network.lost == {"host-unreachable": 1}
    machine.say(b"?", ECHO, Address("203.0.113.1", 1))
    network.run()
    assert network.lost == {"host-unreachable": 1, "no-source-address": 1}
    assert seen(network, machine, host.address(1)) == "203.0.113.2:1"
    with pytest.raises(LocalError, match="no interface"):
        host.remove_interface("wifi")
    with pytest.raises(LocalError, match="no IPv4"):
        wifi.address(1)


def test_an_interface_may_change_its_address_and_its_realm():
    network = Network()
    echoing(network)
    nat = network.nat("cafe", "198.51.100.1")
    host = network.host("a", "203.0.113.1")
    machine = probe(host)
    host.interface.set_addresses("203.0.113.9")
    assert seen(network, machine, host.address(1)) == "203.0.113.9:1"
    host.interface.set_addresses("192.168.1.2", realm=nat.inside)
    assert seen(network, machine, host.address(1)).startswith("198.51.100.1:")
    network.host("other", "203.0.113.9")
    with pytest.raises(LocalError, match="taken"):
        host.interface.set_addresses("203.0.113.8", "203.0.113.9", realm=network.internet)
    assert host.interface.addresses == ("192.168.1.2",)
    assert seen(network, machine, host.address(1)).startswith("198.51.100.1:")


def test_each_direction_of_an_interface_has_conditions_that_may_change():
    network = Network(start=0.0)
    echoing(network)
    host = network.host("a", "203.0.113.1")
    machine = probe(host)
    host.interface.set_conditions(Conditions(delay=0.1), Conditions(delay=0.3))
    assert seen(network, machine, host.address(1))
    assert network.now == pytest.approx(0.4)
    host.interface.set_conditions(Conditions(loss=1.0))
    assert seen(network, machine, host.address(1)) is None
    assert network.lost == {"link-loss": 1}


def test_the_line_of_a_nat_has_conditions_of_its_own():
    network = Network(start=0.0)
    echoing(network)
    _, host, machine = home(network, conditions=Conditions(delay=0.2))
    assert seen(network, machine, host.address(1))
    assert network.now == pytest.approx(0.42)


def test_sockets_decide_who_gets_what_on_a_host():
    network = Network()
    host = network.host("server", "192.0.2.1")
    bound, rest = Probe(), Probe()
    process = host.run(bound, ECHO)
    client = network.host("a", "203.0.113.1")
    sender = probe(client)
    for port in (7, 8):
        sender.say(b"1", ECHO._replace(port=port), client.address(1))
    network.run()
    assert network.lost == {"port-unreachable": 1}
    host.run(rest)
    for port in (7, 8):
        sender.say(b"2", ECHO._replace(port=port), client.address(1))
    network.run()
    assert [d.data for _, d in bound.got] == [b"1", b"2"]
    assert [d.local.port for _, d in rest.got] == [8]
    bound.say(b"x", client.address(1), ECHO._replace(port=99))
    network.run()
    assert network.lost == {"port-unreachable": 1, "not-bound": 1}
    process.unbind(ECHO)
    with pytest.raises(LocalError):
        process.unbind(ECHO)
    process.bind(ECHO)
    for wrong in (ECHO, Address("192.0.2.99", 7)):
        with pytest.raises(LocalError):
            process.bind(wrong)
    process.stop()
    assert len(host.processes) == 1


def test_a_host_reaches_itself_without_its_line():
    network = Network(start=0.0)
    host = network.host("a", "203.0.113.1", conditions=Conditions(loss=1.0))
    machine = probe(host)
    machine.say(b"own", host.address(2), host.address(1))
    machine.say(b"loopback", Address("127.0.0.1", 2), Address("127.0.0.1", 1))
    network.run(seconds=1.0)
    assert [(at, d.data) for at, d in machine.got] == [(0.0, b"own"), (0.0, b"loopback")]


def test_addresses_are_checked_when_they_are_given():
    network = Network()
    network.host("a", "203.0.113.1")
    for build in (
        lambda: network.host("b", "203.0.113.1"),
        lambda: network.host("b", "nonsense"),
        lambda: network.nat("n", "203.0.113.1"),
        lambda: network.nat("n", "198.51.100.1", "198.51.100.2"),
    ):
        with pytest.raises(LocalError):
            build()
    host = network.host("c", "203.0.113.3")
    with pytest.raises(LocalError):
        host.add_interface("eth0", network.internet, "203.0.113.4")
    with pytest.raises(LocalError):
        host.address(1, family=6)


def test_calls_happen_at_their_time_and_not_in_the_past():
    network = Network(start=10.0)
    happened = []
    network.call_at(12.0, lambda: happened.append(network.now))
    network.call_at(11.0, lambda: happened.append(network.now))
    assert network.run(lambda: len(happened) == 2)
    assert happened == [11.0, 12.0]
    with pytest.raises(LocalError):
        network.call_at(11.0, happened.clear)
    assert network.step() is False


def test_machines_that_keep_each_other_busy_without_time_are_found_out():
    network = Network()
    host = network.host("a", "203.0.113.1")
    for port in (1, 2):
        host.run(Responder(lambda data, source: data), host.address(port))
    host.processes[0].machine.receive_datagram(Datagram(b"loop", host.address(2), host.address(1)), network.now)
    with pytest.raises(LivelockError):
        network.run()


def test_callbacks_without_end_are_found_out():
    class Chatter(Probe):
        armed = True

        def next_event(self):
            armed, self.armed = self.armed, False
            return "again" if armed else None

    network = Network()
    machine = Chatter()
    network.host("a", "203.0.113.1").run(machine, on_event=lambda event: setattr(machine, "armed", True))
    with pytest.raises(LivelockError):
        network.run()


def test_a_trace_tells_what_happened_where():
    network = Network(keep_trace=True)
    echoing(network)
    _, host, machine = home(network)
    assert seen(network, machine, host.address(1000))
    machine.say(b"?", Address("203.0.113.200", 1), host.address(1000))
    network.run()
    whats = [(hop.place, hop.what) for hop in network.trace]
    assert whats[:3] == [("home's host", "sent"), ("home", "translated"), ("echo", "delivered")]
    assert whats[-1] == ("network", "no-route")
    assert "192.168.1.2:1000 > 192.0.2.1:7 1 bytes: sent" in str(network.trace[0])


def test_a_loop_of_realms_ends_at_the_hop_limit():
    network = Network()
    outer = network.nat("outer", "198.51.100.1", behavior=FULL_CONE)
    inside = outer.inside
    for _ in range(20):
        inside = network.nat("deeper", outside=inside, behavior=FULL_CONE).inside
    host = network.host("a", "10.0.0.1", realm=inside)
    probe(host).say(b"x", Address("203.0.113.1", 1), host.address(1))
    network.run()
    assert network.lost == {"hop-limit": 1}


def test_responders_are_bounded_and_count_what_they_do_not_answer():
    machine = Responder(lambda data, source: data or None)
    for _ in range(MAX_ANSWERS + 1):
        machine.receive_datagram(Datagram(b"x", ECHO, ECHO), 0.0)
    assert len(machine.datagrams_to_send(0.0)) == MAX_ANSWERS
    machine.receive_datagram(Datagram(b"", ECHO, ECHO), 0.0)
    machine.close(1.0)
    machine.receive_datagram(Datagram(b"x", ECHO, ECHO), 1.0)
    machine.handle_timer(1.0)
    assert machine.dropped == {"send-queue-full": 1, "not-answered": 1, "closed": 1}


behaviors = st.builds(
    NatBehavior,
    mapping=st.sampled_from(Dependence),
    filtering=st.sampled_from(Dependence),
    hairpinning=st.booleans(),
    port_preservation=st.booleans(),
    max_mappings=st.integers(1, 5),
    blocks_udp=st.booleans(),
)
lines = st.builds(
    Conditions,
    delay=st.floats(0, 0.1),
    jitter=st.sampled_from([0.0, 0.05]),
    loss=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.3]),
    rate=st.sampled_from([None, 10_000.0]),
    queue=st.just(300),
    burst=st.sampled_from([0.0, 0.1]),
    reorder=st.sampled_from([0.0, 0.3]),
)
TARGETS = [ECHO, ECHO_TCP, Address("198.51.100.1", 2000), Address("192.168.1.3", 2000), Address("203.0.113.99", 1)]


def history(seed, behavior, conditions, sends):
    """Play it, and return everything that can be seen of it."""
    network = Network(seed=seed, keep_trace=True)
    echoing(network, ECHO, ECHO_TCP)
    nat = network.nat("home", "198.51.100.1", behavior=behavior)
    hosts = [network.host(f"h{n}", f"192.168.1.{n}", realm=nat.inside, conditions=conditions) for n in (2, 3)]
    probes = [probe(host) for host in hosts]
    for index, target, pause in sends:
        local = hosts[index].address(2000, transport=TARGETS[target].transport)
        probes[index].say(bytes(60), TARGETS[target], local)
        network.run(seconds=pause)
        assert balanced(network)
    hosts[0].interface.dark = True
    network.run(seconds=30.0)
    assert balanced(network)
    assert network.in_flight == 0
    return network.trace, network.lost, [machine.got for machine in probes]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    behavior=behaviors,
    conditions=lines,
    sends=st.lists(st.tuples(st.integers(0, 1), st.integers(0, len(TARGETS) - 1), st.floats(0, 0.1)), max_size=25),
)
def test_every_datagram_is_accounted_for_and_the_seed_decides_everything(seed, behavior, conditions, sends):
    assert history(seed, behavior, conditions, sends) == history(seed, behavior, conditions, sends)


def test_another_seed_is_another_history():
    conditions = Conditions(loss=0.5)
    sends = [(0, 0, 0.1)] * 20
    assert history(1, PORT_RESTRICTED, conditions, sends) != history(2, PORT_RESTRICTED, conditions, sends)


class StunProbe:
    """Asks STUN servers for the mapping, as RFC 5780 section 4.3 does."""

    def __init__(self, behavior):
        self.network = Network()
        self.servers = []
        for number in (1, 2):
            server = self.network.host(f"stun {number}", f"192.0.2.{number}")
            server.run(Responder(binding_response))
            self.servers += [server.address(3478), server.address(3479)]
        _, self.host, self.machine = home(self.network, behavior)

    def mapped(self, server, transaction=bytes(12)):
        self.machine.got.clear()
        data = Message(BINDING, Class.REQUEST, transaction).serialize()
        self.machine.say(data, server, self.host.address(5000))
        self.network.run(lambda: bool(self.machine.got), seconds=5.0)
        return Message.parse(self.machine.got[0][1].data).xor_mapped_address


@pytest.mark.parametrize("mapping", Dependence)
@pytest.mark.parametrize("filtering", Dependence)
def test_rfc_4787_req_1_as_stun_sees_it(mapping, filtering):
    prober = StunProbe(NatBehavior(mapping=mapping, filtering=filtering))
    first, same_host, other_host = (prober.mapped(prober.servers[index]) for index in (0, 1, 2))
    if first == other_host:
        found = Dependence.ENDPOINT_INDEPENDENT
    elif first == same_host:
        found = Dependence.ADDRESS_DEPENDENT
    else:
        found = Dependence.ADDRESS_AND_PORT_DEPENDENT
    assert found is mapping


def test_a_nat_may_be_replaced_by_another_kind_while_it_runs():
    network = Network()
    echoing(network)
    other = network.host("other", "192.0.2.2")
    other.run(Responder(lambda data, source: str(source).encode()))
    nat, host, machine = home(network)
    local, second = host.address(1000), other.address(7)
    assert seen(network, machine, local) == seen(network, machine, local, second)
    nat.behavior = SYMMETRIC
    assert seen(network, machine, local) != seen(network, machine, local, second)
