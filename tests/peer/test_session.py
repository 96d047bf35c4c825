"""Offers and answers (RFC 8829): states, roles, codecs, what is refused and why."""

import re

import pytest

from stack import peer, rtp, sdp
from stack.peer.signaling import TRANSITIONS

from .support import Call, captured, connection

NOW = 0.0
RECEIVER = "a=sendrecv", "a=recvonly"  # turns a description into that of somebody who only watches


def answer_to(text, prepare=lambda pc: None):
    """Our answer to an offer, parsed, and the connection that gave it."""
    pc = connection("b")
    pc.set_remote_description(peer.Description("offer", text), NOW)
    prepare(pc)
    pc.set_local_description(None, NOW)
    return sdp.SessionDescription.parse(pc.local_description.sdp), pc


@pytest.mark.parametrize("name", ["chromium-offer-avd", "firefox-offer-avd", "chromium-offer-recv"])
def test_a_browser_gets_an_answer_for_every_section(name):
    offer = sdp.SessionDescription.parse(captured(name))
    answer, pc = answer_to(captured(name))
    assert [m.kind for m in answer.media] == [m.kind for m in offer.media]
    assert [m.mid for m in answer.media] == [m.mid for m in offer.media]
    assert not any(m.is_rejected for m in answer.media)
    assert answer.groups[0].items == offer.groups[0].items
    assert all(m.setup == "active" for m in answer.media)
    assert pc.signaling_state == "stable"


@pytest.mark.parametrize(
    "name",
    [
        "aiolibdatachannel-offer",
        "aiortc-offer",
        "node-datachannel-offer",
        "pion-offer",
        "reactor-offer",
        "reactor-snap-sped-offer",
        "werift-offer",
        "wrtc-offer",
        "chromium-offer-data",
        "firefox-offer-data",
    ],
)
def test_every_stack_gets_its_data_channel(name):
    answer, pc = answer_to(captured(name))
    assert [m.kind for m in answer.media] == ["application"]
    assert answer.media[0].sctp_port == 5000
    assert pc.transport.sctp is not None


@pytest.mark.parametrize("name", ["reactor-snap-sped-offer", "chromium-offer-avd", "firefox-offer-avd"])
def test_nothing_is_echoed_that_is_not_implemented(name):
    text = answer_to(captured(name))[1].local_description.sdp
    assert ("sctp-init" in text) == ("snap" in name)
    assert "sped" not in text
    uris = set(re.findall(r"a=extmap:\d+ (\S+)", text))
    assert uris <= {
        rtp.MID,
        rtp.ABS_SEND_TIME,
        rtp.TRANSPORT_CC,
        rtp.PLAYOUT_DELAY,
        rtp.RID,
        rtp.REPAIRED_RID,
    }
    assert set(re.findall(r"a=rtpmap:\d+ (\w+)/", text)) <= {"VP8", "H264", "VP9", "AV1", "opus", "rtx"}


def test_the_answer_keeps_the_offerers_payload_types_and_order():
    answer, _ = answer_to(captured("chromium-offer-avd"))
    video = answer.media[1]
    assert video.formats == ["96", "97", "102", "103", "108", "109", "45", "46", "98", "99"]
    assert video.codec(102).parameters["profile-level-id"] == "42001f"
    assert video.codec(108).parameters["profile-level-id"] == "42e01f"
    assert [c.parameters["apt"] for c in video.codecs if c.name == "rtx"] == ["96", "102", "108", "45", "98"]


def test_codec_preferences_go_before_the_offerers_order():
    def h264_first(pc):
        pc.set_codec_preferences(pc.transceivers[1], [c for c in peer.CODECS["video"] if c.name == "H264"])

    answer, pc = answer_to(captured("chromium-offer-avd"), h264_first)
    assert [c.name for c in answer.media[1].codecs if c.name != "rtx"] == ["H264", "H264"]
    assert pc.transceivers[1].codecs[0].codec.mime_type == "video/H264"


def test_h264_needs_the_same_packetization_mode_and_profile():
    text = captured("chromium-offer-avd")
    only_mode_0 = text.replace("packetization-mode=1", "packetization-mode=0").replace(" VP8/", " VP7/")
    only_mode_0 = only_mode_0.replace(" AV1/", " VP7/").replace(" VP9/", " VP7/")
    answer, _ = answer_to(only_mode_0)
    assert answer.media[1].is_rejected
    assert not answer.media[0].is_rejected
    assert answer.groups[0].items == ["0", "2"]


