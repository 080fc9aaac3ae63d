"""Attention: where a step may take only so long, it is spent on those about whom it teaches most.

The others are deferred: they coast at a constant velocity, growing less sure, keep their detections, and come up again
the sooner the less is known of them.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from worldsim.engine.state import EngineState
from worldsim.filtering.density import Density, retract
from worldsim.filtering.predict import carried, white_acceleration
from worldsim.inference.observe import Frame
from worldsim.types.belief import TANGENT_DIM

_COASTING_PSD = (1.0, 1.0)  # (m/s^2)^2 s and (rad/s^2)^2 s: of anything that goes where nobody looks
_SLOWER, _QUICKER = 0.5, 1.2  # by how much the number attended to may change from step to step


def attend(state: EngineState, frame: Frame) -> None:
    """Choose whom this step defers, if there is a budget of time and it does not pay for all.

    Those under test or alarm, those not yet recognised and the own body are never deferred. The others are ranked by
    the free energy that correcting them is expected to take away: the information that a pose as sure as this frame's
    gives (half the log of one plus the ratio of variances, axis by axis), and the evidence against their model so far.
    """
    state.deferred = np.zeros(state.belief.capacity, dtype=bool)
    if state.settings.loop.attention_budget_ms is None or state.attention_span is None:
        return
    awake = np.flatnonzero(state.awake)
    must = _urgent(state, awake)
    choice = awake[~must]
    left = state.attention_span - int(must.sum())
    if left >= len(choice) or len(choice) == 0:
        return
    order = np.argsort(-_expected_gain_nats(state, choice, frame), kind="stable")
    state.deferred[choice[order[max(left, 0) :]]] = True


def pace(state: EngineState, started_s: float) -> None:
    """Follow the clock: attend to more next time where time was left, to fewer where the step took too long."""
    budget = state.settings.loop.attention_budget_ms
    if budget is None:
        return
    taken = 1e3 * (time.perf_counter() - started_s)
    attended = int(state.awake.sum()) - int(state.deferred.sum())
    change = float(np.clip(budget / max(taken, 1e-6), _SLOWER, _QUICKER))
    state.attention_span = max(int(attended * change), 1)


def coast(density: Density, slots: Int[torch.Tensor, " n"], dt_s: float) -> None:
    """Move some rows on at constant velocity, in place."""
    if len(slots) == 0:
        return
    rows = density.select(slots)
    s = rows.states
    step = torch.zeros_like(rows.covariance[:, 0])
    step[:, :6] = torch.cat([s.linear_velocity, s.angular_velocity], dim=-1) * dt_s
    states, parameters = retract(s, rows.parameters, step)
    slope = torch.eye(TANGENT_DIM, dtype=step.dtype, device=step.device)
    slope[:6, 6:] = dt_s * slope[:6, :6]
    covariance = carried(rows.covariance, slope.expand(len(slots), -1, -1))
    noise = step.new_tensor([_COASTING_PSD[0]] * 3 + [_COASTING_PSD[1]] * 3)
    covariance[:, :TANGENT_DIM, :TANGENT_DIM] += white_acceleration(noise.unsqueeze(0), dt_s)
    density.write(slots, Density(states, parameters, covariance))


def _urgent(state: EngineState, slots: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    busy = [*state.trials, *state.waiting, *(() if state.own_id is None else (state.own_id,))]
    alarming = state.on_host("log_e_value")[0][slots] > state.settings.loop.alarm_threshold_nats
    return np.asarray(~state.ledger.settled[slots] | alarming | state.holding(busy)[slots])


def _expected_gain_nats(state: EngineState, slots: Int[np.ndarray, " n"], frame: Frame) -> Float[np.ndarray, " n"]:
    row = state.index(slots)
    pose = torch.diagonal(state.belief.joint_covariance, dim1=1, dim2=2)[:, :6].index_select(0, row)
    seen = torch.diagonal(state.settings.sensor.pose_noise(frame.covariance), dim1=1, dim2=2)
    noise = seen.mean(0) if len(seen) else torch.ones_like(pose[0])
    information = 0.5 * torch.log1p(pose / noise).sum(-1)
    doubt = state.belief.log_e_value.index_select(0, row).clamp_min(0.0)
    return np.asarray((information + doubt).cpu().numpy())
