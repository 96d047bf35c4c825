# ruff: noqa: SLF001  the limits to check are inside
"""The parsers and machines of stack.rtp against any bytes."""

import contextlib
import itertools

from stack.core import LocalError, ParseError
from stack.rtp import (
    ABS_SEND_TIME,
    MID,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    CongestionFeedbackGenerator,
    Demultiplexer,
    ExtensionMap,
    FrameReceived,
    Nack,
    Packet,
    Receiver,
    Sender,
    TransportFeedbackGenerator,
    audio,
    extensions,
    flexfec,
    h264,
    is_rtcp,
    nal,
    red,
    rtcp,
    vp8,
)
from stack.rtp.demultiplexer import MAX_SSRCS
from stack.rtp.jitter_buffer import MAX_BYTES, MAX_PACKETS
from stack.rtp.nack import MAX_MISSING
from stack.rtp.payload import payload_format
from stack.testing import seeded_random_bytes

EXTENSIONS = ExtensionMap({MID: 1, ABS_SEND_TIME: 2, TRANSPORT_CC: 3})
FRAME = b"\0\0\0\1\x67\x42\0\0\0\1\x68\xce\0\0\0\1\x65" + b"x" * 3000


def require(condition, message):
    """Raise unless the invariant holds."""
    if not condition:
        raise RuntimeError(message)


def datagrams_in(data):
    """Cut the input into datagrams, each behind one octet of length: machines are fed more than one."""
    at = 0
    while at < len(data):
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]


def check_packet(data):
    """A packet parses or raises ParseError; what parsed and is written again parses to the same."""
    try:
        packet = Packet.parse(data)
    except ParseError:
        return
    require(Packet.parse(packet.serialize()) == packet, "round trip")
    require(len(packet.payload) + packet.padding <= len(data) - 12, "more payload than there was")


def comparable(packets):
    """The same packets, with what NACKs name as a set: it may be said twice, and in several orders."""
    return [
        (packet.sender_ssrc, packet.media_ssrc, set(packet.sequence_numbers)) if isinstance(packet, Nack) else packet
        for packet in packets
    ]


def check_rtcp(data):
    """A compound parses or raises ParseError; what parsed and is written again parses to the same."""
    try:
        packets = rtcp.parse(data)
    except ParseError:
        return
    again = rtcp.parse(rtcp.serialize(packets))
    require(comparable(again) == comparable(packets), "round trip")


def check_h264(data):
    """Payloads make an access unit or raise ParseError; an access unit goes there and back, or is refused."""
    payloads = list(datagrams_in(data))
    for payload in payloads:
        h264.begins_keyframe(payload)
    try:
        frame = h264.depacketize(payloads)
    except ParseError:
        frame = data
    h264.is_keyframe(frame)
    units = nal.split_nal_units(frame)
    try:
        again = h264.depacketize(h264.packetize(frame, 50))
    except LocalError:
        require(not units or any(not 1 <= unit[0] & 0x1F <= 23 for unit in units), "refused without a reason")
        return
    require(nal.split_nal_units(again) == units, "round trip")


def check_vp8(data):
    """Payloads make a frame or raise ParseError; any frame but the empty one goes there and back."""
    with contextlib.suppress(ParseError):
        vp8.depacketize(list(datagrams_in(data)))
    vp8.begins_keyframe(data)
    if data:
        require(vp8.depacketize(vp8.packetize(data, 20, 7)) == data, "round trip")


def check_extensions(data):
    """Elements parse or raise ParseError, as do their values; what parsed and is written again parses to the same."""
    for profile in (0xBEDE, 0x1000, 0x1234):
        try:
            found = extensions.parse_extensions(profile, data, 0, len(data))
        except ParseError:
            continue
        written = extensions.serialize_extensions(found)
        if written:
            again = extensions.parse_extensions(int.from_bytes(written[:2], "big"), written, 4, len(written))
            require(again == found, "round trip")
    for unpack in (
        extensions.unpack_text,
        extensions.unpack_audio_level,
        extensions.unpack_abs_send_time,
        extensions.unpack_transport_cc,
        extensions.unpack_playout_delay,
        extensions.unpack_video_orientation,
        extensions.unpack_abs_capture_time,
    ):
        with contextlib.suppress(ParseError):
            unpack(data)