def test_transport_wide_feedback_is_agreed_whoever_sends():
    receiving, _ = answer_to(captured("chromium-offer-avd"))
    sending, _ = answer_to(captured("chromium-offer-recv").replace(*RECEIVER), lambda pc: pc.add_track("video"))
    for answer in (receiving, sending):
        video = next(m for m in answer.media if m.kind == "video")
        assert rtp.TRANSPORT_CC in {ext.uri for ext in video.extmaps}
        assert all(any(fb.kind == "transport-cc" for fb in codec.feedback) for codec in video.codecs[::2])
    assert video.direction == "sendonly"


def test_transport_wide_feedback_is_agreed_for_sound_as_by_chromium():
    for name in ("chromium-offer-avd", "firefox-offer-avd"):
        answer, pc = answer_to(captured(name))
        offered = sdp.SessionDescription.parse(captured(name)).media[0]
        audio = answer.media[0]
        assert [ext for ext in audio.extmaps if ext.uri == rtp.TRANSPORT_CC] == [
            ext for ext in offered.extmaps if ext.uri == rtp.TRANSPORT_CC
        ]
        reported = {codec.name for codec in audio.codecs if sdp.Feedback("transport-cc") in codec.feedback}
        assert reported == {"opus"}
        assert pc.transceivers[0].reports == "transport-cc"
    pc = connection("a")
    pc.add_track("audio")
    pc.set_local_description(None, NOW)
    audio = sdp.SessionDescription.parse(pc.local_description.sdp).media[0]
    assert rtp.TRANSPORT_CC in {ext.uri for ext in audio.extmaps}
    assert audio.codec(111).feedback == [sdp.Feedback("transport-cc")]


def test_a_section_that_joins_numbers_its_extensions_as_the_others_do():
    """Chromium has 4 for MID, which would be the number of something else in a section that begins to count anew."""
    text = captured("chromium-offer-avd")
    head, audio, _, data = text.replace("BUNDLE 0 1 2", "BUNDLE 0 2").split("m=")
    pc = connection("b")
    pc.set_remote_description(peer.Description("offer", f"{head}m={audio}m={data}"), NOW)
    pc.set_local_description(None, NOW)
    pc.add_track("video")
    pc.set_local_description(None, NOW)
    meanings = {}
    for media in sdp.SessionDescription.parse(pc.local_description.sdp).media:
        for ext in media.extmaps:
            assert meanings.setdefault(ext.id, ext.uri) == ext.uri
    assert meanings[4] == rtp.MID
    assert len(set(meanings.values())) == len(meanings) == 6


def test_a_track_added_before_the_offer_answers_it():
    def check(before):
        pc = connection("b")
        transceiver = pc.add_track("video") if before else None
        offer = peer.Description("offer", captured("chromium-offer-recv").replace(*RECEIVER))
        pc.set_remote_description(offer, NOW)
        transceiver = transceiver or pc.add_track("video")
        pc.set_local_description(None, NOW)
        assert transceiver.current_direction == "sendonly"
        assert sum(t.kind == "video" for t in pc.transceivers) == 1

    check(before=True)
    check(before=False)


def test_a_transceiver_made_by_add_transceiver_is_not_taken_for_an_offer():
    """RFC 8829 section 5.10: only addTrack makes one that an offered section may take up."""
    pc = connection("b")
    own = pc.add_transceiver("video")
    pc.set_remote_description(peer.Description("offer", captured("chromium-offer-recv")), NOW)
    assert own.mid is None
    assert sum(t.kind == "video" for t in pc.transceivers) == 2


@pytest.mark.parametrize(
    ("theirs", "ours", "role"),
    [("actpass", "active", "client"), ("active", "passive", "server"), ("passive", "active", "client")],
)
def test_dtls_roles_of_the_answerer(theirs, ours, role):
    answer, pc = answer_to(captured("chromium-offer-data").replace("a=setup:actpass", f"a=setup:{theirs}"))
    assert answer.media[0].setup == ours
    assert pc.transport.dtls.role == role


def test_the_offerer_takes_the_other_dtls_role():
    call = Call()
    call.a.create_data_channel("test", call.now)
    call.negotiate()
    assert (call.a.transport.dtls.role, call.b.transport.dtls.role) == ("server", "client")


