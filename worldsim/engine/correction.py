"""Correct: the second half of the Bayes filter's round; poses, sizes and looks, and how unpredictable each mover is."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.engine.state import EngineState
from worldsim.engine.surprisal import Surprised
from worldsim.engine.tracking import Matched, Predicted
from worldsim.filtering.blocks import each_block
from worldsim.filtering.correct import POSE_DIM, Innovation, correct
from worldsim.filtering.density import Density, local, rows_of
from worldsim.hypotheses.trial import faded
from worldsim.inference import lifecycle
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.states import ObjectStates
from worldsim.types.transfer import fetched, sent

_WAKE_NIS = 27.9  # chi-square with 6 degrees of freedom: once in 10,000 frames by chance
_WAKE_M, _WAKE_RAD = 0.05, 0.1  # a thing that has begun to move may be this far from where it slept
_FADE_FROM, _FADE_LIMIT = 18.0, 60.0  # NIS above which a mover's covariance is widened to keep up
_TWIST_STD = (0.03, 0.03)  # odometry: m/s, rad/s
_ATTRIBUTE_FLOOR = 1e-5  # an estimate is never surer than this variance: looks drift


def correct_all(
    state: EngineState, predicted: Predicted, matched: Matched, surprised: Surprised, frame: Frame
) -> Float[Tensor, " C"]:
    """Fold the matches into the belief; return each slot's Bayesian surprise in nats (0 where unseen).

    The predicted rows become the corrected ones where they lie: a copy of all covariances would cost as much as
    correcting a quarter of them.
    """
    belief, slots = state.belief, matched.slots
    learned = belief.existence.new_zeros(belief.capacity)
    density = predicted.density
    nis = surprised.innovation.nis
    awake = belief.awake[slots]
    moves = torch.as_tensor(state.library.moves, device=state.device)[belief.model_index[slots]]
    startled = ~awake & moves & (nis > _WAKE_NIS)
    fade = torch.where(awake, (nis / _FADE_FROM).clamp(1.0, _FADE_LIMIT), torch.ones_like(nis))
    residual, root = surprised.innovation.residual, surprised.innovation.root
    wider, jumped = fetched(fade > 1.0, startled)
    odd = np.flatnonzero(wider | jumped)  # the few whose prior is widened first

    def corrected(part: slice) -> None:
        mine = matched.rows(part)
        prior = density.select(mine)
        few = state.index(odd[(odd >= part.start) & (odd < part.stop)])
        if len(few):
            wide = faded(density.select(slots[few]), fade[few])
            wide = lifecycle.startled(wide, startled[few], _WAKE_M, _WAKE_RAD)
            prior.covariance.index_copy_(0, few - part.start, wide.covariance)
            again = Innovation.of(residual[few], wide.covariance[:, :POSE_DIM, :POSE_DIM] + surprised.noise[few])
            root.index_copy_(0, few, again.root)
        rows, gained = correct(prior, residual[part], surprised.noise[part], root[part], overwrite=True)
        if isinstance(mine, slice):
            density.write_mean(mine, rows)
        else:
            density.write(mine, rows)
        learned.index_copy_(0, slots[part], gained)

    each_block(len(slots), state.device, state.dtype, corrected)
    mine = _correct_own(state, density, frame)
    if mine is not None:
        row, rows, gained = mine
        density.write(row, rows)
        learned.index_copy_(0, row, gained)
    belief = slot_table.with_density(belief, density)
    if mine is not None:
        belief = slot_table.put(belief, mine[0], last_seen_s=belief.last_seen_s.new_full((1,), frame.time_s))
    state.belief = dataclasses.replace(belief, time_s=frame.time_s)
    _correct_attributes(state, matched, frame)
    _adapt_noise(state, matched, nis, predicted.touching[slots])
    # what lay long falls asleep again at once: a sensor's outlier is commoner than a knock, and who goes on jumps again
    state.belief = lifecycle.awoken(state.belief, state.index(matched.rows_on_host[jumped]))
    return learned


def _correct_own(
    state: EngineState, density: Density, frame: Frame
) -> tuple[Int[Tensor, " 1"], Density, Float[Tensor, " 1"]] | None:
    """Return the own body's slot, its row after its own report, and how much that taught; None where there is none."""
    if frame.ego is None or state.own_slot is None:
        return None
    row = state.index(np.array([state.own_slot]))
    observed = own_states(state, frame)
    rows = density.select(row)
    rows, gained = correct(rows, local(observed, rows.states), own_noise(state, frame))
    return row, rows, gained


