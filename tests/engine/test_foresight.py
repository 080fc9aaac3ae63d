"""What may come of balls that are about to meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.engine.test_impacts import DT_S, balls_alone, played, stream
from tests.small_world import frame, model
from worldsim.dynamics import quaternion
from worldsim.engine.state import STARTER_TAG
from worldsim.inference.blows import Balls, struck
from worldsim.loop import WorldModel
from worldsim.types import ObjectStates

AHEAD = 16  # frames: the balls meet about half way


def test_a_ball_at_rest_is_foreseen_to_give_way_to_one_that_rolls_into_it():
    wm, observations, frames = balls_alone(), stream(), 8
    wm.reset(next(observations))
    for _ in range(frames):
        wm.step(next(observations))
    *_, then = itertools.islice(played((0.4, 0.4), True), frames + AHEAD + 1)
    ahead = wm.forecast(AHEAD * DT_S, DT_S)
    now = wm.belief.position[wm.belief.alive]
    for place in then.position:
        row = int((ahead.position[-1] - place.float()).norm(dim=-1).argmin())
        # masses and restitutions are known as well as a card knows them: a few centimetres in half a metre
        assert float((ahead.position[-1, row] - place.float()).norm()) < 0.12
    rests = int(now[:, 0].argmax())
    assert float(ahead.position[-1, rests, 0] - now[rests, 0]) > 0.1


def row_of_balls(gap_m: float, speed_m_s: float, samples: int = 2) -> tuple[ObjectStates, ObjectStates, Balls]:
    """Return three balls in a row before and after a step of 0.1 s in which the first rolls on, and what they are."""
    x = torch.tensor([0.0, 0.3 + gap_m, 0.61 + gap_m], dtype=torch.float64).repeat(samples)
    place = torch.stack([x, torch.zeros_like(x), torch.full_like(x, 0.15)], dim=-1)
    velocity = torch.zeros_like(place)
    velocity[::3, 0] = speed_m_s
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(len(x), 1)
    before = ObjectStates(place, upright, velocity, torch.zeros_like(place), torch.full_like(place, 0.3))
    after = ObjectStates(place + 0.1 * velocity, upright, velocity, torch.zeros_like(place), before.extent_m)

    def each(value: float) -> torch.Tensor:
        return torch.full((samples, 3), value, dtype=torch.float64)

    row = torch.arange(3 * samples).reshape(samples, 3)
    return before, after, Balls(row, each(0.15), each(0.4), each(0.9), each(0.0))


def test_equal_balls_without_friction_share_the_momentum_and_part_by_the_restitution():
    before, after, balls = row_of_balls(0.02, 1.0)
    moved = struck(before, after, balls, 0.1)
    first, second, third = moved.linear_velocity[:3, 0].tolist()
    assert first + second == pytest.approx(1.0)
    assert second - first == pytest.approx(0.9**2, rel=1e-6)
    assert third == 0.0  # it is met in the next step: one impact a ball and step
    assert torch.equal(moved.linear_velocity[:3], moved.linear_velocity[3:])
    assert torch.allclose(quaternion.normalise(moved.orientation_xyzw), moved.orientation_xyzw)


def test_balls_out_of_reach_end_the_step_as_they_would_alone():
    before, after, balls = row_of_balls(0.2, 1.0)
    assert struck(before, after, balls, 0.1) is after


def test_a_familiar_mover_far_from_the_own_body_goes_straight_on_and_spreads_as_it_is_unsure() -> None:
    known = [model(kind, tags=(STARTER_TAG,)) for kind in ("person", "vehicle", "generic")]
    wm, rng = WorldModel(models=known), np.random.default_rng(0)
    for k in range(20):
        things = [("person", np.array([-80.0 + 1.2 * k * DT_S, 0.0, 0.875])), ("person", np.array([4.0, -3.0, 0.875]))]
        seen = frame(k * DT_S, things, rng)
        _ = wm.step(seen) if k else wm.reset(seen)
    belief, ahead = wm.belief, wm.forecast(1.0, 0.25)
    slot = int(belief.position[:, 0].argmin())
    row = ahead.object_id.tolist().index(int(belief.object_id[slot]))
    times = torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64)[:, None]
    straight = belief.position[slot] + belief.linear_velocity[slot] * times
    torch.testing.assert_close(ahead.position[:, row].double(), straight, atol=1e-5, rtol=1e-5)
    variance = torch.diagonal(belief.joint_covariance[slot])
    assert (ahead.position_std[:, row].double() > (variance[:3] + variance[6:9] * times**2).sqrt()).all()
    other = 1 - row
    assert ahead.object_id.tolist()[other] != wm.own_id
    here = belief.slot_of(int(ahead.object_id[other]))
    near = belief.position[here] + belief.linear_velocity[here] * times
    assert not torch.allclose(ahead.position[:, other].double(), near, atol=1e-3)  # as its own model says
