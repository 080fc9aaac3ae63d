"""Scenarios in turns as one environment."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.errors import ConfigurationError
from worldsim.simulation.alternating import AlternatingEnv
from worldsim.simulation.gym_env import WorldsimEnv


def test_episodes_take_turns_read_the_same_fields_and_repeat_with_the_seed():
    names = ("House", "HousePark")  # they have two and four cameras above
    env = AlternatingEnv([WorldsimEnv(name, duration_s=0.2) for name in names])
    check_env(env, skip_render_check=True)
    fields = set(env.observation_space.spaces)
    assert "position" in fields
    assert "viewpoint_position" not in fields
    seen = []
    for _ in range(2):
        first = env.reset(seed=3)[0]
        assert env.envs[0].scenario is not env.envs[1].scenario
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(np.zeros(3, dtype=np.float32))
            over = terminated or truncated
        seen.append((first, env.reset()[0]))
    for before, after in zip(*seen, strict=True):
        assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not np.array_equal(seen[0][0]["position"], seen[0][1]["position"])
    env.close()


def test_none_is_refused():
    with pytest.raises(ConfigurationError, match="got 0 environments"):
        AlternatingEnv([])
