"""What people read of a model is its card's kind."""

from __future__ import annotations

from worldsim.evaluation.model_names import kind_of
from worldsim.registry import open_registry


def test_the_kind_that_is_read_from_the_id_of_a_shipped_model_is_that_of_its_card():
    with open_registry("builtin") as registry:
        cards = registry.cards()
    told = {card.model_id: kind_of(card.model_id) for card in cards}
    assert told == {card.model_id: card.kind for card in cards}
