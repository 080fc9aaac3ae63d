"""The baseline of `worldsim bench joints`: a least-squares fit of each kind to all poses, chosen by BIC.

Source: Sturm, Stachniss and Burgard (2011), section 4.3 (rigid, prismatic, rotational, chosen by BIC). Ours adds the
ball joint, and lets a free pair have a pose of its own in every frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.graph.kinematics import FREE


@dataclass(frozen=True, slots=True)
class LeastSquaresFit:
    """What the baseline says of a pair.

    Attributes:
        kind: the one of least BIC.
        axes: kind -> unit vector in the source's frame, of those with an axis.
    """

    kind: str
    axes: dict[str, np.ndarray]


def fit_by_bic(
    source_position: Float[np.ndarray, "T 3"],
    source_orientation_xyzw: Float[np.ndarray, "T 4"],
    target_position: Float[np.ndarray, "T 3"],
    target_orientation_xyzw: Float[np.ndarray, "T 4"],
    position_std_m: float,
    rotation_std_rad: float,
) -> LeastSquaresFit:
    """Fit each kind to the target's poses in the source's frame; noise as of both bodies."""
    source, target = Rotation.from_quat(source_orientation_xyzw), Rotation.from_quat(target_orientation_xyzw)
    place = source.inv().apply(target_position - source_position)
    turn = source.inv() * target
    reference = turn[: max(1, len(turn) // 20)].mean()
    vector = (turn * reference.inv()).as_rotvec()
    p_std = math.hypot(math.sqrt(2.0) * position_std_m, rotation_std_rad * float(np.linalg.norm(place[0])))
    r_std = math.sqrt(2.0) * rotation_std_rad
    frames = len(place)
    line, line_rest = _line(place)
    axis, axis_rest = _line(vector, through_origin=True)
    still_p, still_r = place - place.mean(0), vector - vector.mean(0)
    on_axis = Rotation.from_rotvec(np.outer(vector @ axis, axis))
    pivot_rest = {"hinge": _pivot(place, on_axis), "ball_joint": _pivot(place, turn * reference.inv())}
    p, r = (lambda rest: _chi2(rest, p_std)), (lambda rest: _chi2(rest, r_std))
    bic = {
        "weld": p(still_p) + r(still_r) + _cost(6, frames),
        "slider": p(line_rest) + r(still_r) + _cost(8 + frames, frames),
        "hinge": p(pivot_rest["hinge"]) + r(axis_rest) + _cost(10 + frames, frames),
        "ball_joint": p(pivot_rest["ball_joint"]) + _cost(6 + 3 * frames, frames),
        FREE: _cost(6 * frames, frames),
    }
    return LeastSquaresFit(min(bic, key=lambda kind: bic[kind]), {"slider": line, "hinge": axis})


def _line(points: Float[np.ndarray, "T 3"], *, through_origin: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction of the best line and what is left over across it."""
    centred = points if through_origin else points - points.mean(0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    return direction, centred - np.outer(centred @ direction, direction)


def _pivot(place: Float[np.ndarray, "T 3"], turn: Rotation) -> Float[np.ndarray, "T 3"]:
    """Return what is left over of ``place = centre + turn lever``."""
    matrix = turn.as_matrix()
    design = np.concatenate([np.broadcast_to(np.eye(3), matrix.shape), matrix], axis=2).reshape(-1, 6)
    found = np.linalg.lstsq(design, place.reshape(-1), rcond=1e-6)[0]
    return np.asarray((place.reshape(-1) - design @ found).reshape(-1, 3))


def _chi2(rest: np.ndarray, std: float) -> float:
    return float((rest**2).sum() / std**2)


def _cost(parameters: int, frames: int) -> float:
    return parameters * math.log(6.0 * frames)
