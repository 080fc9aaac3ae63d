"""Sim-to-real on the dropped square: a tenth of a second from release, one or two bounces.

The world model watches the train drops once, in order: it predicts each, then learns from it, both the parameters of
the contact law and what that law leaves over. PyBullet's friction and restitution are fitted to the first 60.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cma
import numpy as np
import torch
from jaxtyping import Float

from worldsim.dynamics import ContactSettings
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.calibration import central_interval
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.statistics import bootstrap, paired_bootstrap, proportion_interval
from worldsim.evaluation.transfer.drops import Drops, box_start, load_drops, plane_path, recorded_path, windows
from worldsim.evaluation.transfer.page import Curves, write_page
from worldsim.inference.bounce_residual import Bounce, BounceResidual, PlanePath, find_bounce
from worldsim.inference.identification import Identifier, ParameterCloud
from worldsim.inference.square_drop import SQUARE_PRIORS, roll_out_square
from worldsim.simulation.toss_engine import CubeInBullet, start_velocities, toss_in_bullet

__all__ = ["DropModel", "drop_in_bullet", "drop_misses", "identify_drop_engine", "transfer_planar_drop"]

EARLY, GROUP, SAMPLES = 8, 4, 20


@dataclass(frozen=True, slots=True)
class DropModel:
    """What is believed of the square after some drops.

    Attributes:
        identifier: learns the cloud.
        cloud: belief on the contact law.
        residual: what that leaves over.
    """

    identifier: Identifier
    cloud: ParameterCloud
    residual: BounceResidual

    @classmethod
    def begin(cls, rng: np.random.Generator) -> DropModel:
        """Return the belief before the first drop."""
        identifier = Identifier(
            horizons=(15, 18, 21, 25),
            temperature=0.1,
            settings=ContactSettings(substeps=2, iterations=10, restitution_threshold_m_s=0.05),
            priors=SQUARE_PRIORS,
            roll_out=roll_out_square,
            interval_factors={},
        )
        return cls(identifier, identifier.begin(rng), BounceResidual())

    def watched(self, drops: Drops, rng: np.random.Generator) -> DropModel:
        """Return the belief after some drops, each of which the present belief has predicted."""
        path, bounce = self._physics(drops)
        residual = self.residual
        if self.cloud.tosses >= EARLY:  # before, physics itself moves too much
            residual = residual.learned(bounce, recorded_path(drops).minus(path))
        cloud = self.identifier.assimilate(self.cloud, windows(drops), len(drops), rng)
        return replace(self, cloud=cloud, residual=residual)

    def predict(self, drops: Drops, with_residual: bool = True) -> PlanePath:
        """Return the predicted paths, by the median parameters."""
        path, bounce = self._physics(drops)
        return path.plus(self.residual.correction(bounce)) if with_residual else path

    def samples(self, drops: Drops, count: int, rng: np.random.Generator) -> Float[np.ndarray, "S 3 T N"]:
        """Return paths by sampled parameters and sampled unexplained changes."""
        natural = self.cloud.natural(self.cloud.draw(count, rng))
        path = self._rolled(natural, drops)
        _, bounce = self._physics(drops)
        correction = self.residual.correction(bounce)
        scatter = np.ones(3) if self.residual.scatter is None else self.residual.scatter
        size = np.array(self.residual.scale) * scatter
        noise = rng.standard_normal((count, 3, 1, len(drops))) * size[:, None, None] * bounce.elapsed_s
        shaped = np.stack([path.x, path.z, path.theta]).reshape(3, len(path.x), count, len(drops))
        return shaped.transpose(2, 0, 1, 3) + correction + noise

    def _physics(self, drops: Drops) -> tuple[PlanePath, Bounce]:
        natural = np.array([[middle for middle, _, _ in self.cloud.interval().values()]])
        path = self._rolled(natural, drops)
        side = float(natural[0, [prior.name for prior in SQUARE_PRIORS].index("side_angle_rad")])
        return path, find_bounce(path, drops.velocity[:, 0], drops.velocity[:, 2], side)

    def _rolled(self, natural: Float[np.ndarray, "E P"], drops: Drops) -> PlanePath:
        starts, dt_s = box_start(drops).repeated(len(natural)), 1.0 / drops.rate_hz
        return plane_path(
            *self.identifier.roll_out(natural, starts, len(drops.pose), dt_s, self.identifier.settings), dt_s
        )


def transfer_planar_drop(options: BenchOptions) -> list[Figure]:
    """Run the pass and score it; a figure a promise."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    train = load_drops(find_data("planar-drop"), "train")
    held_out = load_drops(options.data or find_data("planar-drop"), "held-out")
    if options.quick:
        train = train.select(np.arange(min(120, len(train))))
    model = prior = DropModel.begin(rng)
    early, done = model, 0
    while done < len(train):
        group = np.arange(done, min(done + (1 if done < EARLY else GROUP), len(train)))
        model = model.watched(train.select(group), rng)
        done += len(group)
        early = model if done <= EARLY else early
    options.tell(f"watched {done} drops")
    fitted = identify_drop_engine(
        train.select(np.arange(min(60, len(train)))), options.seed, 18 if options.quick else 60
    )
    options.tell(f"PyBullet identified: friction {fitted.friction:.3f}, restitution {fitted.restitution:.3f}")
    paths = {
        "world model": model.predict(held_out),
        "without residual": model.predict(held_out, with_residual=False),
        "after 8 drops": early.predict(held_out),
        "prior": prior.predict(held_out),
        "PyBullet default": drop_in_bullet(None, held_out),
        "PyBullet identified": drop_in_bullet(fitted, held_out),
        "constant velocity": _constant_velocity(held_out),
    }
    misses = {name: recorded_path(held_out).minus(path) for name, path in paths.items()}
    figures = [*_error_figures(misses, rng), *_coverage_figures(model, held_out, rng), *_belief_figures(model.cloud)]
    write_page(options, "planar-drop", _LEAD, figures, _curves(misses, held_out))
    return figures


