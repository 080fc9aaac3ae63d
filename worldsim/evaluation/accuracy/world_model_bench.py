"""The world model's own rollout as an engine of analytic scenes: `RigidBody` and the contact solver, frame by frame."""

from __future__ import annotations

import torch

from worldsim.dynamics import ContactBodies, ContactSettings, Obstacles, resolve_contacts
from worldsim.dynamics.motion import GRAVITY_M_S2
from worldsim.models.rigid_body import RigidBody
from worldsim.simulation.engine import RigidState
from worldsim.simulation.laboratory import Bench, LabBody, LabScene
from worldsim.types.card import SHAPES, ModelCard, ParameterPrior, Shape
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates

__all__ = ["WorldModelBench"]

_FRAME_S = 0.05


class WorldModelBench(Bench):
    """One passive body with its true parameters among fixed things, at the world model's frame of 0.05 s.

    It moves bodies one by one, each among obstacles that do not yield, so scenes in which several bodies act on each
    other or hang together are not its own.
    """

    name = "world model"
    step_s = _FRAME_S

    def can_run(self, scene: LabScene) -> bool:
        """Return whether one body moves alone."""
        return not scene.chain and sum(body.mass_kg > 0.0 for body in scene.bodies) == 1

    def start(self, scene: LabScene) -> None:
        """Build the scene at its initial state."""
        self._scene = scene
        self._body = body = next(b for b in scene.bodies if b.mass_kg > 0.0)
        self._model = RigidBody(_card(body))
        self._state = ObjectStates(
            _row(body.position),
            _row(body.orientation_xyzw),
            _row(body.linear_velocity),
            _row(body.angular_velocity),
            _row(body.extent_m),
        )
        self._parameters = _row((body.mass_kg, body.friction, body.restitution, 0.0))
        fixed = [b for b in scene.bodies if b.mass_kg == 0.0]
        self._obstacles = _obstacles(fixed, scene.floor) if scene.floor or fixed else None
        one = torch.ones(1, dtype=torch.float64)
        self._surface = ContactBodies(
            body.mass_kg * one,
            body.friction * one,
            body.restitution * one,
            torch.tensor([SHAPES.index(body.shape)]),
        )
        self._settings = ContactSettings()

    def advance(self) -> None:
        """Advance by one frame."""
        state, body = self._state, self._body
        pull = _row(self._scene.gravity_m_s2)
        pull[:, 2] += GRAVITY_M_S2  # the model's own gravity is vertical; the rest of a tilted one is a force
        wrench = torch.cat([body.mass_kg * pull, torch.zeros_like(pull)], dim=-1)
        if self._scene.force is not None:
            now = self.states()[0]
            wrench[:, :3] += _row(self._scene.force(now.position, now.linear_velocity))
        free = self._model.dynamics(state, self._parameters, wrench, Control.none(state.position), self.step_s)
        if self._obstacles is None:
            self._state = free
            return
        self._state = resolve_contacts(
            state,
            free.linear_velocity,
            free.angular_velocity,
            self._surface,
            self._obstacles,
            self.step_s,
            self._settings,
        ).states

    def states(self) -> list[RigidState]:
        """Return pose and velocity of the body."""
        s = self._state
        parts = (s.position, s.orientation_xyzw, s.linear_velocity, s.angular_velocity)
        return [RigidState(*(tuple(part[0].tolist()) for part in parts))]


def _row(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def _card(body: LabBody) -> ModelCard:
    values = {"mass_kg": body.mass_kg, "friction": 0.5, "restitution": 0.5, "drag_per_s": 0.1}
    priors = tuple(ParameterPrior(name, value, 0.0, transform="log") for name, value in values.items())
    return ModelCard(
        "rigid_body/laboratory", 1, "crate", "rigid_body", priors, Shape(body.shape, body.extent_m, (0.0, 0.0, 0.0))
    )


def _obstacles(fixed: list[LabBody], floor: bool) -> Obstacles:
    if not fixed:
        return Obstacles.only_floor(torch.zeros(1, 3, dtype=torch.float64), floor)
    position = torch.tensor([[body.position for body in fixed]], dtype=torch.float64)
    return Obstacles(
        floor,
        position,
        torch.tensor([[body.orientation_xyzw for body in fixed]], dtype=torch.float64),
        0.5 * torch.tensor([[body.extent_m for body in fixed]], dtype=torch.float64),
        torch.zeros_like(position),
        torch.ones(1, len(fixed), dtype=torch.bool),
    )
