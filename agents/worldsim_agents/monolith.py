"""One network on the flat observation: what there is to compare with models of things, each of its own."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from worldsim_agents.sb3_agent import PPOAgent


class Monolith(PPOAgent):
    """Proximal policy optimisation with one layer over the flat observation, which actor and critic share.

    It knows nothing of things: rows in another order are another input to it, and what it learns of one place lies in
    the same weights as what it learns of another.
    """

    algorithm = "monolith"
    units: ClassVar[int] = 64

    @classmethod
    def sized(cls, units: int) -> type[Self]:
        """Return the agent with a layer of so many units."""
        return type(f"{cls.__name__}{units}", (cls,), {"units": units})

    @classmethod
    def network(cls) -> dict[str, Any]:
        """Return the shape of the networks: one layer over everything, and what reads it off."""
        from worldsim_agents.set_policy import FlatExtractor

        return {
            "features_extractor_class": FlatExtractor,
            "features_extractor_kwargs": {"features_dim": cls.units},
            "net_arch": [],
        }

    @property
    def weights(self) -> int:
        """How many numbers were learned."""
        return sum(weight.numel() for weight in self.policy.parameters())
