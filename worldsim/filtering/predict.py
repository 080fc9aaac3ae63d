"""Predict: every row one step ahead, one batched call per model class.

The covariance is carried through the dynamics *and* the contacts after it by statistical linearisation along the
coordinate axes of the tangent space: central differences whose step follows the belief's own width (a first-order
divided-difference filter, Norgaard, Poulsen and Ravn 2000, section 3; ours steps along the axes instead of along a
Cholesky factor, so that fixed and unexcited parameters cost nothing and never break it). Where models give their own
derivative, an extended Kalman filter's first-order step (Bar-Shalom et al. 2001, eq. 10.3.2-4) can take its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics import ContactBodies, resolve_contacts
from worldsim.dynamics.geometry import SPHERE
from worldsim.dynamics.motion import GRAVITY_M_S2
from worldsim.filtering.blocks import each_of
from worldsim.filtering.density import Density, as_run, local, retract
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.surroundings import Surroundings
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates

Linearisation = Literal["differences", "derivatives"]

_STEP_PER_STD = 0.5
_IMPACT_SHARE = 0.2  # of the jump in velocity: how well rigid contact laws predict real impacts
_BALL_SPIN_SHARE = 1.0 / 3.0
"""Of the jump in spin of a ball, about each axis: how rough that is what it struck is not known.

The law gives it the ball's own friction; if the true one is anything from none to that, the jump is off by 1 / sqrt(3)
of itself in the root mean square, here shared out over three axes.
"""
_STEP_MIN, _STEP_MAX = 1e-4, 0.1  # of a tangent coordinate (m, rad, m/s, rad/s, transformed parameter)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Rows one step ahead.

    Attributes:
        density: predicted rows, in tensors of its own.
        touching: [N] a contact was open during the step.
    """

    density: Density
    touching: Bool[Tensor, " N"]


def predict(
    density: Density,
    model_index: Int[np.ndarray, " N"],
    library: LoadedModels,
    surroundings: Surroundings,
    noise_scale: Float[Tensor, " N"],
    dt_s: float,
    linearisation: Linearisation = "differences",
    rows: Int[np.ndarray, " n"] | None = None,
) -> Prediction:
    """Return `density` one step of `dt_s` later.

    Args:
        density: N rows.
        model_index: [N] int64 into `library`, on the host (it says which class to call).
        library: the loaded models.
        surroundings: inputs of the N rows.
        noise_scale: [N] multiplier of the process noise's variance.
        dt_s: step, s.
        linearisation: ``differences`` as wide as the belief, for every model; or the ``derivatives`` that models give
            of themselves, where they give one and nothing can be bumped into.
        rows: [n] whom to advance, the others stay; all where None.
    """
    device = density.parameters.device
    touching = torch.zeros(len(density), dtype=torch.bool, device=device)
    rows = np.arange(len(density)) if rows is None else rows
    families = group_by_family(model_index[rows], library)
    models = [library.models[int(np.flatnonzero(library.family_index == family)[0])] for family, _ in families]
    groups = [rows[members] for _, members in families]
    is_run = [as_run(group) is not None for group in groups]
    scattered = [group for group, run in zip(groups, is_run, strict=True) if not run]
    out = density.copy(but=np.concatenate([rows[:0], *scattered]))

    def ahead(k: int, mine: Int[np.ndarray, " m"]) -> None:
        index = torch.as_tensor(mine, device=device)
        own = slice(int(mine[0]), int(mine[-1]) + 1)
        end, touched = _predict_class(  # which overwrites the covariances that it is given
            models[k],
            out.select(own) if is_run[k] else density.select(index),
            torch.as_tensor(model_index[mine], device=device),
            library,
            surroundings.select(index),
            noise_scale.index_select(0, index),
            dt_s,
            linearisation,
        )
        if is_run[k]:
            out.write_mean(own, end)
        else:
            out.write(index, end)
        touching.index_copy_(0, index, touched)

    each_of(groups, device, density.parameters.dtype, ahead)
    return Prediction(out, touching)


def group_by_family(
    model_index: Int[np.ndarray, " N"], library: LoadedModels
) -> list[tuple[int, Int[np.ndarray, " n"]]]:
    """Return (family index, row numbers) for every class that has rows."""
    family = library.family_index[model_index]
    return [(int(f), np.flatnonzero(family == f)) for f in np.unique(family)]