def check_format(format_):
    """Make the target of one payload format."""

    def check(data):
        """Payloads make a frame or raise ParseError; a frame goes there and back, or is refused."""
        payloads = list(datagrams_in(data))
        for payload in payloads:
            format_.begins_keyframe(payload)
        try:
            frame = format_.depacketize(payloads)
        except ParseError:
            frame = data
        format_.is_keyframe(frame)
        try:
            sent = format_.packetize(frame, 50, 3)
        except LocalError:
            return
        again = format_.depacketize(sent)
        if format_.mime == "video/h265":
            require(nal.split_nal_units(again) == nal.split_nal_units(frame), "round trip")
        else:
            # AV1 leaves out what need not be sent: then it is the second trip that changes nothing.
            frame = again if format_.mime == "video/av1" else frame
            require(format_.depacketize(format_.packetize(frame, 60, 4)) == frame, "round trip")

    return check


def check_audio(data):
    """Small audio payloads parse or raise ParseError, and are written as they were read."""
    with contextlib.suppress(ParseError):
        require(audio.TelephoneEvent.parse(data).serialize()[2:] == data[2:4], "duration of an event")
    with contextlib.suppress(ParseError):
        require(audio.ComfortNoise.parse(data).serialize()[1:] == data[1:], "comfort noise")


def drive(machine, data, prepare=()):
    """Feed datagrams, drain and run timers; the laws of machines that hold whatever comes."""
    now = 1000.0
    for datagram in itertools.chain(prepare, datagrams_in(data)):
        now += 0.02
        machine.receive_datagram(datagram, now)
        due = machine.next_timer()
        if due is not None and due <= now:
            machine.handle_timer(now)
            after = machine.next_timer()
            require(after is None or after > now, "a timer that is always due")
        yield machine.datagrams_to_send(now)
        require(machine.datagrams_to_send(now) == [], "a second drain is not empty")
    machine.close(now)
    yield machine.datagrams_to_send(now)
    require(machine.next_timer() is None, "a timer after the end")


def make_sender():
    """A sender with everything negotiated."""
    counter = itertools.count()
    return Sender(
        ssrc=1,
        payload_type=102,
        clock_rate=90000,
        mime="video/H264",
        cname="s",
        random_bytes=seeded_random_bytes(1),
        mid="0",
        extension_map=EXTENSIONS,
        rtx_ssrc=2,
        rtx_payload_type=103,
        next_transport_sequence=lambda: next(counter),
    )


def check_sender(data):
    """A sender survives any RTCP; it sends only what it would have sent to anybody: well-formed packets."""
    sender = make_sender()
    sender.send_frame(FRAME, 0, 1000.0)
    sender.datagrams_to_send(1000.0)
    for out in drive(sender, data):
        for datagram in out:
            if is_rtcp(datagram):
                rtcp.parse(datagram)
            else:
                require(Packet.parse(datagram).ssrc in {1, 2}, "a packet of a stranger's stream")


def check_receiver(data):
    """A receiver survives any RTP and RTCP, keeps its limits, and writes well-formed RTCP; frames are never empty."""
    receiver = Receiver(
        local_ssrc=9,
        codecs={102: ("video/H264", 90000), 104: ("video/VP8", 90000)},
        rtx={103: 102},
        extension_map=EXTENSIONS,
        random_bytes=seeded_random_bytes(2),
        cname="r",
        nack=True,
        pli=True,
        remb=True,
    )
    sender = make_sender()
    sender.send_frame(FRAME, 0, 1000.0)
    for out in drive(receiver, data, sender.datagrams_to_send(1000.0)):
        for datagram in out:
            rtcp.parse(datagram)
        require(len(receiver._buffer) <= MAX_PACKETS and receiver._buffer._bytes <= MAX_BYTES, "jitter buffer")
        require(len(receiver._missing) <= MAX_MISSING, "missing packets")
        require(
            sum(len(packet.payload) for packet, _ in receiver._buffer._packets.values()) == receiver._buffer._bytes,
            "octets in the jitter buffer",
        )
        while (event := receiver.next_event()) is not None:
            require(not isinstance(event, FrameReceived) or event.data, "an empty frame")


