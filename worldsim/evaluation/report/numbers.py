"""The report's numbers: the few at the top, and the table with what each means."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.evaluation.cat_scoring import EpisodeScore, ForecastScore
from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.model_names import describe_kind

__all__ = ["Fact", "Number", "facts", "numbers"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number at the top of the page."""

    name: str
    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A row of the table."""

    name: str
    value: str
    meaning: str


def facts(log: EpisodeLog, score: EpisodeScore) -> list[Fact]:
    """Return the numbers at the top."""
    found = []
    if log.success is not None:
        found += [Fact("Asked of the robot", "done" if log.success else "not done"), _return(log)]
    if score.kind != "none":
        found.append(Fact("It really was", describe_kind(score.kind)))
    if score.alarm_s is not None and score.first_visible_s is not None:
        found.append(Fact("Noticed after", f"{max(score.alarm_s - score.first_visible_s, 0.0):.2f}", "s"))
    settled = score.adopted_s if score.adopted_s is not None else score.novel_s
    if settled is not None and score.alarm_s is not None:
        found.append(Fact("Understood after", f"{settled - score.alarm_s:.2f}", "s"))
    if score.deliveries_wanted:
        found.append(Fact("Parcels delivered", f"{score.deliveries}", f"of {score.deliveries_wanted}"))
    found.append(Fact(_other_alarms(score), str(score.false_alarms), f"in {log.duration_s:.0f} s"))
    found.append(Fact("Real-time factor", f"{log.real_time_factor:.2f}"))
    return found


def numbers(log: EpisodeLog, score: EpisodeScore) -> list[Number]:
    """Return the table; what speaks of an intruder is left out where none comes."""
    candidates = Number(
        "Candidates fetched", str(score.candidates), "Models asked of the registry for one object; at most 8."
    )
    loaded = f"{score.models_before} → {score.models_after}"
    alarms = Number(_other_alarms(score), str(score.false_alarms), "Right where no loaded model knows it, else false.")
    if score.kind == "none":
        return [
            *_task(log),
            alarms,
            candidates,
            Number("Adopted", score.adopted_id or "nothing", "The first model that explained what alarmed."),
            Number("Models loaded", loaded, "At the start, and at the end."),
            _time(log),
        ]
    return [
        *_task(log),
        Number("Alarm after first visibility", _between(score.first_visible_s, score.alarm_s), "Aim: within 0.5 s."),
        alarms,
        candidates,
        Number("Adopted", score.adopted_id or "nothing", f"What it really was: {score.kind}."),
        Number("Adoption after the alarm", _between(score.alarm_s, score.adopted_s), "Aim: within 3 s."),
        Number("Declared new after the alarm", _between(score.alarm_s, score.novel_s), "For what no registry holds."),
        Number("Published", score.published_id or "nothing", "A model learned here, for whoever meets the kind next."),
        Number("Models loaded", loaded, "Aim: one more; the losers go back."),
        Number("Robot and intruder touched", "yes" if score.touched else "no", _gap(score.gap_m)),
        *_forecast(score.forecast),
        _time(log),
    ]


def _return(log: EpisodeLog) -> Fact:
    return Fact("Return", f"{log.total_reward:.2f}", "sum of rewards")


def _task(log: EpisodeLog) -> list[Number]:
    if log.success is None:
        return []
    done = Number("Asked of the robot", "done" if log.success else "not done", "What the scenario calls success.")
    return [done, Number("Return", f"{log.total_reward:.3g}", "Sum of the rewards of the episode.")]


def _other_alarms(score: EpisodeScore) -> str:
    """Return what alarms on anything but an intruder are called; whether they are false is not said by their number."""
    return "Alarms" if score.kind == "none" else "Other alarms"


def _forecast(score: ForecastScore) -> list[Number]:
    if not score.n:
        return []
    error, baseline = score.error_sum_m / score.n, score.baseline_error_sum_m / score.n
    ratio = error / max(baseline, 1e-9)
    share = score.covered / (2 * score.n)
    return [
        Number("Error 1 s ahead", f"{error:.2f} m", f"Mean of {score.n} forecasts made after it was understood."),
        Number("The same, constant velocity", f"{baseline:.2f} m", f"Ratio {ratio:.2f}; aim over many runs: 0.6."),
        Number("Truth within the 90 % interval", f"{100 * share:.0f} %", "Over many runs, 85 to 95 % is honest."),
    ]


def _time(log: EpisodeLog) -> Number:
    n = max(len(log.frames), 1)
    physics, model, plan = (
        1e3 * sum(getattr(f, name) for f in log.frames) / n for name in ("physics_s", "model_s", "plan_s")
    )
    split = (
        f"Physics {physics:.1f}, world model {model:.1f}, planning {plan:.1f} ms; real time is {1e3 * log.dt_s:.0f} ms."
    )
    return Number("Time a frame", f"{physics + model + plan:.1f} ms", split)


def _between(earlier: float | None, later: float | None) -> str:
    return "—" if later is None or earlier is None else f"{later - earlier:.2f} s"


def _gap(gap_m: float | None) -> str:
    return "" if gap_m is None else f"Smallest gap between their inscribed circles: {gap_m:.2f} m."