def own_noise(state: EngineState, frame: Frame) -> Float[Tensor, "1 12 12"]:
    """Return the covariance of the own body's report: of the pose what it says, of the twist what odometry has."""
    ego = frame.ego
    assert ego is not None

    linear, angular = _TWIST_STD
    twist = torch.tensor([linear**2] * 3 + [angular**2] * 3, dtype=state.dtype, device=state.device)
    noise = torch.zeros(1, TANGENT_DIM, TANGENT_DIM, dtype=state.dtype, device=state.device)
    pose = torch.as_tensor(ego.covariance, dtype=state.dtype, device=state.device)
    noise[0, :POSE_DIM, :POSE_DIM] = state.settings.sensor.pose_noise(pose)
    noise[0, POSE_DIM:, POSE_DIM:] = torch.diag(twist)
    return noise


def own_states(state: EngineState, frame: Frame) -> ObjectStates:
    """Return the own body's reported state as one row."""
    ego = frame.ego
    assert ego is not None

    told = (ego.position, ego.orientation_xyzw, ego.linear_velocity, ego.angular_velocity, ego.extent_m)
    rows = sent(state.device, state.dtype, *(np.reshape(part, (1, -1)) for part in told))
    position, quaternions, linear, angular, extent = rows
    return ObjectStates(position, quaternions / quaternions.norm(dim=-1, keepdim=True), linear, angular, extent)


def _correct_attributes(state: EngineState, matched: Matched, frame: Frame) -> None:
    """Average size and look over what was seen (a Kalman filter of a constant), and the colour for drawing."""
    belief, slots, which, sensor = state.belief, matched.slots, matched.which, state.settings.sensor
    mine = matched.rows(slice(0, len(slots)))
    extent, appearance = rows_of(belief.extent_m, mine), rows_of(belief.appearance, mine)
    size_noise, look_noise = sensor.extent_variance(extent), sensor.appearance_variance()
    size, size_variance = _blend(
        extent, rows_of(belief.extent_variance_m2, mine), rows_of(frame.extent_m, which), size_noise
    )
    seen, look_variance = rows_of(frame.appearance, which), rows_of(belief.appearance_variance, mine)
    blended, sharper = _blend(appearance, look_variance, seen, look_noise)
    known, told = ~appearance.isnan(), ~seen.isnan()
    look = torch.where(known & told, blended, torch.where(told, seen, appearance))
    look_variance = torch.where(known & told, sharper, torch.where(told, look_noise, look_variance))
    state.belief = slot_table.put(
        belief,
        slots,
        extent_m=size.clamp_min(1e-3),
        extent_variance_m2=size_variance,
        appearance=look,
        appearance_variance=look_variance,
        colour=0.9 * rows_of(belief.colour, mine) + 0.1 * rows_of(frame.colour, which),
        last_seen_s=belief.last_seen_s.new_full((len(slots),), frame.time_s),
    )


def _blend(mean: Tensor, variance: Tensor, observed: Tensor, noise: Tensor | float) -> tuple[Tensor, Tensor]:
    gain = variance / (variance + noise)
    return mean + gain * (observed - mean), ((1.0 - gain) * variance).clamp_min(_ATTRIBUTE_FLOOR)


def _adapt_noise(state: EngineState, matched: Matched, nis: Float[Tensor, " n"], touching: Bool[Tensor, " n"]) -> None:
    """Learn how unpredictable each mover is: its noise scale follows the NIS, and slowly returns to 1.

    A frame with a contact says how rough the contact was, and nothing of the motion without it.
    """
    slots = matched.slots
    scale = state.belief.noise_scale[slots]
    adapted = lifecycle.adapted_noise(scale, nis)
    moves = torch.as_tensor(state.library.moves, device=state.device)[state.belief.model_index[slots]]
    state.belief = slot_table.put(
        state.belief, slots, noise_scale=torch.where(moves & state.belief.awake[slots] & ~touching, adapted, scale)
    )
