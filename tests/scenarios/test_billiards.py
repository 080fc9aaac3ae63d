"""Billiards: balls strike one another and the cushions, energy only falls, and nothing leaves the table."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.simulation.bullet import GRAVITY_M_S2, BulletPhysics
from worldsim.types.truth import WorldTruth
from worldsim_scenarios.billiards import Billiards

LAUNCHED = 3  # frames after which every launch is over: a push lasts 0.1 s
SECONDS = 3


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def energy_j(physics: BulletPhysics, truth: WorldTruth, rows: list[int]) -> float:
    """Return kinetic energy, spin included, and what height adds to it."""
    mass = np.array([spec.mass_kg for spec in physics.specs if spec.kind == "ball"])
    radius = truth.extent_m[rows, 0] / 2.0
    moving = 0.5 * mass * (truth.linear_velocity[rows] ** 2).sum(axis=1)
    spinning = 0.2 * mass * radius**2 * (truth.angular_velocity[rows] ** 2).sum(axis=1)  # 2/5 m r^2, halved
    height = mass * GRAVITY_M_S2 * (truth.position[rows, 2] - radius)
    return float((moving + spinning + height).sum())


@pytest.mark.parametrize("seed", range(2))
def test_balls_strike_roll_lose_energy_and_stay_on_the_table(physics: BulletPhysics, seed: int) -> None:
    scenario = Billiards(bodies=6, launched=3)
    physics.reset(scenario, seed)
    rows = [i for i, kind in enumerate(physics.truth().kinds) if kind == "ball"]
    energy, met = [], set()
    for _ in range(20 * SECONDS):
        physics.step(None)
        truth = physics.truth()
        energy.append(energy_j(physics, truth, rows))
        met |= {(a, b) for a, b, _ in truth.contacts if "ball" in a}
        assert truth.visible.all()
        radius = truth.extent_m[rows, 0] / 2.0
        assert (np.abs(truth.position[rows, :2]) < np.array(scenario.half_m) - radius[:, None] + 1e-3).all()
        assert np.abs(truth.position[rows, 2] - radius).max() < 0.01  # a struck ball may hop by millimetres
    assert sum("ball" in a and "ball" in b for a, b in met) >= 2
    assert any("fence" in b for _, b in met)
    assert max(np.diff(energy[LAUNCHED:])) < 1e-9 * energy[LAUNCHED]  # rounding
    assert 0.0 < energy[-1] < energy[LAUNCHED]
    spin = np.linalg.norm(truth.angular_velocity[rows], axis=1) * radius
    speed = np.linalg.norm(truth.linear_velocity[rows, :2], axis=1)
    # those that still move, and were not struck just now, roll
    assert np.median(np.abs(spin - speed)) < 0.05


def test_balls_differ_in_mass_bounce_and_grip(physics: BulletPhysics) -> None:
    physics.reset(Billiards(bodies=4, launched=2), seed=0)
    balls = [spec for spec in physics.specs if spec.kind == "ball"]
    for field in ("mass_kg", "restitution", "friction", "rolling_friction"):
        assert len({getattr(ball, field) for ball in balls}) == 4


def test_ghostly_balls_go_through_those_that_lie_still_and_rest_on_the_table(physics: BulletPhysics) -> None:
    physics.reset(Billiards(bodies=4, launched=2, ghostly=True), seed=0)
    started = physics.truth()
    still = [spec.name for spec in physics.specs if spec.passes]
    rows = [started.names.index(name) for name in still]
    launched = [i for i, name in enumerate(started.names) if name.startswith("ball") and i not in rows]
    assert len(still) == len(launched) == 2
    inside = False
    for _ in range(20 * SECONDS):
        physics.step(None)
        truth = physics.truth()
        apart = np.linalg.norm(truth.position[rows][:, None] - truth.position[launched][None], axis=-1)
        inside |= bool((apart < 0.5 * truth.extent_m[rows, :1]).any())
        assert not {frozenset(pair[:2]) for pair in truth.contacts} & {
            frozenset((name, truth.names[other])) for name in still for other in launched
        }
    assert inside
    assert truth.position[rows] == pytest.approx(started.position[rows], abs=1e-3)
    assert (truth.position[launched, 2] > 0.05).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bodies": 1}, "bodies is 1, expected 2 to 40"),
        ({"bodies": 3, "launched": 4}, r"launched is 4, expected 1 to bodies \(3\)"),
        ({"launched": 0}, "launched is 0"),
        ({"duration_s": -1.0}, "duration_s is -1"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Billiards(**fields)  # type: ignore[arg-type]
