"""Whole connections in virtual time: how long they take, what they carry, how they end."""

import dataclasses

import pytest

from stack import datachannel, peer
from stack.core import Datagram
from stack.ice import Config as IceConfig
from stack.peer.configuration import Configuration
from stack.testing import Conditions

from .support import A, B, Call

KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(4000)
DELTA_FRAME = b"\x11\x02\x00" + bytes(4000)
RTT = 0.1


def call_with_channel(**options):
    call = Call(**options)
    call.channel = call.a.create_data_channel("test", call.now)
    return call


def test_set_up_takes_three_round_trips_and_one_more_for_the_channel():
    """ICE takes one (RFC 8445), DTLS 1.2 two (RFC 6347 figure 1), SCTP's four-way handshake the rest."""
    call = call_with_channel(conditions=Conditions(delay=RTT / 2))
    start = call.now
    assert call.connect()
    assert call.now - start <= 3 * RTT + 0.001
    assert call.link.run(lambda: call.channel.state == "open")
    assert call.now - start <= 5 * RTT + 0.001


@pytest.mark.parametrize("seed", range(20))
def test_it_connects_over_a_lossy_network(seed):
    call = call_with_channel(conditions=Conditions(delay=0.03, jitter=0.02, loss=0.1, duplicate=0.02), seed=seed)
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")
    messages = [bytes([n]) * (n * 300) for n in range(1, 30)]
    for message in messages:
        call.a.send(call.channel, message, call.now)
    assert call.link.run(lambda: len(call.reported(1, datachannel.MessageReceived)) == len(messages))
    assert [event.data for event in call.reported(1, datachannel.MessageReceived)] == messages


def test_states_are_reported_in_order():
    call = call_with_channel()
    assert call.connect()
    assert [e.state for e in call.reported(0, peer.ConnectionStateChanged)] == ["connecting", "connected"]
    assert [e.state for e in call.reported(0, peer.SignalingStateChanged)] == ["have-local-offer", "stable"]
    assert [e.state for e in call.reported(0, peer.IceGatheringStateChanged)] == ["gathering", "complete"]
    gathered = call.reported(0, peer.IceCandidateGathered)
    assert [e.candidate is None for e in gathered] == [False, True]
    assert gathered[0].candidate.host == A.host


def test_candidates_can_be_trickled_after_the_answer():
    call = Call()
    call.a.create_data_channel("test", call.now)
    call.a.set_local_description(None, call.now)
    call.b.set_remote_description(call.a.local_description, call.now)
    call.b.set_local_description(None, call.now)
    call.a.set_remote_description(call.b.local_description, call.now)
    call.link.run(seconds=0.5)
    assert call.a.connection_state == "new"
    for machine, other, address, side in ((call.a, call.b, A, 0), (call.b, call.a, B, 1)):
        machine.add_local_address(address, call.now)
        call.link.drain()
        found = call.reported(side, peer.IceCandidateGathered)[-1]
        other.add_remote_candidate(found.candidate.serialize(), call.now, ufrag=machine.session.ufrag)
        machine.end_local_addresses(call.now)
        other.add_remote_candidate(None, call.now)
    assert call.link.run(lambda: call.connected, seconds=5)


def test_a_candidate_of_another_generation_is_dropped():
    call = call_with_channel()
    call.negotiate()
    call.a.add_remote_candidate("candidate:1 1 udp 5 10.9.9.9 5 typ host", call.now, ufrag="other")
    assert call.a.dropped["candidate-of-another-generation"] == 1


def test_a_wrong_fingerprint_fails_the_connection_and_says_so():
    def forge(kind, sdp):
        if kind == "answer":
            at = sdp.index("a=fingerprint:sha-256 ") + 22
            return sdp[:at] + ("00" if sdp[at : at + 2] != "00" else "11") + sdp[at + 2 :]
        return sdp

    call = call_with_channel()
    call.negotiate(tamper=forge)
    assert call.link.run(lambda: call.a.connection_state == "failed", seconds=5)
    failed = call.reported(0, peer.ConnectionStateChanged)[-1]
    assert failed.error.reason == "fingerprint-mismatch"
    assert call.link.run(lambda: call.b.connection_state == "failed", seconds=5)


def test_without_any_path_it_fails_and_says_so():
    configuration = Configuration(ice=dataclasses.replace(IceConfig(), check_timeout=5.0, pac_timeout=5.0))
    call = call_with_channel(tamper=lambda sender, index, data: [], configuration=configuration)
    call.negotiate()
    assert call.link.run(lambda: call.a.connection_state == "failed", seconds=60)
    assert call.reported(0, peer.ConnectionStateChanged)[-1].error.layer == "ice"


def test_the_peer_hears_of_a_close_at_once():
    call = call_with_channel()
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")
    start = call.now
    call.a.close(call.now)
    assert call.link.run(lambda: call.b.connection_state == "closed", seconds=5)
    assert call.now - start < RTT
    assert len(call.reported(1, datachannel.ChannelClosed)) == 1
    assert isinstance(call.link.events[0][-1], peer.Closed)


