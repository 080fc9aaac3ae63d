"""A simulated double pendulum is found again, and followed before it is predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.dynamics.double_pendulum import PendulumParameters, pendulum_roll_out
from worldsim.inference.pendulum import PENDULUM_PRIORS, PendulumModel, PendulumWindows

PAST, FUTURE, DT_S = 50, 125, 0.004
TRUE = np.array([0.05, 0.055, 0.05, 0.03, 2.1, 1.6, 0.004, 0.004, 0.15, 0.1, 0.03, 0.03, 1.0, 1.0, 0.0, 0.0])


def simulated(count: int, seed: int, drift: float = 0.0) -> PendulumWindows:
    g = torch.Generator().manual_seed(seed)
    angle = torch.randn(2, 1, count, generator=g, dtype=torch.float64)
    velocity = 3.0 * torch.randn(2, 1, count, generator=g, dtype=torch.float64)
    time_s = DT_S * torch.arange(PAST + FUTURE + 1, dtype=torch.float64)
    phase = 6.0 * torch.rand(2, 1, count, generator=g, dtype=torch.float64)
    torque = 0.6 * torch.sin(6.0 * time_s[:, None, None, None] + phase)
    lumped = PendulumParameters.of(torch.as_tensor(TRUE[None]))
    path, _ = pendulum_roll_out(angle, velocity, torque + drift, lumped, DT_S)
    path = path + 1e-4 * torch.randn(path.shape, generator=g, dtype=torch.float64)
    return PendulumWindows(path[:, :, 0], torque[:, :, 0], PAST, DT_S)


def rmse(model: PendulumModel, natural: np.ndarray, windows: PendulumWindows, follow: bool = True) -> float:
    off = model.predict(natural[None], windows, follow)[0] - windows.future
    return float((off**2).mean().sqrt())


@pytest.fixture(scope="module")
def learned() -> tuple[PendulumModel, np.ndarray]:
    model = PendulumModel()
    belief = model.begin()
    for seed in range(4):
        belief = model.assimilate(belief, simulated(6, seed))
    return model, belief.natural()


def test_the_true_parameters_predict_the_future_from_the_past() -> None:
    assert rmse(PendulumModel(), TRUE, simulated(8, seed=50)) < 0.02


def test_watching_a_pendulum_makes_its_predictions_good(learned: tuple[PendulumModel, np.ndarray]) -> None:
    model, natural = learned
    unseen = simulated(8, seed=51)
    prior = model.begin().natural()
    assert rmse(model, natural, unseen) < min(0.05, 0.3 * rmse(model, prior, unseen))


def test_a_torque_that_nobody_measures_is_found_from_the_past() -> None:
    model, unseen = PendulumModel(), simulated(8, seed=52, drift=0.08)
    assert rmse(model, TRUE, unseen) < 0.5 * rmse(model, TRUE, unseen, follow=False)


def test_the_priors_are_those_of_the_models_parameters() -> None:
    assert tuple(prior.name for prior in PENDULUM_PRIORS) == PendulumParameters.names()


def test_the_start_is_told_by_the_past_alone_however_short_it_is() -> None:
    seen = simulated(3, seed=53)
    short = 5
    windows = PendulumWindows(seen.angle[: short + 40], seen.torque[: short + 40], short, seen.dt_s)
    elsewhere = windows.angle.clone()
    elsewhere[short + 1 :] += 1.0
    other = PendulumWindows(elsewhere, windows.torque, short, seen.dt_s)
    model = PendulumModel()
    assert torch.equal(model.predict(TRUE[None], other), model.predict(TRUE[None], windows))
