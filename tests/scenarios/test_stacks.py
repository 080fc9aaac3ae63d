"""Stacks: what nobody touches stands, and pushes and drops take and give support."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Crane, Push, Pushes
from worldsim_scenarios import stacks
from worldsim_scenarios.stacks import Stacks


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def test_what_nobody_touches_stands_still_and_sinks_into_nothing(physics: BulletPhysics) -> None:
    physics.reset(Stacks(stacks=3, pushed=0, dropped=0), seed=1)
    before = physics.truth()
    assert before.supports
    assert before.visible.all()
    for _ in range(40):
        physics.step(None)
    after = physics.truth()
    assert after.supports == before.supports
    # two seconds; the solver's friction lets a tall stack creep by about a quarter of a millimetre a second
    assert np.linalg.norm(after.position - before.position, axis=1).max() < 2e-3
    placed = {spec.name: spec.position[2] for spec in physics.specs}
    sunk = [placed[name] - z for name, z in zip(after.names, after.position[:, 2], strict=True)]
    assert np.abs(sunk).max() < 5e-3  # half a millimetre of air was left under each of up to five boxes


def test_a_push_takes_support_away_and_a_drop_gives_it(physics: BulletPhysics, monkeypatch: pytest.MonkeyPatch) -> None:
    # at once, and far enough that a box's middle passes the edge of what carries it
    for name, drawn in {
        "push_s": (0.2, 0.3),
        "push_m": (0.6, 0.7),
        "push_m_s": (0.6, 0.7),
        "drop_s": (0.3, 0.4),
    }.items():
        monkeypatch.setitem(stacks.VARIATION, name, drawn)
    physics.reset(Stacks(stacks=2, pushed=1, dropped=1), seed=0)
    before = physics.truth()
    hung = before.names.index("hung_0")
    pushed = next(d for d in physics._drivers if isinstance(d, Pushes)).pushes[0].body
    assert any(carried == pushed for _, carried in before.supports)
    assert not any("hung_0" in pair for pair in before.supports)
    for _ in range(4):
        physics.step(None)
    assert np.linalg.norm(physics.truth().position[hung] - before.position[hung]) < 1e-3  # the crane holds it
    lost: set[tuple[str, str]] = set()
    gained: set[tuple[str, str]] = set()
    for _ in range(46):
        physics.step(None)
        now = set(physics.truth().supports)
        lost |= set(before.supports) - now
        gained |= now - set(before.supports)
    assert any(carried == pushed for _, carried in lost)
    assert any(carried == "hung_0" for _, carried in gained)
    height = physics.truth().position[before.names.index(pushed), 2] - before.position[before.names.index(pushed), 2]
    assert height < -0.05
    speed = np.linalg.norm(physics.truth().linear_velocity, axis=1)
    assert speed.max() < 5.0  # what falls from two metres, no more


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stacks": 0}, "stacks is 0, expected 1 to 12"),
        ({"tallest": 9}, "tallest is 9, expected 2 to 5"),
        ({"stacks": 2, "pushed": 2, "dropped": 1}, "no more than stacks"),
        ({"duration_s": 0.0}, "duration_s is 0"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Stacks(**fields)  # type: ignore[arg-type]


def test_hands_and_cranes_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="from_s < until_s"):
        Push("box", 1.0, 0.0, 0.5, 100.0, 2.0, 1.0)
    with pytest.raises(ConfigurationError, match="leave the driver out"):
        Pushes(())
    with pytest.raises(ConfigurationError, match="a mass > 0"):
        Crane("box", 0.0, (0.0, 0.0, 1.0), 1.0)
