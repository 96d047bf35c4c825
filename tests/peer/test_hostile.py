"""Hostile datagrams against two connected peers: dropped and counted by reason, and the call goes on."""

import random

import pytest

from stack import datachannel, peer
from stack.core import Datagram
from stack.demux import DTLS, RTCP, RTP, STUN, classify

from .support import A, B, Call

KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(4000)
STRANGER = B._replace(host="203.0.113.66", port=666)
LARGEST = 65_507  # bytes of a UDP payload over IPv4
KINDS = {"stun": STUN, "dtls": DTLS, "rtp": RTP, "rtcp": RTCP}


class Attack:
    """A call with a channel and video, a record of what was really sent, and an attacker who can send anything."""

    def __init__(self):
        self.recorded = {0: [], 1: []}
        self.call = Call(tamper=self._record)
        self.channel = self.call.a.create_data_channel("test", self.call.now)
        self.video = self.call.a.add_track("video")
        assert self.call.connect()
        assert self.call.link.run(lambda: self.channel.state == "open")
        self.frames = 0
        self.exchange()
        self.call.link.run(seconds=6)  # STUN consent checks and RTCP reports are on the record too
        self.before = [machine.dropped for machine in (self.call.a, self.call.b)]

    def _record(self, sender, index, data):
        self.recorded[sender].append(data)
        return [data]

    def sent_by(self, sender, kind):
        """One real datagram of a kind, and the shortest such, since it is the one cut at every length."""
        return min((data for data in self.recorded[sender] if classify(data) == kind), key=len)

    def inject(self, side, data, remote=None):
        """Let side 0 (a) or 1 (b) receive a datagram as if the other side had sent it, or a stranger."""
        call = self.call
        here, there, machine = ((A, B, call.a), (B, A, call.b))[side]
        machine.receive_datagram(Datagram(data, remote or there, here), call.now)

    def exchange(self):
        """A message and a frame go through, and both are connected."""
        call = self.call
        messages = len(call.reported(1, datachannel.MessageReceived))
        frames = len(call.reported(1, peer.MediaReceived))
        call.a.send(self.channel, b"message %d" % messages, call.now)
        self.frames += 1
        assert call.a.send_frame(self.video, KEYFRAME, self.frames * 3000, call.now, keyframe=True)
        call.link.run(seconds=1)
        assert [e.data for e in call.reported(1, datachannel.MessageReceived)[messages:]] == [b"message %d" % messages]
        assert [e.frame.data for e in call.reported(1, peer.MediaReceived)[frames:]] == [KEYFRAME]
        assert call.connected

    def reasons(self, side):
        """What was dropped since the beginning of the attack."""
        machine = (self.call.a, self.call.b)[side]
        return machine.dropped - self.before[side]


@pytest.fixture
def attack():
    return Attack()


SIDES = pytest.mark.parametrize("side", [0, 1])


@SIDES
def test_random_datagrams(attack, side):
    source = random.Random(7)
    count = 2000
    for _ in range(count):
        attack.inject(side, source.randbytes(source.randrange(120)))
    attack.exchange()
    reasons = attack.reasons(side)
    assert reasons["unknown-protocol"] > count / 4
    assert {"srtp-authentication", "ice-bad-magic-cookie"} & set(reasons)
    assert reasons.total() >= count * 0.9  # the first bytes of the rest make a DTLS record of another epoch, and such


@SIDES
def test_empty_datagrams(attack, side):
    for _ in range(10):
        attack.inject(side, b"")
    attack.exchange()
    assert attack.reasons(side)["unknown-protocol"] == 10


@pytest.mark.parametrize(("side", "kind"), [(s, k) for s in (0, 1) for k in KINDS if (s, k) != (0, "rtp")])
def test_real_datagrams_with_one_bit_wrong(attack, side, kind):
    data = attack.sent_by(1 - side, KINDS[kind])
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            attack.inject(side, data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :])
    attack.exchange()
    assert attack.reasons(side).total() >= len(data)


@pytest.mark.parametrize(("side", "kind"), [(s, k) for s in (0, 1) for k in KINDS if (s, k) != (0, "rtp")])
def test_real_datagrams_cut_at_every_length(attack, side, kind):
    data = attack.sent_by(1 - side, KINDS[kind])
    for size in range(len(data)):
        attack.inject(side, data[:size])
    attack.exchange()
    assert attack.reasons(side).total() >= len(data) * 0.9


@SIDES
def test_the_whole_call_once_more(attack, side):
    """A replay changes nothing: DTLS and SRTP have seen each packet, STUN answers what asks again."""
    replay = list(attack.recorded[1 - side])
    for data in replay:
        attack.inject(side, data)
    attack.exchange()
    reasons = attack.reasons(side)
    assert reasons["srtp-replayed"] > 0
    assert reasons["dtls-replayed"] > 0


@SIDES
def test_the_whole_call_once_more_from_a_stranger(attack, side):
    replay = list(attack.recorded[1 - side])
    for data in replay:
        if classify(data) != STUN:
            attack.inject(side, data, STRANGER)
    attack.exchange()
    assert attack.reasons(side)["unvalidated-path"] == sum(classify(data) != STUN for data in replay)


@SIDES
def test_a_stranger_does_not_take_over_the_path_with_replayed_checks(attack, side):
    machine = (attack.call.a, attack.call.b)[side]
    pair = machine.transport.ice.selected_pair
    for data in attack.recorded[1 - side]:
        if classify(data) == STUN:
            attack.inject(side, data, STRANGER)
    attack.exchange()
    now = machine.transport.ice.selected_pair
    assert (now.local, now.remote) == (pair.local, pair.remote)


@SIDES
@pytest.mark.parametrize("first", [0x00, 0x01, 0x14, 0x16, 0x17, 0x19, 0x40, 0x80, 0xBF, 0xFF])
def test_huge_datagrams(attack, side, first):
    for second in (0x00, 0x60, 0xC8, 0xFF):
        attack.inject(side, bytes((first, second)) + bytes(LARGEST - 2))
        attack.inject(side, (bytes((first, second, 0xFE, 0xFD)) * LARGEST)[:LARGEST])
    attack.exchange()
    assert attack.reasons(side).total() >= 8


@SIDES
def test_alerts_and_hellos_without_keys_end_nothing(attack, side):
    """RFC 6347 section 4.1.2.7: what is not authenticated is discarded silently."""
    version = b"\xfe\xfd"
    for number in range(100):
        header = bytes((0, 0)) + number.to_bytes(6, "big")
        attack.inject(side, b"\x15" + version + header + b"\x00\x02\x02\x28")
        attack.inject(side, b"\x15" + version + header + b"\x00\x02\x01\x00")
        attack.inject(side, b"\x16" + version + header + b"\x00\x0c\x01" + bytes(11))
        attack.inject(side, b"\x17" + version + header + b"\x00\x04data")
        attack.inject(side, b"\x14" + version + header + b"\x00\x01\x01")
    attack.exchange()
    assert attack.reasons(side).total() >= 300
