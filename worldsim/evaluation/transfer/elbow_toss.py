"""Sim-to-real on the tossed elbow: windows of 15 frames (101 ms) of two hinged blocks on a board.

The world model watches the train tosses once, in order: contact, inertia, friction of board and hinge, centres of mass
and floor are beliefs. Windows lie back to back from the first frame on, as long as the pair still moves at their start;
they start from the recorded pose and the recorded backward differences, and nothing later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from worldsim.dynamics import quaternion
from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation.archives import check_rate, read_arrays, told_rate
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.protocol_r import SPLITS
from worldsim.evaluation.statistics import bootstrap, cluster_bootstrap, paired_bootstrap
from worldsim.evaluation.transfer.page import Curves, write_page
from worldsim.inference.elbow_toss import ElbowModel, ElbowPaths, ElbowWindows
from worldsim.inference.recursive_fit import GaussianBelief
from worldsim.simulation.recordings.checks import check_arrays, check_unit

__all__ = ["ElbowTosses", "load_elbow", "transfer_elbow_toss", "windows"]

RATE_HZ = 148.0
FRAMES = 15
MOVING_M_S = 0.1
EARLY, GROUP = 8, 12

_COLUMNS: dict[str, tuple[int, ...]] = {
    "pos": (3,), "quat_wxyz": (4,), "joint": (), "vel": (3,), "angvel_body": (3,), "joint_vel": ()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElbowTosses:
    """n tosses of T frames, as recorded.

    Attributes:
        position: [n, T, 3] m; orientation_xyzw: [n, T, 4]; joint_rad: [n, T].
        velocity: [n, T, 3] m/s world; spin: [n, T, 3] rad/s in the frame of link 1; joint_rate: [n, T] rad/s.
    """

    position: Float[np.ndarray, "n T 3"]
    orientation_xyzw: Float[np.ndarray, "n T 4"]
    joint_rad: Float[np.ndarray, "n T"]
    velocity: Float[np.ndarray, "n T 3"]
    spin: Float[np.ndarray, "n T 3"]
    joint_rate: Float[np.ndarray, "n T"]

    def __len__(self) -> int:
        """Return the number of tosses."""
        return len(self.position)

    def select(self, index: slice) -> ElbowTosses:
        """Return some of the tosses."""
        return ElbowTosses(*(getattr(self, name)[index] for name in self.__slots__))


def load_elbow(path: Path, split: str) -> ElbowTosses:
    """Return the tosses of one split (a name in `SPLITS`) of a file in the format of ``elbow_toss.npz``.

    Raises:
        UnknownNameError: no such split.
        DataError: the file is missing, of another format or rate, or has no toss in the split.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    arrays = read_arrays(path, "tosses of the elbow", (*_COLUMNS, "split"), ("meta",))
    if "meta" in arrays:
        check_rate(path, told_rate(path, arrays, RATE_HZ), RATE_HZ)
    n, frames = (*arrays["pos"].shape, 0, 0)[:2]
    check_arrays(path, arrays, {name: (n, frames, *width) for name, width in _COLUMNS.items()} | {"split": (n,)})
    check_unit(path, "quat_wxyz", arrays["quat_wxyz"])
    chosen = np.isin(arrays["split"], SPLITS[split])
    if not chosen.any():
        raise DataError(f"{path}: no toss of the {split} split.")
    part = {name: arrays[name][chosen].astype(np.float64) for name in _COLUMNS}
    turned = np.roll(part["quat_wxyz"], -1, axis=-1)
    turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
    return ElbowTosses(part["pos"], turned, part["joint"], part["vel"], part["angvel_body"], part["joint_vel"])


def windows(tosses: ElbowTosses) -> tuple[ElbowWindows, np.ndarray]:
    """Return the windows, and [W] which toss each is of."""
    starts = np.arange(0, tosses.position.shape[1] - FRAMES, FRAMES)
    moving = np.linalg.norm(tosses.velocity[:, starts], axis=-1) > MOVING_M_S
    toss, index = np.nonzero(moving)
    first = starts[index]
    span = first + np.arange(FRAMES + 1)[:, None]

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array))

    orientation = tensor(tosses.orientation_xyzw[toss, span])
    paths = ElbowPaths(tensor(tosses.position[toss, span]), orientation, tensor(tosses.joint_rad[toss, span]))
    spin = quaternion.rotate(orientation[0], tensor(tosses.spin[toss, first]))
    velocity, rate = tensor(tosses.velocity[toss, first]), tensor(tosses.joint_rate[toss, first])
    return ElbowWindows(paths, velocity, spin, rate, 1.0 / RATE_HZ), toss


