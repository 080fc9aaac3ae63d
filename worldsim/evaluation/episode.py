"""Runs one episode and writes down everything that a report or a score needs.

This is the one place where the truth is read while a world model runs. It is read *beside* the loop: the world model
and the agent get the observation alone, the truth goes straight into the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from worldsim.contracts.agent import Agent
from worldsim.simulation.engine import PinholeCamera
from worldsim.simulation.render import OVERVIEW
from worldsim.types.observation import Observation
from worldsim.types.planning import Plan
from worldsim.types.record import Event, StepRecord
from worldsim.types.truth import WorldTruth

if TYPE_CHECKING:
    from worldsim.loop import WorldModel

FILM_CAMERA = OVERVIEW._replace(width=720, height=450, shadows=False)
"""The whole hall, in the size of a film's left half."""


class Environment(Protocol):
    """What is asked of an environment: Gymnasium's calls (only the simulation imports Gymnasium)."""

    @property
    def unwrapped(self) -> Any:
        """The environment without wrappers; its ``physics`` is the true world."""

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Advance one frame."""


@dataclass(frozen=True, slots=True)
class BeliefSnapshot:
    """The N living objects of a belief at one moment, as NumPy copies.

    Attributes:
        object_id: [N]; model_id: N names of the models that run them; kind: N kinds of those models.
        position: [N, 3] m; position_covariance: [N, 3, 3] m^2; orientation_xyzw: [N, 4].
        linear_velocity: [N, 3] m/s; extent_m: [N, 3]; existence: [N].
    """

    object_id: Int[np.ndarray, " N"]
    model_id: tuple[str, ...]
    kind: tuple[str, ...]
    position: Float[np.ndarray, "N 3"]
    position_covariance: Float[np.ndarray, "N 3 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    linear_velocity: Float[np.ndarray, "N 3"]
    extent_m: Float[np.ndarray, "N 3"]
    existence: Float[np.ndarray, " N"]

    @classmethod
    def of(cls, world_model: WorldModel, kinds: dict[str, str]) -> BeliefSnapshot:
        """Copy the living objects out of the belief.

        Args:
            world_model: whose belief.
            kinds: model id -> kind, as far as known; what is missing is asked for and added.
        """
        belief = world_model.belief
        alive = belief.alive
        ids, models = (
            belief.object_id[alive].tolist(),
            [belief.model_ids[i] for i in belief.model_index[alive].tolist()],
        )
        for object_id, model in zip(ids, models, strict=True):
            if model not in kinds:
                kinds[model] = world_model.kind_of(object_id) or "unknown"
        return cls(
            _copy(belief.object_id[alive]),
            tuple(models),
            tuple(kinds[model] for model in models),
            _copy(belief.position[alive]),
            _copy(belief.joint_covariance[alive][:, :3, :3]),
            _copy(belief.orientation_xyzw[alive]),
            _copy(belief.linear_velocity[alive]),
            _copy(belief.extent_m[alive]),
            _copy(belief.existence[alive]),
        )

    def row_of(self, object_id: int) -> int | None:
        """Return the row of `object_id`, None where it is not alive."""
        hits = np.flatnonzero(self.object_id == object_id)
        return int(hits[0]) if len(hits) else None


@dataclass(frozen=True, slots=True)
class ForecastSnapshot:
    """Where the world model expected N objects to be, T moments ahead.

    Attributes:
        object_id: [N]; time_s: [T] absolute, s.
        position: [T, N, 3] m means; position_std: [T, N, 3] m, so that mean +- 1.645 std is the 90 % interval.
        moves: [N] False for what is held to be fixed.
    """

    object_id: Int[np.ndarray, " N"]
    time_s: Float[np.ndarray, " T"]
    position: Float[np.ndarray, "T N 3"]
    position_std: Float[np.ndarray, "T N 3"]
    moves: Bool[np.ndarray, " N"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an episode: what was so, what was seen, what was believed, what was done.

    Attributes:
        time_s: s since reset.
        truth: the true world at this moment (scoring and drawing only).
        observation: what the sensors gave, None where the log leaves it out.
        record: what the world model's step did, None without a world model.
        belief: the belief after the step, None without a world model.
        forecast: where things are expected to go, on every n-th frame.
        plan: what the agent's action rested on, None where it does not plan.
        action: [U] the action chosen in this frame; reward: what it earned.
        physics_s, model_s, plan_s: wall-clock seconds of the environment, the world model and the agent.
        deliveries: parcels delivered so far.
        image: [H, W, 3] uint8 picture of the true scene, on every n-th frame.
    """

    time_s: float
    truth: WorldTruth
    observation: Observation | None
    record: StepRecord | None
    belief: BeliefSnapshot | None
    forecast: ForecastSnapshot | None
    plan: Plan | None
    action: Float[np.ndarray, " U"]
    reward: float
    physics_s: float
    model_s: float
    plan_s: float
    deliveries: int = 0
    image: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class EpisodeLog:
    """One whole episode.

    Attributes:
        seed: what the environment was reset with.
        scenario: `repr` of the scenario, the record of what was run.
        dt_s: s between frames.
        frames: in order of time.
        terminated, truncated: how it ended, in Gymnasium's words (both False where `LogOptions` cut it).
        deliveries_wanted: parcels that the task asks for, 0 for a task of another sort.
        camera: where the pictures were taken from.
        starter_models: ids of the models that were loaded before the first step.
        success: whether what the scenario asks was done in the last frame, None where the scenario does not say.
        last_truth: the world after the last frame's step, None where nobody kept it. The frames hold those before
            their steps, so what ended the episode is seen in it alone.
    """

    seed: int
    scenario: str
    dt_s: float
    frames: tuple[Frame, ...]
    terminated: bool = False
    truncated: bool = False
    deliveries_wanted: int = 0
    camera: PinholeCamera | None = None
    starter_models: tuple[str, ...] = ()
    success: bool | None = None
    last_truth: WorldTruth | None = None

    @property
    def truths(self) -> tuple[WorldTruth, ...]:
        """The world before every step and after the last one."""
        after = () if self.last_truth is None else (self.last_truth,)
        return (*(frame.truth for frame in self.frames), *after)

    @property
    def total_reward(self) -> float:
        """Sum of the rewards."""
        return sum(frame.reward for frame in self.frames)

    @property
    def duration_s(self) -> float:
        """Simulated seconds."""
        return len(self.frames) * self.dt_s

    @property
    def wall_s(self) -> float:
        """Wall-clock seconds of the closed loop (physics, world model and agent; drawing and scoring left out)."""
        return sum(f.physics_s + f.model_s + f.plan_s for f in self.frames)

    @property
    def real_time_factor(self) -> float:
        """Simulated seconds a wall-clock second; 1 or more is real time."""
        return self.duration_s / max(self.wall_s, 1e-9)

    def events(self) -> list[Event]:
        """Return all events of the world model, in order."""
        return [event for frame in self.frames if frame.record is not None for event in frame.record.events]

    def times(self) -> Float[np.ndarray, " T"]:
        """Return the frames' times, s."""
        return np.array([frame.time_s for frame in self.frames])


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a log keeps.

    Attributes:
        observations: keep every observation (about 40 kB a frame).
        images_every: keep a picture on every n-th frame, 0 for none. Not counted in the loop's time.
        camera: what takes the pictures.
        forecasts_every: ask for a forecast on every n-th frame, 0 for none. Not counted in the loop's time.
        forecast_horizon_s, forecast_step_s: how far ahead, in which steps.
        max_frames: stop after so many frames, 0 for no limit.
        max_wall_s: stop after so much wall time, 0 for no limit.
    """

    observations: bool = True
    images_every: int = 0
    camera: PinholeCamera = FILM_CAMERA
    forecasts_every: int = 4
    forecast_horizon_s: float = 1.0
    forecast_step_s: float = 0.25
    max_frames: int = 0
    max_wall_s: float = 0.0


def run_episode(
    env: Environment,
    world_model: WorldModel | None,
    agent: Agent,
    rng: np.random.Generator,
    *,
    seed: int,
    log: LogOptions | None = None,
    on_frame: Callable[[Frame], None] | None = None,
) -> EpisodeLog:
    """Run one episode of env, world model and agent, and return its log.

    Args:
        env: a worldsim environment; the truth is read from ``env.unwrapped.physics``.
        world_model: gets observations and actions alone; None runs the agent blind.
        agent: decides; its `rng` is the only randomness outside the environment.
        rng: passed to the agent.
        seed: the environment's seed.
        log: what to keep.
        on_frame: called with every frame as it is done (live displays).
    """
    parts = _Parts(env, world_model, agent, rng, log or LogOptions())
    raw, _ = env.reset(seed=seed)
    agent.reset()
    starter = tuple(world_model.loaded_models) if world_model is not None else ()
    started = time.perf_counter()
    frames: list[Frame] = []
    action: np.ndarray | None = None
    terminated = truncated = False
    success: bool | None = None
    while not (terminated or truncated):
        frame, (raw, terminated, truncated, success) = _run_frame(parts, raw, action, len(frames))
        action = frame.action
        frames.append(frame)
        if on_frame is not None:
            on_frame(frame)
        if _is_enough(parts.options, len(frames), time.perf_counter() - started):
            break
    options = parts.options
    return EpisodeLog(
        seed=seed,
        scenario=repr(env.unwrapped.scenario),
        dt_s=frames[1].time_s - frames[0].time_s if len(frames) > 1 else 0.0,
        frames=tuple(frames),
        terminated=terminated,
        truncated=truncated,
        deliveries_wanted=len(getattr(env.unwrapped.physics.task, "deliveries", ())),
        camera=options.camera if options.images_every else None,
        starter_models=starter,
        success=success,
        last_truth=env.unwrapped.physics.truth(),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What takes part in an episode."""

    env: Environment
    world_model: WorldModel | None
    agent: Agent
    rng: np.random.Generator
    options: LogOptions
    kinds: dict[str, str] = field(default_factory=dict)


