"""Sequences of API calls and descriptions on two peer connections that nobody has thought of.

Invariants:
- Whatever is called, with whatever description or candidate, in whatever state: it is carried out, or a `LocalError`
  says why not, and then nothing has changed that an application can see.
- Messages of signaling that are lost, late, swapped or come twice, and time that passes in between, never raise and
  never keep two connections busy without time passing (`stack.testing.LivelockError`).
- Both can be closed at the end, and say so.
"""

from collections.abc import Callable
from typing import Any, Final

from stack import peer
from stack.core import Address, Datagram, LocalError
from stack.testing import Conditions, Link, seeded_random_bytes

from .peer import HERE, THERE, certificate, finish

MAX_CALLS: Final = 24  # of one input: a handshake or two pass in between, which is what takes the time
MAX_MESSAGES: Final = 16  # under way to one side: older ones are lost
TYPES: Final = ("offer", "answer", "pranswer", "rollback")
DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive", "sideways")
RIDS: Final = ((), (), (), (), ("h", "l"), ("q", "h", "f"), ("h", "h"), ("", None))
KINDS: Final = ("audio", "video", "application")
CANDIDATES: Final = (
    None,
    "",
    "candidate:1 1 udp 2130706431 10.0.0.1 1111 typ host",
    "candidate:2 1 tcp 1518280447 10.0.0.2 9 typ host tcptype active",
    "candidate:3 1 udp 1 no-such-name.local 1 typ host",
    "candidate:nonsense",
)


