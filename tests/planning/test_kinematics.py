"""The own body's roll-out is the vehicle model's motion, without its loop."""

from __future__ import annotations

import math

import pytest
import torch

from worldsim.models.vehicle import Vehicle
from worldsim.planning import OwnBody
from worldsim.planning.kinematics import unicycle_rollout
from worldsim.types import Control, ModelCard, ObjectStates, ParameterPrior, Shape

LIMITS = (1.2, 1.5)


def own_body(heading_rad: float = 0.4, speed_m_s: float = 0.3, yaw_rate_rad_s: float = -0.2) -> OwnBody:
    return OwnBody((1.0, -2.0), heading_rad, speed_m_s, yaw_rate_rad_s, (0.7, 0.5, 0.3), None, 0.0, 4.0, 6.0)


def vehicle_path(command: torch.Tensor, own: OwnBody, dt_s: float, substeps: int) -> torch.Tensor:
    """Step the vehicle model through one command sequence [T, 2]; return [T, 3] of x, y, yaw."""
    names = ("speed_response_per_s", "yaw_response_per_s", "drive_noise", "rolling_deceleration_m_s2")
    priors = tuple(ParameterPrior(n, 1.0, 0.1, transform="log") for n in names)
    shape = Shape("box", own.extent_m, (0.01,) * 3)
    model = Vehicle(ModelCard("vehicle/robot", 1, "robot", "vehicle", priors, shape))
    parameters = torch.tensor([[own.speed_response_per_s, own.yaw_response_per_s, 0.1, 0.1]])
    yaw, c, s = own.heading_rad, math.cos(own.heading_rad), math.sin(own.heading_rad)
    state = ObjectStates(
        torch.tensor([[*own.position, 0.15]]),
        torch.tensor([[0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)]]),
        torch.tensor([[own.speed_m_s * c, own.speed_m_s * s, 0.0]]),
        torch.tensor([[0.0, 0.0, own.yaw_rate_rad_s]]),
        torch.tensor([own.extent_m]),
    )
    yes = torch.ones(1, dtype=torch.bool)
    rows = []
    for wanted in command * torch.tensor(LIMITS):
        for _ in range(substeps):
            control = Control(wanted[None], yes, state.position, torch.zeros(1, 3), ~yes)
            state = model.dynamics(state, parameters, torch.zeros(1, 6), control, dt_s / substeps)
        yaw = 2 * torch.atan2(state.orientation_xyzw[0, 2], state.orientation_xyzw[0, 3])
        rows.append(torch.stack([state.position[0, 0], state.position[0, 1], yaw]))
    return torch.stack(rows)


def test_the_rollout_is_the_vehicle_models_motion():
    command = torch.rand(20, 2, generator=torch.Generator().manual_seed(3)) * 2 - 1
    own = own_body()
    imagined = unicycle_rollout(own, command[None], LIMITS, 0.1)
    stepped = vehicle_path(command, own, 0.1, substeps=100)
    # both converge on the same path; 5 mm over 2 s is the mid-step rule's error at 0.1 s
    assert (imagined.position[0] - stepped[:, :2]).norm(dim=-1).max() < 5e-3
    turn = imagined.heading[0] - stepped[:, 2]
    assert torch.atan2(turn.sin(), turn.cos()).abs().max() < 5e-3


def test_a_constant_command_is_answered_by_the_exact_exponential():
    own = own_body(heading_rad=0.0, speed_m_s=0.0, yaw_rate_rad_s=0.0)
    command = torch.tensor([1.0, 0.0]).expand(1, 20, 2)
    imagined = unicycle_rollout(own, command, LIMITS, 0.1)
    t = 0.1 * (torch.arange(20) + 1)
    speed = 1.2 * (1 - torch.exp(-4.0 * t))
    way = 1.2 * (t - (1 - torch.exp(-4.0 * t)) / 4.0)
    torch.testing.assert_close(imagined.speed[0], speed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(imagined.position[0, :, 0] - 1.0, way, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("coarse_s", [0.2, 0.1])
def test_halving_the_step_quarters_the_error(coarse_s: float):
    own = own_body()

    def end(dt_s: float) -> torch.Tensor:
        steps = round(2.0 / dt_s)
        command = torch.tensor([0.8, 0.9]).expand(1, steps, 2)
        own_path = unicycle_rollout(own, command, LIMITS, dt_s)
        return own_path.position[0, -1].double()

    exact = end(0.002)
    ratio = float((end(coarse_s) - exact).norm() / (end(coarse_s / 2) - exact).norm())
    assert 3.0 < ratio < 5.0  # second order, up to higher orders and float32
