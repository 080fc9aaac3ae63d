"""The benchmark of the scenarios: what it takes in, and what it makes of played episodes."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_scenarios import Constant, Score, _figures, play_episode, scenarios_with_an_expert
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim_agents.interceptor import Interceptor
from worldsim_scenarios.intercept import Intercept


def test_it_takes_in_every_scenario_that_names_an_expert():
    assert {"PushT", "Intercept"} <= set(scenarios_with_an_expert())
    assert "ForceLab" not in scenarios_with_an_expert()


def test_an_episode_is_played_by_observations_alone_and_the_same_seed_has_the_same_score():
    env = WorldsimEnv(Intercept(target="rolling"))
    scores = [play_episode(env, Interceptor(), seed=1) for _ in range(2)]
    still = play_episode(env, Constant((0.0, 0.0)), seed=1)
    env.close()
    assert scores[0] == scores[1]
    assert scores[0].success
    assert not still.success
    assert still.total < scores[0].total


def test_success_rates_have_exact_intervals_and_bars():
    good, bad = [Score(True, 12.0, 4.0)] * 9 + [Score(False, 1.0, 20.0)], [Score(False, -1.0, 20.0)] * 10
    made = {f.name: f for f in _figures("X", {"expert": good, "random": bad, "constant": bad}, BenchOptions())}
    expert, random = made["X: success rate, expert"], made["X: success rate, random"]
    assert (expert.value, expert.n, expert.holds) == (0.9, 10, True)
    assert expert.interval == pytest.approx((0.5550, 0.9975), abs=1e-4)  # Clopper-Pearson, 9 of 10
    assert expert.baselines == {"random": 0.0, "constant": 0.0}
    assert random.holds
    assert made["X: dense return, expert"].value == pytest.approx(np.mean([12.0] * 9 + [1.0]))
    assert made["X: time to success, expert"].value == 4.0
