"""When an alarm is raised, what it starts from, and what a verdict leaves behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.small_world import Shelf, frames, model, world_model
from worldsim.contracts import ObjectModel
from worldsim.engine import doubt
from worldsim.engine.surprisal import _manoeuvre_probability
from worldsim.hypotheses.trial import Verdict, open_trial
from worldsim.inference.slots import density_of
from worldsim.loop import WorldModel
from worldsim.models.cat import Cat
from worldsim.types import EventKind, ParameterPrior


def settled() -> WorldModel:
    wm = world_model(Shelf(model("cat")))
    stream = frames(1.0)
    wm.reset(next(stream))
    for seen in stream:
        wm.step(seen, np.zeros(3))
    return wm


def slot_of_kind(wm: WorldModel, kind: str) -> int:
    return next(int(s) for s in np.flatnonzero(wm._state.alive) if wm.kind_of(int(wm._state.ids[s])) == kind)


def surprised(wm: WorldModel, slot: int) -> None:
    value = wm._state.belief.log_e_value.clone()
    value[slot] = wm.settings.loop.alarm_threshold_nats + 1.0
    wm._state.belief = dataclasses.replace(wm._state.belief, log_e_value=value)


def test_after_a_verdict_an_object_is_left_in_peace_for_a_while_unless_it_broke_a_law() -> None:
    wm = settled()
    state, slot = wm._state, slot_of_kind(wm, "person")
    now_s, pause_s, object_id = state.belief.time_s, wm.settings.loop.retest_s, int(state.ids[slot])
    assert doubt.alarmed_ids(state, now_s) == ()
    surprised(wm, slot)
    assert doubt.alarmed_ids(state, now_s) == (object_id,)
    state.verdict_s[object_id] = now_s
    assert doubt.alarmed_ids(state, now_s + 0.9 * pause_s) == ()
    assert doubt.alarmed_ids(state, now_s + 1.1 * pause_s) == (object_id,)
    state.lawless = frozenset({object_id})
    assert doubt.alarmed_ids(state, now_s + 0.9 * pause_s) == (object_id,)


@pytest.mark.parametrize("speed_m_s", [1.0, 9.0])
def test_hypotheses_do_not_start_from_a_speed_that_a_wrong_model_made_up(speed_m_s: float) -> None:
    wm = settled()
    state, slot = wm._state, slot_of_kind(wm, "person")
    velocity = state.belief.linear_velocity.clone()
    velocity[slot] = velocity.new_tensor([speed_m_s, 0.0, 0.0])
    state.belief = dataclasses.replace(state.belief, linear_velocity=velocity)
    surprised(wm, slot)
    with torch.inference_mode():
        doubt.decide(state, state.belief.time_s)
    trial = state.trials[int(state.ids[slot])]
    start = trial.density.states.linear_velocity[:, 0]
    assert start.tolist() == [speed_m_s if speed_m_s < 5.0 else 0.0] * len(trial.model_index)


@pytest.mark.parametrize("believed", ["person/test", "rigid_body/test"])
def test_a_kind_that_is_confirmed_is_forgiven_more_and_left_in_peace_for_longer(believed: str) -> None:
    wm = settled()
    state, slot = wm._state, slot_of_kind(wm, "person")
    object_id, row = int(state.ids[slot]), state.index(np.array([slot]))
    now_s, library = state.belief.time_s, state.library
    person = library.index_of("person/test")
    surprised(wm, slot)
    with torch.inference_mode():
        trial = open_trial(
            object_id, now_s, density_of(state.belief).select(row), [person], state.generic,
            np.zeros(len(library)), library, (), believed, wm.settings.trial,
        )  # fmt: skip
        state.trials[object_id] = trial
        doubt._conclude(state, trial, Verdict("adopt", 0, 1.0), now_s)
    confirmed = believed == "person/test"
    assert not state.trials
    assert float(state.belief.log_e_value[slot]) == 0.0
    assert float(state.belief.noise_scale[slot]) == (3.0 if confirmed else 1.0)
    assert state.verdict_s[object_id] == pytest.approx(now_s + (8.0 if confirmed else 0.0))


def test_a_jump_is_no_wonder_of_who_moves_at_will_and_of_what_lies_beside_him() -> None:
    wm = settled()
    state, walker = wm._state, slot_of_kind(wm, "person")
    crates = np.flatnonzero(state.alive & state.passive[state.model_index] & state.library.moves[state.model_index])[:2]
    place = state.belief.position.clone()
    place[crates[0]] = place[walker] + place.new_tensor([0.9, 0.0, 0.0])
    place[crates[1]] = place[walker] + place.new_tensor([9.0, 0.0, 0.0])
    state.belief = dataclasses.replace(state.belief, position=place)
    asked = np.array([*crates, walker])
    assert _manoeuvre_probability(state, asked).tolist() == pytest.approx([0.1, 1e-5, 0.1])


class Grown(Cat):
    """A later version of the class than the cards in the registry were made for."""

    parameter_names = (*Cat.parameter_names, "purr_per_s")


class Broad(Cat):
    """More parameters than a world model holds."""

    parameter_names = (*Cat.parameter_names, "a", "b", "c", "d")


class Mixed(Shelf):
    """Offers a card that the class here does not take, and a model that no world model can hold, beside a cat."""

    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        found = super().fetch(model_id, version)
        return Grown(found.card) if model_id == "cat/of-yesterday" else found


def test_a_candidate_that_cannot_be_run_here_is_passed_over_and_told() -> None:
    cat = model("cat")
    more = tuple(ParameterPrior(name, 1.0, 0.1) for name in Broad.parameter_names[len(Cat.parameter_names) :])
    broad = Broad(cat.card.replace(model_id="cat/too-broad", parameters=(*cat.card.parameters, *more)))
    wm = world_model(Mixed(model("cat", model_id="cat/of-yesterday"), broad, cat))
    stream = frames(4.5, cat_from_s=2.0)
    wm.reset(next(stream))
    events = [event for seen in stream for event in wm.step(seen, np.zeros(3)).events]
    refused = {e.detail["model_id"]: e.detail["error"] for e in events if e.kind == EventKind.REJECTED_INPUT}
    assert set(refused) == {"cat/of-yesterday", "cat/too-broad"}
    assert "expected ['burst_speed_m_s'" in refused["cat/of-yesterday"]
    assert "9 parameters, expected at most 8" in refused["cat/too-broad"]
    (adoption,) = (e for e in events if e.kind == EventKind.ADOPTION)
    assert adoption.detail["model_id"] == cat.card.model_id
