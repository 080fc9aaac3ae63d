"""Two hinged boxes: flight keeps momentum and energy, a landing comes to rest on the floor."""

from __future__ import annotations

import torch

from worldsim.dynamics import ContactSettings, quaternion
from worldsim.dynamics.hinged_pair import HingedPair, HingedPairState, hinged_pair_step, second_link

DT_S = 1 / 148
FINE = ContactSettings(substeps=16, iterations=20)


def pair(count: int, dry: float = 0.0, damping: float = 0.0) -> HingedPair:
    one = torch.ones(count, dtype=torch.float64)
    row = one[:, None]
    return HingedPair(
        friction=0.3 * one,
        stiffness_per_s2=2e4 * one,
        damping_per_s=80.0 * one,
        half_extent_m=row * torch.tensor([0.05, 0.025, 0.025]),
        inertia_m2=row * torch.tensor([6e-4, 1.4e-3, 1.3e-3]),
        hinge_in_first_m=row * torch.tensor([-0.035, 0.06, 0.0]),
        second_box_m=row * torch.tensor([0.035, 0.0, 0.0]),
        first_centre_m=row * torch.tensor([0.001, -0.002, 0.0]),
        second_centre_m=row * torch.tensor([0.0, -0.003, 0.0]),
        joint_damping_m2_per_s=damping * one,
        joint_friction_m2_per_s2=dry * one,
        floor_m=0.0 * one,
    )


def thrown(count: int, height: float, seed: int) -> HingedPairState:
    g = torch.Generator().manual_seed(seed)
    orientation = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1).double()
    velocity = torch.cat([torch.randn(count, 3, generator=g), 5.0 * torch.randn(count, 4, generator=g)], dim=1)
    hinge = torch.zeros(count, 3).double()
    hinge[:, 2] = height
    return HingedPairState(hinge, orientation, torch.randn(count, generator=g).double(), velocity.double())


def totals(state: HingedPairState, links: HingedPair) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return centre of mass, its velocity, angular momentum about it, and energy, worked out body by body."""
    first, second = state.orientation_xyzw, second_link(state.orientation_xyzw, state.joint_rad)
    axis = quaternion.rotate(first, torch.tensor([0.0, 1.0, 0.0]).double().expand(len(first), 3))
    spins = (state.velocity[:, 3:6], state.velocity[:, 3:6] + axis * state.velocity[:, 6:])
    arms = (
        quaternion.rotate(first, links.first_centre_m - links.hinge_in_first_m),
        quaternion.rotate(second, links.second_box_m + links.second_centre_m),
    )
    places = [state.hinge_m + arm for arm in arms]
    speeds = [state.velocity[:, :3] + torch.linalg.cross(w, arm) for w, arm in zip(spins, arms, strict=True)]
    centre, velocity = 0.5 * (places[0] + places[1]), 0.5 * (speeds[0] + speeds[1])
    momentum, energy = torch.zeros_like(centre), torch.zeros(len(first)).double()
    for q, w, place, speed in zip((first, second), spins, places, speeds, strict=True):
        rotation = quaternion.to_matrix(q)
        own = ((rotation * links.inertia_m2[:, None]) @ rotation.mT @ w[..., None])[..., 0]
        momentum = momentum + own + torch.linalg.cross(place - centre, speed - velocity)
        energy = energy + 0.5 * (speed * speed).sum(-1) + 0.5 * (w * own).sum(-1) + 9.81 * place[:, 2]
    return centre, velocity, momentum, energy


def test_flight_keeps_momentum_and_energy_and_falls_with_gravity() -> None:
    links, state = pair(6), thrown(6, 5.0, seed=0)
    centre, velocity, momentum, energy = totals(state, links)
    for _ in range(30):
        state = hinged_pair_step(state, links, DT_S, FINE)
    time_s = 30 * DT_S
    after = totals(state, links)
    fallen = centre + velocity * time_s - 0.5 * 9.81 * time_s**2 * torch.tensor([0.0, 0.0, 1.0])
    # first order in the step (0.4 ms): what is left shrinks with it
    assert (after[0] - fallen).norm(dim=-1).max() < 3e-3
    assert (after[2] - momentum).norm(dim=-1).max() < 0.05 * momentum.norm(dim=-1).min()
    assert ((after[3] - energy).abs() / energy).max() < 0.01


def test_a_hinge_with_friction_loses_its_rate_and_a_free_one_does_not() -> None:
    rubbed, free = thrown(6, 5.0, seed=1), thrown(6, 5.0, seed=1)
    for _ in range(15):
        rubbed = hinged_pair_step(rubbed, pair(6, dry=0.2), DT_S, FINE)
        free = hinged_pair_step(free, pair(6), DT_S, FINE)
    assert rubbed.velocity[:, 6].abs().max() < 0.2
    assert free.velocity[:, 6].abs().mean() > 1.0


def test_a_thrown_pair_ends_at_rest_on_the_floor() -> None:
    links, state = pair(4, dry=0.005, damping=1e-3), thrown(4, 0.2, seed=2)
    for _ in range(220):
        state = hinged_pair_step(state, links, DT_S, ContactSettings(substeps=2, iterations=10))
    assert state.velocity.abs().max() < 0.05
    assert (state.hinge_m[:, 2] > 0.0).all()
    assert (state.hinge_m[:, 2] < 0.12).all()
