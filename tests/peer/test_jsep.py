"""Rolling back, provisional answers, sections that end and come again: RFC 8829."""

import pytest

from stack import peer, sdp
from stack.peer import Description

from .support import Call, connection

NOW = 0.0
ROLLBACK = Description("rollback", "")


def offer(pc):
    pc.set_local_description(None, NOW)
    return pc.local_description


def answer(pc, description):
    pc.set_remote_description(description, NOW)
    pc.set_local_description(None, NOW)
    return pc.local_description


def negotiate(a, b):
    a.set_remote_description(answer(b, offer(a)), NOW)


def events(pc, kind):
    pc.poll(NOW)
    found = []
    while (event := pc.next_event()) is not None:
        found.append(event)
    return [event for event in found if isinstance(event, kind)]


def pair():
    return connection("a"), connection("b")


def parsed(description):
    return sdp.SessionDescription.parse(description.sdp)


class TestRollback:
    """RFC 8829 section 5.7."""

    @pytest.mark.parametrize("who", ["local", "remote"])
    def test_our_first_offer(self, who):
        a, b = pair()
        transceiver = a.add_transceiver("video")
        offer(a)
        assert transceiver.mid == "0"
        getattr(a, f"set_{who}_description")(ROLLBACK, NOW)
        assert a.signaling_state == "stable"
        assert transceiver.mid is None
        assert a.local_description is None
        assert a.transceivers == (transceiver,)
        negotiate(a, b)
        assert transceiver.mid == "0"

    @pytest.mark.parametrize("who", ["local", "remote"])
    def test_the_peers_first_offer(self, who):
        a, b = pair()
        a.add_track("video")
        ours = b.add_transceiver("audio")
        b.set_remote_description(offer(a), NOW)
        assert len(b.transceivers) == 2
        assert len(events(b, peer.TrackAdded)) == 1
        getattr(b, f"set_{who}_description")(ROLLBACK, NOW)
        assert b.signaling_state == "stable"
        assert b.transceivers == (ours,)
        assert b.remote_description is None
        assert len(events(b, peer.TrackRemoved)) == 1

    def test_what_add_track_has_taken_up_stays(self):
        """W3C WebRTC section 4.4.1.5: a transceiver that the application uses is not removed."""
        a, b = pair()
        a.add_transceiver("video")
        b.set_remote_description(offer(a), NOW)
        (transceiver,) = b.transceivers
        assert b.add_track("video") is transceiver
        b.set_remote_description(ROLLBACK, NOW)
        assert b.transceivers == (transceiver,)
        assert transceiver.mid is None
        negotiate(b, a)
        assert transceiver.mid is not None

    def test_a_later_offer_leaves_what_was_agreed(self):
        a, b = pair()
        video = a.add_transceiver("video")
        negotiate(a, b)
        before = a.local_description, a.remote_description, a.current_local_description
        added = a.add_transceiver("audio")
        offer(a)
        assert a.pending_local_description is not None
        a.set_local_description(ROLLBACK, NOW)
        assert (a.local_description, a.remote_description, a.current_local_description) == before
        assert a.pending_local_description is None
        assert (video.mid, added.mid) == ("0", None)

    @pytest.mark.parametrize("state", ["stable", "have-local-pranswer", "have-remote-pranswer"])
    def test_there_is_nothing_to_roll_back(self, state):
        a, b = pair()
        a.create_data_channel("x", NOW)
        if state != "stable":
            b.set_remote_description(offer(a), NOW)
            provisional = Description("pranswer", b.create_answer().sdp)
            b.set_local_description(provisional, NOW)
            a.set_remote_description(provisional, NOW)
        for pc in (a, b):
            with pytest.raises(peer.InvalidStateError, match="rollback"):
                pc.set_local_description(ROLLBACK, NOW)

    def test_offers_that_cross(self):
        """The polite side gives way: RFC 8829 section 4.1.10.2, and the implicit rollback of W3C section 4.4.1.5."""
        a, b = pair()
        a.add_transceiver("video")
        b.create_data_channel("x", NOW)
        first, _ = offer(a), offer(b)
        a.set_remote_description(answer(b, first), NOW)
        assert a.signaling_state == b.signaling_state == "stable"
        assert len(events(b, peer.NegotiationNeeded)) == 2  # the second one after the exchange: for the channel
        negotiate(b, a)
        assert [section.kind for section in a.session.sections] == ["video", "application"]
        assert events(b, peer.NegotiationNeeded) == []

    def test_what_is_no_description_rolls_nothing_back(self):
        pc = connection("a")
        pc.create_data_channel("x", NOW)
        offer(pc)
        with pytest.raises(peer.SdpSyntaxError):
            pc.set_remote_description(Description("offer", "nonsense"), NOW)
        assert pc.signaling_state == "have-local-offer"

    def test_a_restart_goes_on_over_the_old_path_and_is_wanted_still(self):
        call = Call()
        call.a.create_data_channel("x", call.now)
        assert call.connect()
        ufrag, candidates = call.a.session.ufrag, call.a.local_description.sdp.count("a=candidate")
        call.a.restart_ice()
        call.a.set_local_description(None, call.now)
        assert call.a.session.ufrag != ufrag
        call.link.run(seconds=1)
        call.a.set_local_description(ROLLBACK, call.now)
        assert call.a.session.ufrag == ufrag
        assert f"a=ice-ufrag:{ufrag}" in call.a.local_description.sdp
        assert call.a.local_description.sdp.count("a=candidate") == candidates
        call.link.run(seconds=60)  # consent goes on under the old credentials
        assert call.connected
        assert len(call.reported(0, peer.NegotiationNeeded)) == 3
        call.negotiate()
        assert call.a.session.ufrag != ufrag
        call.link.run(seconds=60)
        assert call.connected

    @pytest.mark.parametrize("checked", [False, True])
    def test_a_restart_that_the_peer_has_offered(self, checked):
        """Both go back; `checked` when the new generation has found a path already."""
        call = Call()
        call.a.create_data_channel("x", call.now)
        assert call.connect()
        call.b.restart_ice()
        call.b.set_local_description(None, call.now)
        call.gather(call.b)
        call.a.set_remote_description(call.b.local_description, call.now)
        if checked:
            call.link.run(seconds=2)
        call.a.set_remote_description(ROLLBACK, call.now)
        call.b.set_local_description(ROLLBACK, call.now)
        assert call.a.signaling_state == call.b.signaling_state == "stable"
        call.link.run(seconds=60)
        assert call.connected
        call.negotiate(call.b, call.a)
        call.link.run(seconds=60)
        assert call.connected

    def test_restarts_that_cross(self):
        call = Call()
        call.a.create_data_channel("x", call.now)
        assert call.connect()
        for pc in (call.a, call.b):
            pc.restart_ice()
            pc.set_local_description(None, call.now)
            call.gather(pc)
        call.b.set_remote_description(call.a.local_description, call.now)
        call.b.set_local_description(None, call.now)
        call.gather(call.b)
        call.a.set_remote_description(call.b.local_description, call.now)
        call.link.run(seconds=60)
        assert call.connected
        assert {pc.signaling_state for pc in (call.a, call.b)} == {"stable"}

    def test_the_first_offer_of_a_peer_is_taken_back_and_another_one_comes(self):
        call = Call()
        call.a.create_data_channel("x", call.now)
        call.a.set_local_description(None, call.now)
        call.gather(call.a)
        call.b.set_remote_description(call.a.local_description, call.now)
        call.a.set_local_description(ROLLBACK, call.now)
        call.b.set_remote_description(ROLLBACK, call.now)
        call.b.create_data_channel("y", call.now)
        call.negotiate(call.b, call.a)
        assert call.link.run(lambda: call.connected, seconds=10)


