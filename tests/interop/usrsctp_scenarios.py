"""What our associations and usrsctp do together, each scenario in a process of its own: it may abort, and has state.

`python -m tests.interop.usrsctp_scenarios NAME JSON` runs one.
"""

import json
import random
import sys

from stack import sctp
from stack.testing import Conditions, Link, seeded_random_bytes

from .usrsctp import Usrsctp

SIZES = [1, 1199, 1200, 1201, 16_384, 262_144, 1_048_576]
BAD = Conditions(delay=0.01, loss=0.05, jitter=0.005)


def association(seed, **settings):
    # There is no DTLS around it: checksums are needed.
    settings = {"zero_checksum": False, "a_rwnd": 8 << 20, "max_message_size": 2 << 20, **settings}
    return sctp.Association(random_bytes=seeded_random_bytes(seed), config=sctp.Config(**settings))


def connect(we_associate=True, conditions=None, *, interleaving=False, seed=1, **settings):
    """Set an association up; return the link, ours first."""
    ours, theirs = association(seed, **settings), Usrsctp(listen=we_associate, interleaving=interleaving)
    link = Link(ours, theirs, conditions, seed=seed, keep_trace=True)
    theirs.handle_timer(link.now)
    (ours if we_associate else theirs).associate(link.now)
    up = sctp.Established
    assert link.run(lambda: any(isinstance(e, up) for e in link.events[0]) and bool(link.events[1]), seconds=30)
    assert link.events[1][0] == ("up",)
    return link


def ours_got(link):
    return [(e.stream_id, e.ppid, e.data) for e in link.events[0] if isinstance(e, sctp.MessageReceived)]


def theirs_got(link):
    return [e[1:] for e in link.events[1] if e[0] == "message"]


def kinds_sent(link):
    return {kind for _, _, data in link.trace for kind, _, _ in sctp.wire.chunks_of(data)}


def messages_of_all_sizes_both_ways(we_associate, interleaving, lossy):
    link = connect(we_associate, BAD if lossy else None, interleaving=interleaving)
    ours, theirs = link.machines
    rng = random.Random(1)
    sent = [(number, 51 + number, rng.randbytes(size)) for number, size in enumerate(SIZES)]
    for stream, ppid, data in sent:
        ours.send(stream, ppid, data, link.now)
        theirs.send(stream, ppid, data, link.now)
    assert link.run(lambda: len(theirs_got(link)) == len(ours_got(link)) == len(SIZES), seconds=300)
    assert sorted(theirs_got(link)) == sorted(ours_got(link)) == sorted(sent)
    assert ours.dropped["bad-checksum"] == ours.dropped["unknown-chunk"] == 0
    kinds = kinds_sent(link)
    assert (sctp.wire.I_DATA in kinds, sctp.wire.DATA in kinds) == (interleaving, not interleaving)


def order_within_a_stream_and_none_without(interleaving):
    link = connect(True, BAD, interleaving=interleaving)
    ours, theirs = link.machines
    sent = {(1, True): [], (2, False): []}
    for number in range(150):
        for (stream, ordered), messages in sent.items():
            data = b"%d:" % number + bytes(random.Random(number).choice([10, 3000]))
            messages.append(data)
            ours.send(stream, 51, data, link.now, ordered=ordered)
            theirs.send(stream, 51, data, link.now, ordered=ordered)
    assert link.run(lambda: len(theirs_got(link)) == len(ours_got(link)) == 300, seconds=120)
    for got in (theirs_got(link), ours_got(link)):
        assert [data for stream, _, data in got if stream == 1] == sent[1, True]
        assert sorted(data for stream, _, data in got if stream == 2) == sorted(sent[2, False])


def partial_reliability_loses_something_and_the_rest_arrives(interleaving, policy):
    link = connect(True, Conditions(delay=0.02, loss=0.08), interleaving=interleaving)
    ours, theirs = link.machines
    for number in range(150):
        for machine in (ours, theirs):
            machine.send(1, 51, b"%d" % number, link.now, **policy)
            machine.send(2, 51, b"%d" % number + bytes(3000), link.now, ordered=False, **policy)
        link.run(seconds=0.02)
    for machine in (ours, theirs):
        machine.send(3, 51, b"the end", link.now)
    assert link.run(lambda: all((3, 51, b"the end") in got(link) for got in (ours_got, theirs_got)), seconds=60)
    link.run(seconds=5)
    for got, least in ((ours_got(link), 10), (theirs_got(link), 100)):  # usrsctp gives up sooner
        numbers = [int(data) for stream, _, data in got if stream == 1]
        assert numbers == sorted(set(numbers))
        assert least < len(numbers) <= 150
        assert any(stream == 2 for stream, _, _ in got)
    forward = sctp.wire.I_FORWARD_TSN if interleaving else sctp.wire.FORWARD_TSN
    assert forward in kinds_sent(link)
    assert ours.stats.abandoned > 0


