"""The filter's arithmetic stays on one device and asks the host nothing: traced with every tensor on a fake GPU."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.fake_device import fake_gpu
from tests.models.cards import model_of
from worldsim.dynamics import Obstacles
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.slots import JOINT_DIM
from worldsim.types.states import ObjectStates

FAMILIES = ("rigid_body", "hinge", "vehicle", "person", "cat", "dog", "rolling_ball", "trolley", "generic")
ROWS, DTYPE = 3, torch.float64


def inputs(family: str, device: torch.device) -> tuple[Density, LoadedModels, Surroundings]:
    library = LoadedModels.of([model_of(family)], device, DTYPE)
    position = torch.zeros(ROWS, 3, dtype=DTYPE, device=device)
    states = ObjectStates.at_rest(position, torch.ones_like(position))
    covariance = 1e-2 * torch.eye(JOINT_DIM, dtype=DTYPE, device=device).repeat(ROWS, 1, 1)
    density = Density(states, library.prior_mean.repeat(ROWS, 1), covariance)
    boxes = Obstacles(
        True,
        torch.ones(ROWS, 2, 3, dtype=DTYPE, device=device),
        torch.ones(ROWS, 2, 4, dtype=DTYPE, device=device) / 2.0,
        torch.ones(ROWS, 2, 3, dtype=DTYPE, device=device),
        torch.zeros(ROWS, 2, 3, dtype=DTYPE, device=device),
        torch.ones(ROWS, 2, dtype=torch.bool, device=device),
    )
    return density, library, dataclasses.replace(Surroundings.empty(position), obstacles=boxes)


def turn(density: Density, library: LoadedModels, around: Surroundings) -> tuple[Density, Tensor]:
    """Predict a step, weigh one observed pose a row, and fold it in."""
    scale = torch.ones(ROWS, dtype=DTYPE, device=density.parameters.device)
    ahead = predict(density, np.zeros(ROWS, dtype=np.int64), library, around, scale, 0.05).density
    noise = 1e-4 * torch.eye(6, dtype=DTYPE, device=scale.device).repeat(ROWS, 1, 1)
    seen = innovation(ahead, ahead.states.position + 0.01, ahead.states.orientation_xyzw, noise)
    return correct(ahead, seen.residual, noise)


@pytest.mark.parametrize("family", FAMILIES)
def test_predict_and_correct_stay_on_the_device_they_were_given(family: str) -> None:
    with fake_gpu() as device:
        density, library, around = inputs(family, device)
        rows, gained = turn(density, library, around)
    states = [getattr(rows.states, field.name) for field in dataclasses.fields(rows.states)]
    assert {tensor.device.type for tensor in (*states, rows.parameters, rows.covariance, gained)} == {"cuda"}


def test_the_trace_would_notice_a_tensor_left_on_the_host() -> None:
    with fake_gpu() as device:
        density, library, around = inputs("rigid_body", device)
        stray = dataclasses.replace(density, covariance=density.covariance.to("cpu"))
        with pytest.raises(RuntimeError, match="device"):
            turn(stray, library, around)


def test_the_trace_would_notice_a_value_asked_of_the_device() -> None:
    with fake_gpu() as device:
        density, *_ = inputs("rigid_body", device)
        with pytest.raises(Exception, match=r"aten\._local_scalar_dense"):
            float(density.covariance.sum())
