"""What things look like, in twelve numbers measured from renderings.

The descriptor depends on the look alone: nothing in it knows what a thing is called or how it moves.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from worldsim.errors import SimulationError
from worldsim.simulation.bullet import BulletEngine
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.geometry import floats3
from worldsim.simulation.presets import ACCURATE
from worldsim.simulation.scene import BodySpec
from worldsim.types.observation import APPEARANCE_DIM

APPEARANCE_NAMES = (
    "red_mean",
    "green_mean",
    "blue_mean",
    "red_std",
    "green_std",
    "blue_std",
    "fill",
    "elongation",
    "hu_spread",
    "hu_skew",
    "edge_density",
    "top_heaviness",
)
"""Names of the components, in order."""

_AZIMUTHS = 8
_ELEVATIONS_RAD = (0.30, 0.95)
_SIZE = 96


def describe(spec: BodySpec) -> tuple[float, ...]:
    """Return the [A] appearance descriptor of a body, averaged over sixteen renderings round it.

    Args:
        spec: the body; only its looks matter, not its pose.

    Returns:
        twelve numbers, named by `APPEARANCE_NAMES`, each of roughly unit range.
    """
    engine = BulletEngine(ACCURATE)
    try:
        row = engine.add(spec)
        centre = engine.state(row).position
        radius = 0.5 * math.sqrt(sum(edge * edge for edge in spec.extent_m))
        views = []
        for elevation in _ELEVATIONS_RAD:
            for step in range(_AZIMUTHS):
                azimuth = (step + 0.5) * 2.0 * math.pi / _AZIMUTHS
                flat = math.cos(elevation)
                offset = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
                position = floats3(np.asarray(centre) + 4.0 * radius * np.asarray(offset))
                up = (0.0, 0.0, 1.0)
                camera = PinholeCamera(position, centre, up, 0.56, _SIZE, _SIZE, radius, 9.0 * radius, shadows=True)
                rgb, depth = engine.picture(camera)
                views.append(describe_view(rgb, depth < 8.0 * radius, spec.name))
        return tuple(round(float(v), 5) for v in np.mean(views, axis=0))
    finally:
        engine.close()


def describe_view(rgb: np.ndarray, silhouette: Bool[np.ndarray, "H W"], name: str = "view") -> Float[np.ndarray, " A"]:
    """Return the descriptor of one view: a picture [H, W, 3] uint8 and where in it the thing is.

    The shape statistics do not change with distance: fill of the bounding rectangle, log ratio of the principal
    axes, the first two moment invariants of Hu (1962), and how far the mass lies above the middle.

    Raises:
        SimulationError: nothing is seen.
    """
    if silhouette.sum() < 12:
        raise SimulationError(f"appearance of {name!r}: the rendering shows nothing. Does it have visual geometry?")
    colour = rgb[silhouette].astype(np.float64) / 255.0
    y, x = np.nonzero(silhouette)
    area = float(len(x))
    height, width = float(np.ptp(y)) + 1.0, float(np.ptp(x)) + 1.0
    dx, dy = x - x.mean(), y - y.mean()
    xx, yy, xy = (float((a * b).sum()) / area**2 for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    spread, skew = xx + yy, (xx - yy) ** 2 + 4.0 * xy**2
    large = 0.5 * (spread + math.sqrt(skew))
    small = max(spread - large, 1e-6)
    grey = rgb.astype(np.float64).mean(axis=2) / 255.0
    inner = silhouette[1:-1, 1:-1] & silhouette[:-2, 1:-1] & silhouette[2:, 1:-1] & silhouette[1:-1, :-2]
    inner &= silhouette[1:-1, 2:]
    slope = np.abs(grey[2:, 1:-1] - grey[:-2, 1:-1]) + np.abs(grey[1:-1, 2:] - grey[1:-1, :-2])
    edges = float((slope[inner] > 0.10).mean()) if inner.any() else 0.0
    shape = (
        area / (height * width),
        0.5 * math.log(large / small),
        math.log(spread / 0.16) / 1.5,  # 0.16 is that of a disc
        math.sqrt(skew) * 2.0,
        edges * 1.5,
        2.0 * (0.5 * (y.min() + y.max()) - y.mean()) / height + 0.3,
    )
    found = np.concatenate([colour.mean(axis=0), 2.0 * colour.std(axis=0), shape])
    if found.shape != (APPEARANCE_DIM,):
        raise SimulationError(f"appearance of {name!r}: {found.shape[0]} numbers, expected {APPEARANCE_DIM}.")
    return found
