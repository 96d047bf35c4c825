"""W3C WebRTC sections 5.1 to 5.4: tracks, senders and transceivers.

Sections are those of https://www.w3.org/TR/webrtc/ of 2024.
"""

import asyncio
import dataclasses

import pytest

from stack import (
    EncodedAudioTrack,
    EncodedFrame,
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    RTCRtpEncodingParameters,
    RTCRtpSender,
)

from .support import Camera, negotiate

pytestmark = pytest.mark.timeout(30)


class Microphone(EncodedAudioTrack):
    async def recv(self):
        await asyncio.sleep(0.02)
        return EncodedFrame(bytes(20), 0)


class TestTracks:
    """Section 5.1 to 5.4, RTCPeerConnection's extensions for media and transceivers."""

    async def test_add_track_takes_a_transceiver_that_never_sent(self, pair):
        a, _ = pair
        transceiver = a.addTransceiver("video", "recvonly")
        camera = Camera()
        assert a.addTrack(camera, "left") is transceiver.sender
        assert transceiver.direction == "sendrecv"
        assert f"a=msid:left {camera.id}" in (await a.createOffer()).sdp
        with pytest.raises(InvalidAccessError, match="already"):
            a.addTrack(camera)
        assert a.addTrack(Camera()) is not transceiver.sender

    async def test_tracks_of_one_stream(self, pair):
        a, b = pair

        class Stream:
            id = "eyes-and-ears"

        a.addTrack(Camera(), Stream())
        a.addTransceiver(Microphone(), streams=[Stream()])
        assert len(a.getSenders()) == 2
        await negotiate(a, b)
        assert b.remoteDescription.sdp.count("a=msid:eyes-and-ears ") == 2
        assert [receiver.streams for receiver in b.getReceivers()] == [("eyes-and-ears",)] * 2

    async def test_a_track_of_several_streams(self, pair):
        a, b = pair
        sender, told = a.addTrack(Camera(), "left", "right", "left"), []
        await negotiate(a, b)
        (receiver,) = b.getReceivers()
        assert receiver.streams == ("left", "right")
        a.on("negotiationneeded", lambda: told.append(1))
        sender.setStreams("right", "left")
        await asyncio.sleep(0.05)
        assert told == [1]
        sender.setStreams("third")
        await negotiate(a, b)
        assert receiver.streams == ("third",)
        sender.setStreams()
        await negotiate(a, b)
        assert len(receiver.streams) == 1
        assert receiver.streams != ("third",)
        for ids in (["a b"], [""], ["a\r\nb"], ["x" * 256], [str(number) for number in range(17)]):
            with pytest.raises(TypeError, match="stream"):
                sender.setStreams(*ids)
            with pytest.raises(TypeError, match="stream"):
                a.addTrack(Camera(), *ids)
            with pytest.raises(TypeError, match="stream"):
                a.addTransceiver("video", streams=ids)
        assert len(a.getTransceivers()) == 1

    async def test_add_transceiver_and_its_init(self, pair):
        a, _ = pair
        transceiver = a.addTransceiver(
            "video", direction="sendonly", sendEncodings=[RTCRtpEncodingParameters(maxBitrate=300_000)]
        )
        assert transceiver.direction == "sendonly"
        assert transceiver.currentDirection is transceiver.mid is None
        assert transceiver.sender.getParameters().encodings[0].maxBitrate == 300_000
        two = [RTCRtpEncodingParameters(), RTCRtpEncodingParameters()]
        small = [RTCRtpEncodingParameters(scaleResolutionDownBy=0.5)]
        for arguments, options, error, words in (
            (["sound"], {}, TypeError, "kind"),
            (["video", "sideways"], {}, TypeError, "direction"),
            (["video"], {"sendEncodings": two}, TypeError, "rid"),
            (["video"], {"sendEncodings": small}, InvalidAccessError, "scaleResolutionDownBy"),
        ):
            with pytest.raises(error, match=words):
                a.addTransceiver(*arguments, **options)
        assert a.getTransceivers() == [transceiver]
        with pytest.raises(TypeError, match="direction"):
            transceiver.direction = "stopped"

    async def test_remove_track_twice_and_of_what_has_stopped(self, pair):
        a, b = pair
        sender = a.addTrack(Camera())
        a.removeTrack(sender)
        a.removeTrack(sender)
        assert sender.track is None
        assert a.getTransceivers()[0].direction == "recvonly"
        a.getTransceivers()[0].stop()
        a.removeTrack(sender)
        with pytest.raises(InvalidAccessError):
            b.removeTrack(sender)

    async def test_replace_track(self, pair):
        a, b = pair
        sender, tracks = a.addTrack(Camera()), []
        b.on("track", tracks.append)
        await negotiate(a, b)
        await tracks[0].recv_encoded()
        told = []
        a.on("negotiationneeded", lambda: told.append(1))
        await sender.replaceTrack(None)
        assert [e for e in (await a.getStats()).values() if e["type"] == "media-source"] == []
        assert "mediaSourceId" not in next(e for e in (await a.getStats()).values() if e["type"] == "outbound-rtp")
        await sender.replaceTrack(Camera())
        await tracks[0].recv_encoded()
        assert told == []
        (source,) = (e for e in (await a.getStats()).values() if e["type"] == "media-source")
        assert source["trackIdentifier"] == sender.track.id
        with pytest.raises(TypeError, match="video"):
            await sender.replaceTrack(Microphone())
        assert sender.track.kind == "video"
        a.getTransceivers()[0].stop()
        with pytest.raises(InvalidStateError, match="ended"):
            await sender.replaceTrack(None)

    async def test_parameters_that_are_read_only(self, pair):
        a, b = pair
        sender = a.addTrack(Camera())
        await negotiate(a, b)
        parameters = sender.getParameters()
        parameters.codecs = parameters.codecs[1:]
        with pytest.raises(InvalidModificationError, match="read only"):
            await sender.setParameters(parameters)
        parameters = sender.getParameters()
        a.getTransceivers()[0].stop()
        with pytest.raises(InvalidStateError, match="ended"):
            await sender.setParameters(parameters)

    async def test_codec_preferences(self, pair):
        a, _ = pair
        transceiver = a.addTransceiver("video")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([codecs[-1]])
        offer = (await a.createOffer()).sdp
        assert codecs[-1].mimeType.partition("/")[2] in offer
        assert codecs[0].mimeType.partition("/")[2] not in offer
        transceiver.setCodecPreferences([])
        assert codecs[0].mimeType.partition("/")[2] in (await a.createOffer()).sdp
        for wrong in (
            RTCRtpSender.getCapabilities("audio").codecs[0],
            dataclasses.replace(codecs[0], mimeType="video/none"),
        ):
            with pytest.raises(InvalidModificationError, match="capabilities"):
                transceiver.setCodecPreferences([wrong])

    async def test_a_transceiver_that_stops(self, pair):
        a, b = pair
        transceiver = a.addTransceiver(Camera())
        await negotiate(a, b)
        transceiver.stop()
        transceiver.stop()
        assert transceiver.direction == "stopped"
        assert not transceiver.stopped
        with pytest.raises(InvalidStateError):
            transceiver.direction = "sendrecv"
        await negotiate(a, b)
        assert transceiver.stopped
        assert transceiver.currentDirection == "stopped"
        assert a.getTransceivers() == b.getTransceivers() == []
