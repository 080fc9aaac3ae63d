"""The half of a simulated world that no engine owns: stage, drivers, sensors, task, truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.contracts.physics import Physics
from worldsim.contracts.scenario import Scenario
from worldsim.contracts.sensor import Sensor
from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError
from worldsim.simulation.drivers.driver import Driver, SavedDriver, SceneView
from worldsim.simulation.engine import Contact, Engine, PinholeCamera, RigidState, States
from worldsim.simulation.geometry import floats3, floats4, turned
from worldsim.simulation.scene import BodySpec, CameraSpec, SceneBuilder, Vector
from worldsim.simulation.sensors import Detector
from worldsim.simulation.sight import line_of_sight
from worldsim.simulation.task import Task, TaskStep
from worldsim.simulation.truths import look_of, with_contacts, with_containments
from worldsim.types.observation import APPEARANCE_DIM, Observation, Viewpoints
from worldsim.types.truth import WorldTruth

FRAME_S = 0.05
"""Length of an agent's frame, s."""

_SETTLED_M_S = 0.05


class Snapshot(NamedTuple):
    """Everything that changes, at one moment of one episode."""

    engine: Any
    drivers: tuple[SavedDriver, ...]
    generators: tuple[dict[str, Any], ...]
    task: dict[str, Any] | None
    frame: dict[str, Any]


