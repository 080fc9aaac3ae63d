"""Environments that share worker processes give what each gives alone, and failures reach the caller."""

from __future__ import annotations

import os
import signal

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import worldsim  # noqa: F401 - registers the environments
from worldsim.errors import ConfigurationError, SimulationError
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.vector_env import WorldsimVectorEnv

ARGUMENTS = {"scenario": "ForceLab", "bodies": 4, "duration_s": 0.35}
ACTIONS = np.random.default_rng(0).uniform(-1.0, 1.0, size=(12, 3, 3)).astype(np.float32)


def test_it_gives_what_environments_in_turn_give_with_the_same_seeds_over_the_end_of_episodes() -> None:
    expected = SyncVectorEnv([lambda: WorldsimEnv(**ARGUMENTS)] * 3)  # type: ignore[arg-type]
    shared = WorldsimVectorEnv(3, workers=2, **ARGUMENTS)
    assert shared.observation_space == expected.observation_space
    assert shared.action_space == expected.action_space
    assert shared.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for first, second in zip(shared.reset(seed=5), expected.reset(seed=5), strict=True):
        _assert_equal(first, second)
    ended = 0
    for actions in ACTIONS:
        found, wanted = shared.step(actions), expected.step(actions)
        for first, second in zip(found, wanted, strict=True):
            _assert_equal(first, second)
        ended += int(found[3].sum())
        assert shared.observation_space.contains(found[0])
    assert ended == 3  # so a reset was among the steps
    shared.close()
    expected.close()


def _assert_equal(first: object, second: object) -> None:
    if isinstance(first, dict) and isinstance(second, dict):
        assert first.keys() == second.keys()
        for name in first:
            _assert_equal(first[name], second[name])
    else:
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_what_was_returned_does_not_change_later() -> None:
    shared = WorldsimVectorEnv(2, workers=1, **ARGUMENTS)
    first, _ = shared.reset(seed=[1, 2])
    kept = {name: value.copy() for name, value in first.items()}
    shared.step(ACTIONS[0, :2])
    for name, value in first.items():
        np.testing.assert_array_equal(value, kept[name])
    shared.close()


def test_gymnasium_makes_it_by_name_and_the_own_cameras_come_along() -> None:
    shared = gymnasium.make_vec("worldsim/ForceLab-v0", num_envs=2, workers=1, bodies=3, observation="rgbd")
    assert isinstance(shared.unwrapped, WorldsimVectorEnv)
    observations, _ = shared.reset(seed=0)
    assert observations["camera_rgb"].shape == (2, 64, 64, 3)
    assert observations["camera_rgb"].std() > 1.0
    assert [env.bodies for env in shared.unwrapped.call("scenario")] == [3, 3]
    shared.close()


def test_an_error_in_a_worker_is_told_with_its_environment_and_closes_all() -> None:
    shared = WorldsimVectorEnv(3, workers=2, **ARGUMENTS)
    shared.reset(seed=0)
    actions = np.zeros((3, 3), dtype=np.float32)
    actions[2, 0] = np.nan
    with pytest.raises(
        SimulationError, match=r"environment 2 raised SimulationError: physics: the action .* not finite"
    ):
        shared.step(actions)
    with pytest.raises(SimulationError, match="is closed"):
        shared.step(actions)
    assert not any(process.is_alive() for process in shared._processes)


def test_a_worker_that_was_killed_is_told_apart_from_an_error() -> None:
    shared = WorldsimVectorEnv(2, workers=2, **ARGUMENTS)
    shared.reset(seed=0)
    os.kill(shared._processes[1].pid, signal.SIGKILL)
    with pytest.raises(SimulationError, match=r"worker of environments 1 to 1 is gone \(exit status -9\)"):
        shared.step(np.zeros((2, 3), dtype=np.float32))
    shared.close()  # harmless


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ConfigurationError, match="workers is 3, expected 1 to num_envs, which is 2"):
        WorldsimVectorEnv(2, workers=3, **ARGUMENTS)
    shared = WorldsimVectorEnv(2, workers=1, **ARGUMENTS)
    with pytest.raises(ConfigurationError, match="got 3 seeds"):
        shared.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigurationError, match=r"shape \(1, 3\), expected \(2, 3\)"):
        shared.step(np.zeros((1, 3), dtype=np.float32))
    shared.close()


def test_an_interrupted_step_closes_all_so_that_no_answer_is_taken_for_another() -> None:
    envs = WorldsimVectorEnv(3, workers=2, **ARGUMENTS)
    envs.reset(seed=0)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)

    def step_until_interrupted() -> None:
        while True:  # until it comes amid an exchange
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            envs.step(ACTIONS[0])
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    try:
        with pytest.raises(KeyboardInterrupt):
            step_until_interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(SimulationError, match="it is closed"):
        envs.reset(seed=5)


def test_what_cannot_be_sent_is_told_as_such() -> None:
    envs = WorldsimVectorEnv(2, workers=2, **ARGUMENTS)
    with pytest.raises(SimulationError, match=r"environment 0 raised .*pickle"):
        envs.call("physics")
