"""What a training came to: the figures, and one self-contained page with its learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.report.page import how_made
from worldsim.evaluation.report.palette import DARK, LIGHT, ROLES
from worldsim.evaluation.report.plots import style, svg
from worldsim.evaluation.statistics import Estimate, bootstrap_runs, interquartile_mean
from worldsim.evaluation.training import Evaluation, SeedResult

__all__ = ["plain_page", "render_training_page", "training_metrics", "training_verdict"]

_SERIES = ("s1", "s2", "s3", "s4", "s5")
_SMOOTHED = 10  # episodes in a running mean
_SIZE_INCHES = (7.6, 3.0)
_FEW_EPISODES = 5
_FLOOR = {"random": "acting at random has", "still": "standing still has"}
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
:root { {% for k, v in light.items() %}--{{ k }}: {{ v }}; {% endfor %} color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { {% for k, v in dark.items() %}--{{ k }}: {{ v }}; {% endfor %} } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto;
  max-width: 56rem; padding: 0 1rem; }
section { background: var(--panel); border-radius: 8px; padding: 1rem 1.25rem; margin: 1rem 0; }
p, figcaption { color: var(--muted); } p.lead { color: var(--ink); font-size: 17px; } figure { margin: 0; }
table { border-collapse: collapse; } svg { width: 100%; height: auto; }
td, th { text-align: left; padding: .15rem 1rem .15rem 0; border-bottom: 1px solid var(--grid); }
pre { overflow-x: auto; font-size: 12px; color: var(--muted); }
</style></head><body>
<h1>{{ title }}</h1>
<p class="lead">{{ lead }}</p>
{% if commands %}<section><h2>Go on from here</h2><pre>{{ commands }}</pre></section>
{% endif %}
{% for plot, caption in plots %}<section><figure>{{ plot }}<figcaption>{{ caption }}</figcaption></figure></section>
{% endfor %}<section><h2>Figures</h2><table>
{% for name, value in rows %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table></section>
<section><h2>Run</h2><pre>{{ run }}</pre></section>
</body></html>
"""


def training_metrics(
    results: Sequence[SeedResult], floors: Mapping[str, Evaluation], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the figures of a training: interquartile means over seeds and episodes, with intervals, beside floors.

    Args:
        results: one a seed.
        floors: name -> what an agent that learns nothing scores on the same held-out episodes.
        rng: of the bootstrap.
    """
    metrics: dict[str, Any] = {
        "steps": [result.steps for result in results],
        "restarts": [result.restarts for result in results],
        "episodes": [len(result.episodes) for result in results],
        "floors": {name: interquartile_mean(np.array(found.returns)) for name, found in floors.items()},
    }
    curve = _curve(results, rng)
    if curve:
        metrics["evaluation_first"] = _told(curve[0][1])
        metrics["evaluation_last"] = _told(curve[-1][1])
        metrics["success_last"] = float(np.mean([result.evaluations[-1].success for result in results]))
        metrics["evaluations"] = [{"step": step, **_told(estimate)} for step, estimate in curve]
    totals = [np.array([total for _, total, _ in result.episodes]) for result in results]
    if all(len(values) for values in totals):
        tenth = [max(1, len(values) // 10) for values in totals]
        metrics["mean_return_first_tenth"] = float(np.mean([v[:n].mean() for v, n in zip(totals, tenth, strict=True)]))
        metrics["mean_return_last_tenth"] = float(np.mean([v[-n:].mean() for v, n in zip(totals, tenth, strict=True)]))
    metrics["seeds"] = list(results)
    return metrics


def training_verdict(agent: str, metrics: Mapping[str, Any]) -> str:
    """Return what a training came to, in two or three sentences: the score, what learns nothing scores, which is more.

    Args:
        agent: name of what was trained.
        metrics: as `training_metrics` returns them.
    """
    frames = max(metrics["steps"], default=0)
    last = metrics.get("evaluation_last")
    if last is None:
        return f"After {frames:,} frames {agent} was not evaluated: --evaluation-episodes is 0."
    floors = metrics["floors"]
    beside = " and ".join(f"{_FLOOR.get(name, name)} {value:.3g}" for name, value in floors.items())
    if last["n"] < _FEW_EPISODES:  # of which an interval says little, of one nothing
        on = "one held-out episode" if last["n"] == 1 else f"{last['n']} held-out episodes"
        told = f"After {frames:,} frames {agent} has a return of {last['value']:.3g} on {on}"
        return f"{told}, which is too few to tell{f': {beside}' if beside else ''}. Ask for more --evaluation-episodes."
    low, high = last["interval"]
    told = (
        f"After {frames:,} frames {agent} has a return of {last['value']:.3g} ({low:.3g} to {high:.3g}) on {last['n']} "
        f"held-out episodes, and succeeds in {metrics['success_last']:.0%} of them."
    )
    if not floors:
        return told
    best = max(floors, key=floors.__getitem__)
    if low > floors[best]:
        return f"{told} It has learned something: {beside}."
    if last["value"] > floors[best]:
        return f"{told} That may be luck: {beside}. More --evaluation-episodes would tell."
    told = f"{told} That is no more than an agent has that learns nothing: {beside}."
    return f"{told} Train on with --resume and more --steps."


def render_training_page(
    title: str,
    results: Sequence[SeedResult],
    floors: Mapping[str, Evaluation],
    metrics: Mapping[str, Any],
    run: Mapping[str, Any],
    rng: np.random.Generator,
    lead: str,
    commands: str = "",
) -> str:
    """Return the report page of a training as text; what comes from the run is escaped.

    Args:
        title: of the page.
        results: one a seed; floors: what agents score that learn nothing; metrics: the figures.
        run: what it was made with.
        rng: of the bootstrap.
        lead: what it came to (`training_verdict`).
        commands: what can be done with it, a command a line.
    """
    plots = []
    curve = _curve(results, rng)
    if curve:
        caption = (
            "Return of held-out episodes against frames learned from: interquartile mean over seeds and episodes, "
            "95 % bootstrap interval over whole trainings (of one, over its episodes); dashed: who learns nothing."
        )
        plots.append((Markup(_evaluation_plot(curve, floors)), caption))
    if any(result.episodes for result in results):
        caption = f"Return of the episodes of the training itself, running mean of {_SMOOTHED}, a curve a seed."
        plots.append((Markup(_episode_plot(results)), caption))
    rows = [
        (name.replace("_", " "), _shown(value)) for name, value in metrics.items() if name not in ("verdict", "seeds")
    ]
    return plain_page(title, lead, plots, rows, run, commands)


def plain_page(
    title: str,
    lead: str,
    plots: Sequence[tuple[Markup, str]],
    rows: Sequence[tuple[str, str]],
    run: Mapping[str, Any],
    commands: str = "",
) -> str:
    """Return a self-contained page as text; all but the drawings is escaped.

    Args:
        title: of the page.
        lead: its first sentence.
        plots: drawings and their captions.
        rows: names and values of the figures.
        run: what it was made with.
        commands: what to go on with, a command a line.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE).render(
        title=title,
        lead=lead,
        commands=commands,
        light=LIGHT,
        dark=DARK,
        plots=plots,
        rows=rows,
        run=dump_json(how_made(run), indent=2),
    )


