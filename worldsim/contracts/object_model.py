"""The contract of an object model: one kind of thing, and how it moves."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldsim.errors import CardError
from worldsim.types.card import TRANSFORMS, ModelCard, Shape
from worldsim.types.control import Control
from worldsim.types.states import ObjectStates


class ObjectModel(abc.ABC):
    """One kind of thing. Every method is batched over N instances of the class, whatever card each came from.

    A plug-in author names the parameters and writes `dynamics`; the filter, the surprise, the edges, the
    learning, the planning and the registry come with it. An instance is a class plus a card: the class is
    code and comes by entry point (group ``worldsim.object_models``), the card is data and comes from a registry.

    Class attributes:
        family: name in the plug-in table.
        parameter_names: columns of `parameters`, in order; a card lists priors for exactly these.
        moves: False for what never moves of itself and is never pushed (a shelf): it is held still, cheaply.
        collides: contacts with the floor and with neighbours are resolved after `dynamics`.
        stands: `dynamics` itself keeps it on the floor, so that contacts need solving only where it may bump into
            something, or while it is in the air.
        reacts: `dynamics` reads ``control.neighbour_*``.
    """

    family: ClassVar[str]
    parameter_names: ClassVar[tuple[str, ...]] = ()
    moves: ClassVar[bool] = True
    collides: ClassVar[bool] = True
    stands: ClassVar[bool] = False
    reacts: ClassVar[bool] = False

    def __init__(self, card: ModelCard) -> None:
        """Bind the class to a card.

        Raises:
            CardError: the card is of another family, or its parameters are not the class's.
        """
        where = f"card {card.model_id!r}"
        if card.family != self.family:
            raise CardError(f"{type(self).__name__}: {where} is of family {card.family!r}, expected {self.family!r}.")
        if card.parameter_names != self.parameter_names:
            raise CardError(
                f"{type(self).__name__}: {where} has parameters {list(card.parameter_names)}, "
                f"expected {list(self.parameter_names)} in this order."
            )
        for prior in card.parameters:
            if prior.transform not in TRANSFORMS:
                raise CardError(
                    f"{type(self).__name__}: {where}, parameter {prior.name!r} has transform {prior.transform!r}, "
                    f"expected one of {list(TRANSFORMS)}."
                )
            if prior.transform == "log" and not prior.mean > 0.0:
                raise CardError(
                    f"{type(self).__name__}: parameter {prior.name!r} has prior mean {prior.mean}, expected > 0 "
                    f"({where}, field parameters.{prior.name}.mean). Did you mean transform 'identity'?"
                )
            if not prior.std >= 0.0:
                raise CardError(
                    f"{type(self).__name__}: parameter {prior.name!r} has prior std {prior.std}, "
                    f"expected >= 0 ({where})."
                )
        self.card = card

    def __repr__(self) -> str:
        """Return the class and the model it was bound to."""
        return f"{type(self).__name__}({self.card.model_id!r}, version={self.card.version})"

    @abc.abstractmethod
    def dynamics(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> ObjectStates:
        """Return the states `dt_s` later.

        Pure, differentiable, no Python branch on tensor values. It integrates semi-implicitly (velocity first,
        then position with the new velocity), as the engine does.

        Args:
            state: states of the N instances.
            parameters: [N, P] in natural units, columns as in `parameter_names`.
            wrench: [N, 6] force (N) and torque (N m) from interactions, world frame, at the centre.
            control: commands and the nearest mover.
            dt_s: step, s.
        """

    def transition(
        self,
        state: ObjectStates,
        parameters: Float[Tensor, "N P"],
        wrench: Float[Tensor, "N 6"],
        control: Control,
        dt_s: float,
    ) -> Float[Tensor, "N 12 U"] | None:
        """Return the derivative of `dynamics` on the tangent space, or None to have the filter take differences.

        A model need not say it; one that does is predicted many times faster among thousands of its kind
        (`worldsim.dynamics.transition` has the parts that all models share).

        Args:
            state: as for `dynamics`; so are the other arguments.

        Returns:
            [N, 12, U], U = 12 + P: rows position, rotation vector (world frame), linear and angular velocity after the
            step; columns the same before it, then the parameters in natural units.
        """
        del state, parameters, wrench, control, dt_s
        return None

    def stable(self, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N P"]:
        """Return the nearest parameters with which `dynamics` does not run away, however often steps of `dt_s` follow.

        Futures are rolled out with these. A belief of a coefficient may reach where no thing lasts (a spring that
        pushes away): one step ahead that is doubt like any other, and many steps ahead it would be all that is seen.

        Args:
            parameters: [N, P] in natural units, columns as in `parameter_names`.
            dt_s: step, s.
        """
        del dt_s
        return parameters

    def shape(self, parameters: Float[Tensor, "N P"]) -> Shape:
        """Return the collision geometry (the card's, unless the class knows better)."""
        del parameters
        return self.card.shape

    def process_noise(self, state: ObjectStates, parameters: Float[Tensor, "N P"], dt_s: float) -> Float[Tensor, "N 6"]:
        """Return the power spectral density of what `dynamics` does not know, as white acceleration.

        The first three columns are linear ((m/s^2)^2 s), the last three angular ((rad/s^2)^2 s), world frame.
        The filter integrates it over the step (Bar-Shalom et al. 2001, eq. 6.2.2-12).
        """
        del parameters, dt_s
        return torch.full_like(state.position, 1e-4).repeat(1, 2)
