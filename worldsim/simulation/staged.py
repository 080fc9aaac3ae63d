"""The half of a simulated world that no engine owns: frames of drivers, sensors, task and truth on a stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from worldsim.contracts.physics import Physics
from worldsim.contracts.scenario import Scenario
from worldsim.contracts.sensor import Sensor
from worldsim.errors import SimulationError
from worldsim.simulation.cast import Cast, Eyes
from worldsim.simulation.drivers.driver import Actuator, Driver, SavedDriver, SceneView, bounded
from worldsim.simulation.engine import Contact, Engine, PinholeCamera, States
from worldsim.simulation.sensors import Detector
from worldsim.simulation.sight import line_of_sight
from worldsim.simulation.stage import Stage
from worldsim.simulation.task import TaskStep
from worldsim.simulation.truths import with_contacts, with_containments
from worldsim.types.observation import Observation, Viewpoints
from worldsim.types.truth import WorldTruth

FRAME_S = 0.05
"""Length of an agent's frame, s."""


class Snapshot(NamedTuple):
    """Everything that changes, at one moment of one episode."""

    engine: Any
    drivers: tuple[SavedDriver, ...]
    generators: tuple[dict[str, Any], ...]
    task: dict[str, Any] | None
    frame: dict[str, Any]


class StagedPhysics(Physics, Stage):
    """A world of bodies, drivers, sensors and a task over any `Engine`.

    Everything is drawn in a frame once, at its end, so `observe` and `truth` may be asked as often as wanted.

    Attributes:
        cast, eyes: who is in the scene, and from where it is watched, once it is built.
        notes_touches: whether the truth lists who touched the commanded body, or anybody where the scenario watches
            contacts, within a frame and no longer at its end. That costs a look at contacts in every engine step (a
            task that minds bumps takes one anyway); who asks for no truth may switch it off.
    """

    def __init__(self, engine: Engine, sensor: Sensor | None = None, frame_s: float = FRAME_S) -> None:
        """Take charge of `engine`; a frame lasts `frame_s`, rounded to whole steps of the engine."""
        super().__init__(engine)
        self.substeps = max(1, round(frame_s / engine.time_step_s))
        whole_s = self.substeps * engine.time_step_s
        self.frame_s = frame_s if math.isclose(frame_s, whole_s, rel_tol=1e-9) else whole_s
        self.sensor: Sensor = sensor if sensor is not None else Detector()
        self.notes_touches = True
        self._empty()

    def _empty(self) -> None:
        self._strike()
        self.cast, self.eyes = Cast.of((), ()), Eyes.of((), {})
        self._intruders: list[Driver] = []
        self._generators: list[np.random.Generator] = []
        self._time_s = 0.0
        self._steps = 0
        self._command: tuple[float, ...] = ()
        self.last_task_step = TaskStep(0.0, False, {})
        self._bumped: frozenset[str] = frozenset()
        self._touched: frozenset[tuple[int, int]] = frozenset()
        self._states: States | None = None
        self._truth: WorldTruth | None = None
        self._truth_complete = False
        self._observation: Observation | None = None
        self._start: Snapshot | None = None
        self.episode = object()  # another one in every episode

    # ------------------------------------------------------------------ the Physics contract

    def reset(self, scenario: Scenario, seed: int) -> None:
        """Build `scenario` anew; equal seeds give equal worlds, bit for bit, in this process and in any other."""
        self.engine.clear()
        self._empty()
        scene, *streams = np.random.SeedSequence(seed).spawn(2)
        scenario.build(self, np.random.default_rng(scene))
        self._generators = [np.random.default_rng(s) for s in streams[0].spawn(len(self._drivers) + 1)]
        self.cast, self.eyes = Cast.of(self.specs, self._listed), Eyes.of(self._cameras, self._index)
        self._intruders = [driver for driver in self._drivers if driver.is_intruder]
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

    def step(self, action: Float[np.ndarray, " U"] | None) -> None:
        """Advance one frame under `action`.

        Raises:
            SimulationError: there was no reset, or the action is not finite.
        """
        if self._states is None:
            raise SimulationError("physics: step() before reset(). Call reset(scenario, seed) first.")
        drives, engine = self._decided(action), self.engine
        felt, watching = self._felt(), self._watching and self.notes_touches
        bumped: set[int] = set()
        touched: set[tuple[int, int]] = set()
        for _ in range(self.substeps):
            for drive in drives:
                drive(self)
            engine.advance()
            if watching:
                touched.update((c.a, c.b) for c in engine.contacts())
            if felt is not None:
                bumped |= engine.touching(felt)
        self._arrive()
        self._bumped = frozenset([self.cast.names[i] for i in bumped & self.cast.listed]) if bumped else frozenset()
        self._touched = frozenset(touched)
        if self.task is not None:
            # a task that does not mind gets none, so that it judges alike whether or not somebody else watches
            bumps = self._bumped if self.task.minds_bumps else frozenset()
            self.last_task_step = self.task.advance(self._view(), self._held(), bumps)
        self._finish_frame()

    def _decided(self, action: Float[np.ndarray, " U"] | None) -> list[Callable[[Actuator], None]]:
        """Let every driver decide on the coming frame; return how those drive that will push in it."""
        self._command = self._checked(action)
        view = self._view()
        for driver, rng in zip(self._drivers, self._generators, strict=False):
            driver.decide(view, rng)
        return [driver.drive for driver in self._drivers if driver.acts]

    def _arrive(self) -> None:
        """Take in where everything is at the end of a frame."""
        self._steps += 1
        self._time_s = self._steps * self.frame_s
        self._states = self.engine.glance()

    def _felt(self) -> int | None:
        """Return the number of the commanded body where somebody minds what it bumps into."""
        if self.ego is None or not (self.notes_touches or (self.task is not None and self.task.minds_bumps)):
            return None
        return self._index[self.ego]

    def step_unseen(self) -> None:
        """Advance one frame without sensors, task or command: what only needs the bodies' motion is done sooner.

        `observe` and `truth` keep telling of the last frame that was seen; `state` tells of now.
        """
        self._completed_truth()
        drives = self._decided(None)
        for _ in range(self.substeps):
            for drive in drives:
                drive(self)
            self.engine.advance()
        self._arrive()

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
            tuple([driver.save() for driver in self._drivers]),
            tuple([dict(g.bit_generator.state) for g in self._generators]),  # made anew at each look
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

    # ------------------------------------------------------------------ frames

    @property
    def time_s(self) -> float:
        """Seconds since reset."""
        return self._time_s

    def picture(self, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray]:
        """Return an image [H, W, 3] uint8 and its depth [H, W], m."""
        return self.engine.picture(camera)

    def _checked(self, action: Float[np.ndarray, " U"] | None) -> tuple[float, ...]:
        if action is None:
            return (0.0, 0.0, 0.0)
        values = np.asarray(action, dtype=np.float64).ravel().tolist()
        if not all(map(math.isfinite, values)):
            raise SimulationError(f"physics: the action {values} is not finite, expected numbers in [-1, 1].")
        return tuple([bounded(value, 1.0) for value in values])

    def _view(self) -> SceneView:
        cast = self.cast
        movers = tuple([driver.body for driver in self._drivers if driver.moves])
        return SceneView(
            self._time_s, self.frame_s, cast.names, cast.kinds, self._index, self.present_states(), cast.extent_m,
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
        return frozenset([name for driver in self._drivers for name in driver.away])

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
        states, cast = self.present_states(), self.cast
        rows, viewpoints = cast.rows, self.eyes.viewpoints(states)
        present = [d.body for d in self._intruders if d.present]
        absent = self.absent()
        seen, linear, angular = self._dear(states, absent, viewpoints)
        return WorldTruth(
            time_s=self._time_s,
            names=cast.listed_names,
            kinds=cast.listed_kinds,
            position=states.position[rows],
            orientation_xyzw=states.orientation_xyzw[rows],
            linear_velocity=linear,
            angular_velocity=angular,
            extent_m=cast.extent_m[rows],
            visible=seen,
            intruder=present[-1] if present else None,
            attachments=tuple([pair for d in self._drivers for pair in d.attachments()]),
            ego=self.ego,
            appearance=cast.looks,
            viewpoints=viewpoints,
            absent=absent,
            forces=tuple([force for d in self._drivers for force in d.forces()]),
        )

    def _dear(
        self, states: States, absent: frozenset[str], viewpoints: Viewpoints
    ) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """Return what takes long to read: who is seen, and the velocities; see `Sensor`."""
        n, whole = len(self.cast.rows), self.sensor.needs_whole_truth
        seen = self._seen(absent, viewpoints) if whole else np.zeros(n, dtype=bool)
        if whole and self.sensor.needs_velocities:
            return seen, states.linear_velocity[self.cast.rows], states.angular_velocity[self.cast.rows]
        linear, angular = np.full((2, n, 3), np.nan)
        if self.ego is not None:
            row = self.cast.listed_names.index(self.ego)
            _, _, linear[row], angular[row] = self.engine.state(self._index[self.ego])
        return seen, linear, angular

    def _seen(self, absent: frozenset[str], viewpoints: Viewpoints) -> Bool[np.ndarray, " n"]:
        """Return which of the listed bodies are in the line of sight of a sensor."""
        cast, sought = self.cast, self.cast.rows_without(absent)
        states, finest = self.present_states(), self.eyes.finest_rad
        return line_of_sight(self.engine, states, cast.extent_m, sought, viewpoints, finest)[cast.rows]

    def _completed_truth(self) -> WorldTruth:
        """Return the truth with what costs a look at the engine; that is looked at only at the frame's end."""
        truth, _ = self._looked_at()
        if self._truth_complete:
            return truth
        if not self.sensor.needs_whole_truth:
            truth = replace(truth, visible=self._seen(truth.absent, truth.viewpoints))
        if not (self.sensor.needs_whole_truth and self.sensor.needs_velocities):
            states, rows = self.present_states(), self.cast.rows
            linear, angular = states.linear_velocity[rows], states.angular_velocity[rows]
            truth = replace(truth, linear_velocity=linear, angular_velocity=angular)
        cast, ego = self.cast, self._index[self.ego] if self.ego is not None else -1
        brief = {*self._touched, *((ego, self._index[name]) for name in self._bumped)}
        truth = with_contacts(truth, self.engine.contacts(), brief, cast.names, cast.listed)
        self._truth = with_containments(truth, cast.cavities) if cast.cavities else truth
        self._truth_complete = True
        return self._truth


_FRAME_FIELDS = (
    "_time_s", "_steps", "_command", "last_task_step", "_bumped", "_touched", "_states", "_truth", "_truth_complete",
    "_observation",
)  # fmt: skip
