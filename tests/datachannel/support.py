"""Two endpoints on a perfect association: what a pump between data channels and SCTP does."""

from stack.datachannel import ChannelAnnounced, Endpoint, MessageReceived, ResetRequested


class Pair:
    """Endpoints a (DTLS client) and b, their events, and all messages that went between them."""

    def __init__(self, *, connected=True, **options):
        self.a = Endpoint(is_dtls_client=True, **options)
        self.b = Endpoint(is_dtls_client=False, **options)
        self.events = {self.a: [], self.b: []}
        self.sent = {self.a: [], self.b: []}
        self.now = 10.0
        if connected:
            self.a.set_connected(self.now)
            self.b.set_connected(self.now)

    def other(self, end):
        return self.b if end is self.a else self.a

    def pump(self, *, resets=True):
        """Move messages, then resets, until nothing moves. Without `resets` these are lost."""
        busy = True
        while busy:
            busy = False
            for end in (self.a, self.b):
                for message in end.datagrams_to_send(self.now):
                    busy = True
                    self.sent[end].append(message)
                    self.other(end).receive_datagram(message, self.now)
                while (event := end.next_event()) is not None:
                    busy = True
                    self.events[end].append(event)
                    if isinstance(event, ResetRequested) and resets:
                        self.other(end).stream_reset_by_peer(event.stream_id, self.now)
                        end.outgoing_reset_done(event.stream_id, self.now)

    def announced(self, end):
        return [event.channel for event in self.events[end] if isinstance(event, ChannelAnnounced)]

    def received(self, end):
        return [event.data for event in self.events[end] if isinstance(event, MessageReceived)]

    def open(self, label="chat", **options):
        """Open a channel at a and return both ends of it."""
        channel = self.a.open(label, now=self.now, **options)
        self.pump()
        return channel, self.announced(self.b)[-1]


def drain(end):
    """All events that wait."""
    found = []
    while (event := end.next_event()) is not None:
        found.append(event)
    return found
