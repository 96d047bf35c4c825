"""A peer made of raw chunks, so that tests read as packet traces; and pairs of associations on a link."""

import struct

from stack.sctp import Association, Config, Established, Reno, wire
from stack.testing import Link, seeded_random_bytes

TAG = 0x11111111
TSN = 1000
B, E, U, I = 2, 1, 4, 8  # noqa: E741  the letters of RFC 9260 section 3.3.1
ANY = object()


def association(seed=1, **settings):
    return Association(random_bytes=seeded_random_bytes(seed), config=Config(**settings))


def connected(conditions=None, *, seed=1, a=None, b=None, patience=30, **options):
    """A link whose two associations are up."""
    link = Link(association(seed, **(a or {})), association(seed + 1000, **(b or {})), conditions, seed=seed, **options)
    link.machines[0].associate(link.now)
    assert link.run(lambda: all(m.state.value == "established" for m in link.machines), seconds=patience)
    link.drain()
    for events in link.events:
        assert [type(e) for e in events] == [Established]
        events.clear()
    return link


class RawPeer:
    """Plays the other end of `self.a` chunk by chunk. `self.now` is the clock, `self.tsn` our next TSN."""

    def __init__(self, seed=1, *, connect=True, a_rwnd=1_000_000, streams=65535, init=None, **settings):
        # Most traces are of RFC 9260 section 7.2, and every controller loses and backs off in its own way.
        self.a = association(seed, **{"congestion": Reno, **settings})
        self.now = 10.0
        self.tsn = TSN
        self.peer_tag = 0
        self.peer_tsn = 0
        self.init = init or wire.Init(TAG, a_rwnd, streams, streams, TSN, forward_tsn=True, extensions=b"\x82\xc0")
        if connect:
            self.connect()

    def connect(self):
        self.raw(0, wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(self.init)))
        ((_, _, value),) = self.one_packet()
        answer = wire.parse_init(value, 0, len(value))
        self.peer_tag, self.peer_tsn = answer.initiate_tag, answer.initial_tsn
        self.send(wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie))
        assert self.kinds() == [wire.COOKIE_ACK]
        assert isinstance(self.a.next_event(), Established)

    def raw(self, tag, *chunks):
        self.a.receive_datagram(wire.serialize_packet(5000, 5000, tag, b"".join(chunks)), self.now)

    def send(self, *chunks):
        """One packet from us."""
        self.raw(self.peer_tag, *chunks)

    def data(self, payload=b"x", *, stream=0, ssn=0, flags=B | E, tsn=None, ppid=51):
        """A DATA chunk with our next TSN, or with `tsn` relative to our first one."""
        if tsn is None:
            number, self.tsn = self.tsn, self.tsn + 1
        else:
            number = TSN + tsn
        value = struct.pack("!LHHL", number & 0xFFFFFFFF, stream, ssn, ppid) + payload
        return wire.serialize_chunk(wire.DATA, flags, value)

    def i_data(self, payload=b"x", *, stream=0, mid=0, fsn=0, flags=B | E, tsn=None, ppid=51):
        """An I-DATA chunk with our next TSN, or with `tsn` relative to our first one."""
        if tsn is None:
            number, self.tsn = self.tsn, self.tsn + 1
        else:
            number = TSN + tsn
        word = ppid if flags & B else fsn
        value = struct.pack("!LHHLL", number & 0xFFFFFFFF, stream, 0, mid & 0xFFFFFFFF, word) + payload
        return wire.serialize_chunk(wire.I_DATA, flags, value)

    def sack(self, sent, *, rwnd=1_000_000, gaps=(), duplicates=()):
        """A SACK of the first `sent` chunks of the association; gaps are offsets as on the wire."""
        value = struct.pack("!LLHH", self.peer_tsn + sent - 1 & 0xFFFFFFFF, rwnd, len(gaps), len(duplicates))
        value += b"".join(struct.pack("!HH", *gap) for gap in gaps)
        value += b"".join(struct.pack("!L", tsn) for tsn in duplicates)
        return wire.serialize_chunk(wire.SACK, 0, value)

    def packets(self):
        """Drain; every packet as a list of (kind, flags, value), its header checked."""
        found = []
        for packet in self.a.datagrams_to_send(self.now):
            assert packet == wire.serialize_packet(5000, 5000, struct.unpack_from("!L", packet, 4)[0], packet[12:])
            found.append(wire.chunks_of(packet))
        return found

    def chunks(self):
        """Drain; all chunks."""
        return [chunk for packet in self.packets() for chunk in packet]

    def one_packet(self):
        (packet,) = self.packets()
        return packet

    def kinds(self):
        return [kind for kind, _, _ in self.chunks()]

    def sent_tsns(self):
        """Drain; TSNs of the DATA chunks relative to the association's first one."""
        return [
            struct.unpack_from("!L", value)[0] - self.peer_tsn & 0xFFFFFFFF
            for kind, _, value in self.chunks()
            if kind == wire.DATA
        ]

    def acknowledged(self):
        """Drain; the last SACK as (cumulative TSN relative to our first one, window, gaps, duplicates)."""
        value = [value for kind, _, value in self.chunks() if kind == wire.SACK][-1]
        cumulative, window, gap_count, duplicate_count = struct.unpack_from("!LLHH", value)
        words = struct.unpack_from(f"!{2 * gap_count}H", value, 12)
        duplicates = struct.unpack_from(f"!{duplicate_count}L", value, 12 + 4 * gap_count)
        assert len(value) == 12 + 4 * (gap_count + duplicate_count)
        gaps = list(zip(words[::2], words[1::2], strict=True))
        return (cumulative - TSN + 2**31 & 0xFFFFFFFF) - 2**31, window, gaps, [d - TSN for d in duplicates]

    def wait(self, seconds):
        """Let time pass, timers included."""
        end = self.now + seconds
        while (due := self.a.next_timer()) is not None and due <= end:
            self.now = max(due, self.now)
            self.a.handle_timer(self.now)
            yield self.chunks()
        self.now = end

    def skip(self, seconds):
        """Let time pass and return all chunks sent meanwhile."""
        return [chunk for chunks in self.wait(seconds) for chunk in chunks]

    def events(self):
        found = []
        while (event := self.a.next_event()) is not None:
            found.append(event)
        return found

    def messages(self):
        return [(e.stream_id, e.data) for e in self.events() if type(e).__name__ == "MessageReceived"]
