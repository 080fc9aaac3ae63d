"""A few samples go ahead, so that the others look only at contacts that can come about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.dynamics.imagination.collide import Layout, Poses, touching
from worldsim.dynamics.imagination.rollout import Roller, RolloutSettings, RolloutStart
from worldsim.dynamics.imagination.scene import ContactScene
from worldsim.dynamics.imagination.vectors import matrix

__all__ = ["scouted"]

_ROUGH = RolloutSettings(iterations=3, first_iterations=6)


def scouted(
    scene: ContactScene,
    start: RolloutStart,
    wrench: Float[Tensor, "T *S N 6"],
    dt_s: float,
    samples: int = 8,
    margin_m: float = 0.04,
) -> ContactScene:
    """Return the scene with those contacts alone that some scouting sample comes near.

    In a heap a body has a dozen others within reach of a horizon, and meets two or three. Scouts take steps of twice
    the length. What is left out is felt by no sample, so that `margin_m` must cover how far samples lie apart, and how
    far things go between two looks.

    Args:
        scene: who there is, with the pairs that are within reach.
        start: S samples.
        wrench: as `rollout` takes it.
        dt_s: step, s.
        samples: how many go ahead, evenly picked from the S.
        margin_m: a contact is kept where a scout's gap was smaller.
    """
    total = start.position.shape[0]
    pick = torch.linspace(0.0, total - 1.0, min(samples, total), device=wrench.device).round().long()
    few, ahead = scene.select(pick), start.select(pick)
    with torch.no_grad():
        push = wrench[::2] if wrench.dim() == 3 else wrench[::2].index_select(1, pick)
        path = Roller(few, _ROUGH)(ahead, push, 2.0 * dt_s)
        layout = Layout.of(few)
        centre, orientation = (
            torch.cat([first[None], rest]).permute(3, 2, 0, 1).flatten(2)  # every step's poses as if of another sample
            for first, rest in ((ahead.position, path.position), (ahead.orientation_xyzw, path.orientation_xyzw))
        )
        half = few.half_extent_m
        half = half.T[..., None] if half.dim() == 2 else half.permute(2, 1, 0).repeat(1, 1, len(push) + 1)
        planes = (few.planes.normal.T, few.planes.offset_m)
        near = touching(layout, Poses(centre, matrix(orientation), half), planes).gap.amin(-1) < margin_m
    kept = near.cpu().numpy()
    first, second, plane = (x.cpu().numpy() for x in (layout.first, layout.second, layout.plane))
    met = kept & (plane < 0)
    pairs = np.unique(np.stack([first[met], second[met]], axis=1), axis=0)
    return replace(scene, pairs=pairs, grounded=np.unique(first[kept & (plane >= 0)]))
