import itertools

from stack.core import Datagram
from stack.ice import StateChanged
from stack.stun import BINDING, Class, Message
from stack.testing import Conditions, Link

from .support import A, B, deliver, drain_events, request, start, two


class Cable:
    """A link that can be cut, in one direction or both."""

    def __init__(self, seed=1, **config):
        self.a, self.b = two(seed, **config)
        self.cut = set()
        self.link = Link(
            self.a,
            self.b,
            Conditions(delay=0.05),
            keep_trace=True,
            tamper=lambda sender, index, data: [] if sender in self.cut else [data],
        )
        start(self.a, self.b, self.link.now)
        self.link.run(lambda: self.a.state == self.b.state == "completed")
        self.link.run(seconds=0.5)

    @property
    def states(self):
        return [[e.state for e in side if isinstance(e, StateChanged)][2:] for side in self.link.events]


def test_checks_every_four_to_six_seconds_each_sent_once():
    cable = Cable()
    cable.link.trace.clear()
    cable.link.run(seconds=300)
    for sender in (0, 1):
        messages = [(time, Message.parse(data)) for time, who, data in cable.link.trace if who == sender]
        checks = [(time, m) for time, m in messages if m.message_class is Class.REQUEST]
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(checks)]
        assert 4.0 <= min(gaps) < 4.5
        assert 5.5 < max(gaps) <= 6.0
        assert len({m.transaction_id for _, m in checks}) == len(checks)
        assert not any(m.use_candidate for _, m in checks)
    assert cable.states == [["completed"], ["completed"]]


def test_silence_disconnects_and_then_fails():
    cable = Cable()
    cable.cut = {0, 1}
    cut_at = cable.link.now
    assert cable.link.run(lambda: cable.a.state == "disconnected")
    assert 5 < cable.link.now - cut_at < 11
    assert cable.a.selected_pair is not None  # consent is good for 30 seconds
    assert cable.link.run(lambda: cable.a.state == "failed")
    assert 29 < cable.link.now - cut_at < 30
    assert cable.a.selected_pair is None
    assert not cable.a.accepts(A, B)
    assert cable.a.next_timer() is None
    assert cable.states[0] == ["completed", "disconnected", "failed"]


def test_it_recovers():
    cable = Cable()
    cable.cut = {0, 1}
    cable.link.run(lambda: cable.a.state == "disconnected")
    cable.cut = set()
    assert cable.link.run(lambda: cable.a.state == cable.b.state == "completed")
    cable.link.run(seconds=60)
    assert cable.states[0] == ["completed", "disconnected", "completed"]


def test_a_lost_check_or_two_do_not_disconnect():
    cable = Cable()
    cable.cut = {0, 1}
    cable.link.run(seconds=5)
    cable.cut = set()
    cable.link.run(seconds=100)
    assert cable.states == [["completed"], ["completed"]]


def test_requests_of_the_other_side_are_a_sign_of_life_but_no_consent():
    cable = Cable()
    cable.cut = {0}  # a hears b, but nothing of a gets through, so that nothing is answered
    assert cable.link.run(lambda: cable.a.state == "failed", seconds=40)
    assert cable.states[0] == ["completed", "failed"]


def test_data_ends_disconnected():
    cable = Cable()
    cable.cut = {0, 1}
    cable.link.run(lambda: cable.a.state == "disconnected")
    cable.a.data_received(cable.link.now)
    assert cable.a.state == "completed"
    cable.a.data_received(cable.link.now)
    assert [e.state for e in drain_events(cable.a)] == ["completed"]


def test_nothing_is_answered_after_failure():
    cable = Cable()
    cable.cut = {0, 1}
    cable.link.run(lambda: cable.a.state == "failed")
    assert deliver(cable.a, request(cable.a), cable.link.now) == []
    assert cable.a.dropped["failed"] == 1


def test_forbidden_revokes_consent():
    cable = Cable()
    while not (out := cable.a.datagrams_to_send(cable.link.now)):
        cable.link.now = cable.a.next_timer()
        cable.a.handle_timer(cable.link.now)
    check = Message.parse(out[0].data)
    answer = Message(BINDING, Class.ERROR, check.transaction_id, error_code=(403, "Forbidden"))
    data = answer.serialize(key=cable.b.local_parameters.pwd.encode())
    cable.a.receive_datagram(Datagram(data, B, A), cable.link.now)
    assert cable.a.state == "failed"
    assert cable.a.selected_pair is None


def test_the_round_trip_time_follows_the_path():
    cable = Cable()
    cable.link._directions[0].pipe.conditions = Conditions(delay=0.15)
    cable.link.run(seconds=300)
    assert 0.18 < cable.a.rtt <= 0.2
