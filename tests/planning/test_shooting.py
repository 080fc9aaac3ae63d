"""Searches over any model that prices action sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.errors import ConfigurationError, WorldsimError
from worldsim.planning.shooting import CEM, ICEM, CandidateCost, GradientShooting, PathIntegral
from worldsim.planning.shooting.optimiser import smooth_noise

SEARCHES = [CEM(128, 16, 6), ICEM(128, 12, 5), PathIntegral(256, 5, 0.3), GradientShooting(4, 40)]


class Wish:
    """A stranger's model: how far each action is from the one that the world's information asks for."""

    def get_cost(self, info_dict, action_candidates):
        return (action_candidates - info_dict["wish"][:, :, None]).square().sum(dim=(2, 3))


def wishes():
    return {"wish": torch.tensor([[0.5, -0.3], [-0.7, 0.2]])}


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_every_search_finds_what_each_of_two_worlds_asks_for(search):
    start = torch.zeros(2, 3, 2)
    shot = search.optimise(Wish(), wishes(), start, np.random.default_rng(0))
    assert isinstance(Wish(), CandidateCost)
    assert shot.actions.shape == start.shape
    assert (shot.actions - wishes()["wish"][:, None]).abs().max() < 0.2
    assert torch.allclose(shot.cost, Wish().get_cost({"wish": wishes()["wish"][:, None]}, shot.actions[:, None])[:, 0])


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_the_same_numbers_drawn_give_the_same_plan_inside_the_bounds(search):
    far = {"wish": torch.full((1, 2), 4.0)}
    one, two = (search.optimise(Wish(), far, torch.zeros(1, 4, 2), np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.actions, two.actions)
    assert one.actions.abs().max() <= 1.0


def test_a_plan_is_never_worse_than_the_one_it_started_from():
    start = wishes()["wish"][:, None].repeat(1, 3, 1)
    for search in SEARCHES[:3]:
        assert float(search.optimise(Wish(), wishes(), start, np.random.default_rng(0)).cost.max()) == 0.0


def test_costs_of_another_shape_or_without_an_end_are_told():
    class Sum(Wish):
        def get_cost(self, info_dict, action_candidates):
            return super().get_cost(info_dict, action_candidates).sum()

    class Lost(Wish):
        def get_cost(self, info_dict, action_candidates):
            return super().get_cost(info_dict, action_candidates) * float("nan")

    for model, message in ((Sum(), "one cost a candidate"), (Lost(), "not finite")):
        with pytest.raises(WorldsimError, match=message):
            CEM(8, 2, 1).optimise(model, wishes(), torch.zeros(2, 3, 2), np.random.default_rng(0))


def test_gradients_are_asked_for_where_there_are_none():
    class Cut(Wish):
        def get_cost(self, info_dict, action_candidates):
            return super().get_cost(info_dict, action_candidates).detach()

    with pytest.raises(ConfigurationError, match="no gradient"):
        GradientShooting(2, 2).optimise(Cut(), wishes(), torch.zeros(2, 3, 2), np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="rate is 0"):
        GradientShooting(rate=0.0)
    with pytest.raises(ConfigurationError, match="rounds is 0"):
        ICEM(rounds=0)


@pytest.mark.parametrize(("exponent", "low", "high"), [(0.0, -0.1, 0.1), (2.0, 0.6, 1.0)])
def test_noise_has_unit_variance_and_is_as_smooth_as_asked(exponent, low, high):
    noise = smooth_noise((1, 4000, 16, 2), exponent, np.random.default_rng(0))
    assert abs(float(noise.std()) - 1.0) < 0.02  # 128,000 numbers, a third of them independent
    assert low < float((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < high


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 15, 16])
def test_white_noise_is_white_its_mean_and_its_fastest_change_included(steps):
    noise = smooth_noise((1, 40_000, steps, 1), 0.0, np.random.default_rng(0))[0, :, :, 0].double()
    covariance = noise.T @ noise / len(noise)
    assert torch.allclose(covariance, torch.eye(steps, dtype=torch.float64), atol=0.03)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_smooth_noise_has_the_power_of_its_law_at_every_frequency(exponent):
    """Timmer & Koenig 1995: power falls as frequency to the minus exponent; the mean has that of the lowest one."""
    noise = smooth_noise((1, 40_000, 16, 1), exponent, np.random.default_rng(0))[0, :, :, 0].numpy()
    power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean(axis=0)
    law = np.array([1.0, *np.arange(1.0, 9.0) ** -exponent])
    assert power / power[1] == pytest.approx(law, rel=0.05)


@pytest.mark.parametrize("search", [PathIntegral(3, 1, std=1e-3), ICEM(1, 1, 1, std=1e-3)])
def test_however_few_the_candidates_some_are_round_the_last_plan(search):
    asked = []

    class Asked(Wish):
        def get_cost(self, info_dict, action_candidates):
            asked.append(action_candidates)
            return super().get_cost(info_dict, action_candidates)

    search.optimise(Asked(), {"wish": torch.zeros(1, 2)}, torch.full((1, 4, 2), 0.8), np.random.default_rng(0))
    assert (asked[0].mean(dim=(0, 2, 3)) - 0.8).abs().max() < 0.01
