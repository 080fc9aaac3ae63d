"""Who is kept in the belief, and who is let go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.small_world import DT_S, Shelf, frame, frames, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.errors import WorldsimError
from worldsim.graph.edges import MOST_IDS
from worldsim.types import Detections, Viewpoints
from worldsim.types.record import EventKind


def test_a_belief_that_has_run_away_is_let_go_and_the_others_stay() -> None:
    wm = world_model(Shelf())
    stream = frames(2.0)
    wm.reset(next(stream))
    for _ in range(30):
        wm.step(next(stream), np.zeros(3))
    state = wm._state
    slot = next(s for s in np.flatnonzero(state.alive) if wm.kind_of(int(state.ids[s])) == "person")
    gone, others = int(state.ids[slot]), set(state.ids[state.alive].tolist()) - {int(state.ids[slot])}
    covariance = state.belief.joint_covariance.clone()
    covariance[slot] *= 1e40
    state.belief = dataclasses.replace(state.belief, joint_covariance=covariance)
    blind = dataclasses.replace(next(stream), detections=Detections.empty())  # or it would be found again at once
    record = wm.step(blind, np.zeros(3))
    assert [event.object_id for event in record.events if event.kind is EventKind.DEATH] == [gone]
    for _ in range(5):
        wm.step(next(stream), np.zeros(3))
    kept = set(wm._state.ids[wm._state.alive].tolist())
    assert others <= kept
    assert gone not in kept
    assert np.isfinite(wm.belief.position.numpy()).all()


def test_a_passive_thing_that_is_met_while_it_moves_is_not_laid_down() -> None:
    wm, rng, born = world_model(None, surprise=False), np.random.default_rng(0), []
    for k in range(12):
        things = [("rigid_body", np.array([0.125 * k, 0.0, 0.175])), ("rigid_body", np.array([9.0, 0.0, 0.175]))]
        seen = frame(k * DT_S, things, rng)  # 2.5 m/s: six standard deviations of what four looks tell
        record = wm.step(seen, np.zeros(3)) if k else wm.reset(seen)
        born += [event for event in record.events if event.kind is EventKind.BIRTH]
        if born:
            break
    assert len(born) == 2
    things = wm.belief.alive & (wm.belief.object_id != wm.own_id)
    assert torch.equal(wm.belief.awake[things], wm.belief.position[things, 0] < 5.0)


@pytest.mark.parametrize("started_s", [0.0, 1.7e9])
def test_clutter_goes_by_whatever_clock_the_frames_are_timed(started_s: float) -> None:
    """Of the seconds since 1970, float32 tells no two minutes apart."""
    settings = WorldModelSettings(loop=LoopSettings(precision="float32"))
    wm, rng = world_model(None, surprise=False, settings=settings), np.random.default_rng(0)
    far = Viewpoints(np.array([[-500.0, -500.0, 2.0]]), np.array([1.0]))  # what is not seen is out of sight
    alive = []
    for k in range(16):
        things = [("rigid_body", np.array([2.0, 0.0, 0.175]))]
        if k == 4:
            things += [("rigid_body", np.array([-3.0 - n, 3.0, 0.175])) for n in range(3)]
        seen = dataclasses.replace(frame(started_s + k * DT_S, things, rng), viewpoints=far)
        _ = wm.step(seen) if k else wm.reset(seen)
        alive.append(int(wm._state.alive.sum()))
    assert alive[5] == alive[3] + 3
    assert alive[-1] == alive[3]


def test_that_there_are_no_more_ids_is_told_before_two_edges_are_one() -> None:
    wm, stream = world_model(None, surprise=False), frames(1.0)
    wm.reset(next(stream))
    wm._state.next_id = MOST_IDS - 1
    rng = np.random.default_rng(1)
    new = [("rigid_body", np.array([20.0 + 2.0 * n, 0.0, 0.175])) for n in range(2)]
    with pytest.raises(WorldsimError, match="no more ids"):
        wm.step(frame(DT_S, new, rng))


def test_an_own_body_that_reports_late_begins_alike_whoever_was_in_its_slot_before() -> None:
    seen = [dataclasses.replace(o, ego=None) for o in frames(2.0)]
    nobody = dataclasses.replace(seen[0], detections=Detections.empty(), viewpoints=Viewpoints.everywhere())
    used, fresh = world_model(Shelf()), world_model(Shelf())
    for wm, start in ((used, seen[0]), (fresh, nobody)):
        wm.reset(start)
        for number, observation in enumerate(seen[1:], start=1):
            gone = wm is fresh or number > 20  # what was watched, asleep by then, is taken away
            wm.step(dataclasses.replace(nobody, time_s=observation.time_s) if gone else observation)
        assert not wm.belief.alive.any()
        *_, last = frames(2.1)
        wm.step(dataclasses.replace(nobody, time_s=last.time_s, ego=last.ego))
    for name in used.belief.tensors():
        if name != "object_id":
            rows = [wm.belief.tensors()[name][wm.belief.slot_of(wm.own_id)] for wm in (used, fresh)]
            assert torch.equal(*rows), name


def test_the_own_body_starts_as_sure_as_its_own_report() -> None:
    wm, rng = world_model(None, surprise=False), np.random.default_rng(0)
    errors = []
    for _ in range(100):
        seen = frame(0.0, [], rng)
        assert seen.ego is not None
        wander = 0.01 * rng.standard_normal(3)  # as far as the report's covariance says
        wm.reset(dataclasses.replace(seen, ego=dataclasses.replace(seen.ego, position=seen.ego.position + wander)))
        assert wm.own_id is not None
        slot = wm.belief.slot_of(wm.own_id)
        off = wm.belief.position[slot].numpy() - seen.ego.position
        errors.append(off @ np.linalg.solve(wm.belief.covariance[slot, :3, :3].numpy(), off))
    assert 2.25 < np.mean(errors) < 3.85  # chi-square with 300 degrees of freedom over 100, but once in 1,000 times
    pose, twist = wm.belief.covariance[slot, :6, :6], wm.belief.covariance[slot, 6:, 6:]
    torch.testing.assert_close(pose, 1e-4 * torch.eye(6, dtype=pose.dtype), atol=1e-8, rtol=0.0)
    torch.testing.assert_close(twist, 9e-4 * torch.eye(6, dtype=pose.dtype), atol=1e-12, rtol=0.0)
