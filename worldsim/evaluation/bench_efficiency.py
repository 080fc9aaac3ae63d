"""Sample efficiency: what an agent reaches that learns its models as it acts, beside long model-free trainings."""

from __future__ import annotations

import numpy as np

from worldsim.evaluation.baselines import Baseline, recorded_baselines
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.efficiency_page import Side, acting_curve, render_efficiency_page, training_curve
from worldsim.evaluation.kept_stages import kept_jobs
from worldsim.evaluation.online_learning import Learned, LearningJob, learn_job
from worldsim.evaluation.ray_workers import job_map
from worldsim.evaluation.statistics import Estimate, bootstrap_runs, interquartile_mean

__all__ = ["efficiency_figures", "reaches"]

AGENT, FRAMES, SCENARIOS_BAR = "active_inference", 10_000, 6
RECORD = (
    "worldsim train SCENARIO --agent ppo --steps 300000 --seeds 5 --envs 8 --checkpoint-every 30000 "
    "--evaluation-episodes 5 --record worldsim/evaluation/baselines/SCENARIO-ppo.json"
)
"""What records a baseline (``sac`` with 100000 steps and one environment likewise); hours a scenario."""
_QUICK_FRAMES = 20
_EPISODES, _QUICK_EPISODES = 5, 1


def efficiency_figures(options: BenchOptions) -> list[Figure]:
    """Return the agent's return on held-out episodes after 10,000 frames, from the generic start, scenario by scenario.

    In the held-out episodes no model is learned or published, as the baselines' policies are not trained on in theirs.
    The scenarios are those of which a baseline was recorded (`worldsim.evaluation.baselines`); the baselines were
    evaluated on the same held-out episodes. With ``--data FOLDER`` the records of that folder are taken instead, with
    ``--scenarios`` those of some scenarios alone. Where nothing was recorded the figure is NaN, which does not hold.
    With ``--out`` every run is kept in that folder, so that an interrupted measurement goes on, and
    ``learning-curves.html`` draws the curves together.
    """
    recorded, asked_for = recorded_baselines(options.data), options.scenarios
    baselines = {name: found for name, found in recorded.items() if asked_for is None or name in asked_for}
    reaching = "efficiency: scenarios on which the agent reaches the better baseline"
    if not baselines:
        options.tell(f"agents: efficiency: no baseline was recorded; `{RECORD}` records one")
        return [Figure.at_least(reaching, float("nan"), SCENARIOS_BAR, n=0)]
    seeds, rng = options.seeds_or(range(10), range(1)), np.random.default_rng(options.seed)
    frames, episodes = (_QUICK_FRAMES, _QUICK_EPISODES) if options.quick else (FRAMES, _EPISODES)
    folder = None if options.out is None else options.out / "episodes"
    figures, sides = [], {}
    for scenario, methods in baselines.items():
        jobs = [
            LearningJob(scenario, AGENT, seed, frames, episodes, False, scenario_arguments=(("reward", "dense"),))
            for seed in seeds
        ]
        with job_map(options.ray) as play_all:
            runs: list[Learned] = kept_jobs(play_all, folder, Learned.from_json)(learn_job, jobs)
        ours = bootstrap_runs([np.array([s.total for s in run.scores]) for run in runs], interquartile_mean, rng)
        best, theirs = _better(methods, rng)
        curves = {_named(b): training_curve(b, rng) for b in methods}
        sides[scenario] = Side(acting_curve(runs, frames, rng), curves, reaches(ours, theirs))
        beside = {_named(b): bootstrap_runs(b.returns, interquartile_mean, rng).value for b in methods}
        options.tell(f"agents: efficiency, {scenario}: {ours.value:.2f}, {best}: {theirs.value:.2f}")
        name = f"{scenario}: dense return after {frames} frames from the generic start (IQM)"
        figures.append(Figure.told(name, ours.value, interval=ours.interval, n=ours.n, baselines=beside))
    if options.out is not None:
        page = render_efficiency_page(AGENT, sides, frames)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "learning-curves.html").write_text(page, encoding="utf-8")
    reached = sum(side.reaches for side in sides.values())
    return [*figures, Figure.at_least(reaching, float(reached), SCENARIOS_BAR, n=len(baselines))]


def reaches(ours: Estimate, theirs: Estimate) -> bool:
    """Return whether both ends of our interval are at least theirs: interval by interval."""
    return ours.low >= theirs.low and ours.high >= theirs.high


def _better(recorded: list[Baseline], rng: np.random.Generator) -> tuple[str, Estimate]:
    """Return the name and the score of the better one of the baselines."""
    scored = [(_named(b), bootstrap_runs(b.returns, interquartile_mean, rng)) for b in recorded]
    return max(scored, key=lambda pair: pair[1].value)


def _named(baseline: Baseline) -> str:
    return f"{baseline.agent}, {baseline.steps} frames, {len(baseline.returns)} seeds"