def test_a_peer_that_vanishes_is_noticed():
    gone = []
    call = call_with_channel(tamper=lambda sender, index, data: [] if gone else [data])
    assert call.connect()
    gone.append(True)
    assert call.link.run(lambda: call.a.connection_state == "disconnected", seconds=20)
    assert call.link.run(lambda: call.a.connection_state == "failed", seconds=60)


def test_media_and_data_flow_side_by_side():
    call = call_with_channel()
    video = call.a.add_track("video")
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")
    call.a.send(call.channel, b"x" * 200_000, call.now)
    for number in range(30):
        assert call.a.send_frame(video, KEYFRAME, number * 3000, call.now, keyframe=True)
        call.link.run(seconds=1 / 30)
    call.link.run(seconds=1)
    frames = call.reported(1, peer.MediaReceived)
    assert [event.frame.data for event in frames] == [KEYFRAME] * 30
    assert [len(e.data) for e in call.reported(1, datachannel.MessageReceived)] == [200_000]


def test_lost_video_is_repaired_by_retransmission():
    call = call_with_channel(conditions=Conditions(delay=0.02, loss=0.03), seed=4)
    video = call.a.add_track("video")
    assert call.connect()
    for number in range(60):
        data = KEYFRAME if number == 0 else DELTA_FRAME
        call.a.send_frame(video, data, number * 3000, call.now, keyframe=number == 0)
        call.link.run(seconds=1 / 30)
    call.link.run(seconds=1)
    assert video.sender.stats.retransmitted > 0
    assert len(call.reported(1, peer.MediaReceived)) == 60


def test_a_key_frame_can_be_asked_for():
    call = call_with_channel()
    video = call.a.add_track("video")
    assert call.connect()
    call.a.send_frame(video, KEYFRAME, 0, call.now, keyframe=True)
    call.link.run(seconds=1)
    before = len(call.reported(0, peer.KeyframeRequested))
    call.b.transceivers[0].receiver.request_keyframe(call.now)
    call.link.run(seconds=1)
    assert len(call.reported(0, peer.KeyframeRequested)) == before + 1


def test_a_full_send_buffer_is_an_error_that_says_what_to_do():
    call = call_with_channel()
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")

    def fill():
        for _ in range(1000):
            call.a.send(call.channel, bytes(200_000), call.now)

    with pytest.raises(peer.OperationError, match="bufferedamountlow"):
        fill()
    sent = call.a.buffered_amount(call.channel)
    assert call.link.run(lambda: call.a.buffered_amount(call.channel) == 0, seconds=600)
    call.link.run(seconds=1)
    assert sum(len(e.data) for e in call.reported(1, datachannel.MessageReceived)) >= sent


def test_a_datagram_from_a_path_that_ice_did_not_check_is_dropped():
    call = call_with_channel()
    assert call.connect()
    stranger = B._replace(port=6666)
    before = call.a.dropped["unvalidated-path"]
    call.a.receive_datagram(Datagram(b"\x17" + bytes(40), stranger, A), call.now)
    call.a.receive_datagram(Datagram(b"\x80\x60" + bytes(40), stranger, A), call.now)
    assert call.a.dropped["unvalidated-path"] == before + 2


def test_channels_close_on_both_sides_and_ids_come_back():
    call = call_with_channel()
    assert call.connect()
    assert call.link.run(lambda: call.channel.state == "open")
    number = call.channel.id
    call.a.close_channel(call.channel, call.now)
    assert call.link.run(lambda: len(call.reported(1, datachannel.ChannelClosed)) == 1, seconds=5)
    again = call.a.create_data_channel("again", call.now)
    assert call.link.run(lambda: again.state == "open", seconds=5)
    assert again.id == number


def test_a_client_hello_before_the_answer_is_kept():
    """The answerer's check, ours to it and its ClientHello can all be here before signaling has brought the answer."""
    call = call_with_channel(conditions=Conditions(delay=0.001))
    call.a.set_local_description(None, call.now)
    call.gather(call.a)
    call.b.set_remote_description(call.a.local_description, call.now)
    call.b.set_local_description(None, call.now)
    call.gather(call.b)
    call.link.run(lambda: len(call.a.transport._early_dtls) == 1, seconds=1)
    assert not call.a.dropped
    answered = call.now
    call.a.set_remote_description(call.b.local_description, call.now)
    assert call.link.run(lambda: call.connected, seconds=5)
    assert call.now - answered < 0.01  # nobody had to send anything again


def test_a_connection_for_data_alone_never_derives_the_keys_of_media():
    call = call_with_channel()
    assert call.connect()
    media = call.a.transport.media
    assert media.can_send
    assert media.profile is not None
    assert media._sender is None
    assert media._receiver is None
