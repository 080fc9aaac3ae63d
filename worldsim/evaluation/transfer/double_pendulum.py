"""Sim-to-real on the double pendulum: half-second predictions of runs, and of builds, that no fit has seen.

The world model watches the identification runs of build C.1, one after another, each once. A run of C.1 is predicted
by a belief that watched the others. For another build, that belief is widened, watches one run of it, and predicts the
rest; every run takes its turn at being the one, so that none is chosen. `--data FILE` scores the runs of a file: what
is watched comes from the shipped runs alone, and a run that lies in both is never watched before it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from worldsim.errors import DataError
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.statistics import bootstrap_runs
from worldsim.evaluation.transfer.page import Curves, write_page
from worldsim.evaluation.transfer.pendulum_runs import FRAME_S, HORIZON_S, PAST_S, PendulumRun, load_runs, windows
from worldsim.inference.pendulum import PendulumModel, PendulumWindows
from worldsim.inference.recursive_fit import GaussianBelief

__all__ = ["Adaptation", "transfer_double_pendulum"]

HOME, OTHER = "C.1", "C.0"
BATCH = 6
"""Windows a correction: three seconds of a run."""

BUILD_SPREAD = 0.6
"""How much of the prior's spread another build of the same design may differ by."""

_GEAR, _ROTOR = 6.0, 6.287e-5
_M1, _M2, _R1, _R2, _I1, _I2, _L1, _G = 0.5235, 0.6256, 0.2, 0.2557, 0.03189, 0.05087, 0.2, 9.81
LAB = np.array(
    [
        *(_I1 + _M2 * _L1**2 + _ROTOR, _I2 + _GEAR**2 * _ROTOR, _I2 - _GEAR * _ROTOR, _M2 * _L1 * _R2),
        *(_G * (_M1 * _R1 + _M2 * _L1), _G * _M2 * _R2),
        *(0.001, 0.001, 0.5 * np.pi * 0.16, 0.5 * np.pi * 0.12, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0),
    ]
)
"""The laboratory's own identification of build C.1 (design_C.1/model_1.0 of its repository), as lumped parameters.

Its dry friction is cf arctan(100 v), whose limit is pi / 2 cf; ours turns its sign over a like speed.
"""


@dataclass
class Adaptation:
    """Watches runs in order, and remembers beliefs by what they have watched.

    Attributes:
        model: learns and predicts.
        shipped: the runs that may be watched.
        seen: (widened, digests watched) -> belief.
    """

    model: PendulumModel
    shipped: Sequence[PendulumRun]
    seen: dict[tuple[bool, tuple[str, ...]], GaussianBelief] = field(default_factory=dict)

    def at_home(self, but: str = "") -> GaussianBelief:
        """Return the belief after all home runs, in order, but the one of that digest."""
        runs = [run for run in self.shipped if run.build == HOME and run.digest != but]
        key = (False, tuple(run.digest for run in runs))
        if key not in self.seen:
            belief = self.model.begin()
            for run in runs:
                belief = self._watched(belief, run)
            self.seen[key] = belief
        return self.seen[key]

    def abroad(self, run: PendulumRun) -> GaussianBelief:
        """Return the belief about the build of `run` after watching `run` alone of it."""
        key = (True, (run.digest,))
        if key not in self.seen:
            self.seen[key] = self._watched(self.at_home().widened(BUILD_SPREAD), run)
        return self.seen[key]

    def _watched(self, belief: GaussianBelief, run: PendulumRun) -> GaussianBelief:
        whole = windows(run)
        for first in range(0, len(whole), BATCH):
            belief = self.model.assimilate(belief, whole.select(slice(first, first + BATCH)))
        return belief


def transfer_double_pendulum(options: BenchOptions) -> list[Figure]:
    """Watch, predict and score; a figure a promise."""
    torch.set_num_threads(1)  # batches are too small to be shared out
    rng = np.random.default_rng(options.seed)
    shipped = list(load_runs(find_data("double-pendulum")))
    scored = shipped if options.data is None else list(load_runs(options.data))
    if options.quick:
        shipped = [run for run in shipped if run.build in (HOME, OTHER)]
        home = [run for run in shipped if run.build == HOME]
        watched = {run.digest for run in home[:4]}
        scored = [run for run in scored if run.digest not in watched]
        shipped = [*home[:4], *[run for run in shipped if run.build == OTHER][1:3]]
    if not any(len(windows(run)) for run in scored):
        raise DataError(
            f"{options.data or find_data('double-pendulum')}: no run that is left to score is longer than "
            f"{PAST_S + HORIZON_S:g} s, so that there is nothing to score."
        )
    adaptation = Adaptation(PendulumModel(), shipped)
    figures, curves = [], []
    builds = list(dict.fromkeys(run.build for run in scored))
    for build in sorted(builds, key=(HOME, OTHER, *builds).index):
        runs = [run for run in scored if run.build == build]
        options.tell(f"build {build}: {len(runs)} runs")
        errors = _errors(adaptation, runs)
        if errors:
            figures += _figures(build, errors, rng)
            curves.append(_curves(build, errors))
    figures += _belief_figures(adaptation.at_home())
    write_page(options, "double-pendulum", _LEAD, figures, curves)
    return figures


_LEAD = (
    "Joint angles of an actuated double pendulum, predicted open loop for half a second under the measured torques. "
    "The world model watched other runs, once and in order; the laboratory's parameters are its published ones."
)

