"""What the asyncio shell reads off the network itself: frames of ICE-TCP, multicast DNS."""

from stack.aio.mdns_wire import MAX_ENTRIES, parse, response
from stack.aio.stream_connection import MAX_FRAME, FrameDeframer
from stack.core import ParseError


def check_frames(data: bytes) -> None:
    """However a stream is cut, the same frames come out, or the same fault; and what is kept is bounded."""
    results = []
    for step in (len(data) or 1, 1, 7):
        deframer, found, fault = FrameDeframer(), [], ""
        try:
            for start in range(0, len(data), step):
                found += deframer.push(data[start : start + step])
                if deframer.buffered > MAX_FRAME + 2:
                    raise AssertionError(f"{deframer.buffered} bytes are kept")
        except ParseError as error:
            fault = error.reason
        results.append((found if not fault else None, fault))
    if any(result != results[0] for result in results):
        raise AssertionError("it depends on how the stream is cut")


def check_mdns(data: bytes) -> None:
    """Parse raises only ParseError, is bounded, and addresses survive being written again."""
    try:
        message = parse(data)
    except ParseError:
        return
    if len(message.questions) + len(message.records) > MAX_ENTRIES:
        raise AssertionError("too many entries")
    for record in message.records:
        labels = record.name.split(".")
        if record.name.isascii() and all(0 < len(label) < 64 for label in labels) and len(record.name) < 200:
            again = parse(response([record])).records
            if again != [record]:
                raise AssertionError(f"{again} is not {record}")


TARGETS = {"aio-frames": check_frames, "aio-mdns": check_mdns}
