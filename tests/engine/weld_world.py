"""Two crates tossed up, welded by a bar that nobody sees; from some time on each flies for itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from torch import Tensor

from tests.small_world import EXTENTS, LOOKS, world_model
from worldsim.contracts import PairFrame
from worldsim.dynamics import quaternion
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.interactions.attach import Attach
from worldsim.loop import WorldModel
from worldsim.types import Detections, Observation, Viewpoints

DT_S, STD_M, STD_RAD = 1.0 / 60.0, 4e-3, 8e-3
ARM_M, SPIN_RAD_S, UP_M_S, ALONG_M_S = 0.28, 2.0, 7.0, 0.5
START = np.array([0.0, 0.0, 1.0])


class Grip(Attach):
    """`Attach` without its care for what falls or is carried: here is nothing to mistake for a bond."""

    reads_links = False

    def log_evidence(self, frame: PairFrame) -> Float[Tensor, " E"]:
        turn = quaternion.conjugate(frame.source_before.orientation_xyzw)
        before = quaternion.rotate(turn, frame.target_before.position - frame.source_before.position)
        carried = frame.source.position + quaternion.rotate(frame.source.orientation_xyzw, before)
        variance = frame.source_std_m**2 + frame.target_std_m**2 + 3e-5  # and what the headings are unsure of
        gap = (frame.target.position - carried).square().sum(-1) / variance
        return (2.0 - 0.5 * gap).clamp(-2.5, 1.0)


def truths(t: float, broken_from_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return places [2, 3] and headings [2] of the crates."""
    whole = min(t, broken_from_s)

    def middle(at: float) -> np.ndarray:
        return START + np.array([ALONG_M_S * at, 0.0, UP_M_S * at - 0.5 * 9.81 * at**2])

    yaw = SPIN_RAD_S * t
    held = SPIN_RAD_S * whole
    along = ARM_M * np.array([np.cos(held), np.sin(held), 0.0])
    drift = ARM_M * SPIN_RAD_S * np.array([-np.sin(held), np.cos(held), 0.0]) * (t - whole)
    return np.stack([middle(t) + along + drift, middle(t) - along - drift]), np.array([yaw, yaw])


def frames(seconds: float, seed: int, broken_from_s: float = 1e9) -> Iterator[Observation]:
    """Yield observations at 60 Hz of the two crates."""
    rng = np.random.default_rng(seed)
    for k in range(round(seconds / DT_S)):
        places, yaws = truths(k * DT_S, broken_from_s)
        turned = yaws + STD_RAD * rng.standard_normal(2)
        tilt = 0.5 * STD_RAD * rng.standard_normal((2, 2))
        quaternions = np.stack([tilt[:, 0], tilt[:, 1], np.sin(turned / 2.0), np.cos(turned / 2.0)], axis=1)
        quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
        covariance = np.tile(np.diag([STD_M**2] * 3 + [STD_RAD**2] * 3), (2, 1, 1))
        seen = Detections(
            places + STD_M * rng.standard_normal((2, 3)),
            quaternions,
            np.tile(EXTENTS["rigid_body"], (2, 1)),
            np.full((2, 3), 0.5),
            np.tile(LOOKS["rigid_body"], (2, 1)) + 0.03 * rng.standard_normal((2, 12)),
            covariance,
        )
        yield Observation(k * DT_S, seen, Viewpoints.everywhere())


def watcher(composites: bool, **loop: object) -> WorldModel:
    """Return a world model that knows crates and bonds."""
    settings = WorldModelSettings(loop=LoopSettings(composites=composites, **loop))  # type: ignore[arg-type]
    return world_model(surprise=False, settings=settings, interactions=[Grip()])
