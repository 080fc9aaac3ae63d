"""Deep sleep costs nothing and changes nothing: who moves is believed as if nobody slept deeply."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch

from tests import small_world
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.loop import WorldModel
from worldsim.types import EventKind, Observation, StepRecord

_MODELS = known_models()


def world_model(dormant_above: int | None, precision: Literal["float32", "float64"] = "float64") -> WorldModel:
    loop = LoopSettings(dormant_above=dormant_above, precision=precision)
    return WorldModel(models=_MODELS, settings=WorldModelSettings(loop=loop))


def walked(dormant_above: int | None, steps: int = 40) -> Iterator[tuple[WorldModel, StepRecord]]:
    world = Plain(12, 60, _MODELS, np.random.default_rng(3))
    wm = world_model(dormant_above)
    for number, observation in enumerate(itertools.islice(world.frames(), steps)):
        yield wm, (wm.reset(observation) if number == 0 else wm.step(observation))


def settled(crates: int = 30, misses: float = 0.0) -> tuple[WorldModel, Iterator[Observation], Plain]:
    """Return a model in which every crate lies in deep sleep, and the frames that follow."""
    world = Plain(2, crates, _MODELS, np.random.default_rng(4))
    wm, frames = world_model(8), world.frames()
    wm.reset(next(frames))
    for _ in range(20):
        wm.step(next(frames))
    assert len(wm._state.dormant) > crates // 2
    return wm, frames, world


def crate_asleep(wm: WorldModel, world: Plain) -> int:
    """Return the number of a crate of the world that lies in deep sleep."""
    state = wm._state
    lies = state.dormant.columns["belief.position"][state.dormant.present()]
    away = np.linalg.norm(world.position[:, None] - lies[None], axis=-1).min(axis=1)
    return int(np.flatnonzero((world.kind == 1) & (away < 0.05))[0])


def id_near(wm: WorldModel, place: np.ndarray) -> int:
    belief = wm.belief
    away = (belief.position - belief.position.new_tensor(place)).norm(dim=-1)
    return int(belief.object_id[torch.where(belief.alive, away, torch.inf).argmin()])


def test_who_walks_is_believed_as_if_nobody_slept_deeply() -> None:
    for (one, first), (other, second) in zip(walked(None), walked(8), strict=True):
        alive = one.belief.alive
        movers = {int(i) for i in one.belief.object_id[alive] if one.kind_of(int(i)) == "worker"}
        assert movers == {int(i) for i in other.belief.object_id if i >= 0 and other.kind_of(int(i)) == "worker"}
        for report in ("surprisal_nats", "excess_surprisal_nats", "nis", "log_e_value"):
            mine, theirs = (
                {i: getattr(r.surprise, report)[n] for n, i in enumerate(r.surprise.object_id.tolist()) if i in movers}
                for r in (first, second)
            )
            for object_id, value in mine.items():
                np.testing.assert_allclose(theirs[object_id], value, atol=1e-9, err_msg=report)
        table, again = one.graph, other.graph
        edges = [
            {
                (s, t, k): 1.0 / (1.0 + np.exp(-o))
                for s, t, k, o in zip(g.source.tolist(), g.target.tolist(), g.kind, g.log_odds.tolist(), strict=True)
                if s in movers or t in movers
            }
            for g in (table, again)
        ]
        assert edges[0].keys() == edges[1].keys()
        assert all(abs(p - edges[1][e]) < 1e-3 for e, p in edges[0].items())
    assert len(other._state.dormant) > 30


def test_a_step_is_about_who_is_awake_and_what_stands_beside_them() -> None:
    wm, frames, _ = settled()
    record = wm.step(next(frames))
    assert len(record.predictions.object_id) < 12
    assert int(wm.belief.alive.sum()) == 32
    assert len(wm.graph.object_ids) == 32
    assert len(wm.forecast(0.5, 0.1).object_id) == 32
    assert sum(record.association.unassigned.shape) == 0


def test_a_sleeper_that_is_shifted_wakes_as_itself() -> None:
    wm, frames, world = settled()
    crate = crate_asleep(wm, world)
    before = id_near(wm, world.position[crate])
    world.position[crate] += [0.35, 0.0, 0.0]
    next(frames)  # already drawn from where it stood
    for _ in range(6):
        wm.step(next(frames))
    assert id_near(wm, world.position[crate]) == before
    slot = wm.belief.slot_of(before)
    assert slot is not None
    assert float((wm.belief.position[slot] - wm.belief.position.new_tensor(world.position[crate])).norm()) < 0.05


def test_a_sleeper_that_creeps_away_is_noticed() -> None:
    wm, frames, world = settled()
    crate = crate_asleep(wm, world)
    before = id_near(wm, world.position[crate])
    for _ in range(60):
        world.position[crate] += [0.01, 0.0, 0.0]
        wm.step(next(frames))
    slot = wm.belief.slot_of(before)
    assert slot is not None
    assert float((wm.belief.position[slot] - wm.belief.position.new_tensor(world.position[crate])).norm()) < 0.1


def test_a_sleeper_that_is_taken_away_is_missed_and_given_up() -> None:
    wm, frames, world = settled()
    crate = crate_asleep(wm, world)
    gone = id_near(wm, world.position[crate])
    dead = []
    for _ in range(30):
        seen = next(frames)
        kept = np.linalg.norm(seen.detections.position - world.position[crate], axis=1) > 0.3
        record = wm.step(dataclasses.replace(seen, detections=seen.detections.select(kept)))
        dead += [e.object_id for e in record.events if e.kind == EventKind.DEATH]
    assert dead == [gone]
    assert wm.belief.slot_of(gone) is None


def test_a_camera_that_is_covered_wakes_nobody_who_is_out_of_its_range() -> None:
    wm, frames, _ = settled()
    asleep = len(wm._state.dormant)
    for _ in range(20):
        seen = next(frames)
        near = dataclasses.replace(seen.viewpoints, range_m=np.array([1e-3]))
        wm.step(dataclasses.replace(seen, detections=seen.detections.select(np.zeros(0, dtype=int)), viewpoints=near))
    assert len(wm._state.dormant) >= asleep - 2


def test_what_is_not_finite_is_refused_beside_sleepers_too() -> None:
    wm, frames, _ = settled()
    seen = next(frames)
    seen.detections.position[3] = np.nan
    record = wm.step(seen)
    assert [e.detail["detections"] for e in record.events if e.kind == EventKind.REJECTED_INPUT] == [1]


@pytest.mark.parametrize("variance", [0.0, -1e-5])
def test_what_has_no_noise_is_refused_beside_sleepers_too(variance: float) -> None:
    wm, frames, _ = settled()
    for axis in range(6):
        seen = next(frames)
        seen.detections.covariance[:, axis, axis] = variance
        record = wm.step(seen)
        (refused,) = [e for e in record.events if e.kind == EventKind.REJECTED_INPUT]
        assert refused.detail["detections"] == len(seen.detections)


def test_save_and_load_keep_the_sleepers_bit_for_bit(tmp_path) -> None:
    wm, frames, _ = settled()
    wm.save(tmp_path / "belief.safetensors")
    again = WorldModel.load(tmp_path / "belief.safetensors")
    for observation in itertools.islice(frames, 12):
        wm.step(observation)
        again.step(observation)
    for name, tensor in wm.belief.tensors().items():
        assert torch.equal(tensor, again.belief.tensors()[name]), name


@pytest.mark.parametrize("above", [None, 10_000])
def test_a_small_world_is_worked_on_whole(above: int | None) -> None:
    wm, _ = list(walked(above, 20))[-1]
    assert len(wm._state.dormant) == 0
    assert wm._everything() is wm._state


def test_an_edge_of_what_is_gone_goes_with_it_though_its_other_end_sleeps():
    rng = np.random.default_rng(0)
    low = [("rigid_body", np.array([1.5 * i - 6.0, -4.0, 0.175])) for i in range(8)]
    top = [("rigid_body", np.array([-6.0, -4.0, 0.525]))]
    settings = WorldModelSettings(loop=LoopSettings(dormant_above=4))
    wm = small_world.world_model(None, surprise=False, settings=settings)
    graphs = []
    for k in range(70):
        seen = small_world.frame(k * small_world.DT_S, low + (top if k < 40 else []), rng)
        seen = dataclasses.replace(seen, ego=None)
        _ = wm.step(seen) if k else wm.reset(seen)
        graphs.append(wm.graph)
        if k == 39:
            assert len(wm._state.dormant) > 4
    before, after = ({*g.source.tolist(), *g.target.tolist()} for g in (graphs[39], graphs[-1]))
    gone = set(graphs[39].object_ids) - set(graphs[-1].object_ids)
    assert len(gone) == 1
    assert gone <= before
    assert not gone & after


def test_a_sleeper_that_is_not_seen_grows_unsure_of_its_place_and_of_nothing_else() -> None:
    wm, frames, world = settled()
    object_id = id_near(wm, world.position[crate_asleep(wm, world)])

    def spread() -> torch.Tensor:
        slot = wm.belief.slot_of(object_id)
        assert slot is not None
        return torch.diagonal(wm.belief.joint_covariance[slot])

    before, missed = spread().clone(), 20
    for _ in range(missed):
        seen = next(frames)
        near = dataclasses.replace(seen.viewpoints, range_m=np.array([1e-3]))
        wm.step(dataclasses.replace(seen, detections=seen.detections.select(np.zeros(0, dtype=int)), viewpoints=near))
    assert not wm._state.holding([object_id]).any()  # it sleeps on
    added = spread() - before
    # a millimetre and three milliradians a frame, as of whoever sleeps at hand
    assert added[:6].tolist() == pytest.approx([missed * 1e-6] * 3 + [missed * 9e-6] * 3, rel=1e-3)
    assert not added[6:].any()
    slot = wm.belief.slot_of(object_id)
    prior = wm._state.library.prior_std[wm.belief.model_index[slot]] ** 2
    assert torch.allclose(before[12:], prior)
    assert bool((prior > 0.0).any())


@pytest.mark.parametrize("why", ["doubted", "missed", "blurred"])
def test_who_is_doubted_or_was_not_seen_well_is_not_put_away(why: str) -> None:
    world = Plain(2, 30, _MODELS, np.random.default_rng(4))
    wm, frames = world_model(8), world.frames()
    wm.reset(next(frames))
    while not len(wm._state.dormant):
        seen, state = next(frames), wm._state
        if int(state.ledger.hits.max()) >= 8:  # in the frames in which some are put away, and shortly before
            crate = int(np.flatnonzero(world.kind == 1)[0])
            mine = np.linalg.norm(seen.detections.position - world.position[crate], axis=1) < 0.3
            assert mine.sum() == 1
            object_id = id_near(wm, world.position[crate])
            if why == "doubted":
                value = state.belief.log_e_value.clone()
                value[state.belief.slot_of(object_id)] = 15.0
                state.belief = dataclasses.replace(state.belief, log_e_value=value)
            elif why == "missed":
                seen = dataclasses.replace(seen, detections=seen.detections.select(~mine))
            else:
                seen.detections.covariance[mine, 0, 0] = 0.04**2  # wider than the cells that it is looked for in
        wm.step(seen)
    assert len(wm._state.dormant) > 20
    assert wm._state.holding([object_id]).any()


def test_when_a_sleeper_was_seen_is_known_on_a_clock_of_1970_too(tmp_path) -> None:
    world, began = Plain(2, 30, _MODELS, np.random.default_rng(4)), 1.7e9 + 0.3
    wm = world_model(8, precision="float32")
    frames = (dataclasses.replace(o, time_s=began + o.time_s) for o in world.frames())
    wm.reset(next(frames))
    for observation in itertools.islice(frames, 30):
        wm.step(observation)
    asleep = wm._state.dormant.object_id[wm._state.dormant.present()]
    wm.save(tmp_path / "wm.safetensors")
    for model in (wm, WorldModel.load(tmp_path / "wm.safetensors")):
        belief = model.belief
        lying = np.isin(belief.object_id.numpy(), asleep) & belief.alive.numpy()
        assert lying.sum() > 15
        np.testing.assert_allclose(belief.last_seen_s.numpy()[lying], observation.time_s, rtol=0.0, atol=1e-3)


def test_a_long_pause_is_survived_beside_sleepers() -> None:
    wm, frames, _ = settled()
    seen = next(frames)
    record = wm.step(dataclasses.replace(seen, time_s=seen.time_s + 86_400.0))  # who walks may be anywhere
    assert record.time_s == seen.time_s + 86_400.0
    assert int(wm.belief.alive.sum()) >= 28
