"""Sim-to-real on the tossed cube: the online-adapted world model beside PyBullet, on the same starts.

The world model watches the train tosses once, in order. PyBullet's friction and restitution are fitted to the first 60
of them. Both then predict every held-out toss by protocol R. Nothing of a held-out toss reaches a fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cma
import numpy as np
import torch
from jaxtyping import Float

from worldsim.evaluation.archives import check_rate
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.calibration import energy_score
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.protocol_r import TossErrors, Tosses, load_tosses, protocol_start, score, windows
from worldsim.evaluation.statistics import bootstrap, paired_bootstrap, proportion_interval
from worldsim.evaluation.transfer.page import write_page
from worldsim.extras import need
from worldsim.inference.identification import Identifier, ParameterCloud
from worldsim.inference.toss_prediction import GAUSSIAN_FACTOR, Calibration, StartNoise, TossPrediction, predict
from worldsim.simulation.toss_engine import CubeInBullet, start_velocities, toss_in_bullet
from worldsim.simulation.toss_mujoco import CubeInMujoco, toss_in_mujoco

__all__ = ["Adapted", "Cube", "adapt", "engine_errors", "identify_engine", "identify_mujoco", "transfer_cube_toss"]

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

    return cube(_minimised(lambda point: _loss(cube(point), tosses), start, seed, evaluations))


Cube = CubeInBullet | CubeInMujoco
"""The tossed cube in one engine or the other."""


def engine_errors(cube: Cube, tosses: Tosses) -> TossErrors:
    """Return the errors of an engine by protocol R."""
    return score(tosses, *_toss(cube, tosses))


def identify_mujoco(tosses: Tosses, seed: int, evaluations: int) -> CubeInMujoco:
    """Return MuJoCo's cube with friction, contact stiffness and damping fitted in the same way."""

    def cube(point: Float[np.ndarray, " 3"]) -> CubeInMujoco:
        friction, stiffness, damping = np.exp(point).tolist()
        return CubeInMujoco(friction, stiffness, damping, identified=True)

    return cube(_minimised(lambda point: _loss(cube(point), tosses), (0.2, 2e4, 150.0), seed, evaluations))


def _loss(cube: Cube, tosses: Tosses) -> float:
    errors = engine_errors(cube, tosses)
    return float(errors.position_m.mean() / 0.015 + errors.rotation_rad.mean() / np.radians(20.0))


def _minimised(
    loss: Callable[[np.ndarray], float], start: tuple[float, ...], seed: int, evaluations: int
) -> Float[np.ndarray, " P"]:
    """Return the logarithms of positive parameters that CMA-ES finds."""
    strategy = cma.CMAEvolutionStrategy(
        np.log(start), 0.3, {"seed": seed + 1, "verbose": -9, "maxfevals": evaluations, "popsize": 6}
    )
    while not strategy.stop():
        points = strategy.ask()
        strategy.tell(points, [loss(point) for point in points])
    return np.asarray(strategy.result.xbest)


def transfer_cube_toss(options: BenchOptions) -> list[Figure]:
    """Run the pass and score it; a figure a promise."""
    need("mujoco", "transfer cube-toss")
    rng = np.random.default_rng(options.seed)
    train = load_tosses(find_data("cube-toss"), "train")
    held_out = load_tosses(path := options.data or find_data("cube-toss"), "held-out")
    check_rate(path, held_out.rate_hz, train.rate_hz)
    if options.quick:
        train, held_out = (part.select(np.arange(min(most, len(part)))) for part, most in ((train, 16), (held_out, 30)))
    identifier = Identifier()
    adapted = adapt(identifier, train, rng, options)
    options.tell(f"one pass: {adapted.seconds:.0f} s")
    prediction = _predict(identifier, adapted.cloud, held_out, 2 * SAMPLES, rng)
    early = _predict(identifier, adapted.early, held_out, SAMPLES, rng)
    prior = _predict(identifier, identifier.begin(rng), held_out, SAMPLES, rng)
    few, evaluations = train.select(np.arange(min(60, len(train)))), 18 if options.quick else 60
    fitted = identify_engine(few, options.seed, evaluations)
    options.tell(f"PyBullet identified: friction {fitted.friction:.3f}, restitution {fitted.restitution:.3f}")
    mujoco = identify_mujoco(few, options.seed, evaluations)
    options.tell(f"MuJoCo identified: friction {mujoco.friction:.3f}, {mujoco.stiffness:.3g}, {mujoco.damping:.3g}")
    engines: dict[str, Cube] = {
        "PyBullet default": CubeInBullet(),
        "PyBullet identified": fitted,
        "MuJoCo default": CubeInMujoco(),
        "MuJoCo identified": mujoco,
    }
    errors = {
        "world model": _scored(held_out, prediction),
        "after 8 tosses": _scored(held_out, early),
        "prior": _scored(held_out, prior),
        **{name: engine_errors(cube, held_out) for name, cube in engines.items()},
    }
    figures = [
        *_error_figures(errors, rng),
        *_engine_figures({name: errors[name] for name in engines}, rng),
        *_coverage_figures(held_out, prediction, adapted.calibration, rng),
        *_energy_figures(held_out, prediction, adapted.calibration, engines, rng),
        Figure.at_most("time of the one pass over the train tosses", adapted.seconds, 600.0, unit="s", n=len(train)),
        *_belief_figures(identifier, adapted.cloud),
    ]
    write_page(options, "cube-toss", _LEAD, figures, [])
    return figures


