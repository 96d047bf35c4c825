from stack.core import Address
from stack.ice import Pair, PairState
from stack.ice.candidate import host_candidate
from stack.ice.checklist import Checklist

from .support import A, host


def pair(number, *, foundation=None, base=A):
    """A pair; the higher its number, the higher its priority."""
    remote = host(Address(f"10.1.0.{number}", 5000), number, foundation=foundation or str(number))
    made = Pair(host_candidate(base, 65535), remote, "user", b"key")
    made.update_priority(controlling=True)
    return made


def filled(*pairs, limit=100):
    checklist = Checklist(limit)
    for one in pairs:
        assert checklist.add(one) is None
    return checklist


def states(*pairs):
    return [one.state.value for one in pairs]


def test_the_best_waiting_pair_is_checked_first():
    low, high, middle = pair(1), pair(3), pair(2)
    checklist = filled(low, high, middle)
    order = []
    while (following := checklist.next_check()) is not None:
        assert checklist.next_check() is following
        checklist.take(following)
        order.append(following)
    assert order == [high, middle, low]
    assert {one.state for one in order} == {PairState.IN_PROGRESS}


def test_triggered_checks_come_before_ordinary_ones_and_once():
    low, high = pair(1), pair(2)
    checklist = filled(low, high)
    checklist.trigger(low)
    checklist.trigger(low)
    assert checklist.next_check() is low
    checklist.take(low)
    assert checklist.next_check() is high


def test_one_pair_of_a_foundation_at_a_time():
    first, second, other = pair(3, foundation="x"), pair(2, foundation="x"), pair(1)
    checklist = filled(first, second, other)
    assert states(first, second, other) == ["waiting", "frozen", "waiting"]
    checklist.take(checklist.next_check())
    checklist.take(checklist.next_check())
    assert states(first, second, other) == ["in-progress", "frozen", "in-progress"]
    assert checklist.next_check() is None
    first.state = PairState.FAILED
    assert checklist.next_check() is second


def test_success_unfreezes_its_foundation():
    first, second, third = pair(3, foundation="x"), pair(2, foundation="x"), pair(1, foundation="x")
    checklist = filled(first, second)
    first.state = PairState.SUCCEEDED
    checklist.unfreeze(first.foundation)
    assert second.state is PairState.WAITING
    second.state = PairState.IN_PROGRESS
    checklist.add(third)
    assert third.state is PairState.WAITING


def test_a_full_list_gives_up_the_lowest_that_is_idle():
    busy, low, high, lower = pair(1), pair(3), pair(4), pair(2)
    checklist = filled(busy, low, limit=2)
    busy.state = PairState.IN_PROGRESS
    checklist.trigger(low)
    assert checklist.add(lower) is lower
    assert checklist.add(high) is low
    assert low not in checklist
    assert checklist.next_check() is high
    high.valid = True
    assert checklist.add(pair(9)) is not None
    assert len(checklist) == 2


def test_a_full_list_gives_up_a_failed_pair_first():
    failed, low = pair(9), pair(1)
    checklist = filled(failed, low, limit=2)
    failed.state = PairState.FAILED
    assert checklist.add(pair(2)) is failed
    assert low in checklist


def test_a_new_best_pair_of_a_foundation_is_not_frozen():
    second, first, third = pair(2, foundation="x"), pair(3, foundation="x"), pair(1, foundation="x")
    filled(second, first, third)
    assert states(second, first, third) == ["waiting", "waiting", "frozen"]


def test_the_best_valid_pair_must_have_answered_lately():
    old, young = pair(2), pair(1)
    old.valid = young.valid = True
    old.responded_at, young.responded_at = 10.0, 30.0
    checklist = filled(old, young)
    assert checklist.best_valid(0.0) is old
    assert checklist.best_valid(20.0) is young
    assert checklist.best_valid(40.0) is None


def test_conclusion_keeps_what_is_valid():
    valid, waiting = pair(1), pair(2)
    checklist = filled(valid, waiting)
    valid.valid, valid.state = True, PairState.SUCCEEDED
    checklist.trigger(waiting)
    assert checklist.has_unfinished_above(valid.priority)
    assert checklist.unfinished() == 1
    assert checklist.trim([valid], 0) == [waiting]
    assert checklist.next_check() is None
    assert not checklist.has_unfinished_above(valid.priority)


def test_round_trip_times_are_smoothed():
    one = pair(1)
    one.add_rtt_sample(0.1)
    assert one.rtt == 0.1
    one.add_rtt_sample(0.2)
    assert abs(one.rtt - 0.1125) < 1e-9


def test_keys_are_not_printed():
    assert "key" not in repr(pair(1))