class Input:
    """Bytes as choices; zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next choice."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def of(self, choices: Any) -> Any:
        """One of these."""
        return choices[self.byte() % len(choices)]


def visible(pc: peer.PeerConnection) -> tuple[object, ...]:
    """What an application can see of a connection."""
    return (
        pc.signaling_state,
        pc.ice_gathering_state,
        pc.connection_state,
        pc.current_local_description,
        pc.pending_local_description,
        pc.current_remote_description,
        pc.pending_remote_description,
        [(t.mid, t.kind, t.direction, t.current_direction, t.stopping, t.stopped) for t in pc.transceivers],
        [[layer.encoding for layer in t.layers] for t in pc.transceivers],
        pc.needs_negotiation,
        pc.next_timer(),
    )


def refused(pc: peer.PeerConnection, call: Callable[[], object]) -> bool:
    """Make a call; return whether it was refused, after looking whether that has changed anything."""
    before = visible(pc)
    try:
        call()
    except LocalError:
        after = visible(pc)
        if before != after:
            changes = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
            raise AssertionError(f"refused, and yet changed: {changes}") from None
        return True
    return False


class Calls:
    """Two connections, what is under way between them, and the calls that an input makes."""

    def __init__(self, data: bytes) -> None:
        self.input = Input(data)
        self.sides = [
            peer.PeerConnection(certificate=certificate(), random_bytes=seeded_random_bytes(seed)) for seed in (1, 2)
        ]
        self.link: Link = Link(*self.sides, Conditions(delay=0.01))
        self.addresses = [HERE, THERE]
        self.inboxes: tuple[list[peer.Description], list[peer.Description]] = ([], [])
        self.channels: list[Any] = []
        self.calls: tuple[Callable[[int], object], ...] = (
            self.describe,
            self.describe,
            self.deliver,
            self.deliver,
            self.deliver,
            self.pass_time,
            self.add_transceiver,
            self.add_track,
            self.change,
            self.open_channel,
            self.use_channel,
            self.set_of_type,
            self.lose,
            self.candidate,
            self.restart,
            self.create,
            self.forge,
            self.close,
        )

    def run(self) -> None:
        """Make all calls, let time pass, and end."""
        for _ in range(MAX_CALLS):
            if not self.input:
                break
            choice = self.input.byte()
            side = choice & 1
            pc = self.sides[side]
            call = self.calls[(choice >> 1) % len(self.calls)]
            if not (call in {self.deliver, self.pass_time} or refused(pc, lambda: call(side))):  # noqa: B023  at once
                self.gather(side)
            elif call in {self.deliver, self.pass_time}:
                call(side)
        self.link.run(seconds=2.0)
        for pc in self.sides:
            if pc.signaling_state == "closed":
                self.link.drain()
            else:
                finish_later(pc, self.link.now)

    def gather(self, side: int) -> None:
        """Do what a shell does after each call."""
        pc = self.sides[side]
        if pc.wants_sockets and self.addresses[side] is not None:
            address, self.addresses[side] = self.addresses[side], None  # type: ignore[call-overload]  once only
            pc.add_local_address(address, self.link.now)
            pc.end_local_addresses(self.link.now)

    # -- calls -------------------------------------------------------------------------------------------------

    def describe(self, side: int) -> None:
        """Make the description that the state asks for, and send it."""
        self.sides[side].set_local_description(None, self.link.now)
        self.gather(side)
        self.post(side)

    def set_of_type(self, side: int) -> None:
        """Make a description of some type, and send it."""
        self.sides[side].set_local_description(peer.Description(self.input.of(TYPES), ""), self.link.now)
        self.post(side)

    def post(self, side: int) -> None:
        """Put our description under way."""
        inbox, description = self.inboxes[1 - side], self.sides[side].local_description
        if description is not None:
            inbox.append(description)
            del inbox[:-MAX_MESSAGES]

    def deliver(self, side: int) -> None:
        """Set what is under way: the oldest, or another one, or one a second time, or under another type."""
        inbox, how = self.inboxes[side], self.input.byte()
        if not inbox:
            return
        index = 0 if how < 192 else how % len(inbox)
        description = inbox[index] if how % 32 == 31 else inbox.pop(index)
        if how % 32 == 30:
            description = peer.Description(self.input.of(TYPES), description.sdp)
        pc = self.sides[side]
        crossed = description.type == "offer" and pc.signaling_state == "have-local-offer"
        try:
            if crossed:  # ours is rolled back before the peer's is looked at in full
                pc.set_remote_description(description, self.link.now)
            else:
                refused(pc, lambda: pc.set_remote_description(description, self.link.now))
        except LocalError:
            pass

    def pass_time(self, side: int) -> None:  # noqa: ARG002  one signature for all
        """Let both run for up to two seconds."""
        self.link.run(seconds=self.input.byte() / 128)

    def add_transceiver(self, side: int) -> None:
        """Of some kind and direction, and with some encodings."""
        kind, direction = self.input.of(KINDS), self.input.byte()
        encodings = [peer.Encoding(rid=rid) for rid in RIDS[direction >> 5]]
        self.sides[side].add_transceiver(kind, DIRECTIONS[direction % len(DIRECTIONS)], encodings=encodings)

    def add_track(self, side: int) -> None:
        """Of some kind."""
        self.sides[side].add_track(self.input.of(KINDS[:2]))

    def change(self, side: int) -> None:
        """One of the transceivers."""
        pc, how = self.sides[side], self.input.byte()
        if not pc.transceivers:
            return
        transceiver = pc.transceivers[how % len(pc.transceivers)]
        match how >> 5:
            case 0 | 1:
                pc.remove_track(transceiver)
            case 2:
                pc.stop_transceiver(transceiver)
            case 3 | 4:
                pc.set_direction(transceiver, self.input.of(DIRECTIONS))
            case 5:
                codecs = peer.CODECS[self.input.of(KINDS[:2])]
                pc.set_codec_preferences(transceiver, codecs[self.input.byte() % 4 :])
            case 6:
                bitrate = self.input.byte() - 10
                rids = [layer.rid for layer in transceiver.layers]
                pc.set_encodings(transceiver, [peer.Encoding(max_bitrate=bitrate, rid=rid) for rid in rids])
            case _:
                pc.send_frame(transceiver, bytes(self.input.byte()), 0, self.link.now, keyframe=True)

    def open_channel(self, side: int) -> None:
        """With some options."""
        how = self.input.byte()
        channel = self.sides[side].create_data_channel(
            "fuzz",
            self.link.now,
            ordered=bool(how & 1),
            max_retransmits=how & 2 or None,
            max_packet_life_time=how & 4 or None,
            negotiated=bool(how & 8),
            channel_id=self.input.byte() if how & 16 else None,
        )
        self.channels.append((side, channel))

    def use_channel(self, side: int) -> None:  # noqa: ARG002  a channel knows its side
        """Send on one, or close it."""
        how = self.input.byte()
        if not self.channels:
            return
        owner, channel = self.channels[how % len(self.channels)]
        if how & 0x80:
            self.sides[owner].close_channel(channel, self.link.now)
        else:
            self.sides[owner].send(channel, bytes(self.input.byte()), self.link.now)

    def lose(self, side: int) -> None:
        """What is under way to us."""
        self.inboxes[side].clear()

    def candidate(self, side: int) -> None:
        """Of the peer's, or none, or nonsense."""
        ufrag = self.input.of((None, "", "none"))
        self.sides[side].add_remote_candidate(self.input.of(CANDIDATES), self.link.now, ufrag=ufrag)

    def restart(self, side: int) -> None:
        """ICE."""
        self.sides[side].restart_ice()

    def create(self, side: int) -> None:
        """An offer or an answer that is never used."""
        pc = self.sides[side]
        (pc.create_offer if self.input.byte() & 1 else pc.create_answer)()

    def forge(self, side: int) -> None:
        """A datagram from the peer's address, before, in or after a handshake."""
        data = bytes([self.input.byte(), self.input.byte()]) * 40
        other: Address = THERE if side == 0 else HERE
        own: Address = HERE if side == 0 else THERE
        self.sides[side].receive_datagram(Datagram(data, other, own), self.link.now)

    def close(self, side: int) -> None:
        """Seldom: nothing much follows."""
        if self.input.byte() > 224:
            self.sides[side].close(self.link.now)


