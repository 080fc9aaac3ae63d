"""Kinds that a scene opened become cards, and cards become kinds of the next graph."""

from __future__ import annotations

import pytest
import torch

from tests.graph.kind_scenes import LAW, frames_until_known, frames_until_right, readings
from worldsim.contracts.radial_basis import TERMS
from worldsim.errors import CardError
from worldsim.graph.opened_cards import known_strengths, law_name
from worldsim.graph.unexplained import NOVEL
from worldsim.interactions.opened_radial import OpenedRadial
from worldsim.interactions.spring import Spring
from worldsim.types import InteractionCard


@pytest.fixture(scope="module")
def card() -> InteractionCard:
    *_, last = readings(1, 15, [])
    return last.cards[0]


def test_a_card_holds_the_law_as_a_belief_and_where_it_was_met(card):
    mean, covariance = torch.tensor(card.mean), torch.tensor(card.covariance)
    gap = mean - torch.tensor(LAW)
    assert float(gap @ torch.linalg.solve(covariance, gap)) < 18.5  # 99.9 % of chi-square with 4 degrees of freedom
    assert {(pair.source, pair.target) for pair in card.pairs} == {("crate", "crate"), ("crate", "worker")}
    assert sum(pair.count for pair in card.pairs) == 4
    assert card.evidence.frames == 15
    assert card.evidence.log_evidence_gain_nats > 100.0
    assert card.kind.startswith("hold-at0.5")
    assert card.seen_m[0] < 0.5 < card.seen_m[1]


def test_a_known_kind_explains_the_next_scene_and_nothing_is_opened(card):
    kind = OpenedRadial(card)
    for seed in (2, 3):
        *_, last = readings(seed, 15, [kind])
        assert last.right
        assert not last.cards
        assert not (last.found.law == NOVEL).any()


def test_a_known_kind_is_recognised_in_fewer_frames_than_it_took_to_open(card):
    for seed in (3, 7):
        assert frames_until_known(seed, [OpenedRadial(card)], 12) <= 2 < frames_until_right(seed, [], 12) <= 12


def test_a_law_of_another_size_is_not_taken_for_it(card):
    twice = tuple(2.0 * value for value in card.mean)
    *_, last = readings(2, 15, [OpenedRadial(card.replace(mean=twice))])
    assert (last.found.law == NOVEL).sum() == last.held.sum()


def test_names_say_what_a_law_does():
    place = torch.linspace(0.4, 1.6, 50, dtype=torch.float64)
    said = [law_name(torch.tensor(law), place).rpartition("-")[0] for law in (
        (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, -1.0), (0.0, 3.0, 0.0, 0.0), (2.0, -2.0, 0.0, 0.0), (-2.0, 2.0, 0.0, 0.0)
    )]  # fmt: skip
    assert said == ["pull-r1.0", "push-r-2.0", "pull-r0.0", "hold-at1.00", "tip-at1.00"]
    assert law_name(torch.tensor([1.0, 0.0, 0.0, 0.0]), place) != law_name(torch.tensor([1.1, 0.0, 0.0, 0.0]), place)


def test_the_strength_of_a_learned_law_is_known_beside_one_that_is_not(card):
    found = known_strengths([Spring(), OpenedRadial(card)], 2, torch.zeros(1, dtype=torch.float64))
    assert found.mean[:, 1].tolist() == [1.0, 1.0]
    assert float(found.variance[0, 1]) == pytest.approx(0.02**2)
    assert float(found.mean[0, 0]) == pytest.approx((2.0 / torch.pi) ** 0.5)


def test_a_card_for_other_terms_is_refused(card):
    with pytest.raises(CardError, match="expected 'radial'"):
        OpenedRadial(card.replace(terms=(*TERMS[:3], "1/r^3")))
