"""Sampled futures of several objects."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.small_world import DT_S, Shelf, frame, model, world_model
from worldsim.dynamics import quaternion
from worldsim.filtering.density import Density
from worldsim.filtering.library import LoadedModels
from worldsim.filtering.predict import predict
from worldsim.filtering.surroundings import Surroundings
from worldsim.inference.futures import Source, sample_futures
from worldsim.types.states import ObjectStates

DTYPE = torch.float64


def test_open_hypotheses_of_different_objects_know_nothing_of_each_other() -> None:
    library = LoadedModels.of([model("static")], torch.device("cpu"), DTYPE)
    weights, samples = ([0.5, 0.5], [0.25, 0.75], [0.5, 0.5]), 256

    def source(weight: list[float]) -> Source:
        there = torch.tensor([[0.0, 0.0, 1.0], [10.0, 0.0, 1.0]], dtype=DTYPE)
        states = ObjectStates.at_rest(there, torch.ones(2, 3, dtype=DTYPE))
        parameters = library.prior_mean[[0, 0]]
        narrow = 1e-8 * torch.eye(12 + parameters.shape[1], dtype=DTYPE).repeat(2, 1, 1)
        return Source(Density(states, parameters, narrow), np.array([0, 0]), np.array(weight), 1.0)

    n = len(weights)
    nobody, still = torch.zeros(n, dtype=torch.bool), torch.zeros(1, n, 2, dtype=DTYPE)
    generator = torch.Generator().manual_seed(0)
    futures = sample_futures(
        [source(w) for w in weights], torch.arange(n), nobody, None, still, nobody, library, samples, 0.1, generator
    )
    second = (futures.position[:, 0, :, 0] > 5.0).double()
    assert second.mean(0).tolist() == [0.5, 0.75, 0.5]  # each as its weight says
    between = torch.corrcoef(second.T)[np.triu_indices(n, 1)]
    assert between.abs().max() < 4.0 / np.sqrt(samples)


@pytest.mark.parametrize("count", [0, 4])
def test_where_nothing_moves_there_is_nothing_to_imagine(count: int) -> None:
    wm, rng = world_model(None, surprise=False), np.random.default_rng(0)
    things = [("static", np.array([3.0 * i - 6.0, 5.0, 1.1])) for i in range(count)]
    for k in range(10):
        seen = dataclasses.replace(frame(k * DT_S, things, rng), ego=None)
        _ = wm.step(seen) if k else wm.reset(seen)
    found = wm.imagine(np.zeros((5, 2)), samples=8)
    assert found.position.shape == (8, 5, 0, 3)
    assert len(found.object_id) == 0


@pytest.mark.parametrize(("steps", "least"), [(1, 0.68), (5, 0.88)])
def test_sampled_places_and_turns_spread_about_as_the_filter_expects(steps: int, least: float) -> None:
    library = LoadedModels.of([model("generic")], torch.device("cpu"), DTYPE)
    states = ObjectStates.at_rest(torch.zeros(1, 3, dtype=DTYPE), torch.ones(1, 3, dtype=DTYPE))
    parameters = library.prior_mean.clone()
    parameters[0, :6] = 0.0  # nothing but noise
    begun = Density(states, parameters, 1e-10 * torch.eye(12 + parameters.shape[1], dtype=DTYPE)[None])
    alone, calm, who = Surroundings.empty(states.position), torch.zeros(1, 6, dtype=DTYPE), np.zeros(1, dtype=np.int64)
    expected = begun
    for _ in range(steps):
        around = Surroundings(alone.control, calm, None)
        expected = predict(expected, who, library, around, torch.ones(1, dtype=DTYPE), 0.1).density
    nobody, still = torch.zeros(1, dtype=torch.bool), torch.zeros(steps, 1, 2, dtype=DTYPE)
    generator = torch.Generator().manual_seed(0)
    source = Source(begun, who, np.ones(1), 1.0)
    found = sample_futures([source], torch.zeros(1).long(), nobody, None, still, nobody, library, 4000, 0.1, generator)
    turned = quaternion.log(found.orientation_xyzw[:, -1, 0]).var(dim=0)
    spread = torch.cat([found.position[:, -1, 0].var(dim=0), turned])
    share = spread / expected.covariance[0].diagonal()[:6]
    assert least < float(share.min())
    assert float(share.max()) < 1.1


@pytest.mark.parametrize("seconds", [1.0, 4.0])
def test_a_thing_that_is_hardly_known_is_not_forecast_to_fly_away(seconds: float) -> None:
    wm, rng = world_model(Shelf()), np.random.default_rng(1)  # nobody knows cats
    for k in range(round(seconds / DT_S)):
        seen = dataclasses.replace(frame(k * DT_S, [("cat", np.array([0.0, 1.0, 0.15]))], rng), ego=None)
        _ = wm.step(seen) if k else wm.reset(seen)
    for dt_s in (0.1, 1.0):
        found = wm.forecast(30.0, dt_s)
        assert len(found.object_id) == 1
        assert float((found.position[..., 2] - 0.15).abs().max()) < 20.0
        assert float(found.position_std.max()) < 300.0
