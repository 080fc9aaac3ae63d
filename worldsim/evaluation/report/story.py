"""Tells what happened in an episode in plain words: a headline, and the moments that mattered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldsim.evaluation.episode import EpisodeLog, Frame
from worldsim.evaluation.intruder import intruder_object_ids, intruder_row
from worldsim.evaluation.model_names import adopted_kind, describe_kind, kind_of
from worldsim.types.record import Event, EventKind

__all__ = ["Moment", "headline", "moments_of_event", "subject", "tell"]

_STANDING_M_S = 0.05
_DRIVING_M_S = 0.15
_STOP_WITHIN_S = 3.0
_DROVE_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of the story.

    Attributes:
        time_s: when.
        tone: ``calm``, ``alarm``, ``search``, ``settled`` or ``truth`` (what really happened, known to the simulator
            alone); it decides the colour.
        title: a few words.
        text: one or two sentences.
    """

    time_s: float
    tone: str
    title: str
    text: str


def subject(log: EpisodeLog) -> int | None:
    """Return the id of the object that the story is about, None where nothing raised an alarm.

    That is the object that stands for the intruder if it raised one; else the first that did, a settled one first.
    """
    alarms = [event.object_id for event in log.events() if event.kind is EventKind.ALARM]
    settled = {event.object_id for event in log.events() if event.kind in (EventKind.ADOPTION, EventKind.NOVEL)}
    intruders = intruder_object_ids(log)
    for group in ([i for i in alarms if i in intruders], [i for i in alarms if i in settled], alarms):
        if group:
            return group[0]
    return None


def headline(log: EpisodeLog) -> str:
    """Return what happened, in two or three sentences."""
    events = log.events()
    who = subject(log)
    alarm = next((e for e in events if e.kind is EventKind.ALARM and e.object_id == who), None)
    done, wanted = log.frames[-1].deliveries, log.deliveries_wanted
    parcels = "parcel" if wanted == 1 else "parcels"
    work, outcome = f" It delivered {done} of {wanted} {parcels}." if wanted else "", _outcome(log)
    if alarm is None:
        return (
            f"{outcome}Nothing surprised the robot in {log.duration_s:.0f} s: its models explained everything it saw."
            f"{work}"
        )
    where = " in the warehouse" if log.scenario.startswith("Warehouse(") else ""
    opening = f"{outcome}At {alarm.time_s:.1f} s the robot met something{where} that its models did not explain."
    adoption = next((e for e in events if e.kind is EventKind.ADOPTION and e.object_id == who), None)
    novel = next((e for e in events if e.kind is EventKind.NOVEL and e.object_id == who), None)
    fetched = max((len(e.detail.get("model_ids", ())) for e in events if e.kind is EventKind.CANDIDATES), default=0)
    noticed = "It noticed, stopped," if _stop_for(log, alarm) is not None else "It noticed,"
    if novel is not None:
        return (
            f"{opening} {noticed} tested the {fetched} nearest models of its registry, found that none fits, and "
            f"learned a new one, ready {novel.time_s - alarm.time_s:.1f} s after the alarm.{work}"
        )
    if adoption is not None:
        return (
            f"{opening} {noticed} fetched {fetched} candidate models and within "
            f"{adoption.time_s - alarm.time_s:.1f} s settled on one: {describe_kind(adopted_kind(adoption))}.{work}"
        )
    return f"{opening} {noticed} and was still testing what it might be when the episode ended.{work}"


def _outcome(log: EpisodeLog) -> str:
    """Return whether what the scenario asks was done, as a sentence; nothing where it does not say."""
    if log.success is None:
        return ""
    if log.success:
        return f"Done: the robot did in {log.duration_s:.1f} s what it was asked. "
    ended = "it can no longer succeed" if log.terminated else "the time was up" if log.truncated else "the run was cut"
    return f"Not done: after {log.duration_s:.1f} s {ended}. "


def tell(log: EpisodeLog) -> list[Moment]:
    """Return the story's moments in order of time."""
    who = subject(log)
    mine = [event for event in log.events() if event.object_id == who or event.object_id < 0]
    told = [moment for event in mine for moment in moments_of_event(event)]
    moments = [_opening(log), *_entrance(log), *told, *_other_alarms(log, who), *_robot_moments(log, who), _ending(log)]
    return sorted(moments, key=lambda moment: moment.time_s)


