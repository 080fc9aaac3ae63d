"""Two welded crates are believed as one body while they are one, and as two, nothing lost, when they no longer are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from tests.engine.weld_world import DT_S, STD_M, STD_RAD, frames, watcher
from tests.small_world import EXTENTS, LOOKS
from worldsim.engine import welding
from worldsim.engine.settings import LoopSettings
from worldsim.graph.edges import EdgeTable
from worldsim.loop import WorldModel
from worldsim.types import Detections, EventKind, Observation, StepRecord, Viewpoints

BREAKS_S, SECONDS = 0.8, 1.15


@dataclass(frozen=True)
class Told:
    """One run."""

    model: WorldModel
    records: list[StepRecord]
    single: list[torch.Tensor]

    def frame_of(self, kind: EventKind) -> int | None:
        return next((k for k, r in enumerate(self.records) if any(e.kind == kind for e in r.events)), None)


def run(composites: bool, seed: int = 0, seconds: float = SECONDS) -> Told:
    model, records, odds = watcher(composites), [], []
    for k, observation in enumerate(frames(seconds, seed, BREAKS_S)):
        records.append(model.step(observation) if k else model.reset(observation))
        odds.append(torch.from_numpy(model._state.edges.log_odds.copy()))
    return Told(model, records, odds)


@pytest.fixture(scope="module")
def together() -> Told:
    return run(True)


@pytest.fixture(scope="module")
def apart() -> Told:
    return run(False)


def nats(record: StepRecord) -> float:
    """Return the negative log density of what was seen of both."""
    sizes = [np.linalg.slogdet(2.0 * math.pi * c)[1] for c in record.predictions.covariance]
    return 0.5 * float(record.surprise.nis.sum() + sum(sizes))


def welded(told: Told, merged: int) -> list[StepRecord]:
    return [r for k, r in enumerate(told.records) if merged < k and k * DT_S <= BREAKS_S]


def test_a_weld_that_is_certain_for_long_enough_makes_one_body(together):
    merged = together.frame_of(EventKind.MERGE)
    assert merged is not None
    assert merged * DT_S < 0.5
    event = next(e for e in together.records[merged].events if e.kind == EventKind.MERGE)
    assert event.detail == {"members": [0, 1], "frames_ago": 5}
    assert all(sorted(r.predictions.object_id.tolist()) == [0, 1] for r in together.records[merged:])


def test_a_welded_pair_is_predicted_better_than_as_two_bodies_and_stays_calibrated(together, apart):
    merged = together.frame_of(EventKind.MERGE)
    as_one, as_two = ([nats(r) for r in welded(told, merged)] for told in (together, apart))
    assert len(as_one) > 20
    gain = np.array(as_two) - np.array(as_one)
    assert gain.mean() > 3.0 * gain.std(ddof=1) / math.sqrt(len(gain)) > 0.0
    nis = sum(float(r.surprise.nis.sum()) for r in welded(together, merged))
    low, high = stats.chi2.ppf([1e-3, 1.0 - 1e-3], 12 * len(as_one))
    assert low < nis < high


def test_a_weld_that_breaks_is_seen_no_later_than_without_composites(together, apart):
    split = together.frame_of(EventKind.SPLIT)
    assert split is not None
    assert split * DT_S > BREAKS_S
    breaks = round(BREAKS_S / DT_S)
    gone = next((k for k in range(breaks, len(apart.single)) if not (apart.single[k] > 0.0).any()), len(apart.single))
    assert split <= gone
    assert together.model.composites == []


def test_what_was_merged_goes_on_as_if_it_never_had_been(together, apart):
    one, two = together.model.belief, apart.model.belief
    for name in ("position", "linear_velocity", "angular_velocity", "joint_covariance", "parameters", "noise_scale"):
        torch.testing.assert_close(getattr(one, name)[:2], getattr(two, name)[:2], rtol=1e-7, atol=1e-9)


def test_the_whole_weighs_what_its_members_do(tmp_path):
    told = run(True, seconds=0.5)
    (body,) = told.model.composites
    belief = told.model.belief
    mass = belief.parameters[:2, 0].exp().sum()
    assert body.members == (0, 1)
    assert body.mass_kg == pytest.approx(float(mass), rel=0.5)
    assert body.mass_std_kg > 0.0
    np.testing.assert_allclose(body.centre_m[:2], [0.5 * 29 * DT_S, 0.0], atol=0.05)
    assert np.linalg.eigvalsh(body.inertia_kg_m2).min() > 0.0
    told.model.save(tmp_path / "saved.safetensors")
    again = WorldModel.load(tmp_path / "saved.safetensors")
    observation = list(frames(0.55, 0, BREAKS_S))[30]
    told.model.step(observation)
    again.step(observation)
    assert all(torch.equal(value, again.belief.tensors()[name]) for name, value in told.model.belief.tensors().items())
    assert len(again.composites) == 1


def test_nothing_is_merged_unless_asked_for(apart):
    assert not LoopSettings().composites
    assert apart.frame_of(EventKind.MERGE) is None
    assert apart.model._state.composites is None


@pytest.mark.parametrize("composites", [True, False])
def test_a_size_is_learned_of_a_member_as_of_a_single_body(composites: bool) -> None:
    model = watcher(composites)
    for k, observation in enumerate(frames(1.0, 0)):
        seen = observation.detections
        size = seen.extent_m * (1.3 if k >= 25 else 1.0)  # from then on the sensors say: 30 % larger
        told = dataclasses.replace(observation, detections=dataclasses.replace(seen, extent_m=size))
        _ = model.step(told) if k else model.reset(told)
    assert (model._state.composites is not None) == composites
    assert model.belief.extent_m[0, 0].item() == pytest.approx(0.603, abs=0.005)


def sliding(seconds: float, seed: int) -> Iterator[Observation]:
    """Yield observations of two crates side by side that slide until friction has stopped them."""
    rng = np.random.default_rng(seed)
    size, until_s = EXTENTS["rigid_body"], 3.0 / 3.92
    for k in range(round(seconds / DT_S)):
        t = min(k * DT_S, until_s)
        x = 3.0 * t - 0.5 * 3.92 * t**2
        places = np.array([[x, 0.0, size[2] / 2], [x + 0.51, 0.0, size[2] / 2]])
        turned = np.concatenate([0.5 * STD_RAD * rng.standard_normal((2, 3)), np.ones((2, 1))], axis=1)
        seen = Detections(
            places + 0.5 * STD_M * rng.standard_normal((2, 3)),
            turned / np.linalg.norm(turned, axis=1, keepdims=True),
            np.tile(size, (2, 1)),
            np.full((2, 3), 0.5),
            np.tile(LOOKS["rigid_body"], (2, 1)) + 0.03 * rng.standard_normal((2, 12)),
            np.tile(np.diag([STD_M**2] * 3 + [STD_RAD**2] * 3), (2, 1, 1)),
        )
        yield Observation(k * DT_S, seen, Viewpoints.everywhere())


@pytest.mark.parametrize("seed", range(4))
def test_a_weld_whose_parts_fall_asleep_was_not_broken_before(seed: int) -> None:
    model, told = watcher(True, rollback_frames=24), []
    for k, observation in enumerate(sliding(1.5, seed)):
        record = model.step(observation) if k else model.reset(observation)
        told += [
            (e.kind, e.detail["frames_ago"]) for e in record.events if e.kind in (EventKind.MERGE, EventKind.SPLIT)
        ]
    assert told[-1] == (EventKind.SPLIT, 0)
    assert model.graph.probability.max() > 0.99


def row_of_crates(number: int, frame: int) -> Observation:
    """Return what is seen of crates side by side that slide along together."""
    rng = np.random.default_rng(frame)
    place = np.stack([0.8 * np.arange(number), np.full(number, 0.6 * frame * DT_S), np.full(number, 0.175)], axis=1)
    seen = Detections(
        place + STD_M * rng.standard_normal(place.shape),
        np.tile([0.0, 0.0, 0.0, 1.0], (number, 1)),
        np.tile(EXTENTS["rigid_body"], (number, 1)),
        np.full((number, 3), 0.5),
        np.tile(LOOKS["rigid_body"], (number, 1)),
        np.tile(np.diag([STD_M**2] * 3 + [STD_RAD**2] * 3), (number, 1, 1)),
    )
    return Observation(frame * DT_S, seen, Viewpoints.everywhere())


def test_a_composite_that_is_full_stays_as_it_is_when_one_more_is_welded_to_it() -> None:
    model, most = watcher(True), welding.MOST_MEMBERS
    model.reset(row_of_crates(most + 2, 0))
    for frame in range(1, 12):
        model.step(row_of_crates(most + 2, frame))
    state = model._state

    def reviewed(bonds: list[int]) -> list[list[int]]:
        """Return the composites where each of these crates has for long been welded to the next one."""
        first = np.array(bonds)
        for _ in range(welding.CERTAIN_FRAMES):
            state.edges = EdgeTable(first, first + 1, np.zeros(len(first), dtype=np.int64), np.full(len(first), 9.0))
            welding.review(state)
        return [] if state.composites is None else [ids.tolist() for ids in state.composites.groups()]

    whole = list(range(most))
    with torch.inference_mode():
        assert reviewed(whole[:-1]) == [whole]
        assert reviewed(whole) == [whole]
        assert reviewed([*whole, most]) == [whole]
        assert reviewed([*whole[:-1], most]) == [whole, [most, most + 1]]
