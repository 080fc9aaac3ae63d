"""The heavy one among crates that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.types.observation import Observation
from worldsim_agents.sorter import Sorter
from worldsim_scenarios.push_t import PushT
from worldsim_scenarios.sorting import HALF_M, LIGHT_KG, VARIATION, Sorting
from worldsim_scenarios.stock import PARTS, drawn


@pytest.fixture(scope="module")
def physics():
    world = BulletPhysics()
    yield world
    world.close()


def test_one_crate_is_heavy_the_others_are_not_and_none_looks_it(physics):
    heavy = set()
    for seed in range(6):
        physics.reset(Sorting(), seed=seed)
        crates = [spec for spec in physics.specs if spec.kind == "crate"]
        masses = {spec.name: spec.mass_kg for spec in crates}
        assert sum(mass > 2.0 * LIGHT_KG for mass in masses.values()) == 1
        assert masses[physics.task.heavy] == max(masses.values())
        heavy.add(physics.task.heavy)
        assert np.abs([spec.position[:2] for spec in crates]).max() < HALF_M - 1.0
        assert {spec.extent_m for spec in crates} == {crates[0].extent_m}
    assert len(heavy) > 1
    assert set(physics.observe().task) == {"task_goal_position", "task_object_extent_m", "task_push_loss_m_s"}


def test_the_expert_finds_the_heavy_one_and_is_paid_for_its_way():
    env = WorldsimEnv(Sorting())
    raw, _ = env.reset(seed=0)
    task, agent, total = env.physics.task, Sorter(), 0.0
    start, over = task.progress_before, False
    while not over:
        raw, reward, terminated, truncated, info = env.step(agent.act(Observation.from_gym(raw), None, None))
        total, over = total + reward, terminated or truncated
    env.close()
    assert info["is_success"]
    assert total == pytest.approx(task.progress_before - start + 10.0)


def test_with_a_light_one_on_the_mark_all_is_lost(physics):
    physics.reset(Sorting(), seed=1)
    light = next(name for name in physics.task.crates if name != physics.task.heavy)
    physics.withdraw(light, (*physics.task.mark, 0.2))
    physics.step(None)
    assert physics.last_task_step.terminated
    assert physics.last_task_step.events["is_success"] is False


def speed_after_pushing(physics, pushed: str | None) -> float:
    """Return the robot's speed, m/s, when it has pushed one crate, or none, for a while at half its full command."""
    physics.reset(Sorting(), seed=2)
    for number, crate in enumerate(physics.task.crates):
        physics.withdraw(crate, (-3.0, 3.0, 1.0 + 2.0 * number))
    if pushed is not None:
        physics.withdraw(pushed, (0.0, 0.0, 0.175))
    physics.withdraw("robot", (-0.75, 0.0, 0.151))
    speeds = []
    for _ in range(40):
        physics.step(np.array([0.5, 0.0, 0.0]))
        truth = physics.truth()
        speeds.append(float(truth.linear_velocity[truth.names.index("robot"), 0]))
    return float(np.mean(speeds[-10:]))


def test_pushing_a_crate_slows_the_robot_about_as_much_as_the_data_sheet_says(physics):
    """What the sorter, and any agent, tells weights by; masses and frictions vary by 15 % each."""
    physics.reset(Sorting(), seed=2)
    light_loss, heavy_loss = physics.task.loss_m_s
    heavy = physics.task.heavy
    light = next(name for name in physics.task.crates if name != heavy)
    free = speed_after_pushing(physics, None)
    assert free - speed_after_pushing(physics, light) == pytest.approx(light_loss, rel=0.4)
    assert free - speed_after_pushing(physics, heavy) == pytest.approx(heavy_loss, rel=0.4)


def test_the_halves_of_the_variation_do_not_overlap_and_together_are_the_whole():
    low, high = VARIATION["mark_x_m"]
    width = high - low
    rngs = {part: np.random.default_rng(0) for part in PARTS}
    seen = {part: np.array([drawn(rng, VARIATION, "mark_x_m", part) for _ in range(400)]) for part, rng in rngs.items()}
    inside = {part: np.abs(at - (low + high) / 2.0) < width / 4.0 for part, at in seen.items()}
    assert inside["held_out"].all()
    assert not inside["train"].any()
    assert 0.4 < inside["all"].mean() < 0.6
    assert all(low <= at.min() and at.max() <= high for at in seen.values())
    assert seen["train"].min() < low + 0.05 * width < high - 0.05 * width < seen["train"].max()


def test_an_expert_of_another_task_and_wrong_fields_are_told(physics):
    physics.reset(PushT(), seed=0)
    with pytest.raises(ConfigurationError, match="not of the scenario Sorting"):
        Sorter().act(physics.observe(), None, np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="Did you mean 'held_out'"):
        Sorting(variation="heldout")
    with pytest.raises(ConfigurationError, match="crates is 1"):
        Sorting(crates=1)
