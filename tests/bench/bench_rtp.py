"""An encoded stream on its way: 2.5 Mbit/s of H.264 at 30 frames per second, without the encoder.

Sending is packetize, protect and send over the loopback; receiving is unprotect, parse and reassemble. Ours goes
through `rtp.Sender`, `srtp.Sender` and `aio.udp.UdpSocket`, the peer through its `RTCRtpSender` above a transport that
protects and sends, and what its `RTCRtpReceiver` does for every packet, less the coroutines. Both have MID and absolute
send time in every packet.
"""

import asyncio
import contextlib
import random
import socket
import time

from aiortc import clock
from aiortc.codecs.h264 import H264Encoder, H264PayloadDescriptor
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
    RTCRtpSendParameters,
)
from aiortc.rtcrtpreceiver import NackGenerator, StreamStatistics
from aiortc.rtcrtpsender import RTCEncodedFrame, RTCRtpSender
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, is_rtcp
from pylibsrtp import Policy, Session

from stack import rtp, srtp
from stack.aio.udp import UdpSocket
from stack.core import Address, Datagram
from stack.rtp.payload import payload_format

from .registry import Metric, benchmark

PEER = "aiortc"
FRAME_RATE = 30
BITRATE = 2_500_000
PROFILE = 0x0007  # AEAD_AES_128_GCM, which both prefer
KEY, SALT = bytes(range(16)), bytes(range(100, 112))
EXTENSIONS = {rtp.MID: 1, rtp.ABS_SEND_TIME: 2}
FAN_OUT = 40  # peers in the measured process: enough that their state does not stay in a cache


def access_units(count):
    """A keyframe of five frames' size every ten seconds, and what is left of the bit rate for the others."""
    rng = random.Random(1)
    mean = BITRATE // 8 // FRAME_RATE
    units = []
    for number in range(count):
        key = number % (10 * FRAME_RATE) == 0
        body = rng.randbytes(mean * 5 if key else int(mean * rng.uniform(0.8, 1.2))).replace(b"\0", b"\1")
        sets = b"\0\0\0\1\x67\x42\xe0\x1f\x95\xa0\x28\0\0\0\1\x68\xce\x3c\x80" if key else b""
        units.append(sets + b"\0\0\0\1" + (b"\x65" if key else b"\x41") + body)
    return units


class NoLoop:
    """As much of an event loop as a socket that only sends needs."""

    def add_reader(self, *_):
        """Nothing is read."""

    add_writer = remove_reader = remove_writer = add_reader


class Sink:
    """A socket that is read, outside of what is measured, before it is full."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()

    def drain(self):
        """Read everything."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65536)


def new_sender(index=0):
    return rtp.Sender(
        ssrc=1 + index,
        payload_type=102,
        clock_rate=90000,
        mime="video/H264",
        cname="bench",
        random_bytes=random.Random(index).randbytes,
        mid="0",
        extension_map=rtp.ExtensionMap(EXTENSIONS),
        rtx_ssrc=10_000 + index,
        rtx_payload_type=103,
    )


def aiortc_extensions():
    return [RTCRtpHeaderExtensionParameters(id=number, uri=uri) for uri, number in EXTENSIONS.items()]


class AiortcTransport:
    """What `RTCRtpSender` wants of its transport: `RTCDtlsTransport` without DTLS and ICE."""

    state = "connected"

    def __init__(self, sink):
        self._session = Session(aiortc_policy(Policy.SSRC_ANY_OUTBOUND))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = sink.address

    def _register_rtp_sender(self, sender, parameters):
        """Nothing is routed."""

    def _unregister_rtp_sender(self, sender):
        """Nothing is routed."""

    async def _send_rtp(self, data):
        protect = self._session.protect_rtcp if is_rtcp(data) else self._session.protect
        self._socket.sendto(protect(data), self._address)

    def close(self):
        """Close the socket."""
        self._socket.close()


class AiortcSender(RTCRtpSender):
    """Gets its frames from a list of access units, and tells when they are all sent."""

    def __init__(self, transport, units, sink):
        super().__init__("video", transport)
        self._units = enumerate(units)
        self._sink = sink
        self._began = None
        self.spent = 0.0
        self.done = asyncio.Event()
        self._RTCRtpSender__track = object()  # that there is one is all that is asked

    async def _next_encoded_frame(self, codec):
        if self._began is not None:
            self.spent += time.process_time() - self._began
        self._sink.drain()
        number, unit = next(self._units, (0, None))
        if unit is None:
            self._RTCRtpSender__track = None
            self.done.set()
            return None
        self._began = time.process_time()
        return RTCEncodedFrame(H264Encoder._packetize(H264Encoder._split_bitstream(unit)), number * 3000, None)


def aiortc_policy(direction):
    return Policy(key=KEY + SALT, ssrc_type=direction, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)


async def send_by_aiortc(sink, units):
    """Return the seconds of a processor that `RTCRtpSender` takes to send them all."""
    transport = AiortcTransport(sink)
    sender = AiortcSender(transport, units, sink)
    codec = RTCRtpCodecParameters(mimeType="video/H264", clockRate=90000, payloadType=102)
    await sender.send(RTCRtpSendParameters(codecs=[codec], headerExtensions=aiortc_extensions(), muxId="0"))
    await sender.done.wait()
    await sender.stop()
    transport.close()
    return sender.spent


