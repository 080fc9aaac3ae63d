"""Many unknown things at once: all raise an alarm, and each has its turn."""

from __future__ import annotations

import numpy as np

from tests.small_world import DT_S, Shelf, frame, model, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.loop import WorldModel
from worldsim.types import EventKind, StepRecord


def met(count: int, steps: int, **loop: int) -> tuple[list[StepRecord], list[int], list[int], Shelf]:
    """Return records, queries and tests under way step by step, and the registry, of a room full of unknown things."""
    shelf = Shelf(model("cat"))
    wm = world_model(shelf, settings=WorldModelSettings(loop=LoopSettings(**loop)))
    rng, places = (
        np.random.default_rng(0),
        [np.array([2.0 * (n % 6) - 6.0, 2.0 * (n // 6), 0.15]) for n in range(count)],
    )
    records, asked, tested = [], [], []
    for k in range(steps):
        seen = frame(k * DT_S, [("cat", place) for place in places], rng)
        before = len(shelf.queries)
        records.append(wm.reset(seen) if k == 0 else wm.step(seen))
        asked.append(len(shelf.queries) - before)
        tested.append(len(wm._state.trials))
    return records, asked, tested, shelf


def told(records: list[StepRecord], kind: EventKind) -> list[list[int]]:
    return [[e.object_id for e in record.events if e.kind == kind] for record in records]


def test_every_one_raises_its_alarm_at_once_and_only_so_many_are_asked_about_in_a_step() -> None:
    records, asked, tested, _ = met(24, 60, asked_a_step=3, tested_at_once=5)
    alarms = told(records, EventKind.ALARM)
    first = next(k for k, ids in enumerate(alarms) if ids)
    assert len(alarms[first]) > 12
    assert asked[first] == 3
    assert max(asked) == 3
    assert max(tested) == 5
    queried = [i for ids in told(records, EventKind.QUERY) for i in ids]
    judged = {i for kind in (EventKind.ADOPTION, EventKind.NOVEL) for ids in told(records, kind) for i in ids}
    assert judged == set(alarms[first])  # each had its turn
    assert len(queried) == len(set(queried))


def test_the_most_surprising_come_first_and_where_there_is_room_for_all_none_waits() -> None:
    records, _, _, _ = met(24, 12, asked_a_step=3, tested_at_once=5)
    step = next(record for record in records if any(e.kind == EventKind.ALARM for e in record.events))
    nats = {e.object_id: e.detail["log_e_value_nats"] for e in step.events if e.kind == EventKind.ALARM}
    chosen = [e.object_id for e in step.events if e.kind == EventKind.QUERY]
    assert {nats[i] for i in chosen} == set(sorted(nats.values())[-3:])
    records, asked, tested, _ = met(3, 12)
    first = next(k for k, ids in enumerate(told(records, EventKind.ALARM)) if ids)
    assert asked[first] == tested[first] == len(told(records, EventKind.ALARM)[first])


def test_who_has_not_been_asked_about_yet_is_so_after_a_restart_too(tmp_path) -> None:
    shelf, rng = Shelf(model("cat")), np.random.default_rng(0)
    wm = world_model(shelf, settings=WorldModelSettings(loop=LoopSettings(asked_a_step=3)))
    seen = [frame(k * DT_S, [("cat", np.array([2.0 * n - 6.0, 0.0, 0.15])) for n in range(8)], rng) for k in range(30)]
    wm.reset(seen[0])
    k = 1
    while not shelf.queries:
        wm.step(seen[k])
        k += 1
    wm.save(tmp_path / "wm.safetensors")
    again = WorldModel.load(tmp_path / "wm.safetensors", shelf)
    queried = [told([other.step(s) for s in seen[k : k + 3]], EventKind.QUERY) for other in (wm, again)]
    assert queried[0] == queried[1]
    assert len(queried[0][0]) == 3
