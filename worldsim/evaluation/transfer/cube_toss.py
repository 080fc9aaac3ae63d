"""Sim-to-real on the tossed cube: the online-adapted world model beside PyBullet, on the same starts.

The world model watches the train tosses once, in order. PyBullet's friction and restitution are fitted to the first 60
of them. Both then predict every held-out toss by protocol R. Nothing of a held-out toss reaches a fit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cma
import numpy as np
import torch
from jaxtyping import Float

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.calibration import energy_score
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.protocol_r import TossErrors, Tosses, load_tosses, protocol_start, score, windows
from worldsim.evaluation.statistics import bootstrap, paired_bootstrap
from worldsim.inference.identification import Identifier, ParameterCloud
from worldsim.inference.toss_prediction import GAUSSIAN_FACTOR, Calibration, StartNoise, TossPrediction, predict
from worldsim.simulation.toss_engine import CubeInBullet, start_velocities, toss_in_bullet

__all__ = ["Adapted", "adapt", "engine_errors", "identify_engine", "transfer_cube_toss"]

SAMPLES = 20
"""Samples of every ensemble that is scored."""

FRAMES_COMPARED = (15, 30, 60)
"""Horizons (frames) at which intervals and ensembles are scored, beside the last frame."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What one pass over the train tosses left.

    Attributes:
        cloud: the belief at the end; early: after 8 tosses.
        calibration: of its intervals, from predictions made before each toss was learned from.
        seconds: wall time of the pass.
    """

    cloud: ParameterCloud
    early: ParameterCloud
    calibration: Calibration
    seconds: float


def adapt(identifier: Identifier, tosses: Tosses, rng: np.random.Generator, options: BenchOptions) -> Adapted:
    """Watch the tosses once, in order: predict, compare, learn. Later ones come four at a time."""
    started = time.perf_counter()
    cloud = early = identifier.begin(rng)
    calibration, done, told = Calibration(), 0, 0
    while done < len(tosses):
        group = 1 if done < EARLY else min(4, len(tosses) - done)
        watched = tosses.select(np.arange(done, done + group))
        if done >= len(tosses) // 2:
            prediction = _predict(identifier, cloud, watched, SAMPLES, rng, torch.float32)
            calibration = calibration.watched(prediction, watched.position, watched.scored)
        stretches = windows(watched, identifier.horizons[-1], WINDOW_STRIDE, WINDOWS_PER_TOSS)
        cloud = identifier.assimilate(cloud, stretches, group, rng)
        done += group
        early = cloud if done <= EARLY else early
        if done >= told + 40:
            told = done
            friction = cloud.interval()["friction"]
            options.tell(f"watched {done} tosses: friction {friction[0]:.3f} ({friction[1]:.3f} .. {friction[2]:.3f})")
    return Adapted(cloud, early, calibration, time.perf_counter() - started)


EARLY, WINDOW_STRIDE, WINDOWS_PER_TOSS = 8, 12, 5


def identify_engine(
    tosses: Tosses, seed: int, evaluations: int, start: tuple[float, float] = (0.2, 0.1)
) -> CubeInBullet:
    """Return PyBullet's cube with friction and restitution fitted by CMA-ES to the mean protocol-R errors."""

    def cube(point: Float[np.ndarray, " 2"]) -> CubeInBullet:
        friction, restitution = np.exp(point)
        return CubeInBullet.identified(float(friction), float(min(restitution, 1.0)))

    def loss(point: Float[np.ndarray, " 2"]) -> float:
        errors = engine_errors(cube(point), tosses)
        return float(errors.position_m.mean() / 0.015 + errors.rotation_rad.mean() / np.radians(20.0))

    strategy = cma.CMAEvolutionStrategy(
        np.log(start), 0.3, {"seed": seed + 1, "verbose": -9, "maxfevals": evaluations, "popsize": 6}
    )
    while not strategy.stop():
        points = strategy.ask()
        strategy.tell(points, [loss(point) for point in points])
    return cube(strategy.result.xbest)


def engine_errors(cube: CubeInBullet, tosses: Tosses) -> TossErrors:
    """Return the errors of PyBullet by protocol R."""
    return score(tosses, *_toss(cube, tosses))


