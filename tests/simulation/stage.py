"""Small stages on an empty floor, so that a test shows one thing and is quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldsim.contracts.physics import Physics
from worldsim.contracts.scenario import Scenario
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Driver
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder
from worldsim.types.planning import Preferences
from worldsim.types.record import StepRecord

PLAIN_LOOK = (0.5, 0.4, 0.3, 0.1, 0.1, 0.1, 0.7, 0.3, 0.1, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Stage(Scenario):
    """Bodies, drivers and cameras, as given; drivers are made anew at each build."""

    bodies: tuple[BodySpec, ...]
    make_drivers: Callable[[np.random.Generator], tuple[Driver, ...]] | None = None
    cameras: tuple[CameraSpec, ...] = (CameraSpec("above", (0.0, 0.0, 6.0), 30.0),)
    ego: str | None = None
    floor: bool = True

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        assert isinstance(physics, SceneBuilder)
        if self.floor:
            floor = BodySpec("floor", "floor", (60.0, 60.0, 1.0), (0.0, 0.0, -0.5), friction=1.0, restitution=1.0)
            physics.add_body(floor, background=True)
        for body in self.bodies:
            physics.add_body(body)
        for camera in self.cameras:
            physics.add_camera(camera)
        if self.make_drivers is not None:
            for driver in self.make_drivers(rng):
                physics.add_driver(driver)
        if self.ego is not None:
            physics.set_task(None, self.ego)

    def preferences(self) -> Preferences:
        return Preferences()

    def is_over(self, record: StepRecord) -> bool:
        return False


def box(name: str, position: tuple[float, float, float], edge: float = 0.4, **fields: object) -> BodySpec:
    """Return a cube with a plain look."""
    given: dict[str, object] = {"mass_kg": 2.0, "appearance": PLAIN_LOOK, **fields}
    return BodySpec(name, "crate", (edge, edge, edge), position, **given)  # type: ignore[arg-type]


def row_of(physics: BulletPhysics, name: str) -> int:
    """Return the row of a body in the truth."""
    return physics.truth().names.index(name)


def position_of(physics: BulletPhysics, name: str) -> np.ndarray:
    """Return where a body is."""
    return physics.truth().position[row_of(physics, name)]


def velocity_of(physics: BulletPhysics, name: str) -> np.ndarray:
    """Return how fast a body moves."""
    return physics.truth().linear_velocity[row_of(physics, name)]
