"""Renders what the driver sees: the ground by inverse perspective, landmarks as billboards, the dashboard strip.

The picture is built in packed pixels, and everything that does not depend on the car's pose is computed once: a frame
is a handful of NumPy passes, a few milliseconds at 640x360.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..core import LocalError
from . import dashboard, scenery
from .track import Landmark, Pose, Track

Image = npt.NDArray[np.uint8]
Floats32 = npt.NDArray[np.float32]

EYE_HEIGHT: Final = 0.34  # metres
EYE_AHEAD: Final = 0.08  # metres before the rear axle
PITCH: Final = math.radians(9)  # down
FIELD_OF_VIEW: Final = math.radians(80)  # horizontal
NEAREST: Final = 0.22  # metres; a landmark closer than that is beside or under the car
FARTHEST: Final = 40.0  # metres; a pixel of a landmark there is larger than the landmark
MAX_PIXELS: Final = 1920 * 1080  # beyond that a frame takes longer than its turn
_DASH_LENGTH: Final = 0.6  # metres of one dash and one gap
_GRID: Final = 0.1  # metres between samples of the distance field
_MARGIN: Final = 3.0  # metres of field around the centreline
_COARSE: Final = 8  # pixels between exact samples in a row; linear between them, as the ground is
_START_LINE: Final = 0.3  # metres along the road
_RAMP: Final[Floats32] = (np.arange(_COARSE) / _COARSE).astype(np.float32)


@dataclass(frozen=True, slots=True)
class View:
    """What is shown beside the world itself.

    Args:
        pose: Of the car.
        speed: m/s.
        frame_number: Goes into the dashboard, modulo 65536.
        milliseconds: Time of the picture for the dashboard, modulo 65536.
    """

    pose: Pose
    speed: float = 0.0
    frame_number: int = 0
    milliseconds: int = 0


class Camera:
    """The camera of one car on one track. Not thread-safe: the picture's buffers are reused.

    Args:
        track: What to look at.
        width: Pixels, even, at least `dashboard.MIN_WIDTH`.
        height: Pixels, even.

    Raises:
        LocalError: If the size is not usable.
    """

    def __init__(self, track: Track, width: int = 640, height: int = 360) -> None:
        if width < dashboard.MIN_WIDTH or height < width // 3 or width % 2 or height % 2 or width * height > MAX_PIXELS:
            raise LocalError(
                f"{width}x{height}: the picture must be even, at least {dashboard.MIN_WIDTH} wide, "
                f"not flatter than 3:1 and at most {MAX_PIXELS} pixels"
            )
        self.width, self.height = width, height
        self._track = track
        self._focal = width / 2 / math.tan(FIELD_OF_VIEW / 2)
        self._centre = (height - dashboard.strip_height(height)) / 2
        self._horizon = int(self._centre - self._focal * math.tan(PITCH)) + 1
        self._canvas = np.zeros((height, width), np.uint32)
        self._sprites = scenery.sprites()
        self._prepare_ground()
        self._prepare_sky()
        self._bonnet = scenery.bonnet(width, height // 7)

    def render(self, view: View) -> Image:
        """Return the picture, RGB of shape (height, width, 3); the caller owns it."""
        canvas = self._canvas
        pose = view.pose
        eye = Pose(
            pose.x + EYE_AHEAD * math.cos(pose.heading), pose.y + EYE_AHEAD * math.sin(pose.heading), pose.heading
        )
        self._draw_sky(eye.heading)
        self._draw_ground(eye)
        self._draw_start_line(eye)
        self._draw_landmarks(eye)
        bottom = self.height - dashboard.strip_height(self.height)
        pixels, mask = self._bonnet
        np.copyto(canvas[bottom - pixels.shape[0] : bottom], pixels, where=mask)
        ms = view.milliseconds & 0xFFFF
        text = f"{view.frame_number & 0xFFFF:05d}  {ms // 1000:02d}.{ms % 1000:03d} s  {abs(view.speed):.1f} m/s"
        scale = max(2, self.width // 320)
        dashboard.draw_text(canvas, text, 8, bottom - 7 * scale - 8, scale)
        dashboard.draw_strip(canvas, view.frame_number, ms)
        return np.ascontiguousarray(canvas.view(np.uint8).reshape(self.height, self.width, 4)[:, :, :3])

    def _prepare_ground(self) -> None:
        """Where each pixel below the horizon meets the ground, in the camera's frame; the distance field; colours."""
        bottom = self.height - dashboard.strip_height(self.height)
        rows = np.arange(self._horizon, bottom)
        down = (rows + 0.5 - self._centre) / self._focal
        reach = EYE_HEIGHT / (math.sin(PITCH) + down * math.cos(PITCH))
        ahead = reach * (math.cos(PITCH) - down * math.sin(PITCH))
        columns = np.arange(0, self.width + _COARSE, _COARSE)
        left = (self.width / 2 - 0.5 - columns) / self._focal
        self._ground_rows = slice(self._horizon, bottom)
        self._ahead = ahead.astype(np.float32)[:, None]
        self._left = (reach[:, None] * left).astype(np.float32)
        exact = (self.width / 2 - 0.5 - np.arange(self.width)) / self._focal
        self._left_exact = (reach[:, None] * exact).astype(np.float32)
        across = reach / self._focal
        along = np.abs(np.gradient(ahead))
        level = np.clip(np.log2(np.sqrt(across * along) / scenery.OFFSET_STEP), 0, scenery.LEVELS - 1)
        stride = scenery.PHASES * scenery.GRAINS * scenery.OFFSETS
        self._level_base = (np.rint(level).astype(np.int32) * stride)[:, None]
        self._table = scenery.ground_table(self._track).reshape(-1)
        self._grain = scenery.grain_tile()
        self._prepare_field()

    def _prepare_field(self) -> None:
        points = self._track.points
        self._corner = points.min(axis=0) - _MARGIN
        nx, ny = np.ceil((points.max(axis=0) + _MARGIN - self._corner) / _GRID).astype(int) + 1
        self._field_shape = (nx, ny)
        field = np.empty((nx, ny, 2), np.float32)
        ys = self._corner[1] + np.arange(ny) * _GRID
        dashes = round(self._track.length / _DASH_LENGTH)
        normals = np.column_stack([-np.sin(self._track.headings), np.cos(self._track.headings)])
        up = ys[:, None] - points[:, 1]
        up_squared = up * up
        every = np.arange(ny)
        for ix in range(nx):
            right = self._corner[0] + ix * _GRID - points[:, 0]
            squares = up_squared + right * right
            nearest = squares.argmin(axis=1)
            field[ix, :, 0] = right[nearest] * normals[nearest, 0] + up[every, nearest] * normals[nearest, 1]
            field[ix, :, 1] = np.sin(2 * np.pi * dashes * nearest / len(points))
        self._field = field.reshape(-1, 2)

    def _prepare_sky(self) -> None:
        columns = 4 * self.width
        self._panorama = scenery.panorama(columns, self._horizon)
        angle = np.arctan2(self.width / 2 - 0.5 - np.arange(self.width), self._focal)
        self._sky_columns = angle / (2 * math.pi) * columns

    def _draw_sky(self, heading: float) -> None:
        columns = self._panorama.shape[1]
        # Columns count to the right, angles to the left.
        at = (-(heading / (2 * math.pi) * columns) - self._sky_columns).astype(np.int32) % columns
        np.take(self._panorama, at, axis=1, out=self._canvas[: self._horizon])

    def _draw_ground(self, eye: Pose) -> None:
        cos, sin = np.float32(math.cos(eye.heading)), np.float32(math.sin(eye.heading))
        samples = self._sample_field(
            np.float32(eye.x) + self._ahead * cos - self._left * sin,
            np.float32(eye.y) + self._ahead * sin + self._left * cos,
        )
        offset, phase = self._fill_between(samples[0]), self._fill_between(samples[1])
        offset *= 1 / scenery.OFFSET_STEP
        offset += scenery.OFFSETS // 2
        np.clip(offset, 0, scenery.OFFSETS - 1, out=offset)
        phase *= scenery.PHASES / 2 - 0.01
        phase += scenery.PHASES / 2
        index = phase.astype(np.int32)
        index *= scenery.GRAINS
        index += self._grain_at(eye, cos, sin)
        index *= scenery.OFFSETS
        index += offset.astype(np.int32)
        index += self._level_base
        np.take(self._table, index, out=self._canvas[self._ground_rows], mode="clip")

    def _sample_field(self, x: Floats32, y: Floats32) -> tuple[Floats32, Floats32]:
        """Bilinear distance from the centreline and dash phase at world points, both of the shape of `x`."""
        nx, ny = self._field_shape
        gx = np.clip((x - np.float32(self._corner[0])) / np.float32(_GRID), 0, nx - 1.001)
        gy = np.clip((y - np.float32(self._corner[1])) / np.float32(_GRID), 0, ny - 1.001)
        ix, iy = gx.astype(np.int32), gy.astype(np.int32)
        fx, fy = (gx - ix)[..., None], (gy - iy)[..., None]
        at = ix * ny + iy
        field = self._field
        near = field[at] + (field[at + 1] - field[at]) * fy
        far = field[at + ny] + (field[at + ny + 1] - field[at + ny]) * fy
        both = near + (far - near) * fx
        return both[..., 0], both[..., 1]

    def _fill_between(self, coarse: Floats32) -> Floats32:
        """Return every pixel of the rows whose every `_COARSE`-th is given, linear in between."""
        # Not a product with an interpolation matrix: BLAS would start threads, which fight with the encoder's.
        steps = (coarse[:, 1:] - coarse[:, :-1])[:, :, None] * _RAMP
        steps += coarse[:, :-1, None]
        return steps.reshape(coarse.shape[0], -1)[:, : self.width]

    def _grain_at(self, eye: Pose, cos: np.float32, sin: np.float32) -> npt.NDArray[np.int32]:
        per_metre, mask = np.float32(36.0), self._grain.shape[0] - 1
        x = self._left_exact * (-sin * per_metre)
        x += (np.float32(eye.x % 64) + self._ahead * cos) * per_metre
        y = self._left_exact * (cos * per_metre)
        y += (np.float32(eye.y % 64) + self._ahead * sin) * per_metre
        ix = x.astype(np.int32)
        iy = y.astype(np.int32)
        ix &= mask
        iy &= mask
        ix *= self._grain.shape[0]
        ix += iy
        return self._grain.reshape(-1).take(ix, mode="clip")

    def _project(self, eye: Pose, x: float, y: float, z: float = 0.0) -> tuple[float, float, float] | None:
        """Return (column, row, depth in metres) of a world point, or None if it is behind or too close."""
        dx, dy = x - eye.x, y - eye.y
        cos, sin = math.cos(eye.heading), math.sin(eye.heading)
        ahead, left, down = dx * cos + dy * sin, dy * cos - dx * sin, EYE_HEIGHT - z
        depth = ahead * math.cos(PITCH) + down * math.sin(PITCH)
        if depth < NEAREST:
            return None
        row = self._centre + self._focal * (down * math.cos(PITCH) - ahead * math.sin(PITCH)) / depth
        return self.width / 2 - self._focal * left / depth, row, depth

    def _draw_start_line(self, eye: Pose) -> None:
        """Draw a chequered band across the road, inside the rectangle of the picture that holds it."""
        x, y = self._track.point(0.0)
        heading = float(self._track.headings[0])
        if math.hypot(x - eye.x, y - eye.y) > 15:
            return
        half = self._track.width / 2 - 0.1
        along = np.array((math.cos(heading), math.sin(heading)), np.float32)
        cos, sin = math.cos(eye.heading), math.sin(eye.heading)
        dx, dy = eye.x - x, eye.y - y
        # Everything is linear in (ahead, left): work in the line's own frame at once.
        ca, sa = cos * along[0] + sin * along[1], sin * along[0] - cos * along[1]
        base_u, base_v = dx * along[0] + dy * along[1], dy * along[0] - dx * along[1]
        rows = np.flatnonzero(self._rows_near(base_u, base_v, float(ca), float(sa), half))
        if not rows.size:
            return
        chosen = slice(int(rows[0]), int(rows[-1]) + 1)
        ahead, left = self._ahead[chosen], self._left_exact[chosen]
        u = base_u + ahead * ca - left * sa
        v = base_v + ahead * sa + left * ca
        inside = (u > 0) & (u < _START_LINE) & (np.abs(v) < half)
        squares = (np.floor(u / 0.1) + np.floor(v / 0.1)).astype(np.int32) & 1
        colours = np.where(squares, np.uint32(0xE8ECEC), np.uint32(0x2A2624))
        np.copyto(self._canvas[self._ground_rows][chosen], colours, where=inside)

    def _rows_near(self, base_u: float, base_v: float, ca: float, sa: float, half: float) -> npt.NDArray[np.bool_]:
        """Which rows of the ground can hold some of the start line: those whose reach crosses its circle."""
        centre = -(base_u - _START_LINE / 2) * ca - base_v * sa  # its distance ahead of the eye
        ahead = self._ahead[:, 0]
        near: npt.NDArray[np.bool_] = np.abs(ahead - centre) < half + _START_LINE
        return near

    def _draw_landmarks(self, eye: Pose) -> None:
        seen = []
        for landmark in self._track.landmarks:
            foot = self._project(eye, landmark.x, landmark.y)
            if foot is not None and foot[2] < FARTHEST:
                seen.append((foot[2], foot, landmark))
        for _, foot, landmark in sorted(seen, key=lambda entry: -entry[0]):
            self._draw_sprite(foot, landmark)

    def _draw_sprite(self, foot: tuple[float, float, float], landmark: Landmark) -> None:
        column, row, depth = foot
        pixels, mask, aspect = self._sprites[landmark.kind]
        height = self._focal * landmark.height / depth
        width = height * aspect
        if height < 2:
            return
        left, top = round(column - width / 2), round(row - height)
        right, bottom = left + max(1, round(width)), top + max(2, round(height))
        x0, x1 = max(0, left), min(self.width, right)
        y0, y1 = max(0, top), min(self._ground_rows.stop, bottom)
        if x0 >= x1 or y0 >= y1:
            return
        size = pixels.shape[0]
        at = np.ix_(
            (np.arange(y0, y1) - top) * size // (bottom - top), (np.arange(x0, x1) - left) * size // (right - left)
        )
        np.copyto(self._canvas[y0:y1, x0:x1], pixels[at], where=mask[at])
