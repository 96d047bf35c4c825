"""createDataChannel: W3C's options and errors, and ours."""

import pytest

from stack import InvalidStateError, OperationError, RTCPeerConnection


@pytest.fixture
async def pc():
    async with RTCPeerConnection() as pc:
        yield pc


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "\u00e9" * 32768}, "label has 65536 bytes"),
        ({"protocol": "p" * 65536}, "protocol has 65536 bytes"),
        ({"maxRetransmits": 1, "maxPacketLifeTime": 1}, "not both"),
        ({"maxRetransmits": -1}, "must be 0"),
        ({"negotiated": True}, "needs an id"),
        ({"negotiated": True, "id": 65535}, "must be 0"),
        ({"priority": "urgent"}, "very-low, low, medium, high"),
    ],
)
async def test_what_no_channel_can_have_is_a_type_error(pc, options, words):
    with pytest.raises(TypeError, match=words):
        pc.createDataChannel(**{"label": "x", **options})
    assert pc._machine.transport.channels.channels == ()


async def test_an_id_that_is_used_and_one_channel_too_many_are_operation_errors(pc):
    pc.createDataChannel("x", negotiated=True, id=7)
    with pytest.raises(OperationError, match="id 7 is used"):
        pc.createDataChannel("y", negotiated=True, id=7)
    for _ in range(1023):
        pc.createDataChannel("x")
    with pytest.raises(OperationError, match="1024 channels already"):
        pc.createDataChannel("x")


async def test_on_a_closed_connection_it_is_an_invalid_state(pc):
    await pc.close()
    with pytest.raises(InvalidStateError, match="closed"):
        pc.createDataChannel("x")


@pytest.mark.parametrize("priority", ["very-low", "low", "medium", "high"])
async def test_priority_is_what_was_asked_for(pc, priority):
    assert pc.createDataChannel("x", priority=priority).priority == priority


async def test_a_latest_value_channel_from_the_start(pc):
    assert pc.createDataChannel("x", latest=True).latest
    assert not pc.createDataChannel("x").latest