def moments_of_event(event: Event) -> list[Moment]:
    """Return what an event means to a person; an empty list for those that matter to nobody."""
    t, detail, who = event.time_s, event.detail, f"object {event.object_id}"
    match event.kind:
        case EventKind.ALARM:
            shares = detail.get("channels") or {}
            loudest = f" Loudest in: {max(shares, key=shares.__getitem__)}." if shares else ""
            text = (
                f"What {who} does is too unlikely under the model it was given; chance no longer explains it.{loudest}"
            )
            return [Moment(t, "alarm", "Surprise", text)]
        case EventKind.CANDIDATES:
            found = [str(model) for model in detail.get("model_ids", ())]
            shown = ", ".join(dict.fromkeys(kind_of(model).replace("_", " ") for model in found))
            text = (
                f"The registry is asked what looks and moves like {who}; it answers with {len(found)} models: {shown}."
            )
            return [Moment(t, "search", f"{len(found)} candidates fetched", text)]
        case EventKind.ADOPTION:
            kind, probability = adopted_kind(event), detail.get("probability")
            sure = f" with probability {_probability(probability)}" if isinstance(probability, float) else ""
            text = f"Side by side, the candidates predicted {who}, frame by frame; {detail.get('model_id')} won{sure}."
            return [Moment(t, "settled", f"“It is {describe_kind(kind)}”", text)]
        case EventKind.NOVEL:
            text = f"No model of the registry explains {who}. A new one is opened and learned from what is seen."
            return [Moment(t, "settled", "“This is new”", text)]
        case EventKind.PUBLISH:
            text = (
                f"The learned model is stored as {detail.get('model_id')}: whoever meets the same kind next, knows it."
            )
            return [Moment(t, "settled", "New model published", text)]
        case EventKind.RETURN:
            returned = detail.get("model_ids", ())
            many = f"{len(returned)} candidates" if returned else "The other candidates"
            return [Moment(t, "calm", "The rest handed back", f"{many} lost the test and are unloaded again.")]
        case EventKind.REVERT:
            text = f"Later evidence turned against the model adopted for {who}; it is looked into again."
            return [Moment(t, "alarm", "Second thoughts", text)]
        case EventKind.REGISTRY_AWAY:
            return [Moment(t, "alarm", "Registry out of reach", "It goes on with the broad model until it answers.")]
        case EventKind.REJECTED_INPUT:
            if detail.get("what") == "candidate":
                return [Moment(t, "alarm", f"Candidate {detail.get('model_id')} passed over", str(detail.get("error")))]
            faults = ", ".join(f"{name} of {n}" for name, n in detail.get("faults", {}).items())
            why = f" Not usable: {faults}." if faults else ""
            text = f"Broken rows of an observation were left out and counted.{why}"
            return [Moment(t, "alarm", "Bad input refused", text)]
    return []


def _opening(log: EpisodeLog) -> Moment:
    kinds = sorted({kind_of(model) for model in log.starter_models} - {"generic", "broad"})
    known = ", ".join(kind.replace("_", " ") for kind in kinds)
    text = f"It has models of {known}, and of nothing else." if kinds else "It has no models."
    return Moment(log.frames[0].time_s, "calm", "The robot sets out", text)


def _entrance(log: EpisodeLog) -> Iterator[Moment]:
    """Yield when the intruder came and was first visible, which only the simulator knows."""
    for frame in log.frames:
        row = intruder_row(frame.truth)
        if row is not None and frame.truth.visible[row]:
            kind = frame.truth.kinds[row]
            text = "The simulator knows; the robot does not. From here on its sensors can see the intruder."
            yield Moment(frame.time_s, "truth", f"{describe_kind(kind)} comes into view".capitalize(), text)
            return


