"""Several encodings of one source in offers and answers: RFC 8853, RFC 8851, RFC 8829 section 3.7, W3C WebRTC."""

import json
import re

import pytest

from stack import peer, rtp, sdp
from stack.peer import Description, Encoding
from stack.peer.layers import MAX_LAYERS, MAX_RID

from .support import VECTORS, connection

NOW = 0.0
ROLLBACK = Description("rollback", "")
HL = (Encoding(rid="h"), Encoding(rid="l", scale_resolution_down_by=4))
STREAMS = re.compile(r"a=(?:rid|simulcast):.*\r\n")


def offer(pc):
    pc.set_local_description(None, NOW)
    return pc.local_description


def answer(pc, description):
    pc.set_remote_description(description, NOW)
    pc.set_local_description(None, NOW)
    return pc.local_description


def negotiate(a, b):
    a.set_remote_description(answer(b, offer(a)), NOW)


def with_streams(description, *lines):
    """A description of one section that says something else of simulcast."""
    text = STREAMS.sub("", description.sdp) + "".join(f"a={line}\r\n" for line in lines)
    return Description(description.type, text)


def streams(description):
    return [line.strip() for line in STREAMS.findall(description.sdp)]


def events(pc, *kinds):
    pc.poll(NOW)
    found = []
    while (event := pc.next_event()) is not None:
        found.append(event)
    return [type(event) for event in found if isinstance(event, kinds)]


def pair(encodings=HL):
    a, b = connection("a"), connection("b")
    return a, b, a.add_transceiver("video", has_track=True, encodings=encodings)


def representative(name):
    found = json.loads((VECTORS / "representative.json").read_text())["descriptions"]
    return "\r\n".join([*next(vector["sdp"] for vector in found if vector["name"] == name), ""])


def rids(transceiver):
    return [layer.rid for layer in transceiver.layers]


def wire_rids(transceiver):
    """What the senders write into their packets."""
    return [layer.sender._rid for layer in transceiver.layers]


def asking(b, *lines):
    """An offer of a server that wants to receive several encodings."""
    return with_streams(offer(b), *lines)


class TestOffer:
    """RFC 8829 section 5.2.1."""

    def test_what_it_says(self):
        a, _, _ = pair()
        media = sdp.SessionDescription.parse(offer(a).sdp).media[0]
        assert [(rid.id, rid.direction, rid.formats) for rid in media.rids] == [("h", "send", []), ("l", "send", [])]
        assert media.simulcast == sdp.Simulcast(send=[[sdp.SimulcastId("h")], [sdp.SimulcastId("l")]])
        assert {rtp.RID, rtp.REPAIRED_RID, rtp.MID} <= {ext.uri for ext in media.extmaps}
        assert media.ssrcs == media.ssrc_groups == []  # the packets say it

    def test_one_encoding_is_offered_as_ever(self):
        a = connection("a")
        a.add_transceiver("video", encodings=[Encoding(max_bitrate=5)])
        media = sdp.SessionDescription.parse(offer(a).sdp).media[0]
        assert media.rids == []
        assert media.simulcast is None
        assert len(media.ssrcs) == 2

    def test_what_is_not_active_is_paused(self):
        a, _, _ = pair((HL[0], Encoding(rid="l", active=False)))
        assert streams(offer(a))[-1] == "a=simulcast:send h;~l"

    def test_nothing_is_sent_and_nothing_said(self):
        a = connection("a")
        a.add_transceiver("video", "recvonly", encodings=HL)
        assert streams(offer(a)) == []

    def test_it_stays_the_same(self):
        a, b, _ = pair()
        first = streams(offer(a))
        assert streams(a.create_offer()) == first
        a.set_remote_description(ROLLBACK, NOW)
        assert streams(offer(a)) == first
        a.set_remote_description(answer(b, a.local_description), NOW)
        assert streams(offer(a)) == first


