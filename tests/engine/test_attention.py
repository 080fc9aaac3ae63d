"""A budget of time is spent on those about whom a step teaches most, and nobody is forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.small_world import Shelf, frames
from tests.small_world import world_model as small_world_model
from worldsim.engine.attention import coast
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.inference.slots import density_of, empty_belief
from worldsim.loop import WorldModel
from worldsim.types import Detections, EventKind, Observation

_NEVER_ENOUGH_MS, _PLENTY_MS = 1e-3, 1e6


def world_model(budget_ms: float | None) -> WorldModel:
    settings = WorldModelSettings(loop=LoopSettings(attention_budget_ms=budget_ms))
    return WorldModel(models=known_models(), settings=settings)


def test_a_budget_that_pays_for_all_changes_nothing() -> None:
    beliefs = []
    for budget in (None, _PLENTY_MS):
        stream = Plain(6, 4, known_models(), np.random.default_rng(0)).frames()
        wm = world_model(budget)
        wm.reset(next(stream))
        records = [wm.step(next(stream)) for _ in range(10)]
        assert not any(r.deferred for r in records)
        beliefs.append(wm.belief)
    for name, tensor in beliefs[0].tensors().items():
        assert torch.equal(tensor, beliefs[1].tensors()[name]), name


def recognised(things: int) -> tuple[WorldModel, Iterator[Observation]]:
    """Return a world model with no time for so many things, all of them recognised, and the frames to come."""
    stream = Plain(things, 0, known_models(), np.random.default_rng(0)).frames()
    wm = world_model(_NEVER_ENOUGH_MS)
    wm.reset(next(stream))
    for _ in range(8):
        wm.step(next(stream))
    return wm, stream


def test_what_is_left_is_named_and_comes_up_in_its_turn() -> None:
    wm, stream = recognised(12)
    who = set(wm.belief.object_id[wm.belief.alive].tolist())
    attended: set[int] = set()
    for _ in range(60):
        record = wm.step(next(stream))
        assert record.deferred
        assert not (set(record.deferred) & set(record.surprise.object_id[~np.isnan(record.surprise.nis)].tolist()))
        attended |= who - set(record.deferred)
    assert attended == who
    assert {int(i) for i in wm.belief.object_id[wm.belief.alive]} == who
    assert all(r.kind != EventKind.BIRTH for r in record.events)


def test_the_least_known_is_attended_to_first() -> None:
    wm, stream = recognised(8)
    state = wm._state
    slot = int(np.flatnonzero(state.awake)[3])
    wide = state.belief.joint_covariance.clone()
    wide[slot, :6, :6] *= 100.0
    state.belief = dataclasses.replace(state.belief, joint_covariance=wide)
    record = wm.step(next(stream))
    assert int(state.ids[slot]) not in record.deferred
    assert len(record.deferred) == 7


def test_all_whose_model_fails_are_attended_to_however_many_they_are() -> None:
    wm, stream = recognised(8)
    state = wm._state
    assert state.attention_span == 1
    doubted = np.flatnonzero(state.awake)[[1, 4, 6]]
    value = state.belief.log_e_value.clone()
    value[doubted] = wm.settings.loop.alarm_threshold_nats + 1.0
    state.belief = dataclasses.replace(state.belief, log_e_value=value)
    record = wm.step(next(stream))
    assert len(record.deferred) == 5
    assert not set(state.ids[doubted].tolist()) & set(record.deferred)


def test_who_is_deferred_coasts_and_grows_less_sure() -> None:
    density = density_of(empty_belief(2, torch.device("cpu"), torch.float64)).copy()
    density.states.linear_velocity[1] = torch.tensor([2.0, 0.0, 0.0])
    density.covariance[1, 6, 6] = 0.5
    still, dt_s = density.covariance[0].clone(), 0.1
    coast(density, torch.tensor([1]), dt_s)
    assert density.states.position[1].tolist() == pytest.approx([0.2, 0.0, 0.0])
    own = density.covariance[1]
    # of white acceleration of 1 (m/s^2)^2 s: dt, dt^2 / 2 and dt^3 / 3
    assert float(own[6, 6]) == pytest.approx(0.5 + dt_s)
    assert float(own[0, 6]) == pytest.approx(0.5 * dt_s + dt_s**2 / 2)
    assert float(own[0, 0]) == pytest.approx(1e-6 + 0.5 * dt_s**2 + dt_s**3 / 3)
    assert torch.equal(density.covariance[0], still)


def test_where_all_are_urgent_nobody_is_deferred_though_nothing_is_seen() -> None:
    stream = Plain(8, 0, known_models(), np.random.default_rng(0)).frames()
    wm = world_model(_NEVER_ENOUGH_MS)
    wm.reset(next(stream))
    wm.step(next(stream))
    dark = dataclasses.replace(next(stream), detections=Detections.empty())
    assert wm.step(dark).deferred == ()  # nobody is recognised as yet


def test_an_intruder_is_noticed_however_little_time_there_is() -> None:
    wm = small_world_model(
        Shelf(), settings=WorldModelSettings(loop=LoopSettings(attention_budget_ms=_NEVER_ENOUGH_MS))
    )
    stream = frames(6.0, cat_from_s=2.0)
    wm.reset(next(stream))
    told = [e.kind for observation in stream for e in wm.step(observation, np.zeros(3)).events]
    assert EventKind.ALARM in told