def test_the_offerer_controls_ice_unless_the_peer_is_lite():
    call = Call()
    call.a.create_data_channel("test", call.now)
    call.negotiate()
    assert call.a.transport.ice.controlling
    assert not call.b.transport.ice.controlling
    lite = captured("pion-offer").replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    _, pc = answer_to(lite)
    assert pc.transport.ice.controlling


def test_the_first_offer_is_bundle_only_after_its_first_section():
    pc = connection("a")
    pc.add_transceiver("audio")
    pc.add_transceiver("video")
    pc.create_data_channel("test", NOW)
    offer = sdp.SessionDescription.parse(pc.create_offer().sdp)
    assert [m.bundle_only for m in offer.media] == [False, True, True]
    assert [m.port for m in offer.media] == [9, 0, 0]
    assert all(m.setup == "actpass" for m in offer.media)


def test_what_does_not_share_the_transport_is_refused():
    text = captured("chromium-offer-avd").replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2")
    answer, _ = answer_to(text)
    assert [m.is_rejected for m in answer.media] == [False, True, False]


def test_renegotiation_adds_a_section_and_keeps_the_transport():
    call = Call()
    call.a.create_data_channel("test", call.now)
    assert call.connect()
    dtls, ufrag = call.a.transport.dtls, call.a.session.ufrag
    transceiver = call.b.add_track("video")
    call.negotiate(call.b, call.a)
    assert call.a.transport.dtls is dtls
    assert call.a.session.ufrag == ufrag
    assert transceiver.current_direction == "sendonly"
    assert [s.mid for s in call.a.session.sections] == ["0", "1"]
    assert call.reported(0, peer.TrackAdded) == []
    call.link.drain()
    assert len(call.reported(0, peer.TrackAdded)) == 1
    assert call.a.transport.dtls.role == "server"


def test_signaling_states_follow_the_table():
    """RFC 8829 section 3.2, figure 1."""
    a, b = connection("a"), connection("b")
    a.create_data_channel("test", NOW)
    seen = set()

    def apply(pc, who, description):
        before = pc.signaling_state
        if who == "local":
            pc.set_local_description(description, NOW)
        else:
            pc.set_remote_description(description, NOW)
        kind = description.type
        assert TRANSITIONS[before, who, kind] == pc.signaling_state
        seen.add((before, who, kind))

    rollback = peer.Description("rollback", "")
    for who in ("local", "remote"):
        apply(a, "local", a.create_offer())
        apply(b, "remote", a.local_description)
        apply(a, who, rollback)
        apply(b, who, rollback)
    apply(a, "local", a.create_offer())
    apply(a, "local", a.create_offer())
    apply(b, "remote", a.local_description)
    apply(b, "remote", a.local_description)
    for _ in range(2):
        apply(b, "local", peer.Description("pranswer", b.create_answer().sdp))
        apply(a, "remote", b.local_description)
    apply(b, "local", b.create_answer())
    apply(a, "remote", b.local_description)
    apply(b, "local", b.create_offer())
    apply(a, "remote", b.local_description)
    apply(a, "local", a.create_answer())
    apply(b, "remote", a.local_description)
    assert seen == set(TRANSITIONS)


def describe(who, kind, text):
    return lambda pc: getattr(pc, f"set_{who}_description")(peer.Description(kind, text), NOW)


CANDIDATE = "candidate:1 1 udp 1 1.2.3.4 5 typ host"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda pc: pc.create_answer(), peer.InvalidStateError, "set a remote offer first"),
        (lambda pc: pc.add_remote_candidate(CANDIDATE, NOW), peer.InvalidStateError, "set the remote description"),
        (describe("remote", "answer", ""), peer.InvalidStateError, "stable"),
        (describe("remote", "rollback", ""), peer.InvalidStateError, "rollback"),
        (describe("remote", "offer", "v=0\r\nx"), peer.SdpSyntaxError, "line 2"),
        (describe("local", "offer", "v=0"), peer.InvalidModificationError, "last"),
        (lambda pc: pc.add_transceiver("video", "sideways"), peer.InvalidAccessError, "direction"),
        (lambda pc: pc.set_codec_preferences(pc.add_transceiver("video"), []), peer.InvalidAccessError, "at least one"),
    ],
)
def test_misuse_says_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call(connection("a"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a=fingerprint", "no a=fingerprint"),
        ("a=ice-ufrag", "no a=ice-ufrag"),
        ("a=ice-pwd", "no a=ice-ufrag or a=ice-pwd"),
    ],
)
def test_an_offer_without_what_a_transport_needs_is_refused(line, words):
    text = "".join(
        part for part in captured("chromium-offer-data").splitlines(keepends=True) if not part.startswith(line)
    )
    pc = connection("b")
    with pytest.raises(peer.InvalidAccessError, match=words):
        pc.set_remote_description(peer.Description("offer", text), NOW)
    assert pc.signaling_state == "stable"
    assert pc.remote_description is None


