from __future__ import annotations

import dataclasses

import pytest

from worldsim.evaluation.cat_scoring import score_episode
from worldsim.evaluation.intruder import forecasts_of_intruder, intruder_object_ids
from worldsim.evaluation.jsonable import to_jsonable
from worldsim.types.record import Event, EventKind


def with_events(log, number, events):
    """The log with other events in one frame."""
    frames = list(log.frames)
    record = dataclasses.replace(frames[number].record, events=events)
    frames[number] = dataclasses.replace(frames[number], record=record)
    return dataclasses.replace(log, frames=tuple(frames))


def test_the_believed_object_nearest_to_the_intruder_stands_for_it(log, hand_made):
    assert intruder_object_ids(log) == {hand_made.INTRUDER_ID}


def test_times_are_read_from_truth_and_events(log, hand_made):
    score = score_episode(log)
    assert score.kind == "cat"
    assert score.first_visible_s == pytest.approx(hand_made.VISIBLE_S)
    assert score.alarm_s == pytest.approx(hand_made.ALARM_S)
    assert score.adopted_s == pytest.approx(hand_made.ADOPTED_S)
    assert (score.adopted_kind, score.adopted_id) == ("cat", "cat/tabby-small")
    assert (score.novel_s, score.published_id) == (None, None)


def test_counts_are_those_of_the_episode(log):
    score = score_episode(log)
    assert score.candidates == 3
    assert score.false_alarms == 0
    assert score.models_after == score.models_before + 1
    assert (score.deliveries, score.deliveries_wanted) == (2, 2)
    assert not score.touched
    assert score.seconds == pytest.approx(10.0)
    assert score.seconds / score.wall_s == pytest.approx(2.0)  # 25 ms of work a frame of 50 ms


def test_an_alarm_on_something_else_is_a_false_alarm(log):
    worker = 6
    wrong = with_events(log, 20, (Event(EventKind.ALARM, 1.0, worker),))
    assert score_episode(wrong).false_alarms == 1


def test_an_alarm_before_the_intruder_can_be_seen_is_not_of_it(log, hand_made):
    early = with_events(log, 20, (Event(EventKind.ALARM, 1.0, hand_made.INTRUDER_ID),))
    score = score_episode(early)
    assert score.alarm_s == pytest.approx(hand_made.ALARM_S)
    assert score.false_alarms == 1


def test_a_contact_of_robot_and_intruder_counts_and_others_do_not(log):
    frames = list(log.frames)
    truth = dataclasses.replace(frames[100].truth, contacts=(("intruder", "robot", 1.0),))
    frames[100] = dataclasses.replace(frames[100], truth=truth)
    assert score_episode(dataclasses.replace(log, frames=tuple(frames))).touched


def test_forecasts_are_scored_against_what_came_true(log, hand_made):
    rows = forecasts_of_intruder(log, hand_made.ADOPTED_S)
    assert rows
    assert all(row.time_s >= hand_made.ADOPTED_S for row in rows)
    assert [row.error_m for row in rows] == pytest.approx([hand_made.FORECAST_SHIFT_M] * len(rows))
    # Its standard deviation is 0.08 m, so 0.10 m off in y and 0 in x is inside the 90 % interval (0.13 m) on both axes.
    assert all(row.covered == 2 for row in rows)
    score = score_episode(log)
    assert score.forecast.n == len(rows)
    assert score.forecast.error_sum_m < score.forecast.baseline_error_sum_m  # it zigzags; constant velocity overshoots


def test_a_forecast_whose_time_never_came_is_left_out(log, hand_made):
    rows = forecasts_of_intruder(log, hand_made.ADOPTED_S)
    assert max(row.time_s for row in rows) <= log.frames[-1].time_s - 1.0 + 1e-9


def test_without_an_intruder_there_is_nothing_to_notice(log, hand_made):
    quiet = dataclasses.replace(log, frames=log.frames[:60])
    score = score_episode(quiet)
    assert (score.kind, score.first_visible_s, score.alarm_s, score.forecast.n) == ("none", None, None, 0)


def test_a_score_is_strict_json(log):
    assert to_jsonable(score_episode(log))["forecast"]["n"] > 0
