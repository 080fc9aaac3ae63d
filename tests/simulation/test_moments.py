"""Moments of inertia of primitives are those of the solid, in either engine and in imagination."""

from __future__ import annotations

import numpy as np
import pybullet as bullet
import pytest
import torch

from tests.simulation.stage import PLAIN_LOOK
from worldsim.dynamics.geometry import CAPSULE, CYLINDER, SPHERE, moments_of_inertia
from worldsim.simulation.bullet_bodies import make_body
from worldsim.simulation.presets import named
from worldsim.simulation.scene import BodySpec, Mount, solid_moments

SHAPES = {
    "capsule": ((0.2, 0.2, 0.8), CAPSULE),
    "sphere": ((0.3, 0.3, 0.3), SPHERE),
    "cylinder": ((0.3, 0.3, 0.5), CYLINDER),
    "box": ((0.2, 0.3, 0.5), 0),
}


def by_points(shape: str, extent_m: tuple[float, float, float], mass_kg: float) -> np.ndarray:
    """Return the moments of a cloud of points that fills the solid evenly."""
    x, z, n = extent_m[0], extent_m[2], 200
    axes = [(np.arange(n) + 0.5) / n * edge - edge / 2.0 for edge in extent_m]
    a, b, c = np.meshgrid(*axes, indexing="ij", sparse=True)
    r = x / 2.0
    beyond = np.clip(np.abs(c) - (z / 2.0 - r), 0.0, None)
    inside = {
        "box": np.ones((n, n, n), dtype=bool),
        "sphere": a**2 + b**2 + c**2 <= r**2,
        "cylinder": (a**2 + b**2 <= r**2) & (c == c),
        "capsule": a**2 + b**2 + beyond**2 <= r**2,
    }[shape]
    squares = [float((axis**2 * inside).sum()) / inside.sum() for axis in (a, b, c)]
    return mass_kg * (sum(squares) - np.array(squares))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("mount", "centre_of_mass_m"),
    [
        (None, (0.0, 0.0, 0.0)),
        (None, (0.01, 0.0, -0.02)),
        (Mount("ball_joint", anchor_m=(0.0, 0.0, 0.4)), (0.0, 0.0, 0.0)),
    ],
    ids=["free", "off centre", "mounted"],
)
def test_the_engine_and_imagination_take_the_moments_of_the_solid(
    shape: str, mount: Mount | None, centre_of_mass_m: tuple[float, float, float]
) -> None:
    extent, number = SHAPES[shape]
    spec = BodySpec(
        "thing", "crate", extent, (0.0, 0.0, 2.0), mass_kg=3.0, shape=shape, centre_of_mass_m=centre_of_mass_m,
        mount=mount, appearance=PLAIN_LOOK,
    )  # fmt: skip
    expected = by_points(shape, extent, 3.0)
    np.testing.assert_allclose(solid_moments(spec), expected, rtol=4e-3)
    client = bullet.connect(bullet.DIRECT)
    body = make_body(spec, named("accurate"), client)
    found = bullet.getDynamicsInfo(body.uid, body.link, physicsClientId=client)[2]
    bullet.disconnect(client)
    np.testing.assert_allclose(found, solid_moments(spec), rtol=1e-6)
    double = {"dtype": torch.float64}
    mass, size = torch.tensor([3.0], **double), torch.tensor([extent], **double)
    imagined = moments_of_inertia(mass, size, torch.tensor([number]))
    np.testing.assert_allclose(imagined[0], solid_moments(spec), rtol=1e-6)