class TestEncodings:
    """W3C WebRTC section 5.2, the sendEncodings validation steps."""

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (("a", "a"), "same rid"),
            (("a", None), "needs a rid"),
            ((None, None), "needs a rid"),
            (("a", "b!"), "'b!' is no rid"),
            (("a", ""), "'' is no rid"),
            (("a", "x" * (MAX_RID + 1)), "is no rid"),
        ],
    )
    def test_rids_that_are_none(self, given, words):
        a = connection("a")
        with pytest.raises(TypeError, match=words):
            a.add_transceiver("video", encodings=[Encoding(rid=rid) for rid in given])
        assert a.transceivers == ()

    def test_the_longest_rid_travels(self):
        a, b, _ = pair((Encoding(rid="x" * MAX_RID), Encoding(rid="y")))
        negotiate(a, b)
        assert b.transceivers[0].remote_rids == ("x" * MAX_RID, "y")

    def test_more_than_are_supported(self):
        a = connection("a")
        many = [Encoding(rid=str(number)) for number in range(MAX_LAYERS + 1)]
        with pytest.raises(peer.InvalidAccessError, match="more than"):
            a.add_transceiver("video", encodings=many)
        assert len(a.add_transceiver("video", encodings=many[:-1]).layers) == MAX_LAYERS

    @pytest.mark.parametrize("order", [("l", "h"), ("h",), ("h", "l", "m"), ("h", None)])
    def test_their_rids_number_and_order_are_read_only(self, order):
        a, _, transceiver = pair()
        with pytest.raises(peer.InvalidModificationError, match="read only"):
            a.set_encodings(transceiver, [Encoding(rid=rid) for rid in order])
        assert [layer.encoding for layer in transceiver.layers] == list(HL)

    def test_a_change_of_which_a_part_is_refused_changes_nothing(self):
        a, _, transceiver = pair()
        with pytest.raises(peer.InvalidAccessError, match="bitrate"):
            a.set_encodings(transceiver, [Encoding(rid="h", max_bitrate=7), Encoding(rid="l", max_bitrate=0)])
        assert [layer.encoding for layer in transceiver.layers] == list(HL)


