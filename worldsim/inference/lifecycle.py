"""Lifecycle: objects appear, are recognised, fall asleep, wake and vanish."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.motion import GRAVITY_M_S2
from worldsim.filtering.attributes import attribute_log_evidence
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.likelihood import gaussian_log_density
from worldsim.inference import slots as slot_table
from worldsim.inference.observe import Frame
from worldsim.inference.sensor_model import SensorModel
from worldsim.types.belief import TANGENT_DIM, WorldBelief

BIRTH_SPEED_M_S, _BIRTH_SPIN_RAD_S = 1.5, 1.5  # standard deviations of an unknown thing's velocities
_WAKE_SPEED_M_S, _WAKE_SPIN_RAD_S = 0.5, 1.0
_STILL_M_S = 0.03  # a fixture's estimated speed is noise below this
_MOVER_SPEED_M_S = 1.0
_PUSHED_SHARE, _PUSHED_SPEED_M_S = 0.1, 0.3  # of the passive bodies that are met, those that something moves; how fast
_ASLEEP_STD_M, _ASLEEP_STD_RAD = 1e-3, 3e-3  # a sleeping thing may creep by this much a frame without waking

_NOISE_RATE, _NOISE_MEMORY = 0.02, 0.995
_NOISE_LIMITS = (0.3, 8.0)
_POSE_DIM = 6


def existence_after(
    existence: Float[Tensor, " C"],
    seen: Bool[Tensor, " C"],
    visible: Bool[Tensor, " C"],
    log_density: Float[Tensor, " C"],
    sensor: SensorModel,
) -> Float[Tensor, " C"]:
    """Return the existence probability after this frame (Bernoulli filter; Musicki and Evans 2004, eq. 35).

    Args:
        existence: before the frame.
        seen: a detection was assigned.
        visible: it should have been seen.
        log_density: of the assigned detection's position under the prediction, nats.
        sensor: assumed detection probability and clutter density.
    """
    r = existence.clamp(1e-9, 1.0 - 1e-9)
    detection = torch.where(visible, sensor.detection_probability, 0.5 * sensor.detection_probability)
    ratio = detection * torch.exp(log_density.clamp(-20.0, 20.0)) / sensor.clutter_per_m3
    hit = r * ratio / (1.0 - r + r * ratio)
    miss = r * (1.0 - detection) / (1.0 - r * detection)
    return torch.where(seen, hit, torch.where(visible, miss, existence))


def born(
    belief: WorldBelief,
    slots: Int[Tensor, " n"],
    frame: Frame,
    chosen: Int[Tensor, " n"],
    ids: Int[Tensor, " n"],
    generic: int,
    library: LoadedModels,
    sensor: SensorModel,
) -> WorldBelief:
    """Return the belief with the `chosen` detections started as generic objects in free `slots`."""
    n = len(slots)
    covariance = belief.joint_covariance.new_zeros(n, slot_table.JOINT_DIM, slot_table.JOINT_DIM)
    covariance[:, :6, :6] = sensor.pose_noise(frame.covariance[chosen])
    spread = covariance.new_tensor([BIRTH_SPEED_M_S] * 3 + [_BIRTH_SPIN_RAD_S] * 3) ** 2
    covariance[:, 6:TANGENT_DIM, 6:TANGENT_DIM] = torch.diag(spread)
    covariance[:, TANGENT_DIM:, TANGENT_DIM:] = torch.diag(library.prior_std[generic] ** 2)
    parameters = library.prior_mean[generic].repeat(n, 1)
    parameters[:, 4] = frame.position[chosen, 2]  # the generic model's resting height starts where it was seen
    zero = belief.position.new_zeros(n)
    yes = torch.ones(n, dtype=torch.bool, device=belief.position.device)
    extent = frame.extent_m[chosen]
    return slot_table.put(
        belief,
        slots,
        alive=yes,
        awake=yes,
        object_id=ids,
        model_index=torch.full_like(ids, generic),
        position=frame.position[chosen],
        orientation_xyzw=frame.orientation_xyzw[chosen],
        linear_velocity=belief.position.new_zeros(n, 3),
        angular_velocity=belief.position.new_zeros(n, 3),
        joint_covariance=covariance,
        parameters=parameters,
        extent_m=extent,
        extent_variance_m2=sensor.extent_variance(extent),
        appearance=frame.appearance[chosen],
        appearance_variance=torch.full_like(frame.appearance[chosen], sensor.appearance_variance()),
        colour=frame.colour[chosen],
        existence=zero + sensor.birth_existence,
        log_e_value=zero,
        noise_scale=zero + 1.0,
        last_seen_s=belief.last_seen_s.new_full((n,), frame.time_s),
        birth_s=belief.birth_s.new_full((n,), frame.time_s),
    )


@dataclass(frozen=True, slots=True)
class Recognition:
    """Which loaded model each of n objects is taken for.

    Attributes:
        model_index: [n] the best model other than the generic one.
        log_e: [n] log evidence of the generic model over that best one, nats: large where nothing loaded fits.
    """

    model_index: Int[np.ndarray, " n"]
    log_e: Float[np.ndarray, " n"]


def recognise(
    belief: WorldBelief,
    slots: Int[Tensor, " n"],
    library: LoadedModels,
    generic: Bool[np.ndarray, " L"],
    passive: Bool[np.ndarray, " L"],
) -> Recognition:
    """Compare all loaded models on the size, look and speed of the objects in `slots`.

    Args:
        belief: after the generic model has tracked them for a few frames.
        slots: whom to recognise.
        library: the loaded models.
        generic: [L] which models are broad ones, that fit anything.
        passive: [L] which models never move of themselves: a thing that is met while it rolls is seldom one of them.
    """
    evidence = attribute_log_evidence(
        belief.extent_m[slots],
        belief.extent_variance_m2[slots],
        belief.appearance[slots],
        belief.appearance_variance[slots],
        library,
    )
    velocity = belief.linear_velocity[slots]
    variance = torch.diagonal(belief.joint_covariance[slots, 6:9, 6:9], dim1=1, dim2=2)
    as_mover = gaussian_log_density(velocity, variance + _MOVER_SPEED_M_S**2)
    as_fixture = gaussian_log_density(velocity, variance + _STILL_M_S**2)
    as_pushed = gaussian_log_density(velocity, variance + _PUSHED_SPEED_M_S**2)
    as_passive = torch.logaddexp(as_fixture + math.log(1.0 - _PUSHED_SHARE), as_pushed + math.log(_PUSHED_SHARE))
    moves = torch.as_tensor(library.moves, device=velocity.device)
    lies = torch.as_tensor(passive & ~generic, device=velocity.device)
    as_moving = torch.where(lies, as_passive.unsqueeze(1), as_mover.unsqueeze(1))
    evidence = evidence + torch.where(moves, as_moving, as_fixture.unsqueeze(1))
    broad = torch.as_tensor(generic, device=velocity.device)
    best = torch.where(broad, -torch.inf, evidence).max(dim=1)
    alternative = torch.where(broad, evidence, -torch.inf).amax(dim=1)
    return Recognition(best.indices.cpu().numpy(), (alternative - best.values).cpu().numpy())


def take_model(
    belief: WorldBelief, slots: Int[Tensor, " n"], model_index: Int[Tensor, " n"], library: LoadedModels
) -> WorldBelief:
    """Return the belief with the objects in `slots` run by other models, parameters back at those models' priors."""
    covariance = belief.joint_covariance[slots].clone()
    covariance[:, TANGENT_DIM:, :] = 0.0
    covariance[:, :, TANGENT_DIM:] = 0.0
    prior = library.prior_std.index_select(0, model_index) ** 2
    covariance[:, TANGENT_DIM:, TANGENT_DIM:] = torch.diag_embed(prior)
    return slot_table.put(
        belief,
        slots,
        model_index=model_index,
        parameters=library.prior_mean.index_select(0, model_index),
        joint_covariance=covariance,
        noise_scale=torch.ones(len(slots), dtype=covariance.dtype, device=covariance.device),
    )