def _run_frame(
    parts: _Parts, raw: Any, action: np.ndarray | None, number: int
) -> tuple[Frame, tuple[Any, bool, bool, bool | None]]:
    """Run one frame; return it, and what the environment gave: the next observation, how it ends, whether well."""
    env, world_model, options = parts.env, parts.world_model, parts.options
    physics = env.unwrapped.physics
    truth: WorldTruth = physics.truth()
    observation = raw if isinstance(raw, Observation) else Observation.from_gym(raw)
    image = None
    if options.images_every and number % options.images_every == 0:
        image = physics.picture(options.camera)[0]

    start = time.perf_counter()
    record = None
    if world_model is not None:
        record = world_model.reset(raw) if action is None else world_model.step(raw, action)
    modelled = time.perf_counter()
    chosen = np.asarray(parts.agent.act(observation, record, parts.rng), dtype=np.float32)
    planned = time.perf_counter()

    forecast, belief = None, None
    if world_model is not None:
        belief = BeliefSnapshot.of(world_model, parts.kinds)
        if options.forecasts_every and number % options.forecasts_every == 0:
            forecast = _forecast(world_model, options)

    before = time.perf_counter()
    raw, reward, terminated, truncated, info = env.step(chosen)
    stepped = time.perf_counter()
    frame = Frame(
        observation.time_s,
        truth,
        observation if options.observations else None,
        record,
        belief,
        forecast,
        parts.agent.last_plan,
        chosen,
        float(reward),
        stepped - before,
        modelled - start,
        planned - modelled,
        int(info.get("delivered", 0)),
        image,
    )
    return frame, (raw, bool(terminated), bool(truncated), bool(info["is_success"]) if "is_success" in info else None)


def _is_enough(options: LogOptions, frames: int, wall_s: float) -> bool:
    return 0 < options.max_frames <= frames or 0.0 < options.max_wall_s <= wall_s


def _forecast(world_model: WorldModel, options: LogOptions) -> ForecastSnapshot:
    ahead = world_model.forecast(options.forecast_horizon_s, options.forecast_step_s)
    position = _copy(ahead.position)
    time_s = world_model.belief.time_s + ahead.dt_s * np.arange(1, len(position) + 1)
    return ForecastSnapshot(_copy(ahead.object_id), time_s, position, _copy(ahead.position_std), _copy(ahead.moves))


def _copy(value: Any) -> np.ndarray:
    """Return a NumPy copy of a tensor or an array."""
    return np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
