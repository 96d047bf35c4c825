"""The bulk transfer of `bench_datachannel` against libdatachannel, which is written in C++."""

from .bench_datachannel import bulk
from .native import NAME
from .registry import Metric, benchmark

RESULTS = {
    "datachannel-bulk": "datachannel-bulk-native",
    "datachannel-cpu-per-gb": "datachannel-cpu-per-gb-native",
}


@benchmark(
    Metric("datachannel-bulk-native", "Mbit/s", "higher"),
    Metric("datachannel-cpu-per-gb-native", "CPU s/GB", "lower"),
    peer=NAME,
)
async def native(stack, quick):
    """16 KiB messages on a reliable ordered channel; CPU of the sender and the receiver together."""
    found = await bulk(stack, quick)
    return {name: found[origin] for origin, name in RESULTS.items()}
