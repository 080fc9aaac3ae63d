"""Sensors: they turn the truth into what a real detector would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from worldsim.contracts.sensor import Sensor
from worldsim.errors import ConfigurationError
from worldsim.simulation.geometry import cross_rows
from worldsim.types.observation import APPEARANCE_DIM, Detections, EgoState, Observation
from worldsim.types.truth import WorldTruth

_EXACT_VARIANCE = 1e-10  # of an exact observation: positive, so that a filter can invert it, and negligible
_EXACT_COVARIANCE = _EXACT_VARIANCE * np.eye(6)


@dataclass(frozen=True, slots=True)
class Detector(Sensor):
    """An object detector with the faults of a real one; its covariance always tells the truth about its noise.

    Attributes:
        detection_probability: of a body in view, in one frame.
        position_std_m: at no distance; it grows by `position_std_per_m` with the distance to the nearest viewpoint.
        position_std_per_m: see there.
        rotation_std_rad: of each component of the rotation error.
        extent_std: relative error of each edge length.
        colour_std: of each colour channel.
        appearance_std: of each component of the descriptor.
        clutter_per_frame: mean number of detections of nothing (Poisson), anywhere among what is in view.
        ego_position_std_m, ego_rotation_std_rad: of the own body's odometry.
        ego_velocity_std_m_s, ego_rate_std_rad_s: of the own body's odometry.
    """

    needs_velocities: ClassVar[bool] = False

    detection_probability: float = 0.97
    position_std_m: float = 0.006
    position_std_per_m: float = 0.0006
    rotation_std_rad: float = float(np.deg2rad(1.0))
    extent_std: float = 0.02
    colour_std: float = 0.02
    appearance_std: float = 0.04
    clutter_per_frame: float = 0.05
    ego_position_std_m: float = 0.005
    ego_rotation_std_rad: float = float(np.deg2rad(0.3))
    ego_velocity_std_m_s: float = 0.02
    ego_rate_std_rad_s: float = 0.01

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: a probability outside (0, 1], or a standard deviation that is not positive.
        """
        if not 0.0 < self.detection_probability <= 1.0:
            raise ConfigurationError(
                f"Detector: detection_probability is {self.detection_probability}, expected a number in (0, 1]."
            )
        for name in ("position_std_m", "rotation_std_rad", "ego_position_std_m", "ego_rotation_std_rad"):
            if not getattr(self, name) > 0.0:
                raise ConfigurationError(
                    f"Detector: {name} is {getattr(self, name)}, expected > 0, since a covariance must be invertible. "
                    "For exact observations use ExactSensor."
                )

    def observe(self, truth: WorldTruth, rng: np.random.Generator) -> Observation:
        """Return one frame: bodies in view, noisy, some missed, some made up, shuffled."""
        rows = _in_view(truth)
        rows = rows[rng.random(len(rows)) < self.detection_probability]
        real = self._real(truth, rows, rng)
        made_up = self._clutter(truth, rng)
        both = real
        if len(made_up):
            both = Detections(*(np.concatenate(pair) for pair in zip(_fields(real), _fields(made_up), strict=True)))
        shuffled = both.select(rng.permutation(len(both)))
        return Observation(truth.time_s, shuffled, truth.viewpoints, self._ego(truth, rng))

    def position_std(self, truth: WorldTruth, position: Float[np.ndarray, "D 3"]) -> Float[np.ndarray, " D"]:
        """Return the standard deviation of each coordinate at `position`, m."""
        eyes = truth.viewpoints.position
        if len(eyes) == 0:
            return np.full(len(position), self.position_std_m)
        distance = np.linalg.norm(position[:, None] - eyes[None], axis=2).min(axis=1)
        return self.position_std_m + self.position_std_per_m * distance

    def _real(self, truth: WorldTruth, rows: np.ndarray, rng: np.random.Generator) -> Detections:
        n = len(rows)
        std = self.position_std(truth, truth.position[rows])
        look = _appearance(truth)[rows]
        return Detections(
            truth.position[rows] + std[:, None] * rng.standard_normal((n, 3)),
            turned(truth.orientation_xyzw[rows], self.rotation_std_rad * rng.standard_normal((n, 3))),
            truth.extent_m[rows] * np.clip(1.0 + self.extent_std * rng.standard_normal((n, 3)), 0.5, 1.5),
            np.clip(look[:, :3] + self.colour_std * rng.standard_normal((n, 3)), 0.0, 1.0),
            look + self.appearance_std * rng.standard_normal((n, APPEARANCE_DIM)),
            self._covariance(std),
        )

    def _clutter(self, truth: WorldTruth, rng: np.random.Generator) -> Detections:
        n = int(rng.poisson(self.clutter_per_frame))
        rows = _in_view(truth)
        if len(rows) == 0:
            n = 0
        if n == 0:
            return Detections.empty()
        low, high = truth.position[rows].min(axis=0), truth.position[rows].max(axis=0)
        position = rng.uniform(low, high, size=(n, 3))
        orientation = rng.standard_normal((n, 4))
        return Detections(
            position,
            orientation / np.linalg.norm(orientation, axis=1, keepdims=True),
            np.exp(rng.uniform(np.log(0.1), np.log(2.0), size=(n, 3))),
            rng.uniform(0.0, 1.0, size=(n, 3)),
            rng.uniform(-0.2, 1.0, size=(n, APPEARANCE_DIM)),
            self._covariance(self.position_std(truth, position)),
        )

    def _covariance(self, position_std: np.ndarray) -> Float[np.ndarray, "D 6 6"]:
        diagonal = np.full((len(position_std), 6), self.rotation_std_rad**2)
        diagonal[:, :3] = position_std[:, None] ** 2
        return diagonal[:, :, None] * np.eye(6)

    def _ego(self, truth: WorldTruth, rng: np.random.Generator) -> EgoState | None:
        exact = _exact_ego(truth)
        if exact is None:
            return None
        noise = rng.standard_normal((4, 3))
        covariance = np.diag([self.ego_position_std_m**2] * 3 + [self.ego_rotation_std_rad**2] * 3)
        return EgoState(
            exact.position + self.ego_position_std_m * noise[0],
            turned(exact.orientation_xyzw[None], self.ego_rotation_std_rad * noise[1][None])[0],
            exact.linear_velocity + self.ego_velocity_std_m_s * noise[2],
            exact.angular_velocity + self.ego_rate_std_rad_s * noise[3],
            exact.extent_m,
            covariance,
        )