_LEAD = (
    "A 60 mm square dropped in a vertical plane, predicted open loop from its release. The world model watched the "
    "train drops once, in order; PyBullet's friction and restitution were fitted to the first sixty of them."
)


def _square_in_bullet(friction: float | None = None, restitution: float | None = None) -> CubeInBullet:
    mass, edge = 0.1, 0.06
    square = CubeInBullet()
    if friction is not None and restitution is not None:
        square = CubeInBullet.identified(friction, restitution)
    return replace(square, mass_kg=mass, edge_m=edge, moment_kg_m2=mass * edge**2 / 6.0)


def drop_in_bullet(square: CubeInBullet | None, drops: Drops) -> PlanePath:
    """Return the drops in PyBullet; None is the engine as it comes."""
    square = square or _square_in_bullet()
    start = box_start(drops)
    position, orientation, velocity, spin = (
        part.double().numpy()
        for part in (start.position, start.orientation_xyzw, start.linear_velocity, start.angular_velocity)
    )
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (len(drops), 1))  # the spin is in world axes already
    velocity, spin = start_velocities(upright, velocity, spin, drops.rate_hz)
    frames = np.full(len(drops), len(drops.pose))
    p, q = toss_in_bullet(square, position, orientation, velocity, spin, frames, drops.rate_hz)
    return plane_path(torch.as_tensor(p), torch.as_tensor(q), 1.0 / drops.rate_hz)


def _constant_velocity(drops: Drops) -> PlanePath:
    time_s = np.arange(len(drops.pose))[:, None, None] / drops.rate_hz
    moved = drops.pose[0] + time_s * drops.velocity
    return PlanePath(moved[..., 0], moved[..., 1], moved[..., 2], 1.0 / drops.rate_hz)


