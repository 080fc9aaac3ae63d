"""Unknown things beside things that are known, or beside their like: whoever is tested is tested against all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from tests.engine import weld_world
from tests.engine.weld_world import frames as welded_frames
from tests.engine.weld_world import watcher
from tests.small_world import DT_S, KINDS, Shelf, frame, model, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.engine.state import GENERIC_MODEL
from worldsim.loop import WorldModel
from worldsim.types import Event, EventKind, Observation
from worldsim.types.belief import TANGENT_DIM


class Exact(np.random.Generator):
    """Draws nothing: a detector without noise."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def permutation(self, x: int, axis: int = 0) -> np.ndarray:  # type: ignore[override]
        del axis
        return np.arange(x)

    def normal(self, loc: float, scale: float, size: tuple[int, ...]) -> np.ndarray:  # type: ignore[override]
        del loc, scale
        return np.zeros(size)


def played(
    wm: WorldModel, count: int, place: Callable[[float], list[np.ndarray]], rng: np.random.Generator | None = None
) -> Iterator[list[Event]]:
    """Yield the events of each frame in which cats are at these places."""
    rng = rng or np.random.default_rng(0)
    for k in range(count):
        seen = frame(DT_S * k, [("cat", at) for at in place(DT_S * k)], rng)
        yield list((wm.reset(seen) if k == 0 else wm.step(seen)).events)


def test_of_two_of_a_kind_that_come_together_both_are_recognised() -> None:
    shelf = Shelf(model("cat"))
    wm = world_model(shelf)
    told = [
        e for es in played(wm, 120, lambda t: [np.array([0.8 * t - 3.0, 2.0 * i, 0.15]) for i in range(2)]) for e in es
    ]
    assert [wm.kind_of(i) for i in (1, 2)] == ["cat", "cat"]
    assert not [e for e in told if e.kind in (EventKind.NOVEL, EventKind.PUBLISH)]
    assert set(shelf.models) == {"cat/test"}


@pytest.mark.parametrize("loaded", [False, True])
def test_what_walks_is_no_statue_whether_the_right_model_was_loaded_or_on_the_shelf(loaded: bool) -> None:
    cat, rigid = model("cat"), model("rigid_body")
    looks = {"shape": cat.card.shape, "descriptor": cat.card.descriptor}
    statue = type(rigid)(rigid.card.replace(model_id="rigid/cat-statue", kind="statue", **looks))
    known = [*(model(kind) for kind in (*KINDS, "generic")), *([cat] if loaded else []), statue]
    wm = WorldModel(Shelf() if loaded else Shelf(cat), models=known)
    for _ in played(wm, 120, lambda t: [np.array([0.8 * max(t - 2.0, 0.0) - 3.0, 2.0, 0.15])]):
        pass
    assert wm.kind_of(1) == "cat"


def test_two_things_that_teach_the_same_numbers_are_run_by_one_model() -> None:
    def round_and_round(t: float) -> list[np.ndarray]:
        return [np.array([np.sin(0.8 * t) / 0.8, 4.0 * i - np.cos(0.8 * t) / 0.8, 1.4]) for i in range(2)]

    wm = world_model(Shelf())
    told = [e for events in played(wm, 140, round_and_round, Exact()) for e in events]
    (published,) = [e.detail["model_id"] for e in told if e.kind == EventKind.PUBLISH]
    state = wm._state
    runs = [state.library.model_ids[int(wm.belief.model_index[wm.belief.slot_of(i)])] for i in (1, 2)]
    assert runs == [published, published]


def test_what_was_borrowed_for_a_trial_is_given_back_when_its_object_is_gone_or_forgotten() -> None:
    cat = model("cat")
    shelf = Shelf(cat, *(type(cat)(cat.card.replace(model_id=f"cat/other-{i}")) for i in range(3)))
    wm = world_model(shelf)
    starters = wm.loaded_models
    for k, _ in enumerate(played(wm, 100, lambda t: [np.array([0.8 * t - 3.0, 2.0, 0.15])] if t < 7.5 * DT_S else [])):
        if k == 6:
            assert len(wm.loaded_models) == len(starters) + 4
    assert wm.loaded_models == starters
    for _ in played(wm, 7, lambda t: [np.array([0.8 * t - 3.0, 2.0, 0.15])]):
        pass
    wm.reset(frame(0.0, [], np.random.default_rng(0)))
    assert wm.loaded_models == starters


