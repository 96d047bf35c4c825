"""Serial number arithmetic (RFC 1982) for 16- and 32-bit counters."""


def serial16_gt(a: int, b: int) -> bool:
    """Tell whether 16-bit serial number `a` is later than `b`."""
    return 0 < (a - b) & 0xFFFF < 0x8000


def serial32_gt(a: int, b: int) -> bool:
    """Tell whether 32-bit serial number `a` is later than `b`."""
    return 0 < (a - b) & 0xFFFFFFFF < 0x80000000


def unwrap16(value: int, reference: int) -> int:
    """Return the integer congruent to `value` modulo 2**16 that is nearest to `reference`, which may be any integer."""
    return reference + ((value - reference + 0x8000) & 0xFFFF) - 0x8000


def unwrap32(value: int, reference: int) -> int:
    """Return the integer congruent to `value` modulo 2**32 that is nearest to `reference`, which may be any integer."""
    return reference + ((value - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
