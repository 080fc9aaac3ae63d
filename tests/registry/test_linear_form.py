"""The inner product that chooses whom to compare, against the distance itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from worldsim.registry.builtin import shipped_models
from worldsim.registry.card_reads import StoredCard
from worldsim.registry.cards import card_from_json, card_to_json
from worldsim.registry.descriptor import PARTS, QueryVector, card_vector, distances, query_vector
from worldsim.registry.linear_form import LENGTH, LinearForm
from worldsim.types import Query

CARDS = [card for card, _ in shipped_models()]
VALUE, VARIANCE = (np.stack(part) for part in zip(*(card_vector(card) for card in CARDS), strict=True))
CARD = next(c for c in CARDS if c.descriptor.appearance is not None and len(c.descriptor.motion) == 6)


def asked(lacking: str, spread: float) -> QueryVector:
    given = {
        "extent_m": CARD.shape.extent_m,
        "extent_std_m": (spread,) * 3,
        "appearance": CARD.descriptor.appearance,
        "motion": CARD.descriptor.motion,
    }
    return query_vector(Query(**{name: value for name, value in given.items() if name != lacking}))


@pytest.mark.parametrize("lacking", ["", "extent_m", "appearance", "motion"])
def test_the_form_is_the_distance_for_a_query_that_is_sure(lacking):
    rng = np.random.default_rng(3)
    value, variance = VALUE.copy(), VARIANCE * rng.uniform(0.0, 30.0, VARIANCE.shape).astype(np.float32)
    for number, part in enumerate(PARTS.values()):  # some cards lack a part, vague ones and sure ones alike
        value[rng.permutation(len(value))[: 5 + number], part] = np.nan
    form, query = LinearForm.fitted(value, variance), asked(lacking, 0.0)
    forms = form.of_cards(value, variance)
    assert forms.shape == (len(value), LENGTH)
    gap = distances(query, value, variance)
    near = -forms @ form.of_query(query)
    assert_allclose(near - near[0], gap - gap[0], rtol=2e-5, atol=2e-4)


def test_what_the_query_is_unsure_of_counts_less():
    form = LinearForm.fitted(VALUE, VARIANCE)
    sure, unsure = (np.abs(form.of_query(asked("", spread))) for spread in (0.0, 10.0))
    shape, motion = PARTS["shape"], PARTS["motion"]
    assert (unsure[shape] < 1e-2 * sure[shape].max()).all()
    assert_allclose(unsure[motion], sure[motion])


@pytest.mark.parametrize("card", CARDS[::20], ids=lambda card: card.model_id)
def test_a_stored_card_is_read_as_the_schema_reads_it(card):
    text = card_to_json(card)
    assert StoredCard(1, text, None).card() == card_from_json(text)
    whole = text.replace(f'"mean":{card.parameters[0].mean}', '"mean":2') if card.parameters else text
    again = StoredCard(1, whole, None).card()
    assert again == card_from_json(whole)
    assert all(isinstance(p.mean, float) for p in again.parameters)
