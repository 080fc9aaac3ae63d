"""What the sensors gave: unordered detections without ids, where they were seen from, and the own body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from worldsim.errors import ObservationError

APPEARANCE_DIM = 12
"""Length of the appearance descriptor that the detectors give (see ``worldsim.simulation.appearance``)."""

ALL_AROUND = -2.0
"""A cosine below every other."""

_ASYMMETRY, _SINGULAR = 1e-3, 1e-6  # of correlations: float32 that went through a file keeps within them
_UNIT_QUATERNION_TOLERANCE = 1e-2  # float32 observations that went through a file are this close to unit length


def positive_definite(covariance: Float[np.ndarray, "D n n"]) -> Bool[np.ndarray, " D"]:
    """Return which matrices are symmetric and positive definite.

    A positive diagonal that outweighs the rest of its row is enough (Gershgorin's circles), and cheap: nearly all that
    sensors give is of that kind. Of the others the eigenvalues are worked out, of the correlations.
    """
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    ok = (diagonal > 0.0).all(axis=1)
    if ok.all() and np.count_nonzero(covariance) == diagonal.size:
        return ok & np.isfinite(diagonal).all(axis=1)  # nothing stands beside the diagonal
    rows = np.abs(covariance) @ np.ones(covariance.shape[2])
    ok &= np.isfinite(rows).all(axis=1)
    transposed = covariance.transpose(0, 2, 1)
    doubtful = ~(2.0 * diagonal > rows).all(axis=1) | (covariance != transposed).any(axis=(1, 2))
    left = np.flatnonzero(ok & doubtful)
    scale = 1.0 / np.sqrt(diagonal[left])
    correlation = covariance[left] * scale[:, :, None] * scale[:, None, :]
    ok[left] = np.abs(correlation - correlation.transpose(0, 2, 1)).max(axis=(1, 2), initial=0.0) < _ASYMMETRY
    ok[left] &= np.linalg.eigvalsh(correlation).min(axis=1, initial=1.0) > _SINGULAR
    return ok


@dataclass(frozen=True, slots=True)
class Detections:
    """D detections of one frame, in no meaningful order.

    Attributes:
        position: [D, 3] m, world frame.
        orientation_xyzw: [D, 4] unit quaternions, body to world.
        extent_m: [D, 3] full edge lengths of the oriented bounding box in the body frame.
        colour: [D, 3] mean RGB in [0, 1].
        appearance: [D, A] appearance descriptor, unitless, roughly unit scale; A is `APPEARANCE_DIM`. NaN is unknown:
            it tells nothing for or against anything.
        covariance: [D, 6, 6] of (position error in m, rotation-vector error in rad, world frame); positive definite,
            also of an exact sensor.
    """

    position: Float[np.ndarray, "D 3"]
    orientation_xyzw: Float[np.ndarray, "D 4"]
    extent_m: Float[np.ndarray, "D 3"]
    colour: Float[np.ndarray, "D 3"]
    appearance: Float[np.ndarray, "D A"]
    covariance: Float[np.ndarray, "D 6 6"]

    def __len__(self) -> int:
        """Return the number of detections D."""
        return len(self.position)

    @classmethod
    def empty(cls) -> Detections:
        """Return zero detections (a frame in which nothing was seen)."""
        z = np.zeros
        return cls(z((0, 3)), z((0, 4)), z((0, 3)), z((0, 3)), z((0, APPEARANCE_DIM)), z((0, 6, 6)))

    def select(self, index: np.ndarray) -> Detections:
        """Return the detections at `index` (integers or a boolean mask over D)."""
        return Detections(
            self.position[index],
            self.orientation_xyzw[index],
            self.extent_m[index],
            self.colour[index],
            self.appearance[index],
            self.covariance[index],
        )

    def rows(self, start: int, end: int) -> Detections:
        """Return the detections from `start` to `end`, as views."""
        part = slice(start, end)
        return Detections(
            self.position[part],
            self.orientation_xyzw[part],
            self.extent_m[part],
            self.colour[part],
            self.appearance[part],
            self.covariance[part],
        )

    def finite_rows(self) -> Bool[np.ndarray, " D"]:
        """Return which detections are usable: finite, unit quaternion, positive extent, a covariance."""
        ok = np.ones(len(self), dtype=bool)
        for unusable in self.faults().values():
            ok &= ~unusable
        return ok

    def faults(self) -> dict[str, Bool[np.ndarray, " D"]]:
        """Return for each field in which detections it is not usable; fields that are usable in all are left out."""
        with np.errstate(invalid="ignore"):
            usable = {
                "orientation_xyzw": np.abs(np.linalg.norm(self.orientation_xyzw, axis=1) - 1.0)
                < _UNIT_QUATERNION_TOLERANCE,
                "extent_m": (self.extent_m > 0.0).all(axis=1),
                "covariance": positive_definite(self.covariance),
            }
        if np.isinf(self.appearance).any():
            usable["appearance"] = ~np.isinf(self.appearance).any(axis=1)
        for name in ("position", "orientation_xyzw", "extent_m", "colour", "covariance"):
            field = getattr(self, name)
            with np.errstate(over="ignore", invalid="ignore"):
                if np.isfinite(field.sum()):  # a sum of finite numbers but for overflow, at a third of the time
                    continue
            finite = np.isfinite(field).all(axis=tuple(range(1, field.ndim)))  # zero detections have zero rows
            usable[name] = finite & usable.get(name, True)
        return {name: ~ok for name, ok in usable.items() if not ok.all()}


@dataclass(frozen=True, slots=True)
class Viewpoints:
    """Where the K sensors were, so that "not seen" can be told from "not visible".

    Attributes:
        position: [K, 3] m, world frame.
        range_m: [K] m; a sensor sees nothing beyond its range, which may be infinite.
        axis: [K, 3] where each looks, world frame, of any length; None where all look all around.
        half_angle_rad: [K] of the cone about the axis outside which it sees nothing: of a camera, half its smaller
            field of view; pi or more is all around. None together with `axis`.

    A sensor that is nowhere (a position, range, axis or angle that is NaN) sees nothing, and is counted in the event
    ``rejected_input``. K = 0 means "everything is in view" (a motion-capture recording).
    """

    position: Float[np.ndarray, "K 3"]
    range_m: Float[np.ndarray, " K"]
    axis: Float[np.ndarray, "K 3"] | None = None
    half_angle_rad: Float[np.ndarray, " K"] | None = None

    @classmethod
    def everywhere(cls) -> Viewpoints:
        """Return the viewpoints of a sensor that sees all (motion capture)."""
        return cls(np.zeros((0, 3)), np.zeros(0))

    def cones(self) -> tuple[Float[np.ndarray, "K 3"], Float[np.ndarray, " K"]]:
        """Return unit axes, and the least cosine of the angle to them at which something is seen; -2 is all around."""
        if self.axis is None or self.half_angle_rad is None:
            return np.zeros_like(self.position), np.full(len(self.position), ALL_AROUND)
        length = np.linalg.norm(self.axis, axis=1, keepdims=True)
        narrow = self.half_angle_rad < np.pi
        return self.axis / length.clip(1e-12), np.where(narrow, np.cos(self.half_angle_rad), ALL_AROUND)

    def reach(self, place: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, "N K"]:
        """Return which places lie within the range and the cone of which sensor; what hides them does not count."""
        away = place[:, None] - self.position
        distance, (axis, cosine) = np.linalg.norm(away, axis=-1), self.cones()
        return (distance <= self.range_m) & ((away * axis).sum(axis=-1) >= cosine * distance)


@dataclass(frozen=True, slots=True)
class EgoState:
    """The robot's own body as its odometry reports it (measured, with noise; not the truth).

    Attributes:
        position: [3] m, world frame.
        orientation_xyzw: [4] unit quaternion.
        linear_velocity: [3] m/s, world frame.
        angular_velocity: [3] rad/s, world frame.
        extent_m: [3] full edge lengths of the body's box.
        covariance: [6, 6] of the pose (position m, rotation vector rad).
    """

    position: Float[np.ndarray, "3"]
    orientation_xyzw: Float[np.ndarray, "4"]
    linear_velocity: Float[np.ndarray, "3"]
    angular_velocity: Float[np.ndarray, "3"]
    extent_m: Float[np.ndarray, "3"]
    covariance: Float[np.ndarray, "6 6"]


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame of sensor data.

    Attributes:
        time_s: s since reset.
        detections: unordered detections without ids.
        viewpoints: where the sensors were.
        ego: the own body, None for a passive observer.
        task: named numbers that belong to the agent's task (for example ``goal_position``), ignored by the
            world model.
    """

    time_s: float
    detections: Detections
    viewpoints: Viewpoints
    ego: EgoState | None = None
    task: Mapping[str, np.ndarray] | None = None

    @classmethod
    def from_gym(cls, observation: Mapping[str, np.ndarray]) -> Observation:
        """Read a flat padded Gymnasium ``Dict`` observation (see ``worldsim.simulation.gym_env``).

        Every row field may be flattened ([M * 3] for [M, 3]), as Stable-Baselines3 wants one-dimensional boxes.

        Raises:
            ObservationError: a key is missing or has the wrong shape.
        """
        o = observation
        try:
            seen = np.asarray(o["mask"]).astype(bool)
            rows = len(seen)
            detections = Detections(
                np.asarray(o["position"], dtype=np.float64).reshape(rows, 3)[seen],
                np.asarray(o["orientation_xyzw"], dtype=np.float64).reshape(rows, 4)[seen],
                np.asarray(o["extent_m"], dtype=np.float64).reshape(rows, 3)[seen],
                np.asarray(o["colour"], dtype=np.float64).reshape(rows, 3)[seen],
                np.asarray(o["appearance"], dtype=np.float64).reshape(rows, -1)[seen],
                np.asarray(o["covariance"], dtype=np.float64).reshape(rows, 6, 6)[seen],
            )
            viewpoints = Viewpoints(
                np.asarray(o["viewpoint_position"], dtype=np.float64).reshape(-1, 3),
                np.asarray(o["viewpoint_range_m"], dtype=np.float64).reshape(-1),
                *_cones(o),
            )
            ego = None
            if "ego_position" in o:
                ego = EgoState(
                    np.asarray(o["ego_position"], dtype=np.float64),
                    np.asarray(o["ego_orientation_xyzw"], dtype=np.float64),
                    np.asarray(o["ego_linear_velocity"], dtype=np.float64),
                    np.asarray(o["ego_angular_velocity"], dtype=np.float64),
                    np.asarray(o["ego_extent_m"], dtype=np.float64),
                    np.asarray(o["ego_covariance"], dtype=np.float64).reshape(6, 6),
                )
            task = {k: np.asarray(v) for k, v in o.items() if k.startswith("task_")}
            return cls(float(np.asarray(o["time_s"]).reshape(-1)[0]), detections, viewpoints, ego, task)
        except KeyError as missing:
            raise ObservationError(
                f"observation lacks the key {missing}; got {sorted(o)}. Make the environment with "
                "observation='detections' (or 'state'), or pass a worldsim.types.Observation."
            ) from missing
        except (ValueError, IndexError) as wrong:
            shapes = {k: np.shape(v) for k, v in o.items()}
            raise ObservationError(f"observation has fields of inconsistent shape ({wrong}); got {shapes}.") from wrong


def _cones(observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the axes and half angles of a flat observation's viewpoints, None where it has none."""
    if "viewpoint_axis" not in observation:
        return None, None
    axis, angle = observation["viewpoint_axis"], observation["viewpoint_half_angle_rad"]
    return np.asarray(axis, dtype=np.float64).reshape(-1, 3), np.asarray(angle, dtype=np.float64).reshape(-1)
