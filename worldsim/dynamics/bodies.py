"""What the contact solver is given, how it is set, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.dynamics.geometry import moments_of_inertia
from worldsim.errors import ConfigurationError
from worldsim.types.states import ObjectStates


@dataclass(frozen=True, slots=True)
class ContactBodies:
    """Contact properties of N bodies. What is None is absent, and costs nothing.

    Attributes:
        mass_kg: [N].
        friction: [N] Coulomb coefficient against whatever is touched.
        restitution: [N] normal speed after a bounce over speed before, 0 to 1.
        shape_index: [N] int64: 0 box, 1 sphere, 2 cylinder, 3 capsule (axes of the last two along body z).
        inertia_scale: [N] multiplies the moments of the solid uniform shape.
        centre_of_mass_offset_m: [N, 3] from the centre of the box, body frame.
        corner_radius_m: [N] rounding of a box's corners.
        rolling_deceleration_m_s2: [N] deceleration while touching, on top of friction.
        stiffness_per_s2: [N] contact stiffness over mass. With `damping_per_s` it replaces the rigid contact
            by a spring and damper at each contact point, integrated implicitly; `restitution` is then unused.
        damping_per_s: [N] contact damping over mass.
    """

    mass_kg: Float[Tensor, " N"]
    friction: Float[Tensor, " N"]
    restitution: Float[Tensor, " N"]
    shape_index: Int[Tensor, " N"]
    inertia_scale: Float[Tensor, " N"] | None = None
    centre_of_mass_offset_m: Float[Tensor, "N 3"] | None = None
    corner_radius_m: Float[Tensor, " N"] | None = None
    rolling_deceleration_m_s2: Float[Tensor, " N"] | None = None
    stiffness_per_s2: Float[Tensor, " N"] | None = None
    damping_per_s: Float[Tensor, " N"] | None = None

    def __post_init__(self) -> None:
        """Check that the two parts of a compliant contact come together."""
        if (self.stiffness_per_s2 is None) != (self.damping_per_s is None):
            raise ConfigurationError(
                "ContactBodies: stiffness_per_s2 and damping_per_s describe one spring and damper; "
                "give both for a compliant contact, or neither for a rigid one."
            )

    def inertia(self, extent_m: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Return the principal moments (kg m^2) about the centre of mass, body axes."""
        solid = moments_of_inertia(self.mass_kg, extent_m, self.shape_index)
        return solid if self.inertia_scale is None else solid * self.inertia_scale[:, None]


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What each of N bodies may hit: the floor z = 0, and up to B oriented boxes that move but do not yield.

    Attributes:
        floor: whether the plane z = 0 is there.
        position: [N, B, 3] m, centres.
        orientation_xyzw: [N, B, 4].
        half_extent_m: [N, B, 3].
        linear_velocity: [N, B, 3] m/s.
        present: [N, B] False for padding.
    """

    floor: bool
    position: Float[Tensor, "N B 3"]
    orientation_xyzw: Float[Tensor, "N B 4"]
    half_extent_m: Float[Tensor, "N B 3"]
    linear_velocity: Float[Tensor, "N B 3"]
    present: Bool[Tensor, "N B"]

    @property
    def boxes(self) -> int:
        """B, the number of box slots a body."""
        return self.position.shape[1]

    def select(self, index: Int[Tensor, " n"]) -> Obstacles:
        """Return the obstacles of the bodies at `index`."""
        return Obstacles(
            self.floor,
            self.position.index_select(0, index),
            self.orientation_xyzw.index_select(0, index),
            self.half_extent_m.index_select(0, index),
            self.linear_velocity.index_select(0, index),
            self.present.index_select(0, index),
        )

    @classmethod
    def only_floor(cls, like: Float[Tensor, "N 3"], floor: bool = True) -> Obstacles:
        """Return no boxes, and the floor (or not even that), for N bodies placed like `like`."""
        empty = like.new_zeros(like.shape[0], 0, 3)
        quaternion = like.new_zeros(like.shape[0], 0, 4)
        present = torch.zeros(like.shape[0], 0, dtype=torch.bool, device=like.device)
        return cls(floor, empty, quaternion, empty, empty, present)


@dataclass(frozen=True, slots=True)
class ContactSettings:
    """How contacts are resolved.

    Attributes:
        substeps: equal parts of the step; each finds the contacts anew.
        iterations: accelerated projected-gradient iterations a substep.
        max_contacts: contact slots a body when there are boxes (the nearest candidates are taken, once a step);
            over the floor alone there are always 4.
        restitution_threshold_m_s: slower approaches do not bounce.
        margin_m: contacts nearer than this are always in the solve.
        penetration_recovery_per_s: share of a penetration that is pushed out a second, by displacement alone, so
            that no energy is injected.
        engine_step_s: free flight is exact at 0; at h it is displaced as a semi-implicit engine of step h
            displaces it (velocity first, then position with the new velocity).
    """

    substeps: int = 4
    iterations: int = 10
    max_contacts: int = 8
    restitution_threshold_m_s: float = 0.1
    margin_m: float = 2e-3
    penetration_recovery_per_s: float = 20.0
    engine_step_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("substeps", "iterations", "max_contacts"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"ContactSettings: {name} is {getattr(self, name)}, expected at least 1.")
        for name in ("restitution_threshold_m_s", "margin_m", "penetration_recovery_per_s", "engine_step_s"):
            if not getattr(self, name) >= 0.0:
                raise ConfigurationError(f"ContactSettings: {name} is {getattr(self, name)}, expected >= 0.")


@dataclass(frozen=True, slots=True)
class ContactResult:
    """What a step with contacts did.

    Attributes:
        states: states at the end of the step.
        gate: [N] True where a contact pushed during the step.
        normal_impulse_n_s: [N] sum of the normal impulses over contacts and substeps, N s.
        impulse_n_s: [N, B + 1, 3] impulse on the body by source, world frame, N s; the floor is the last.
            Weight carried by source b is ``impulse_n_s[:, b, 2] / dt_s``.
        support_height_m: [N] mean height of the points that carry weight, weighted by it; 0 where none does.
    """

    states: ObjectStates
    gate: Bool[Tensor, " N"]
    normal_impulse_n_s: Float[Tensor, " N"]
    impulse_n_s: Float[Tensor, "N B1 3"]
    support_height_m: Float[Tensor, " N"]
