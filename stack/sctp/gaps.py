"""Gap ack blocks as TSN ranges (RFC 9260 section 3.3.4)."""


def parse_gaps(offsets: tuple[int, ...], base: int, outstanding: int) -> list[tuple[int, int]]:
    """Return gap ack blocks as ascending, disjoint TSN ranges, ends included, within what is outstanding.

    Args:
        offsets: As on the wire: start and end of each block, relative to `base`.
        base: Cumulative TSN.
        outstanding: How many TSNs behind it were sent.
    """
    if list(offsets) == sorted(offsets) and (not offsets or (offsets[0] > 0 and offsets[-1] <= outstanding)):
        return [(base + start, base + end) for start, end in zip(offsets[::2], offsets[1::2], strict=True)]
    gaps: list[tuple[int, int]] = []
    previous = 0
    for start, end in zip(offsets[::2], offsets[1::2], strict=True):
        first, last = max(start, previous + 1), min(end, outstanding)
        if first <= last:
            gaps.append((base + first, base + last))
            previous = last
    return gaps


def subtract(ranges: list[tuple[int, int]], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is in `ranges` and not in `other`; both ascending and disjoint, ends included."""
    if not other:
        return ranges
    left: list[tuple[int, int]] = []
    index, count = 0, len(other)
    for start, end in ranges:
        at = start
        while index < count and other[index][1] < at:
            index += 1
        probe = index
        while probe < count and other[probe][0] <= end:
            if other[probe][0] > at:
                left.append((at, other[probe][0] - 1))
            at = other[probe][1] + 1
            probe += 1
        if at <= end:
            left.append((at, end))
    return left