@pytest.mark.parametrize("rounded", [False, True])
def test_an_own_report_of_two_dimensions_stays_a_covariance_when_it_is_rounded(rounded: bool) -> None:
    few = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    covariance = (few @ few.T).astype(np.float64) if rounded else few.astype(np.float64) @ few.astype(np.float64).T
    wm, rng = world_model(Shelf()), np.random.default_rng(0)
    for k in range(20):
        seen = frame(DT_S * k, [], rng)
        assert seen.ego is not None
        seen = dataclasses.replace(seen, ego=dataclasses.replace(seen.ego, covariance=covariance))
        record = wm.reset(seen) if k == 0 else wm.step(seen, np.zeros(3))
        assert not record.events
    believed = wm.belief.joint_covariance[wm.belief.slot_of(wm.own_id)][:12, :12]
    assert float(torch.linalg.eigvalsh(believed)[0]) > 0.0
    assert float(torch.diagonal(believed).max()) < 10.0


def test_a_caller_may_use_his_arrays_again() -> None:
    def told(reuse: bool) -> list[tuple[int, str]]:
        wm, buffer, found = watcher(True, rollback_frames=8), None, []
        for k, seen in enumerate(welded_frames(1.3, 3, broken_from_s=0.8)):
            given: Observation = seen
            if reuse:
                buffer = buffer or dataclasses.replace(seen, detections=seen.detections.select(np.arange(2)))
                for name in ("position", "orientation_xyzw", "extent_m", "colour", "appearance", "covariance"):
                    getattr(buffer.detections, name)[...] = getattr(seen.detections, name)
                given = dataclasses.replace(buffer, time_s=seen.time_s)
            record = wm.reset(given) if k == 0 else wm.step(given)
            found += [(k, str(e.kind)) for e in record.events if e.kind in (EventKind.MERGE, EventKind.SPLIT)]
        return found

    assert told(reuse=True) == told(reuse=False) != []


def test_a_member_of_a_composite_that_raises_an_alarm_is_run_by_the_broad_models_own_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "START": np.array([0.0, 0.0, 20.0]),
        "UP_M_S": 0.0,
        "ALONG_M_S": 0.2,
        "SPIN_RAD_S": 1.0,
    }.items():
        monkeypatch.setattr(weld_world, name, value)
    one_at_a_time = LoopSettings(composites=True, unknown_threshold_nats=1e6, asked_a_step=1, tested_at_once=1)
    settings = WorldModelSettings(loop=one_at_a_time)
    wm = world_model(Shelf(model("cat")), interactions=[weld_world.Grip()], settings=settings)
    flight = list(weld_world.frames(1.8, 3))
    still = flight[24].detections
    for k, seen in enumerate(flight):
        if k >= 25:  # from here on both hang in the air and jump about, as no rigid body does
            jumped = still.position + np.array([0.0, 0.0, 0.25 * ((k // 2) % 2)])
            found = dataclasses.replace(seen.detections, position=jumped, orientation_xyzw=still.orientation_xyzw)
            flight[k] = dataclasses.replace(seen, detections=found)
        record = wm.reset(flight[k]) if k == 0 else wm.step(flight[k])
        if any(e.kind == EventKind.ALARM for e in record.events):
            break
    assert any(e.kind == EventKind.SPLIT for e in record.events)
    library = wm._state.library
    broad = library.index_of(GENERIC_MODEL)
    for slot in (wm.belief.slot_of(i) for i in (0, 1)):
        assert int(wm.belief.model_index[slot]) == broad
        spread = torch.diagonal(wm.belief.joint_covariance[slot])[TANGENT_DIM:].sqrt()
        torch.testing.assert_close(wm.belief.parameters[slot], library.prior_mean[broad])
        torch.testing.assert_close(spread, library.prior_std[broad])
