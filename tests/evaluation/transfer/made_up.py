"""Made-up recordings in the formats of the recorded sets: no law holds in them, but every suite can run on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["cube_tosses", "drops", "elbow_tosses", "home_and_away", "joined", "pendulum_runs", "write"]

Arrays = dict[str, np.ndarray]


def write(path: Path, arrays: Arrays, **meta: float) -> Path:
    """Write a file in the format of the shipped sets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)
    return path


def drops(seed: int, split: Sequence[int]) -> Arrays:
    """Return drops of a square: a fall, and a bounce of the vertical motion alone."""
    rng, count = np.random.default_rng(seed), len(split)
    time_s = np.arange(40) / 250.0
    theta = rng.uniform(-3.0, 3.0, (count, 1)) + rng.normal(0.0, 2.0, (count, 1)) * time_s
    height = 0.10 - 1.8 * time_s - 4.9 * time_s**2
    floor = 0.03 * (np.abs(np.cos(theta)) + np.abs(np.sin(theta)))
    z = floor + np.abs(height - floor)
    x = -0.5 * time_s + np.zeros_like(theta)
    pose = np.stack([x, z, theta], axis=-1)
    velocity = np.gradient(pose, time_s, axis=1)
    square = np.concatenate([pose, velocity], axis=-1).astype(np.float32)
    return {"square": square, "split": np.array(split, dtype=np.int8)}


def cube_tosses(seed: int, split: Sequence[int], frames: int = 50) -> Arrays:
    """Return tosses that fly, strike, and slide to rest without turning further."""
    position, quaternion, spin = _tossed(seed, len(split), frames, rest_m=0.0524)
    velocity = _backward(position)
    return {
        "pos": position.reshape(-1, 3).astype(np.float32),
        "quat_wxyz": quaternion.reshape(-1, 4).astype(np.float32),
        "vel": velocity.reshape(-1, 3).astype(np.float32),
        "angvel_body": spin.reshape(-1, 3).astype(np.float32),
        "offsets": np.arange(len(split) + 1, dtype=np.int32) * frames,
        "split": np.array(split, dtype=np.int8),
    }


def elbow_tosses(seed: int, split: Sequence[int], frames: int = 48) -> Arrays:
    """Return tosses of a pair whose joint opens evenly."""
    position, quaternion, spin = _tossed(seed, len(split), frames, rest_m=0.03)
    rate = np.random.default_rng(seed + 1).normal(0.0, 2.0, (len(split), 1)) * np.ones(frames)
    return {
        "pos": position.astype(np.float32),
        "quat_wxyz": quaternion.astype(np.float32),
        "joint": (np.cumsum(rate, axis=1) / RATE_HZ).astype(np.float32),
        "vel": _backward(position).astype(np.float32),
        "angvel_body": spin.astype(np.float32),
        "joint_vel": rate.astype(np.float32),
        "split": np.array(split, dtype=np.int8),
    }


RATE_HZ = 148.0


def _tossed(seed: int, count: int, frames: int, rest_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions [n, T, 3], orientations wxyz [n, T, 4] and body spins [n, T, 3]."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(frames) / RATE_HZ
    height = np.maximum(0.12 + rng.uniform(-0.5, 0.2, (count, 1)) * time_s - 4.9 * time_s**2, rest_m)
    slowed = np.minimum(time_s, 0.2)
    across = rng.normal(0.0, 0.8, (count, 1, 2)) * slowed[:, None]
    rate = rng.normal(0.0, 3.0, (count, 1)) * np.ones(frames)
    half = 0.5 * (rng.uniform(-3.0, 3.0, (count, 1)) + np.cumsum(rate, axis=1) / RATE_HZ)
    zero = np.zeros_like(half)
    quaternion = np.stack([np.cos(half), zero, np.sin(half), zero], axis=-1)
    spin = np.stack([zero, rate, zero], axis=-1)
    return np.concatenate([across, height[..., None]], axis=-1), quaternion, spin


def _backward(position: np.ndarray) -> np.ndarray:
    velocity = np.diff(position, axis=1) * RATE_HZ
    return np.concatenate([velocity[:, :1], velocity], axis=1)


def pendulum_runs(seed: int, names: Sequence[str], duration_s: float = 1.4) -> Arrays:
    """Return runs whose joints swing by some sines, under torques that have nothing to do with it."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(0.0, duration_s, 0.002)
    logs = []
    for _ in names:
        phase, pace = rng.uniform(0.0, 6.0, (2, 1)), rng.uniform(2.0, 5.0, (2, 1))
        angle, torque = np.sin(pace * time_s + phase), 0.3 * np.cos(pace * time_s)
        logs.append(np.concatenate([time_s[None], angle, pace * np.cos(pace * time_s + phase), torque, torque]).T)
    return {
        "data": np.concatenate(logs).astype(np.float32),
        "offsets": np.arange(len(names) + 1, dtype=np.int32) * len(time_s),
        "names": np.array(names),
    }


HOME = [f"data/design_C.1/sys_id/{run}/trajectory.csv" for run in range(6)]
AWAY = [f"data/design_C.0/sys_id/{run}/trajectory.csv" for run in range(2)]


def home_and_away(seed: int, split: Sequence[int]) -> Arrays:
    """Return runs of both builds, one of each where nothing is of the train split (a run itself has no split)."""
    return pendulum_runs(seed, [*HOME, *AWAY] if 0 in split else [HOME[0], AWAY[0]])


def joined(first: Arrays, second: Arrays) -> Arrays:
    """Return the recordings of both."""
    both = {key: np.concatenate([first[key], second[key]]) for key in first if key != "offsets"}
    if "offsets" in first:
        both["offsets"] = np.concatenate([first["offsets"], first["offsets"][-1] + second["offsets"][1:]])
    return both
