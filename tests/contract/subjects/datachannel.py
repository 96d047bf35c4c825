"""The machine of stack.datachannel under the laws, with a pump that puts its messages and stream resets on a wire."""

import struct

from stack.core import Machine
from stack.datachannel import Closed, Endpoint, Message, ResetRequested
from tests.contract.subject import Rig, Subject
from tests.datachannel.limits import LIMITS

MESSAGE, RESET, DONE = 1, 2, 3
_MESSAGE = struct.Struct("!BHL")
_RESET = struct.Struct("!BH")


class Pump(Machine):
    """An endpoint whose messages are bytes: a stand-in for the association, as unreliable as the link."""

    def __init__(self, **options):
        self.endpoint = Endpoint(**options)
        super().__init__()
        self._dropped = self.endpoint.dropped
        self._resets = []
        self._out = []
        self._ended = False

    def receive_datagram(self, datagram, now):
        if self._ended:
            return
        if len(datagram) >= _MESSAGE.size and datagram[0] == MESSAGE:
            _, stream_id, ppid = _MESSAGE.unpack_from(datagram)
            self.endpoint.receive_datagram(Message(stream_id, ppid, datagram[_MESSAGE.size :]), now)
        elif len(datagram) == _RESET.size and datagram[0] == RESET:
            stream_id = _RESET.unpack(datagram)[1]
            self.endpoint.stream_reset_by_peer(stream_id, now)
            self._out.append(_RESET.pack(DONE, stream_id))
        elif len(datagram) == _RESET.size and datagram[0] == DONE:
            self.endpoint.outgoing_reset_done(_RESET.unpack(datagram)[1], now)
        else:
            self.dropped["bad-frame"] += 1

    def handle_timer(self, now):
        self.endpoint.handle_timer(now)

    def datagrams_to_send(self, now):
        out, self._out = self._out, []
        messages = self.endpoint.datagrams_to_send(now)
        self._take_events()
        out += [_MESSAGE.pack(MESSAGE, message.stream_id, message.ppid) + message.data for message in messages]
        out += [_RESET.pack(RESET, stream_id) for stream_id in self._resets]
        self._resets.clear()
        return [] if self._ended else out

    def _take_events(self):
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, ResetRequested):
                self._resets.append(event.stream_id)
            else:
                self._events.append(event)
                self._ended = self._ended or isinstance(event, Closed)

    def next_event(self):
        self._take_events()
        return super().next_event()

    def next_timer(self):
        return self.endpoint.next_timer()

    def close(self, now):
        self.endpoint.close(now)


def build(seed):
    a, b = Pump(is_dtls_client=True), Pump(is_dtls_client=False)

    def start(now):
        a.endpoint.open("early", ordered=False, now=now)
        a.endpoint.open("agreed", negotiated=True, id=100, now=now)
        b.endpoint.open("agreed", negotiated=True, id=100, now=now)
        for end in (a, b):
            end.endpoint.set_connected(now)

    def work(now):
        for end in (a.endpoint, b.endpoint):
            for channel in end.channels:
                end.send(channel, f"hello {seed}", now)
                end.send(channel, b"", now)
        b.endpoint.open("late", max_retransmits=0, now=now)
        a.endpoint.close_channel(a.endpoint.channels[0], now)

    return Rig(a, b, start, work)


def message(stream_id, ppid, data):
    return _MESSAGE.pack(MESSAGE, stream_id, ppid) + data


def opens_a_used_id(rig, now):
    rig.a.endpoint.open("x", negotiated=True, id=100, now=now)


def opens_with_both_limits(rig, now):
    rig.a.endpoint.open("x", max_retransmits=1, max_packet_life_time=1, now=now)


def sends_too_much(rig, now):
    end = rig.a.endpoint
    end.send(end.channels[0], bytes(end.max_message_size + 1), now)


def sends_on_a_channel_of_the_other_end(rig, now):
    rig.a.endpoint.send(rig.b.endpoint.channels[0], b"x", now)


def changes_the_role(rig, now):
    rig.a.endpoint.set_role(False)


SUBJECTS = [
    Subject(
        name="datachannel",
        build=build,
        terminal=Closed,
        garbage=[
            b"",
            b"\xff" * 40,
            message(100, 50, b""),
            message(100, 50, b"\x07"),
            message(100, 51, b"\xff"),
            message(100, 52, b"x"),
            message(7, 53, b"x"),
            message(2, 50, b"\x03" + bytes(11)),
        ],
        misuse=[
            opens_a_used_id,
            opens_with_both_limits,
            sends_too_much,
            sends_on_a_channel_of_the_other_end,
            changes_the_role,
        ],
        limits=LIMITS,
    )
]