def advance_class(
    model: ObjectModel,
    states: ObjectStates,
    natural: Float[Tensor, "N P"],
    model_index: Int[Tensor, " N"],
    library: LoadedModels,
    surroundings: Surroundings,
    dt_s: float,
) -> tuple[ObjectStates, Bool[Tensor, " N"]]:
    """Return the mean motion of N rows of one class, contacts included, and which touched something."""
    used = natural[:, : len(model.parameter_names)]
    free = model.dynamics(states, used, surroundings.wrench, surroundings.control, dt_s)
    obstacles = surroundings.obstacles
    if not model.collides or obstacles is None:
        return free, torch.zeros(len(states), dtype=torch.bool, device=natural.device)
    bodies = ContactBodies(
        mass_kg=library.body_parameter(natural, model_index, "mass_kg"),
        friction=library.body_parameter(natural, model_index, "friction"),
        restitution=library.body_parameter(natural, model_index, "restitution"),
        shape_index=library.shape_index.index_select(0, model_index),
    )
    result = resolve_contacts(
        states, free.linear_velocity, free.angular_velocity, bodies, obstacles, dt_s, surroundings.contact
    )
    return result.states, result.gate


def _predict_class(
    model: ObjectModel,
    rows: Density,
    model_index: Int[Tensor, " n"],
    library: LoadedModels,
    surroundings: Surroundings,
    noise_scale: Float[Tensor, " n"],
    dt_s: float,
    linearisation: Linearisation,
) -> tuple[Density, Bool[Tensor, " n"]]:
    natural = library.natural(rows.parameters, model_index)
    slope = None
    if linearisation == "derivatives" and not (model.collides and surroundings.obstacles is not None):
        slope = _derivative(model, rows.states, natural, model_index, library, surroundings, dt_s)
    if slope is None:
        mean, slope, touched = _differences(model, rows, model_index, library, surroundings, dt_s)
    else:
        mean, touched = advance_class(model, rows.states, natural, model_index, library, surroundings, dt_s)
    noise = model.process_noise(rows.states, natural[:, : len(model.parameter_names)], dt_s) * noise_scale.unsqueeze(-1)
    covariance = add_white_acceleration(carry(rows.covariance, slope), noise, dt_s)
    if model.collides and surroundings.obstacles is not None:  # else nothing was touched, and nothing is to be added
        ball = (library.shape_index.index_select(0, model_index) == SPHERE) & model.stands  # it rolls
        torch.diagonal(covariance, dim1=1, dim2=2)[:, :TANGENT_DIM].add_(_impact_noise(rows, mean, touched, ball, dt_s))
    return Density(mean, rows.parameters, covariance), touched


def carried(covariance: Float[Tensor, "n X X"], slope: Float[Tensor, "n 12 U"]) -> Float[Tensor, "n X X"]:
    """Return ``F P F'`` for a transition F whose first 12 rows are `slope` and whose parameters stay.

    Only the blocks that change are computed, and the result is symmetric as `covariance` is.
    """
    return carry(covariance.clone(), slope)


def carry(covariance: Float[Tensor, "n X X"], slope: Float[Tensor, "n 12 U"]) -> Float[Tensor, "n X X"]:
    """Overwrite a covariance by ``F P F'`` and return it; see `carried`."""
    used = slope.shape[-1]
    top = slope @ covariance[:, :used]
    half = torch.baddbmm(top.new_empty(1), top[:, :, :used], slope.mT, beta=0.0, alpha=0.5)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] = half + half.mT
    covariance[:, :TANGENT_DIM, TANGENT_DIM:] = top[:, :, TANGENT_DIM:]
    covariance[:, TANGENT_DIM:, :TANGENT_DIM] = top[:, :, TANGENT_DIM:].mT
    return covariance


def _derivative(
    model: ObjectModel,
    states: ObjectStates,
    natural: Float[Tensor, "n P"],
    model_index: Int[Tensor, " n"],
    library: LoadedModels,
    surroundings: Surroundings,
    dt_s: float,
) -> Float[Tensor, "n 12 U"] | None:
    """Return the model's own derivative at the mean, parameters in transformed coordinates; None where it has none."""
    count = len(model.parameter_names)
    slope = model.transition(states, natural[:, :count], surroundings.wrench, surroundings.control, dt_s)
    if slope is None or count == 0:
        return slope
    is_log = library.is_log.index_select(0, model_index)[:, :count]
    stretch = torch.where(is_log, natural[:, :count], 1.0).unsqueeze(1)  # what a model returns is the model's own
    return torch.cat([slope[:, :, :TANGENT_DIM], slope[:, :, TANGENT_DIM:] * stretch], dim=-1)