def send_by_us(sink, units):
    """Return the seconds of a processor that this stack takes to send them all."""
    sender, sealer = new_sender(), srtp.Sender(PROFILE, KEY, SALT)
    udp = UdpSocket("127.0.0.1", NoLoop(), lambda batch: None)
    remote, local = Address(*sink.address), udp.address
    protect = sealer.protect
    spent = 0.0
    for number, unit in enumerate(units):
        begin = time.process_time()
        now = 1000.0 + number / FRAME_RATE
        sender.send_frame(unit, number * 3000, now)
        udp.send(
            [
                Datagram(sealer.protect_rtcp(data) if rtp.is_rtcp(data) else protect(data), remote, local)
                for data in sender.datagrams_to_send(now)
            ]
        )
        spent += time.process_time() - begin
        sink.drain()
    udp.close()
    return spent


@benchmark(Metric("rtp-send-cpu", "CPU s/s", "lower"), peer=PEER)
async def send_cpu(side, quick):
    """Seconds of a processor that one second of the stream takes to send."""
    sink = Sink()
    units = access_units(60 if quick else 600)
    spent = send_by_us(sink, units) if side == "ours" else await send_by_aiortc(sink, units)
    sink.socket.close()
    return {"rtp-send-cpu": spent / (len(units) / FRAME_RATE)}


def sealed_stream(count):
    """The stream, frame by frame, as it comes from the network."""
    sender, sealer = new_sender(), srtp.Sender(PROFILE, KEY, SALT)
    frames = []
    for number, unit in enumerate(access_units(count)):
        now = 1000.0 + number / FRAME_RATE
        sender.send_frame(unit, number * 3000, now)
        frames.append([sealer.protect(data) for data in sender.datagrams_to_send(now) if not rtp.is_rtcp(data)])
    return frames


def receive_ours():
    """(a function that takes the packets of one frame and returns how many frames are whole)."""
    opener = srtp.Receiver(PROFILE, KEY, SALT)
    receiver = rtp.Receiver(
        local_ssrc=9,
        codecs={102: ("video/H264", 90000)},
        rtx={103: 102},
        extension_map=rtp.ExtensionMap(EXTENSIONS),
        random_bytes=random.Random(1).randbytes,
        cname="bench",
        nack=True,
        pli=True,
    )
    unprotect = opener.unprotect

    def receive(packets, now):
        for packet in packets:
            receiver.receive_datagram(unprotect(packet), now)
        frames = 0
        while receiver.next_event() is not None:
            frames += 1
        return frames

    return receive


def receive_aiortc():
    """The same as `RTCRtpReceiver._handle_rtp_packet` does it."""
    session = Session(aiortc_policy(Policy.SSRC_ANY_INBOUND))
    extensions, statistics = HeaderExtensionsMap(), StreamStatistics(90000)
    extensions.configure(RTCRtpParameters(headerExtensions=aiortc_extensions()))
    nacks, buffer = NackGenerator(), JitterBuffer(capacity=128, is_video=True)

    def receive(packets, _now):
        frames = 0
        for data in packets:
            packet = RtpPacket.parse(session.unprotect(data), extensions)
            clock.current_datetime()
            statistics.add(packet)
            nacks.add(packet)
            packet._data = H264PayloadDescriptor.parse(packet.payload)[1]
            _, frame = buffer.add(packet)
            frames += frame is not None
        return frames

    return receive


@benchmark(Metric("rtp-receive-cpu", "CPU s/s", "lower"), peer=PEER)
def receive_cpu(side, quick):
    """Seconds of a processor that one second of the stream takes from SRTP packets to whole frames."""
    frames = sealed_stream(60 if quick else 600)
    receive = receive_ours() if side == "ours" else receive_aiortc()
    begin = time.process_time()
    whole = sum(receive(packets, 1000.0 + number / FRAME_RATE) for number, packets in enumerate(frames))
    spent = time.process_time() - begin
    if whole < len(frames) - 2:
        raise RuntimeError(f"{whole} of {len(frames)} frames came out")
    return {"rtp-receive-cpu": spent / (len(frames) / FRAME_RATE)}


@benchmark(Metric("rtp-fan-out", "streams/core", "higher"))
def fan_out(_side, quick):
    """How many peers one processor can send the stream to: packetized once, protected and sent for each."""
    sink = Sink()
    udp = UdpSocket("127.0.0.1", NoLoop(), lambda batch: None)
    remote, local = Address(*sink.address), udp.address
    peers = [(new_sender(index), srtp.Sender(PROFILE, KEY, SALT)) for index in range(FAN_OUT)]
    packetize = payload_format("video/H264").packetize
    units = access_units(15 if quick else 120)
    spent = 0.0
    for number, unit in enumerate(units):
        now = 1000.0 + number / FRAME_RATE
        begin = time.process_time()
        payloads = packetize(unit, 1100)
        for sender, sealer in peers:
            sender.send_payloads(payloads, number * 3000, now, keyframe=number == 0)
            protect = sealer.protect
            udp.send(
                [
                    Datagram(sealer.protect_rtcp(data) if rtp.is_rtcp(data) else protect(data), remote, local)
                    for data in sender.datagrams_to_send(now)
                ]
            )
        spent += time.process_time() - begin
        sink.drain()
    udp.close()
    sink.socket.close()
    return {"rtp-fan-out": FAN_OUT / (spent / (len(units) / FRAME_RATE))}
