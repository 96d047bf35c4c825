"""Each named limit of the endpoint, hit."""

import pytest

from stack.core import LocalError
from stack.datachannel import (
    CLOSE_TIMEOUT,
    DEFAULT_MAX_MESSAGE_SIZE,
    MAX_CHANNELS,
    MAX_PENDING_BYTES,
    MAX_PENDING_MESSAGES,
    MAX_PENDING_RESETS,
    Closed,
    Endpoint,
    Open,
    ResetRequested,
    serialize,
)

from .support import Pair, drain

OPEN = serialize(Open("x"))


def max_channels():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    for n in range(MAX_CHANNELS // 2):
        end.open("ours", now=1.0)
        end.receive_message(2 * n + 1, 50, OPEN, 1.0)
    assert len(end.channels) == MAX_CHANNELS
    with pytest.raises(LocalError, match="channels already"):
        end.open("one more", now=1.0)
    drain(end)
    end.receive_message(2 * MAX_CHANNELS + 1, 50, OPEN, 1.0)
    assert end.dropped == {"too-many-channels": 1}
    assert drain(end) == [ResetRequested(2 * MAX_CHANNELS + 1)]
    waiting = Endpoint(max_channels=2)
    waiting.open("x", now=1.0)
    waiting.open("y", now=1.0)
    with pytest.raises(LocalError, match="channels already"):
        waiting.open("z", now=1.0)


def max_pending_messages():
    pair = Pair()
    near, _ = pair.open()
    for _ in range(MAX_PENDING_MESSAGES):
        pair.a.send(near, b"", 10.0)
    with pytest.raises(LocalError, match="too much"):
        pair.a.send(near, b"", 10.0)
    assert len(pair.a.datagrams_to_send(10.0)) == MAX_PENDING_MESSAGES
    pair.a.send(near, b"", 10.0)
    assert len(pair.a.datagrams_to_send(10.0)) == 1


def max_pending_bytes():
    pair = Pair(max_message_size=0)
    near, _ = pair.open()
    for _ in range(4):
        pair.a.send(near, bytes(MAX_PENDING_BYTES // 4), 10.0)
    with pytest.raises(LocalError, match="too much"):
        pair.a.send(near, b"x", 10.0)
    assert len(pair.a.datagrams_to_send(10.0)) == 4
    pair.a.send(near, b"x", 10.0)


def max_pending_resets():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    for n in range(MAX_PENDING_RESETS + 5):
        end.receive_message(2 * n, 50, OPEN, 1.0)  # our parity
    assert end.dropped == {"wrong-parity": MAX_PENDING_RESETS + 5}
    assert len(drain(end)) == MAX_PENDING_RESETS
    end.outgoing_reset_done(0, 1.0)
    end.receive_message(0, 50, OPEN, 1.0)
    assert drain(end) == [ResetRequested(0)]


def max_message_size():
    pair = Pair()
    near, _ = pair.open()
    pair.a.send(near, bytes(DEFAULT_MAX_MESSAGE_SIZE), 10.0)
    with pytest.raises(LocalError, match="the peer takes 262144"):
        pair.a.send(near, bytes(DEFAULT_MAX_MESSAGE_SIZE + 1), 10.0)


def close_timeout():
    pair = Pair()
    pair.open()
    pair.a.close(10.0)
    drain(pair.a)
    pair.a.handle_timer(10.0 + CLOSE_TIMEOUT)
    assert drain(pair.a)[-1] == Closed(None)


LIMITS = {
    "MAX_CHANNELS": max_channels,
    "MAX_PENDING_MESSAGES": max_pending_messages,
    "MAX_PENDING_BYTES": max_pending_bytes,
    "MAX_PENDING_RESETS": max_pending_resets,
    "DEFAULT_MAX_MESSAGE_SIZE": max_message_size,
    "CLOSE_TIMEOUT": close_timeout,
}
