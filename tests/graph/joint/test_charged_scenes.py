"""Charges: all pairs of a scene weighed together, and pairs that circle each other within a frame."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from worldsim.graph.joint import JointGraphFilter, JointSettings
from worldsim.graph.joint.charges import NEUTRAL_SHARE, joint_charges
from worldsim.interactions.charge import Charge

DT_S, STEPS, STEP_S = 0.1, 100, 1e-3


def _scene(charge: list[float], place: np.ndarray, velocity: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places and velocities [T, n, 2] of unit masses with those charges, semi-implicit steps of 1 ms."""
    product = np.outer(charge, charge) * (1.0 - np.eye(len(charge)))
    places, velocities = [place], [velocity]
    for _ in range(frames - 1):
        for _ in range(STEPS):
            apart = place[:, None] - place[None]
            distance = np.linalg.norm(apart, axis=-1) + np.eye(len(charge))
            velocity = velocity + STEP_S * ((product / distance**3)[..., None] * apart).sum(1)
            place = place + STEP_S * velocity
        places.append(place)
        velocities.append(velocity)
    return np.array(places), np.array(velocities)


def test_all_assignments_are_weighed_as_brute_force_weighs_them() -> None:
    size, pairs = 3, [(0, 1), (0, 2), (1, 2)]
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(1, 3, 3, generator=generator, dtype=torch.float64)
    precision = root @ root.mT
    information = torch.randn(1, 3, generator=generator, dtype=torch.float64)
    mean, spread = torch.tensor([0.8], dtype=torch.float64), torch.tensor([0.04], dtype=torch.float64)
    against = torch.tensor([[-0.3, 0.0, -1.0]], dtype=torch.float64)
    states, evidence = joint_charges((precision, information), (mean, spread), against, size)
    share = {-1: 0.5 * (1.0 - NEUTRAL_SHARE), 0: NEUTRAL_SHARE, 1: 0.5 * (1.0 - NEUTRAL_SHARE)}
    weights = {}
    for charges in itertools.product((-1, 0, 1), repeat=size):
        sign = torch.tensor([charges[i] * charges[j] for i, j in pairs], dtype=torch.float64)
        prior = torch.distributions.MultivariateNormal(0.8 * sign, 0.04 * torch.eye(3, dtype=torch.float64))
        total = precision[0] + torch.eye(3, dtype=torch.float64) / 0.04
        at = torch.linalg.solve(total, information[0] + 0.8 * sign / 0.04)
        # log of the integral of likelihood times prior: their value at the mode, times the Gaussian volume
        log_joint = information[0] @ at - 0.5 * at @ precision[0] @ at + prior.log_prob(at)
        whole = log_joint + 1.5 * math.log(2.0 * math.pi) - 0.5 * torch.logdet(total)
        whole = whole + sum(math.log(share[q]) for q in charges) + (against[0] * (sign == 0)).sum()
        weights[charges] = float(whole)
    top = max(weights.values())
    log_sum = top + math.log(sum(math.exp(w - top) for w in weights.values()))
    # the neutral scene is its own mirror image, and counts twice in `joint_charges`: it is all but excluded here
    assert float(evidence[0]) == pytest.approx(log_sum, abs=0.02)
    for k, (i, j) in enumerate(pairs):
        repelling = sum(math.exp(w - log_sum) for q, w in weights.items() if q[i] * q[j] == 1)
        assert float(states[0, k, 1].exp()) == pytest.approx(repelling, abs=0.02)


def test_the_charges_of_two_that_circle_each_other_are_told_apart_by_the_others() -> None:
    # a binary 8 cm wide turns about ten times a frame; three others fly by
    charge = [1.0, -1.0, 1.0, 1.0, -1.0]
    turning = math.sqrt(0.5 / 0.08)
    place = np.array([[0.04, 0.0], [-0.04, 0.0], [1.0, 0.4], [-0.8, 0.9], [0.2, -1.1]])
    velocity = np.array([[0.0, turning], [0.0, -turning], [-0.3, 0.2], [0.3, -0.1], [0.2, 0.3]])
    places, velocities = _scene(charge, place, velocity, 16)
    graph = JointGraphFilter([Charge()], settings=JointSettings(substep_s=STEP_S))
    for p, v in zip(places, velocities, strict=True):
        graph.assimilate(torch.from_numpy(p), torch.from_numpy(v), DT_S)
    state = graph.posterior().dense(5, 1)[0, :, :, 0].argmax(-1).numpy()
    wanted = np.where(np.outer(charge, charge) > 0, 1, 2)
    off = ~np.eye(5, dtype=bool)
    assert (state[off] == wanted[off]).all()


def test_strengths_of_clean_data_have_intervals_that_are_neither_nothing_nor_wide() -> None:
    rng = np.random.default_rng(4)
    place, velocity = rng.normal(0.0, 1.2, (4, 2)), rng.normal(0.0, 0.3, (4, 2))
    places, velocities = _scene([1.0, -1.0, 1.0, -1.0], place, velocity, 25)
    graph = JointGraphFilter([Charge()], settings=JointSettings(substep_s=STEP_S))
    for p, v in zip(places, velocities, strict=True):  # float32, as such data are stored
        graph.assimilate(torch.from_numpy(p).float(), torch.from_numpy(v).float(), DT_S)
    found = graph.posterior()
    error = (found.strength.abs() - 1.0).abs() / found.strength_std
    assert float(found.strength_std.min()) > 1e-10
    assert float(found.strength_std.max()) < 1e-2
    assert float(error.max()) < 4.0  # twelve numbers, of which a Gaussian leaves four deviations once in 16,000
