"""The force laboratory: balls keep going, forces act and are switched, and everything can be put back."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim_scenarios.force_lab import BALL_M, ForceLab


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def _balls(physics: BulletPhysics) -> np.ndarray:
    return np.array([kind == "ball" for kind in physics.truth().kinds])


def test_forces_are_part_of_the_truth_and_are_switched(physics: BulletPhysics) -> None:
    physics.reset(ForceLab(bodies=8), seed=1)
    before = set(physics.truth().forces)
    assert {force[2] for force in before} <= {"spring", "magnet", "tether", "weld"}
    assert len(before) == 6
    for _ in range(170):
        physics.step(None)
    after = set(physics.truth().forces)
    assert before - after
    assert after - before
    assert set(physics.truth().attachments) == {force[:2] for force in after if force[2] == "weld"}


def test_nothing_leaves_the_table_and_a_weld_holds(physics: BulletPhysics) -> None:
    physics.reset(ForceLab(bodies=8, kinds=("weld",), switching=False), seed=3)
    truth = physics.truth()
    row = {name: i for i, name in enumerate(truth.names)}
    start = {force[:2]: _distance(truth.position, row, force[:2]) for force in truth.forces}
    balls = _balls(physics)
    for _ in range(100):
        physics.step(None)
    truth = physics.truth()
    half = 0.5 * np.sqrt(8 * 0.7) + BALL_M
    assert np.abs(truth.position[balls, :2]).max() < half
    assert np.abs(truth.position[balls, 2] - BALL_M / 2.0).max() < 5e-3
    for pair, length in start.items():
        assert _distance(truth.position, row, pair) == pytest.approx(length, abs=0.02)  # the play of its stiffness


def _distance(position: np.ndarray, row: dict[str, int], pair: tuple[str, str]) -> float:
    return float(np.linalg.norm(position[row[pair[0]]] - position[row[pair[1]]]))


def test_coming_back_to_a_snapshot_gives_the_same_bytes_as_going_on(physics: BulletPhysics) -> None:
    physics.reset(ForceLab(bodies=6), seed=5)
    for _ in range(75):
        physics.step(None)
    token = physics.snapshot()
    runs = []
    for _ in range(2):
        for _ in range(60):
            physics.step(None)
        runs.append((physics.truth().position.tobytes(), physics.truth().forces))
        physics.restore(token)
    assert runs[0] == runs[1]


def test_a_thousand_balls_are_placed_apart(physics: BulletPhysics) -> None:
    physics.reset(ForceLab(bodies=1000), seed=0)
    truth = physics.truth()
    assert sum(kind == "ball" for kind in truth.kinds) == 1000
    assert len(truth.contacts) == 0
    assert len(truth.forces) > 300


def test_the_environment_keeps_gymnasiums_contract() -> None:
    env = gymnasium.make("worldsim/ForceLab-v0", bodies=4, duration_s=1.0)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_a_seed_gives_the_same_world_and_another_seed_another() -> None:
    env = WorldsimEnv(ForceLab(bodies=4))
    first, again, other = (env.reset(seed=seed)[0]["position"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    env.close()


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="3 to 1000"):
        ForceLab(bodies=2)
    with pytest.raises(UnknownNameError, match="spring"):
        ForceLab(kinds=("glue",))
