"""The stage: what a scenario puts up on an engine, and what may be done to it by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError
from worldsim.simulation.drivers.driver import Driver
from worldsim.simulation.engine import Engine, RigidState
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.task import Task

__all__ = ["Stage"]

_SETTLED_M_S = 0.05


class Stage(SceneBuilder):
    """Bodies, drivers, cameras and a task over any `Engine`: it is furnished by a scenario, and acted on by drivers.

    Attributes:
        engine: holds the bodies.
        specs: of the bodies, in the order they were added, which is the engine's.
        task, ego: what is asked, and of whom.
    """

    def __init__(self, engine: Engine) -> None:
        """Start with an empty stage over `engine`."""
        self.engine = engine
        self._strike()

    def _strike(self) -> None:
        """Forget what was put up; the engine is cleared by whoever asks for a new scene."""
        self.specs: list[BodySpec] = []
        self._listed: list[int] = []  # the bodies that are part of the truth; the rest is background
        self._index: dict[str, int] = {}
        self._drivers: list[Driver] = []
        self._cameras: list[CameraSpec] = []
        self._watching = False
        self.task: Task | None = None
        self.ego: str | None = None

    # ------------------------------------------------------------------ what a scenario does (SceneBuilder)

    def add_body(self, spec: BodySpec, *, background: bool = False) -> None:
        """Put a body into the world.

        Raises:
            ConfigurationError: a body of that name is there already.
        """
        if spec.name in self._index:
            raise ConfigurationError(f"scene: two bodies are called {spec.name!r}; names must be unique.")
        number = self.engine.add(spec)
        self._index[spec.name] = number
        self.specs.append(spec)
        if not background:
            self._listed.append(number)

    def add_driver(self, driver: Driver) -> None:
        """Let `driver` move its body."""
        self._known(driver.body)
        self._drivers.append(driver)

    def add_camera(self, camera: CameraSpec) -> None:
        """Add a viewpoint of the sensors."""
        if camera.mounted_on is not None:
            self._known(camera.mounted_on)
        self._cameras.append(camera)

    def set_task(self, task: Task | None, ego: str) -> None:
        """Say which body is commanded, and what it is asked to do (None: nothing)."""
        self._known(ego)
        self.task, self.ego = task, ego

    def settle(self, duration_s: float, holding: Sequence[Driver] = ()) -> None:
        """Let everything come to rest; the drivers in `holding` push meanwhile, and decide nothing.

        Raises:
            SimulationError: something still moves afterwards; the scene was built in a way that cannot stand.
        """
        for _ in range(round(duration_s / self.engine.time_step_s)):
            for driver in holding:
                driver.drive(self)
            self.engine.advance()
        speed = np.linalg.norm(self.engine.states().linear_velocity, axis=1)
        restless = [self.specs[i].name for i in np.flatnonzero(speed > _SETTLED_M_S)]
        if restless:
            raise SimulationError(
                f"scene: {restless} still move {duration_s:g} s after they were placed. Place them without overlap and "
                "on something, or let them settle longer."
            )

    def watch_contacts(self) -> None:
        """List in the truth who touched at any step of a frame; it costs a look at all contacts a step."""
        self._watching = True

    def _known(self, name: str) -> int:
        if name not in self._index:
            raise UnknownNameError("body", name, self._index)
        return self._index[name]

    # ------------------------------------------------------------------ what drivers may do (the Actuator protocol)

    @property
    def step_s(self) -> float:
        """Length of an engine step, s."""
        return self.engine.time_step_s

    def state(self, name: str) -> RigidState:
        """Return the present state of `name`."""
        return self.engine.state(self._index[name])

    def push(self, name: str, force: Vector, torque: Vector) -> None:
        """Push `name` during the next engine step."""
        self.engine.push(self._index[name], force, torque)

    def aim(self, name: str, angles_rad: Mapping[str, float]) -> None:
        """Turn the limbs of `name` towards angles."""
        self.engine.aim(self._index[name], angles_rad)

    def withdraw(self, name: str, position: Vector) -> None:
        """Put `name` down at rest somewhere out of sight."""
        self.engine.place(self._index[name], position, (0.0, 0.0, 0.0, 1.0))
