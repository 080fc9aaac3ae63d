"""The verdict on a withheld kind, on readings made by hand; and one short scene from the simulator to the verdict."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.evaluation.bench_graph_mixed import MixedScene, Reading, judged, play_mixed, read
from worldsim.evaluation.bench_graph_pairs import Play

STD = 5e-3
PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
BODIES = ((0, 4), (1,), (2,), (3,))  # balls 0 and 4 are welded
SPRINGS, MAGNETS = {(1, 2), (2, 3)}, {(1, 4), (1, 3)}  # of balls
LAWS = {(1, 2): (1.1, 0.0), (2, 3): (0.9, 0.0), (0, 1): (0.0, -0.4), (1, 3): (0.0, -0.42)}


def _scene() -> MixedScene:
    play = Play(np.zeros((1, 5, 2)), np.ones(5), np.ones(5), np.zeros((5, 5)), np.ones(2), np.zeros((1, 5, 5), bool))
    forces = {"spring": frozenset(SPRINGS), "magnet": frozenset(MAGNETS), "weld": frozenset({(0, 4)})}
    return MixedScene(play, forces)


def _reading() -> Reading:
    mean = torch.zeros(6, 4, dtype=torch.float64)
    for row, pair in enumerate(PAIRS):
        mean[row, 0], mean[row, 3] = LAWS.get(pair, (0.0, 0.0))
    covariance = (STD**2 * torch.eye(4, dtype=torch.float64)).expand(6, 4, 4)
    precision = torch.eye(24, dtype=torch.float64) / STD**2
    distance = torch.linspace(0.3, 1.5, 30, dtype=torch.float64)
    return Reading(BODIES, PAIRS, mean, covariance, precision, precision @ mean.flatten(), distance, np.full(6, 0.3))


def test_the_withheld_kind_is_opened_and_its_law_recovered() -> None:
    for withheld in ("magnet", "spring"):
        verdict = judged(_scene(), _reading(), withheld)
        assert verdict.is_the_withheld
        assert (verdict.opened, verdict.right, verdict.pairs) == (1, 6, 6)
        assert verdict.law_error < 1e-6
        assert verdict.by_rule == 4  # near are all six


def test_nothing_is_opened_where_the_library_knows_all() -> None:
    verdict = judged(_scene(), _reading(), None)
    assert (verdict.opened, verdict.right, verdict.is_the_withheld) == (0, 6, False)


def test_a_new_kind_of_other_pairs_is_not_the_withheld_one() -> None:
    scene = _scene()
    others = MixedScene(scene.play, scene.forces | {"magnet": frozenset({(0, 2), (0, 3)})})
    assert not judged(others, _reading(), "magnet").is_the_withheld


def test_a_short_scene_is_read_from_what_a_noisy_sensor_saw() -> None:
    scene = play_mixed(0, 60)
    reading = read(scene.play, np.random.default_rng(0))
    assert sum(len(balls) for balls in reading.bodies) == 8
    assert len(reading.pairs) == len(reading.mean) == len(reading.bodies) * (len(reading.bodies) - 1) // 2
    assert torch.isfinite(reading.mean).all()
    verdict = judged(scene, reading, "magnet")
    assert verdict.pairs == len(reading.pairs)
