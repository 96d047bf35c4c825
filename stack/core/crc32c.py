"""The one seam to CRC32c (RFC 9260 appendix A): swap the implementation here and nowhere else."""

from crc32c import crc32c

__all__ = ["crc32c"]