def test_an_answer_must_match_the_offer():
    pc = connection("a")
    pc.create_data_channel("test", NOW)
    pc.add_transceiver("audio")
    pc.set_local_description(None, NOW)
    with pytest.raises(peer.InvalidAccessError, match="1 sections, the offer 2"):
        pc.set_remote_description(peer.Description("answer", captured("pion-answer")), NOW)
    assert pc.signaling_state == "have-local-offer"


def test_after_close_everything_is_refused():
    pc = connection("a")
    pc.close(NOW)
    with pytest.raises(peer.InvalidStateError, match="closed"):
        pc.create_offer()
    with pytest.raises(peer.InvalidStateError, match="closed"):
        pc.create_data_channel("x", NOW)
    assert pc.signaling_state == "closed"


def test_what_is_asked_for_during_an_exchange_is_asked_for_again_after_it():
    """W3C WebRTC section 4.7.3: the negotiation-needed flag is looked at again in the state stable."""
    call = Call()
    call.a.create_data_channel("test", call.now)
    call.a.set_local_description(None, call.now)
    call.a.add_track("video")
    call.link.drain()
    assert len(call.reported(0, peer.NegotiationNeeded)) == 1
    call.b.set_remote_description(call.a.local_description, call.now)
    call.b.set_local_description(None, call.now)
    call.a.set_remote_description(call.b.local_description, call.now)
    call.link.drain()
    assert len(call.reported(0, peer.NegotiationNeeded)) == 2
    call.negotiate()
    call.link.drain()
    assert len(call.reported(0, peer.NegotiationNeeded)) == 2
    assert call.reported(1, peer.NegotiationNeeded) == []


def test_an_answerer_that_sends_less_than_it_could_needs_no_negotiation():
    def add(pc):
        pc.add_track("video")

    _, pc = answer_to(captured("chromium-offer-avd"), add)
    assert not pc.session.needs_negotiation
    pc.set_direction(pc.transceivers[1], "inactive")
    assert pc.session.needs_negotiation


def refused_without_a_trace(pc, kind, text, error, words):
    before = pc.signaling_state, pc.remote_description, pc.session.sections
    with pytest.raises(error, match=words):
        pc.set_remote_description(peer.Description(kind, text), NOW)
    assert (pc.signaling_state, pc.remote_description, pc.session.sections) == before


def test_an_answer_that_leaves_the_dtls_role_open_is_refused_and_changes_nothing():
    call = Call()
    call.a.create_data_channel("test", NOW)
    call.a.set_local_description(None, NOW)
    call.b.set_remote_description(call.a.local_description, NOW)
    text = call.b.create_answer().sdp.replace("a=setup:active", "a=setup:actpass")
    refused_without_a_trace(call.a, "answer", text, peer.InvalidAccessError, "setup:actpass")


@pytest.mark.parametrize("number", ["0", "15", "4096", "2"])
def test_header_extensions_with_unusable_identifiers_are_left_out(number):
    """In the last case another extension has the number already."""
    text = captured("chromium-offer-avd")
    text = re.sub(rf"a=extmap:\d+ {re.escape(rtp.MID)}", f"a=extmap:{number} {rtp.MID}", text)
    text = re.sub(rf"a=extmap:\d+ {re.escape(rtp.ABS_SEND_TIME)}", f"a=extmap:2 {rtp.ABS_SEND_TIME}", text)
    try:
        answer, pc = answer_to(text)
    except peer.SdpSyntaxError as error:
        assert "extmap" in str(error)  # noqa: PT017  whether the parser or the session refuses it is left to them
        return
    identifiers = [ext.id for ext in answer.media[0].extmaps]
    assert len(identifiers) == len(set(identifiers))
    assert set(identifiers) <= {2, 3, 4, 5}
    assert pc.connection_state == "new"
