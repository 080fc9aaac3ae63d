"""Loaders of recorded data: a file goes in, `Clip` values come out."""

from collections.abc import Callable, Mapping
from pathlib import Path

from worldsim.errors import UnknownNameError
from worldsim.simulation.recordings.clip import Clip
from worldsim.simulation.recordings.crowd import CALIBRATION_SHARE, load_crowd
from worldsim.simulation.recordings.planar import load_double_pendulum, load_planar_drops
from worldsim.simulation.recordings.tosses import load_cube_tosses, load_elbow_tosses

__all__ = [
    "CALIBRATION_SHARE",
    "LOADERS",
    "Clip",
    "load_clips",
    "load_crowd",
    "load_cube_tosses",
    "load_double_pendulum",
    "load_elbow_tosses",
    "load_planar_drops",
]

LOADERS: Mapping[str, Callable[[Path], tuple[Clip, ...]]] = {
    "cube-toss": load_cube_tosses,
    "elbow-toss": load_elbow_tosses,
    "planar-drop": load_planar_drops,
    "double-pendulum": load_double_pendulum,
    "crowd": load_crowd,
}
"""Name of a recording, as the command line calls it, and what reads its file."""


def load_clips(recording: str, path: Path, split: str | None = None) -> tuple[Clip, ...]:
    """Return the clips of `recording` in `path`, of one split where `split` is given.

    Raises:
        UnknownNameError: no recording, or no split, of that name.
        DataError: the file is missing, damaged or of another format.
    """
    if recording not in LOADERS:
        raise UnknownNameError("recording", recording, LOADERS)
    clips = LOADERS[recording](path)
    splits = {clip.split for clip in clips}
    if split is None or split == "all":
        return clips
    if split not in splits:
        raise UnknownNameError(f"split of recording {recording}", split, sorted({*splits, "all"}))
    return tuple(clip for clip in clips if clip.split == split)