def unsure_of_fall(belief: WorldBelief, slots: Int[Tensor, " n"], frames: int) -> WorldBelief:
    """Return the belief with the vertical velocities of some objects as unsure as weight makes them.

    A broad model that knows no weight measures the mean velocity over a frame; that of a falling thing at the frame's
    end is g dt / 2 further down, and whether it falls is not known yet.

    Args:
        belief: in which the objects in `slots` have just been recognised.
        slots: whose.
        frames: for how many they were seen since birth.
    """
    interval_s = (belief.time_s - belief.birth_s[slots]) / max(frames - 1, 1)
    spread = torch.zeros_like(belief.joint_covariance[slots])
    spread[:, 8, 8] = (0.5 * GRAVITY_M_S2 * interval_s) ** 2
    return slot_table.put(belief, slots, joint_covariance=belief.joint_covariance[slots] + spread)


def restarted(belief: WorldBelief, slots: Int[Tensor, " n"]) -> WorldBelief:
    """Return the belief with the velocities of some objects as unknown as at birth.

    What a wrong model made of them, a bounce that never was above all, would mislead every hypothesis that follows.
    """
    covariance = belief.joint_covariance[slots].clone()
    covariance[:, 6:TANGENT_DIM, :] = 0.0
    covariance[:, :, 6:TANGENT_DIM] = 0.0
    spread = covariance.new_tensor([BIRTH_SPEED_M_S] * 3 + [_BIRTH_SPIN_RAD_S] * 3) ** 2
    covariance[:, 6:TANGENT_DIM, 6:TANGENT_DIM] = torch.diag(spread)
    zero = torch.zeros_like(belief.linear_velocity[slots])
    return slot_table.put(belief, slots, linear_velocity=zero, angular_velocity=zero, joint_covariance=covariance)


