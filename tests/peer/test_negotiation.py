"""Two peers that negotiate perfectly, as in the example of W3C, whatever the applications do and with slow signaling.

A model-based test: Hypothesis calls the API at random and carries descriptions at random times; once calls stop, the
two must agree.
"""

from collections import deque

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stack import peer
from stack.peer.transceiver import DIRECTIONS, reverse, sends

from .support import connection

NOW = 0.0
SIZES = [(), (peer.Encoding(rid="l", scale_resolution_down_by=2), peer.Encoding(rid="h"))]
KINDS = st.sampled_from(["audio", "video"])
SIDES = st.sampled_from([0, 1])
MAX_TRANSCEIVERS = 6
ROUNDS = 40  # in which everything must have settled


class Party:
    """A peer with the handlers of the example in W3C WebRTC section 10.7."""

    def __init__(self, name, *, polite):
        self.pc = connection(name)
        self.polite = polite
        self.outbox = deque()
        self.ignored = 0

    def turn(self):
        """Handle events, as an event loop would."""
        while (event := self.pc.next_event()) is not None:
            if isinstance(event, peer.NegotiationNeeded) and self.pc.needs_negotiation:
                self.pc.set_local_description(None, NOW)
                self.outbox.append(self.pc.local_description)

    def on_description(self, description):
        offer = description.type == "offer"
        if offer and self.pc.signaling_state != "stable" and not self.polite:
            self.ignored += 1
            return
        self.pc.set_remote_description(description, NOW)
        if offer:
            self.pc.set_local_description(None, NOW)
            self.outbox.append(self.pc.local_description)


def check_encodings(sender, receiver):
    """What one sends is what the other one receives."""
    sending = sends(sender.current_direction) and bool(sender.codecs)
    assert all((layer.sender is not None) is sending for layer in sender.layers)
    if sending:
        rids = {layer.rid if sender.simulcast else None for layer in sender.layers}
        assert len(rids) == len(sender.layers)
        assert rids == set(receiver.receptions)
        assert rids == {layer.sender._rid for layer in sender.layers}


class Negotiation(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.parties = Party("a", polite=True), Party("b", polite=False)

    def live(self, side):
        return [t for t in self.parties[side].pc.transceivers if not t.stopping]

    @rule(side=SIDES, kind=KINDS, direction=st.sampled_from(DIRECTIONS), encodings=st.sampled_from(SIZES))
    def add_transceiver(self, side, kind, direction, encodings):
        if len(self.live(side)) < MAX_TRANSCEIVERS:
            self.parties[side].pc.add_transceiver(kind, direction, encodings=encodings if kind == "video" else ())

    @rule(side=SIDES, kind=KINDS)
    def add_track(self, side, kind):
        if len(self.live(side)) < MAX_TRANSCEIVERS:
            self.parties[side].pc.add_track(kind)

    @rule(side=SIDES, data=st.data())
    def remove_track(self, side, data):
        if live := self.live(side):
            self.parties[side].pc.remove_track(data.draw(st.sampled_from(live)))

    @rule(side=SIDES, data=st.data(), direction=st.sampled_from(DIRECTIONS))
    def set_direction(self, side, data, direction):
        if live := self.live(side):
            self.parties[side].pc.set_direction(data.draw(st.sampled_from(live)), direction)

    @rule(side=SIDES, data=st.data())
    def stop(self, side, data):
        if live := self.live(side):
            self.parties[side].pc.stop_transceiver(data.draw(st.sampled_from(live)))

    @rule(side=SIDES)
    def create_data_channel(self, side):
        self.parties[side].pc.create_data_channel("x", NOW)

    @rule(side=SIDES)
    def restart_ice(self, side):
        self.parties[side].pc.restart_ice()

    @rule(side=SIDES)
    def take_a_turn(self, side):
        self.parties[side].turn()

    @precondition(lambda self: any(party.outbox for party in self.parties))
    @rule(side=SIDES)
    def deliver(self, side):
        if self.parties[side].outbox:
            self.parties[1 - side].on_description(self.parties[side].outbox.popleft())

    @rule()
    def settle(self):
        """Calls stop: both agree after a bounded number of messages."""
        for _ in range(ROUNDS):
            for side in (0, 1):
                self.parties[side].turn()
                while self.parties[side].outbox:
                    self.deliver(side)
            if not any(party.outbox or party.pc.needs_negotiation for party in self.parties):
                break
        else:
            raise AssertionError("they negotiate for ever")
        a, b = (party.pc for party in self.parties)
        assert (a.signaling_state, b.signaling_state) == ("stable", "stable")
        if a.session.current_local is None and b.session.current_local is None:
            return
        assert [(s.mid, s.kind, s.rejected) for s in a.session.sections] == [
            (s.mid, s.kind, s.rejected) for s in b.session.sections
        ]
        for ours, theirs in zip(a.session.sections, b.session.sections, strict=True):
            assert (ours.transceiver is None) == (theirs.transceiver is None)
            if ours.transceiver is not None:
                assert ours.transceiver.current_direction == reverse(theirs.transceiver.current_direction)
                assert ours.transceiver.mid == theirs.transceiver.mid == ours.mid
                check_encodings(ours.transceiver, theirs.transceiver)
                check_encodings(theirs.transceiver, ours.transceiver)
        if any(not section.rejected for section in a.session.sections):  # else there is no transport
            assert a.transport.ice.remote_parameters.ufrag == b.session.ufrag
            assert b.transport.ice.remote_parameters.ufrag == a.session.ufrag

    @invariant()
    def sections_and_transceivers_belong_together(self):
        for party in self.parties:
            session = party.pc.session
            mids = [section.mid for section in session.sections]
            assert len(set(mids)) == len(mids)
            for index, section in enumerate(session.sections):
                if section.transceiver is not None and section.transceiver in session.transceivers:
                    assert (section.transceiver.mid, section.transceiver.mline_index) == (section.mid, index)

    def teardown(self):
        self.settle()


Negotiation.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_calls_at_random_converge = Negotiation.TestCase
