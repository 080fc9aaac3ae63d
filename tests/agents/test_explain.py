"""An agent can say why it did what it did, and keeps what it believes apart from what it wants."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.agents.hall import Floor, Hall, Thing, record
from tests.planning.floor import FRAME_S
from worldsim.errors import ConfigurationError
from worldsim.planning.explanation import attribute
from worldsim.types.explanation import Cause
from worldsim.types.planning import Preferences
from worldsim_agents.deliverer import Deliverer
from worldsim_agents.random_agent import RandomAgent

WALKER = Thing((1.4, -1.2), (0.45, 0.55, 1.75), (0.0, 0.9), std_m=0.05, spread_m_s=0.15, moves=True)


def decided(hall: Hall, frames: int = 1, preferences: Preferences | None = None, **alarm) -> Deliverer:
    """Return a deliverer after some frames, in a hall that stands still meanwhile."""
    agent = Deliverer(hall, preferences=preferences)
    for _ in range(frames):
        agent.act(hall.observation(), record(hall.floor.time_s, **alarm), np.random.default_rng(0))
    return agent


def same(first, second) -> bool:
    """Whether two beliefs hold the same bits."""
    ours, theirs = first.tensors(), second.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_changing_a_preference_changes_the_act_and_no_belief():
    hall = Hall(Floor((WALKER,)), (3.0, 0.0))
    before, forecast = hall.belief, hall.forecast(2.0, 0.1)
    careful = decided(hall, preferences=Preferences(clearance_m=2.0))
    careless = decided(hall, preferences=Preferences(weights=(("clearance", 0.0), ("collision", 0.0))))
    assert np.abs(careful.last_plan.action - careless.last_plan.action).max() > 0.1
    assert same(hall.belief, before)
    ours, theirs = careful.last_decision.believed, careless.last_decision.believed
    assert torch.equal(ours.situation.forecast.position, theirs.situation.forecast.position)
    assert torch.equal(ours.situation.forecast.position, forecast.position)
    assert ours.situation.own == theirs.situation.own
    told = careless.explain(-1, against=careful.last_decision)
    assert told.cause is Cause.VALUE
    assert told.attribution.belief == 0.0
    assert told.beliefs == careful.explain(-1).beliefs


def test_changing_a_belief_alone_is_told_as_a_belief():
    here = decided(Hall(Floor((WALKER,)), (3.0, 0.0)))
    elsewhere = decided(Hall(Floor((dataclasses.replace(WALKER, position=(-3.0, -3.0)),)), (3.0, 0.0)))
    told = elsewhere.explain(-1, against=here.last_decision)
    assert told.cause is Cause.BELIEF
    assert told.attribution.value == 0.0
    assert "the belief made the difference" in told.text()


def test_standing_still_for_what_is_not_understood_is_a_matter_of_belief():
    hall = Hall(Floor((Thing((0.0, 5.0)),)), (3.0, 0.0))
    going, stopped = decided(hall), decided(hall, alarmed=(0,))
    told = stopped.explain(0, against=going.last_decision)
    assert told.cause is Cause.BELIEF
    assert told.alarmed == (0,)


def test_another_goal_is_a_matter_of_value():
    first, second = decided(Hall(parcel=(3.0, 0.0))), decided(Hall(parcel=(-3.0, 0.0)))
    assert second.explain(0, against=first.last_decision).cause is Cause.VALUE


def test_an_explanation_lists_options_with_what_was_expected_of_each():
    agent = decided(Hall(Floor((WALKER,)), (3.0, 0.0)))
    told = agent.explain(0)
    chosen, options = told.options[0], {option.name: option for option in told.options}
    assert chosen.name == "what was planned"
    assert chosen.cost <= min(option.cost for option in told.options) + 1e-4  # float32 sums
    assert chosen.terms.keys() == agent.last_plan.terms.keys()
    assert options["stop"].to_go_m > options["straight on"].to_go_m
    assert options["stop"].end == pytest.approx((0.0, 0.0), abs=1e-6)
    assert 0.0 <= options["straight on"].touch_probability <= 1.0
    assert told.preferences.goal_position is not None
    assert told.against_step is None
    assert told.cause is Cause.NEITHER


def test_explaining_leaves_the_agent_as_it_was():
    plain, asked = decided(Hall(Floor((WALKER,)), (3.0, 0.0)), 2), decided(Hall(Floor((WALKER,)), (3.0, 0.0)), 2)
    asked.explain(-1)
    hall = Hall(Floor((WALKER,)), (3.0, 0.0))
    hall.floor.time_s = 0.2
    acts = [a.act(hall.observation(), None, np.random.default_rng(1)) for a in (plain, asked)]
    assert np.array_equal(*acts)


def test_a_later_act_is_compared_with_the_last_other_one():
    hall = Hall(Floor((Thing((0.0, 5.0)),)), (3.0, 0.0))
    agent, rng = Deliverer(hall), np.random.default_rng(0)
    for k in range(12):
        hall.step(agent.act(hall.observation(), record(hall.floor.time_s, (0,) if k >= 8 else ()), rng))
    told = agent.explain(8)
    assert told.step == 8
    assert told.against_step is not None
    assert told.against_step < 8
    assert told.cause is Cause.BELIEF


def test_a_frame_that_was_never_decided_is_refused():
    agent = decided(Hall(parcel=(3.0, 0.0)))
    with pytest.raises(ConfigurationError, match="frames 0 to 0"):
        agent.explain(3)
    agent.reset()
    with pytest.raises(ConfigurationError, match="no frame"):
        agent.explain(-1)


def test_an_agent_without_beliefs_says_that_it_cannot_explain():
    with pytest.raises(ConfigurationError, match=r"keeps no beliefs.*last_plan\.terms"):
        RandomAgent().explain(0)


def test_the_shares_add_up_and_what_did_not_change_has_none():
    table = {(False, False): -1.0, (True, False): 3.0, (False, True): 0.5, (True, True): 6.0}
    shares = attribute(lambda belief, value: table[belief, value])
    # Shapley by hand: belief ((3 + 1) + (6 - 0.5)) / 2, value ((0.5 + 1) + (6 - 3)) / 2
    assert (shares.belief, shares.value) == (4.75, 2.25)
    assert shares.belief + shares.value == table[True, True] - table[False, False]
    assert attribute(lambda belief, value: float(value)).belief == 0.0


def test_who_waits_because_something_blocks_the_way_wants_what_it_wanted():
    """The phase follows from the belief: a parcel that nobody can get at is waited for, under the same values."""
    ring = [(3.0 + math.cos(a), 1.0 + math.sin(a)) for a in np.arange(8) * math.pi / 4.0]
    crates = tuple(Thing(place, (0.8, 0.8, 0.8)) for place in ring)
    found = []
    for things in ((), crates):
        hall = Hall(Floor(things))
        agent = Deliverer(hall)
        for _ in range(40):
            agent.act(hall.observation(), record(hall.floor.time_s), np.random.default_rng(0))
            hall.floor.time_s += FRAME_S
        found.append(agent)
    free, blocked = found
    assert (free.phase.value, blocked.phase.value) == ("reach", "wait")
    told = blocked.explain(-1, against=free.last_decision)
    assert told.attribution.value == 0.0
    assert told.attribution.belief != 0.0
