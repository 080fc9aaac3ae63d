"""A detector that knows nothing of looks: things are told apart, recognised and searched for by size and motion."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from tests.small_world import Shelf, frames, model, run, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.loop import WorldModel
from worldsim.types import EventKind, Observation


def blind(observation: Observation) -> Observation:
    seen = observation.detections
    return dataclasses.replace(
        observation, detections=dataclasses.replace(seen, appearance=np.full_like(seen.appearance, np.nan))
    )


def kinds(wm: WorldModel) -> Counter[str]:
    return Counter(wm.kind_of(int(i)) for i in wm.belief.object_id[wm.belief.alive])


@pytest.mark.parametrize("every", [1, 2])
def test_things_are_recognised_by_size_and_motion_where_no_frame_or_only_every_other_tells_how_they_look(every) -> None:
    plain, wm = world_model(), world_model()
    seen = list(frames(4.0))
    run(plain, seen)
    events = run(wm, [blind(o) if n % every == 0 else o for n, o in enumerate(seen)])
    assert kinds(wm) == kinds(plain)
    assert not [e for e in events if e.kind in (EventKind.ALARM, EventKind.REJECTED_INPUT)]
    alive = wm.belief.alive
    unknown = wm.belief.appearance[alive].isnan().all(dim=1)
    assert int(unknown.sum()) == (len(unknown) - 1 if every == 1 else 0)  # what is known of the own body is its card's
    assert bool(torch.isfinite(wm.belief.joint_covariance[alive]).all())


def test_what_fits_nothing_is_asked_about_without_its_looks_and_is_known_after() -> None:
    shelf = Shelf(model("cat"))
    wm = world_model(shelf)
    events = run(wm, [blind(o) for o in frames(6.0, cat_from_s=2.0)])
    assert shelf.queries
    assert all(query.appearance is None and query.appearance_std is None for query in shelf.queries)
    assert kinds(wm)["cat"] == 1
    assert [e.kind for e in events].count(EventKind.ALARM) >= 1


def test_a_model_that_is_learned_of_a_thing_whose_looks_are_unknown_says_nothing_of_looks() -> None:
    shelf = Shelf()
    run(world_model(shelf), [blind(o) for o in frames(9.0, cat_from_s=2.0, hover=True)])
    (learned,) = shelf.models.values()
    assert learned.card.descriptor.appearance is None
    assert learned.card.descriptor.appearance_std is None
    assert learned.card.descriptor.motion


@pytest.mark.parametrize("from_frame", [0, 25])
def test_things_fall_and_stay_asleep_as_others_do_when_they_are_seen_without_their_looks(from_frame: int) -> None:
    models = known_models()
    seen = list(itertools.islice(Plain(2, 30, models, np.random.default_rng(4)).frames(), 60))
    asleep = []
    for unseen in (False, True):
        wm = WorldModel(models=models, settings=WorldModelSettings(loop=LoopSettings(dormant_above=8)))
        for n, observation in enumerate(seen):
            told = blind(observation) if unseen and n >= from_frame else observation
            _ = wm.step(told) if n else wm.reset(told)
        asleep.append(len(wm._state.dormant))
        assert int(wm.belief.alive.sum()) == 32
    assert asleep[1] >= asleep[0] > 20
