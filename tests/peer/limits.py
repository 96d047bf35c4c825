"""Tests that hit the named limits of relays; the contract suite runs them too."""

import pytest

from stack.core import LocalError
from stack.peer.relays import MAX_RELAYS, MAX_TURN_SERVERS

from .relay_support import BASE, THERE, Transport, relays


def bases(count):
    return [BASE._replace(port=1000 + number) for number in range(count)]


def server_at(port):
    return type(THERE)(THERE.address._replace(port=port), THERE.username, THERE.credential)


def allocations():
    machine = relays()
    machine.add_server(THERE, 0.0)
    for base in bases(MAX_RELAYS + 2):
        machine.add_base(base, 0.0)
    assert len(machine.datagrams_to_send(0.0)) == MAX_RELAYS
    assert machine.dropped == {"too-many-relays": 2}


def turn_servers():
    machine = relays()
    for port in range(1, MAX_TURN_SERVERS + 1):
        machine.add_server(server_at(port), 0.0)
    with pytest.raises(LocalError, match="TURN servers"):
        machine.add_server(server_at(60000), 0.0)
    machine.add_base(BASE, 0.0)
    assert len(machine.datagrams_to_send(0.0)) == MAX_TURN_SERVERS


def turn_servers_of_a_transport():
    transport = Transport("limits", controlling=True)
    for port in range(1, MAX_TURN_SERVERS + 1):
        transport.add_turn_server(server_at(port), 0.0)
    with pytest.raises(LocalError, match="TURN servers"):
        transport.add_turn_server(server_at(60000), 0.0)
    assert not transport.dropped


LIMITS = {"MAX_RELAYS": allocations, "MAX_TURN_SERVERS": turn_servers}
TRANSPORT_LIMITS = {"MAX_TURN_SERVERS": turn_servers_of_a_transport}