def identify_drop_engine(drops: Drops, seed: int, evaluations: int) -> CubeInBullet:
    """Return PyBullet's square with friction and restitution fitted by CMA-ES to the errors at 0.1 s."""

    def square(point: Float[np.ndarray, " 2"]) -> CubeInBullet:
        friction, restitution = np.exp(point)
        return _square_in_bullet(float(friction), float(min(restitution, 1.0)))

    def loss(point: Float[np.ndarray, " 2"]) -> float:
        miss = recorded_path(drops).minus(drop_in_bullet(square(point), drops))
        return float(_distance(miss)[-1].mean() / 0.015 + np.abs(miss[2, -1]).mean() / np.radians(30.0))

    strategy = cma.CMAEvolutionStrategy(
        np.log([0.2, 0.5]), 0.3, {"seed": seed + 1, "verbose": -9, "maxfevals": evaluations, "popsize": 6}
    )
    while not strategy.stop():
        points = strategy.ask()
        strategy.tell(points, [loss(point) for point in points])
    return square(strategy.result.xbest)


def drop_misses(miss: Float[np.ndarray, "3 T N"]) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Return the position (mm) and rotation (degree) errors at the last frame."""
    return 1e3 * _distance(miss)[-1], np.degrees(np.abs(miss[2, -1]))


def _distance(miss: Float[np.ndarray, "3 T N"]) -> Float[np.ndarray, "T N"]:
    return np.hypot(miss[0], miss[1])


def _error_figures(misses: dict[str, Float[np.ndarray, "3 T N"]], rng: np.random.Generator) -> list[Figure]:
    figures = []
    for name, unit, bar, error in (
        ("position", "mm", 12.0, {who: drop_misses(miss)[0] for who, miss in misses.items()}),
        ("rotation", "degree", 25.0, {who: drop_misses(miss)[1] for who, miss in misses.items()}),
    ):
        ours = error["world model"]
        mean = bootstrap([ours], np.mean, rng)
        others = {who: float(each.mean()) for who, each in error.items() if who != "world model"}
        rest = {"unit": unit, "n": mean.n}
        text = f"mean {name} error at 0.1 s"
        figures.append(Figure.at_most(text, mean.value, bar, interval=mean.interval, baselines=others, **rest))
        gain = paired_bootstrap([ours], [error["PyBullet identified"]], np.mean, rng)
        text = f"{name} error at 0.1 s minus identified PyBullet's, paired: upper end of the 95 % interval"
        figures.append(Figure.at_most(text, gain.high, 0.0, interval=gain.interval, **rest))
        middle = {who: float(np.median(each)) for who, each in error.items()}
        own = middle.pop("world model")
        figures.append(Figure.told(f"median {name} error at 0.1 s", own, baselines=middle, **rest))
    return figures


def _coverage_figures(model: DropModel, drops: Drops, rng: np.random.Generator) -> list[Figure]:
    """Return the share of drops inside the central 90 % of the sampled paths at 0.1 s."""
    samples = model.samples(drops, 5 * SAMPLES, rng)[:, :, -1]
    truth = recorded_path(drops)
    figures = []
    for row, (name, seen) in enumerate((("x", truth.x), ("z", truth.z))):
        low, high = central_interval(samples[:, row])
        inside = (seen[-1] >= low) & (seen[-1] <= high)
        interval, n = proportion_interval(int(inside.sum()), len(inside)), len(inside)
        text = f"coverage of 90 % intervals of {name} at 0.1 s"
        figures.append(Figure.told(text, float(inside.mean()), interval=interval, n=n))
    return figures


def _curves(misses: dict[str, Float[np.ndarray, "3 T N"]], drops: Drops) -> list[Curves]:
    time_s = np.arange(len(drops.pose)) / drops.rate_hz
    position = {who: 1e3 * _distance(miss).mean(axis=1) for who, miss in misses.items()}
    rotation = {who: np.degrees(np.abs(miss[2])).mean(axis=1) for who, miss in misses.items()}
    return [
        Curves("Mean position error", time_s, "mm", position),
        Curves("Mean rotation error", time_s, "degree", rotation),
    ]


def _belief_figures(cloud: ParameterCloud) -> list[Figure]:
    units = {prior.name: prior.unit for prior in cloud.priors}
    return [
        Figure.told(f"belief of {name}, 90 % interval", middle, unit=units[name], interval=(low, high), n=cloud.tosses)
        for name, (middle, low, high) in cloud.interval(0.9).items()
    ]