def transfer_elbow_toss(options: BenchOptions) -> list[Figure]:
    """Run the pass and score it; a figure a promise."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    train = load_elbow(find_data("elbow-toss"), "train")
    held_out = load_elbow(path := options.data or find_data("elbow-toss"), "held-out")
    if options.quick:
        train, held_out = train.select(slice(0, 20)), held_out.select(slice(0, 40))
    window, toss = windows(held_out)
    if len(toss) == 0:
        raise DataError(
            f"{path}: no held-out toss has a window of {FRAMES + 1} frames that starts at more than {MOVING_M_S} m/s, "
            "so that there is nothing to score."
        )
    model = ElbowModel()
    belief = early = model.begin()
    done = 0
    while done < len(train):
        group = 1 if done < EARLY else GROUP
        belief = model.assimilate(belief, windows(train.select(slice(done, done + group)))[0])
        done = min(done + group, len(train))
        early = belief if done <= EARLY else early
        options.tell(f"watched {done} tosses")
    paths = {
        "world model": _predicted(model, belief, window),
        f"after {EARLY} tosses": _predicted(model, early, window),
        "prior": _predicted(model, model.begin(), window),
        "constant velocity": _constant_velocity(window),
    }
    misses = {name: _sizes(path, window) for name, path in paths.items()}
    figures = [*_figures(misses, toss, rng), *_belief_figures(belief)]
    write_page(options, "elbow-toss", _LEAD, figures, _curves(misses))
    return figures


_LEAD = (
    "Two hinged blocks tossed on a board, predicted open loop for 15 frames. The world model watched the train tosses "
    "once, in order."
)

Sizes = dict[str, Float[np.ndarray, "T W"]]
"""``position`` (mm), ``rotation`` (degree), ``joint`` (degree) -> errors."""


def _predicted(model: ElbowModel, belief: GaussianBelief, window: ElbowWindows) -> ElbowPaths:
    return model.predict(belief.natural()[None], window, FRAMES + 1)


def _constant_velocity(window: ElbowWindows) -> ElbowPaths:
    time_s = (torch.arange(FRAMES + 1, dtype=window.velocity.dtype) * window.dt_s)[:, None]
    turn = quaternion.exp(time_s[..., None] * window.spin)
    first = window.paths.orientation_xyzw[0].expand_as(turn)
    return ElbowPaths(
        window.paths.position[0] + time_s[..., None] * window.velocity,
        quaternion.multiply(turn, first),
        window.paths.joint_rad[0] + time_s * window.joint_rate,
    )


def _sizes(paths: ElbowPaths, window: ElbowWindows) -> Sizes:
    position, turned, bent = paths.minus(window.paths)
    return {
        "position": 1e3 * position.norm(dim=-1).numpy(),
        "rotation": np.degrees(turned.norm(dim=-1).numpy()),
        "joint": np.degrees(bent.abs().numpy()),
    }


def _figures(misses: dict[str, Sizes], toss: np.ndarray, rng: np.random.Generator) -> list[Figure]:
    figures = []
    for kind, unit, bar in (("position", "mm", 9.0), ("rotation", "degree", 12.0), ("joint", "degree", 11.0)):
        last = {who: sizes[kind][-1] for who, sizes in misses.items()}
        # Windows of one toss are kin: tosses are resampled, each with the mean of its windows and their number.
        ours = last["world model"]
        interval = _by_toss(ours, toss, rng)
        others = {who: float(each.mean()) for who, each in last.items() if who != "world model"}
        rest = {"unit": unit, "n": len(ours)}
        text = f"mean {kind} error after {FRAMES} frames"
        figures.append(Figure.at_most(text, float(ours.mean()), bar, interval=interval, baselines=others, **rest))
        middle = {who: float(np.median(each)) for who, each in last.items()}
        own = middle.pop("world model")
        figures.append(Figure.told(f"median {kind} error after {FRAMES} frames", own, baselines=middle, **rest))
        whole = bootstrap([_toss_means(ours, toss)], np.mean, rng)
        text = f"mean {kind} error after {FRAMES} frames, tosses weighing alike"
        figures.append(Figure.told(text, whole.value, unit=unit, interval=whole.interval, n=whole.n))
        gain = paired_bootstrap([_toss_means(ours, toss)], [_toss_means(last["prior"], toss)], np.mean, rng)
        text = f"{kind} error minus the prior's, paired over tosses"
        figures.append(Figure.told(text, gain.value, unit=unit, interval=gain.interval, n=gain.n))
    return figures


def _toss_means(error: Float[np.ndarray, " W"], toss: np.ndarray) -> Float[np.ndarray, " n"]:
    return np.array([error[toss == each].mean() for each in np.unique(toss)])


def _by_toss(error: Float[np.ndarray, " W"], toss: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean over windows, tosses resampled whole."""
    return cluster_bootstrap([error[toss == each] for each in np.unique(toss)], np.mean, rng).interval


def _curves(misses: dict[str, Sizes]) -> list[Curves]:
    time_s = np.arange(FRAMES + 1) / RATE_HZ
    units = {"position": "mm", "rotation": "degree", "joint": "degree"}
    return [
        Curves(f"Mean {kind} error", time_s, unit, {who: sizes[kind].mean(axis=1) for who, sizes in misses.items()})
        for kind, unit in units.items()
    ]


def _belief_figures(belief: GaussianBelief) -> list[Figure]:
    units = {prior.name: prior.unit for prior in belief.priors}
    return [
        Figure.told(
            f"belief of {name}, 90 % interval", found[0], unit=units[name], interval=found[1:], n=belief.windows
        )
        for name, found in belief.interval().items()
    ]
