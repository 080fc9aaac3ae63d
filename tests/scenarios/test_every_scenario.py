"""What every installed scenario keeps: Gymnasium's contract, repeatable and varied worlds, a record of itself."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldsim  # noqa: F401  # registers the environments
from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError
from worldsim.plugins import load_plugin
from worldsim.simulation.registration import environment_id

NAMES = sorted({point.name for point in entry_points(group="worldsim.scenarios")})
SMALL = {
    "Billiards": {"bodies": 3, "launched": 2},
    "Containers": {"containers": 1, "put_in": 1, "taken_out": 0, "benches": 0},
    "ForceLab": {"bodies": 3},
    "Mixed": {"bodies": 4, "springs": 1, "magnets": 1},
    "Stacks": {"stacks": 2, "tallest": 2, "pushed": 1, "dropped": 1},
    "Warehouse": {"intruder": "none"},
}
"""Fields that make a scenario cheap to build; one that is not listed is built as it comes."""


def made(name: str) -> Scenario:
    return load_plugin("worldsim.scenarios", name, Scenario)(**SMALL.get(name, {}))  # type: ignore[type-abstract]


def test_the_built_in_scenarios_are_installed() -> None:
    assert set(NAMES) >= set(SMALL)


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_gymnasiums_contract_and_a_seed_decides_the_bytes(name: str) -> None:
    env = gymnasium.make(environment_id(name), **SMALL.get(name, {}))
    check_env(env.unwrapped, skip_render_check=True)
    runs = []
    for seed in (1, 1, 2):
        seen = [env.reset(seed=seed)[0]]
        seen += [env.step(np.zeros(3, dtype=np.float32))[0] for _ in range(3)]
        runs.append(b"".join(frame[key].tobytes() for frame in seen for key in sorted(frame)))
        assert all(np.isfinite(value).all() for frame in seen for value in frame.values())
    env.close()
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_frozen_hashable_and_prints_what_was_set(name: str) -> None:
    scenario = made(name)
    assert hash(scenario) == hash(made(name))
    assert all(f"{field}={value!r}" in repr(scenario) for field, value in SMALL.get(name, {}).items())
    field = dataclasses.fields(scenario)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(scenario, field, None)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_so_where_a_physics_cannot_be_furnished(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: object cannot be furnished"):
        made(name).build(object(), np.random.default_rng(0))  # type: ignore[arg-type]
