"""How the encodings of one source share a bitrate: the smallest picture first (simulcast)."""

from collections.abc import Sequence
from typing import Final

from .layers import Encoding, Layer

FULL_BITRATE: Final = 2_500_000
"""bit/s of pictures that are not scaled down and have no limit of their own: what browsers send of 720p. Smaller ones
take so much less as they have fewer pixels, which for a half and a quarter is close to browsers' table as well."""

LEAST_SHARE: Final = 0.25
"""Of its full bitrate, below which an encoding is not sent: the next smaller one looks better for less."""

MARGIN: Final = 1.2
"""Above that share which an encoding must find to come back, so that it does not come and go (libwebrtc's figure)."""


def full_bitrate(encoding: Encoding) -> int:
    """Return what an encoding takes before the next larger one gets anything, bit/s."""
    nominal = round(FULL_BITRATE / encoding.scale_resolution_down_by**2)
    return nominal if encoding.max_bitrate is None else min(encoding.max_bitrate, FULL_BITRATE)


def allocate(layers: Sequence[Layer], bitrate: int) -> list[int]:
    """Divide a bitrate among encodings.

    The smallest active one gets what there is, up to its full bitrate; then the next larger one, if it gets a quarter
    of its own; and so on. The largest one that is sent gets what is left. So every receiver of a forwarding server has
    something to see before one of them sees more.

    Args:
        layers: In any order; those that have a target already are sent.
        bitrate: bit/s of all.

    Returns:
        bit/s of each, in the order given; 0 for those that are not to be sent.
    """
    shares = [0] * len(layers)
    active = [index for index, layer in enumerate(layers) if layer.encoding.active]
    active.sort(key=lambda i: (-layers[i].encoding.scale_resolution_down_by, full_bitrate(layers[i].encoding)))
    left, top = bitrate, None
    for index in active:
        layer = layers[index]
        full = full_bitrate(layer.encoding)
        least = full * LEAST_SHARE * (1.0 if layer.target_bitrate else MARGIN)
        if top is not None and left < least:
            break
        shares[index] = min(left, full)
        left -= shares[index]
        top = index
    if top is not None:
        limit = layers[top].encoding.max_bitrate
        shares[top] += left if limit is None else min(left, limit - shares[top])
    return shares
