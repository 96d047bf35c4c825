"""What it costs to negotiate a session of audio, video and data, in CPU time and on either side."""

import gc
import statistics
import time

from tests.interop import stacks

from .registry import Metric, benchmark

ROUNDS, QUICK_ROUNDS = 40, 8


async def negotiated(stack):
    """CPU seconds of one exchange of descriptions, both sides together; what connects after it does not count."""
    offerer, answerer = stacks.new_connection(stack), stacks.new_connection(stack)
    try:
        offerer.addTransceiver("audio")
        offerer.addTransceiver("video")
        offerer.createDataChannel("negotiate")
        begun = time.process_time()
        await stacks.negotiate(offerer, answerer)
        return time.process_time() - begun
    finally:
        await offerer.close()
        await answerer.close()


@benchmark(Metric("negotiate-cpu", "ms", "lower"), peer="aiortc")
async def negotiate(stack, quick):
    """createOffer, setLocalDescription with gathering, setRemoteDescription and the answer: ms of CPU per side."""
    times = []
    for _ in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        gc.collect()  # not ours to pay within
        times.append(await negotiated(stack))
    return {"negotiate-cpu": statistics.median(times[1:]) / 2 * 1e3}
