"""A simulated hinged pair is found again from windows of its tosses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from worldsim.dynamics import ContactSettings, quaternion
from worldsim.inference.elbow_toss import ELBOW_PRIORS, ElbowModel, ElbowPaths, ElbowWindows

DT_S = 1 / 148
MODEL = replace(ElbowModel(), settings=ContactSettings(substeps=2, iterations=8))


def natural(**changes: float) -> np.ndarray:
    row = np.array([prior.mean for prior in ELBOW_PRIORS])
    for index, prior in enumerate(ELBOW_PRIORS):
        row[index] = changes.get(prior.name, prior.mean)
    return row


def windows(truth: np.ndarray, count: int, seed: int) -> ElbowWindows:
    g = torch.Generator().manual_seed(seed)
    orientation = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1).double()[None]
    position = torch.tensor([0.0, 0.0, 0.11]).double().expand(1, count, 3)
    joint = torch.randn(1, count, generator=g).double()
    velocity = torch.randn(count, 3, generator=g).double() - torch.tensor([0.0, 0.0, 1.0]).double()
    spin, rate = torch.randn(count, 3, generator=g).double(), torch.randn(count, generator=g).double()
    start = ElbowWindows(ElbowPaths(position, orientation, joint), velocity, spin, rate, DT_S)
    return replace(start, paths=MODEL.predict(truth[None], start, 16))


def test_watching_tosses_finds_friction_and_floor() -> None:
    truth = natural(friction=0.32, floor_m=0.003)
    belief = MODEL.begin()
    for seed in range(5):
        belief = MODEL.assimilate(belief, windows(truth, 12, seed))
    found, prior = belief.interval(), MODEL.begin().interval()
    assert abs(found["friction"][0] - 0.32) < 0.06
    assert abs(found["floor_m"][0] - 0.003) < 0.0015
    for name in ("friction", "floor_m"):
        assert found[name][2] - found[name][1] < 0.6 * (prior[name][2] - prior[name][1])


def test_the_true_parameters_predict_what_was_simulated_and_others_do_not() -> None:
    truth = natural(friction=0.32)
    window = windows(truth, 12, seed=9)
    same = MODEL.predict(truth[None], window, 16).minus(window.paths)
    assert all(part.abs().max() < 1e-9 for part in same)
    off = MODEL.predict(natural()[None], window, 16).minus(window.paths)
    assert off[0][-1].norm(dim=-1).max() > 1e-3


def test_a_pair_seen_from_another_side_moves_alike() -> None:
    truth = natural()
    window = windows(truth, 6, seed=4)
    turn = torch.tensor([0.0, 0.0, np.sin(0.6), np.cos(0.6)]).double()
    paths = window.paths
    turned = ElbowWindows(
        ElbowPaths(
            quaternion.rotate(turn, paths.position),
            quaternion.multiply(turn.expand_as(paths.orientation_xyzw), paths.orientation_xyzw),
            paths.joint_rad,
        ),
        quaternion.rotate(turn, window.velocity),
        quaternion.rotate(turn, window.spin),
        window.joint_rate,
        DT_S,
    )
    position, rotation, joint = MODEL.predict(truth[None], turned, 16).minus(turned.paths)
    # the solver's iterations stop early, but at the same point up to rounding
    assert position.abs().max() < 1e-6
    assert rotation.abs().max() < 1e-5
    assert joint.abs().max() < 1e-5
