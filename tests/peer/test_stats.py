"""Statistics under W3C's names (webrtc-stats), and that both ends count the same."""

import time

import pytest

from stack import peer
from stack.testing import Conditions

from .support import Call

KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(4000)
DELTA_FRAME = b"\x11\x02\x00" + bytes(4000)
STAMP = 1_700_000_000_000.0


@pytest.fixture(scope="module")
def call():
    call = Call(Conditions(delay=0.05, loss=0.02), seed=2)
    channel = call.a.create_data_channel("x", call.now, protocol="y")
    video = call.a.add_track("video")
    assert call.connect()
    assert call.link.run(lambda: channel.state == "open")
    for number in range(120):
        data = DELTA_FRAME if number % 60 else KEYFRAME
        call.a.send_frame(video, data, number * 3000, call.now, keyframe=data is KEYFRAME)
        call.a.send(channel, "é" * 10, call.now)
        call.link.run(seconds=1 / 30)
    call.link.run(seconds=3)
    return call


def of_type(report, kind):
    return [entry for entry in report.values() if entry["type"] == kind]


def only(report, kind):
    (entry,) = of_type(report, kind)
    return entry


def test_every_reference_leads_somewhere(call):
    for pc in (call.a, call.b):
        report = pc.statistics(STAMP)
        for identifier, entry in report.items():
            assert entry["id"] == identifier
            assert entry["timestamp"] == STAMP
            for name, value in entry.items():
                if name.endswith("Id") and isinstance(value, str):
                    assert value in report, f"{entry['type']}.{name}"


def test_the_transport(call):
    ours, theirs = (only(pc.statistics(STAMP), "transport") for pc in (call.a, call.b))
    assert ours["dtlsState"] == theirs["dtlsState"] == "connected"
    assert {ours["dtlsRole"], theirs["dtlsRole"]} == {"client", "server"}
    assert {ours["iceRole"], theirs["iceRole"]} == {"controlling", "controlled"}
    assert ours["tlsVersion"] == "FEFD"
    assert ours["dtlsCipher"] == theirs["dtlsCipher"] == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    assert ours["srtpCipher"] == theirs["srtpCipher"] == "SRTP_AEAD_AES_128_GCM"
    assert ours["packetsSent"] > theirs["packetsReceived"] > 0.9 * ours["packetsSent"]
    assert ours["bytesSent"] > theirs["bytesReceived"] > 0.9 * ours["bytesSent"]
    assert ours["selectedCandidatePairChanges"] >= 1


def test_each_end_has_the_certificate_of_the_other(call):
    reports = [pc.statistics(STAMP) for pc in (call.a, call.b)]
    transports = [only(report, "transport") for report in reports]
    for this, other in ((0, 1), (1, 0)):
        local = reports[this][transports[this]["localCertificateId"]]
        remote = reports[other][transports[other]["remoteCertificateId"]]
        assert local["fingerprintAlgorithm"] == "sha-256"
        assert (local["fingerprint"], local["base64Certificate"]) == (
            remote["fingerprint"],
            remote["base64Certificate"],
        )


def test_the_selected_pair(call):
    report = call.a.statistics(STAMP)
    pair = report[only(report, "transport")["selectedCandidatePairId"]]
    assert pair["state"] == "succeeded"
    assert pair["nominated"] is True
    assert pair["currentRoundTripTime"] == pytest.approx(0.1, abs=0.02)
    assert pair["availableOutgoingBitrate"] > 100_000
    local, remote = report[pair["localCandidateId"]], report[pair["remoteCandidateId"]]
    assert (local["type"], local["candidateType"], local["protocol"]) == ("local-candidate", "host", "udp")
    assert (remote["type"], remote["address"], remote["port"]) == ("remote-candidate", "10.0.0.2", 2222)


