"""A game on a table with pockets, played by the belief in the real environment."""

from __future__ import annotations

import numpy as np
import pytest

from tests.agents.playing import played
from worldsim_agents.active_inference import ActiveInference
from worldsim_agents.cue import Cue, ShotPhase
from worldsim_agents.shots import Ball, Table, choose_shot

TABLE = Table(np.array([[3.0, 0.0]]), 0.24, np.array([3.2, 2.0]), np.array([0.9, 0.9, 0.9]))


def ball(x, y):
    return Ball(np.array([x, y]), np.zeros(2), 0.1, np.full(3, 0.5), 0.0)


def test_it_goes_behind_the_cue_ball_and_pots_another_one():
    agent, done, phases = played("Billiards", 20_001, ActiveInference, reward="dense")
    assert isinstance(agent.above, Cue)
    assert done
    assert phases[:4] == [ShotPhase.WAIT, ShotPhase.GO, ShotPhase.FACE, ShotPhase.STRIKE]


def test_the_shot_is_played_to_where_the_cue_ball_is_when_they_meet():
    cue, straight, askew = ball(0.0, 0.0), ball(1.5, 0.0), ball(1.5, 0.6)
    here = np.array([-1.5, 0.0, 0.0])
    heading, speed = choose_shot(here, cue, [cue, straight], TABLE)
    assert heading == pytest.approx(0.0, abs=1e-9)
    heading, fast = choose_shot(here, cue, [cue, askew], TABLE)
    onwards = (TABLE.pockets[0] - askew.place) / np.linalg.norm(TABLE.pockets[0] - askew.place)
    ghost = askew.place - 0.2 * onwards
    assert heading == pytest.approx(np.arctan2(ghost[1], ghost[0]))
    hidden = [cue, straight, ball(0.8, 0.0)]  # one in the way of the only good shot
    _, gentle = choose_shot(here, cue, [*hidden, ball(2.2, 0.0)], TABLE)
    assert gentle < speed == fast
