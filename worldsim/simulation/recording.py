"""Real logs behind the contract of a true world: time goes on, nobody can act, and what is seen was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from worldsim.contracts.physics import Physics
from worldsim.contracts.scenario import Scenario
from worldsim.errors import ConfigurationError, SimulationError, UnknownNameError
from worldsim.simulation.recordings.clip import Clip
from worldsim.types.observation import APPEARANCE_DIM, Detections, Observation, Viewpoints
from worldsim.types.planning import Preferences
from worldsim.types.record import StepRecord
from worldsim.types.truth import WorldTruth

__all__ = ["Recording", "Replay"]

_COLOUR = (0.5, 0.5, 0.5)  # no recording here has colours


@dataclass(frozen=True)
class Replay(Scenario):
    """The scenario "this clip, from its first frame to its last".

    Attributes:
        clip: the clip's name.
        duration_s: time of its last frame, s.
    """

    clip: str
    duration_s: float

    def build(self, physics: Physics, rng: np.random.Generator) -> None:
        """Put the clip on; nothing of it is random.

        Raises:
            ConfigurationError: `physics` is no `Recording`: a log cannot be played in an engine.
        """
        del rng
        if not isinstance(physics, Recording):
            raise ConfigurationError(f"Replay({self.clip!r}) needs a Recording, got {type(physics).__name__}.")
        physics.cue(self.clip)

    def preferences(self) -> Preferences:
        """Return that nothing is wanted: nobody can act in a log."""
        return Preferences(hold_still=True)

    def is_over(self, record: StepRecord) -> bool:
        """Return whether the last frame was seen."""
        return record.time_s >= self.duration_s - 1e-9


class Recording(Physics):
    """Replays recorded clips as a `Physics`: detections without ids to whoever observes, names to whoever scores.

    The detections of a frame come in the clip's order of bodies, shuffled by the seed of `reset`, so that no
    tracker can lean on the order. A descriptor of the appearance was not recorded: it is NaN, unknown.

    >>> from worldsim.simulation.recordings.clip import pose_covariance
    >>> place = np.array([[[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.9]]])
    >>> upright = np.tile([0.0, 0.0, 0.0, 1.0], (2, 1, 1))
    >>> clip = Clip(
    ...     "fall",
    ...     "all",
    ...     np.array([0.0, 0.1]),
    ...     ("ball",),
    ...     ("ball",),
    ...     place,
    ...     upright,
    ...     0 * place,
    ...     0 * place,
    ...     np.ones((1, 3)),
    ...     pose_covariance(1e-3, 1e-2)[None],
    ... )
    >>> world = Recording([clip])
    >>> world.reset(world.scenario("fall"), seed=0)
    >>> world.step(None)
    >>> world.observe().time_s, world.frames_left
    (0.1, 0)
    """

    def __init__(self, clips: Sequence[Clip]) -> None:
        """Hold the clips; the first is cued.

        Raises:
            ConfigurationError: no clips, or two of one name.
        """
        self._clips = {clip.name: clip for clip in clips}
        if not clips or len(self._clips) != len(clips):
            raise ConfigurationError(f"Recording needs clips of distinct names, got {[clip.name for clip in clips]}.")
        self._clip = clips[0]
        self._frame = 0
        self._seed = 0

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips, in the order given."""
        return tuple(self._clips.values())

    @property
    def frames_left(self) -> int:
        """How many times `step` can still be called."""
        return len(self._clip) - 1 - self._frame

    def scenario(self, clip: str) -> Replay:
        """Return the scenario that plays `clip`.

        Raises:
            UnknownNameError: no clip of that name.
        """
        if clip not in self._clips:
            raise UnknownNameError("clip", clip, self._clips)
        return Replay(clip, self._clips[clip].duration_s)

    def cue(self, clip: str) -> None:
        """Go to the first frame of `clip`.

        Raises:
            UnknownNameError: no clip of that name.
        """
        if clip not in self._clips:
            raise UnknownNameError("clip", clip, self._clips)
        self._clip, self._frame = self._clips[clip], 0

    def reset(self, scenario: Scenario, seed: int) -> None:
        """Play `scenario` (a `Replay`) from its start; the seed shuffles the detections of each frame."""
        self._seed = seed
        scenario.build(self, np.random.default_rng(seed))

    def step(self, action: Float[np.ndarray, " U"] | None) -> None:
        """Advance one frame.

        Raises:
            ConfigurationError: an action was given: what was recorded has happened.
            SimulationError: the clip is over.
        """
        if action is not None:
            raise ConfigurationError(f"Recording.step got an action ({action}); nothing can be commanded in a log.")
        if self.frames_left <= 0:
            raise SimulationError(
                f"clip {self._clip.name!r} is over after {len(self._clip)} frames; ask `frames_left` before `step`."
            )
        self._frame += 1

    @property
    def clip(self) -> Clip:
        """The clip that is on."""
        return self._clip

    @property
    def frame(self) -> int:
        """Index of the present frame in the clip."""
        return self._frame

    def detected_bodies(self) -> Int[np.ndarray, " D"]:
        """Return which of the clip's bodies each detection of `observe` is (for scoring)."""
        seen = np.flatnonzero(self._clip.present[self._frame])
        rng = np.random.default_rng((self._seed, self._frame))
        return rng.permutation(seen)

    def observe(self) -> Observation:
        """Return the detections of this frame (the same however often it is asked)."""
        clip, t = self._clip, self._frame
        seen = self.detected_bodies()
        count = len(seen)
        error = self._drawn_error(seen)
        turned = Rotation.from_rotvec(error[:, 3:]) * Rotation.from_quat(clip.orientation_xyzw[t, seen].reshape(-1, 4))
        detections = Detections(
            clip.position[t, seen] + error[:, :3],
            turned.as_quat() if any(clip.unmeasured[3:]) else clip.orientation_xyzw[t, seen],
            clip.extent_m[seen],
            np.tile(_COLOUR, (count, 1)),
            np.full((count, APPEARANCE_DIM), np.nan),
            clip.covariance[seen],
        )
        signals = {f"task_{name}": np.array(values[t]) for name, values in clip.signals.items()}
        return Observation(float(clip.time_s[t]), detections, Viewpoints.everywhere(), None, signals or None)

    def _drawn_error(self, seen: Int[np.ndarray, " D"]) -> Float[np.ndarray, "D 6"]:
        """Return errors in the coordinates that nobody measured, as large as the covariance says."""
        rng = np.random.default_rng((self._seed, self._frame, 1))
        std = np.sqrt(np.diagonal(self._clip.covariance[seen], axis1=1, axis2=2))
        return rng.standard_normal((len(seen), 6)) * std * np.array(self._clip.unmeasured)

    def truth(self) -> WorldTruth:
        """Return who is where in this frame, as recorded (for scoring)."""
        clip, t = self._clip, self._frame
        seen = np.flatnonzero(clip.present[t])
        return WorldTruth(
            float(clip.time_s[t]),
            tuple(clip.bodies[i] for i in seen),
            tuple(clip.kinds[i] for i in seen),
            clip.position[t, seen],
            clip.orientation_xyzw[t, seen],
            clip.linear_velocity[t, seen],
            clip.angular_velocity[t, seen],
            clip.extent_m[seen],
            np.ones(len(seen), dtype=bool),
        )

    def snapshot(self) -> Any:
        """Return the clip's name, the frame and the seed."""
        return (self._clip.name, self._frame, self._seed)

    def restore(self, snapshot: Any) -> None:
        """Go back to the frame of `snapshot`.

        Raises:
            UnknownNameError: it is of another recording.
            SimulationError: the clip has no such frame.
        """
        name, frame, seed = snapshot
        self.cue(name)
        if not 0 <= frame < len(self._clip):
            raise SimulationError(f"clip {name!r} has {len(self._clip)} frames; the snapshot asks for frame {frame}.")
        self._frame, self._seed = frame, seed
