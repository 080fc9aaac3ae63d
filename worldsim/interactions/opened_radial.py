"""A central force whose law was opened from a scene: the numbers come from a card."""

from __future__ import annotations

from typing import ClassVar

from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.contracts.radial_basis import TERMS
from worldsim.interactions.radial import LearnedRadial
from worldsim.types.interaction_card import InteractionCard


class OpenedRadial(LearnedRadial, LearnedInteraction):
    """The law of a card in the radial basis, one unknown strength around 1 a pair."""

    family: ClassVar[str] = "radial"
    terms: ClassVar[tuple[str, ...]] = TERMS

    def __init__(self, card: InteractionCard) -> None:
        """Take law, name, reach and direction from the card.

        Raises:
            CardError: the card was made for another class, or for other terms.
        """
        LearnedInteraction.__init__(self, card)
        LearnedRadial.__init__(self, card.mean, card.kind)

    def __repr__(self) -> str:
        """Return which card it runs."""
        return f"OpenedRadial({self.card.model_id}@{self.card.version})"
