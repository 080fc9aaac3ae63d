"""Covariances carried by a model's own derivative, and beliefs held in float32, against differences in float64."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.cards import model_of
from tests.small_world import Shelf, frames, model, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.errors import UnknownNameError
from worldsim.filtering.correct import correct
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.loop import WorldModel
from worldsim.types import Control, ObjectStates
from worldsim.types.belief import TANGENT_DIM

FAMILIES = ("static", "person", "generic", "rigid_body")  # those that give a derivative of themselves
ROWS, DT_S = 6, 0.05


def scene(family: str, dtype: torch.dtype, scale: float) -> tuple[Density, LoadedModels, Surroundings, np.ndarray]:
    """Return rows of a class in motion, each near a mover, with correlated covariances of width `scale`."""
    rng = np.random.default_rng(5)
    library = LoadedModels.of([model_of(family, std=0.3)], torch.device("cpu"), dtype)

    def normal(width: int, by: float) -> torch.Tensor:
        return torch.tensor(by * rng.standard_normal((ROWS, width)), dtype=dtype)

    states = ObjectStates.at_rest(normal(3, 1.0), library.extent_mean.repeat(ROWS, 1))
    states = dataclasses.replace(states, linear_velocity=normal(3, 0.8), angular_velocity=normal(3, 0.5))
    used = TANGENT_DIM + len(library.models[0].parameter_names)
    root = torch.zeros(ROWS, 20, 20, dtype=dtype)
    root[:, :used, :used] = torch.tensor(rng.standard_normal((ROWS, used, used)), dtype=dtype)
    covariance = scale**2 * (root @ root.mT)
    control = dataclasses.replace(
        Control.none(states.position),
        neighbour_position=states.position + normal(3, 0.7),
        neighbour_velocity=normal(3, 0.5),
        neighbour_known=torch.ones(ROWS, dtype=torch.bool),
    )
    around = Surroundings(control, normal(6, 0.2), None)
    return Density(states, library.prior_mean.repeat(ROWS, 1), covariance), library, around, np.zeros(ROWS, np.int64)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrow_belief_is_carried_alike_by_derivatives_and_by_differences(family: str) -> None:
    density, library, around, index = scene(family, torch.float64, 1e-5)
    ones = torch.ones(ROWS, dtype=torch.float64)
    by_differences = predict(density, index, library, around, ones, DT_S, "differences").density
    by_derivatives = predict(density, index, library, around, ones, DT_S, "derivatives").density
    for name in ("position", "orientation_xyzw", "linear_velocity", "angular_velocity"):
        assert torch.equal(getattr(by_differences.states, name), getattr(by_derivatives.states, name))
    apart = (by_differences.covariance - by_derivatives.covariance).abs().max()
    # the smallest difference is 1e-4 wide: a third derivative of order 100 leaves 1e-6 of the slope
    assert apart < 1e-5 * by_differences.covariance.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_agrees_with_float64_to_one_in_ten_thousand(family: str) -> None:
    posteriors = []
    for dtype in (torch.float64, torch.float32):
        density, library, around, index = scene(family, dtype, 0.05)
        ahead = predict(density, index, library, around, torch.ones(ROWS, dtype=dtype), DT_S, "derivatives").density
        noise = torch.diag(torch.tensor([1e-4] * 3 + [2.5e-4] * 3, dtype=dtype)).repeat(ROWS, 1, 1)
        rows, gained = correct(ahead, torch.full((ROWS, 6), 0.01, dtype=dtype), noise)
        posteriors.append((rows, gained))
    (wide, gained), (narrow, gained_narrow) = posteriors
    assert torch.allclose(narrow.states.position.double(), wide.states.position, atol=1e-4)
    assert torch.allclose(narrow.covariance.double(), wide.covariance, atol=1e-4 * float(wide.covariance.abs().max()))
    assert torch.allclose(gained_narrow.double(), gained, rtol=1e-3, atol=1e-3)
    assert (
        torch.linalg.cholesky_ex(narrow.covariance[:, :TANGENT_DIM, :TANGENT_DIM] + 1e-9 * torch.eye(12)).info == 0
    ).all()


def fast(usual: WorldModel) -> WorldModel:
    loop = LoopSettings(linearisation="derivatives", precision="float32")
    return WorldModel(models=list(usual._state.library.models), settings=WorldModelSettings(loop=loop))


def test_a_float32_loop_with_derivatives_sees_the_same_world() -> None:
    shelf = Shelf()
    usual, quick = world_model(shelf), fast(world_model(shelf))
    for number, observation in enumerate(frames(3.0)):
        for wm in (usual, quick):
            record = wm.reset(observation) if number == 0 else wm.step(observation, np.zeros(3))
            assert not record.alarmed
    assert quick.belief.position.dtype == torch.float32
    assert torch.equal(usual.belief.alive, quick.belief.alive)
    assert torch.equal(usual.belief.awake, quick.belief.awake)
    apart = (usual.belief.position - quick.belief.position.double())[usual.belief.alive].abs().max()
    assert apart < 5e-3  # half the sensor's noise: a walker's pace is no linear thing


def test_a_float32_loop_goes_on_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    first = fast(world_model(Shelf()))
    seen = list(frames(2.0))
    first.reset(seen[0])
    for observation in seen[1:25]:
        first.step(observation, np.zeros(3))
    first.save(tmp_path / "wm.safetensors")
    second = WorldModel.load(tmp_path / "wm.safetensors")
    assert second.settings == first.settings
    for observation in seen[25:]:
        first.step(observation, np.zeros(3))
        second.step(observation, np.zeros(3))
    mine, other = first.belief.tensors(), second.belief.tensors()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_an_unknown_precision_is_named_with_those_that_there_are() -> None:
    settings = WorldModelSettings(loop=LoopSettings(precision="float16"))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"float16.*float64"):
        WorldModel(registry=Shelf(), models=[model("generic")], settings=settings)
