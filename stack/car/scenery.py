"""What the car's world looks like: colours of the ground, the panorama around it, sprites beside the road.

All images here are made once at the start, from formulas; pixels are packed as 0xBBGGRR in `uint32`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .physics import WALL
from .track import Track

Canvas = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]
Rgb = tuple[float, float, float]

HAZE: Final[Rgb] = (186, 202, 214)
_GRASS: Final[Rgb] = (92, 128, 62)
_ASPHALT: Final[Rgb] = (66, 68, 76)
_LINE: Final[Rgb] = (232, 232, 226)
_DASH: Final[Rgb] = (236, 190, 70)
_KERB: Final[tuple[Rgb, Rgb]] = ((206, 52, 46), (236, 234, 230))
_WALL: Final[Rgb] = (58, 56, 60)

# Axes of the ground's colour table: blur, dash or kerb phase, grain, distance from the centreline.
LEVELS: Final = 8
PHASES: Final = 16
GRAINS: Final = 8
OFFSETS: Final = 512
OFFSET_STEP: Final = 0.01  # metres per bin: thinner than the thinnest line


def pack(rgb: Floats) -> Canvas:
    """Pack an array of shape (..., 3) of 0..255 into pixels."""
    whole = np.clip(np.rint(rgb), 0, 255).astype(np.uint32)
    packed = whole[..., 0] | whole[..., 1] << 8 | whole[..., 2] << 16
    return packed.astype(np.uint32)


def ground_table(track: Track) -> Canvas:
    """Return the colour of the ground, shape (LEVELS, PHASES, GRAINS, OFFSETS).

    Level n is blurred over 2**n centimetres across the road, and has less grain: that is what the eye and the encoder
    want in the distance.
    """
    offset = np.abs((np.arange(OFFSETS) - OFFSETS // 2) * OFFSET_STEP)
    edge = track.width / 2
    plain = np.empty((PHASES, OFFSETS, 3))
    for phase in range(PHASES):
        share = np.clip((phase - PHASES / 2 + 0.5) / 2 + 0.5, 0, 1)  # soft ends, for the same reason as the blur
        strip = np.where(offset[:, None] < edge, _ASPHALT, _GRASS)
        strip[(offset > edge - 0.10) & (offset <= edge - 0.05)] = _LINE
        strip[(offset > edge - 0.04) & (offset <= edge + 0.06)] = _mix(_KERB[0], _KERB[1], share)
        strip[offset < 0.03] = _mix(_ASPHALT, _DASH, share)
        strip[(offset > edge + WALL) & (offset < edge + WALL + 0.12)] = _WALL
        plain[phase] = strip
    grains = np.linspace(-1, 1, GRAINS)
    table = np.empty((LEVELS, PHASES, GRAINS, OFFSETS, 3))
    for level in range(LEVELS):
        width = 2**level
        padded = np.pad(plain, ((0, 0), (width, width), (0, 0)), mode="edge")
        total = np.cumsum(np.pad(padded, ((0, 0), (1, 0), (0, 0))), axis=1)
        blurred = (total[:, width + 1 + width // 2 :][:, :OFFSETS] - total[:, width // 2 + 1 :][:, :OFFSETS]) / width
        mean = blurred.mean(axis=0, keepdims=True)  # far dashes run together
        blurred += (mean - blurred) * max(0.0, (level - 4) / (LEVELS - 4))
        amplitude = 11.0 * max(0.0, 1 - level / 4)
        haze = 0.34 * (level / (LEVELS - 1)) ** 2
        grained = blurred[:, None] + grains[:, None, None] * amplitude
        table[level] = grained * (1 - haze) + np.array(HAZE) * haze
    return pack(table)


def grain_tile(size: int = 256) -> npt.NDArray[np.int32]:
    """Return a tile of smooth noise 0..GRAINS-1 that joins at its edges, shape (size, size)."""
    noise = np.random.default_rng(5).normal(size=(size, size))
    smooth = sum(np.roll(noise, (i, j), (0, 1)) for i in range(3) for j in range(3))
    ranks = np.argsort(np.argsort(smooth, axis=None)).reshape(size, size)
    return (ranks * GRAINS // ranks.size).astype(np.int32)


def panorama(columns: int, rows: int) -> Canvas:
    """Return sky, clouds and hills all the way round, shape (rows, columns); the last row touches the horizon."""
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    height = np.linspace(1, 0, rows)[:, None]
    top, low = np.array((72.0, 130.0, 196.0)), np.array(HAZE)
    image = low + (top - low) * (height**0.75)[..., None] + np.zeros((rows, columns, 1))
    cloud = sum(
        np.sin(k * angle + p + 2.2 * np.sin(q * height + k)) * np.sin(q * height + p) / k**0.5
        for k, p, q in ((3, 0.4, 9.0), (7, 1.9, 13.0), (12, 4.0, 19.0), (19, 2.2, 27.0))
    )
    cover = np.clip(cloud - 0.45, 0, 1)[..., None] * np.clip((height - 0.22) * 3, 0, 1)[..., None] * 0.75
    image += (np.array((248.0, 249.0, 250.0)) - image) * cover
    for base, swell, harmonics, colour in (
        (0.17, 0.075, (3, 5, 11, 23), (128, 152, 172)),
        (0.10, 0.055, (4, 9, 17, 37), (98, 130, 124)),
        (0.035, 0.022, (13, 29, 61, 97), (66, 98, 70)),
    ):
        ridge = base + swell * sum(np.sin(k * angle + 1.7 * k) / (i + 1) for i, k in enumerate(harmonics)) / 1.6
        image = np.where((height < ridge)[..., None], np.array(colour, float) + 26 * (ridge - height)[..., None], image)
    return pack(image)


def sprites(size: int = 256) -> dict[str, tuple[Canvas, npt.NDArray[np.bool_], float]]:
    """Return the things beside the road: pixels and mask of shape (size, size), and width divided by height."""
    y, x = np.mgrid[0:size, 0:size] / size
    x = x * 2 - 1  # -1 left .. 1 right; y 0 top .. 1 bottom
    light = 1 - 0.28 * x
    found = {}

    def add(name: str, aspect: float, *layers: tuple[npt.NDArray[np.bool_], Rgb]) -> None:
        mask = np.zeros((size, size), bool)
        image = np.zeros((size, size, 3))
        for shape, colour in layers:
            image[shape] = (np.array(colour) * light[..., None])[shape]
            mask |= shape
        found[name] = (pack(image), mask, aspect)

    body = (np.abs(x) < 0.08 + 0.6 * y) & (y < 0.92)
    base = (y >= 0.9) & (np.abs(x) < 0.95)
    stripe = ((y > 0.34) & (y < 0.5)) | ((y > 0.66) & (y < 0.78))
    add("cone", 0.8, (body, (238, 104, 28)), (body & stripe, (244, 240, 232)), (base, (196, 74, 18)))
    blobs = ((0.0, 0.3, 0.62, 0.3), (-0.45, 0.44, 0.5, 0.22), (0.45, 0.46, 0.5, 0.22), (0.1, 0.55, 0.7, 0.2))
    crown = np.zeros((size, size), bool)
    for cx, cy, rx, ry in blobs:
        crown |= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    shine = crown & (((x + 0.25) / 0.5) ** 2 + ((y - 0.28) / 0.2) ** 2 < 1)
    trunk = (np.abs(x) < 0.08) & (y > 0.6)
    add("tree", 0.75, (trunk, (96, 70, 48)), (crown, (58, 104, 46)), (shine, (76, 126, 56)))
    tiers = np.zeros((size, size), bool)
    for tip, foot, reach in ((0.0, 0.42, 0.5), (0.22, 0.66, 0.72), (0.46, 0.9, 0.92)):
        tiers |= (y >= tip) & (y < foot) & (np.abs(x) < (y - tip) / (foot - tip) * reach)
    add("pine", 0.5, ((np.abs(x) < 0.12) & (y > 0.85), (88, 62, 44)), (tiers, (38, 82, 56)))
    for name, colour in (("blue-box", (44, 104, 190)), ("red-box", (190, 58, 50))):
        lid = (y < 0.16) & (np.abs(x) < 0.86)
        side = (y >= 0.16) & (np.abs(x) < 0.86)
        band = side & (np.abs(y - 0.56) < 0.08)
        bright = (min(255, colour[0] + 40), min(255, colour[1] + 40), min(255, colour[2] + 40))
        add(name, 1.2, (side, colour), (lid, bright), (band, (236, 236, 232)))
    pole = np.abs(x) < 0.55
    checks = pole & ((np.floor(y * 12) + np.floor((x + 0.55) / 0.55)) % 2 == 0)
    add("gantry-post", 0.12, (pole, (236, 236, 236)), (checks, (28, 28, 32)))
    return found


def bonnet(width: int, height: int) -> tuple[Canvas, npt.NDArray[np.bool_]]:
    """Return the car's nose at the lower edge of the picture: pixels and mask of shape (height, width)."""
    y, x = np.mgrid[0:height, 0:width]
    x = np.abs(x / width * 2 - 1)
    y = y / height
    image = np.zeros((height, width, 3))
    shape = (x < 0.12 + 0.20 * np.sqrt(y)) & (y > 0.22 * (x / 0.3) ** 2)
    image[:] = np.array((168.0, 30.0, 34.0)) * (1.25 - 0.5 * y - 0.8 * x)[..., None]
    image[x < 0.035] = (236, 236, 232)
    image[(x > 0.035) & (x < 0.042)] = (90, 16, 18)
    return pack(image), shape


def _mix(a: Rgb, b: Rgb, share: float) -> Floats:
    return np.array(a) * (1 - share) + np.array(b) * share
