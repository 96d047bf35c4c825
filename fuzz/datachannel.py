"""Data channels: DCEP messages, the endpoint."""

from stack.core import LocalError, ParseError
from stack.datachannel import ChannelClosed, Closed, Endpoint, parse, serialize


def check_dcep(data: bytes) -> None:
    """Parse raises only ParseError, and what it returns survives serialize and parse unchanged."""
    try:
        message = parse(data)
    except ParseError:
        return
    again = parse(serialize(message))
    if again != message:
        raise AssertionError(f"{again} is not {message}")


PPIDS = (50, 51, 52, 53, 54, 56, 57, 0)


def check_endpoint(data: bytes) -> None:
    """Any script of messages, resets and commands raises nothing; each channel ends once, and nothing follows Closed.

    The input is a script of steps: an action, a stream, a length, and as many bytes of message.
    """
    end, now = Endpoint(is_dtls_client=True), 0.0
    events = []
    at = 0
    while at + 3 <= len(data):
        action, stream_id, length = data[at], data[at + 1] & 7, data[at + 2]
        _step(end, action, stream_id, data[at + 3 : at + 3 + length], now)
        at += 3 + length
        now += 0.25
        announced = len(end.outbox)
        if len(end.datagrams_to_send(now)) != announced:
            raise AssertionError("pending is not what the drain returns")
        if end.outbox or end.datagrams_to_send(now):
            raise AssertionError("the second drain is not empty")
        while (event := end.next_event()) is not None:
            events.append(event)
    _check_events(end, events)


def _step(end: Endpoint, action: int, stream_id: int, message: bytes, now: float) -> None:
    if action & 0x80:
        end.receive_message(stream_id, PPIDS[action & 7], message, now)
        return
    channels = end.channels
    match action & 0x0F:
        case 0 | 1:
            end.set_connected(now)
        case 2:
            end.stream_reset_by_peer(stream_id, now)
        case 3:
            end.outgoing_reset_done(stream_id, now)
        case 4:
            end.handle_timer(now)
        case 5 if stream_id < len(channels):
            end.close_channel(channels[stream_id], now)
        case 6:
            end.close(now)
        case _:
            try:
                channel = end.open("x", negotiated=bool(action & 0x10), id=stream_id, now=now)
                channel.latest = bool(action & 0x20)
                end.send(end.channels[0], message, now)
                if end.compose(channel, message).latest != channel.latest:
                    raise AssertionError("a message is of another kind than its channel")
            except LocalError:
                return


def _check_events(end: Endpoint, events: list) -> None:
    ended = [event.channel for event in events if isinstance(event, ChannelClosed)]
    if len(set(map(id, ended))) != len(ended):
        raise AssertionError("a channel ended twice")
    if any(isinstance(event, Closed) for event in events[:-1]):
        raise AssertionError("something follows the terminal event")
    if events and isinstance(events[-1], Closed) and (end.channels or end.next_timer() is not None):
        raise AssertionError("closed, and not at rest")
    if any(channel.state == "closed" for channel in end.channels):
        raise AssertionError("a closed channel is still listed")


TARGETS = {"datachannel-dcep": check_dcep, "datachannel-endpoint": check_endpoint}
