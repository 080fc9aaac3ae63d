"""How objects come, wake, sleep and change their model: what is widened, what is forgotten, and by how much."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.small_world import frame, model
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.inference import slots as slot_table
from worldsim.inference.lifecycle import (
    adapted_noise,
    born,
    dream,
    existence_after,
    restarted,
    startled,
    take_model,
)
from worldsim.inference.observe import read
from worldsim.inference.sensor_model import SensorModel
from worldsim.types import WorldBelief

DTYPE, CPU = torch.float64, torch.device("cpu")
TANGENT = 12


def blank(count: int) -> WorldBelief:
    return slot_table.empty_belief(count, CPU, DTYPE)


def diagonal(density: Density) -> torch.Tensor:
    return torch.diagonal(density.covariance, dim1=1, dim2=2)


def test_a_startled_sleeper_may_be_anywhere_near_and_moving_and_the_others_may_not() -> None:
    rest = slot_table.density_of(blank(2))
    woken = startled(rest, torch.tensor([False, True]), reach_m=0.05, reach_rad=0.1)
    added = diagonal(woken) - diagonal(rest)
    assert not added[0].any()
    # 5 cm and 0.1 rad as told; half a metre and one radian a second, as a thing that begins to move
    assert added[1, :TANGENT].tolist() == pytest.approx([0.0025] * 3 + [0.01] * 3 + [0.25] * 3 + [1.0] * 3)
    assert not added[1, TANGENT:].any()


def test_a_sleeper_creeps_by_a_millimetre_a_frame_and_nobody_else_does() -> None:
    density = slot_table.density_of(blank(3)).copy()
    before = diagonal(density).clone()
    dream(density, torch.tensor([1]))
    added = diagonal(density) - before
    assert added[1, :TANGENT].tolist() == pytest.approx([1e-6] * 3 + [9e-6] * 3 + [0.0] * 6)
    assert not added[[0, 2]].any()


def test_a_noise_scale_follows_the_surprise_and_comes_back_within_limits() -> None:
    scale, expected = torch.tensor([1.0, 1.0, 4.0], dtype=DTYPE), torch.tensor([60.0, 0.0, 6.0], dtype=DTYPE)
    once = adapted_noise(scale, expected)
    assert float(once[0]) > 1.0 > float(once[1])  # six degrees of freedom: 6 is what a right model gives
    assert float(once[2]) == pytest.approx(4.0**0.995)  # so it fades to 1 in some hundred frames
    for _ in range(1000):
        scale = adapted_noise(scale, expected)
    assert scale.tolist() == pytest.approx([8.0, 0.3, 4.0**0.995**1000])


def test_a_detection_of_what_was_out_of_view_tells_half_as_much_for_its_being_there() -> None:
    third = torch.full((2,), 0.3, dtype=DTYPE)
    both = torch.ones(2, dtype=torch.bool)
    nats = torch.full((2,), -6.0, dtype=DTYPE)
    after = existence_after(third, both, torch.tensor([True, False]), nats, SensorModel())
    odds = after / (1.0 - after)
    assert float(odds[1] / odds[0]) == pytest.approx(0.5, rel=1e-5)  # the probability is a float32 product


def test_who_takes_another_model_starts_from_its_prior_and_keeps_its_state() -> None:
    library = LoadedModels.of([model("generic"), model("cat")], CPU, DTYPE)
    mixed = torch.eye(slot_table.JOINT_DIM, dtype=DTYPE) + 0.5
    belief = dataclasses.replace(
        blank(2), joint_covariance=mixed.repeat(2, 1, 1), noise_scale=torch.full((2,), 3.0, dtype=DTYPE)
    )
    after = take_model(belief, torch.tensor([1]), torch.tensor([1]), library)
    assert after.model_index.tolist() == [0, 1]
    assert torch.equal(after.parameters[1], library.prior_mean[1])
    own = after.joint_covariance[1]
    assert torch.equal(own[:TANGENT, :TANGENT], mixed[:TANGENT, :TANGENT])
    assert torch.equal(own[TANGENT:, TANGENT:], torch.diag(library.prior_std[1] ** 2))
    assert not own[TANGENT:, :TANGENT].any()
    assert not own[:TANGENT, TANGENT:].any()
    assert after.noise_scale.tolist() == [3.0, 1.0]  # the other model's excuses are not the new one's
    assert torch.equal(after.joint_covariance[0], mixed)


def test_a_new_thing_hovers_where_it_was_seen_until_more_is_known() -> None:
    library = LoadedModels.of([model("generic")], CPU, DTYPE)
    seen = frame(0.5, [("cat", np.array([1.0, 2.0, 1.7]))], np.random.default_rng(0))
    checked = read(seen, CPU, DTYPE)
    ids = torch.tensor([5])
    after = born(blank(2), torch.tensor([1]), checked, torch.tensor([0]), ids, 0, library, SensorModel())
    assert library.models[0].parameter_names[4] == "height_m"
    assert float(after.parameters[1, 4]) == float(checked.position[0, 2])
    assert after.existence.tolist() == [0.0, SensorModel().birth_existence]
    assert after.object_id.tolist() == [-1, 5]


def test_a_restart_forgets_how_fast_it_turned_too() -> None:
    spinning = dataclasses.replace(blank(1), angular_velocity=torch.full((1, 3), 9.0, dtype=DTYPE))
    assert not restarted(spinning, torch.tensor([0])).angular_velocity.any()
