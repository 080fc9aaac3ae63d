"""What the world model holds: a struct of arrays over a fixed capacity."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldsim.types.states import ObjectStates

TANGENT_DIM = 12
"""Dimension of the error state of one object: position, rotation vector, linear and angular velocity."""


@dataclass(frozen=True, slots=True)
class WorldBelief:
    """The belief over C object slots.

    The joint covariance lives on the tangent space (rotation errors are world-frame rotation vectors: they multiply the
    mean from the left), in the order position (3), rotation vector (3), linear velocity (3), angular velocity (3),
    transformed parameters (P).

    Attributes:
        time_s: time of the belief, s.
        alive: [C] slots in use.
        awake: [C] slots that the step works on in full.
        object_id: [C] int64, -1 where not alive. Ids are never reused.
        model_index: [C] int64 into `model_ids`.
        position, orientation_xyzw, linear_velocity, angular_velocity: as in `ObjectStates`, means.
        joint_covariance: [C, X, X], X = 12 + P; in the precision of the rest, float64 but where float32 was
            asked for (docs/decisions/0003).
        parameters: [C, P] means in transformed coordinates, padded with 0.
        extent_m, extent_variance_m2: [C, 3] belief of the size.
        appearance, appearance_variance: [C, A] belief of the appearance; NaN where it was never seen.
        colour: [C, 3] running mean colour (drawing only).
        existence: [C] probability that the object is there.
        log_e_value: [C] the e-detector's log W, nats.
        noise_scale: [C] learned multiplier of the process noise's variance.
        last_seen_s: [C] s, of the own body when it reported last; birth_s: [C] s; in float64 whatever the precision of
            the rest.
        model_ids: names behind `model_index`.
    """

    time_s: float
    alive: Bool[Tensor, " C"]
    awake: Bool[Tensor, " C"]
    object_id: Int[Tensor, " C"]
    model_index: Int[Tensor, " C"]
    position: Float[Tensor, "C 3"]
    orientation_xyzw: Float[Tensor, "C 4"]
    linear_velocity: Float[Tensor, "C 3"]
    angular_velocity: Float[Tensor, "C 3"]
    joint_covariance: Float[Tensor, "C X X"]
    parameters: Float[Tensor, "C P"]
    extent_m: Float[Tensor, "C 3"]
    extent_variance_m2: Float[Tensor, "C 3"]
    appearance: Float[Tensor, "C A"]
    appearance_variance: Float[Tensor, "C A"]
    colour: Float[Tensor, "C 3"]
    existence: Float[Tensor, " C"]
    log_e_value: Float[Tensor, " C"]
    noise_scale: Float[Tensor, " C"]
    last_seen_s: Float[Tensor, " C"]
    birth_s: Float[Tensor, " C"]
    model_ids: tuple[str, ...] = ()

    @property
    def capacity(self) -> int:
        """Number of slots C."""
        return self.alive.shape[0]

    @property
    def covariance(self) -> Float[Tensor, "C 12 12"]:
        """Covariance of pose and twist."""
        return self.joint_covariance[:, :TANGENT_DIM, :TANGENT_DIM]

    @property
    def parameter_covariance(self) -> Float[Tensor, "C P P"]:
        """Covariance of the transformed parameters."""
        return self.joint_covariance[:, TANGENT_DIM:, TANGENT_DIM:]

    @property
    def states(self) -> ObjectStates:
        """Mean states of all slots."""
        return ObjectStates(
            self.position, self.orientation_xyzw, self.linear_velocity, self.angular_velocity, self.extent_m
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensor fields by name (for saving and comparing)."""
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}

    def slot_of(self, object_id: int) -> int | None:
        """Return the slot that holds `object_id`, or None."""
        hits = torch.nonzero((self.object_id == object_id) & self.alive)
        return int(hits[0, 0]) if len(hits) else None
