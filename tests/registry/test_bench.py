"""The benchmark's own parts: what it keeps of an interrupted run, and the instances it asks about."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldsim.errors import UnknownNameError
from worldsim.evaluation import kept_stages
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.kept_stages import figures_from_json
from worldsim.evaluation.registry_queries import noisy_query, share_interval
from worldsim.evaluation.registry_sightings import sightings, without

SOURCES = ("worldsim/registry",)


def test_a_stage_that_was_measured_is_not_measured_again_unless_it_is_another(tmp_path, monkeypatch):
    measured = []

    def stage() -> dict[str, object]:
        measured.append(1)
        return {"figures": [
            Figure.at_most("latency", 1.5, 2.0, unit="ms", n=7, interval=(1.0, 2.0), baselines={"ping": 0.5}),
            Figure.told("count", float(len(measured))),
        ]}  # fmt: skip

    def figures(seed: int) -> list[Figure]:
        return figures_from_json(kept_stages.kept(file, {"seed": seed}, SOURCES, stage)["figures"])

    file = tmp_path / "stages" / "answer.json"
    first = figures(0)
    assert (first[0].interval, first[0].baselines, first[1].value) == ((1.0, 2.0), {"ping": 0.5}, 1.0)
    commit = json.loads(file.read_text())["commit"]
    monkeypatch.setattr(kept_stages, "is_unchanged_since", lambda commit, sources: (commit, sources) == same)
    same = (commit, SOURCES)
    if commit is not None:
        assert figures(0) == first
        assert len(measured) == 1
    before = len(measured)
    assert figures(1)[1].value == before + 1.0
    same = ("another", SOURCES)
    assert figures(1)[1].value == before + 2.0


def test_an_instance_differs_from_its_card_by_no_more_than_its_spread_and_the_noise(cat_card):
    rng = np.random.default_rng(0)
    queries = [noisy_query(cat_card, rng) for _ in range(400)]
    sizes = np.array([query.extent_m for query in queries])
    np.testing.assert_allclose(sizes.mean(axis=0), cat_card.shape.extent_m, rtol=0.02)  # 3 standard errors
    assert {tuple(sorted(query.motion)) for query in queries} == {("height", "speed_mean")}
    assert all(query.kind is None for query in queries)  # the answer is not in the question


def test_the_interval_of_a_share_holds_it():
    low, high = share_interval(np.array([1.0] * 99 + [0.0]))
    assert 0.94 < low < 0.99 < high < 1.0


def test_only_the_stages_that_were_named_are_run_in_their_own_order():
    known = ("build", "find", "soak")
    assert BenchOptions().stages_of(known) == known
    assert BenchOptions(stages=("soak", "build")).stages_of(known) == ("build", "soak")
    with pytest.raises(UnknownNameError, match="Did you mean 'soak'"):
        BenchOptions(stages=("soke",)).stages_of(known)


def test_an_instance_that_was_seen_for_half_a_second_is_asked_about_as_it_was_seen(builtin):
    loaded = [builtin.fetch(card.model_id) for card in builtin.cards(tag="starter")]
    names = ("cat/cat-tabby-medium-00", "trolley/trolley-mesh-medium-00", "person/cyclist-city-medium-00")
    cards = [builtin.card(name) for name in names]
    met = list(sightings(cards, loaded, np.random.default_rng(0)))
    assert [seen.instance.card.model_id for seen in met] == [*names]
    for seen in met:
        assert seen.query is not None
        np.testing.assert_allclose(seen.query.extent_m, seen.instance.extent_m, rtol=0.1)  # 2 % a frame, and a bias
        assert seen.query.exclude >= {model.card.model_id for model in loaded}
        asked = without(seen.query, seen.instance.card.model_id)
        found = builtin.search(asked).cards
        assert seen.instance.card not in found
        assert seen.instance.card.kind in {card.kind for card in found}
