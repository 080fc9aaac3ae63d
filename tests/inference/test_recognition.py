"""What a new thing is taken for: its size, its look, and how it comes in."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tests.models.cards import EXTENTS
from tests.small_world import LOOKS, model
from worldsim.filtering.library import LoadedModels
from worldsim.inference import slots as slot_table
from worldsim.inference.lifecycle import Recognition, recognise

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
