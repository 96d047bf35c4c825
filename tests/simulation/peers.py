"""Two whole peer connections on two hosts, as a shell would run them, with messages and video between them."""

import functools
import itertools

from stack import datachannel, peer
from stack.dtls import Certificate
from stack.peer import events
from stack.testing import seeded_random_bytes

from .support import STUN, turn_server

MESSAGE_INTERVAL = 0.02  # what a stick sends
FRAME_INTERVAL = 1 / 30  # what a camera sends
KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(12_000)  # of VP8: RFC 6386 section 9.1
DELTA_FRAME = b"\x11\x02\x00" + bytes(4000)


@functools.cache
def certificate(name):
    return Certificate.generate(seeded_random_bytes(name), now_unix=1.7e9)


class Shell:
    """One peer connection on one host: binds sockets when it is asked to, and signals to the other one."""

    def __init__(self, network, host, name, *, seed, relay, configuration, costs):
        self.network = network
        self.host = host
        self.connection = peer.PeerConnection(
            certificate=certificate(name),
            random_bytes=seeded_random_bytes(f"{name} {seed}"),
            configuration=configuration,
        )
        self.process = host.run(self.connection, on_event=self._on_event)
        self.relay = relay
        self.costs = costs
        self.sockets = {}
        self.other = None
        self.signaling = 0.0
        self.arrivals = []
        self.channel = None
        self.camera = None
        self.frames = []  # when one came in
        self.frame_due = 0.0
        self.keyframe_wanted = True
        self.offers = False

    @property
    def now(self):
        return self.network.now

    def signal(self, function, *arguments):
        """Call a function of the other side's after the time that signaling takes."""
        self.network.call_at(self.now + self.signaling, lambda: function(*arguments))

    def offer(self):
        self.connection.set_local_description(None, self.now)
        self.signal(self.other.on_description, self.connection.local_description)

    def on_description(self, description):
        self.connection.set_remote_description(description, self.now)
        if description.type == "offer":
            for transceiver in self.connection.transceivers:
                self.connection.set_direction(transceiver, "sendrecv")
            self.connection.set_local_description(None, self.now)
            self.signal(self.other.on_description, self.connection.local_description)

    def on_candidate(self, text):
        self.connection.add_remote_candidate(text, self.now)

    def on_restart_wanted(self):
        """Always the same side offers, so that offers never cross."""
        if self.offers:
            self.connection.restart_ice()
        else:
            self.signal(self.other.on_restart_wanted)

    def bind(self, interface):
        """Open a socket on an interface."""
        address = interface.address(5000 + len(self.sockets))
        self.sockets[interface.name] = self.process.bind(address)
        cost = self.costs.get(interface.name, 0)
        self.connection.add_local_address(address, self.now, interface=interface.name, network_cost=cost)

    def unbind(self, name):
        """The operating system says that an interface is gone: so is its socket."""
        address = self.sockets.pop(name)
        self.process.unbind(address)
        self.connection.remove_local_address(address, self.now)

    def _gather(self):
        for interface in self.host.interfaces.values():
            self.bind(interface)
        self.connection.add_stun_server(STUN, self.now)
        if self.relay is not None and self.relay.transport == "udp":
            self.connection.add_turn_server(turn_server(self.relay), self.now)
        elif self.relay is not None:
            stream = self.process.bind(self.host.address(6000, transport="tcp"))
            self.connection.add_turn_stream(stream, turn_server(self.relay), self.now)
        self.connection.end_local_addresses(self.now)

    def _on_event(self, event):
        match event:
            case events.IceGatheringStateChanged("gathering") if not self.sockets:
                self._gather()
            case events.IceCandidateGathered(candidate):
                self.signal(self.other.on_candidate, candidate.serialize() if candidate else None)
            case events.NegotiationNeeded() if self.offers:
                self.offer()
            case events.RestartNeeded():
                self.on_restart_wanted()
            case datachannel.ChannelAnnounced(channel):
                self.channel = channel
            case datachannel.MessageReceived(_, data):
                self.arrivals.append((self.now, data))
            case events.SendingStarted(transceiver):
                self.camera = transceiver
            case events.KeyframeRequested():
                self.keyframe_wanted = True
            case events.MediaReceived():
                self.frames.append(self.now)

    def film(self):
        """Send a frame of video when it is time for one, as an encoder that is asked for key frames does."""
        if self.camera is None or self.now < self.frame_due:
            return
        self.frame_due = self.now + FRAME_INTERVAL
        data = KEYFRAME if self.keyframe_wanted else DELTA_FRAME
        timestamp = round(self.now * 90_000) % 2**32
        if self.connection.send_frame(self.camera, data, timestamp, self.now, keyframe=self.keyframe_wanted):
            self.keyframe_wanted = False


class PeerCall:
    """A call with one data channel, whose messages are sent once and in any order, as controls are."""

    def __init__(
        self, network, hosts, *, seed=0, signaling=0.02, relays=(None, None), costs=None, ice=None, video=False
    ):
        self.network = network
        configuration = peer.Configuration(ice=ice) if ice else peer.Configuration()
        self.a, self.b = (
            Shell(network, host, name, seed=seed, relay=relay, configuration=configuration, costs=costs or {})
            for host, name, relay in zip(hosts, "ab", relays, strict=True)
        )
        for shell, other in ((self.a, self.b), (self.b, self.a)):
            shell.other, shell.signaling = other, signaling
        self.a.offers = True
        if video:
            self.a.connection.add_transceiver("video", has_track=True)
        self.a.channel = self.a.connection.create_data_channel(
            "controls", network.now, ordered=False, max_retransmits=0
        )

    @property
    def ready(self):
        return all(shell.channel is not None and shell.channel.state == "open" for shell in (self.a, self.b))

    def connect(self, seconds=20.0):
        return self.network.run(lambda: self.ready, seconds=seconds)

    @property
    def path(self):
        """Types of the two candidates of the path, as the offerer has it."""
        pair = self.a.connection.transport.ice.selected_pair
        return None if pair is None else (pair.local_candidate.type, pair.remote_candidate.type)

    def exchange(self, data=b"hello", seconds=5.0):
        """Send a message each way, and tell whether both arrived."""
        before = [len(shell.arrivals) for shell in (self.a, self.b)]
        for shell in (self.a, self.b):
            shell.connection.send(shell.channel, data, self.network.now)
        return self.network.run(
            lambda: all(len(s.arrivals) > count for s, count in zip((self.a, self.b), before, strict=True)),
            seconds=seconds,
        )

    def chat(self, seconds):
        """Both send a message every `MESSAGE_INTERVAL`."""
        end = self.network.now + seconds
        while self.network.now < end:
            for shell in (self.a, self.b):
                shell.connection.send(shell.channel, b"stick", self.network.now)
                shell.film()
            self.network.run(seconds=min(MESSAGE_INTERVAL, end - self.network.now))

    def longest_gap(self, since):
        """The longest time that either side has heard nothing since then."""
        return max(self._gap([at for at, _ in shell.arrivals], since) for shell in (self.a, self.b))

    def longest_freeze(self, since):
        """The longest time that either side has got no frame of video since then."""
        return max(self._gap(shell.frames, since) for shell in (self.a, self.b))

    def _gap(self, arrivals, since):
        times = [since, *(at for at in arrivals if at >= since), self.network.now]
        return max(later - earlier for earlier, later in itertools.pairwise(times))
