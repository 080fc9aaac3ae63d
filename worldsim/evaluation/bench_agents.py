"""``worldsim bench agents``: what agents that act on a belief can do, beside what floors and ceilings can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.bench_composition import composition_figures
from worldsim.evaluation.bench_efficiency import efficiency_figures
from worldsim.evaluation.bench_information import information_figures
from worldsim.evaluation.bench_planning import planning_figures
from worldsim.evaluation.bench_ray import ray_figures
from worldsim.evaluation.bench_resume import resume_figures
from worldsim.evaluation.explain_cases import paired_cases
from worldsim.evaluation.statistics import proportion_interval
from worldsim.registry import open_registry
from worldsim.types.explanation import Cause

__all__ = ["STAGES", "bench_agents", "explain_figures"]

PAIRS, QUICK_PAIRS = 200, 20
QUICK_STAGES = ("explain", "planning", "information")
"""The only stages of a quick run that names none: the others start processes of their own."""


def bench_agents(options: BenchOptions) -> list[Figure]:
    """Return the figures of the agents; ``--stages NAME,NAME`` measures some of them.

    Raises:
        UnknownNameError: a stage was named that there is not.
    """
    names = QUICK_STAGES if options.quick and options.stages is None else options.stages_of(tuple(STAGES))
    return [figure for name in names for figure in STAGES[name](options)]


def explain_figures(options: BenchOptions) -> list[Figure]:
    """Return in how many paired decisions `explain` names what was changed: belief or value."""
    registry, count = open_registry("builtin"), QUICK_PAIRS if options.quick else PAIRS
    rng = np.random.default_rng(options.seed)
    figures = []
    for distract in (False, True):
        options.tell(f"agents: explain, {count} pairs{', both changed a little' if distract else ''}")
        right: list[float] = []
        wrong: Counter[str] = Counter()
        for case in paired_cases(count, registry, rng, distract=distract):
            right.append(float(case.explanation.cause is case.changed))
            wrong[case.what] += case.explanation.cause is not case.changed
        value, interval = float(np.mean(right)), proportion_interval(int(sum(right)), count)
        always = float(np.mean([k % 2 == 0 for k in range(count)]))  # pairs take turns, belief first
        baselines = {f"always {Cause.BELIEF}": always, f"always {Cause.VALUE}": 1.0 - always}
        if distract:
            name = "explain names the right cause, the other changed too, where it should not matter"
            figures.append(Figure.told(name, value, interval=interval, n=count, baselines=baselines))
        else:
            name = "explain names the right cause, only one of belief and value changed"
            bar = Figure.at_least(name, value, 1.0, interval=interval, n=count, baselines=baselines)
            figures.append(bar)
        for what, times in sorted(wrong.items()):
            if times:
                options.tell(f"agents: explain was wrong {times} times where {what}")
    return figures


STAGES: dict[str, Callable[[BenchOptions], list[Figure]]] = {
    "explain": explain_figures,
    "planning": planning_figures,
    "information": information_figures,
    "composition": composition_figures,
    "efficiency": efficiency_figures,
    "ray": ray_figures,
    "resume": resume_figures,
}
"""Name -> what measures an acceptance line."""
