"""Each side is told the other's INIT before there is a path: draft-hancke-tsvwg-snap-00."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import ParseError
from stack.sctp import (
    Association,
    Beginning,
    Config,
    Established,
    Init,
    MessageReceived,
    State,
    parse_init_chunk,
    serialize_init_chunk,
    wire,
)
from stack.testing import Conditions, Link, seeded_random_bytes

# The two of section 7 of the draft, and what it says is in them.
OFFER, ANSWER = "AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA", "AQAAHl+zdHQAUAAA/////6Gq3HTAAAAEgAgABoLA"


def ends(conditions=None, seed=1, **settings):
    """A link of two ends that know each other's INIT and have not begun."""
    begun = [Beginning.choose(seeded_random_bytes(f"{seed}{name}")) for name in "ab"]
    config = Config(**settings)
    machines = [
        Association(random_bytes=seeded_random_bytes(f"{seed}{name}more"), config=config, beginning=beginning)
        for name, beginning in zip("ab", begun, strict=True)
    ]
    inits = [parse_init_chunk(serialize_init_chunk(beginning.init(config))) for beginning in begun]
    return Link(*machines, conditions, seed=seed, keep_trace=True), inits


def kinds(link):
    return [packet[wire.HEADER_SIZE] for _, _, packet in link.trace]


@pytest.mark.parametrize(("text", "tag", "tsn"), [(OFFER, 0x896CDD1D, 0xE079651D), (ANSWER, 0x5FB37474, 0xA1AADC74)])
def test_the_chunks_of_the_draft(text, tag, tsn):
    data = base64.b64decode(text)
    init = parse_init_chunk(data)
    assert init == Init(tag, 0x500000, 65535, 65535, tsn, forward_tsn=True, extensions=b"\x82\xc0")
    assert serialize_init_chunk(init) == data
    assert parse_init_chunk(data + bytes(2)) == init  # padded


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x01\0\0",
        b"\x02" + base64.b64decode(OFFER)[1:],  # INIT ACK
        base64.b64decode(OFFER)[:-1],
        base64.b64decode(OFFER) + bytes(3),
        b"\x01\0\0\x04",
        base64.b64decode(OFFER)[:4] + bytes(4) + base64.b64decode(OFFER)[8:],  # tag 0
    ],
)
def test_chunks_that_are_none(wrong):
    with pytest.raises(ParseError):
        parse_init_chunk(wrong)


@given(st.binary(max_size=80))
def test_nothing_raises_but_parse_errors(data):
    try:
        init = parse_init_chunk(data)
    except ParseError:
        return
    assert init.initiate_tag


def test_it_is_up_without_a_packet_and_data_leaves_at_once():
    link, (a, b) = ends(Conditions(delay=0.05))
    one, other = link.machines
    begun = link.now
    one.send(0, 51, b"hello", link.now)
    one.associate(link.now, b)
    other.associate(link.now, a)
    assert one.state is other.state is State.ESTABLISHED
    assert link.run(lambda: any(isinstance(event, MessageReceived) for event in link.events[1]), seconds=1)
    assert link.now - begun == pytest.approx(0.05)
    assert [type(event) for event in link.events[0]] == [Established]
    assert link.events[0][0].outbound_streams == 65535
    assert link.events[1][1] == MessageReceived(0, 51, b"hello")
    assert set(kinds(link)) <= {wire.I_DATA, wire.SACK}
    assert one.sends_zero_checksum
    assert link.run(lambda: not one.outstanding_bytes, seconds=1)
    assert one.dropped == other.dropped == {}


def test_all_that_is_negotiated_is_taken_from_them():
    link, (a, b) = ends(interleaving=False, zero_checksum=False, outbound_streams=7, inbound_streams=9)
    one, other = link.machines
    one.associate(link.now, b)
    other.associate(link.now, a)
    link.drain()
    assert [events[0] for events in link.events] == [Established(7, 7)] * 2
    assert not one.sends_zero_checksum
    one.send(6, 51, b"x", link.now)
    assert link.run(lambda: len(link.events[1]) == 2, seconds=1)
    assert wire.DATA in kinds(link)
    one.reset_streams([6], link.now)
    assert link.run(lambda: len(link.events[0]) == 2 and len(link.events[1]) == 3, seconds=5)


def test_what_comes_before_the_other_side_is_ready_comes_again():
    link, (a, b) = ends(Conditions(delay=0.01))
    one, other = link.machines
    one.associate(link.now, b)
    one.send(0, 51, b"early", link.now)
    assert not link.run(lambda: len(link.events[1]) > 0, seconds=0.1)
    assert other.dropped["unexpected-chunk"]
    other.associate(link.now, a)
    assert link.run(lambda: len(link.events[1]) == 2, seconds=2)
    assert link.events[1][1].data == b"early"


def test_who_was_not_told_shakes_hands_with_the_same_numbers():
    link, (a, _) = ends()
    one, other = link.machines
    one.associate(link.now)
    assert link.run(lambda: one.state is other.state is State.ESTABLISHED, seconds=5)
    init = next(packet for _, _, packet in link.trace if packet[wire.HEADER_SIZE] == wire.INIT)
    assert parse_init_chunk(init[wire.HEADER_SIZE :]) == a


def test_who_was_not_told_alone_is_heard_all_the_same():
    link, (a, _) = ends(Conditions(delay=0.01), accept_restart=False)
    one, other = link.machines
    one.associate(link.now)
    other.associate(link.now, a)
    other.send(0, 51, b"before", link.now)
    one.send(0, 51, b"with the cookie", link.now)
    assert link.run(lambda: len(link.events[0]) == len(link.events[1]) == 2, seconds=2)
    assert [events[0] for events in link.events] == [Established(65535, 65535)] * 2
    assert [events[1].data for events in link.events] == [b"before", b"with the cookie"]
    assert one.state is other.state is State.ESTABLISHED


def test_it_changes_nothing_once_the_association_is_up():
    link, (a, b) = ends()
    one, other = link.machines
    one.associate(link.now, b)
    other.associate(link.now, a)
    one.send(0, 51, b"1", link.now)
    assert link.run(lambda: len(link.events[1]) == 2, seconds=1)
    one.associate(link.now, a)
    one.send(0, 51, b"2", link.now)
    assert link.run(lambda: len(link.events[1]) == 3, seconds=1)
    assert [event.data for event in link.events[1][1:]] == [b"1", b"2"]
