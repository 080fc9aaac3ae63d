from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from worldsim.errors import CardError
from worldsim.models.cat import Cat
from worldsim.registry import pool_cards
from worldsim.types import Evidence, ModelCard, Query


def learned(card: ModelCard, data: np.ndarray, noise: float, version: int) -> ModelCard:
    """The card after seeing `data`, noisy readings of the logarithm of its first parameter (conjugate by hand)."""
    prior = card.parameters[0]
    precision = prior.std**-2 + len(data) / noise**2
    mean = (np.log(prior.mean) / prior.std**2 + data.sum() / noise**2) / precision
    sharper = dataclasses.replace(prior, mean=float(np.exp(mean)), std=float(precision**-0.5))
    evidence = Evidence(len(data), 10.0, "test")
    return card.replace(version=version, parameters=(sharper, *card.parameters[1:]), evidence=evidence)


def test_pooling_equals_learning_from_all_the_data_at_once(cat_card):
    data = np.log(2.4) + 0.3 * np.random.default_rng(0).standard_normal(30)
    one, other, both = (learned(cat_card, d, 0.3, v) for v, d in enumerate((data[:10], data[10:], data), start=1))
    pooled = pool_cards(one, other, cat_card)
    assert pooled.parameters[0].mean == pytest.approx(both.parameters[0].mean, rel=1e-12)  # the same sums
    assert pooled.parameters[0].std == pytest.approx(both.parameters[0].std, rel=1e-12)
    assert [(p.mean, p.std) for p in pooled.parameters[1:]] == [
        (pytest.approx(p.mean), pytest.approx(p.std)) for p in cat_card.parameters[1:]
    ]
    assert pooled.evidence.frames == 30
    assert pooled.parents == ("cat/test-cat@1", "cat/test-cat@2")


def test_the_order_does_not_matter(cat_card):
    data = np.log(2.4) + 0.3 * np.random.default_rng(1).standard_normal(30)
    one, other = learned(cat_card, data[:10], 0.3, 1), learned(cat_card, data[10:], 0.3, 2)
    forth, back = pool_cards(one, other, cat_card), pool_cards(other, one, cat_card)
    assert forth.parameters[0].mean == pytest.approx(back.parameters[0].mean)
    assert forth.shape.extent_m == pytest.approx(back.shape.extent_m)


def test_sizes_are_mixed_not_sharpened(cat_card):
    longer = cat_card.replace(shape=dataclasses.replace(cat_card.shape, extent_m=(0.65, 0.16, 0.30)))
    shape = pool_cards(cat_card, longer).shape
    assert shape.extent_m[0] == pytest.approx(0.55)
    assert shape.extent_std_m[0] == pytest.approx(np.hypot(0.03, 0.10))  # within and between
    assert shape.extent_std_m[1] == pytest.approx(0.01)


def test_what_one_robot_learned_and_another_too_is_found_by_the_third(registry, cat_card):
    registry.publish(Cat(cat_card))
    prior = registry.fetch("cat/test-cat").card
    data = np.log(2.4) + 0.3 * np.random.default_rng(2).standard_normal(30)
    for part in (data[:10], data[10:]):
        registry.publish(Cat(learned(prior, part, 0.3, 0)))
    pooled = pool_cards(registry.card("cat/test-cat", 2), registry.card("cat/test-cat", 3), prior)
    assert registry.publish(Cat(pooled)) == "cat/test-cat@4"
    found = registry.search(Query(extent_m=cat_card.shape.extent_m)).cards[0]
    assert (found.version, found.parents) == (4, ("cat/test-cat@2", "cat/test-cat@3"))
    assert found.parameters[0].std < registry.card("cat/test-cat", 3).parameters[0].std


def test_cards_of_different_families_are_not_pooled(builtin, cat_card):
    with pytest.raises(CardError, match="cannot pool"):
        pool_cards(cat_card, builtin.card("generic/unknown"))
