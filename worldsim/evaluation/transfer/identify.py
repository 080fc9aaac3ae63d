"""Offline identification: an engine's contact parameters fitted to the first train recordings by CMA-ES."""

from __future__ import annotations

import numpy as np

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.protocol_r import Tosses, load_tosses
from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.transfer.cube_toss import Cube, engine_errors, identify_engine, identify_mujoco
from worldsim.evaluation.transfer.drops import load_drops, recorded_path
from worldsim.evaluation.transfer.planar_drop import drop_in_bullet, drop_misses, identify_drop_engine
from worldsim.simulation.toss_engine import CubeInBullet
from worldsim.simulation.toss_mujoco import CubeInMujoco

__all__ = ["ENGINES", "SETS", "identify"]

SETS = ("cube-toss", "planar-drop")
"""Recordings that an engine can be fitted to."""
ENGINES = ("pybullet", "mujoco")


def identify(
    name: str, recordings: int, evaluations: int, options: BenchOptions, engine: str = "pybullet"
) -> list[Figure]:
    """Fit an engine's contact to the first `recordings` of the train split, score the held-out ones.

    PyBullet's is friction and restitution, MuJoCo's friction, stiffness and damping (of the cube alone).

    Raises:
        UnknownNameError: no such set or engine.
        ConfigurationError: fewer than one recording or six evaluations (one generation), or MuJoCo for the square.
    """
    if name not in SETS:
        raise UnknownNameError("set to identify on", name, SETS)
    if engine not in ENGINES:
        raise UnknownNameError("engine to identify", engine, ENGINES)
    if engine == "mujoco" and name != "cube-toss":
        raise ConfigurationError(f"identify: MuJoCo is fitted to cube-toss alone, got {name!r}.")
    if recordings < 1 or evaluations < 6:
        raise ConfigurationError(
            f"identify: got {recordings} recordings and {evaluations} evaluations; expected at least 1 and 6."
        )
    fit = {"pybullet": _cube, "mujoco": _cube_in_mujoco}[engine] if name == "cube-toss" else _square
    fitted, errors, used = fit(recordings, evaluations, options)
    rng = np.random.default_rng(options.seed)
    figures = [Figure.told(parameter, value, unit=unit, n=used) for parameter, value, unit in fitted]
    for what, unit, ours, default in errors:
        mean = bootstrap([ours], np.mean, rng)
        beside = {f"{'PyBullet' if engine == 'pybullet' else 'MuJoCo'} default": float(default.mean())}
        figures.append(Figure.told(what, mean.value, unit=unit, interval=mean.interval, n=mean.n, baselines=beside))
    return figures


Errors = list[tuple[str, str, np.ndarray, np.ndarray]]
"""(what, unit, errors [n] of the fitted engine, of the engine as it comes) on the held-out recordings."""


Fitted = list[tuple[str, float, str]]
"""(parameter, value, unit)."""


def _of_bullet(cube: CubeInBullet) -> Fitted:
    return [("friction", cube.friction, "1"), ("restitution", cube.restitution, "1")]


def _cube(recordings: int, evaluations: int, options: BenchOptions) -> tuple[Fitted, Errors, int]:
    few, held_out = _cube_tosses(recordings, options)
    fitted = identify_engine(few, options.seed, evaluations)
    return _of_bullet(fitted), _cube_errors(fitted, CubeInBullet(), held_out), len(few)


def _cube_in_mujoco(recordings: int, evaluations: int, options: BenchOptions) -> tuple[Fitted, Errors, int]:
    few, held_out = _cube_tosses(recordings, options)
    fitted = identify_mujoco(few, options.seed, evaluations)
    found = [("friction", fitted.friction, "1")]
    if fitted.stiffness is not None and fitted.damping is not None:
        found += [("contact stiffness", fitted.stiffness, "1/s^2"), ("contact damping", fitted.damping, "1/s")]
    return found, _cube_errors(fitted, CubeInMujoco(), held_out), len(few)


def _cube_tosses(recordings: int, options: BenchOptions) -> tuple[Tosses, Tosses]:
    """Return the first so many train tosses, and those that are held out."""
    train = load_tosses(find_data("cube-toss"), "train")
    held_out = load_tosses(options.data or find_data("cube-toss"), "held-out")
    return train.select(np.arange(min(recordings, len(train)))), held_out


def _cube_errors(fitted: Cube, plain: Cube, held_out: Tosses) -> Errors:
    ours, default = engine_errors(fitted, held_out), engine_errors(plain, held_out)
    turned, turned_by_default = np.degrees(ours.rotation_rad), np.degrees(default.rotation_rad)
    return [
        ("mean position error, held out", "mm", 1e3 * ours.position_m, 1e3 * default.position_m),
        ("mean rotation error, held out", "degree", turned, turned_by_default),
    ]


def _square(recordings: int, evaluations: int, options: BenchOptions) -> tuple[Fitted, Errors, int]:
    train = load_drops(find_data("planar-drop"), "train")
    held_out = load_drops(options.data or find_data("planar-drop"), "held-out")
    used = min(recordings, len(train))
    fitted = identify_drop_engine(train.select(np.arange(used)), options.seed, evaluations)
    truth = recorded_path(held_out)
    ours, default = (drop_misses(truth.minus(drop_in_bullet(each, held_out))) for each in (fitted, None))
    return (
        _of_bullet(fitted),
        [
            ("position error at 0.1 s, held out", "mm", ours[0], default[0]),
            ("rotation error at 0.1 s, held out", "degree", ours[1], default[1]),
        ],
        used,
    )
