"""Who touches somebody has touched somebody, whoever watches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.contracts.agent import Agent
from worldsim.evaluation.cat_scoring import score_episode
from worldsim.evaluation.episode import LogOptions, run_episode
from worldsim.evaluation.training import TrainOptions
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types import Observation, StepRecord

AHEAD = {"Crowd": (1.0, 0.0, 0.0), "Park": (1.0, 0.3, 0.0), "Billiards": (1.0, 0.3, 0.0)}
TOUCHING_SEED = {"Crowd": 0, "Park": 2, "Billiards": 0}


def driven(env: WorldsimEnv, seed: int, action: tuple[float, ...]) -> tuple[list[float], bool, float]:
    """Return all rewards, whether the task ended, and what the last frame told of touching."""
    env.reset(seed=seed)
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, info = env.step(np.array(action, dtype=np.float32))
        rewards.append(reward)
        over = terminated or truncated
    env.close()
    return rewards, terminated, info.get("touched", info.get("in_game", math.nan))


@pytest.mark.parametrize("name", ["Crowd", "Park", "Billiards"])
def test_a_task_judges_alike_with_detections_with_states_and_in_training(name: str) -> None:
    fields = {"reward": "dense", "duration_s": 16.0}
    watched = WorldsimEnv(name, **fields)
    exact = WorldsimEnv(name, observation="state", **fields)
    trained = TrainOptions(name, scenario_arguments=tuple(fields.items())).make_env()
    runs = [driven(env, TOUCHING_SEED[name], AHEAD[name]) for env in (watched, exact, trained)]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][2] == {"Crowd": 1.0, "Park": 1.0, "Billiards": 2.0}[name]  # somebody was touched; a ball is out


class _Chaser(Agent):
    """Drives into the intruder, by the truth."""

    def __init__(self, env: WorldsimEnv) -> None:
        self.env = env

    def act(self, observation: Observation, record: StepRecord | None, rng: np.random.Generator) -> np.ndarray:
        del observation, record, rng
        truth = self.env.physics.truth()
        if truth.intruder is None or truth.ego is None:
            return np.zeros(3, np.float32)
        own, other = truth.names.index(truth.ego), truth.names.index(truth.intruder)
        (x, y), q = truth.position[other, :2] - truth.position[own, :2], truth.orientation_xyzw[own]
        yaw = math.atan2(2.0 * (q[3] * q[2] + q[0] * q[1]), 1.0 - 2.0 * (q[1] ** 2 + q[2] ** 2))
        turn = (math.atan2(y, x) - yaw + math.pi) % (2.0 * math.pi) - math.pi
        return np.array([max(0.0, math.cos(turn)), np.clip(2.0 * turn, -1.0, 1.0), 0.0], np.float32)


def test_a_touch_that_ends_the_episode_is_scored() -> None:
    env = WorldsimEnv(
        "Warehouse", intruder="dog", intruder_time_s=(1.0, 2.0), duration_s=40.0, observation="detections",
        expose_truth=True,
    )  # fmt: skip
    options = LogOptions(observations=False, forecasts_every=0)
    for seed in (1, 2):
        log = run_episode(env, None, _Chaser(env), np.random.default_rng(0), seed=seed, log=options)
        assert log.terminated
        assert len(log.truths) == len(log.frames) + 1
        assert env.physics.last_task_step.events["collision"]
        assert score_episode(log).touched
    env.close()
