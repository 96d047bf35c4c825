"""The strip of the picture that a program can read, and the small text above it for people.

The lowest `CELL_ROWS` 1/22.5 of the picture (16 rows of 360) is one row of 40 cells of equal width, dark for 0 and
light for 1, most significant bit first:

    cells  0..15   frame number, modulo 65536
    cells 16..31   time of the picture, milliseconds modulo 65536
    cells 32..39   CRC-8 (polynomial 0x07, initial 0xFF) over those four bytes

At 640 pixels a cell is 16 pixels square: large enough to survive H.264 and VP8 at a poor bit rate. A reader takes the
mean brightness of the middle half of each cell and compares it with 128. `static/dashboard.js` does the same on a
canvas.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core import ParseError

CELLS: Final = 40
MIN_WIDTH: Final = 12 * CELLS  # pixels: below 12 a cell is no longer safe from the codec's blur
STRIP_SHARE: Final = 2 / 45  # of the picture's height
DARK: Final = 24
LIGHT: Final = 228

Image = npt.NDArray[np.uint8]
Canvas = npt.NDArray[np.uint32]

# 3 x 5 pixels per glyph, one octal digit per row.
_FONT: Final = {
    "0": 0o75557, "1": 0o26227, "2": 0o71747, "3": 0o71717, "4": 0o55711, "5": 0o74717, "6": 0o74757, "7": 0o71222,
    "8": 0o75757, "9": 0o75717, ".": 0o00002, ":": 0o02020, "-": 0o00700, "/": 0o11244, " ": 0o00000, "#": 0o57575,
    "m": 0o57755, "s": 0o03636, "k": 0o45655, "h": 0o44655,
}  # fmt: skip


def strip_height(height: int) -> int:
    """Return the rows that the strip takes of a picture of `height` rows."""
    return max(8, round(height * STRIP_SHARE))


def crc8(data: bytes) -> int:
    """Return the CRC-8 (polynomial 0x07, initial 0xFF) of `data`."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def draw_strip(canvas: Canvas, frame_number: int, milliseconds: int) -> None:
    """Draw the cells into the lowest rows of a canvas of packed pixels, shape (height, width)."""
    payload = (frame_number & 0xFFFF).to_bytes(2, "big") + (milliseconds & 0xFFFF).to_bytes(2, "big")
    bits = np.unpackbits(np.frombuffer(payload + bytes([crc8(payload)]), np.uint8))
    height, width = canvas.shape
    row = np.where(bits, np.uint32(LIGHT * 0x10101), np.uint32(DARK * 0x10101))
    canvas[height - strip_height(height) :] = row[np.arange(width) * CELLS // width]


def read_dashboard(image: Image) -> tuple[int, int]:
    """Read the strip.

    Args:
        image: RGB of shape (height, width, 3); scaled or compressed as long as a cell is still some pixels wide.

    Returns:
        Frame number and milliseconds, both modulo 65536.

    Raises:
        ParseError: `bad-shape`, or `bad-checksum` if the cells do not hold together.
    """
    if image.ndim != 3 or image.shape[2] < 3 or image.shape[1] < 2 * CELLS or image.shape[0] < 45:
        raise ParseError("bad-shape", str(image.shape))
    height, width = image.shape[:2]
    rows = strip_height(height)
    top, bottom = height - rows + rows // 4, height - rows // 4
    cell = width / CELLS
    bright = image[top:bottom, :, :3].mean(axis=(0, 2))
    bits = [
        bright[int((i + 0.25) * cell) : max(int((i + 0.75) * cell), int((i + 0.25) * cell) + 1)].mean() > 128
        for i in range(CELLS)
    ]
    payload = np.packbits(np.array(bits)).tobytes()
    if crc8(payload[:4]) != payload[4]:
        raise ParseError("bad-checksum", payload.hex())
    return int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")


def draw_text(canvas: Canvas, text: str, x: int, y: int, scale: int = 2) -> None:
    """Draw `text` in light on a dark plate, top left at (x, y). Characters without a glyph are left blank."""
    bitmap = np.zeros((7, 4 * len(text) + 1), bool)
    for index, letter in enumerate(text):
        glyph = _FONT.get(letter, 0)
        for row in range(5):
            for column in range(3):
                bitmap[row + 1, 4 * index + 1 + column] = glyph >> (3 * (4 - row) + 2 - column) & 1
    large: Any = bitmap.repeat(scale, 0).repeat(scale, 1)
    plate = canvas[y : y + large.shape[0], x : x + large.shape[1]]
    plate[:] = np.where(large[: plate.shape[0], : plate.shape[1]], np.uint32(0xF0F0F0), np.uint32(0x281E1C))
