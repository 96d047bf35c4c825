"""Processors that do not go to sleep while a latency is measured.

A processor with nothing to do sleeps, and on a virtual machine it is given to somebody else meanwhile: what wakes up
finds cold caches, and each message pays some 100 us that are the machine's. So whoever measures latency asks the
kernel to stay awake, as cyclictest does: Documentation/power/pm_qos_interface.rst of Linux.
"""

import contextlib
import os

DEVICE = "/dev/cpu_dma_latency"


@contextlib.contextmanager
def awake():
    """Keep all processors awake; where that is not allowed, nothing happens. Yields whether it is."""
    try:
        device = os.open(DEVICE, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(device, bytes(4))  # microseconds that waking up may take, as 32 bits; it holds while the file is open
        yield True
    finally:
        os.close(device)