Rows = dict[str, list[Float[np.ndarray, "B T W"]]]
"""Model -> one array a scored run: squared error (rad^2), mean over the joints, at every frame of every window, for
each of B beliefs (one for each run that may be watched; models without belief have one)."""


def _errors(adaptation: Adaptation, runs: Sequence[PendulumRun]) -> Rows:
    """Return the errors of all runs of one build."""
    rows: Rows = {}
    for run in runs:
        window = windows(run)
        if len(window) == 0:
            continue
        ours = {"world model": [adaptation.at_home(run.digest)]}
        if run.build != HOME:
            others = [each for each in adaptation.shipped if each.build == run.build and each.digest != run.digest]
            ours = {"world model": [adaptation.abroad(each) for each in others], "not adapted": [adaptation.at_home()]}
        for name, beliefs in ours.items():
            if beliefs:
                predicted = [adaptation.model.predict(each.natural()[None], window)[0] for each in beliefs]
                rows.setdefault(name, []).append(np.stack([_squared(each, window) for each in predicted]))
        for name, predict in _BASELINES.items():
            rows.setdefault(name, []).append(_squared(predict(adaptation.model, window), window)[None])
    return rows


def _lab(model: PendulumModel, window: PendulumWindows) -> torch.Tensor:
    return model.predict(LAB[None], window, follow=False)[0]


def _lab_followed(model: PendulumModel, window: PendulumWindows) -> torch.Tensor:
    return model.predict(LAB[None], window)[0]


def _held(model: PendulumModel, window: PendulumWindows) -> torch.Tensor:
    del model
    return window.future[:1].expand_as(window.future)


def _constant_velocity(model: PendulumModel, window: PendulumWindows) -> torch.Tensor:
    angle, velocity = model.sloped(window)
    time_s = FRAME_S * torch.arange(len(window.future), dtype=angle.dtype)
    return angle + time_s[:, None, None] * velocity


_BASELINES: dict[str, Callable[[PendulumModel, PendulumWindows], torch.Tensor]] = {
    "lab's parameters": _lab,
    "lab's parameters, start as ours": _lab_followed,
    "hold": _held,
    "constant velocity": _constant_velocity,
}


def _squared(predicted: torch.Tensor, window: PendulumWindows) -> Float[np.ndarray, "T W"]:
    """Return the mean over the joints of the squared error after the start; a lost prediction counts as a half turn."""
    off = (predicted - window.future)[1:].nan_to_num(nan=np.pi, posinf=np.pi, neginf=np.pi)
    return np.asarray((off**2).mean(dim=1).clamp(max=1e3).numpy())


def _figures(build: str, rows: Rows, rng: np.random.Generator) -> list[Figure]:
    each = {name: [np.sqrt(row.mean(axis=1)).mean(axis=0) for row in parts] for name, parts in rows.items()}
    baselines = {name: float(np.concatenate(parts).mean()) for name, parts in each.items() if name != "world model"}
    if "world model" not in each:
        name = f"build {build}, joint RMSE over 0.5 s, not adapted (no run of this build is shipped)"
        mean = bootstrap_runs(each["not adapted"], np.mean, rng)
        return [Figure.told(name, mean.value, unit="rad", interval=mean.interval, n=mean.n, baselines=baselines)]
    ours = each["world model"]
    mean = bootstrap_runs(ours, np.mean, rng)
    pooled = {name: float(np.sqrt(_by_window(parts).mean())) for name, parts in rows.items()}
    own = pooled.pop("world model")
    rest = {"unit": "rad", "n": mean.n}
    name = f"build {build}, joint RMSE over 0.5 s, mean over windows"
    bar = {HOME: 0.055, OTHER: 0.10}.get(build)
    shown = {"interval": mean.interval, "baselines": baselines, **rest}
    gain = bootstrap_runs([a - b for a, b in zip(ours, each["lab's parameters"], strict=True)], np.mean, rng)
    return [
        Figure.told(name, mean.value, **shown) if bar is None else Figure.at_most(name, mean.value, bar, **shown),
        Figure.told(f"build {build}, joint RMSE over 0.5 s, pooled", own, baselines=pooled, **rest),
        Figure.told(
            f"build {build}, joint RMSE minus that of the lab's parameters, paired",
            gain.value,
            interval=gain.interval,
            **rest,
        ),
    ]


def _by_window(parts: list[Float[np.ndarray, "B T W"]]) -> Float[np.ndarray, "T W"]:
    """Return the squared errors of all runs, mean over the beliefs."""
    return np.concatenate([row.mean(axis=0) for row in parts], axis=1)


def _curves(build: str, rows: Rows) -> Curves:
    lines = {name: np.sqrt(_by_window(parts).mean(axis=1)) for name, parts in rows.items()}
    length = len(next(iter(lines.values())))
    shown = {name: lines[name] for name in ("world model", *lines) if name in lines}
    return Curves(f"Build {build}: joint RMSE", FRAME_S * np.arange(1, length + 1), "rad", shown)


def _belief_figures(belief: GaussianBelief) -> list[Figure]:
    units = {prior.name: prior.unit for prior in belief.priors}
    return [
        Figure.told(
            f"belief of {name} ({HOME}), 90 % interval",
            found[0],
            unit=units[name],
            interval=found[1:],
            n=belief.windows,
        )
        for name, found in belief.interval().items()
    ]