def _other_alarms(log: EpisodeLog, who: int | None) -> Iterator[Moment]:
    """Yield the alarms on anything but the story's subject, those of the same second together."""
    others = [e for e in log.events() if e.kind is EventKind.ALARM and e.object_id != who]
    for _, group in itertools.groupby(others, key=lambda event: int(event.time_s)):
        events = list(group)
        names = ", ".join(f"object {event.object_id} (believed: {_believed(event)})" for event in events[:3])
        more = f" and {len(events) - 3} more" if len(events) > 3 else ""
        title = "Surprise at something else" if len(events) == 1 else f"Surprise at {len(events)} other things"
        yield Moment(events[0].time_s, "alarm", title, f"Alarms that do not concern the intruder: {names}{more}.")


def _believed(event: Event) -> str:
    kind = kind_of(str(event.detail.get("believed", "generic/unknown")))
    return "nothing known" if kind == "generic" else kind.replace("_", " ")


def _robot_moments(log: EpisodeLog, who: int | None) -> Iterator[Moment]:
    alarm = next((e for e in log.events() if e.kind is EventKind.ALARM and e.object_id == who), None)
    stop_s = _stop_for(log, alarm) if alarm is not None else None
    if alarm is not None and stop_s is not None:
        after = stop_s - alarm.time_s
        when = f"{after:.1f} s after the alarm" if after >= 0.1 else "at once"
        text = f"It holds still {when}, until it knows what it is dealing with."
        yield Moment(stop_s, "alarm", "The robot stops", text)
        again_s = next((t for t, v in _speeds(log) if t > stop_s and v > _DRIVING_M_S), None)
        if again_s is not None:
            text = "It goes on, and steers by what its models say that everything around it may do."
            yield Moment(again_s, "calm", "The robot goes on", text)
    counts = [(frame.time_s, int(frame.deliveries)) for frame in log.frames]
    for (_, before), (time_s, after) in itertools.pairwise(counts):
        if after > before:
            yield Moment(time_s, "calm", f"Parcel {after} delivered", "Set down at its station.")


def _ending(log: EpisodeLog) -> Moment:
    last = log.frames[-1]
    after = last.record.loaded_models if last.record is not None else ()
    gained = [model for model in after if model not in log.starter_models]
    if gained:
        named = ", ".join(gained[:3]) + (f" and {len(gained) - 3} more" if len(gained) > 3 else "")
        text = f"Loaded models: {len(log.starter_models)} at the start, {len(after)} now. New: {named}."
    else:
        text = f"Loaded models: {len(after)}, as at the start."
    return Moment(last.time_s, "calm", "End of the episode", text)


def _stop_for(log: EpisodeLog, alarm: Event) -> float | None:
    """Return when the robot stopped for an alarm, None where it did not: it drove on, stood before, knew already what
    it was, or is run by an agent that plans nothing.
    """  # noqa: D205 - the first sentence is longer than a line
    stop_s = _stop_after(log, alarm.time_s)
    settled = (EventKind.ADOPTION, EventKind.NOVEL)
    known_s = next((e.time_s for e in log.events() if e.kind in settled and e.object_id == alarm.object_id), None)
    if stop_s is None or (known_s is not None and known_s < stop_s):
        return None
    plans = any(f.plan is not None for f in log.frames if alarm.time_s <= f.time_s <= stop_s)
    return stop_s if plans else None


def _stop_after(log: EpisodeLog, time_s: float) -> float | None:
    """Return when the robot stood still after `time_s`, None where it drove on or stood before."""
    speeds = _speeds(log)
    if not any(v > _DRIVING_M_S for t, v in speeds if time_s - _DROVE_WITHIN_S <= t <= time_s):
        return None
    within = [(t, v) for t, v in speeds if time_s <= t <= time_s + _STOP_WITHIN_S]
    return next((t for t, v in within if v < _STANDING_M_S), None)


def _speeds(log: EpisodeLog) -> list[tuple[float, float]]:
    """Return (time, speed in m/s) of the true robot."""
    track = [(f.time_s, _own_position(f)) for f in log.frames]
    pairs = itertools.pairwise(track)
    return [(t1, float(np.linalg.norm(p1 - p0) / max(t1 - t0, 1e-9))) for (t0, p0), (t1, p1) in pairs]


def _own_position(frame: Frame) -> np.ndarray:
    truth = frame.truth
    return truth.position[truth.names.index(truth.ego) if truth.ego is not None else 0, :2]


def _probability(value: float) -> str:
    return "over 99.9 %" if value > 0.999 else f"{100 * value:.0f} %"
