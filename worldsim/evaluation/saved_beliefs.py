"""The beliefs that a run keeps in its folder, by episode and time: written while it plays, read to be asked."""

from __future__ import annotations

import re
from pathlib import Path

from worldsim.errors import DataError
from worldsim.evaluation.run_folder import read_run
from worldsim.loop import WorldModel

__all__ = ["keep_belief", "kept_beliefs", "open_belief"]

_NAME = re.compile(r"belief-(\d+)-(\d+\.\d{2})s\.safetensors")
_SAME_TIME_S = 0.026  # half a frame, and some for rounding


def keep_belief(world_model: WorldModel, folder: Path, seed: int) -> Path:
    """Write the belief of `world_model` into a run's folder; return the file."""
    path = folder / f"belief-{seed}-{world_model.belief.time_s:.2f}s.safetensors"
    world_model.save(path)
    return path


def kept_beliefs(folder: Path) -> dict[int, dict[float, Path]]:
    """Return seed of the episode -> time (s) -> file."""
    found: dict[int, dict[float, Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[float(match[2])] = path
    return found


def open_belief(folder: Path, seed: int | None = None, time_s: float | None = None) -> WorldModel:
    """Return the world model as it was saved in a run's folder.

    Args:
        folder: of the run.
        seed: of the episode, None for the first.
        time_s: of the belief, None for the last.

    Raises:
        DataError: it is no run folder, or holds no such belief.
        IntegrityError: the file is truncated.
    """
    read_run(folder)
    kept = kept_beliefs(folder)
    if not kept:
        raise DataError(
            f"{folder} holds no belief. `worldsim run SCENARIO --out DIR` saves one at the end of an episode."
        )
    seed = min(kept) if seed is None else seed
    if seed not in kept:
        raise DataError(f"{folder} holds no belief of episode {seed}; it has those of {sorted(kept)}.")
    times = kept[seed]
    wanted = max(times) if time_s is None else min(times, key=lambda t: abs(t - time_s))
    if time_s is not None and abs(wanted - time_s) > _SAME_TIME_S:
        raise DataError(
            f"{folder} holds no belief of {time_s:g} s in episode {seed}; it has those of "
            f"{', '.join(f'{t:g}' for t in sorted(times))} s. `worldsim run --beliefs SECONDS` keeps more."
        )
    return WorldModel.load(times[wanted])