def to_sleep(belief: WorldBelief, slots: Int[Tensor, " n"]) -> WorldBelief:
    """Return the belief with some objects asleep: at rest, known to within little, no longer advanced."""
    covariance = belief.joint_covariance[slots].clone()
    covariance[:, 6:TANGENT_DIM, :] = 0.0
    covariance[:, :, 6:TANGENT_DIM] = 0.0
    zero = torch.zeros_like(belief.linear_velocity[slots])
    no = torch.zeros(len(slots), dtype=torch.bool, device=zero.device)
    return slot_table.put(
        belief, slots, awake=no, linear_velocity=zero, angular_velocity=zero, joint_covariance=covariance
    )


def startled(density: Density, rows: Bool[Tensor, " n"], reach_m: float, reach_rad: float) -> Density:
    """Return the density in which the sleepers marked in `rows` may be anywhere near, and moving."""
    linear, angular = _WAKE_SPEED_M_S, _WAKE_SPIN_RAD_S
    spread = [reach_m**2] * 3 + [reach_rad**2] * 3 + [linear**2] * 3 + [angular**2] * 3
    wide = density.covariance.new_tensor(spread)
    covariance = density.covariance.clone()
    torch.diagonal(covariance, dim1=1, dim2=2)[:, :TANGENT_DIM].add_(wide * rows.unsqueeze(-1))
    return Density(density.states, density.parameters, covariance)


def awoken(belief: WorldBelief, slots: Int[Tensor, " n"]) -> WorldBelief:
    """Return the belief with some objects awake."""
    return slot_table.put(belief, slots, awake=torch.ones(len(slots), dtype=torch.bool, device=belief.awake.device))


def dream(density: Density, sleepers: Int[Tensor, " n"]) -> None:
    """Widen the poses of the sleepers, in place, by what they may creep in a frame."""
    if len(sleepers) == 0:
        return
    creep = density.covariance.new_tensor([_ASLEEP_STD_M**2] * 3 + [_ASLEEP_STD_RAD**2] * 3)
    pose = torch.diagonal(density.covariance, dim1=1, dim2=2)[:, :6]
    pose.index_add_(0, sleepers, creep.expand(len(sleepers), -1))


def buried(belief: WorldBelief, slots: Int[Tensor, " n"]) -> WorldBelief:
    """Return the belief with some slots freed."""
    no = torch.zeros(len(slots), dtype=torch.bool, device=belief.position.device)
    nobody = torch.full((len(slots),), -1, dtype=torch.int64, device=belief.position.device)
    zero = belief.existence.new_zeros(len(slots))
    return slot_table.put(belief, slots, alive=no, awake=no, object_id=nobody, existence=zero, log_e_value=zero)


def adapted_noise(scale: Float[Tensor, " n"], nis: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return noise scales that follow the NIS of detected poses, and slowly return to 1."""
    excess = (nis / _POSE_DIM).clamp(0.0, 5.0) - 1.0
    return (torch.log(scale) * _NOISE_MEMORY + _NOISE_RATE * excess).exp().clamp(*_NOISE_LIMITS)
