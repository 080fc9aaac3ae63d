"""Observations on their way in: checked, and turned into tensors once."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.errors import ObservationError
from worldsim.types.observation import APPEARANCE_DIM, Detections, EgoState, Observation, Viewpoints
from worldsim.types.transfer import sent

_DETECTION_SHAPES = {
    "position": (-1, 3),
    "orientation_xyzw": (-1, 4),
    "extent_m": (-1, 3),
    "colour": (-1, 3),
    "appearance": (-1, APPEARANCE_DIM),
    "covariance": (-1, 6, 6),
}
_BLIND_M = -1.0  # a range within which nothing is
_VIEWPOINT_SHAPES = {"position": (-1, 3), "range_m": (-1,)}
_LEAST_EIGENVALUE = 3e-6  # of the correlations of a report
_CONE_SHAPES = {"axis": (-1, 3), "half_angle_rad": (-1,)}
_EGO_SHAPES = {
    "position": (3,),
    "orientation_xyzw": (4,),
    "linear_velocity": (3,),
    "angular_velocity": (3,),
    "extent_m": (3,),
    "covariance": (6, 6),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One checked observation.

    Attributes:
        time_s: s.
        detections: the usable detections, on the host (association works there).
        source_index: [D] where each stood in the observation.
        rejected: how many detections were refused (not finite, no unit quaternion, no positive size, no positive
            definite covariance).
        faults: in how many detections each field was the reason, and how many ``viewpoints`` were nowhere.
        ego: the own body, None where absent or refused.
        ego_rejected: the own body's report was refused.
        position, orientation_xyzw, extent_m, colour, appearance, covariance: the detections as tensors.
        viewpoint: [K, 3]; range_m: [K]; axis: [K, 3]; cosine: [K], see `Viewpoints.cones`.
    """

    time_s: float
    detections: Detections
    source_index: np.ndarray
    rejected: int
    faults: dict[str, int]
    ego: EgoState | None
    ego_rejected: bool
    position: Float[Tensor, "D 3"]
    orientation_xyzw: Float[Tensor, "D 4"]
    extent_m: Float[Tensor, "D 3"]
    colour: Float[Tensor, "D 3"]
    appearance: Float[Tensor, "D A"]
    covariance: Float[Tensor, "D 6 6"]
    viewpoint: Float[Tensor, "K 3"]
    range_m: Float[Tensor, " K"]
    axis: Float[Tensor, "K 3"]
    cosine: Float[Tensor, " K"]


def admit(observation: Observation, previous_time_s: float | None) -> None:
    """Refuse an observation that breaks its contract as a whole.

    Raises:
        ObservationError: its time is no finite number or does not move forward, or a field is no array of numbers of
            its shape.
    """
    time_s = observation.time_s
    if not isinstance(time_s, numbers.Real):
        raise ObservationError(
            f"observation has time_s = {time_s!r}, expected a number of seconds: float(...) makes one."
        )
    if not math.isfinite(time_s):
        raise ObservationError(f"observation has time_s = {time_s}, expected a finite time in seconds.")
    if previous_time_s is not None and time_s < previous_time_s:
        raise ObservationError(
            f"observation has time_s = {time_s}, expected >= {previous_time_s} (the time of the belief): time runs "
            "forward. Call reset(observation) to start anew."
        )
    _shaped("detections", Detections, observation.detections, _DETECTION_SHAPES)
    _shaped("viewpoints", Viewpoints, observation.viewpoints, _VIEWPOINT_SHAPES)
    cones = [getattr(observation.viewpoints, name) is not None for name in _CONE_SHAPES]
    if any(cones):
        _shaped("viewpoints", Viewpoints, observation.viewpoints, _VIEWPOINT_SHAPES | _CONE_SHAPES)
    if observation.ego is not None:
        _shaped("ego", EgoState, observation.ego, _EGO_SHAPES)