def check_transport_feedback(data):
    """A generator survives any RTP and writes well-formed feedback."""
    for out in drive(TransportFeedbackGenerator(ssrc=9, extension_id=3), data):
        for datagram in out:
            require(len(datagram) < 1200, "feedback larger than a datagram")
            rtcp.parse(datagram)


def check_congestion_feedback(data):
    """A generator survives any RTP and writes well-formed reports of one datagram each."""
    for out in drive(CongestionFeedbackGenerator(ssrc=9), data):
        for datagram in out:
            require(len(datagram) < 1200, "a report larger than a datagram")
            rtcp.parse(datagram)


def check_red(data):
    """A redundant payload parses or raises ParseError; what parsed and is written again parses to the same."""
    try:
        blocks = red.parse(data)
    except ParseError:
        return
    with contextlib.suppress(LocalError):  # an offset of 0 is read, but not written
        require(red.parse(red.serialize(blocks)) == blocks, "round trip")


def check_flexfec(data):
    """Repair packets parse or raise ParseError; what is recovered was missing; the tables keep their bounds."""
    for browser in (False, True):
        decoder = flexfec.FecDecoder(browser=browser)
        for number in range(4):
            decoder.receive_source(Packet(96, False, number, 7, 1, payload=bytes((number,)) * number).serialize())
        for payload in datagrams_in(data):
            known = set(decoder._sources)
            with contextlib.suppress(ParseError):
                for found in decoder.receive_repair(payload, [1]):
                    require(found[0] >> 6 == 2 and len(found) >= 12, "not an RTP packet")
                    name = (int.from_bytes(found[8:12], "big"), int.from_bytes(found[2:4], "big"))
                    require(name not in known, "recovered what was not lost")
        require(len(decoder._sources) <= flexfec.MAX_SOURCES, "too many packets kept")
        require(len(decoder._repairs) <= flexfec.MAX_REPAIRS, "too many repair packets wait")


def check_repaired_receiver(data):
    """A receiver of redundant audio with forward error correction survives any RTP; frames come in order."""
    receiver = Receiver(
        local_ssrc=9,
        codecs={111: ("audio/opus", 48000)},
        random_bytes=seeded_random_bytes(2),
        cname="r",
        red=[63],
        fec_payload_type=49,
        rrtr=True,
        smoothing=(0.0, 0.2),
    )
    for out in drive(receiver, data):
        for datagram in out:
            rtcp.parse(datagram)
        while (event := receiver.next_event()) is not None:
            require(not isinstance(event, FrameReceived) or event.data, "an empty frame")
    receiver.statistics()


def check_demultiplexer(data):
    """Any datagram has one destination that was added, or is counted; the table keeps its bound."""
    found = Demultiplexer(ExtensionMap({MID: 1, RID: 4, REPAIRED_RID: 5}))
    found.add("a", mid="0", payload_types=[96, 97])
    found.add("b", mid="1", payload_types=[97], rids=["q", "f"], ssrcs=[1])
    for datagram in datagrams_in(data):
        before = found.dropped.total() - found.dropped["ssrcs-full"]
        destination = found.destination(datagram)
        dropped = found.dropped.total() - found.dropped["ssrcs-full"] - before
        require((destination is None) == (dropped == 1), "neither routed nor counted")
        require(destination is None or destination.rid in {None, "q", "f"}, "an encoding that was not added")
    require(len(found) <= MAX_SSRCS, "too many SSRCs")


TARGETS = {
    "rtp-packet": check_packet,
    "rtp-extensions": check_extensions,
    "rtp-rtcp": check_rtcp,
    "rtp-h264": check_h264,
    "rtp-vp8": check_vp8,
    "rtp-vp9": check_format(payload_format("video/VP9")),
    "rtp-av1": check_format(payload_format("video/AV1")),
    "rtp-h265": check_format(payload_format("video/H265")),
    "rtp-audio": check_audio,
    "rtp-demultiplexer": check_demultiplexer,
    "rtp-red": check_red,
    "rtp-flexfec": check_flexfec,
    "rtp-repaired-receiver": check_repaired_receiver,
    "rtp-sender": check_sender,
    "rtp-receiver": check_receiver,
    "rtp-transport-feedback": check_transport_feedback,
    "rtp-congestion-feedback": check_congestion_feedback,
}