class TestAnswersOfThePeer:
    """W3C WebRTC section 4.4.1.5, RFC 8853 section 5.3.3."""

    @pytest.mark.parametrize(
        ("lines", "left"),
        [
            (("rid:h recv", "rid:l recv", "simulcast:recv h;l"), ["h", "l"]),
            (("rid:l recv", "rid:h recv", "simulcast:recv l;h"), ["h", "l"]),
            (("rid:l recv", "simulcast:recv l"), ["l"]),
            (("rid:h recv", "rid:l recv", "simulcast:recv x;h"), ["h"]),
            (("rid:l recv", "simulcast:recv h;l"), ["l"]),
            (("rid:h recv", "rid:l recv", "simulcast:recv h,l"), ["h"]),
            (("rid:h recv pt=96", "rid:l recv pt=100", "simulcast:recv h;l"), ["h"]),
            (("rid:h recv max-width=640", "rid:l recv", "simulcast:recv h;l"), ["l"]),
        ],
    )
    def test_what_it_wants_is_sent(self, lines, left):
        a, b, transceiver = pair()
        a.set_remote_description(with_streams(answer(b, offer(a)), *lines), NOW)
        assert rids(transceiver) == wire_rids(transceiver) == left
        assert transceiver.simulcast

    @pytest.mark.parametrize(
        "lines",
        [
            (),
            ("rid:h recv", "rid:l recv"),
            ("rid:h recv", "simulcast: recv rid=h;l"),
            ("rid:h send", "rid:l send", "simulcast:send h;l"),
            ("simulcast:recv h;l",),
        ],
    )
    def test_without_simulcast_one_encoding_remains(self, lines):
        a, b, transceiver = pair()
        a.set_remote_description(with_streams(answer(b, offer(a)), *lines), NOW)
        assert rids(transceiver) == ["h"]
        assert wire_rids(transceiver) == [None]
        assert streams(offer(a)) == []
        assert len(a.media.sending._senders) == 1

    def test_without_the_header_extension_one_encoding_remains(self):
        a, b, transceiver = pair()
        given = answer(b, offer(a))
        text = re.sub(r"a=extmap:\d+ \S+sdes:rtp-stream-id\r\n", "", given.sdp)
        a.set_remote_description(Description("answer", text), NOW)
        assert wire_rids(transceiver) == [None]

    def test_what_it_pauses_is_not_active_until_it_says_otherwise(self):
        a, b, transceiver = pair()

        def exchange(line):
            given = with_streams(answer(b, offer(a)), "rid:h recv", "rid:l recv", f"simulcast:recv {line}")
            a.set_remote_description(given, NOW)
            return [layer.encoding.active for layer in transceiver.layers]

        assert exchange("h;~l") == [True, False]
        assert streams(a.create_offer())[-1] == "a=simulcast:send h;l"
        assert exchange("h;l") == [True, True]
        assert exchange("~h;l") == [False, True]
        paused = [layer.encoding for layer in transceiver.layers]
        a.set_encodings(transceiver, paused)
        assert exchange("h;l") == [True, True]

    def test_what_the_application_has_paused_the_peer_does_not_start(self):
        a, b, transceiver = pair((HL[0], Encoding(rid="l", active=False)))
        a.set_remote_description(
            with_streams(answer(b, offer(a)), "rid:h recv", "rid:l recv", "simulcast:recv h;l"), NOW
        )
        assert [layer.encoding.active for layer in transceiver.layers] == [True, False]

    def test_a_later_answer_takes_away_and_gives_nothing_back(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        before = transceiver.layers[1].ssrc
        assert events(a, peer.SendingStarted, peer.SendingStopped) == [peer.SendingStarted]
        a.set_remote_description(with_streams(answer(b, offer(a)), "rid:l recv", "simulcast:recv l"), NOW)
        assert [layer.ssrc for layer in transceiver.layers] == [before]
        assert events(a, peer.SendingStarted, peer.SendingStopped) == [peer.SendingStopped, peer.SendingStarted]
        assert streams(offer(a)) == ["a=rid:l send", "a=simulcast:send l"]
        a.set_remote_description(
            with_streams(answer(b, a.local_description), "rid:h recv", "rid:l recv", "simulcast:recv h;l"), NOW
        )
        assert rids(transceiver) == ["l"]

    def test_one_that_takes_all_of_it_away_ends_the_streams_with_rids(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        before = [layer.sender for layer in transceiver.layers]
        a.set_remote_description(with_streams(answer(b, offer(a))), NOW)
        assert wire_rids(transceiver) == [None]
        assert transceiver.layers[0].ssrc not in {sender.ssrc for sender in before}
        assert all(sender._closed for sender in before)

    def test_a_provisional_answer_counts(self):
        a, b, transceiver = pair()
        given = with_streams(answer(b, offer(a)), "rid:l recv", "simulcast:recv l")
        a.set_remote_description(Description("pranswer", given.sdp), NOW)
        assert rids(transceiver) == ["l"]

    def test_what_is_on_hold_keeps_its_encodings(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        a.set_direction(transceiver, "inactive")
        negotiate(a, b)
        assert transceiver.sender is None
        a.set_direction(transceiver, "sendonly")
        negotiate(a, b)
        assert wire_rids(transceiver) == ["h", "l"]

    def test_an_offer_of_the_peers_in_between_goes_on_with_them(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        again = offer(b)
        assert streams(again) == ["a=rid:h recv", "a=rid:l recv", "a=simulcast:recv h;l"]
        given = answer(a, again)
        assert streams(given) == ["a=rid:h send", "a=rid:l send", "a=simulcast:send h;l"]
        b.set_remote_description(given, NOW)
        assert wire_rids(transceiver) == ["h", "l"]
        assert b.transceivers[0].remote_rids == ("h", "l")
        assert events(a, peer.SendingStarted, peer.SendingStopped) == [peer.SendingStarted]


class TestOffersToSend:
    """RFC 8853 section 5.3.2."""

    @pytest.mark.parametrize(
        ("lines", "answered"),
        [
            (("rid:h send", "rid:l send", "simulcast:send h;~l"), ["rid:h recv", "rid:l recv", "simulcast:recv h;~l"]),
            (("rid:h send", "rid:l send", "simulcast:send l;h"), ["rid:l recv", "rid:h recv", "simulcast:recv l;h"]),
            (("rid:h send", "rid:l send", "simulcast:send l,h"), ["rid:l recv", "simulcast:recv l"]),
            (("rid:h send max-br=9", "simulcast:send h;l"), ["rid:h recv max-br=9", "simulcast:recv h"]),
            (("rid:h send pt=96,98,7", "simulcast:send h"), ["rid:h recv pt=96,98", "simulcast:recv h"]),
            (("rid:h send pt=7", "rid:l send max-moon=1", "simulcast:send h;l"), []),
            (("rid:h send", "rid:l send"), []),
            (("rid:h recv", "rid:l recv", "simulcast:send h;l"), []),
        ],
    )
    def test_what_can_be_received_is_accepted(self, lines, answered):
        a, b = connection("a"), connection("b")
        a.add_transceiver("video", "sendonly")
        given = answer(b, with_streams(offer(a), *lines))
        assert streams(given) == [f"a={line}" for line in answered]
        listed = answered[-1].partition(":recv ")[2].replace("~", "").split(";") if answered else []
        transceiver = b.transceivers[0]
        assert list(transceiver.remote_rids) == listed
        assert list(transceiver.receptions) == (listed or [None])

    def test_more_than_are_supported_are_left_out(self):
        a, b = connection("a"), connection("b")
        a.add_transceiver("video", "sendonly")
        names = [f"r{number}" for number in range(MAX_LAYERS + 3)]
        lines = [*(f"rid:{name} send" for name in names), f"simulcast:send {';'.join(names)}"]
        answer(b, with_streams(offer(a), *lines))
        assert list(b.transceivers[0].receptions) == names[:MAX_LAYERS]

    def test_sound_is_received_once(self):
        a, b = connection("a"), connection("b")
        a.add_transceiver("audio", "sendonly")
        assert streams(answer(b, with_streams(offer(a), "rid:h send", "simulcast:send h"))) == []

    def test_who_wants_nothing_accepts_nothing(self):
        a, b = connection("a"), connection("b")
        a.add_transceiver("video", "sendonly", encodings=HL)
        given = offer(a)
        b.set_remote_description(given, NOW)
        b.set_direction(b.transceivers[0], "inactive")
        b.set_local_description(None, NOW)
        assert streams(b.local_description) == []
        assert b.transceivers[0].receptions == {}

    def test_without_the_header_extension_it_is_received_as_one(self):
        a, b, _ = pair()
        text = re.sub(r"a=extmap:\d+ \S+sdes:rtp-stream-id\r\n", "", offer(a).sdp)
        assert streams(answer(b, Description("offer", text))) == []

    def test_the_streams_end_when_a_later_offer_has_none(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        received = b.transceivers[0]
        before = [reception.receiver for reception in received.receptions.values()]
        assert received.selection is not None
        a.set_remote_description(answer(b, with_streams(offer(a))), NOW)
        assert list(received.receptions) == [None]
        assert received.selection is None
        assert all(receiver._closed for receiver in before)
        assert wire_rids(transceiver) == [None]

    def test_of_safari(self):
        text = representative("safari-offer").replace("640c1f", "42e01f")  # a profile that we have
        given = answer(connection("b"), Description("offer", text))
        assert streams(given) == ["a=rid:hi recv", "a=rid:lo recv", "a=simulcast:recv hi;lo"]


class TestOffersToReceive:
    """W3C WebRTC section 4.4.1.5: proposedSendEncodings."""

    WANTED = ("rid:l recv", "rid:m recv", "rid:h recv", "simulcast:recv l;m;h")

    def server(self, kind="video"):
        a, b = connection("a"), connection("b")
        b.add_transceiver(kind, "recvonly")
        return a, b

    def test_a_track_that_is_sent_is_sent_in_the_sizes_asked_for(self):
        a, b = self.server()
        transceiver = a.add_track("video")
        given = answer(a, asking(b, *self.WANTED))
        assert streams(given) == ["a=rid:l send", "a=rid:m send", "a=rid:h send", "a=simulcast:send l;m;h"]
        assert "a=ssrc:" not in given.sdp
        assert a.transceivers == (transceiver,)
        assert wire_rids(transceiver) == ["l", "m", "h"]
        assert [layer.encoding.scale_resolution_down_by for layer in transceiver.layers] == [4, 2, 1]
        assert len({ssrc for layer in transceiver.layers for ssrc in (layer.ssrc, layer.rtx_ssrc)}) == 6

    def test_a_transceiver_that_the_offer_makes(self):
        a, b = self.server()
        a.set_remote_description(asking(b, *self.WANTED), NOW)
        (transceiver,) = a.transceivers
        assert rids(transceiver) == ["l", "m", "h"]
        assert a.add_track("video") is transceiver
        a.set_local_description(None, NOW)
        assert streams(a.local_description)[-1] == "a=simulcast:send l;m;h"

    @pytest.mark.parametrize(
        ("lines", "proposed"),
        [
            (("rid:l recv", "rid:h recv", "simulcast:recv l,h;h"), ["l", "h"]),
            (("rid:l recv", "rid:h recv", "simulcast:recv l;h;l"), ["l", "h"]),
            (("rid:l recv", "simulcast:recv l"), ["l"]),
            (("rid:l recv", "rid:h recv max-fps=5", "simulcast:recv l;h"), ["l"]),
            (("simulcast:recv l;h",), [None]),
            (("rid:l send", "simulcast:send l"), [None]),
        ],
    )
    def test_what_is_asked_for(self, lines, proposed):
        a, b = self.server()
        transceiver = a.add_track("video")
        answer(a, asking(b, *lines))
        assert rids(transceiver) == wire_rids(transceiver) == proposed

    def test_more_than_are_supported_are_left_out(self):
        a, b = self.server()
        transceiver = a.add_track("video")
        names = [f"r{number}" for number in range(MAX_LAYERS + 1)]
        answer(a, asking(b, *(f"rid:{name} recv" for name in names), f"simulcast:recv {';'.join(names)}"))
        assert rids(transceiver) == names[:MAX_LAYERS]

    def test_rolled_back_it_is_one_encoding_again(self):
        a, b = self.server()
        transceiver = a.add_track("video")
        before = list(transceiver.layers)
        a.set_remote_description(asking(b, *self.WANTED), NOW)
        assert rids(transceiver) == ["l", "m", "h"]
        a.set_remote_description(ROLLBACK, NOW)
        assert transceiver.layers == before
        assert streams(offer(a)) == []

    def test_rolled_back_what_the_application_chose_stays(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        a.set_remote_description(offer(b), NOW)
        a.set_remote_description(ROLLBACK, NOW)
        assert wire_rids(transceiver) == ["h", "l"]

    def test_what_is_encoded_already_is_sent_once(self):
        a, b = self.server()
        transceiver = a.add_track("video", one_encoding=True)
        assert streams(answer(a, asking(b, *self.WANTED))) == []
        assert rids(transceiver) == wire_rids(transceiver) == [None]

    def test_what_is_encoded_already_may_be_added_after_the_offer(self):
        a, b = self.server()
        a.set_remote_description(asking(b, *self.WANTED), NOW)
        transceiver = a.add_track("video", one_encoding=True)
        a.set_local_description(None, NOW)
        assert streams(a.local_description) == []
        assert rids(transceiver) == wire_rids(transceiver) == [None]

    def test_sound_is_sent_once(self):
        a, b = self.server("audio")
        transceiver = a.add_track("audio")
        assert streams(answer(a, asking(b, *self.WANTED))) == []
        assert rids(transceiver) == [None]

    def test_a_stream_that_flows_is_replaced(self):
        a, b = self.server()
        transceiver = a.add_track("video")
        b.set_remote_description(answer(a, offer(b)), NOW)
        before = transceiver.sender
        assert events(a, peer.SendingStarted, peer.SendingStopped) == [peer.SendingStarted]
        answer(a, asking(b, *self.WANTED))
        assert wire_rids(transceiver) == ["l", "m", "h"]
        assert before._closed
        assert before.ssrc not in {layer.ssrc for layer in transceiver.layers}
        assert events(a, peer.SendingStarted, peer.SendingStopped) == [peer.SendingStopped, peer.SendingStarted]

    def test_encodings_of_ours_that_it_does_not_want_are_dropped(self):
        a, b, transceiver = pair()
        negotiate(a, b)
        given = answer(a, with_streams(offer(b), "rid:l recv", "rid:x recv", "simulcast:recv x;l"))
        assert streams(given) == ["a=rid:l send", "a=simulcast:send l"]
        assert wire_rids(transceiver) == ["l"]
