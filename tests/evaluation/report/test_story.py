from __future__ import annotations

import dataclasses

from worldsim.evaluation.report.story import headline, moments_of_event, subject, tell
from worldsim.types.record import Event, EventKind


def test_the_headline_says_what_came_when_and_what_was_done(log):
    text = headline(log)
    assert text.startswith("At 3.2 s the robot met something in the warehouse that its models did not explain.")
    assert "settled on one: a cat" in text
    assert "2 of 2 parcels" in text


def test_a_quiet_run_says_so(log):
    quiet = dataclasses.replace(log, frames=log.frames[:60])
    assert headline(quiet).startswith("Nothing surprised the robot")
    assert subject(quiet) is None


def test_the_headline_of_a_task_begins_with_whether_it_was_done(log):
    other = dataclasses.replace(log, scenario="Intercept(target='auto')", deliveries_wanted=0)
    done = headline(dataclasses.replace(other, success=True, terminated=True))
    assert done.startswith("Done: the robot did in 10.0 s what it was asked. At 3.2 s the robot met something that")
    late = dataclasses.replace(other, success=False, terminated=False, truncated=True)
    assert headline(late).startswith("Not done: after 10.0 s the time was up.")
    assert "can no longer succeed" in headline(dataclasses.replace(other, success=False, terminated=True))


def test_a_kind_that_no_registry_holds_is_told_as_new(log):
    frames = list(log.frames)
    for number, frame in enumerate(frames):
        if frame.record is not None:
            events = [e for e in frame.record.events if e.kind is not EventKind.ADOPTION]
            if len(events) < len(frame.record.events):
                events.append(Event(EventKind.NOVEL, frame.time_s, 9))
            frames[number] = dataclasses.replace(frame, record=dataclasses.replace(frame.record, events=tuple(events)))
    assert "found that none fits, and learned a new one" in headline(dataclasses.replace(log, frames=tuple(frames)))


def test_moments_come_in_order_and_in_plain_words(log):
    moments = tell(log)
    times = [moment.time_s for moment in moments]
    assert times == sorted(times)
    titles = [moment.title for moment in moments]
    for wanted in (
        "The robot sets out",
        "A cat comes into view",
        "Surprise",
        "3 candidates fetched",
        "The robot stops",
        "“It is a cat”",
        "The robot goes on",
        "Parcel 1 delivered",
        "End of the episode",
    ):
        assert wanted in titles
    assert titles.index("Surprise") < titles.index("The robot stops") < titles.index("The robot goes on")


def test_a_candidate_that_cannot_be_run_here_is_told_with_the_reason():
    detail = {"what": "candidate", "model_id": "balloon/party", "error": "Install the package that brings this family."}
    (moment,) = moments_of_event(Event(EventKind.REJECTED_INPUT, 1.0, -1, detail))
    assert (moment.title, moment.text) == ("Candidate balloon/party passed over", detail["error"])


def test_what_was_wrong_with_an_observation_is_told_by_field():
    detail = {"detections": 3, "ego": False, "faults": {"position": 1, "covariance": 2}}
    (moment,) = moments_of_event(Event(EventKind.REJECTED_INPUT, 1.0, -1, detail))
    assert moment.text.endswith("Not usable: position of 1, covariance of 2.")


def test_whatever_an_event_lacks_what_is_told_of_it_has_words():
    told = [moment for kind in EventKind for moment in moments_of_event(Event(kind, 1.0, 3, {}))]
    assert len(told) >= 5
    assert all(moment.title and moment.text is not None for moment in told)


def test_a_stop_is_told_only_of_an_agent_that_plans_and_does_not_know_yet(log):
    assert "It noticed, stopped," in headline(log)
    blind = dataclasses.replace(log, frames=tuple(dataclasses.replace(f, plan=None) for f in log.frames))
    alarm = next(e for e in log.events() if e.kind is EventKind.ALARM)
    early = []
    for frame in log.frames:  # as if the verdict had come with the alarm
        record = frame.record
        if record is not None and alarm in record.events:
            known = Event(EventKind.NOVEL, alarm.time_s, alarm.object_id)
            record = dataclasses.replace(record, events=(*record.events, known))
        early.append(dataclasses.replace(frame, record=record))
    for other in (blind, dataclasses.replace(log, frames=tuple(early))):
        assert "stopped" not in headline(other)
        assert "The robot stops" not in [moment.title for moment in tell(other)]
