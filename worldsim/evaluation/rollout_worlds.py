"""A heap of solids for rollouts, drawn by a generator: the same bodies for the world model and for an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.dynamics.imagination import ContactScene, Planes, RolloutStart, Solid
from worldsim.dynamics.imagination.scene import near_pairs
from worldsim.simulation.rollout_engine import EngineBody, RolloutEngine

__all__ = ["Heap", "start_of"]

_KINDS = ("sphere", "box", "capsule")
_HALF: dict[str, tuple[float, float, float]] = {
    "sphere": (0.12, 0.12, 0.12),
    "box": (0.16, 0.12, 0.10),
    "capsule": (0.09, 0.09, 0.20),
}


@dataclass(frozen=True)
class Heap:
    """N solids that lie and fall on a floor, close together.

    Attributes:
        bodies: as an engine is told.
        position, orientation_xyzw, linear, angular: [N, ...] when the engine had let them fall for a while.
        dt_s: step of the rollouts.
    """

    bodies: tuple[EngineBody, ...]
    position: Float[np.ndarray, "N 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    linear: Float[np.ndarray, "N 3"]
    angular: Float[np.ndarray, "N 3"]
    dt_s: float

    @classmethod
    def drawn(cls, count: int, rng: np.random.Generator, dt_s: float, fall_s: float = 0.35) -> Heap:
        """Return a heap that is just coming down: half of its bodies lie, half still fall."""
        bodies = tuple(
            EngineBody(kind, _HALF[kind], 1.0, float(rng.uniform(0.4, 0.7)), float(rng.uniform(0.1, 0.5)))
            for kind in (_KINDS[k % len(_KINDS)] for k in range(count))
        )
        side = int(np.ceil(np.sqrt(count / 2)))
        place = np.array([[k % side, (k // side) % side, k // side**2] for k in range(count)], dtype=np.float64)
        position = (place - [0.5 * side, 0.5 * side, 0.0]) * [0.36, 0.36, 0.45] + [0.0, 0.0, 0.3]
        position += rng.uniform(-0.03, 0.03, size=position.shape)
        turn = Rotation.random(count, random_state=int(rng.integers(2**31))).as_quat()
        still = np.zeros((count, 3))
        with RolloutEngine(bodies, 1.0 / 240.0) as engine:
            engine.put(position, turn, still, still)
            engine.step(round(fall_s * 240))
            here, facing, linear, angular = engine.states()
        return cls(bodies, here, facing, linear, angular, dt_s)

    def starts(self, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return [S, N, ...] states that differ a little from sample to sample, as a belief's samples do."""
        shape = (samples, len(self.bodies), 3)
        return (
            self.position + rng.normal(0.0, 0.002, size=shape) + [0.0, 0.0, 0.002],
            np.broadcast_to(self.orientation_xyzw, (*shape[:2], 4)).copy(),
            self.linear + rng.normal(0.0, 0.1, size=shape),
            self.angular + rng.normal(0.0, 0.1, size=shape),
        )

    def scene(self, horizon_s: float, dtype: torch.dtype) -> ContactScene:
        """Return the bodies as the rollout takes them, with the pairs that may meet within the horizon."""
        half = np.array([body.half_extent_m for body in self.bodies])
        with RolloutEngine(self.bodies, self.dt_s) as engine:
            moments = engine.moments_kg_m2()
        speed = np.linalg.norm(self.linear, axis=1) + 0.1
        reach = speed * horizon_s + 0.5 * 9.81 * horizon_s**2 * (self.position[:, 2] > 0.5)

        def tensor(values: np.ndarray | list[float]) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=dtype)

        mass = tensor([body.mass_kg for body in self.bodies])
        return ContactScene(
            tuple(Solid(body.kind) for body in self.bodies),
            tensor(half),
            mass,
            tensor(moments),
            tensor([body.friction for body in self.bodies]),
            tensor([body.restitution for body in self.bodies]),
            Planes.floor(mass),
            near_pairs(self.position, np.linalg.norm(half, axis=1), reach),
        )


def start_of(states: tuple[np.ndarray, ...], dtype: torch.dtype) -> RolloutStart:
    """Return states [S, N, ...] as the rollout takes them."""
    return RolloutStart(*(torch.as_tensor(part, dtype=dtype) for part in states))
