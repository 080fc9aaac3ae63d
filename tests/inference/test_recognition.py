"""What a new thing is taken for: its size, its look, and how it comes in."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.models.cards import EXTENTS
from tests.small_world import LOOKS, model
from worldsim.filtering.library import LoadedModels
from worldsim.inference import slots as slot_table
from worldsim.inference.lifecycle import Recognition, recognise, restarted, unsure_of_fall

FAMILIES = ("rigid_body", "person", "generic")


def recognised(family: str, speed_m_s: float) -> Recognition:
    library = LoadedModels.of([model(f) for f in FAMILIES], torch.device("cpu"), torch.float64)
    belief = slot_table.empty_belief(1, torch.device("cpu"), torch.float64)
    belief = dataclasses.replace(
        belief,
        extent_m=torch.tensor([EXTENTS[family]], dtype=torch.float64),
        extent_variance_m2=torch.full((1, 3), 1e-4, dtype=torch.float64),
        appearance=torch.tensor(LOOKS[family])[None],
        appearance_variance=torch.full((1, 12), 1e-3, dtype=torch.float64),
        linear_velocity=torch.tensor([[speed_m_s, 0.0, 0.0]], dtype=torch.float64),
        joint_covariance=1e-2 * torch.eye(slot_table.JOINT_DIM, dtype=torch.float64)[None],
    )
    generic = np.array([f == "generic" for f in FAMILIES])
    passive = np.array([f == "rigid_body" for f in FAMILIES])
    return recognise(belief, torch.tensor([0]), library, generic, passive)


def test_a_crate_at_rest_and_a_walker_are_taken_for_what_they_are() -> None:
    assert FAMILIES[int(recognised("rigid_body", 0.0).model_index[0])] == "rigid_body"
    assert FAMILIES[int(recognised("person", 1.3).model_index[0])] == "person"


def test_a_crate_that_comes_in_by_itself_is_doubted_and_one_that_is_pushed_hardly() -> None:
    at_rest, pushed, rolling = (float(recognised("rigid_body", v).log_e[0]) for v in (0.0, 0.5, 2.5))
    assert at_rest < pushed < rolling
    # 2.5 m/s is five standard deviations of what pushing does: 12.5 nats, less what the broad model finds odd in it
    assert rolling - pushed > 7.0


def test_a_walker_is_not_doubted_for_walking() -> None:
    assert abs(float(recognised("person", 1.3).log_e[0]) - float(recognised("person", 0.0).log_e[0])) < 0.1


def test_a_restart_forgets_the_velocities_and_nothing_else() -> None:
    belief = slot_table.empty_belief(2, torch.device("cpu"), torch.float64)
    mixed = torch.eye(slot_table.JOINT_DIM, dtype=torch.float64) + 0.5
    belief = dataclasses.replace(
        belief,
        linear_velocity=torch.full((2, 3), 9.0, dtype=torch.float64),
        joint_covariance=mixed.repeat(2, 1, 1),
    )
    after = restarted(belief, torch.tensor([1]))
    assert torch.equal(after.linear_velocity[0], belief.linear_velocity[0])
    assert not after.linear_velocity[1].any()
    assert torch.equal(after.joint_covariance[0], mixed)
    new = after.joint_covariance[1]
    assert torch.equal(new[:6, :6], mixed[:6, :6])
    assert torch.equal(new[12:, 12:], mixed[12:, 12:])
    assert not new[6:12, :6].any()
    assert not new[6:12, 12:].any()
    assert bool((torch.diagonal(new)[6:12] >= 1.0).all())  # m/s and rad/s: as little is known as at birth
    assert torch.equal(after.position, belief.position)


def test_a_velocity_measured_without_weight_is_unsure_by_half_a_frame_of_fall() -> None:
    belief = slot_table.empty_belief(2, torch.device("cpu"), torch.float64)
    belief = dataclasses.replace(belief, time_s=0.3, birth_s=torch.tensor([0.1, 0.1], dtype=torch.float64))
    after = unsure_of_fall(belief, torch.tensor([1]), frames=3)  # three looks: two intervals of 0.1 s
    added = torch.diagonal(after.joint_covariance - belief.joint_covariance, dim1=1, dim2=2)
    expected = torch.zeros_like(added)
    expected[1, 8] = (9.81 * 0.1 / 2) ** 2
    torch.testing.assert_close(added, expected, rtol=1e-12, atol=0.0)
