"""Two welded crates are believed as one body while they are one, and as two, nothing lost, when they no longer are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from tests.engine.weld_world import DT_S, frames, watcher
from worldsim.engine.settings import LoopSettings
from worldsim.loop import WorldModel
from worldsim.types import EventKind, StepRecord

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