@dataclass(frozen=True, slots=True)
class ExactSensor(Sensor):
    """Gives the true state of everything that is in the scene, in a fixed order: no noise, misses, clutter, occlusion.

    What has not come in yet is left out.
    """

    needs_whole_truth: ClassVar[bool] = False

    def observe(self, truth: WorldTruth, rng: np.random.Generator) -> Observation:
        """Return one exact frame; draws nothing."""
        del rng
        left_out = truth.absent | {truth.ego}
        rows = np.array([i for i, name in enumerate(truth.names) if name not in left_out], dtype=np.int64)
        look = _appearance(truth)[rows]
        colour = np.minimum(np.maximum(look[:, :3], 0.0), 1.0)
        covariance = np.empty((len(rows), 6, 6))
        covariance[:] = _EXACT_COVARIANCE
        detections = Detections(
            truth.position[rows],
            truth.orientation_xyzw[rows],
            truth.extent_m[rows],
            colour,
            look,
            covariance,
        )
        return Observation(truth.time_s, detections, truth.viewpoints, _exact_ego(truth))


def turned(
    orientation_xyzw: Float[np.ndarray, "D 4"], rotation_vector: Float[np.ndarray, "D 3"]
) -> Float[np.ndarray, "D 4"]:
    """Return exp(rotation_vector) * orientation: turned by rotation vectors (rad) in the world frame."""
    angle = np.sqrt((rotation_vector * rotation_vector).sum(axis=1, keepdims=True))
    u = rotation_vector * 0.5 * np.sinc(angle / (2.0 * np.pi))
    w = np.cos(angle / 2.0)
    v, s = orientation_xyzw[:, :3], orientation_xyzw[:, 3:]
    product = np.concatenate([w * v + s * u + cross_rows(u, v), w * s - (u * v).sum(axis=1, keepdims=True)], axis=1)
    return np.asarray(product / np.sqrt((product * product).sum(axis=1, keepdims=True)))


def _in_view(truth: WorldTruth) -> np.ndarray:
    seen = np.asarray(truth.visible, dtype=bool).copy()
    if truth.ego is not None:
        seen[truth.names.index(truth.ego)] = False  # the own body is known by odometry
    return np.flatnonzero(seen)


def _appearance(truth: WorldTruth) -> Float[np.ndarray, "N A"]:
    if truth.appearance is None:
        return np.full((len(truth.names), APPEARANCE_DIM), np.nan)
    return truth.appearance


def _exact_ego(truth: WorldTruth) -> EgoState | None:
    if truth.ego is None:
        return None
    row = truth.names.index(truth.ego)
    return EgoState(
        truth.position[row],
        truth.orientation_xyzw[row],
        truth.linear_velocity[row],
        truth.angular_velocity[row],
        truth.extent_m[row],
        _EXACT_COVARIANCE.copy(),
    )


def _fields(detections: Detections) -> tuple[np.ndarray, ...]:
    d = detections
    return (d.position, d.orientation_xyzw, d.extent_m, d.colour, d.appearance, d.covariance)
