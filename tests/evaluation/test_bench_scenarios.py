"""The benchmark of the scenarios: what it takes in, and what it makes of played episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_scenarios import (
    Constant,
    Score,
    _best_constant,
    _figures,
    play_episode,
    scenarios_with_an_expert,
)
from worldsim.evaluation.ceiling import OraclePlanner, TrueWorldCost, best_attempt
from worldsim.planning.shooting import ICEM
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim_agents.interceptor import Interceptor
from worldsim_scenarios.intercept import Intercept


def test_it_takes_in_every_scenario_that_names_an_expert():
    assert {"PushT", "Intercept"} <= set(scenarios_with_an_expert())
    assert "ForceLab" not in scenarios_with_an_expert()


def test_an_episode_is_played_by_observations_alone_and_the_same_seed_has_the_same_score():
    env = WorldsimEnv(Intercept(target="rolling"))
    scores = [play_episode(env, Interceptor(), seed=1) for _ in range(2)]
    still = play_episode(env, Constant((0.0, 0.0, 0.0)), seed=1)
    env.close()
    assert scores[0] == scores[1]
    assert scores[0].success
    assert not still.success
    assert still.total < scores[0].total


def test_success_rates_have_exact_intervals_and_bars():
    good, bad = [Score(True, 12.0, 4.0)] * 9 + [Score(False, 1.0, 20.0)], [Score(False, -1.0, 20.0)] * 10
    made = {
        f.name: f
        for f in _figures("X", {"expert": good, "random": bad, "constant": bad, "oracle": good}, BenchOptions())
    }
    expert, random = made["X: success, expert over oracle"], made["X: success, random over oracle"]
    assert (expert.value, expert.n, expert.holds) == (1.0, 9, True)
    assert made["X: success rate, oracle"].value == 0.9
    assert expert.interval == pytest.approx((0.6637, 1.0), abs=1e-4)  # Clopper-Pearson, 9 of the 9 that can be done
    assert expert.baselines == {"random": 0.0, "constant": 0.0}
    assert random.holds
    assert made["X: dense return, expert"].value == pytest.approx(np.mean([12.0] * 9 + [1.0]))
    assert made["X: time to success, expert"].value == 4.0


def test_the_true_world_prices_what_really_happens_and_comes_back():
    env = WorldsimEnv(Intercept(target="rolling"))
    env.reset(seed=1)
    before = env.physics.observe().detections.position.copy()
    candidates = torch.zeros(1, 2, 4, 2)
    candidates[0, 1, :, 0] = 1.0
    stay, drive = TrueWorldCost(env.physics).get_cost({}, candidates)[0].tolist()
    assert env.physics.time_s == 0.0
    assert np.array_equal(before, env.physics.observe().detections.position)
    earned = 0.0
    for _ in range(20):
        earned += env.step(np.array([1.0, 0.0, 0.0], dtype=np.float32))[1]
    env.close()
    assert drive == pytest.approx(-earned)
    assert stay != drive


def test_the_ceiling_is_the_best_of_what_was_played_on_the_same_world():
    exact = WorldsimEnv(Intercept(target="rolling"), observation="state")
    failed = Score(False, -1.0, 20.0)
    best = best_attempt(exact, Interceptor(), 1, failed)
    hopeless = best_attempt(exact, Interceptor(), 1, Score(True, 99.0, 1.0))
    exact.close()
    assert best.success
    assert hopeless.total == 99.0


def test_the_constant_that_competes_is_the_one_with_the_best_return_on_seeds_of_its_own():
    asked = []

    def play(function, jobs):
        asked.extend(jobs)
        return [Score(False, 5.0 if "(1.0, 0.0, 0.0)" in job.who else 1.0, 20.0) for job in jobs]

    env = WorldsimEnv(Intercept(target="rolling"))
    best = _best_constant("Intercept", env, play, BenchOptions())
    env.close()
    assert best.action == (1.0, 0.0, 0.0)
    assert len({repr(job) for job in asked}) == len(asked)  # so that each is kept in a file of its own
    assert min(job.seed for job in asked) >= 10_000


def test_a_planner_that_has_the_true_world_for_its_model_earns_more_than_standing():
    env = WorldsimEnv(Intercept(target="rolling"), observation="state")
    env.reset(seed=1)
    planner, rng, earned = OraclePlanner(env, ICEM(6, 3, 1), steps=4), np.random.default_rng(0), 0.0
    for _ in range(20):
        earned += env.step(planner.act(env.physics.observe(), None, rng))[1]
    still = -float(TrueWorldCost(env.physics, 5).get_cost({}, torch.zeros(1, 1, 4, 2)))
    env.close()
    assert earned > still + 0.2
