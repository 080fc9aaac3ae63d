"""The contract of a kind of interaction whose law came from data: a card gives the numbers, a class the basis."""

from __future__ import annotations

from typing import ClassVar

from worldsim.contracts.interaction import Interaction
from worldsim.errors import CardError
from worldsim.types.interaction_card import InteractionCard

LAWS = "worldsim.laws"
"""Entry-point group of the classes, by the card's family."""


class LearnedInteraction(Interaction):
    """A kind of interaction built from a card. Its class is found in the plug-in table, its numbers are data.

    Class attributes:
        family: its name in the plug-in table.
        terms: what each coefficient multiplies; a card made for other terms is refused.

    Attributes:
        card: where it came from.
    """

    family: ClassVar[str]
    terms: ClassVar[tuple[str, ...]]
    card: InteractionCard

    def __init__(self, card: InteractionCard) -> None:
        """Take name, reach and direction from the card.

        Raises:
            CardError: the card was made for another class, or for other terms.
        """
        if card.family != self.family or card.terms != self.terms:
            raise CardError(
                f"{type(self).__name__}: card {card.model_id!r} is for family {card.family!r} with terms "
                f"{list(card.terms)}, expected {self.family!r} with {list(self.terms)}."
            )
        self.card = card
        self.kind = card.kind  # type: ignore[misc]  # instances of one class stand for different kinds
        self.reach_m = card.reach_m  # type: ignore[misc]
        self.directed = card.directed  # type: ignore[misc]