_LEAD = (
    "A cube tossed on a board, predicted open loop from its first frame to its last. The world model watched the train "
    "tosses once, in order; the engines' parameters were fitted to the first sixty of them."
)


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


def _toss(cube: Cube, tosses: Tosses) -> tuple[np.ndarray, np.ndarray]:
    velocity, spin = start_velocities(
        tosses.orientation_xyzw[0], tosses.linear_velocity[0], tosses.angular_velocity[0], tosses.rate_hz
    )
    position, orientation = tosses.position[0], tosses.orientation_xyzw[0]
    if isinstance(cube, CubeInMujoco):
        body_spin = tosses.angular_velocity[0]
        return toss_in_mujoco(cube, position, orientation, velocity, body_spin, tosses.frames, tosses.rate_hz)
    return toss_in_bullet(cube, position, orientation, velocity, spin, tosses.frames, tosses.rate_hz)


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
    right = proportion_interval(int(ours.right_face.sum()), len(ours.right_face))
    others = {"after 8 tosses": float(early.right_face.mean()), "PyBullet identified": float(engine.right_face.mean())}
    figures.append(
        Figure.at_least("right final face", float(ours.right_face.mean()), 0.9, interval=right, n=n, baselines=others)
    )
    return figures


def _engine_figures(errors: Mapping[str, TossErrors], rng: np.random.Generator) -> list[Figure]:
    """Return every engine's mean errors with their own intervals."""
    figures = []
    for who, found in errors.items():
        for kind, unit, values in (
            ("position", "mm", 1e3 * found.position_m),
            ("rotation", "degree", np.degrees(found.rotation_rad)),
        ):
            mean = bootstrap([values], np.mean, rng)
            text = f"{who}: mean {kind} error"
            figures.append(Figure.told(text, mean.value, unit=unit, interval=mean.interval, n=mean.n))
    return figures


def _coverage_figures(
    tosses: Tosses, prediction: TossPrediction, calibration: Calibration, rng: np.random.Generator
) -> list[Figure]:
    """Return the share of positions inside their 90 % intervals, axis by axis, at every compared horizon."""
    inside = np.abs(tosses.position - prediction.position) <= calibration.half_width(prediction)
    figures = []
    for label, frame, toss in _horizons(tosses):
        share = bootstrap([inside[frame, toss].mean(axis=-1)], np.mean, rng)
        text = f"coverage of 90 % position intervals, {label}"
        figures.append(Figure.within(text, share.value, 0.85, 0.95, interval=share.interval, n=share.n))
    return figures


def _energy_figures(
    tosses: Tosses,
    prediction: TossPrediction,
    calibration: Calibration,
    engines: Mapping[str, Cube],
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the mean energy score of 20 samples over the compared horizons, beside every engine's noisy ensemble."""
    widened = np.maximum(calibration.factors(len(prediction.position)) / GAUSSIAN_FACTOR, 1.0)[:, None, :]
    ours = _energy(tosses, prediction.position + widened * (prediction.samples[::2] - prediction.position))
    noisy = _noisy_starts(tosses, rng)
    theirs = {
        name: _energy(tosses, np.stack([_toss(cube, each)[0] for each in noisy])) for name, cube in engines.items()
    }
    others = {name: float(each.mean()) for name, each in theirs.items()}
    best = min(others, key=lambda name: others[name])
    mean = bootstrap([ours], np.mean, rng)
    gain = paired_bootstrap([ours], [theirs[best]], np.mean, rng)
    rest = {"unit": "mm", "n": mean.n}
    return [
        Figure.at_most(
            "energy score of 20 samples, mean over the horizons",
            mean.value,
            others[best],
            interval=mean.interval,
            baselines=others,
            **rest,
        ),
        Figure.told(f"energy score minus that of {best}, paired", gain.value, interval=gain.interval, **rest),
    ]


def _energy(tosses: Tosses, samples: Float[np.ndarray, "S T n 3"]) -> Float[np.ndarray, " n"]:
    """Return each toss's energy score (mm), mean over those of the compared horizons that it reaches."""
    total, count = np.zeros(len(tosses)), np.zeros(len(tosses))
    for _, frame, toss in _horizons(tosses):
        total[toss] += 1e3 * energy_score(samples[:, frame, toss], tosses.position[frame, toss])
        count[toss] += 1.0
    return total / count


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
        if len(toss):
            rows.append((f"frame {frame}", np.full(len(toss), frame), toss))
    return [*rows, ("last frame", tosses.frames - 1, np.arange(len(tosses)))]


def _belief_figures(identifier: Identifier, cloud: ParameterCloud) -> list[Figure]:
    units = {prior.name: prior.unit for prior in cloud.priors}
    return [
        Figure.told(f"belief of {name}, 90 % interval", middle, unit=units[name], interval=(low, high), n=cloud.tosses)
        for name, (middle, low, high) in identifier.interval(cloud).items()
    ]
