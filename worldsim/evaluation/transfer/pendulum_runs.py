"""Runs of the double pendulum: which build made each, and half-second windows with a fifth of a second of past."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from worldsim.errors import DataError
from worldsim.evaluation.archives import read_arrays
from worldsim.evaluation.datasets import array_sha256
from worldsim.inference.pendulum import PendulumWindows
from worldsim.simulation.recordings.checks import check_offsets, check_shape

__all__ = ["HORIZON_S", "PendulumRun", "joined", "load_runs", "windows"]

HORIZON_S, PAST_S, FRAME_S = 0.5, 0.2, 0.004
"""Length of a window, of the past it is told, and of its frames (the logs have 2 ms, unevenly)."""


@dataclass(frozen=True, slots=True)
class PendulumRun:
    """One logged run.

    Attributes:
        name: where the log lay in its repository.
        build: ``C.0`` or ``C.1`` for the identification runs of a build, else what the folder is called.
        time_s: [T]; angle_rad, torque_n_m: [T, 2], the torque as measured.
        digest: checksum of the log, by which a run is known in whatever file it lies.
    """

    name: str
    build: str
    time_s: Float[np.ndarray, " T"]
    angle_rad: Float[np.ndarray, "T 2"]
    torque_n_m: Float[np.ndarray, "T 2"]
    digest: str


def load_runs(path: Path) -> tuple[PendulumRun, ...]:
    """Return the runs of a file in the format of ``double_pendulum_dfki.npz``.

    Raises:
        DataError: the file is missing or of another format, or a run in it holds no measured torque, or times that do
            not grow or have a gap.
    """
    arrays = read_arrays(path, "runs of a double pendulum", ("data", "offsets", "names"))
    data, offsets, names = arrays["data"], arrays["offsets"], arrays["names"].astype(str).tolist()
    check_shape(path, "data", data, (None, _COLUMNS))
    check_shape(path, "names", arrays["names"], (None,))
    check_offsets(path, offsets, len(data), len(names), least=2)
    runs = []
    for index, name in enumerate(names):
        log = data[offsets[index] : offsets[index + 1]]
        # as the shipped logs are kept, so that a run is known again whatever kind of number a file keeps it in
        digest, log = array_sha256(log.astype(np.float32)), log.astype(np.float64)
        log = log[np.concatenate([[True], np.diff(log[:, 0]) > SHORTEST_STEP_S])]
        if not np.isfinite(log).all():
            raise DataError(
                f"{path}: run {name!r} has values that are not finite; expected measured torques throughout."
            )
        if len(log) < 2 or not (np.diff(log[:, 0]) > 0.0).all():
            raise DataError(f"{path}: run {name!r} has times that do not grow from line to line (column 0, s).")
        if (gap := np.diff(log[:, 0])).max() > LONGEST_STEP_S:
            raise DataError(
                f"{path}: run {name!r} has a gap of {gap.max():.3g} s in its times (column 0, s), expected at most "
                f"{LONGEST_STEP_S} s; cut it there."
            )
        runs.append(PendulumRun(name, _build(name), log[:, 0] - log[0, 0], log[:, 1:3], log[:, 7:9], digest))
    return tuple(runs)


_COLUMNS = 9
SHORTEST_STEP_S, LONGEST_STEP_S = 1e-4, 0.05
"""A log line that comes sooner after the last repeats it; over a longer gap motion would be made up."""


def _build(name: str) -> str:
    """Return the build that a log's path names.

    >>> _build("data/experiment_records/design_C.1/sys_id/20230629/x/trajectory.csv")
    'C.1'
    >>> _build("leaderboard/acrobot/real_hardware_v2/src_data/ilqr/experiment01/trajectory.csv")
    'real_hardware_v2'
    """
    found = re.search(r"design_([^/]+)|/(real_hardware[^/]*)", name)
    if found is None:
        return name.partition("/")[0]
    return found.group(1) or found.group(2)


def windows(run: PendulumRun) -> PendulumWindows:
    """Return windows of `HORIZON_S` back to back, as many as there are, each with its past."""
    past, future = round(PAST_S / FRAME_S), round(HORIZON_S / FRAME_S)
    starts = np.arange(PAST_S, run.time_s[-1] - HORIZON_S, HORIZON_S)
    grid = starts + FRAME_S * np.arange(-past, future + 1)[:, None]

    def resampled(signal: Float[np.ndarray, "T 2"]) -> torch.Tensor:
        columns = [np.interp(grid, run.time_s, signal[:, joint]) for joint in range(2)]
        return torch.as_tensor(np.stack(columns, axis=1))

    return PendulumWindows(resampled(run.angle_rad), resampled(run.torque_n_m), past, FRAME_S)


def joined(parts: Sequence[PendulumWindows]) -> PendulumWindows:
    """Return the windows of several runs as one batch."""
    first = parts[0]
    angle, torque = (torch.cat([getattr(part, name) for part in parts], dim=-1) for name in ("angle", "torque"))
    return PendulumWindows(angle, torque, first.past, first.dt_s)
