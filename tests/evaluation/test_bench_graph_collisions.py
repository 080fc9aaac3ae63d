"""Impacts in a log made by hand: each counts once, with the detections right after it and the alarms soon after."""

from __future__ import annotations

from dataclasses import replace

from worldsim.evaluation.bench_graph_collisions import Impact, impacts
from worldsim.evaluation.episode import EpisodeLog
from worldsim.types.record import Event, EventKind

MEETS = 40  # frame
BALLS = {"robot": "ball_0", "worker-1": "ball_1"}


def _with_impact(log: EpisodeLog, alarm_frame: int | None = None) -> EpisodeLog:
    """Return the log with two balls in it that touch from one frame on, and an alarm on the second."""
    before = log.frames[0].truth.names
    names = tuple(BALLS.get(name, name) for name in before)
    frames = []
    for number, frame in enumerate(log.frames[: MEETS + 15]):
        contacts = (("ball_0", "ball_1", 3.0),) if number >= MEETS else ()
        record = frame.record
        assert record is not None
        if number == alarm_frame:
            alarm = Event(EventKind.ALARM, frame.time_s, object_id=1 + before.index("worker-1"))
            record = replace(record, events=(*record.events, alarm))
        frames.append(replace(frame, truth=replace(frame.truth, names=names, contacts=contacts), record=record))
    return replace(log, frames=tuple(frames))


def test_an_impact_counts_once_with_both_balls_together(log: EpisodeLog) -> None:
    assert list(impacts(_with_impact(log))) == [Impact(nis=2.0, dof=12, alarmed=False)]


def test_an_alarm_is_of_the_impact_if_it_comes_soon_after(log: EpisodeLog) -> None:
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS + 3))] == [True]
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS + 4))] == [False]
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS - 1))] == [False]
