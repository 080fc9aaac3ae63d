"""Paths that follow what is believed: exact where the belief is right, a cubic where nothing is believed."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.graph.joint.encounters import Surroundings, follow_beliefs
from worldsim.graph.joint.paths import Frame, hermite_paths
from worldsim.graph.joint.shooting import engine_rule, shoot
from worldsim.graph.joint.slots import grouped_pairs
from worldsim.interactions.charge import Charge

DT_S, STEP_S = 0.1, 1e-3
REPULSION = 0.2


def _encounter() -> tuple[Frame, torch.Tensor, torch.Tensor]:
    """Return a frame in which two charges of one sign all but collide, the engine's own places, and the truth."""
    place = torch.tensor([[-0.12, 0.0], [0.12, 0.02]], dtype=torch.float64)
    velocity = torch.tensor([[2.0, 0.0], [-2.0, 0.0]], dtype=torch.float64)
    start, places = (place.clone(), velocity.clone()), []
    for _ in range(round(DT_S / STEP_S)):
        places.append(place)
        apart = place - place.flip(0)
        velocity = velocity + STEP_S * REPULSION * apart / apart.norm(dim=-1, keepdim=True) ** 3
        place = place + STEP_S * velocity
    frame = Frame(*start, place, velocity, DT_S, STEP_S)
    return frame, torch.stack(places), torch.full((2, 1), REPULSION, dtype=torch.float64)


def test_the_right_belief_gives_the_engines_own_path_and_sums() -> None:
    frame, places, truth = _encounter()
    slots, unit = grouped_pairs(1, 2), torch.ones(2, dtype=torch.float64)
    shot = shoot([Charge()], slots, unit, frame, truth)
    assert bool(shot.followed.all())
    assert torch.allclose(shot.path[0], places, atol=1e-12)  # the same sums in the same order, to rounding
    forces = follow_beliefs(Surroundings([Charge()], slots, unit), frame, truth, torch.zeros_like(truth))
    jump = (forces.integrals.design @ truth[..., None])[..., 0]
    assert torch.allclose(jump[:, 2:], frame.velocity_after - frame.velocity_before, atol=1e-12)
    free = frame.position_before + DT_S * frame.velocity_before
    assert torch.allclose(jump[:, :2], frame.position_after - free, atol=1e-12)


def test_a_belief_that_is_a_little_off_still_ends_where_the_bodies_were_seen() -> None:
    frame, places, truth = _encounter()
    slots, unit = grouped_pairs(1, 2), torch.ones(2, dtype=torch.float64)
    near = shoot([Charge()], slots, unit, frame, 1.05 * truth)
    plain = hermite_paths(frame, nodes=near.rule.nodes)[0]
    assert (near.path[0] - places).abs().max() < 0.2 * (plain - places).abs().max()


def test_without_a_belief_the_path_is_the_cubic_through_both_ends() -> None:
    frame, _, truth = _encounter()
    slots, unit = grouped_pairs(1, 2), torch.ones(2, dtype=torch.float64)
    smooth = Frame(frame.position_before, frame.velocity_before, frame.position_after, frame.velocity_after, DT_S, 0.0)
    shot = shoot([Charge()], slots, unit, smooth, torch.zeros_like(truth))
    plain = hermite_paths(smooth, nodes=shot.rule.nodes)
    assert torch.allclose(shot.path[0], plain[0])
    assert torch.allclose(shot.path[1], plain[1])


def test_the_rules_sum_a_constant_force_exactly() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    engine, continuous = engine_rule(DT_S, STEP_S, like), engine_rule(DT_S, 0.0, like)
    steps = np.arange(100)
    assert abs(float(engine.velocity.sum()) - DT_S) < 1e-12
    assert abs(float(engine.position.sum()) - float((STEP_S**2 * (100 - steps)).sum())) < 1e-12
    assert abs(float(continuous.velocity.sum()) - DT_S) < 1e-12
    assert abs(float(continuous.position.sum()) - 0.5 * DT_S**2) < 1e-12
