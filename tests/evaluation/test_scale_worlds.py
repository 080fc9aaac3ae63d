"""The made-up plain of the speed benchmark is what it says it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from worldsim.evaluation.scale_stages import STAGES, stage_times
from worldsim.evaluation.scale_worlds import FRAME_S, Plain, known_models
from worldsim.loop import WorldModel


@pytest.fixture(scope="module")
def models():
    return known_models()


def test_walkers_walk_inside_the_plain_and_crates_lie(models):
    world = Plain(6, 4, models, np.random.default_rng(0))
    start = world.position.copy()
    seen = list(itertools.islice(world.frames(), 400))
    assert {len(o.detections) for o in seen} == {10}
    np.testing.assert_allclose(np.diff([o.time_s for o in seen]), FRAME_S)
    moved = np.linalg.norm(world.position - start, axis=1)
    assert (moved[world.kind == 0] > 0.0).all()
    assert (moved[world.kind == 1] == 0.0).all()
    step_m = 2.0 * FRAME_S  # a walker turns back one step after it has crossed the edge
    assert world.position.min() > -step_m
    assert world.position[:, :2].max() < world.side_m + step_m


def test_the_world_model_knows_every_walker_and_lets_every_crate_sleep(models):
    world = Plain(6, 4, models, np.random.default_rng(1))
    wm = WorldModel(models=models, device="cpu")
    for number, observation in enumerate(itertools.islice(world.frames(), 12)):
        if number == 0:
            wm.reset(observation)
        else:
            wm.step(observation)
    alive = wm.belief.alive
    kinds = sorted(str(wm.kind_of(int(i))) for i in wm.belief.object_id[alive])
    assert kinds == ["crate"] * 4 + ["worker"] * 6
    asleep = {str(wm.kind_of(int(i))) for i in wm.belief.object_id[alive & ~wm.belief.awake]}
    assert asleep == {"crate"}


def test_the_stages_of_a_step_are_timed_and_left_as_they_were() -> None:
    usual = [getattr(module, name) for module, name, _ in STAGES]
    models = known_models()
    wm = WorldModel(models=models)
    frames = Plain(5, 5, models, np.random.default_rng(0)).frames()
    wm.reset(next(frames))
    with stage_times() as times:
        for _ in range(4):
            wm.step(next(frames))
    wm.step(next(frames))
    assert [getattr(module, name) for module, name, _ in STAGES] == usual
    assert {stage: len(taken) for stage, taken in times.seconds.items()} == {stage: 4 for _, _, stage in STAGES}
    assert all(ms > 0.0 for ms in times.medians_ms(4).values())