def _differences(
    model: ObjectModel,
    rows: Density,
    model_index: Int[Tensor, " n"],
    library: LoadedModels,
    surroundings: Surroundings,
    dt_s: float,
) -> tuple[ObjectStates, Float[Tensor, "n 12 U"], Bool[Tensor, " n"]]:
    """Return the mean after the step, its slope by central differences as wide as the belief, and which touched."""
    n, used = len(rows), TANGENT_DIM + len(model.parameter_names)
    std = torch.diagonal(rows.covariance, dim1=1, dim2=2)[:, :used].clamp_min(0.0).sqrt()
    step = (_STEP_PER_STD * std).clamp(_STEP_MIN, _STEP_MAX)
    # rows: the mean, then + and - along every axis: [1 + 2 used, n, X]
    axes = torch.eye(used, rows.covariance.shape[-1], dtype=step.dtype, device=step.device)
    offsets = step.T.unsqueeze(-1) * axes.unsqueeze(1)
    offsets = torch.cat([torch.zeros_like(offsets[:1]), offsets, -offsets])
    copies = offsets.shape[0]
    gather = torch.arange(n, device=step.device).repeat(copies)
    start, parameters = retract(
        rows.states.select(gather), rows.parameters.index_select(0, gather), offsets.reshape(copies * n, -1)
    )
    models = model_index.repeat(copies)
    end, touched = advance_class(
        model, start, library.natural(parameters, models), models, library, surroundings.select(gather), dt_s
    )
    mean = end.select(torch.arange(n, device=step.device))
    reached = local(end, mean.select(gather)).reshape(copies, n, TANGENT_DIM)
    slope = (reached[1 : 1 + used] - reached[1 + used :]) / (2.0 * step.T.unsqueeze(-1))  # [used, n, 12]
    return mean, slope.permute(1, 2, 0), touched[:n]


def _impact_noise(
    before: Density, after: ObjectStates, touched: Bool[Tensor, " n"], ball: Bool[Tensor, " n"], dt_s: float
) -> Float[Tensor, "n 12"]:
    """Return the variances that an impact adds: a share of the jump in velocity beyond what weight alone does."""
    jump = (after.linear_velocity - before.states.linear_velocity).norm(dim=-1) - 2.0 * GRAVITY_M_S2 * dt_s
    spin = (after.angular_velocity - before.states.angular_velocity).norm(dim=-1)
    linear = (_IMPACT_SHARE * jump.clamp_min(0.0)) ** 2 * touched
    share = torch.where(ball, _BALL_SPIN_SHARE, _IMPACT_SHARE * (jump > 0.0))
    angular = (share * spin) ** 2 * touched
    both = torch.stack([linear, angular], dim=-1).repeat_interleave(3, dim=-1)
    return torch.cat([both * (0.5 * dt_s) ** 2, both], dim=-1)


def add_white_acceleration(
    covariance: Float[Tensor, "N X X"], density: Float[Tensor, "N 6"], dt_s: float
) -> Float[Tensor, "N X X"]:
    """Add to a covariance, in place, what white acceleration noise of a given density adds in one step; return it.

    Source: Bar-Shalom, Li and Kirubarajan 2001, eq. 6.2.2-12, once for position and velocity, once for rotation and
    angular velocity; axes are independent, so only three diagonals change.
    """
    half = TANGENT_DIM // 2
    across = density * (dt_s**2 / 2.0)
    own = torch.diagonal(covariance, dim1=1, dim2=2)
    own[:, :half].add_(density, alpha=dt_s**3 / 3.0)
    own[:, half:TANGENT_DIM].add_(density, alpha=dt_s)
    torch.diagonal(covariance, offset=half, dim1=1, dim2=2)[:, :half].add_(across)
    torch.diagonal(covariance, offset=-half, dim1=1, dim2=2)[:, :half].add_(across)
    return covariance


def white_acceleration(density: Float[Tensor, "N 6"], dt_s: float) -> Float[Tensor, "N 12 12"]:
    """Return what `add_white_acceleration` adds."""
    return add_white_acceleration(density.new_zeros(len(density), TANGENT_DIM, TANGENT_DIM), density, dt_s)