class TestProvisionalAnswers:
    """RFC 8829 section 4.1.10.1."""

    def test_the_transport_comes_up_before_the_final_answer(self):
        call = Call()
        call.a.create_data_channel("x", call.now)
        video = call.a.add_transceiver("video")
        call.a.set_local_description(None, call.now)
        call.gather(call.a)
        call.b.set_remote_description(call.a.local_description, call.now)
        call.b.set_local_description(Description("pranswer", ""), call.now)
        call.gather(call.b)
        provisional = call.b.local_description
        assert provisional.type == "pranswer"
        call.a.set_remote_description(provisional, call.now)
        assert (call.a.signaling_state, call.b.signaling_state) == ("have-remote-pranswer", "have-local-pranswer")
        assert call.link.run(lambda: call.connected, seconds=5)
        assert call.a.pending_remote_description.type == "pranswer"
        assert call.a.current_remote_description is None
        call.b.set_local_description(None, call.now)
        call.a.set_remote_description(call.b.local_description, call.now)
        assert call.a.signaling_state == call.b.signaling_state == "stable"
        assert call.a.current_remote_description.type == "answer"
        assert video.current_direction == "sendonly"

    def test_a_section_refused_for_the_time_being_may_be_accepted_in_the_end(self):
        a, b = pair()
        video = a.add_transceiver("video")
        a.create_data_channel("x", NOW)
        b.set_remote_description(offer(a), NOW)
        text = b.create_answer().sdp
        refused = text.replace("m=video 9", "m=video 0").replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 1")
        a.set_remote_description(Description("pranswer", refused), NOW)
        assert not video.stopped
        a.set_remote_description(Description("answer", text), NOW)
        assert video.current_direction == "sendonly"


