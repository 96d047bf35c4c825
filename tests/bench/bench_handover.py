"""For how long a call is silent when the network in use goes.

Two whole peer connections in this process, on the simulated network of `stack.testing`: time is virtual, so that the
numbers are the same on every machine and in every run, and tell of the protocols and not of the scheduler. One side has
a wireless network at home, 40 ms round trip to the other one, and a mobile one, 80 ms with jitter; both are behind NATs
that filter by port. Both send a message every 20 ms, which is therefore the least that can be measured. Real interfaces
die in tests/netns.
"""

from tests.simulation.test_handover import Phone

from .registry import Metric, benchmark

SEEDS = 10
SECONDS = 10.0  # of virtual time after the change


def dark(phone):
    phone.wifi.dark = True


def removed(phone):
    phone.host.remove_interface("wifi")
    phone.shell.unbind("wifi")


def worst(change, seeds, *, video=False):
    """The longest that either side gets no message, or no frame of video, seconds; with either side as the offerer."""
    gaps = []
    for seed in range(seeds):
        for offers in (True, False):
            phone = Phone(offers=offers, seed=seed, video=video)
            begin = phone.network.now
            gap = phone.gap_after(lambda phone=phone: change(phone), SECONDS)
            gaps.append(phone.call.longest_freeze(begin) if video else gap)
            if phone.interface_in_use != "4g":
                raise RuntimeError(f"seed {seed}: the call did not move")
    return max(gaps)


@benchmark(
    Metric("handover", "s", "lower"), Metric("handover-removed", "s", "lower"), Metric("handover-video", "s", "lower")
)
def handover(side, quick):
    """An interface that carries nothing any more, without a word; and one that the operating system takes away.

    The worst of some seeds, each once with the moving side as the offerer and once as the answerer. In virtual time.
    `handover-video` is how long the picture stands still in the first case, until a frame that can be decoded is there.
    """
    seeds = 2 if quick else SEEDS
    return {
        "handover": worst(dark, seeds),
        "handover-removed": worst(removed, seeds),
        "handover-video": worst(dark, seeds, video=True),
    }
