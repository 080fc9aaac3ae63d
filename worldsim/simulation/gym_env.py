"""The Gymnasium environment over a true world."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn

import gymnasium
import numpy as np
from gymnasium import spaces

from worldsim.contracts.scenario import Scenario
from worldsim.contracts.sensor import Sensor
from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError, WorldsimError
from worldsim.plugins import load_plugin
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.exact_packing import AXES, ExactPacker
from worldsim.simulation.geometry import floats3, floats4
from worldsim.simulation.mujoco_engine import MujocoPhysics
from worldsim.simulation.packing import Packer
from worldsim.simulation.presets import EnginePreset
from worldsim.simulation.render import EYE_SIZE, OVERVIEW, PLAN, eye, following
from worldsim.simulation.sensors import Detector, ExactSensor
from worldsim.simulation.staged import FRAME_S, StagedPhysics
from worldsim.types.observation import APPEARANCE_DIM, EgoState, Observation, Viewpoints

OBSERVATION_MODES = ("detections", "state", "rgbd")
VIEWS = ("overview", "plan", "following")
ENGINES = ("bullet", "mujoco")

_ROWS = {
    "position": 3,
    "orientation_xyzw": 4,
    "extent_m": 3,
    "colour": 3,
    "appearance": APPEARANCE_DIM,
    "covariance": 36,
}
_BOUND = {
    "position": 100.0,
    "orientation_xyzw": 1.01,
    "extent_m": 100.0,
    "colour": 1.0,
    "appearance": 10.0,
    "covariance": 10.0,
}
_EGO = {
    "ego_position": (3, 100.0),
    "ego_orientation_xyzw": (4, 1.01),
    "ego_linear_velocity": (3, 50.0),
    "ego_angular_velocity": (3, 100.0),
    "ego_extent_m": (3, 100.0),
    "ego_covariance": (36, 10.0),
}
_CAMERA = {"camera_position": (3, 100.0), "camera_orientation_xyzw": (4, 1.01)}
_DEPTH_RANGE_M = 16.0


class WorldsimEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """A scenario as an environment: flat padded ``Dict`` observations, a ``Box`` action for the commanded body.

    Row fields hold up to `max_objects` rows, flattened (a row field of width w is one box of ``max_objects * w``),
    and ``mask`` says which rows are real; `Observation.from_gym` reads them. Everything is float32 and finite.

    Observation modes: ``detections`` is what a real detector gives; ``state`` has the same keys without noise,
    misses, clutter and occlusion, its rows in a fixed order; ``rgbd`` adds the robot's own camera.

    Example:
        >>> import gymnasium, worldsim
        >>> env = gymnasium.make("worldsim/Warehouse-v0", observation="detections")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        >>> env.close()
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "human"],
        "render_fps": 20,
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(  # noqa: PLR0913 - the keywords of gymnasium.make
        self,
        scenario: str | Scenario = "Warehouse",
        observation: str = "detections",
        render_mode: str | None = None,
        expose_truth: bool = False,
        max_objects: int = 96,
        preset: str | EnginePreset = "accurate",
        sensor: Sensor | None = None,
        view: str = "overview",
        frame_s: float = FRAME_S,
        engine: str = "bullet",
        **scenario_arguments: Any,
    ) -> None:
        """Make the environment; the world itself is built by `reset`.

        Args:
            scenario: name of a plug-in of the group ``worldsim.scenarios``, or a scenario.
            observation: one of `OBSERVATION_MODES`.
            render_mode: None, ``rgb_array`` or ``human``.
            expose_truth: put the `WorldTruth` into ``info["truth"]`` (scoring only). Without it, exact states come
                sooner: a truth that is asked for all the same lists the own body's contacts at the end of the frame
                alone, unless the task minds those within it.
            max_objects: rows of the padded fields.
            preset: of Bullet; MuJoCo has none.
            sensor: instead of the default `Detector`; not together with ``observation="state"``.
            view: one of `VIEWS`, for `render`.
            frame_s: length of a step, s, rounded to whole engine steps (1/240 s each under the given presets).
            engine: one of `ENGINES`: what computes the true world.
            scenario_arguments: fields of the scenario, where `scenario` is a name.

        Raises:
            ConfigurationError: an argument cannot work.
            UnknownNameError: no such scenario, argument, observation mode, render mode, view or engine.
        """
        for what, name, known in (
            ("observation mode", observation, OBSERVATION_MODES),
            ("render mode", render_mode or "rgb_array", ("rgb_array", "human")),
            ("view", view, VIEWS),
            ("engine", engine, ENGINES),
        ):
            if name not in known:
                raise UnknownNameError(what, name, known)
        if max_objects < 1:
            raise ConfigurationError(f"WorldsimEnv: max_objects is {max_objects}, expected at least 1.")
        if not 0.0 < frame_s <= 1.0:
            raise ConfigurationError(f"WorldsimEnv: frame_s is {frame_s}, expected a number in (0, 1].")
        if sensor is not None and not isinstance(sensor, Sensor):
            raise ConfigurationError(f"WorldsimEnv: sensor is {sensor!r}, expected a Sensor, for example Detector().")
        if observation == "state" and sensor is not None:
            raise ConfigurationError(
                "WorldsimEnv: observation='state' is exact; leave `sensor` out, or ask for detections."
            )
        self.scenario = self._own_scenario = _scenario(scenario, scenario_arguments)
        self.observation_mode, self.render_mode, self.expose_truth = observation, render_mode, expose_truth
        self.max_objects, self.view = max_objects, view
        self.physics = _world(
            engine, preset, ExactSensor() if observation == "state" else sensor or Detector(), frame_s
        )
        self.physics.notes_touches = expose_truth or observation != "state"
        self._window: Any = None
        self._world: tuple[int, Scenario] | None = None
        self.metadata = {**self.metadata, "render_fps": round(1.0 / self.physics.frame_s)}  # type: ignore[misc]
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.physics.reset(self.scenario, seed=0)  # what the task and the cameras report is known once a world stands
        self._keys_of_task = sorted(self.physics.observe().task or {})
        eyes = self.physics.observe().viewpoints
        self._viewpoints, self._narrow = len(eyes.position), eyes.axis is not None
        self._boxes = self._make_boxes()
        changing = [*ExactPacker.CHANGING, *([AXES] if self._narrow else []), *self._keys_of_task]
        numbers = {name: box for name, box in self._boxes.items() if box.dtype == np.float32}
        self.packer = Packer({**{name: numbers[name] for name in changing}, **numbers})
        self._ones = np.ones(max_objects)
        self._exact = ExactPacker(self.packer, self._keys_of_task, self._packed) if observation == "state" else None
        self.observation_space = spaces.Dict(dict(self._boxes))  # type: ignore[assignment]  # Space is invariant

    def _make_boxes(self) -> dict[str, spaces.Box]:
        m = self.max_objects
        boxes = {"time_s": _box(1, 1e6), "mask": _box(m, 1.0, 0.0)}
        for name, width in _ROWS.items():
            positive = name in ("extent_m", "colour")
            boxes[name] = _box(m * width, _BOUND[name], 0.0 if positive else None)
        boxes["viewpoint_position"] = _box(self._viewpoints * 3, 100.0)
        boxes["viewpoint_range_m"] = _box(self._viewpoints, 1000.0, 0.0)
        if self._narrow:
            boxes[AXES] = _box(self._viewpoints * 3, 1.01)
            boxes["viewpoint_half_angle_rad"] = _box(self._viewpoints, math.pi, 0.0)
        for name, (width, bound) in _EGO.items():
            boxes[name] = _box(width, bound)
        for name, value in (self.physics.observe().task or {}).items():
            boxes[name] = _box(len(value), 100.0)
        if self.observation_mode == "rgbd":
            boxes["camera_rgb"] = spaces.Box(0, 255, (EYE_SIZE, EYE_SIZE, 3), np.uint8)
            boxes["camera_depth_m"] = _box(EYE_SIZE * EYE_SIZE, _DEPTH_RANGE_M, 0.0)
            for name, (width, bound) in _CAMERA.items():
                boxes[name] = _box(width, bound)
        return boxes

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode; the same seed gives the same bytes.

        The world is built anew, unless it is the one of the last episode: then it is put back, which takes a
        hundredth of the time.

        Args:
            seed: of everything random; drawn from the environment's own generator where None.
            options: fields of the scenario for this episode alone, for example ``{"variation": "held_out"}``.

        Raises:
            UnknownNameError: the scenario has no such field.
            ConfigurationError: a value cannot work, or the world that it asks for does not fit the observation space.
        """
        super().reset(seed=seed)
        self.scenario = self._asked_for(options or {})
        world = (int(self.np_random.integers(2**31)), self.scenario)
        if world == self._world:
            self.physics.rewind()
        else:
            self._world = None  # until the new world stands
            self.physics.reset(self.scenario, world[0])
            self._check_fits(options or {})
            self._world = world
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Advance one frame.

        Raises:
            ConfigurationError: `action` is not of the action space's shape.
            SimulationError: it is not finite, or there was no reset.
        """
        if np.shape(action) != self.action_space.shape:
            raise ConfigurationError(
                f"WorldsimEnv: the action has shape {np.shape(action)}, expected {self.action_space.shape}: forward, "
                "turn to the left, and clamp, each in [-1, 1]."
            )
        if self._world is None:
            raise SimulationError("WorldsimEnv: step() before reset(). Call reset() first, after a close() too.")
        self.physics.step(action)
        judged = self.physics.last_task_step
        truncated = bool(self.physics.time_s >= self._duration_s() - 1e-9)
        if self.render_mode == "human":
            self.render()
        return self._observation(), judged.reward, judged.terminated, truncated, self._info()

    def _asked_for(self, options: dict[str, Any]) -> Scenario:
        """Return the scenario of the environment, with the fields that `options` name set for one episode."""
        if not options:
            return self._own_scenario
        known = [field.name for field in dataclasses.fields(self._own_scenario)]  # type: ignore[arg-type]
        for name in options:
            if name not in known:
                raise UnknownNameError(f"option of reset (field of {type(self._own_scenario).__name__})", name, known)
        with _refusals(type(self._own_scenario).__name__, options):
            made: Scenario = dataclasses.replace(self._own_scenario, **options)  # type: ignore[type-var]
        return made

    def _check_fits(self, options: dict[str, Any]) -> None:
        seen = self.physics.observe()
        lengths = {name: (len(value),) for name, value in (seen.task or {}).items()}
        wanted = {name: self._boxes[name].shape for name in self._keys_of_task}
        if lengths != wanted or len(seen.viewpoints.position) != self._viewpoints:
            raise ConfigurationError(
                f"WorldsimEnv: options {options} ask for a world whose observations are of another shape; make an "
                "environment of its own for it."
            )

    def _duration_s(self) -> float:
        return float(getattr(self.scenario, "duration_s", np.inf))

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = dict(self.physics.last_task_step.events)
        if self.expose_truth:
            info["truth"] = self.physics.truth()
        return info

    def _observation(self) -> dict[str, np.ndarray]:
        return self._packed() if self._exact is None else self._exact.pack(self.physics)

    def _packed(self) -> dict[str, np.ndarray]:
        found = self.physics.observe()
        d = found.detections
        n = min(len(d), self.max_objects)
        fields = {
            "time_s": np.array([found.time_s]),
            "mask": self._ones[:n],
            "position": d.position[:n],
            "orientation_xyzw": d.orientation_xyzw[:n],
            "extent_m": d.extent_m[:n],
            "colour": d.colour[:n],
            "appearance": d.appearance[:n],
            "covariance": d.covariance[:n],
            "viewpoint_position": found.viewpoints.position,
            "viewpoint_range_m": found.viewpoints.range_m,
        }
        fields |= self._cones(found.viewpoints)
        if found.ego is not None:
            fields |= _ego_fields(found.ego)
        fields |= found.task or {}
        if self.observation_mode != "rgbd":
            return self.packer.pack(fields)
        fields |= self._camera_fields(found)
        return {**self.packer.pack(fields), "camera_rgb": np.array(fields["camera_rgb"])}

    def _cones(self, eyes: Viewpoints) -> dict[str, np.ndarray]:
        """Return where viewpoints look and how wide, where some world of the environment's has a field of view.

        Raises:
            ConfigurationError: this world has one, and the first, after which the space was made, had none.
        """
        if not self._narrow:
            if eyes.axis is not None:
                raise ConfigurationError(
                    f"{type(self.scenario).__name__}: a camera of this world has a field of view, and those of the "
                    "world of seed 0 have none. Give each camera an axis in every world; half_angle_rad=math.pi looks "
                    "all around."
                )
            return {}
        axis, angle = np.tile([1.0, 0.0, 0.0], (self._viewpoints, 1)), np.full(self._viewpoints, math.pi)
        if eyes.axis is not None and eyes.half_angle_rad is not None:
            axis[: len(eyes.axis)], angle[: len(eyes.axis)] = eyes.axis, eyes.half_angle_rad
        return {AXES: axis, "viewpoint_half_angle_rad": angle}

    def _camera_fields(self, found: Observation) -> dict[str, np.ndarray]:
        truth = self.physics.truth()
        turn = truth.orientation_xyzw[truth.names.index(str(truth.ego))]
        camera = eye(floats3(found.viewpoints.position[0]), floats4(turn))
        rgb, depth = self.physics.picture(camera)
        return {
            "camera_rgb": rgb,
            "camera_depth_m": depth.reshape(-1),
            "camera_position": np.array(camera.position),
            "camera_orientation_xyzw": turn,
        }

    def render(self) -> np.ndarray | None:
        """Return a picture of the true scene (``rgb_array``), or show it (``human``)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without render_mode; make the environment with 'rgb_array'.")
            return None
        overview = getattr(self.scenario, "overview", OVERVIEW)  # a scenario of another size brings its own camera
        camera = {"overview": overview, "plan": PLAN}.get(self.view) or following(self.physics.truth())
        picture = self.physics.picture(camera)[0]
        if self.render_mode == "rgb_array":
            return picture
        self._show(picture)
        return None

    def _show(self, picture: np.ndarray) -> None:
        import matplotlib.pyplot as plt  # only a window needs it

        if self._window is None:
            _, axes = plt.subplots(num="worldsim")
            axes.set_axis_off()
            self._window = axes.imshow(picture)
            plt.show(block=False)
        self._window.set_data(picture)
        self._window.figure.canvas.draw_idle()
        self._window.figure.canvas.flush_events()

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: the engine's world lies outside Python.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "WorldsimEnv: an environment cannot be copied or pickled, since its engine runs outside Python. Make a new "
            "one and reset it with the same seed; or go back in this one with env.unwrapped.physics.snapshot() and "
            "restore(snapshot)."
        )

    def close(self) -> None:
        """Free the engine and the window; a later reset opens the engine again."""
        self._world = None
        self.physics.close()
        if self._window is not None:
            import matplotlib.pyplot as plt

            plt.close(self._window.figure)
            self._window = None


def _scenario(scenario: str | Scenario, arguments: dict[str, Any]) -> Scenario:
    if isinstance(scenario, Scenario):
        if arguments:
            raise ConfigurationError(
                f"WorldsimEnv: set {sorted(arguments)} in the scenario, since it is given ready made."
            )
        return scenario
    if not isinstance(scenario, str):
        raise ConfigurationError(
            f"WorldsimEnv: scenario is {scenario!r}, expected a name (`worldsim list scenarios`) or a scenario, which "
            "is made by calling its class."
        )
    found = load_plugin("worldsim.scenarios", scenario, Scenario)  # type: ignore[type-abstract]
    known = getattr(found, "__dataclass_fields__", arguments)
    own = [name for name in inspect.signature(WorldsimEnv).parameters if name != "scenario_arguments"]
    for name in arguments:
        if name not in known:
            raise UnknownNameError(f"argument of WorldsimEnv and field of scenario {scenario}", name, [*known, *own])
    with _refusals(scenario, arguments):
        return found(**arguments)


@contextlib.contextmanager
def _refusals(scenario: str, fields: dict[str, Any]) -> Iterator[None]:
    """Say of which fields a scenario could make nothing, where it says so by an error that is none of ours."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(error, WorldsimError):
            raise
        told = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        raise ConfigurationError(f"WorldsimEnv: scenario {scenario} refuses {told}: {error}.") from error


def _ego_fields(ego: EgoState) -> dict[str, np.ndarray]:
    return {
        "ego_position": ego.position,
        "ego_orientation_xyzw": ego.orientation_xyzw,
        "ego_linear_velocity": ego.linear_velocity,
        "ego_angular_velocity": ego.angular_velocity,
        "ego_extent_m": ego.extent_m,
        "ego_covariance": ego.covariance.reshape(-1),
    }


def _world(engine: str, preset: str | EnginePreset, sensor: Sensor, frame_s: float) -> StagedPhysics:
    """Return an empty world in that engine."""
    if engine == "bullet":
        return BulletPhysics(preset, sensor, frame_s)
    if preset != "accurate":
        raise ConfigurationError(f"WorldsimEnv: preset is {preset!r}, but presets are Bullet's; leave it with MuJoCo.")
    return MujocoPhysics(sensor, frame_s=frame_s)


def _box(size: int, bound: float, low: float | None = None) -> spaces.Box:
    return spaces.Box(-bound if low is None else low, bound, (size,), np.float32)
