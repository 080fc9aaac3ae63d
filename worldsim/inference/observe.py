"""Observations on their way in: checked, and turned into tensors once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldsim.errors import ObservationError
from worldsim.types.observation import Detections, EgoState, Observation, Viewpoints, positive_definite
from worldsim.types.transfer import sent


@dataclass(frozen=True, slots=True)
class Frame:
    """One checked observation.

    Attributes:
        time_s: s.
        detections: the usable detections, on the host (association works there).
        source_index: [D] where each stood in the observation.
        rejected: how many detections were refused (not finite, no unit quaternion, no positive size, no positive
            definite covariance).
        faults: in how many detections each field was the reason.
        ego: the own body, None where absent or refused.
        ego_rejected: the own body's report was refused.
        position, orientation_xyzw, extent_m, colour, appearance, covariance: the detections as tensors.
        viewpoint: [K, 3]; range_m: [K].
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


def admit(observation: Observation, previous_time_s: float | None) -> None:
    """Refuse an observation that breaks its contract as a whole.

    Raises:
        ObservationError: its time is not finite or does not move forward, or a field has the wrong shape.
    """
    time_s = observation.time_s
    if not math.isfinite(time_s):
        raise ObservationError(f"observation has time_s = {time_s}, expected a finite time in seconds.")
    if previous_time_s is not None and time_s < previous_time_s:
        raise ObservationError(
            f"observation has time_s = {time_s}, expected >= {previous_time_s} (the time of the belief): time runs "
            "forward. Call reset(observation) to start anew."
        )
    _shaped(observation.detections)


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
    usable, faults = np.ones(len(detections), dtype=bool), detections.faults()
    for unusable in faults.values():
        usable &= ~unusable
    kept = detections if usable.all() else detections.select(usable)
    source = np.flatnonzero(usable)
    ego = observation.ego
    ego_ok = ego is None or _ego_usable(ego)
    viewpoints = _usable_viewpoints(observation.viewpoints)

    quaternions = kept.orientation_xyzw / np.linalg.norm(kept.orientation_xyzw, axis=1, keepdims=True).clip(1e-9)
    return Frame(
        observation.time_s,
        kept,
        source if rows is None else rows[source],
        int((~usable).sum()),
        {name: int(unusable.sum()) for name, unusable in faults.items()},
        ego if ego_ok else None,
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
        ),
    )


def _shaped(d: Detections) -> None:
    n = len(d.position)
    expected = {
        "position": (n, 3),
        "orientation_xyzw": (n, 4),
        "extent_m": (n, 3),
        "colour": (n, 3),
        "covariance": (n, 6, 6),
    }
    for name, shape in expected.items():
        if np.shape(getattr(d, name)) != shape:
            raise ObservationError(f"detections.{name} has shape {np.shape(getattr(d, name))}, expected {shape}.")
    if np.ndim(d.appearance) != 2 or len(d.appearance) != n:
        raise ObservationError(f"detections.appearance has shape {np.shape(d.appearance)}, expected ({n}, A).")


def _ego_usable(ego: EgoState) -> bool:
    fields = (ego.position, ego.orientation_xyzw, ego.linear_velocity, ego.angular_velocity, ego.extent_m)
    finite = all(np.isfinite(field).all() for field in fields) and bool(np.isfinite(ego.covariance).all())
    return (
        finite
        and bool(positive_definite(ego.covariance[None])[0])
        and abs(float(np.linalg.norm(ego.orientation_xyzw)) - 1.0) < 1e-2
    )


def _usable_viewpoints(viewpoints: Viewpoints) -> Viewpoints:
    ok = np.isfinite(viewpoints.position).all(axis=1) & np.isfinite(viewpoints.range_m)
    return Viewpoints(viewpoints.position[ok], viewpoints.range_m[ok])