def test_streams(call):
    a, b = call.a.statistics(STAMP), call.b.statistics(STAMP)
    outbound, inbound = only(a, "outbound-rtp"), only(b, "inbound-rtp")
    assert outbound["ssrc"] == inbound["ssrc"]
    assert outbound["mid"] == inbound["mid"] == "0"
    assert (outbound["framesSent"], outbound["keyFramesEncoded"]) == (120, 2)
    assert inbound["framesReceived"] + inbound["framesDropped"] <= 120
    assert inbound["framesReceived"] > 115
    assert outbound["retransmittedPacketsSent"] > 0
    assert inbound["nackCount"] > 0
    assert outbound["nackCount"] > 0
    assert 0 < inbound["packetsReceived"] <= outbound["packetsSent"]
    assert 0 < inbound["bytesReceived"] <= outbound["bytesSent"]
    assert 12 * inbound["packetsReceived"] < inbound["headerBytesReceived"] <= outbound["headerBytesSent"]
    assert STAMP - 10_000 < inbound["lastPacketReceivedTimestamp"] <= STAMP
    assert inbound["trackIdentifier"] == a[outbound["mediaSourceId"]]["trackIdentifier"]
    for report, stream in ((a, outbound), (b, inbound)):
        codec = report[stream["codecId"]]
        assert (codec["mimeType"], codec["clockRate"]) == ("video/VP8", 90000)


def test_without_loss_both_ends_count_every_octet():
    call = Call(Conditions(delay=0.05, reorder=0.1), seed=2)
    video = call.a.add_track("video")
    assert call.connect()
    for number in range(60):
        call.a.send_frame(video, DELTA_FRAME if number else KEYFRAME, number * 3000, call.now, keyframe=not number)
        call.link.run(seconds=1 / 30)
    call.link.run(seconds=1)
    sent, received = only(call.a.statistics(STAMP), "outbound-rtp"), only(call.b.statistics(STAMP), "inbound-rtp")
    assert received["framesReceived"] == 60
    assert received["retransmittedPacketsReceived"] > 0  # padding of probes at least
    for member in ("packets", "bytes", "headerBytes"):
        assert sent[f"{member}Sent"] == received[f"{member}Received"]


def test_what_the_other_end_says_of_a_stream(call):
    a, b = call.a.statistics(STAMP), call.b.statistics(STAMP)
    remote_inbound, remote_outbound = only(a, "remote-inbound-rtp"), only(b, "remote-outbound-rtp")
    assert remote_inbound["roundTripTime"] == pytest.approx(0.1, abs=0.03)
    assert remote_inbound["roundTripTimeMeasurements"] >= 1
    assert a[remote_inbound["localId"]]["remoteId"] == remote_inbound["id"]
    assert b[remote_outbound["localId"]]["remoteId"] == remote_outbound["id"]
    assert 0 < remote_outbound["packetsSent"] <= only(a, "outbound-rtp")["packetsSent"]


def test_channels(call):
    a, b = only(call.a.statistics(STAMP), "data-channel"), only(call.b.statistics(STAMP), "data-channel")
    assert (a["label"], a["protocol"], a["state"]) == (b["label"], b["protocol"], b["state"]) == ("x", "y", "open")
    assert a["messagesSent"] == b["messagesReceived"] == 120
    assert a["bytesSent"] == b["bytesReceived"] == 120 * 20
    connection = only(call.a.statistics(STAMP), "peer-connection")
    assert (connection["dataChannelsOpened"], connection["dataChannelsClosed"]) == (1, 0)


def test_a_connection_that_has_done_nothing_has_little_to_say():
    report = Call().a.statistics(STAMP)
    assert {entry["type"] for entry in report.values()} == {"peer-connection", "transport", "certificate"}
    assert only(report, "transport")["dtlsState"] == "new"
    assert "selectedCandidatePairId" not in only(report, "transport")


def test_ten_tracks_cost_less_than_a_millisecond():
    call = Call()
    for number in range(10):
        call.a.add_track("video" if number % 2 else "audio")
    assert call.connect()
    best = min(_timed(lambda: call.a.statistics(STAMP)) for _ in range(50))
    assert best < 1e-3
    assert len(of_type(call.a.statistics(STAMP), "outbound-rtp")) == 10


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_closed_connections_still_tell(call):
    other = Call()
    other.a.create_data_channel("x", other.now)
    assert other.connect()
    other.a.close(other.now)
    other.link.drain()
    assert only(other.a.statistics(STAMP), "transport")["packetsSent"] > 0
    assert isinstance(other.link.events[0][-1], peer.Closed)