def transfer_cube_toss(options: BenchOptions) -> list[Figure]:
    """Run the pass and score it; a figure a promise."""
    rng = np.random.default_rng(options.seed)
    train = load_tosses(find_data("cube-toss"), "train")
    held_out = load_tosses(options.data or find_data("cube-toss"), "held-out")
    if options.quick:
        train, held_out = train.select(np.arange(16)), held_out.select(np.arange(min(30, len(held_out))))
    identifier = Identifier()
    adapted = adapt(identifier, train, rng, options)
    options.tell(f"one pass: {adapted.seconds:.0f} s")
    prediction = _predict(identifier, adapted.cloud, held_out, 2 * SAMPLES, rng)
    early = _predict(identifier, adapted.early, held_out, SAMPLES, rng)
    prior = _predict(identifier, identifier.begin(rng), held_out, SAMPLES, rng)
    fitted = identify_engine(train.select(np.arange(min(60, len(train)))), options.seed, 18 if options.quick else 60)
    options.tell(f"PyBullet identified: friction {fitted.friction:.3f}, restitution {fitted.restitution:.3f}")
    errors = {
        "world model": _scored(held_out, prediction),
        "after 8 tosses": _scored(held_out, early),
        "prior": _scored(held_out, prior),
        "PyBullet default": engine_errors(CubeInBullet(), held_out),
        "PyBullet identified": engine_errors(fitted, held_out),
    }
    return [
        *_error_figures(errors, rng),
        *_coverage_figures(held_out, prediction, adapted.calibration),
        *_energy_figures(held_out, prediction, adapted.calibration, fitted, rng),
        Figure.at_most("time of the one pass over the train tosses", adapted.seconds, 600.0, unit="s", n=len(train)),
        *_belief_figures(adapted.cloud),
    ]


def _predict(
    identifier: Identifier,
    cloud: ParameterCloud,
    tosses: Tosses,
    samples: int,
    rng: np.random.Generator,
    dtype: torch.dtype = torch.float64,
) -> TossPrediction:
    """Predict up to `LONGEST` frames; a cube is at rest by then, and the rest of a long toss repeats the last.

    What is scored is predicted in float64, so that a toss seen from another side has the same errors: contact
    multiplies rounding. What the pass compares itself with is float32, as its learning is.
    """
    frames = len(tosses.position)
    start = protocol_start(tosses, dtype)
    short = predict(identifier, cloud, start, min(frames, LONGEST), 1.0 / tosses.rate_hz, samples, rng)

    def pad(array: np.ndarray, axis: int) -> np.ndarray:
        width = [(0, 0)] * array.ndim
        width[axis] = (0, frames - array.shape[axis])
        return np.pad(array, width, mode="edge")

    return TossPrediction(
        pad(short.position, 0), pad(short.orientation_xyzw, 0), pad(short.samples, 1), pad(short.spread_m, 0)
    )


LONGEST = 130


def _scored(tosses: Tosses, prediction: TossPrediction) -> TossErrors:
    return score(tosses, prediction.position, prediction.orientation_xyzw)


def _toss(cube: CubeInBullet, tosses: Tosses) -> tuple[np.ndarray, np.ndarray]:
    velocity, spin = start_velocities(
        tosses.orientation_xyzw[0], tosses.linear_velocity[0], tosses.angular_velocity[0], tosses.rate_hz
    )
    start = (tosses.position[0], tosses.orientation_xyzw[0], velocity, spin)
    return toss_in_bullet(cube, *start, tosses.frames, tosses.rate_hz)


