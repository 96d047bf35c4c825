from stack.sctp.streams import Message, Scheduler


def fill(scheduler, stream, count, size=100, **options):
    for number in range(count):
        scheduler.push(Message(scheduler.stream(stream), 51, b"%d" % number + bytes(size - 1), **options))


def order(scheduler, now=0.0):
    found = []
    while (message := scheduler.next(now)) is not None:
        found.append(message.stream.id)
        scheduler.paid(message, len(message.data))
    return found


def take(scheduler):
    message = scheduler.next(0.0)
    scheduler.paid(message, len(message.data))
    return message.stream.id


def test_streams_of_equal_priority_take_turns():
    scheduler = Scheduler()
    for stream in (1, 2, 3):
        fill(scheduler, stream, 3)
    assert order(scheduler) == [1, 2, 3] * 3
    assert not scheduler.ready


def test_large_messages_count_for_more_than_small_ones():
    scheduler = Scheduler()
    fill(scheduler, 1, 3, size=1000)
    fill(scheduler, 2, 30, size=100)
    first = order(scheduler)[:11]
    assert (first.count(1), first.count(2)) == (1, 10)


def test_a_stream_that_comes_late_is_next_and_earns_nothing_for_the_past():
    scheduler = Scheduler()
    fill(scheduler, 1, 10)
    for _ in range(5):
        take(scheduler)
    fill(scheduler, 2, 10)
    assert order(scheduler)[:6] in ([2, 1] * 3, [1, 2] * 3)


def test_a_stream_cannot_get_ahead_by_being_empty_in_between():
    scheduler = Scheduler()
    fill(scheduler, 1, 20)
    turns = []
    for _ in range(10):
        fill(scheduler, 2, 1)
        turns += [take(scheduler), take(scheduler)]
    assert abs(turns.count(1) - turns.count(2)) <= 2


def test_expired_messages_are_forgotten():
    scheduler = Scheduler()
    fill(scheduler, 1, 3, expires=1.0)
    fill(scheduler, 1, 1)
    assert order(scheduler, now=2.0) == [1]
    assert (scheduler.expired, scheduler.queued, scheduler.stream(1).buffered) == (3, 0, 100)


def test_streams_that_were_not_granted_are_forgotten():
    scheduler = Scheduler()
    fill(scheduler, 1, 2)
    fill(scheduler, 9, 3)
    assert scheduler.refuse(5) == 3
    assert order(scheduler) == [1, 1]
    assert scheduler.buffered == 200
