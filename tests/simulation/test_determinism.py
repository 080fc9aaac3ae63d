"""The same seed gives the same bytes: again, in a fresh engine, and after coming back to a snapshot."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from worldsim.errors import SimulationError
from worldsim.simulation.gym_env import WorldsimEnv

ACTIONS = np.random.default_rng(0).uniform(-1.0, 1.0, size=(120, 3)).astype(np.float32)


def _digest(observation: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(k.encode() + observation[k].tobytes() for k in sorted(observation))).hexdigest()


def _episode(env: WorldsimEnv, seed: int, frames: int) -> list[str]:
    found = [_digest(env.reset(seed=seed)[0])]
    for action in ACTIONS[:frames]:
        observation, reward, *_ = env.step(action)
        found.append(_digest({**observation, "reward": np.array(reward)}))
    return found


def test_a_seed_gives_the_same_bytes_again_and_in_a_fresh_environment() -> None:
    env, other = (WorldsimEnv(intruder_time_s=(0.5, 1.0)) for _ in range(2))
    first = _episode(env, 3, 60)
    _episode(env, 4, 10)  # what was before must not matter
    assert _episode(env, 3, 60) == first
    assert _episode(other, 3, 60) == first
    env.close()
    other.close()


@pytest.mark.parametrize(
    ("intruder", "seed"), [("cat", 3), ("cat", 5), ("dog", 2), ("dog", 3), ("ball", 5), ("trolley", 1), ("drone", 5)]
)
def test_coming_back_to_a_snapshot_gives_the_same_bytes_as_going_on(intruder: str, seed: int) -> None:
    env = WorldsimEnv(intruder=intruder, intruder_time_s=(0.5, 0.5))
    env.reset(seed=seed)
    for action in ACTIONS[:50]:
        env.step(action)
    token = env.physics.snapshot()
    runs = []
    for _ in range(3):
        runs.append([_digest(env.step(action)[0]) for action in ACTIONS[50:100]])
        contacts = env.physics.truth().contacts
        runs[-1].append(repr(contacts))
        env.physics.restore(token)
    assert runs[0] == runs[1] == runs[2]
    env.close()


def test_a_snapshot_of_an_earlier_episode_is_refused() -> None:
    env = WorldsimEnv(intruder="none")
    env.reset(seed=0)
    token = env.physics.snapshot()
    env.reset(seed=1)
    with pytest.raises(SimulationError, match="episode that is over"):
        env.physics.restore(token)
    env.close()


def test_closing_one_environment_leaves_the_snapshots_of_the_next_alone() -> None:
    first = WorldsimEnv(intruder="none")
    first.reset(seed=0)
    token = first.physics.snapshot()
    first.close()
    second = WorldsimEnv(intruder="none")  # PyBullet gives it the number of the first
    second.reset(seed=0)
    kept = second.physics.snapshot()
    with pytest.raises(SimulationError, match="episode that is over"):
        first.physics.restore(token)
    del token
    second.physics.restore(kept)
    second.close()


def test_seeds_differ_in_where_things_are_and_in_noise() -> None:
    env = WorldsimEnv()
    first, second = (env.reset(seed=seed)[0] for seed in (0, 1))
    for key in ("position", "appearance", "ego_position", "task_pickup_position"):
        assert not np.array_equal(first[key], second[key]), key
    env.close()


@pytest.mark.parametrize("observation", ["detections", "state"])
def test_going_back_to_the_start_gives_the_bytes_of_a_world_built_anew(observation: str) -> None:
    env, fresh = (WorldsimEnv(observation=observation, expose_truth=True, intruder_time_s=(0.5, 0.5)) for _ in range(2))
    anew, info = fresh.reset(seed=3)
    env.reset(seed=3)
    for action in ACTIONS[:30]:
        env.step(action)
    built = env.physics.engine._bodies  # type: ignore[attr-defined]
    back, info_back = env.reset(seed=3)
    assert env.physics.engine._bodies is built, "the world was built anew"  # type: ignore[attr-defined]
    assert _digest(back) == _digest(anew)
    for action in ACTIONS[:30]:
        (here, *_, info_back), (there, *_, info) = env.step(action), fresh.step(action)
        assert _digest(here) == _digest(there)
        for name in ("contacts", "supports", "position", "linear_velocity", "angular_velocity", "visible"):
            np.testing.assert_array_equal(
                np.asarray(getattr(info_back["truth"], name)), np.asarray(getattr(info["truth"], name)), err_msg=name
            )
    env.close()
    fresh.close()


def test_velocities_that_were_not_asked_for_in_time_are_refused() -> None:
    env = WorldsimEnv(scenario="ForceLab", observation="state")
    env.reset(seed=0)
    env.step(ACTIONS[0])
    seen = env.physics.engine.glance()
    env.physics.engine.advance()
    with pytest.raises(SimulationError, match="a moment that is over"):
        _ = seen.linear_velocity
    env.close()
