"""One world model over many episodes, from the generic start, and what passes from one run to the next."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_composition import SHARE_BAR, _ratio, composition_figures
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.online_learning import GENERIC_CARD, Learned, LearningJob, generic_registry, learn_job

SHORT = (("duration_s", 0.5),)


def test_a_run_starts_from_the_generic_card_alone_and_counts_every_frame_once():
    job = LearningJob("Intercept", "mpc", 3, frames=15, episodes=1, scenario_arguments=SHORT)
    found = learn_job(job)
    assert found.frames == 15
    assert [before for before, _ in found.curve] == [0, 10]
    assert sum(score.frames for _, score in found.curve) == 15
    assert len(found.scores) == len(found.foreseen_m) == 1
    assert GENERIC_CARD in found.models
    assert to_jsonable(learn_job(job)) == to_jsonable(found)
    assert math.isnan(found.foreseen_m[0])  # half a second is too short to see what comes true a second ahead
    again = Learned.from_json(json.loads(dump_json(to_jsonable(found))))
    assert again.scores == found.scores
    assert math.isnan(again.foreseen_m[0])


@pytest.mark.parametrize("seed", [-1, 99])
def test_no_run_learns_from_the_held_out_episodes(seed):
    with pytest.raises(ConfigurationError, match="expected 0 to 98"):
        LearningJob("Intercept", "mpc", seed, frames=15)


def test_where_nothing_is_to_be_learned_any_more_the_held_out_episodes_publish_nothing(tmp_path):
    url, calm = f"sqlite:///{tmp_path}/park.db", (("people", 1), ("balls", 0), ("duration_s", 6.0))
    generic_registry(url)
    still = LearningJob("Park", "random", 0, 0, 1, goes_on_learning=False, registry=url, scenario_arguments=calm)
    found = learn_job(still)
    assert found.models == (GENERIC_CARD,)
    assert 0.0 < found.foreseen_m[0] < 1.0  # somebody walked, and was foreseen


def test_a_registry_keeps_its_cards_from_run_to_run(tmp_path):
    url = f"sqlite:///{tmp_path}/r.db"
    assert [card.model_id for card in generic_registry(url).cards()] == [GENERIC_CARD]
    job = LearningJob("Intercept", "random", 0, frames=0, registry=url, scenario_arguments=SHORT)
    assert learn_job(job).models == (GENERIC_CARD,)
    assert [card.model_id for card in generic_registry(url).cards()] == [GENERIC_CARD]


def test_a_share_of_nothing_is_no_share():
    rng = np.random.default_rng(0)
    assert _ratio([np.full(3, 3.0)] * 3, [np.full(3, 4.0)] * 3, rng) == (0.75, 0.75, 0.75)
    assert all(math.isnan(value) for value in _ratio([np.full(3, -4.0)] * 3, [np.full(3, -1.0)] * 3, rng))


@pytest.mark.slow
def test_composition_is_told_beside_what_was_learned_there_and_nothing():
    told = []
    figures = composition_figures(BenchOptions(quick=True, tell=told.append))
    bar = f">= {SHARE_BAR}"
    assert [figure.bar for figure in figures] == [None] * 10 + [bar] + [None] * 3 + [bar]
    assert all(figure.interval is None for figure in figures)  # of one run, which tells nothing of the spread
    assert sum("one network of" in name for name in figures[10].baselines) == 2
    assert sum(figure.name.startswith("composition: length of an episode") for figure in figures) == 5
    assert len(told) == 5


@pytest.mark.slow
def test_who_moves_in_a_park_is_learned_published_and_known_to_the_next_run(tmp_path):
    url, calm = f"sqlite:///{tmp_path}/park.db", (("people", 1), ("balls", 0), ("duration_s", 9.0))
    learn_job(LearningJob("Park", "random", 0, 160, 0, registry=_registry(url), scenario_arguments=calm))
    learned = {card.model_id: card for card in generic_registry(url).cards() if card.model_id != GENERIC_CARD}
    assert learned
    assert any(card.shape.extent_m[2] > 1.4 for card in learned.values())  # somebody who walks
    learn_job(LearningJob("Park", "random", 1, 160, 0, registry=url, scenario_arguments=calm))
    again = {card.model_id for card in generic_registry(url).cards() if card.model_id != GENERIC_CARD}
    assert set(learned) <= again


def _registry(url: str) -> str:
    generic_registry(url)
    return url