def _curve(results: Sequence[SeedResult], rng: np.random.Generator) -> list[tuple[int, Estimate]]:
    """Return (step, estimate) of the evaluations that every seed has, by their order."""
    count = min((len(result.evaluations) for result in results), default=0)
    curve = []
    for k in range(count):
        step = max(result.evaluations[k].step for result in results)
        strata = [np.array(result.evaluations[k].returns) for result in results]
        curve.append((step, bootstrap_runs(strata, interquartile_mean, rng)))
    return curve


def _evaluation_plot(curve: Sequence[tuple[int, Estimate]], floors: Mapping[str, Evaluation]) -> str:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    style(axes)
    steps = [step for step, _ in curve]
    axes.fill_between(steps, [e.low for _, e in curve], [e.high for _, e in curve], color=ROLES["s1"], alpha=0.18, lw=0)
    axes.plot(steps, [e.value for _, e in curve], color=ROLES["s1"], lw=1.8, marker="o", ms=3, label="learned")
    for number, (name, found) in enumerate(floors.items()):
        level, role = interquartile_mean(np.array(found.returns)), _SERIES[1 + number % 4]
        axes.axhline(level, color=ROLES[role], lw=1.2, ls=(0, (4, 3)), label=name)
    axes.set_xlabel("frames learned from")
    axes.set_ylabel("return, held-out episodes")
    axes.legend(frameon=False, fontsize=8, labelcolor=ROLES["muted"], loc="best")
    return svg(figure)


def _episode_plot(results: Sequence[SeedResult]) -> str:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    style(axes)
    for number, result in enumerate(results):
        if not result.episodes:
            continue
        totals = np.array([total for _, total, _ in result.episodes])
        window = np.ones(min(_SMOOTHED, len(totals)))
        smooth = np.convolve(totals, window, "full")[: len(totals)] / np.minimum(
            np.arange(len(totals)) + 1, len(window)
        )
        steps = [step for step, _, _ in result.episodes]
        colour, dots = ROLES[_SERIES[number % 5]], "o" if len(steps) < 3 else None
        axes.plot(steps, smooth, color=colour, lw=1.2, marker=dots, ms=3, label=f"seed {result.seed}")
    axes.set_xlabel("frames learned from")
    axes.set_ylabel("return, training episodes")
    axes.set_xlim(left=0)
    if len(results) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=ROLES["muted"], loc="best")
    return svg(figure)


def _told(estimate: Estimate) -> dict[str, Any]:
    interval = None if np.isnan(estimate.low) else list(estimate.interval)
    return {"value": estimate.value, "interval": interval, "n": estimate.n}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping) and "interval" in value:
        span = "" if value["interval"] is None else "{:.4g} .. {:.4g}, ".format(*value["interval"])
        return f"{value['value']:.4g} ({span}n = {value['n']})"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "; ".join(f"{part['step']}: {part['value']:.4g}" for part in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