class StagedPhysics(Physics, SceneBuilder):
    """A world of bodies, drivers, sensors and a task over any `Engine`.

    Everything is drawn in a frame once, at its end, so `observe` and `truth` may be asked as often as wanted.
    """

    def __init__(self, engine: Engine, sensor: Sensor | None = None, frame_s: float = FRAME_S) -> None:
        """Take charge of `engine`; a frame lasts `frame_s`."""
        self.frame_s = frame_s
        self.engine = engine
        self.sensor: Sensor = sensor if sensor is not None else Detector()
        self.substeps = max(1, round(frame_s / engine.time_step_s))
        self._empty()

    # ------------------------------------------------------------------ building

    def _empty(self) -> None:
        self.specs: list[BodySpec] = []
        self._listed: list[int] = []  # the bodies that are part of the truth; the rest is background
        self._index: dict[str, int] = {}
        self._drivers: list[Driver] = []
        self._cameras: list[CameraSpec] = []
        self.task: Task | None = None
        self.ego: str | None = None
        self._generators: list[np.random.Generator] = []
        self._time_s = 0.0
        self._steps = 0
        self._command: tuple[float, ...] = ()
        self.last_task_step = TaskStep(0.0, False, {})
        self._bumped: frozenset[str] = frozenset()
        self._watching = False
        self._touched: frozenset[tuple[int, int]] = frozenset()
        self._states: States | None = None
        self._truth: WorldTruth | None = None
        self._truth_complete = False
        self._observation: Observation | None = None
        self._start: Snapshot | None = None
        self.episode = object()  # another one in every episode

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

    # ------------------------------------------------------------------ the Physics contract

    def reset(self, scenario: Scenario, seed: int) -> None:
        """Build `scenario` anew; equal seeds give equal worlds, bit for bit, in this process and in any other."""
        self.engine.clear()
        self._empty()
        scene, *streams = np.random.SeedSequence(seed).spawn(2)
        scenario.build(self, np.random.default_rng(scene))
        self._generators = [np.random.default_rng(s) for s in streams[0].spawn(len(self._drivers) + 1)]
        self._tabulate()
        token = self.engine.save()
        self.engine.load(token)  # a restored state need not equal an unrestored one: always restore
        self._states = self.engine.glance()
        if self.task is not None:
            self.task.begin(self._view())
        self._finish_frame()
        self._start = self._snapshot(token)

    def rewind(self) -> None:
        """Go back to the start of the episode: the same bytes as another reset with its seed, a hundred times sooner.

        Raises:
            SimulationError: there was no reset.
        """
        if self._start is None:
            raise SimulationError("physics: rewind() before reset(). Call reset(scenario, seed) first.")
        self.restore(self._start)

    def _tabulate(self) -> None:
        """Lay out once what does not change in an episode."""
        self._looks = np.array([look_of(self.specs[i]) for i in self._listed]).reshape(-1, APPEARANCE_DIM)
        self._extent = np.array([spec.extent_m for spec in self.specs]).reshape(-1, 3)
        self._names = tuple(spec.name for spec in self.specs)
        self._kinds = tuple(spec.kind for spec in self.specs)
        self._rows = np.array(self._listed, dtype=np.int64)
        self._listed_names = tuple(self._names[i] for i in self._listed)
        self._intruders = [driver for driver in self._drivers if driver.is_intruder]
        listed = [self.specs[i] for i in self._listed]
        self._cavities = {spec.name: spec.cavity for spec in listed if spec.cavity is not None}
        self._listed_kinds = tuple(self._kinds[i] for i in self._listed)
        self._is_listed = frozenset(self._listed)
        self._eyes = np.array([camera.position for camera in self._cameras], dtype=np.float64).reshape(-1, 3)
        self._ranges_m = np.array([camera.range_m for camera in self._cameras])
        self._mounted = [
            (k, self._index[camera.mounted_on], floats3(self._eyes[k]))
            for k, camera in enumerate(self._cameras)
            if camera.mounted_on is not None
        ]

    def step(self, action: Float[np.ndarray, " U"] | None) -> None:
        """Advance one frame under `action`.

        Raises:
            SimulationError: there was no reset, or the action is not finite.
        """
        if self._states is None:
            raise SimulationError("physics: step() before reset(). Call reset(scenario, seed) first.")
        self._command = self._checked(action)
        view = self._view()
        for driver, rng in zip(self._drivers, self._generators, strict=False):
            driver.decide(view, rng)
        bumped: set[int] = set()
        touched: set[tuple[int, int]] = set()
        ego = self._index[self.ego] if self.ego is not None else None
        drives, engine = [driver.drive for driver in self._drivers], self.engine
        for _ in range(self.substeps):
            for drive in drives:
                drive(self)
            engine.advance()
            if self._watching:
                touched.update((c.a, c.b) for c in engine.contacts())
            if ego is not None:
                bumped |= engine.touching(ego)
        self._steps += 1
        self._time_s = self._steps * self.frame_s
        self._states = self.engine.glance()
        self._bumped = frozenset(self._names[i] for i in bumped & self._is_listed)
        self._touched = frozenset(touched)
        if self.task is not None:
            self.last_task_step = self.task.advance(self._view(), self._held(), self._bumped)
        self._finish_frame()

    def step_unseen(self) -> None:
        """Advance one frame without sensors, task or command: what only needs the bodies' motion is done sooner.

        `observe` and `truth` keep telling of the last frame that was seen; `state` tells of now.
        """
        self._completed_truth()
        self._command = self._checked(None)
        view = self._view()
        for driver, rng in zip(self._drivers, self._generators, strict=False):
            driver.decide(view, rng)
        for _ in range(self.substeps):
            for driver in self._drivers:
                driver.drive(self)
            self.engine.advance()
        self._steps += 1
        self._time_s = self._steps * self.frame_s
        self._states = self.engine.glance()

    def observe(self) -> Observation:
        """Return what the sensors gave at the end of the last frame."""
        if self._states is None:
            raise SimulationError("physics: observe() before reset(). Call reset(scenario, seed) first.")
        return self._looked_at()[1]

    def contacts(self) -> list[Contact]:
        """Return who presses on whom after the last engine step, by the numbers of the bodies. Scoring only."""
        return self.engine.contacts()

    def truth(self) -> WorldTruth:
        """Return what is so now, contacts included."""
        if self._states is None:
            raise SimulationError("physics: truth() before reset(). Call reset(scenario, seed) first.")
        return self._completed_truth()

    def snapshot(self) -> Snapshot:
        """Return a token of the present state, good until the next reset.

        The world itself goes on from the token too, so that going on and coming back give the same bytes.
        """
        self.truth()
        token = self.engine.save()
        self.engine.load(token)
        return self._snapshot(token)

    def _snapshot(self, token: Any) -> Snapshot:
        self._looked_at()
        _ = self.present_states().linear_velocity  # read now, while the engine is at this moment
        return Snapshot(
            token,
            tuple(driver.save() for driver in self._drivers),
            tuple(dict(g.bit_generator.state) for g in self._generators),  # made anew at each look
            self.task.save() if self.task is not None else None,
            {name: getattr(self, name) for name in _FRAME_FIELDS},
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to the state of `snapshot`, bit for bit."""
        self.engine.load(snapshot.engine)
        for driver, saved in zip(self._drivers, snapshot.drivers, strict=True):
            driver.load(saved)
        for generator, state in zip(self._generators, snapshot.generators, strict=True):
            generator.bit_generator.state = state
        if self.task is not None and snapshot.task is not None:
            self.task.load(snapshot.task)
        for name, value in snapshot.frame.items():
            setattr(self, name, value)

    @property
    def drivers(self) -> tuple[Driver, ...]:
        """What moves bodies in this world."""
        return tuple(self._drivers)

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    # ------------------------------------------------------------------ what drivers may do (the Actuator protocol)

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

    # ------------------------------------------------------------------ frames

    @property
    def time_s(self) -> float:
        """Seconds since reset."""
        return self._time_s

    def viewpoints(self, states: States) -> Viewpoints:
        """Return where the sensors are."""
        positions = self._eyes.copy()
        for k, row, eye in self._mounted:
            positions[k] = states.position[row] + turned(floats4(states.orientation_xyzw[row]), eye)
        return Viewpoints(positions, self._ranges_m)

    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Return an image [H, W, 3] uint8 and its depth [H, W], m."""
        return self.engine.picture(camera)

    def _checked(self, action: Float[np.ndarray, " U"] | None) -> tuple[float, ...]:
        if action is None:
            return (0.0, 0.0, 0.0)
        values = np.asarray(action, dtype=np.float64).reshape(-1).tolist()
        if not all(map(math.isfinite, values)):
            raise SimulationError(f"physics: the action {values} is not finite, expected numbers in [-1, 1].")
        return tuple(min(max(value, -1.0), 1.0) for value in values)

    def _view(self) -> SceneView:
        movers = tuple(driver.body for driver in self._drivers if driver.moves)
        return SceneView(
            self._time_s, self.frame_s, self._names, self._kinds, self._index, self.present_states(), self._extent,
            movers, self._command, self.ego,
        )  # fmt: skip

    def present_states(self) -> States:
        """Return the states of all bodies after the last frame."""
        if self._states is None:
            raise SimulationError("physics: nothing was built yet. Call reset(scenario, seed) first.")
        return self._states

    def _held(self) -> frozenset[str]:
        return frozenset(b for d in self._drivers for a, b in d.attachments() if a == self.ego)

    def absent(self) -> frozenset[str]:
        """Return the names of the bodies that are not in the scene now."""
        return frozenset([d.body for d in self._intruders if not d.present])

    def rows_without(self, absent: frozenset[str]) -> Int[np.ndarray, " n"]:
        """Return the numbers of the bodies of the truth but for `absent` ones and the commanded one."""
        left_out = absent | {self.ego}
        return np.array([i for i in self._listed if self._names[i] not in left_out], dtype=np.int64)

    def _finish_frame(self) -> None:
        """Look at the end of a frame; a sensor that draws nothing is only asked when somebody wants to know."""
        self._truth, self._observation, self._truth_complete = None, None, False
        if self.sensor.needs_whole_truth:
            self._looked_at()

    def _looked_at(self) -> tuple[WorldTruth, Observation]:
        """Return the truth of the last frame that was seen, and what the sensors gave of it."""
        if self._truth is None or self._observation is None:
            self._truth = self._look()
            task = self.task.observation() if self.task is not None else None
            self._observation = replace(self.sensor.observe(self._truth, self._generators[-1]), task=task)
        return self._truth, self._observation

    def _look(self) -> WorldTruth:
        """Return what is so at the end of the frame, without contacts."""
        states, rows = self.present_states(), self._rows
        viewpoints = self.viewpoints(states)
        present = [d.body for d in self._intruders if d.present]
        absent = self.absent()
        seen, linear, angular = self._dear(states, absent, viewpoints)
        return WorldTruth(
            time_s=self._time_s,
            names=self._listed_names,
            kinds=self._listed_kinds,
            position=states.position[rows],
            orientation_xyzw=states.orientation_xyzw[rows],
            linear_velocity=linear,
            angular_velocity=angular,
            extent_m=self._extent[rows],
            visible=seen,
            intruder=present[-1] if present else None,
            attachments=tuple(pair for d in self._drivers for pair in d.attachments()),
            ego=self.ego,
            appearance=self._looks,
            viewpoints=viewpoints,
            absent=absent,
            forces=tuple(force for d in self._drivers for force in d.forces()),
        )

    def _dear(
        self, states: States, absent: frozenset[str], viewpoints: Viewpoints
    ) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """Return what takes long to read: who is seen, and the velocities; see `Sensor.needs_whole_truth`."""
        if self.sensor.needs_whole_truth:
            seen = self._seen(absent, viewpoints)
            return seen, states.linear_velocity[self._rows], states.angular_velocity[self._rows]
        linear, angular = np.full((2, len(self._rows), 3), np.nan)
        if self.ego is not None:
            row = self._listed_names.index(self.ego)
            _, _, linear[row], angular[row] = self.engine.state(self._index[self.ego])
        return np.zeros(len(self._rows), dtype=bool), linear, angular

    def _seen(self, absent: frozenset[str], viewpoints: Viewpoints) -> Bool[np.ndarray, " n"]:
        """Return which of the listed bodies are in the line of sight of a sensor."""
        sought = np.array([i for i in self._listed if self._names[i] not in absent], dtype=np.int64)
        finest = np.array([camera.finest_rad for camera in self._cameras])
        return line_of_sight(self.engine, self.present_states(), self._extent, sought, viewpoints, finest)[self._rows]

    def _completed_truth(self) -> WorldTruth:
        """Return the truth with what costs a look at the engine; that is looked at only at the frame's end."""
        truth, _ = self._looked_at()
        if self._truth_complete:
            return truth
        if not self.sensor.needs_whole_truth:
            states, rows = self.present_states(), self._rows
            truth = replace(
                truth,
                visible=self._seen(truth.absent, truth.viewpoints),
                linear_velocity=states.linear_velocity[rows],
                angular_velocity=states.angular_velocity[rows],
            )
        ego = self._index[self.ego] if self.ego is not None else -1
        brief = {*self._touched, *((ego, self._index[name]) for name in self._bumped)}
        truth = with_contacts(truth, self.engine.contacts(), brief, self._names, self._is_listed)
        self._truth = with_containments(truth, self._cavities) if self._cavities else truth
        self._truth_complete = True
        return self._truth


_FRAME_FIELDS = (
    "_time_s", "_steps", "_command", "last_task_step", "_bumped", "_touched", "_states", "_truth", "_truth_complete",
    "_observation",
)  # fmt: skip
