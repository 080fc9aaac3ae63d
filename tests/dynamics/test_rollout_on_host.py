"""Rollouts in machine code give what rollouts in torch give, and leave to torch what they cannot do."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldsim.dynamics.imagination import ContactScene, Hull, Planes, Roller, RolloutStart, Solid, rollout
from worldsim.errors import ConfigurationError

FIELDS = ("position", "orientation_xyzw", "linear_velocity", "angular_velocity", "normal_impulse")
KINDS = ("box", "sphere", "capsule", "box", "capsule", "sphere", "box")
HALF = {"sphere": (0.12, 0.12, 0.12), "capsule": (0.08, 0.08, 0.2), "box": (0.16, 0.12, 0.1)}
SAMPLES, STEPS, DT_S = 6, 12, 1.0 / 60.0


def heap(rng: np.random.Generator, *, each_its_own: bool) -> tuple[ContactScene, RolloutStart]:
    """Return solids of all kinds that fall onto one another and into a corner; the last box stands fixed."""
    n = len(KINDS)
    shape = (SAMPLES, n) if each_its_own else (n,)
    half = torch.from_numpy(np.array([HALF[kind] for kind in KINDS]) * rng.uniform(0.9, 1.1, (*shape, 1)))
    mass = torch.from_numpy(rng.uniform(0.5, 2.0, shape))
    square = half * half
    moments = mass[..., None] / 3.0 * (square.sum(-1, keepdim=True) - square)
    like = torch.ones(2, dtype=torch.float64)
    planes = Planes(
        torch.tensor([[0.0, 0.0, 1.0], [0.8, 0.0, 0.6]], dtype=torch.float64), torch.tensor([0.0, -0.3]).double(),
        0.8 * like, 0.9 * like,
    )  # fmt: skip
    solids = tuple(Solid(kind, fixed=k == n - 1) for k, kind in enumerate(KINDS))
    friction, restitution = (torch.from_numpy(rng.uniform(low, high, shape)) for low, high in ((0.3, 0.8), (0.1, 0.6)))
    place = rng.uniform([-0.25, -0.25, 0.1], [0.25, 0.25, 0.8], (SAMPLES, n, 3))
    turn = Rotation.random(SAMPLES * n, random_state=int(rng.integers(2**31))).as_quat().reshape(SAMPLES, n, 4)
    moving, spinning = rng.normal(0.0, 1.5, (SAMPLES, n, 3)), rng.normal(0.0, 4.0, (SAMPLES, n, 3))
    moving[:, -1] = spinning[:, -1] = 0.0
    start = RolloutStart(*(torch.from_numpy(part) for part in (place, turn, moving, spinning)))
    return ContactScene(solids, half, mass, moments, friction, restitution, planes), start


@pytest.mark.parametrize("each_its_own", [False, True])
def test_they_give_the_same_numbers(each_its_own: bool) -> None:
    rng = np.random.default_rng(0)
    scene, start = heap(rng, each_its_own=each_its_own)
    wrench = torch.from_numpy(rng.normal(0.0, 3.0, (STEPS, SAMPLES, len(KINDS), 6)))
    wrench = wrench if each_its_own else wrench[:, 0]
    ours, plain = Roller(scene, compiled=True)(start, wrench, DT_S), rollout(scene, start, wrench, DT_S)
    assert float(plain.normal_impulse.max()) > 1.0  # they do strike
    for name in FIELDS:
        torch.testing.assert_close(getattr(ours, name), getattr(plain, name), rtol=0.0, atol=1e-7, msg=name)


def test_as_many_threads_as_there_are_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, start = heap(np.random.default_rng(1), each_its_own=False)
    wrench = torch.zeros(STEPS, len(KINDS), 6, dtype=torch.float64)
    roller = Roller(scene, compiled=True)
    paths = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        paths.append(roller(start, wrench, DT_S).position)
    assert torch.equal(paths[0], paths[1])


def test_gradients_are_left_to_torch() -> None:
    scene, start = heap(np.random.default_rng(2), each_its_own=False)
    wrench = torch.zeros(2, len(KINDS), 6, dtype=torch.float64, requires_grad=True)
    roller = Roller(scene, compiled=True)
    roller(start, wrench, DT_S).position.sum().backward()
    assert wrench.grad is not None
    assert float(wrench.grad.abs().max()) > 0.0
    with torch.no_grad():
        assert not roller(start, wrench, DT_S).position.requires_grad
    heavier = replace(scene, mass_kg=scene.mass_kg.clone().requires_grad_())
    assert Roller(heavier, compiled=True)(start, wrench.detach(), DT_S).position.requires_grad


def test_what_the_machine_code_does_not_know_is_told() -> None:
    one = torch.ones(1, dtype=torch.float64)
    hull = Hull.of(np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]))
    scene = ContactScene(
        (Solid("hull", hull=hull),), one[:, None].expand(1, 3), one, one[:, None].expand(1, 3), one, one,
        Planes.floor(one),
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="not of a solid of kind 'hull'"):
        Roller(scene, compiled=True)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_told_of_other_samples_than_start_is_refused(compiled: bool) -> None:
    scene, start = heap(np.random.default_rng(3), each_its_own=True)
    roller = Roller(scene, compiled=compiled)
    wrench = torch.zeros(STEPS, SAMPLES, len(KINDS), 6, dtype=torch.float64)
    with pytest.raises(ConfigurationError, match="wrench is of 4 samples, expected 6, as many as start, or 1"):
        roller(start, wrench[:, :4], DT_S)
    with pytest.raises(ConfigurationError, match="half_extent_m is of 6 samples, expected 2"):
        roller(start.select(torch.arange(2)), wrench[:, :1], DT_S)


@pytest.mark.parametrize("compiled", [False, True])
def test_no_samples_and_no_steps_are_no_paths(compiled: bool) -> None:
    scene, start = heap(np.random.default_rng(3), each_its_own=False)
    roller, count = Roller(scene, compiled=compiled), len(KINDS)
    wrench = torch.zeros(STEPS, 1, count, 6, dtype=torch.float64)
    nobody = roller(start.select(torch.arange(0)), wrench, DT_S)
    assert nobody.position.shape == (STEPS, 0, count, 3)
    assert nobody.normal_impulse.shape == (STEPS, 0, count)
    assert roller(start, wrench[:0], DT_S).orientation_xyzw.shape == (0, len(start.position), count, 4)