def we_reset_streams(interleaving):
    link = connect(True, interleaving=interleaving)
    ours, _ = link.machines
    for data in (b"0", b"1"):
        ours.send(4, 51, data, link.now)
    ours.reset_streams([4, 5], link.now)
    done = sctp.OutgoingStreamsReset  # 5 has nothing to wait for, so that there may be two
    assert link.run(
        lambda: {i for e in link.events[0] if isinstance(e, done) and e.ok for i in e.stream_ids} == {4, 5}, seconds=10
    )
    assert {i for event in link.events[1] if event[0] == "reset" for i in event[2]} == {4, 5}
    ours.send(4, 51, b"again", link.now)
    assert link.run(lambda: (4, 51, b"again") in theirs_got(link), seconds=10)


def usrsctp_resets_streams(interleaving):
    link = connect(True, interleaving=interleaving)
    _, theirs = link.machines
    theirs.send(4, 51, b"0", link.now)
    assert link.run(lambda: len(ours_got(link)) == 1, seconds=10)
    theirs.reset_streams([4])
    assert link.run(lambda: sctp.StreamsReset((4,)) in link.events[0], seconds=10)
    theirs.send(4, 51, b"again", link.now)
    assert link.run(lambda: (4, 51, b"again") in ours_got(link), seconds=10)


def streams_are_added_both_ways():
    link = connect(True, outbound_streams=10, inbound_streams=10)
    ours, theirs = link.machines
    ours.add_streams(link.now, outgoing=5)
    assert link.run(lambda: sctp.StreamsAdded(15, 10, ok=True) in link.events[0], seconds=10)
    ours.send(14, 51, b"x", link.now)
    assert link.run(lambda: (14, 51, b"x") in theirs_got(link), seconds=10)
    theirs.add_streams(outgoing=3)
    assert link.run(lambda: sctp.StreamsAdded(15, 13, ok=True) in link.events[0], seconds=10)
    theirs.send(12, 51, b"y", link.now)
    assert link.run(lambda: (12, 51, b"y") in ours_got(link), seconds=10)


def usrsctp_resets_the_association():
    link = connect(True)
    ours, theirs = link.machines
    for _ in range(3):
        theirs.send(1, 51, b"before", link.now)
        ours.send(1, 51, b"before", link.now)
    assert link.run(lambda: len(ours_got(link)) == len(theirs_got(link)) == 3, seconds=10)
    link.run(seconds=1)
    theirs.reset_association()
    assert link.run(lambda: any(isinstance(e, sctp.StreamsReset) for e in link.events[0]), seconds=10)
    link.run(seconds=1)
    theirs.send(1, 51, b"after", link.now)
    ours.send(1, 51, b"after", link.now)
    assert link.run(lambda: len(ours_got(link)) == len(theirs_got(link)) == 4, seconds=10)


def usrsctp_restarts():
    link = connect(True)
    ours, theirs = link.machines
    ours.send(1, 51, b"before", link.now)
    assert link.run(lambda: len(theirs_got(link)) == 1, seconds=10)
    link.run(seconds=1)
    theirs.forget()
    again = Usrsctp(listen=False)
    second = Link(ours, again, start=link.now)
    again.handle_timer(second.now)
    again.associate(second.now)
    try:
        assert second.run(lambda: sctp.Restarted(2048, 2048) in second.events[0], seconds=30)
        again.send(1, 51, b"born again", second.now)
        ours.send(1, 51, b"welcome", second.now)
        assert second.run(lambda: len(ours_got(second)) == len(theirs_got(second)) == 1, seconds=10)
    finally:
        again.forget()


def we_restart():
    link = connect(True)
    ours, theirs = link.machines
    ours.send(1, 51, b"before", link.now)
    assert link.run(lambda: len(theirs_got(link)) == 1, seconds=10)
    link.run(seconds=1)
    again = association(77)
    second = Link(again, theirs, start=link.now)
    again.send(1, 51, b"born again", second.now)
    again.associate(second.now)
    assert second.run(lambda: ("restarted",) in second.events[1], seconds=30)
    theirs.send(1, 51, b"welcome", second.now)
    assert second.run(lambda: len(ours_got(second)) == len(theirs_got(second)) == 1, seconds=10)


def both_shut_down(we_associate):
    link = connect(we_associate)
    ours, theirs = link.machines
    ours.send(1, 51, bytes(50_000), link.now)
    if we_associate:
        ours.close(link.now)
    else:
        theirs.shutdown()
    assert link.run(lambda: sctp.Closed(None) in link.events[0], seconds=10)
    if we_associate:
        assert [len(data) for _, _, data in theirs_got(link)] == [50_000]


def path_mtu_probes_are_answered():
    link = connect(True, path_mtu_limit=1400)
    link.machines[0].send(0, 51, b"x", link.now)
    assert link.run(lambda: link.machines[0].packet_size == 1400, seconds=10)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