def _error_figures(errors: dict[str, TossErrors], rng: np.random.Generator) -> list[Figure]:
    ours, early, engine = errors["world model"], errors["after 8 tosses"], errors["PyBullet identified"]
    n, figures = len(ours.position_m), []
    for name, bar, early_bar, unit, factor in (
        ("position_m", 11.5, 15.0, "mm", 1e3),
        ("rotation_rad", 11.0, 17.0, "degree", 180.0 / np.pi),
    ):
        word = name.split("_")[0]
        each = {who: factor * getattr(found, name) for who, found in errors.items()}
        others = {who: float(values.mean()) for who, values in each.items() if who != "world model"}
        mean = bootstrap([each["world model"]], np.mean, rng)
        rest = {"unit": unit, "n": n}
        figures.append(
            Figure.at_most(f"mean {word} error", mean.value, bar, interval=mean.interval, baselines=others, **rest)
        )
        gain = paired_bootstrap([each["world model"]], [each["PyBullet identified"]], np.mean, rng)
        figures.append(
            Figure.at_most(
                f"{word} error minus identified PyBullet's, paired: upper end of the 95 % interval",
                gain.high,
                0.0,
                interval=gain.interval,
                **rest,
            )
        )
        first = bootstrap([each["after 8 tosses"]], np.mean, rng)
        figures.append(
            Figure.at_most(f"mean {word} error after 8 tosses", first.value, early_bar, interval=first.interval, **rest)
        )
        medians = {who: float(np.median(values)) for who, values in each.items() if who != "world model"}
        middle = float(np.median(each["world model"]))
        figures.append(Figure.told(f"median {word} error", middle, baselines=medians, **rest))
        ends = {who: float(factor * getattr(found, f"end_{name}").mean()) for who, found in errors.items()}
        figures.append(Figure.told(f"{word} error at the end", ends.pop("world model"), baselines=ends, **rest))
    faces = bootstrap([ours.right_face.astype(float)], np.mean, rng)
    others = {"after 8 tosses": float(early.right_face.mean()), "PyBullet identified": float(engine.right_face.mean())}
    figures.append(
        Figure.at_least("right final face", faces.value, 0.9, interval=faces.interval, n=n, baselines=others)
    )
    return figures


def _coverage_figures(tosses: Tosses, prediction: TossPrediction, calibration: Calibration) -> list[Figure]:
    """Return the share of positions inside their 90 % intervals, axis by axis, at every compared horizon."""
    inside = np.abs(tosses.position - prediction.position) <= calibration.half_width(prediction)
    figures = []
    for label, frame, toss in _horizons(tosses):
        figures.append(
            Figure.within(
                f"coverage of 90 % position intervals, {label}",
                float(inside[frame, toss].mean()),
                0.85,
                0.95,
                n=3 * len(toss),
            )
        )
    return figures


def _energy_figures(
    tosses: Tosses,
    prediction: TossPrediction,
    calibration: Calibration,
    fitted: CubeInBullet,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the mean energy score of 20 samples over the compared horizons, beside the engine's noisy ensemble."""
    widened = np.maximum(calibration.factors(len(prediction.position)) / GAUSSIAN_FACTOR, 1.0)[:, None, :]
    ours = prediction.position + widened * (prediction.samples[::2] - prediction.position)
    theirs = np.stack([_toss(fitted, noisy)[0] for noisy in _noisy_starts(tosses, rng)])
    scores = {
        who: np.mean(
            [
                energy_score(samples[:, frame, toss], tosses.position[frame, toss]).mean()
                for _, frame, toss in _horizons(tosses)
            ]
        )
        for who, samples in {"ours": ours, "engine": theirs}.items()
    }
    engine = float(1e3 * scores["engine"])
    return [
        Figure.at_most(
            "energy score of 20 samples, mean over the horizons",
            float(1e3 * scores["ours"]),
            engine,
            unit="mm",
            n=len(tosses),
            baselines={"PyBullet identified": engine},
        )
    ]


def _noisy_starts(tosses: Tosses, rng: np.random.Generator) -> list[Tosses]:
    """Return the tosses with starts redrawn from the measurement noise, `SAMPLES` times."""
    noise, shape = StartNoise(), tosses.position.shape

    def jittered(array: np.ndarray, scale: float) -> np.ndarray:
        return array + scale * rng.standard_normal(shape)

    return [
        replace(
            tosses,
            position=jittered(tosses.position, noise.position_m),
            linear_velocity=jittered(tosses.linear_velocity, noise.velocity_m_s),
            angular_velocity=jittered(tosses.angular_velocity, noise.spin_rad_s),
        )
        for _ in range(SAMPLES)
    ]


def _horizons(tosses: Tosses) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (label, frame [m], toss [m]) of every compared horizon."""
    rows = []
    for frame in FRAMES_COMPARED:
        toss = np.flatnonzero(tosses.frames > frame)
        rows.append((f"frame {frame}", np.full(len(toss), frame), toss))
    return [*rows, ("last frame", tosses.frames - 1, np.arange(len(tosses)))]


def _belief_figures(cloud: ParameterCloud) -> list[Figure]:
    units = {prior.name: prior.unit for prior in cloud.priors}
    return [
        Figure.told(f"belief of {name}", middle, unit=units[name], interval=(low, high), n=cloud.tosses)
        for name, (middle, low, high) in cloud.interval(0.9).items()
    ]
