"""Recovery: on simulated tosses, does the belief that is learned online hold the truth as often as it says?

Each run draws a cube from the prior, tosses it a few times in the model's own contact law, adds the recordings' noise,
and lets the same `Identifier` that watches the real cube watch the tosses, one after another. What is checked is
whether the 90 % intervals of friction, restitution and size hold what the cube was drawn with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.protocol_r import Tosses, windows
from worldsim.evaluation.statistics import conformal_quantile, proportion_interval
from worldsim.evaluation.transfer.page import write_page
from worldsim.inference.identification import Identifier, ParameterCloud, roll_out_cube
from worldsim.inference.rigid_rollout import BoxStart
from worldsim.inference.toss_prediction import StartNoise

__all__ = ["Recovery", "recover", "restitution_of", "simulated_tosses", "transfer_recovery"]

RATE_HZ, FRAMES = 148.0, 75
TOSSES, RUNS, RUNS_QUICK = 4, 200, 8
WINDOW_STRIDE, WINDOWS_PER_TOSS = 12, 3
TOGETHER = 10
"""Runs whose roll-outs are one batch, for speed alone: each has its own belief and its own random numbers."""
LEVEL = 0.9
WATCHED = ("friction", "restitution", "edge_m")


Interval3 = tuple[float, float, float]
"""(median, low, high) of a 90 % interval."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one run believed in the end, and what was true; all by parameter, restitution among them.

    Attributes:
        truth: what the cube was drawn with.
        believed: the identifier's interval; prior: the same before the first toss.
        needed: by how much the interval of the cloud alone would have to be stretched about its median to hold the
            truth, which is what the identifier's `interval_factors` were taken from (on other seeds).
    """

    truth: dict[str, float]
    believed: dict[str, Interval3]
    prior: dict[str, Interval3]
    needed: dict[str, float]

    def holds(self, name: str) -> bool:
        """Return whether the interval of `name` holds the truth."""
        _, low, high = self.believed[name]
        return low <= self.truth[name] <= high


def restitution_of(damping_ratio: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Return the restitution of a mass that meets a linear spring and damper: exp(-pi z / sqrt(1 - z^2)).

    >>> restitution_of(np.array([0.0, 1.0])).tolist()
    [1.0, 0.0]
    """
    ratio = np.minimum(damping_ratio, 1.0 - 1e-9)
    return np.where(damping_ratio >= 1.0, 0.0, np.exp(-math.pi * ratio / np.sqrt(1.0 - ratio**2)))


def simulated_tosses(
    natural: Float[np.ndarray, "1 P"], count: int, identifier: Identifier, rng: np.random.Generator
) -> Tosses:
    """Return `count` tosses of the cube of those parameters, with noise and backward differences as recorded."""
    start = BoxStart(
        torch.as_tensor(np.column_stack([rng.normal(0.0, 0.1, (count, 2)), rng.uniform(0.12, 0.22, count)])),
        torch.as_tensor(Rotation.random(count, random_state=rng).as_quat()),
        torch.as_tensor(np.column_stack([rng.normal(0.0, 0.7, (count, 2)), rng.uniform(-1.0, 0.3, count)])),
        torch.as_tensor(rng.normal(0.0, 4.0, (count, 3))),
    )
    position, orientation = (
        part.numpy() for part in roll_out_cube(natural, start, FRAMES + 1, 1.0 / RATE_HZ, identifier.settings)
    )
    noise = StartNoise()
    position = position + rng.normal(0.0, noise.position_m, position.shape)
    turned = Rotation.from_rotvec(rng.normal(0.0, noise.rotation_rad, (position[..., 0].size, 3)))
    seen = turned * Rotation.from_quat(orientation.reshape(-1, 4))
    orientation = seen.as_quat().reshape(orientation.shape)
    before, after = (Rotation.from_quat(part.reshape(-1, 4)) for part in (orientation[:-1], orientation[1:]))
    spin = ((before.inv() * after).as_rotvec() * RATE_HZ).reshape(FRAMES, count, 3)  # in the body's own frame
    velocity = np.diff(position, axis=0) * RATE_HZ
    return Tosses(position[1:], orientation[1:], velocity, spin, np.full(count, FRAMES), RATE_HZ)


