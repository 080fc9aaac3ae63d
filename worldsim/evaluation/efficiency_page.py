"""Learning curves drawn together: an agent that learns its models as it acts, and long trainings by others' methods."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from worldsim.evaluation.baselines import Baseline
from worldsim.evaluation.online_learning import Learned
from worldsim.evaluation.report.palette import ROLES
from worldsim.evaluation.report.plots import style, svg
from worldsim.evaluation.statistics import Estimate, bootstrap_runs, interquartile_mean
from worldsim.evaluation.training_page import plain_page

__all__ = ["Curve", "Side", "acting_curve", "render_efficiency_page", "training_curve"]

_SERIES = ("s2", "s3", "s4", "s5")
_PARTS = 8  # of what was acted: a point of the curve each
_FIRST_FRAME = 100  # where the axis of frames, which is logarithmic, begins

Curve = list[tuple[float, Estimate]]
"""(frames learned from, return) in the order of frames."""


@dataclass(frozen=True, slots=True)
class Side:
    """One scenario: our curve, the baselines' by name, and whether ours reaches the better of them."""

    ours: Curve
    baselines: Mapping[str, Curve]
    reaches: bool


def acting_curve(runs: Sequence[Learned], frames: int, rng: np.random.Generator) -> Curve:
    """Return the return of whole episodes against the frames before them, all runs together, over parts of `frames`.

    The agent acts as well as it can from its first frame, so that these are the episodes it learns from themselves.
    """
    edges = np.linspace(0.0, frames, _PARTS + 1)
    curve = []
    for low, high in itertools.pairwise(edges):
        # the last episode of a run is cut where its frames are used up
        strata = [np.array([s.total for before, s in run.curve[:-1] if low <= before < high]) for run in runs]
        strata = [stratum for stratum in strata if len(stratum)]
        if strata:
            curve.append((float((low + high) / 2.0), bootstrap_runs(strata, interquartile_mean, rng)))
    return curve


def training_curve(baseline: Baseline, rng: np.random.Generator) -> Curve:
    """Return the return of held-out episodes at every evaluation that all seeds of a baseline have."""
    curve = []
    for at in range(min((len(seed) for seed in baseline.curves), default=0)):
        step = max(seed[at][0] for seed in baseline.curves)
        returns = [np.array(seed[at][1]) for seed in baseline.curves]
        curve.append((float(step), bootstrap_runs(returns, interquartile_mean, rng)))
    return curve


BASELINES = ("ppo", "sac")
"""Agents of which the better one is to be reached."""


def render_efficiency_page(agent: str, sides: Mapping[str, Side], frames: int) -> str:
    """Return the page, as text: a drawing a scenario, and in words where the agent does not reach the baselines."""
    short = [name for name, side in sides.items() if not side.reaches]
    lead = (
        f"{agent} learns its models online from the generic start, over {frames} frames. It reaches the better "
        f"baseline, interval by interval, on {len(sides) - len(short)} of {len(sides)} scenarios"
        + (f"; it does not on {', '.join(short)}." if short else ".")
        + "".join(
            f" No training of {missing} was recorded for {', '.join(names)}: there the other one is taken."
            for missing in BASELINES
            if (
                names := [
                    name for name, side in sides.items() if not any(b.startswith(missing) for b in side.baselines)
                ]
            )
        )
    )
    caption = (
        "Interquartile mean of the return against frames learned from, with 95 % bootstrap intervals over whole "
        f"runs. {agent}: the episodes it learns from; the others: held-out episodes."
    )
    plots = [(Markup(_drawing(name, agent, side)), f"{name}. {caption}") for name, side in sides.items()]
    rows = [
        (f"{name}: {who}, {curve[-1][0]:.0f} frames", f"{curve[-1][1].value:.4g} ({_interval(curve[-1][1])})")
        for name, side in sides.items()
        for who, curve in {agent: side.ours, **side.baselines}.items()
        if curve
    ]
    return plain_page("Learning curves", lead, plots, rows, {"frames": frames})


def _interval(estimate: Estimate) -> str:
    span = "" if np.isnan(estimate.low) else f"{estimate.low:.4g} .. {estimate.high:.4g}, "
    return f"{span}n = {estimate.n}"


def _drawing(scenario: str, agent: str, side: Side) -> str:
    figure = Figure(figsize=(7.6, 3.2))
    axes = figure.subplots()
    style(axes)
    roles = {agent: "s1"} | {name: _SERIES[i % len(_SERIES)] for i, name in enumerate(side.baselines)}
    for name, curve in {agent: side.ours, **side.baselines}.items():
        if not curve:
            continue
        steps = [max(step, _FIRST_FRAME) for step, _ in curve]
        colour = ROLES[roles[name]]
        axes.fill_between(steps, [e.low for _, e in curve], [e.high for _, e in curve], color=colour, alpha=0.18, lw=0)
        axes.plot(steps, [e.value for _, e in curve], color=colour, lw=1.8, marker="o", ms=3)
        top = np.nanmax([(e.value, e.high) for _, e in curve])  # above its curve, on which it would be hard to read
        axes.annotate(
            name, (steps[-1], top), (0, 4), textcoords="offset points", color=colour, size=8, ha="right", va="bottom"
        )
    axes.margins(y=0.12)
    axes.set_xscale("log")
    axes.set_xlabel("frames learned from")
    axes.set_ylabel(f"return, {scenario}")
    return svg(figure)
