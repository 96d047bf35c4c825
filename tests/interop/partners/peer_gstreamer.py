"""A peer of GStreamer's webrtcbin, for the Python of the system, which has its bindings. See partner.py."""

import asyncio
import re
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402
from lines import serve  # noqa: E402

PATIENCE = 10  # seconds
X264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=3000 ! video/x-h264,profile=constrained-baseline"
PROFILE = "application/x-rtp,profile-level-id=(string)42e01f"
CODECS = {  # encoding name: encoder and payloader, depayloader and decoder, clock rate
    "VP8": ("vp8enc deadline=1 cpu-used=8 keyframe-max-dist=3000 ! rtpvp8pay pt={pt}", "rtpvp8depay ! vp8dec", 90000),
    "H264": (
        # x264's profile, 42c0.., is the same as 42e0.., and webrtcbin does not know that.
        f"{X264} ! rtph264pay config-interval=-1 pt={{pt}} ! capssetter caps={PROFILE}",
        "rtph264depay ! avdec_h264",
        90000,
    ),
    "OPUS": ("opusenc ! rtpopuspay pt={pt}", "rtpopusdepay ! opusdec", 48000),
}
SOURCES = {
    "video": "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! queue",
    "audio": "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! queue",
}
EXTRA_CAPS = {
    "H264": ",packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "OPUS": ",encoding-params=(string)2",
}
DEFAULT_PAYLOAD_TYPES = {"VP8": 96, "H264": 97, "OPUS": 111}


class Peer:
    def start(self, channels=(), media=(), mime=""):
        self.pipeline = Gst.Pipeline.new()
        self.bin = Gst.ElementFactory.make("webrtcbin")
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.bin)
        self.by_label, self.received, self.lock = {}, {}, threading.Lock()
        self.wanted = {kind: "OPUS" if kind == "audio" else mime.partition("/")[2] for kind in media}
        self.bin.connect("on-data-channel", lambda _, channel: self.adopt(channel))
        self.bin.connect("pad-added", self.watch)
        self.pipeline.set_state(Gst.State.PLAYING)
        for options in channels:
            self.open(**options)

    # Channels

    def adopt(self, channel):
        with self.lock:
            self.by_label[channel.get_property("label")] = channel
        channel.connect("on-message-string", lambda _, text: channel.emit("send-string", text))
        channel.connect("on-message-data", lambda _, data: channel.emit("send-data", data))

    def open(self, label, protocol="", *, ordered=True, negotiated=False, **others):
        fields = [f"ordered=(boolean){str(ordered).lower()}", f"negotiated=(boolean){str(negotiated).lower()}"]
        fields += [f"id=(int){others['id']}"] if negotiated else []
        fields += [f"max-retransmits=(int){others['maxRetransmits']}"] if "maxRetransmits" in others else []
        fields += [f"max-packet-lifetime=(int){others['maxPacketLifeTime']}"] if "maxPacketLifeTime" in others else []
        options = Gst.Structure.from_string(",".join(["options", *fields]))[0]
        if protocol:
            options.set_value("protocol", protocol)
        self.adopt(self.bin.emit("create-data-channel", label, options))

    def shut(self, label):
        self.by_label[label].emit("close")

    def channels(self):
        with self.lock:
            return [self.described(channel) for channel in self.by_label.values()]

    @staticmethod
    def described(channel):
        limits = {"maxRetransmits": "max-retransmits", "maxPacketLifeTime": "max-packet-lifetime"}
        found = {name: channel.get_property(name) for name in ("label", "protocol", "ordered", "id")}
        found |= {name: channel.get_property(ours) for name, ours in limits.items()}
        found |= {name: None for name in limits if found[name] == -1}
        return found | {"state": channel.get_property("ready-state").value_nick}

    # Media

    def add_tracks(self, offer=""):
        for kind, codec in self.wanted.items():
            found = re.search(rf"a=rtpmap:(\d+) {codec}/", offer, re.IGNORECASE)
            number = int(found[1]) if found else DEFAULT_PAYLOAD_TYPES[codec]
            encoder, _, clock = CODECS[codec]
            source = Gst.parse_bin_from_description(f"{SOURCES[kind]} ! {encoder.format(pt=number)}", True)
            caps = Gst.Caps.from_string(
                f"application/x-rtp,media={kind},encoding-name={codec},payload={number},clock-rate={clock}"
                + EXTRA_CAPS.get(codec, "")
            )
            self.pipeline.add(source)
            source.link_filtered(self.bin, caps)
            source.sync_state_with_parent()
        self.wanted = {}

    def watch(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps().get_structure(0)
        kind, codec = caps.get_string("media"), caps.get_string("encoding-name").upper()
        sink = Gst.parse_bin_from_description(
            f"queue ! {CODECS[codec][1]} ! fakesink name=end signal-handoffs=true sync=false", True
        )
        self.received[kind] = 0
        sink.get_by_name("end").connect("handoff", lambda *_: self.count(kind))
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def count(self, kind):
        self.received[kind] += 1

    def statistics(self):
        names = {"video": "framesDecoded", "audio": "packetsReceived"}  # a buffer of audio is what a packet brought
        return {f"inbound-rtp {kind}": {names[kind]: count} for kind, count in dict(self.received).items()}

    # Negotiation

    def ask(self, what, *arguments):
        """An action of webrtcbin that fulfils a promise."""
        promise = Gst.Promise.new()
        self.bin.emit(what, *arguments, promise)
        promise.wait()
        reply = promise.get_reply()
        if reply is not None and reply.has_field("error"):
            raise RuntimeError(f"{what}: {reply.get_value('error')}")
        if reply is not None and reply.n_fields():  # as text: the description itself goes with the promise
            return reply.get_value(reply.nth_field_name(0)).sdp.as_text()
        return None

    def describe(self, side, kind, sdp):
        kinds = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
        message = GstSdp.SDPMessage.new_from_text(sdp)[1]
        self.ask(f"set-{side}-description", GstWebRTC.WebRTCSessionDescription.new(kinds[kind], message))

    async def apply(self, kind, sdp):
        self.describe("local", kind, sdp)
        async with asyncio.timeout(PATIENCE):
            complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
            while self.bin.get_property("ice-gathering-state") != complete:  # noqa: ASYNC110  other threads change it
                await asyncio.sleep(0.01)
        return {"type": kind, "sdp": self.bin.get_property("local-description").sdp.as_text()}

    async def offer(self):
        self.add_tracks()
        await self.settled()
        return await self.apply("offer", self.ask("create-offer", None))

    async def settled(self):
        """Wait until all sources have said what they send: an offer has no section for the others."""
        async with asyncio.timeout(PATIENCE):
            while any(pad.get_current_caps() is None for pad in self.bin.sinkpads):  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)

    async def answer(self, **offer):
        self.accept(**offer)
        self.add_tracks(offer["sdp"])
        return await self.apply("answer", self.ask("create-answer", None))

    def accept(self, **given):
        self.describe("remote", given["type"], given["sdp"])

    def state(self):
        return self.bin.get_property("connection-state").value_nick

    def stop(self):
        self.pipeline.set_state(Gst.State.NULL)


Gst.init(None)
loop = GLib.MainLoop()
threading.Thread(target=loop.run, daemon=True).start()
asyncio.run(serve(Peer(), ".".join(map(str, Gst.version()[:3]))))
sys.stdout.flush()