class TestSectionsThatEnd:
    """RFC 8829 sections 4.2.1 and 5.2.2."""

    @pytest.mark.parametrize("stopper", ["a", "b"])
    def test_a_stopped_transceiver_is_rejected_and_forgotten(self, stopper):
        a, b = pair()
        one = a.add_track("video")
        a.create_data_channel("x", NOW)
        negotiate(a, b)
        events(a, object)
        pc, other = (a, b) if stopper == "a" else (b, a)
        (transceiver,) = pc.transceivers
        pc.stop_transceiver(transceiver)
        assert len(events(pc, peer.NegotiationNeeded)) == 1
        assert not transceiver.stopped
        negotiate(pc, other)
        assert one.stopped
        assert a.transceivers == b.transceivers == ()
        assert transceiver.mid is None
        assert [m.is_rejected for m in parsed(a.local_description).media] == [True, False]
        assert parsed(a.local_description).groups[0].items == ["1"]
        for each in (pc, other):
            assert len(events(each, peer.TransceiverStopped)) == 1

    def test_its_section_is_used_again(self):
        a, b = pair()
        gone = a.add_transceiver("video")
        a.create_data_channel("x", NOW)
        negotiate(a, b)
        a.stop_transceiver(gone)
        negotiate(a, b)
        audio, video = b.add_transceiver("audio"), b.add_transceiver("video")
        negotiate(b, a)
        assert [(s.mid, s.kind, s.rejected) for s in a.session.sections] == [
            ("2", "audio", False),
            ("1", "application", False),
            ("3", "video", False),
        ]
        assert [s.mid for s in b.session.sections] == ["2", "1", "3"]
        assert (audio.mid, audio.mline_index, video.mline_index) == ("2", 0, 2)
        assert a.transceivers[0].mid == "2"

    def test_the_section_that_carried_the_transport_may_end(self):
        call = Call()
        video = call.a.add_transceiver("video")
        channel = call.a.create_data_channel("x", call.now)
        assert call.connect()
        call.a.stop_transceiver(video)
        call.negotiate()
        assert call.link.run(lambda: channel.state == "open", seconds=5)
        assert call.connected

    def test_an_offer_stopped_before_it_was_made_is_never_made(self):
        pc = connection("a")
        pc.create_data_channel("x", NOW)
        pc.stop_transceiver(pc.add_transceiver("video"))
        assert pc.transceivers == ()
        assert [m.kind for m in parsed(offer(pc)).media] == ["application"]

    def test_a_section_that_changes_its_name_is_refused(self):
        a, b = pair()
        a.create_data_channel("x", NOW)
        negotiate(a, b)
        text = offer(a).sdp.replace("a=mid:0", "a=mid:7").replace("BUNDLE 0", "BUNDLE 7")
        with pytest.raises(peer.InvalidAccessError, match="was 0 and is 7"):
            b.set_remote_description(Description("offer", text), NOW)

    def test_stopping_while_the_peer_offers(self):
        a, b = pair()
        a.add_track("video")
        b.set_remote_description(offer(a), NOW)
        b.stop_transceiver(b.transceivers[0])
        b.set_local_description(None, NOW)
        assert parsed(b.local_description).media[0].is_rejected
        a.set_remote_description(b.local_description, NOW)
        assert a.transceivers == b.transceivers == ()


class TestTracks:
    """W3C WebRTC sections 5.1 and 4.7.3."""

    def test_a_removed_track_is_no_longer_offered(self):
        a, b = pair()
        transceiver = a.add_track("video")
        b.add_track("video")
        negotiate(a, b)
        assert transceiver.current_direction == "sendrecv"
        events(a, object)
        a.remove_track(transceiver)
        assert transceiver.direction == "recvonly"
        assert len(events(a, peer.NegotiationNeeded)) == 1
        negotiate(a, b)
        assert transceiver.current_direction == "recvonly"
        assert len(events(b, peer.TrackRemoved)) == 1

    def test_a_transceiver_that_has_sent_is_not_taken_for_another_track(self):
        a, b = pair()
        first = a.add_track("video")
        negotiate(a, b)
        a.remove_track(first)
        negotiate(a, b)
        assert a.add_track("video") is not first

    def test_back_to_what_was_agreed_needs_no_negotiation(self):
        a, b = pair()
        transceiver = a.add_track("video")
        negotiate(a, b)
        events(a, object)
        a.set_direction(transceiver, "inactive")
        a.set_direction(transceiver, "sendonly")
        a.set_direction(transceiver, "sendrecv")
        assert not a.needs_negotiation
        a.set_direction(transceiver, "inactive")
        assert a.needs_negotiation


class TestBundle:
    """RFC 8829 section 4.1.1 and RFC 9143."""

    @pytest.mark.parametrize(
        ("policy", "ports"), [("max-bundle", [9, 0]), ("balanced", [9, 9]), ("max-compat", [9, 9])]
    )
    def test_policies(self, policy, ports):
        pc = connection("a", configuration=peer.Configuration(bundle_policy=policy))
        pc.add_transceiver("audio")
        pc.add_transceiver("video")
        media = parsed(offer(pc)).media
        assert [m.port for m in media] == ports
        assert [m.bundle_only for m in media] == [port == 0 for port in ports]

    def test_an_answer_that_does_not_bundle_is_refused(self):
        a, b = pair()
        a.add_transceiver("audio")
        a.add_transceiver("video")
        text = answer(b, offer(a)).sdp.replace("a=group:BUNDLE 0 1\r\n", "")
        with pytest.raises(peer.InvalidAccessError, match="does not bundle section 1"):
            a.set_remote_description(Description("answer", text), NOW)
        assert a.signaling_state == "have-local-offer"
