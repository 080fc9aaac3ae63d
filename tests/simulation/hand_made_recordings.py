"""Small recordings in the published file formats, with numbers that can be checked by hand."""

from pathlib import Path

import numpy as np

RATE_HZ = 148.0


def write_cube_tosses(path: Path, tosses: int = 2, frames: int = 12) -> Path:
    """Write free falls of a turning cube, alternately of the train and the dev split."""
    t = np.arange(frames) / RATE_HZ
    pos = np.stack([0.1 + 0.5 * t, np.zeros(frames), 0.5 - 0.5 * 9.81 * t**2], axis=-1)
    half = 0.5 * 2.0 * t  # 2 rad/s about the world's x axis, after a quarter turn about z
    quarter = np.sqrt(0.5)
    quat = np.stack(
        [quarter * np.cos(half), quarter * np.sin(half), -quarter * np.sin(half), quarter * np.cos(half)], -1
    )
    vel = np.stack([np.full(frames, 0.5), np.zeros(frames), -9.81 * (t - 0.5 / RATE_HZ)], -1)
    np.savez(
        path,
        pos=np.tile(pos, (tosses, 1)).astype(np.float32),
        quat_wxyz=np.tile(quat, (tosses, 1)).astype(np.float32),
        vel=np.tile(vel, (tosses, 1)).astype(np.float32),
        angvel_body=np.tile([0.0, -2.0, 0.0], (tosses * frames, 1)).astype(np.float32),
        offsets=(np.arange(tosses + 1) * frames).astype(np.int32),
        toss_id=np.arange(1, tosses + 1).astype(np.int16),
        split=(np.arange(tosses) % 2).astype(np.int8),
    )
    return path


def write_crowd(path: Path, frames: int = 60, noise_m: float = 0.0, seed: int = 0, every: int = 10) -> Path:
    """Write one scene: four walkers on straight lines, keyframes `every` so many video frames."""
    rng = np.random.default_rng(seed)
    rows = []
    for walker in range(1, 5):
        place = np.array([0.0, 2.0 * walker])
        for key in range(frames):
            x, y = place + np.array([0.04 * every * walker * 0.3 * key, 0.0]) + rng.normal(0.0, noise_m, 2)
            rows.append([1 + every * key, walker, x, y, 0.3 * walker, 0.0])
    np.savez(path, hall=np.array(rows, dtype=np.float32))
    return path
