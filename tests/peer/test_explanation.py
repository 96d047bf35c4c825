"""What a connection says of itself at every step of its way."""

import pytest

from stack import peer

from .support import Call, connection

NOW = 0.0


def lines(pc):
    """The text of each step."""
    found = {}
    for line in pc.explain().splitlines():
        step, _, text = line.strip().partition(": ")
        found.setdefault(step, text)
    return found


def test_nothing_to_negotiate():
    said = lines(connection("a"))
    assert said["peer connection"] == "new"
    assert "add a track or create a data channel" in said["signaling"]
    assert "nothing was gathered" in said["path"]
    assert said["security"] == "DTLS waits for a path"
    assert "data" not in said


def test_each_step_names_what_is_missing():
    call = Call(tamper=lambda sender, index, data: [] if blocked else [data])
    blocked = []
    call.a.create_data_channel("x", call.now)
    assert "no offer was made" in lines(call.a)["signaling"]
    call.a.set_local_description(None, call.now)
    call.gather(call.a)
    assert "give its answer to setRemoteDescription" in lines(call.a)["signaling"]
    assert "has not come" in lines(call.a)["path"]
    call.b.set_remote_description(call.a.local_description, call.now)
    assert "no answer of ours" in lines(call.b)["signaling"]
    blocked.append(True)
    call.b.set_local_description(None, call.now)
    call.gather(call.b)
    call.a.set_remote_description(call.b.local_description, call.now)
    assert lines(call.a)["signaling"] == "agreed on application"
    call.link.run(seconds=3)
    assert lines(call.a)["path"].startswith("none")
    blocked.clear()
    assert call.link.run(lambda: call.connected, seconds=20)
    call.link.run(seconds=1)
    said = lines(call.a)
    assert said["peer connection"] == "connected"
    assert "round trip 100 ms" in said["path"]
    assert "certificate" in said["security"]
    assert "channels: 1 open" in said["data"]


def test_media_that_does_not_flow():
    call = Call()
    call.a.add_track("video")
    assert call.connect()
    assert "no frame was given to it" in lines(call.a)["media"]
    assert "the peer sends nothing" in lines(call.b)["media"]
    assert "the path carries" in lines(call.a)["media"]


def test_a_wrong_certificate_is_named():
    call = Call()
    call.a.create_data_channel("x", call.now)

    def forge(kind, text):
        start = text.index("a=fingerprint:sha-256 ") + 22
        return text[:start] + "00:00" + text[start + 5 :] if kind == "answer" else text

    call.negotiate(tamper=forge)
    call.link.run(lambda: call.a.connection_state == "failed", seconds=10)
    said = lines(call.a)
    assert said["peer connection"].startswith("failed, because of dtls")
    assert "fingerprint" in said["security"]


@pytest.mark.parametrize("state", ["have-local-pranswer", "closed"])
def test_other_states(state):
    pc, other = connection("b"), connection("a")
    other.create_data_channel("x", NOW)
    other.set_local_description(None, NOW)
    pc.set_remote_description(other.local_description, NOW)
    if state == "closed":
        pc.close(NOW)
        assert lines(pc)["signaling"] == "closed"
    else:
        pc.set_local_description(peer.Description("pranswer", ""), NOW)
        assert "provisional" in lines(pc)["signaling"]
