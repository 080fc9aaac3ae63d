"""What impacts of round bodies do to a belief: hit and missed, each as far as it is probable, matched by one Gaussian.

Whether two balls that are seen to a centimetre meet, when within the step, and along which line, is not known; how
they part follows from masses and restitutions that are not known either. Where a mean path either touches or does not,
the belief is wrong in both cases. So the joint belief of a pair is drawn from, each draw is moved by the law of
impact (`worldsim.dynamics.sphere_impacts`), and mean and covariance of where the draws end are those of the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.sphere_impacts import Spheres, meet
from worldsim.filtering.density import Density, local, retract
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import group_by_family, white_acceleration
from worldsim.filtering.surroundings import Surroundings
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates

DRAWS = 256
"""S: draws of a pair. Their mean and covariance are those of the belief exactly; the share that meets, to 3 %."""

_PAIRS_AT_ONCE = 64  # 2 x 64 x 256 rows of 20 numbers are 5 MB
_JITTER = 1e-10  # of columns that a model does not use
_SEED = 0
_UNFORESEEN_SHARES = (0.05, 0.15, 0.08, 0.15)
"""Of what an impact changes of place, rotation, velocity and spin: what the rigid law leaves open.

Measured on 412 impacts of two balls in `Billiards` (development seeds), from the true state and the true parameters:
root mean square of what the law does not foretell over that of what it does. Most of it is the duration of the
contact: a few milliseconds, in which the balls go on, and push out of each other what they have gone in.
"""


@dataclass(frozen=True, slots=True)
class Pairs:
    """E pairs of rows that may meet; no row is in two.

    Attributes:
        first, second: [E] rows, on the host.
        heavier: [E, 2] what each one's mass is multiplied by (a hypothesis may be that it does not give way).
    """

    first: Int[np.ndarray, " E"]
    second: Int[np.ndarray, " E"]
    heavier: Float[np.ndarray, "E 2"]

    def __len__(self) -> int:
        """Return the number of pairs E."""
        return len(self.first)

    @classmethod
    def none(cls) -> Pairs:
        """Return no pairs."""
        rows = np.zeros(0, dtype=np.int64)
        return cls(rows, rows, np.zeros((0, 2)))

    @classmethod
    def cat(cls, parts: list[Pairs]) -> Pairs:
        """Stack several."""
        return cls(
            np.concatenate([p.first for p in parts]),
            np.concatenate([p.second for p in parts]),
            np.concatenate([p.heavier for p in parts]),
        )

    def part(self, rows: slice) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.first[rows], self.second[rows], self.heavier[rows])


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a step's prediction was made with; see `worldsim.filtering.predict.predict`."""

    model_index: Int[np.ndarray, " N"]
    library: LoadedModels
    surroundings: Surroundings
    noise_scale: Float[Tensor, " N"]
    dt_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How E pairs end the step: 2 E rows each, the first ones and then the second ones.

    Attributes:
        probability: [E] that they meet.
        either: one Gaussian over both cases; met, missed: over each, what it is worth where it is next to impossible.
    """

    probability: Float[Tensor, " E"]
    either: Density
    met: Density
    missed: Density


def outcome(before: Density, after: Density, walled: Bool[Tensor, " N"], pairs: Pairs, inputs: Inputs) -> Outcome:
    """Return how `pairs` end the step.

    Args:
        before: N rows at the start of the step.
        after: the same at its end, had none met another.
        walled: [N] rows that touched something else; of these, what the impacts do is added to what is there.
        pairs: who may meet whom.
        inputs: of the prediction.
    """
    parts = [
        _outcome(before, after, walled, pairs.part(slice(start, start + _PAIRS_AT_ONCE)), inputs)
        for start in range(0, len(pairs), _PAIRS_AT_ONCE)
    ]
    if len(parts) == 1:
        return parts[0]
    sizes = [len(p.probability) for p in parts]

    def joined(rows: list[Density]) -> Density:
        halves = [d.rows(0, n) for d, n in zip(rows, sizes, strict=True)]
        return Density.cat([*halves, *(d.rows(n, 2 * n) for d, n in zip(rows, sizes, strict=True))])

    return Outcome(
        torch.cat([p.probability for p in parts]),
        joined([p.either for p in parts]),
        joined([p.met for p in parts]),
        joined([p.missed for p in parts]),
    )


def _outcome(before: Density, after: Density, walled: Bool[Tensor, " N"], pairs: Pairs, inputs: Inputs) -> Outcome:
    whose = np.concatenate([pairs.first, pairs.second])
    rows, models = torch.as_tensor(whose, device=walled.device), inputs.model_index[whose]
    start, n = before.select(rows), 2 * len(pairs)
    width = start.covariance.shape[-1]
    eye = _JITTER * torch.eye(width, dtype=start.covariance.dtype, device=rows.device)
    root = torch.linalg.cholesky_ex(start.covariance + eye).L
    sides = _draws(2 * width, root).reshape(-1, 2, width).transpose(0, 1)  # [2, S, X]
    side = torch.arange(n, device=rows.device) // len(pairs)
    steps = sides.index_select(0, side) @ root.mT  # [n, S, X]
    free, radius, body = _moved(start, steps, rows, models, pairs, inputs)
    from_start = (start.states.position.unsqueeze(1) + steps[:, :, :3]).reshape(-1, 3)
    balls = Spheres(from_start, free.position, free.angular_velocity, radius, *body)
    half = len(pairs) * DRAWS
    hit, first, second = meet(_some(balls, slice(0, half)), _some(balls, slice(half, None)), inputs.dt_s)
    gain = torch.cat([first, second]).reshape(n, DRAWS, TANGENT_DIM)
    end = after.select(rows)
    where = end.states.select(torch.arange(n, device=rows.device).repeat_interleave(DRAWS))
    ends = torch.cat([local(free, where).reshape(n, DRAWS, TANGENT_DIM), steps[:, :, TANGENT_DIM:]], dim=-1)
    noise = _noise(start, rows, models, inputs)
    met = hit.reshape(len(pairs), DRAWS).to(gain.dtype)
    touched = walled.index_select(0, rows)

    def told(weight: Float[Tensor, "E S"]) -> Density:
        share = weight / weight.sum(-1, keepdim=True).clamp_min(1.0)
        return _one_gaussian(end, ends, gain, share.repeat(2, 1), touched, noise)

    return Outcome(met.mean(-1), told(torch.ones_like(met)), told(met), told(1.0 - met))


def _moved(
    start: Density,
    steps: Float[Tensor, "n S X"],
    rows: Int[Tensor, " n"],
    models: Int[np.ndarray, " n"],
    pairs: Pairs,
    inputs: Inputs,
) -> tuple[ObjectStates, Float[Tensor, " nS"], tuple[Float[Tensor, " nS"], ...]]:
    """Return the free ends of all draws, row by row, their radii, and mass, restitution and friction of each."""
    library, n = inputs.library, len(rows)
    again = torch.arange(n, device=rows.device).repeat_interleave(DRAWS)
    index = torch.as_tensor(models, device=rows.device)[again]
    drawn, parameters = retract(
        start.states.select(again), start.parameters.index_select(0, again), steps.reshape(n * DRAWS, -1)
    )
    natural = library.natural(parameters, index)
    around = inputs.surroundings.select(rows)
    parts, order = [], []
    for family, members in group_by_family(models, library):
        model = library.models[int(np.flatnonzero(library.family_index == family)[0])]
        mine = torch.as_tensor(members, device=rows.device)
        each = (mine.unsqueeze(1) * DRAWS + torch.arange(DRAWS, device=rows.device)).flatten()
        control = around.control.select(mine.repeat_interleave(DRAWS))
        wrench = around.wrench.index_select(0, mine.repeat_interleave(DRAWS))
        used = natural.index_select(0, each)[:, : len(model.parameter_names)]
        parts.append(model.dynamics(drawn.select(each), used, wrench, control, inputs.dt_s))
        order.append(each)
    free = _stacked(parts).select(torch.argsort(torch.cat(order)))
    heavier = torch.as_tensor(pairs.heavier.T.reshape(-1), dtype=natural.dtype, device=rows.device)[again]
    mass, restitution, friction = (
        library.body_parameter(natural, index, name) for name in ("mass_kg", "restitution", "friction")
    )
    return free, 0.5 * drawn.extent_m.mean(-1), (mass * heavier, restitution.clamp(0.0, 1.0), friction.clamp_min(0.0))


def _noise(
    start: Density, rows: Int[Tensor, " n"], models: Int[np.ndarray, " n"], inputs: Inputs
) -> Float[Tensor, "n 12 12"]:
    """Return what the noise of the free motion adds to the rows."""
    density = inputs.noise_scale.new_zeros(len(rows), TANGENT_DIM // 2)
    for family, members in group_by_family(models, inputs.library):
        model = inputs.library.models[int(np.flatnonzero(inputs.library.family_index == family)[0])]
        mine = torch.as_tensor(members, device=rows.device)
        some, index = start.select(mine), torch.as_tensor(models[members], device=rows.device)
        natural = inputs.library.natural(some.parameters, index)[:, : len(model.parameter_names)]
        density.index_copy_(0, mine, model.process_noise(some.states, natural, inputs.dt_s))
    return white_acceleration(density * inputs.noise_scale.index_select(0, rows).unsqueeze(-1), inputs.dt_s)


def _one_gaussian(
    end: Density,
    ends: Float[Tensor, "n S X"],
    gain: Float[Tensor, "n S 12"],
    share: Float[Tensor, "n S"],
    walled: Bool[Tensor, " n"],
    noise: Float[Tensor, "n 12 12"],
) -> Density:
    """Return the Gaussian with the mean and covariance of weighted draws, and of what the draws leave out.

    The draws tell how the impacts shift and spread what is at the end of the step; where it is without any, `end` says.
    """
    width = ends.shape[-1]
    whole = torch.nn.functional.pad(gain, (0, width - TANGENT_DIM))
    reached = ends + whole
    mean = (share.unsqueeze(1) @ reached).squeeze(1)
    covariance = _spread(reached, mean, share)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] += noise
    kept = end.covariance + _spread(whole, (share.unsqueeze(1) @ whole).squeeze(1), share)
    idle = gain.abs().amax((1, 2)) == 0.0
    covariance = torch.where((walled | idle)[:, None, None], kept, covariance)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] += _unforeseen(gain, share)
    states, parameters = retract(end.states, end.parameters, mean - ends.mean(1))
    return Density(states, parameters, covariance)


def _unforeseen(gain: Float[Tensor, "n S 12"], share: Float[Tensor, "n S"]) -> Float[Tensor, "n 12 12"]:
    """Return the covariance of what the law leaves open: more or less of what it says, level and upright apart."""
    scaled = gain * gain.new_tensor(_UNFORESEEN_SHARES).repeat_interleave(3)
    apart = torch.block_diag(gain.new_ones(2, 2), gain.new_ones(1, 1))
    return ((scaled * share.unsqueeze(-1)).mT @ scaled) * torch.block_diag(*[apart] * len(_UNFORESEEN_SHARES))


def _spread(
    draws: Float[Tensor, "n S X"], mean: Float[Tensor, "n X"], share: Float[Tensor, "n S"]
) -> Float[Tensor, "n X X"]:
    centred = draws - mean.unsqueeze(1)
    return (centred * share.unsqueeze(-1)).mT @ centred


def _draws(width: int, like: Tensor) -> Float[Tensor, "S W"]:
    """Return S standard normal draws whose own mean is 0 and covariance the identity, the same on every call."""
    random = torch.Generator().manual_seed(_SEED)
    half = torch.randn(DRAWS // 2, width, generator=random, dtype=torch.float64)
    draws = torch.cat([half, -half])
    root = torch.linalg.cholesky_ex(draws.mT @ draws / DRAWS).L
    white = torch.linalg.solve_triangular(root, draws.mT, upper=False).mT
    return white.to(like)


def _stacked(parts: list[ObjectStates]) -> ObjectStates:
    if len(parts) == 1:
        return parts[0]
    return ObjectStates(
        torch.cat([p.position for p in parts]),
        torch.cat([p.orientation_xyzw for p in parts]),
        torch.cat([p.linear_velocity for p in parts]),
        torch.cat([p.angular_velocity for p in parts]),
        torch.cat([p.extent_m for p in parts]),
    )


def _some(balls: Spheres, rows: slice) -> Spheres:
    return Spheres(
        balls.start[rows],
        balls.end[rows],
        balls.spin[rows],
        balls.radius_m[rows],
        balls.mass_kg[rows],
        balls.restitution[rows],
        balls.friction[rows],
    )
