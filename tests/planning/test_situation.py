"""What planning reads of the own body."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.planning.floor import empty_belief
from worldsim.planning.situation import OwnBody, believed_own_body


def held(model: str, parameters: tuple[float, float]):
    blank = empty_belief()
    number = blank.parameters.new_zeros(blank.parameters.shape[0], max(2, blank.parameters.shape[1]))
    number[0, :2] = torch.tensor(parameters)
    return dataclasses.replace(
        blank,
        alive=torch.ones_like(blank.alive),
        object_id=torch.full_like(blank.object_id, 7),
        model_index=torch.zeros_like(blank.model_index),
        parameters=number,
        model_ids=(model,),
    )


def test_the_answer_to_commands_is_the_vehicles_own():
    own = believed_own_body(held("vehicle/robot", (math.log(3.0), math.log(40.0))), 7, None)
    assert own.speed_response_per_s == pytest.approx(3.0)
    assert own.yaw_response_per_s == 30.0  # beyond what is driven by


def test_the_broad_model_knows_no_commands_and_its_drag_is_no_answer_to_them():
    own = believed_own_body(held("generic/unknown", (0.3, 0.0)), 7, None)
    usual = OwnBody((0.0, 0.0), 0.0, 0.0, 0.0, (1.0, 1.0, 1.0))
    assert (own.speed_response_per_s, own.yaw_response_per_s) == (
        usual.speed_response_per_s,
        usual.yaw_response_per_s,
    )
