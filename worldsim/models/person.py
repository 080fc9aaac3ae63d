"""A walking person: goal-directed, keeps a pace, avoids what is near."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.contracts.object_model import ObjectModel
from worldsim.dynamics.motion import advance, horizontal, noise_density, standing_velocity
from worldsim.dynamics.transition import advance_transition, standing_transition
from worldsim.types.belief import TANGENT_DIM
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

_SPIN_KEPT = 0.9  # of a turning rate, a frame
_WALKING_SHARE = 0.5  # below half the preferred speed a person is taken to be standing or stopping

# Walking together: measured on two scenes of the UCY crowds at a time, it makes positions 1.2 s ahead 1 to 3 % better
# on the third, which repulsion and preferred speeds do not.
_COMPANION_RATE_PER_S = 0.8
_COMPANION_REACH_M = 1.2
_COMPANION_SPEED_M_S = 0.5


class Person(ObjectModel):
    """The social force model (Helbing and Molnar 1995, eq. 2 and 4) without a known goal.

    The walking direction stands for the goal: a walker's speed relaxes to the preferred one within
    ``relaxation_time_s``; the nearest mover repels with ``avoid_strength exp(-gap / avoid_range)``. Ours differs
    in that only the nearest neighbour acts, that a standing person stays standing, and that people who walk together
    keep together: a neighbour about a metre away and of nearly the same velocity is a companion, and a person's
    velocity relaxes to his.
    """

    family = "person"
    parameter_names = (
        "preferred_speed_m_s",
        "relaxation_time_s",
        "avoid_strength_m_s2",
        "avoid_range_m",
        "wander_noise",
    )
    collides = False
    reacts = True

    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states after `dt_s` of walking; the wrench acts as an acceleration (unit mass)."""
        preferred, relaxation, strength, reach, _ = parameters.unbind(-1)
        velocity = horizontal(state.linear_velocity)
        speed = (velocity * velocity).sum(-1).clamp_min(1e-8).sqrt()
        walking = torch.sigmoid((speed / preferred - _WALKING_SHARE) * 10.0)
        pace = velocity / speed.unsqueeze(-1) * ((preferred - speed) / relaxation * walking).unsqueeze(-1)
        away = horizontal(state.position - control.neighbour_position)
        distance = (away * away).sum(-1).clamp_min(1e-4).sqrt()
        push = strength * torch.exp(-distance / reach) * control.neighbour_known
        lag = horizontal(control.neighbour_velocity) - velocity
        nearness = distance**2 / _COMPANION_REACH_M**2 + (lag * lag).sum(-1) / _COMPANION_SPEED_M_S**2
        together = _COMPANION_RATE_PER_S * torch.exp(-nearness) * control.neighbour_known
        acceleration = pace + away / distance.unsqueeze(-1) * push.unsqueeze(-1) + wrench[:, :3]
        acceleration = acceleration + lag * together.unsqueeze(-1)
        velocity = velocity + horizontal(acceleration) * dt_s
        velocity = torch.cat([velocity[:, :2], standing_velocity(state, dt_s).unsqueeze(-1)], dim=-1)
        return advance(state, velocity, state.angular_velocity * _SPIN_KEPT, dt_s)

    def transition(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> Float[Tensor, "N 12 U"]:
        """Return the derivative of `dynamics`, term by term: pace, repulsion, companions, standing."""
        del wrench
        preferred, relaxation, strength, reach, _ = parameters.unbind(-1)
        known = control.neighbour_known.to(preferred.dtype)
        velocity = state.linear_velocity[:, :2].T  # [2, N]: what is done to rows of two takes many times as long
        speed = (velocity * velocity).sum(0).clamp_min(1e-8).sqrt()
        walking = torch.sigmoid((speed / preferred - _WALKING_SHARE) * 10.0)
        lack = preferred / speed - 1.0
        slope = 10.0 * walking * (1.0 - walking)  # of the walking share, by speed / preferred
        gain = lack * walking / relaxation  # pace = gain * velocity
        by_speed = (lack * slope / preferred - preferred / speed**2 * walking) / relaxation
        by_preferred = (walking / speed - lack * slope * speed / preferred**2) / relaxation
        away = (state.position[:, :2] - control.neighbour_position[:, :2]).T
        distance = (away * away).sum(0).clamp_min(1e-4).sqrt()
        push = strength * torch.exp(-distance / reach) * known / distance  # repulsion = push * away
        lag = control.neighbour_velocity[:, :2].T - velocity
        nearness = distance**2 / _COMPANION_REACH_M**2 + (lag * lag).sum(0) / _COMPANION_SPEED_M_S**2
        together = _COMPANION_RATE_PER_S * torch.exp(-nearness) * known

        flat = torch.eye(2, dtype=speed.dtype, device=speed.device).unsqueeze(-1)
        linear = speed.new_zeros(len(speed), 3, TANGENT_DIM + len(self.parameter_names))
        by_place = (
            push * flat
            + _products(away * (-push * (1.0 / reach + 1.0 / distance) / distance), away)
            + _products(lag * together, away * (-2.0 / _COMPANION_REACH_M**2))
        ) * dt_s
        by_velocity = flat + dt_s * (
            (gain - together) * flat
            + _products(velocity * (by_speed / speed), velocity)
            + _products(lag * together, lag * (2.0 / _COMPANION_SPEED_M_S**2))
        )
        linear[:, :2, 0:2], linear[:, :2, 6:8] = by_place.permute(2, 0, 1), by_velocity.permute(2, 0, 1)
        linear[:, 2, 2], linear[:, 2, 8] = standing_transition(dt_s)
        linear[:, :2, 12] = (dt_s * velocity * by_preferred).T
        linear[:, :2, 13] = (-dt_s * velocity * (gain / relaxation)).T
        linear[:, :2, 14] = (dt_s * away * (push / strength)).T
        linear[:, :2, 15] = (dt_s * away * (push * distance / reach**2)).T
        return advance_transition(linear, _SPIN_KEPT, state.angular_velocity * _SPIN_KEPT, dt_s)

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the density of changes of mind, and of turning on the spot."""
        del dt_s
        wander = parameters[:, 4]
        return noise_density(state, wander, 1e-3, 5.0 + 0.0 * wander)


def _products(column: Float[Tensor, "2 N"], row: Float[Tensor, "2 N"]) -> Float[Tensor, "2 2 N"]:
    """Return the product of a column and a row for each of N."""
    return column.unsqueeze(1) * row.unsqueeze(0)
