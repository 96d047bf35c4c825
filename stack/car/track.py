"""A closed track on a flat lawn: a centreline, a width, a start, and landmarks along it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Metres. A 1:10 car is 0.4 m long; the road is as wide to it as a two-lane street to a real one.
WIDTH: Final = 1.4
_SPACING: Final = 0.05  # metres between points of the centreline: a tenth of the car
_CONTROL_POINTS: Final = (
    (0.0, 0.0),
    (5.0, -0.3),
    (9.2, 0.2),
    (11.6, 2.6),
    (10.8, 5.6),
    (7.6, 6.0),
    (5.6, 4.6),
    (3.2, 5.0),
    (1.6, 7.6),
    (-1.6, 8.4),
    (-4.6, 6.8),
    (-5.2, 3.4),
    (-3.6, 0.8),
)


@dataclass(frozen=True, slots=True)
class Pose:
    """A place and a direction in the plane.

    Args:
        x: Metres.
        y: Metres.
        heading: Radians, counter-clockwise from the x axis.
    """

    x: float
    y: float
    heading: float


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a point lies relative to the track.

    Args:
        along: Metres along the centreline from the start, 0..length.
        offset: Metres from the centreline; positive to the left, which is the inside.
        heading: Direction of the centreline there, radians.
    """

    along: float
    offset: float
    heading: float


@dataclass(frozen=True, slots=True)
class Landmark:
    """Something that stands beside the road.

    Args:
        x: Metres.
        y: Metres.
        kind: Name of a sprite in `scenery`.
        height: Metres.
    """

    x: float
    y: float
    kind: str
    height: float


class Track:
    """A smooth closed curve with a road along it.

    Args:
        control_points: Metres, counter-clockwise; a Catmull-Rom spline goes through them.
        width: Of the road, metres.

    Attributes:
        points: Centreline, shape (n, 2), evenly spaced.
        headings: Direction at each point, radians, shape (n,).
        length: Of the centreline, metres.
        landmarks: What stands beside the road.
    """

    def __init__(self, control_points: tuple[tuple[float, float], ...] = _CONTROL_POINTS, width: float = WIDTH) -> None:
        self.width = width
        self.points, self.length = _resample(_catmull_rom(np.array(control_points)))
        steps = np.roll(self.points, -1, axis=0) - np.roll(self.points, 1, axis=0)
        self.headings: Floats = np.arctan2(steps[:, 1], steps[:, 0])
        self.landmarks = self._place_landmarks()

    @property
    def start(self) -> Pose:
        """On the centreline behind the start line, looking along the road."""
        index = len(self.points) - round(1.0 / _SPACING)
        return Pose(float(self.points[index, 0]), float(self.points[index, 1]), float(self.headings[index]))

    @cached_property
    def smallest_radius(self) -> float:
        """Of the centreline, metres."""
        turn = np.diff(np.unwrap(self.headings))
        return float(_SPACING / np.abs(turn).max())

    def locate(self, x: float, y: float) -> Spot:
        """Return where (x, y) in metres lies relative to the track."""
        away = self.points - (x, y)
        index = int(np.argmin(np.einsum("ij,ij->i", away, away)))
        heading = float(self.headings[index])
        cos, sin = np.cos(heading), np.sin(heading)
        dx, dy = -away[index]
        along = index * _SPACING + dx * cos + dy * sin
        return Spot(float(along % self.length), float(dy * cos - dx * sin), heading)

    def point(self, along: float, offset: float = 0.0) -> tuple[float, float]:
        """Return the point `offset` metres left of the centreline, `along` metres from the start."""
        index = int(along / _SPACING) % len(self.points)
        heading = self.headings[index]
        x, y = self.points[index]
        return float(x - offset * np.sin(heading)), float(y + offset * np.cos(heading))

    def _place_landmarks(self) -> list[Landmark]:
        beside = self.width / 2
        found = [Landmark(*self.point(0.0, side * (beside + 0.25)), "gantry-post", 1.1) for side in (-1, 1)]
        for along in np.arange(1.5, self.length - 1.0, 1.6):
            bend = self._bend(float(along))
            if abs(bend) > 0.25:  # radians per metre: mark the outside of what is really a corner
                outside = -np.sign(bend)
                found.append(Landmark(*self.point(float(along), outside * (beside + 0.2)), "cone", 0.24))
        for count, along in enumerate(np.arange(2.5, self.length, 4.2)):
            kind, height = (("tree", 1.7), ("blue-box", 0.4), ("pine", 2.1), ("red-box", 0.4))[count % 4]
            place = self.point(float(along), -(beside + 1.4 + 0.5 * (count % 3)))
            if abs(self.locate(*place).offset) > beside + 0.6:
                found.append(Landmark(*place, kind, height))
        for x, y, kind, height in ((2.0, 2.4, "tree", 1.8), (-1.8, 4.6, "pine", 2.2), (8.4, 2.9, "tree", 1.6)):
            found.append(Landmark(x, y, kind, height))
        return found

    def _bend(self, along: float) -> float:
        """Curvature at `along`, radians per metre; positive to the left."""
        reach = 8
        index = int(along / _SPACING)
        ahead = self.headings[(index + reach) % len(self.headings)]
        behind = self.headings[(index - reach) % len(self.headings)]
        turn = (ahead - behind + np.pi) % (2 * np.pi) - np.pi
        return float(turn / (2 * reach * _SPACING))


def _catmull_rom(knots: Floats) -> Floats:
    """Return a dense closed curve through `knots`, shape (n, 2)."""
    t = np.linspace(0, 1, 100, endpoint=False)[:, None]
    before, after, later = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(before, knots, after, later, strict=True)
    ]
    return np.concatenate(pieces)


def _resample(curve: Floats) -> tuple[Floats, float]:
    """Return `curve` at even distances of `_SPACING`, and its length, a whole number of them."""
    closed = np.vstack([curve, curve[:1]])
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = int(walked[-1] / _SPACING)
    at = np.linspace(0, walked[-1], count, endpoint=False)
    points = np.column_stack([np.interp(at, walked, closed[:, axis]) for axis in (0, 1)])
    return points, count * _SPACING
