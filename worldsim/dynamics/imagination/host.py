"""Rollouts with contact on the host, in machine code: for who asks for no gradient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics.imagination.scene import ContactScene
from worldsim.errors import ConfigurationError

__all__ = ["HostRoller"]

_SOLIDS = ("sphere", "capsule", "box")  # in the order of the numbers that stand for them in `kernels`
_PARTS_PER_THREAD = 4  # samples have unlike numbers of contacts: who is done early takes another part


class HostRoller:
    """Rolls one scene of spheres, capsules, boxes and planes out, to the numbers that `rollout` gives."""

    def __init__(self, scene: ContactScene, settings: tuple[int, int, float, float, float, float]) -> None:
        """Lay the scene out; the compiler is imported, and at a machine's first rollout it takes some 20 s.

        Args:
            scene: who there is.
            settings: iterations, first iterations, margin (m), threshold of restitution (m/s), share of recovery, slop
                (m), in this order.

        Raises:
            ConfigurationError: the scene is on another device, or has a solid that the host's code does not know.
        """
        from worldsim.dynamics.imagination import kernels

        unknown = sorted({solid.kind for solid in scene.solids} - set(_SOLIDS))
        if unknown or scene.mass_kg.device.type != "cpu":
            what = f"a solid of kind {unknown[0]!r}" if unknown else f"tensors on {scene.mass_kg.device}"
            raise ConfigurationError(
                f"Roller: compiled rollouts are of {list(_SOLIDS)} on the CPU, not of {what}. Say compiled=False."
            )
        self._roll = kernels.roll
        self._settings = settings
        self._rules = kernels.Rules
        self._cast = kernels.Cast(*_numbers(scene))
        pairs, grounded, planes = (len(part) for part in self._cast[-3:])
        self._slots = kernels.SLOTS * (pairs + grounded * planes)

    def __call__(
        self, start: Sequence[Tensor], wrench: Float[Tensor, "T *S N 6"], dt_s: float
    ) -> Float[Tensor, "T S N 14"]:
        """Return position, orientation, velocity, spin and normal impulse at the end of each step.

        Args:
            start: position [S, N, 3], orientation [S, N, 4], linear and angular velocity [S, N, 3].
            wrench: [T, N, 6] or [T, S, N, 6].
            dt_s: step, s.
        """
        begin = torch.cat(list(start), dim=-1).double().contiguous().numpy()
        push = (wrench if wrench.dim() == 4 else wrench[:, None]).double().contiguous().numpy()
        path = torch.empty(len(push), *begin.shape[:2], 14, dtype=start[0].dtype)
        found, rules = path.numpy(), self._rules(dt_s, *self._settings)

        def rolled(first: int, last: int) -> None:
            self._roll(self._cast, rules, begin, push, found, first, last, self._slots)

        threads = min(len(os.sched_getaffinity(0)), len(begin))
        bounds = np.linspace(0, len(begin), _PARTS_PER_THREAD * threads + 1).round().astype(int).tolist()
        with ThreadPoolExecutor(threads, thread_name_prefix="worldsim-rollout") as pool:
            for _ in pool.map(rolled, bounds[:-1], bounds[1:]):
                pass
        return path


def _numbers(scene: ContactScene) -> tuple[np.ndarray, ...]:
    """Return the fields of `kernels.Cast`."""
    from worldsim.dynamics.imagination import kernels

    def rows(x: Tensor, each: int) -> np.ndarray:
        """Return numbers as [S1, N, ...], float64."""
        return (x if x.dim() > each else x[None]).detach().double().numpy()

    half, mass, moments = rows(scene.half_extent_m, 2), rows(scene.mass_kg, 1), rows(scene.moments_kg_m2, 2)
    surface = np.stack(np.broadcast_arrays(rows(scene.friction, 1), rows(scene.restitution, 1)), axis=-1)
    wide, n = max(map(len, (half, mass, moments, surface))), len(scene.solids)
    kind = np.array([_SOLIDS.index(solid.kind) for solid in scene.solids], dtype=np.int64)
    is_sphere, is_capsule = kind == kernels.SPHERE, kind == kernels.CAPSULE
    loose = np.array([0.0 if solid.fixed else 1.0 for solid in scene.solids])
    inverse_mass, inverse_moments = np.zeros((wide, n + 1)), np.zeros((wide, n + 1, 3))
    inverse_mass[:, :n], inverse_moments[:, :n] = loose / mass, loose[:, None] / moments
    resisting = np.ones((wide, n + 1, 3))
    resisting[:, :n] = moments
    half = np.ascontiguousarray(np.broadcast_to(half, (wide, n, 3)))
    reach = np.where(is_sphere, half[..., 0], np.where(is_capsule, half[..., 2], np.linalg.norm(half, axis=-1)))
    ground = scene.planes
    planes = torch.cat([ground.normal.T, torch.stack([ground.offset_m, ground.friction, ground.restitution])]).T
    return (
        kind, half, reach, inverse_mass, resisting, inverse_moments,
        np.ascontiguousarray(np.broadcast_to(surface, (wide, n, 2))),
        np.array(scene.chosen_pairs(), dtype=np.int64).reshape(-1, 2),
        np.array(scene.chosen_grounded(), dtype=np.int64), planes.detach().double().contiguous().numpy(),
    )  # fmt: skip
