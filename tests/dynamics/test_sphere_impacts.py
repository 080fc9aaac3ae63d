"""Two spheres that meet within a step: by hand, by the laws of conservation, and against PyBullet."""

from __future__ import annotations

import math

import pybullet
import pytest
import torch

from worldsim.dynamics.sphere_impacts import Spheres, meet

DT_S = 0.05


def sphere(
    start: tuple[float, float, float],
    velocity: tuple[float, float, float],
    mass_kg: float = 1.0,
    restitution: float = 1.0,
    friction: float = 0.0,
    spin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Spheres:
    """Return one sphere of radius 0.1 m that moves evenly, by default far above the floor."""
    place = torch.tensor([start], dtype=torch.float64)
    end = place + DT_S * torch.tensor([velocity], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    turning = torch.tensor([spin], dtype=torch.float64)
    return Spheres(place, end, turning, 0.1 * one, mass_kg * one, restitution * one, friction * one)


def test_equal_spheres_exchange_their_velocities_at_the_time_of_the_impact() -> None:
    # 2 cm apart, at 1 m/s: they meet after 20 ms, and 30 ms are left
    hit, first, second = meet(sphere((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), sphere((0.22, 0.0, 1.0), (0.0, 0.0, 0.0)), DT_S)
    assert hit.tolist() == [True]
    assert first[0].tolist() == pytest.approx([-0.03, 0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 0], abs=1e-9)
    assert second[0].tolist() == pytest.approx([0.03, 0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0], abs=1e-9)


def test_what_does_not_give_way_sends_the_other_back_by_the_product_of_the_restitutions() -> None:
    ball, wall = sphere((0, 0, 1.0), (1.0, 0, 0), restitution=0.9), sphere((0.21, 0, 1.0), (0, 0, 0), 1e9, 0.8)
    _, first, second = meet(ball, wall, DT_S)
    assert float(first[0, 6]) == pytest.approx(-1.0 - 0.72)
    assert float(second[0, 6]) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("apart", [(0.3, 0.0, 1.0), (0.2, 0.21, 1.0), (-0.21, 0.0, 1.0)], ids=["far", "past", "behind"])
def test_those_that_do_not_meet_gain_nothing(apart: tuple[float, float, float]) -> None:
    hit, first, second = meet(sphere((0, 0, 1.0), (1.0, 0, 0)), sphere(apart, (0, 0, 0)), DT_S)
    assert not hit.any()
    assert not first.any()
    assert not second.any()


def test_momentum_and_angular_momentum_are_kept_and_energy_is_not_made() -> None:
    random = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    n = 500
    start_a, start_b = 0.02 * drawn(n, 3), 0.02 * drawn(n, 3) + torch.tensor([0.2, 0.0, 0.0])
    start_a[:, 2] += 1.0
    start_b[:, 2] += 1.0
    velocity_a, velocity_b = drawn(n, 3) + torch.tensor([0.5, -0.5, -0.5]), drawn(n, 3) - 0.5
    spin_a, spin_b = 20.0 * (drawn(n, 3) - 0.5), 20.0 * (drawn(n, 3) - 0.5)
    mass_a, mass_b, radius = 0.2 + drawn(n), 0.2 + drawn(n), torch.full((n,), 0.1, dtype=torch.float64)
    a = Spheres(start_a, start_a + DT_S * velocity_a, spin_a, radius, mass_a, drawn(n), drawn(n))
    b = Spheres(start_b, start_b + DT_S * velocity_b, spin_b, radius, mass_b, drawn(n), drawn(n))
    hit, gain_a, gain_b = meet(a, b, DT_S)
    assert int(hit.sum()) > 100
    momentum = mass_a[:, None] * gain_a[:, 6:9] + mass_b[:, None] * gain_b[:, 6:9]
    assert float(momentum.abs().max()) < 1e-12

    def energy(mass: torch.Tensor, velocity: torch.Tensor, spin: torch.Tensor) -> torch.Tensor:
        return 0.5 * mass * (velocity**2).sum(-1) + 0.2 * mass * radius**2 * (spin**2).sum(-1)

    before = energy(mass_a, velocity_a, spin_a) + energy(mass_b, velocity_b, spin_b)
    after = energy(mass_a, velocity_a + gain_a[:, 6:9], spin_a + gain_a[:, 9:])
    after = after + energy(mass_b, velocity_b + gain_b[:, 6:9], spin_b + gain_b[:, 9:])
    assert bool((after <= before + 1e-12).all())


def test_a_ball_that_was_struck_slips_on_the_floor_and_is_braked_by_it() -> None:
    rolling = (0.0, 10.0, 0.0)  # 1 m/s along x at a radius of 0.1 m
    cue = sphere((0, 0, 0.1), (1.0, 0, 0), friction=0.3, spin=rolling)
    _, first, second = meet(cue, sphere((0.21, 0, 0.1), (0, 0, 0), friction=0.0), DT_S)
    # the cue ball stands, and still turns: friction drives it on, by at most mu g t in the 40 ms that are left
    assert float(first[0, 6]) == pytest.approx(-1.0 + 0.3 * 9.81 * 0.04)
    assert float(first[0, 10]) == pytest.approx(-2.5 * 0.3 * 9.81 * 0.04 / 0.1)
    assert float(second[0, 6]) == pytest.approx(1.0)


def test_an_oblique_impact_is_bullets_to_five_percent() -> None:
    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setPhysicsEngineParameter(fixedTimeStep=1e-4, restitutionVelocityThreshold=0.0, physicsClientId=client)
        shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=0.1, physicsClientId=client)
        bodies = []
        for mass, place in ((0.4, (0.0, 0.0, 1.0)), (0.7, (0.22, 0.05, 1.0))):
            uid = pybullet.createMultiBody(mass, shape, -1, place, physicsClientId=client)
            pybullet.changeDynamics(
                uid, -1, restitution=0.9, lateralFriction=0.4, linearDamping=0, angularDamping=0, physicsClientId=client
            )
            bodies.append(uid)
        pybullet.resetBaseVelocity(bodies[0], (1.0, 0.2, 0.0), physicsClientId=client)
        for _ in range(round(DT_S / 1e-4)):
            pybullet.stepSimulation(physicsClientId=client)
        theirs = [pybullet.getBaseVelocity(uid, physicsClientId=client)[0] for uid in bodies]
    finally:
        pybullet.disconnect(client)
    a = sphere((0, 0, 1.0), (1.0, 0.2, 0), 0.4, 0.9, 0.4)
    hit, first, second = meet(a, sphere((0.22, 0.05, 1.0), (0, 0, 0), 0.7, 0.9, 0.4), DT_S)
    assert bool(hit)
    ours = [(1.0 + float(first[0, 6]), 0.2 + float(first[0, 7])), (float(second[0, 6]), float(second[0, 7]))]
    for our, their in zip(ours, theirs, strict=True):
        # Bullet bounces back by a velocity that the near contact has changed already (docs/accuracy.md)
        assert math.dist(our, their[:2]) < 0.05
