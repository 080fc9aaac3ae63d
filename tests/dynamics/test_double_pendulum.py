"""The double pendulum against scipy's integrator, its energy, and its friction."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp

from worldsim.dynamics.double_pendulum import PendulumParameters, acceleration, pendulum_roll_out

LOSSLESS = np.array([0.058, 0.05, 0.05, 0.032, 2.2, 1.57, 0, 0, 0, 0, 0, 0, 1.0, 1.0, 0, 0])


def parameters(values: np.ndarray) -> PendulumParameters:
    return PendulumParameters.of(torch.as_tensor(values[None], dtype=torch.float64))


def rolled(values: np.ndarray, seconds: float, dt_s: float) -> np.ndarray:
    steps = round(seconds / dt_s)
    angle = torch.tensor([1.2, -0.7], dtype=torch.float64)[:, None, None]
    velocity = torch.tensor([0.5, -2.0], dtype=torch.float64)[:, None, None]
    torque = torch.zeros(steps + 1, 2, 1, 1, dtype=torch.float64)
    return pendulum_roll_out(angle, velocity, torque, parameters(values), dt_s)[0][..., 0, 0].numpy()


def test_the_roll_out_converges_to_scipys_with_at_least_the_fourth_order() -> None:
    lumped = parameters(LOSSLESS)

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        q, v = (torch.as_tensor(part)[:, None, None] for part in (state[:2], state[2:]))
        return np.concatenate([state[2:], acceleration(q, v, torch.zeros_like(q), lumped).flatten().numpy()])

    exact = solve_ivp(rate, (0.0, 0.4), [1.2, -0.7, 0.5, -2.0], rtol=1e-11, atol=1e-12).y[:2, -1]
    coarse, fine = (np.abs(rolled(LOSSLESS, 0.4, h)[-1] - exact).max() for h in (0.02, 0.01))
    assert fine < 1e-5
    assert coarse / fine > 12.0  # 16 in the limit; this end point converges a little faster


def test_energy_is_kept_without_friction_and_lost_with_it() -> None:
    def energy(values: np.ndarray) -> np.ndarray:
        a1, a2, _, a3, g1, g2 = values[:6]
        dt_s = 1e-3
        q = rolled(values, 0.6, dt_s)
        v = (q[2:] - q[:-2]) / (2 * dt_s)
        q1, q2 = q[1:-1].T
        bent = a3 * np.cos(q2)
        kinetic = 0.5 * (a1 + a2 + 2 * bent) * v[:, 0] ** 2 + 0.5 * a2 * v[:, 1] ** 2 + (a2 + bent) * v[:, 0] * v[:, 1]
        return kinetic - g1 * np.cos(q1) - g2 * np.cos(q1 + q2)

    kept = energy(LOSSLESS)
    # central differences of the angles carry an error of h^2 of their own
    assert np.ptp(kept) < 2e-3
    rubbed = LOSSLESS.copy()
    rubbed[8:10] = 0.15
    lost = energy(rubbed)
    assert lost[-1] < lost[0] - 0.3


def test_dry_friction_holds_a_raised_link_that_weighs_less() -> None:
    values = LOSSLESS.copy()
    values[8:10] = 0.2
    angle = torch.tensor([0.03, 0.0], dtype=torch.float64)[:, None, None]
    torque = torch.zeros(126, 2, 1, 1, dtype=torch.float64)
    path, _ = pendulum_roll_out(angle, torch.zeros_like(angle), torque, parameters(values), 0.004)
    # it creeps, since the friction is smooth about rest: 0.05 rad/s times the load over the friction
    assert (path[-1] - path[0]).abs().max() < 0.02
