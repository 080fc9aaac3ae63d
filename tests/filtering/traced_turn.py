"""A turn of the filter with every tensor on a fake GPU; run as a program, it prints where the tensors ended up."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import torch
from torch import Tensor

from tests.fake_device import fake_gpu
from tests.models.cards import model_of
from worldsim.dynamics import Obstacles
from worldsim.filtering.correct import correct, innovation
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import Linearisation, predict
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


def turn(
    density: Density, library: LoadedModels, around: Surroundings, linearisation: Linearisation = "differences"
) -> tuple[Density, Tensor]:
    """Predict a step, weigh one observed pose a row, and fold it in."""
    scale = torch.ones(ROWS, dtype=DTYPE, device=density.parameters.device)
    ahead = predict(density, np.zeros(ROWS, dtype=np.int64), library, around, scale, 0.05, linearisation).density
    noise = 1e-4 * torch.eye(6, dtype=DTYPE, device=scale.device).repeat(ROWS, 1, 1)
    seen = innovation(ahead, ahead.states.position + 0.01, ahead.states.orientation_xyzw, noise)
    return correct(ahead, seen.residual, noise)


def raised_by_a_stray_tensor() -> bool:
    """Return whether a tensor left on the host is noticed."""
    with fake_gpu() as device:
        density, library, around = inputs("rigid_body", device)
        stray = dataclasses.replace(density, covariance=density.covariance.to("cpu"))
        try:
            turn(stray, library, around)
        except RuntimeError as error:
            return "device" in str(error)
    return False


def raised_by_a_value_on_the_host() -> bool:
    """Return whether a value asked of the device is noticed."""
    with fake_gpu() as device:
        density, *_ = inputs("rigid_body", device)
        try:
            float(density.covariance.sum())
        except Exception as error:  # noqa: BLE001 - whatever torch calls it
            return "_local_scalar_dense" in str(error)
    return False


def devices_after_a_turn(family: str) -> list[str]:
    """Return the types of the devices on which a predicted and corrected belief lies."""
    found: set[str] = set()
    with fake_gpu() as device:
        density, library, around = inputs(family, device)
        alone = dataclasses.replace(around, obstacles=None)
        for rows, gained in (turn(density, library, around), turn(density, library, alone, "derivatives")):
            states = [getattr(rows.states, field.name) for field in dataclasses.fields(rows.states)]
            found |= {tensor.device.type for tensor in (*states, rows.parameters, rows.covariance, gained)}
    return sorted(found)


if __name__ == "__main__":
    found = {"devices": {family: devices_after_a_turn(family) for family in FAMILIES}}
    checks = {"stray": raised_by_a_stray_tensor(), "value": raised_by_a_value_on_the_host()}
    print(json.dumps(found | checks))
