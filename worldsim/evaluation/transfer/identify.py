"""Offline identification: an engine's contact parameters fitted to the first train recordings by CMA-ES."""

from __future__ import annotations

import numpy as np

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.protocol_r import load_tosses
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.transfer.cube_toss import engine_errors, identify_engine
from worldsim.evaluation.transfer.drops import load_drops, recorded_path
from worldsim.evaluation.transfer.planar_drop import drop_in_bullet, drop_misses, identify_drop_engine
from worldsim.simulation.toss_engine import CubeInBullet

__all__ = ["SETS", "identify"]

SETS = ("cube-toss", "planar-drop")
"""Recordings that PyBullet can be fitted to."""


def identify(name: str, recordings: int, evaluations: int, options: BenchOptions) -> list[Figure]:
    """Fit PyBullet's friction and restitution to the first `recordings` of the train split, score the held-out ones.

    Raises:
        UnknownNameError: no such set.
        ConfigurationError: fewer than one recording or six evaluations (one generation).
    """
    if name not in SETS:
        raise UnknownNameError("set to identify on", name, SETS)
    if recordings < 1 or evaluations < 6:
        raise ConfigurationError(
            f"identify: got {recordings} recordings and {evaluations} evaluations; expected at least 1 and 6."
        )
    fit = _cube if name == "cube-toss" else _square
    fitted, errors, used = fit(recordings, evaluations, options)
    rng = np.random.default_rng(options.seed)
    figures = [
        Figure.told("friction", fitted.friction, n=used),
        Figure.told("restitution", fitted.restitution, n=used),
    ]
    for what, unit, ours, default in errors:
        mean = bootstrap([ours], np.mean, rng)
        beside = {"PyBullet default": float(default.mean())}
        figures.append(Figure.told(what, mean.value, unit=unit, interval=mean.interval, n=mean.n, baselines=beside))
    return figures


Errors = list[tuple[str, str, np.ndarray, np.ndarray]]
"""(what, unit, errors [n] of the fitted engine, of the engine as it comes) on the held-out recordings."""


def _cube(recordings: int, evaluations: int, options: BenchOptions) -> tuple[CubeInBullet, Errors, int]:
    train = load_tosses(find_data("cube-toss"), "train")
    used = min(recordings, len(train))
    fitted = identify_engine(train.select(np.arange(used)), options.seed, evaluations)
    held_out = load_tosses(options.data or find_data("cube-toss"), "held-out")
    ours, default = engine_errors(fitted, held_out), engine_errors(CubeInBullet(), held_out)
    return (
        fitted,
        [
            ("mean position error, held out", "mm", 1e3 * ours.position_m, 1e3 * default.position_m),
            (
                "mean rotation error, held out",
                "degree",
                np.degrees(ours.rotation_rad),
                np.degrees(default.rotation_rad),
            ),
        ],
        used,
    )


def _square(recordings: int, evaluations: int, options: BenchOptions) -> tuple[CubeInBullet, Errors, int]:
    train = load_drops(find_data("planar-drop"), "train")
    used = min(recordings, len(train))
    fitted = identify_drop_engine(train.select(np.arange(used)), options.seed, evaluations)
    held_out = load_drops(options.data or find_data("planar-drop"), "held-out")
    truth = recorded_path(held_out)
    ours, default = (drop_misses(truth.minus(drop_in_bullet(each, held_out))) for each in (fitted, None))
    return (
        fitted,
        [
            ("position error at 0.1 s, held out", "mm", ours[0], default[0]),
            ("rotation error at 0.1 s, held out", "degree", ours[1], default[1]),
        ],
        used,
    )