def finish_later(pc: peer.PeerConnection, now: float) -> None:
    """Close at a time, and check that it ends as it must."""
    pc.close(now)
    pc.datagrams_to_send(now)
    last = None
    while (event := pc.next_event()) is not None:
        last = event
    if not isinstance(last, peer.Closed) or pc.next_timer() is not None:
        raise AssertionError(f"the last event is {last!r}, the next timer at {pc.next_timer()}")


def check_calls(data: bytes) -> None:
    """These bytes as calls."""
    Calls(data).run()


def check_descriptions(data: bytes) -> None:
    """The first byte says in which state, and of which type; the others are a description of the peer's."""
    choice, text = data[0] if data else 0, data[1:].decode("utf-8", "replace")
    pair = [peer.PeerConnection(certificate=certificate(), random_bytes=seeded_random_bytes(seed)) for seed in (1, 2)]
    pc, other = pair
    if choice & 4:
        pc.add_track("video")
        pc.create_data_channel("fuzz", 0.0)
    if choice & 8:
        other.add_track("audio")
        other.create_data_channel("fuzz", 0.0)
        other.set_local_description(None, 0.0)
        if other.local_description is not None:
            pc.set_remote_description(other.local_description, 0.0)
        if choice & 16:
            pc.set_local_description(None, 0.0)
    elif choice & 4 and choice & 32:
        pc.set_local_description(None, 0.0)
    description = peer.Description(TYPES[choice & 3], text)
    if pc.signaling_state == "have-local-offer" and description.type == "offer":
        try:  # ours is rolled back before the peer's is looked at in full
            pc.set_remote_description(description, 1.0)
        except LocalError:
            if pc.signaling_state not in {"stable", "have-local-offer"}:
                raise AssertionError(pc.signaling_state) from None
    elif not refused(pc, lambda: pc.set_remote_description(description, 1.0)):
        pc.add_local_address(HERE, 1.0)
        refused(pc, lambda: pc.set_local_description(None, 1.0))
        refused(pc, lambda: pc.set_remote_description(description, 1.0))
        pc.datagrams_to_send(1.0)
    finish(pc)


TARGETS = {"peer-api": check_calls, "peer-descriptions": check_descriptions}
