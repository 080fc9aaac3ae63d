"""Impacts in a log made by hand: each counts once, with the detections right after it and the alarms soon after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldsim.evaluation.bench_graph_collisions import impacts
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
        truth = replace(frame.truth, names=names, contacts=contacts)
        belief = frame.belief
        assert belief is not None
        belief = replace(belief, kind=tuple("ball" for _ in belief.kind))
        frames.append(replace(frame, truth=truth, record=record, belief=belief))
    return replace(log, frames=tuple(frames))


def test_an_impact_counts_once_with_both_balls_together(log: EpisodeLog) -> None:
    (impact,) = impacts(_with_impact(log))
    assert (impact.nis, impact.dof, impact.alarmed, impact.asked) == (2.0, 12, False, True)


def test_a_ball_under_test_is_not_asked_about_again(log: EpisodeLog) -> None:
    made = _with_impact(log)
    frames = list(made.frames)
    before = frames[MEETS - 1]
    assert before.record is not None
    second = 1 + before.truth.names.index("ball_1")
    frames[MEETS - 1] = replace(before, record=replace(before.record, alarmed=(second,)))
    (impact,) = impacts(replace(made, frames=tuple(frames)))
    assert not impact.asked


def test_the_approach_is_along_the_line_of_centres_where_they_touch(log: EpisodeLog) -> None:
    made = _with_impact(log)
    frames = list(made.frames)
    truth = frames[MEETS - 1].truth
    a, b = (truth.names.index(name) for name in BALLS.values())
    position, velocity, extent = truth.position.copy(), np.zeros_like(truth.linear_velocity), truth.extent_m.copy()
    extent[[a, b]] = 0.2
    velocity[a] = (1.0, 0.0, 0.0)
    position[b] = position[a] + (0.3, 0.1, 0.0)  # they touch at an angle of 30 degrees
    truth = replace(truth, position=position, linear_velocity=velocity, extent_m=extent)
    frames[MEETS - 1] = replace(frames[MEETS - 1], truth=truth)
    (impact,) = impacts(replace(made, frames=tuple(frames)))
    assert impact.approach_m_s == pytest.approx(np.cos(np.pi / 6.0))


def test_an_alarm_is_of_the_impact_if_it_comes_soon_after(log: EpisodeLog) -> None:
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS + 3))] == [True]
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS + 4))] == [False]
    assert [impact.alarmed for impact in impacts(_with_impact(log, MEETS - 1))] == [False]