def read(
    observation: Observation,
    device: torch.device,
    dtype: torch.dtype,
    rows: Int[np.ndarray, " r"] | None = None,
) -> Frame:
    """Return the usable part of an admitted observation.

    Args:
        observation: one frame.
        device: of the tensors.
        dtype: of the tensors.
        rows: which of its detections to read; all where None.
    """
    detections = observation.detections if rows is None else observation.detections.select(rows)
    usable = detections.finite_rows()
    faults = {} if usable.all() else detections.faults()
    kept = detections if usable.all() else detections.select(usable)
    source = np.flatnonzero(usable)
    ego = observation.ego
    ego_ok = ego is None or _ego_usable(ego)
    viewpoints, nowhere = _usable_viewpoints(observation.viewpoints)
    counted = {name: int(unusable.sum()) for name, unusable in faults.items()}
    quaternions = kept.orientation_xyzw / np.linalg.norm(kept.orientation_xyzw, axis=1, keepdims=True).clip(1e-9)
    return Frame(
        observation.time_s,
        kept,
        source if rows is None else rows[source],
        int((~usable).sum()),
        counted | ({"viewpoints": nowhere} if nowhere else {}),
        _regular(ego) if ego is not None and ego_ok else None,
        not ego_ok,
        *sent(
            device,
            dtype,
            kept.position,
            quaternions,
            kept.extent_m,
            kept.colour,
            kept.appearance,
            kept.covariance,
            viewpoints.position,
            viewpoints.range_m,
            *viewpoints.cones(),
        ),
    )


def _shaped(what: str, kind: type, value: object, shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse what is no `kind`, or has a field that is no array of numbers of its shape; -1 is as in the first one."""
    if not isinstance(value, kind):
        raise ObservationError(f"observation.{what} is of type {type(value).__name__}, expected a {kind.__name__}.")
    first, dims = getattr(value, next(iter(shapes))), len(next(iter(shapes.values())))
    rows = 1 if np.ndim(first) < dims and np.size(first) else len(first)  # a single row without its axis is one row
    for name, shape in shapes.items():
        array, expected = getattr(value, name), tuple(rows if n < 0 else n for n in shape)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            found = f"of dtype {array.dtype}" if isinstance(array, np.ndarray) else f"of type {type(array).__name__}"
            raise ObservationError(
                f"{what}.{name} is {found}, expected a numpy array of numbers of shape {expected}. "
                "numpy.asarray(..., dtype=float) makes one of a list or a tensor."
            )
        if array.shape != expected:
            raise ObservationError(f"{what}.{name} has shape {array.shape}, expected {expected}.")


def _ego_usable(ego: EgoState) -> bool:
    fields = (ego.position, ego.orientation_xyzw, ego.linear_velocity, ego.angular_velocity, ego.extent_m)
    finite = all(np.isfinite(field).all() for field in fields) and bool(np.isfinite(ego.covariance).all())
    sized = bool((ego.extent_m > 0.0).all())
    unit = abs(float(np.linalg.norm(ego.orientation_xyzw)) - 1.0) < 1e-2
    return finite and sized and unit and _semidefinite(ego.covariance)


def _semidefinite(covariance: Float[np.ndarray, "6 6"]) -> bool:
    """Return whether a covariance is one; odometry that is exact has none to speak of."""
    spread = np.sqrt(np.diagonal(covariance).clip(min=0.0))
    slack = 1e-6 * spread[:, None] * spread
    symmetric = bool((np.abs(covariance - covariance.T) <= slack).all())
    return symmetric and float(np.linalg.eigvalsh(covariance)[0]) >= -float(slack.max(initial=0.0))


def _regular(ego: EgoState) -> EgoState:
    """Return the report with a covariance that single precision can factor.

    One of few dimensions, rounded, has correlations whose least eigenvalue lies below zero, or will when rounded again.
    Each variance then grows by some millionths of itself.
    """
    variance = np.diagonal(ego.covariance).astype(np.float64)
    spread = np.sqrt(np.where(variance > 0.0, variance, 1.0))
    correlation = ego.covariance / (spread[:, None] * spread)
    lacking = _LEAST_EIGENVALUE - float(np.linalg.eigvalsh(correlation + np.diag(variance <= 0.0))[0])
    if lacking <= 0.0:
        return ego
    return dataclasses.replace(ego, covariance=ego.covariance + np.diag(lacking * variance.clip(min=0.0)))


def _usable_viewpoints(viewpoints: Viewpoints) -> tuple[Viewpoints, int]:
    """Return the viewpoints, those that are nowhere as one that sees nothing, and how many these are.

    Left out they would be no viewpoints, where these were all, and that means that everything is in view.
    """
    ok = np.isfinite(viewpoints.position).all(axis=1) & ~np.isnan(viewpoints.range_m)
    axis, angle = viewpoints.axis, viewpoints.half_angle_rad
    if axis is not None and angle is not None:
        ok &= np.isfinite(axis).all(axis=1) & (axis != 0.0).any(axis=1) & ~np.isnan(angle)
        axis, angle = np.where(ok[:, None], axis, 0.0), np.where(ok, angle, 0.0)
    position = np.where(ok[:, None], viewpoints.position, 0.0)
    return Viewpoints(position, np.where(ok, viewpoints.range_m, _BLIND_M), axis, angle), int((~ok).sum())