def recover(identifier: Identifier, seeds: Sequence[int]) -> list[Recovery]:
    """Return what the identifier makes of the tosses of cubes that were drawn from its own prior, a cube a seed."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    clouds = [identifier.begin(rng) for rng in rngs]
    truth = [_drawn(identifier, rng) for rng in rngs]
    prior = [_with_restitution(cloud.interval(LEVEL)) for cloud in clouds]
    tosses = [simulated_tosses(each, TOSSES, identifier, rng) for each, rng in zip(truth, rngs, strict=True)]
    for toss in range(TOSSES):
        stretches = [
            windows(each.select(np.array([toss])), identifier.horizons[-1], WINDOW_STRIDE, WINDOWS_PER_TOSS)
            for each in tosses
        ]
        seen = [index for index, each in enumerate(stretches) if each.position.shape[1]]
        wiser = identifier.assimilate_each(
            [clouds[index] for index in seen], [stretches[index] for index in seen], 1, [rngs[index] for index in seen]
        )
        for index, cloud in zip(seen, wiser, strict=True):
            clouds[index] = cloud
    return [
        _compared(identifier, values[0], cloud, before)
        for values, cloud, before in zip(truth, clouds, prior, strict=True)
    ]


def _compared(
    identifier: Identifier, natural: Float[np.ndarray, " P"], cloud: ParameterCloud, before: dict[str, Interval3]
) -> Recovery:
    truth = dict(zip((prior.name for prior in identifier.priors), natural.tolist(), strict=True))
    alone = cloud.interval(LEVEL)
    needed = {}
    for prior in identifier.priors:
        change = np.log if prior.transform == "log" else np.asarray
        true, middle, low, high = (float(change(value)) for value in (truth[prior.name], *alone[prior.name]))
        needed[prior.name] = (true - middle) / (high - middle) if true > middle else (middle - true) / (middle - low)
    truth["restitution"] = float(restitution_of(np.array([truth["damping_ratio"]]))[0])
    return Recovery(truth, _with_restitution(identifier.interval(cloud)), before, needed)


def _drawn(identifier: Identifier, rng: np.random.Generator) -> Float[np.ndarray, "1 P"]:
    """Return natural parameters drawn from the prior."""
    priors = identifier.priors
    centre = np.array([np.log(p.mean) if p.transform == "log" else p.mean for p in priors])
    values = centre + np.array([p.std for p in priors]) * rng.standard_normal(len(priors))
    is_log = np.array([p.transform == "log" for p in priors])
    return np.where(is_log, np.exp(np.where(is_log, values, 0.0)), values)[None]


def _with_restitution(found: dict[str, Interval3]) -> dict[str, Interval3]:
    middle, low, high = restitution_of(np.array(found["damping_ratio"]))
    return found | {"restitution": (float(middle), float(high), float(low))}  # more damping, less bounce


def transfer_recovery(options: BenchOptions) -> list[Figure]:
    """Run the seeds; a figure a parameter, and how much narrower each interval became."""
    torch.set_num_threads(1)
    seeds = options.seeds_or(range(RUNS), range(RUNS_QUICK))
    identifier = Identifier()
    runs: list[Recovery] = []
    for first in range(0, len(seeds), TOGETHER):
        runs += recover(identifier, seeds[first : first + TOGETHER])
        options.tell(f"{len(runs)} runs: " + ", ".join(f"{n} {_share(runs, n):.2f}" for n in WATCHED))
    figures = [figure for name in (*WATCHED, *_others(identifier)) for figure in _figures(runs, name)]
    for prior in identifier.priors:
        stretch = conformal_quantile([run.needed[prior.name] for run in runs], LEVEL)
        if math.isfinite(stretch):
            text = f"stretch of the cloud's own interval of {prior.name} that holds 90 % of the truths"
            figures.append(Figure.told(text, stretch, n=len(runs)))
    write_page(options, "recovery", _LEAD, figures, [])
    return figures


_LEAD = (
    "Cubes are drawn from the prior and tossed in the model's own contact law with the recordings' noise; the "
    "identifier watches them. Do the intervals of its belief hold what is true?"
)


def _others(identifier: Identifier) -> list[str]:
    return [prior.name for prior in identifier.priors if prior.name not in WATCHED]


def _figures(runs: Sequence[Recovery], name: str) -> list[Figure]:
    """Return coverage, promised of what is watched, and how much narrower the interval became."""
    held = sum(run.holds(name) for run in runs)
    rest = {"interval": proportion_interval(held, len(runs)), "n": len(runs)}
    text, share = f"coverage of the 90 % interval of {name} after {TOSSES} tosses", held / len(runs)
    narrower = [_width(run.believed[name]) / _width(run.prior[name]) for run in runs]
    return [
        Figure.within(text, share, 0.85, 0.95, **rest) if name in WATCHED else Figure.told(text, share, **rest),
        Figure.told(
            f"width of the interval of {name} over that before the first toss, median",
            float(np.median(narrower)),
            n=len(runs),
        ),
    ]


def _share(runs: Sequence[Recovery], name: str) -> float:
    return sum(run.holds(name) for run in runs) / len(runs)


def _width(interval: Interval3) -> float:
    return interval[2] - interval[1]
