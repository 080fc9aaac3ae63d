"""Contact in imagination: laws worked by hand, gradients, compilation, and a device that is not there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.fake_device import fake_gpu
from worldsim.dynamics.imagination import (
    ContactScene,
    Hull,
    Planes,
    Roller,
    RolloutSettings,
    RolloutStart,
    Solid,
    rollout,
    scouted,
)
from worldsim.dynamics.imagination.scene import near_pairs
from worldsim.errors import ConfigurationError

HALF = {"sphere": (0.1, 0.1, 0.1), "capsule": (0.1, 0.1, 0.25), "box": (0.2, 0.15, 0.1), "hull": (0.2, 0.15, 0.1)}
DT_S = 1.0 / 240.0
CORNERS = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.15, 0.15) for z in (-0.1, 0.1)])


def scene(
    *kinds: str,
    mass: tuple[float, ...] | None = None,
    friction: float = 0.5,
    restitution: float = 0.0,
    floor: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> ContactScene:
    like = torch.ones(len(kinds), dtype=dtype, device=device)
    half = torch.tensor([HALF[kind] for kind in kinds], dtype=dtype, device=device)
    masses = like if mass is None else torch.tensor(mass, dtype=dtype, device=device)
    square = half * half
    moments = masses[:, None] / 3.0 * (square.sum(-1, keepdim=True) - square)
    planes = Planes.floor(like) if floor else Planes(half.new_zeros(0, 3), like[:0], like[:0], like[:0])
    solids = tuple(Solid(kind, hull=Hull.of(CORNERS) if kind == "hull" else None) for kind in kinds)
    return ContactScene(solids, half, masses, moments, friction * like, restitution * like, planes)


def start(
    position: list[list[float]], velocity: list[list[float]] | None = None, like: Tensor | None = None
) -> RolloutStart:
    at = torch.tensor([position], dtype=torch.float64) if like is None else like
    still = torch.zeros_like(at)
    upright = torch.cat([still, torch.ones_like(still[..., :1])], dim=-1)
    moving = still if velocity is None else torch.tensor([velocity], dtype=torch.float64)
    return RolloutStart(at, upright, moving, still)


def no_push(steps: int, bodies: int) -> Tensor:
    return torch.zeros(steps, bodies, 6, dtype=torch.float64)


def test_spheres_that_strike_head_on_exchange_momentum_by_their_masses_and_their_bounce() -> None:
    pair = scene("sphere", "sphere", mass=(1.0, 3.0), friction=0.0, restitution=0.8, floor=False)
    path = rollout(
        pair, start([[0.0, 0.0, 0.0], [0.21, 0.0, 0.0]], [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), no_push(8, 2), DT_S
    )
    after = path.linear_velocity[-1, 0, :, 0]
    assert float(after[0] + 3.0 * after[1]) == pytest.approx(2.0, abs=1e-9)
    assert float(after[1] - after[0]) == pytest.approx(0.64 * 2.0, abs=1e-3)  # the two restitutions multiplied


@pytest.mark.parametrize("kind", ["sphere", "capsule", "box", "hull"])
def test_what_stands_on_the_floor_stays_where_it_is(kind: str) -> None:
    height = HALF[kind][2]
    path = rollout(scene(kind), start([[0.0, 0.0, height]]), no_push(120, 1), DT_S)
    assert float((path.position[-1, 0, 0] - torch.tensor([0.0, 0.0, height])).norm()) < 1e-3
    assert float(path.linear_velocity[-1].norm()) < 1e-3
    assert float(path.normal_impulse[-1, 0, 0]) == pytest.approx(9.81 * DT_S, rel=1e-2)  # it carries its weight


@pytest.mark.parametrize("upper", ["box", "hull", "sphere"])
def test_what_stands_on_a_box_stays_there(upper: str) -> None:
    top = 0.2 + HALF[upper][2]
    path = rollout(scene("box", upper), start([[0.0, 0.0, 0.1], [0.0, 0.0, top]]), no_push(60, 2), DT_S)
    assert float((path.position[-1] - path.position[0]).norm(dim=-1).max()) < 2e-3


@pytest.mark.parametrize(
    ("lower", "upper", "compiled"),
    [("box", "box", False), ("box", "box", True), ("box", "hull", False), ("hull", "hull", False)],
)
@pytest.mark.parametrize("yaw", [0.0, 0.6])
@pytest.mark.parametrize("offset", [(0.02, 0.02), (0.05, -0.02), (-0.07, 0.08)])
def test_what_stands_only_in_part_on_its_like_stays_there(
    offset: tuple[float, float], yaw: float, lower: str, upper: str, compiled: bool
) -> None:
    begun = start([[0.0, 0.0, 0.1], [*offset, 0.3]])
    turn = begun.orientation_xyzw.clone()
    turn[0, 1, 2:] = torch.tensor([np.sin(yaw / 2), np.cos(yaw / 2)], dtype=torch.float64)
    begun = dataclasses.replace(begun, orientation_xyzw=turn)
    path = Roller(scene(lower, upper), compiled=compiled)(begun, no_push(120, 2), DT_S)
    assert float((path.position[-1] - path.position[0]).norm(dim=-1).max()) < 2e-3
    assert float((path.orientation_xyzw[-1, 0] - turn[0]).abs().max()) < 2e-3


def test_a_hull_of_a_boxs_corners_moves_as_the_box_does() -> None:
    tilted = torch.tensor([[[0.1, 0.05, 0.0, np.sqrt(1 - 0.0125)]]], dtype=torch.float64)
    ends = []
    for kind in ("box", "hull"):
        begin = start([[0.0, 0.0, 0.2]], [[0.5, 0.0, -1.0]])
        path = rollout(
            scene(kind),
            RolloutStart(begin.position, tilted, begin.linear_velocity, begin.angular_velocity),
            no_push(60, 1),
            DT_S,
        )
        ends.append(path.position[-1])
    torch.testing.assert_close(ends[0], ends[1], atol=2e-3, rtol=0.0)


def test_crossed_capsules_meet_between_their_ends() -> None:
    quarter = float(np.sqrt(0.5))
    at = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.3]]], dtype=torch.float64)
    turned = torch.tensor([[[quarter, 0.0, 0.0, quarter], [0.0, quarter, 0.0, quarter]]], dtype=torch.float64)
    fall = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, -3.0]]], dtype=torch.float64)
    pair = scene("capsule", "capsule", floor=False, friction=0.0)
    path = rollout(pair, RolloutStart(at, turned, fall, torch.zeros_like(at)), no_push(30, 2), DT_S)
    apart = path.position[-1, 0, 1, 2] - path.position[-1, 0, 0, 2]
    assert float(apart) == pytest.approx(0.2, abs=2e-3)  # two radii, not through


def test_sliding_slows_by_friction_times_weight() -> None:
    path = rollout(scene("box"), start([[0.0, 0.0, 0.1]], [[1.0, 0.0, 0.0]]), no_push(24, 1), DT_S)
    expected = 1.0 - 0.5 * 9.81 * 24 * DT_S
    assert float(path.linear_velocity[-1, 0, 0, 0]) == pytest.approx(expected, abs=1e-3)


def test_a_fixed_wall_yields_to_nothing() -> None:
    pair = scene("sphere", "box", floor=False)
    walled = ContactScene((Solid("sphere"), Solid("box", fixed=True)), *(getattr(pair, n) for n in (
        "half_extent_m", "mass_kg", "moments_kg_m2", "friction", "restitution", "planes")))  # fmt: skip
    path = rollout(
        walled, start([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]], [[3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), no_push(20, 2), DT_S
    )
    assert float(path.position[-1, 0, 0, 0]) < 0.1 + 1e-3
    assert path.position[-1, 0, 1].tolist() == [0.4, 0.0, 0.0]


def test_gradients_by_action_start_and_parameters_agree_with_finite_differences_through_contact() -> None:
    kinds = ("sphere", "box", "capsule")
    bare = scene(*kinds, restitution=0.3)
    at = torch.tensor([[[0.0, 0.0, 0.101], [0.35, 0.02, 0.104], [0.0, 0.31, 0.262]]], dtype=torch.float64)

    def end(push: Tensor, position: Tensor, mass: Tensor, friction: Tensor) -> Tensor:
        heap = ContactScene(
            bare.solids, bare.half_extent_m, mass, bare.moments_kg_m2, friction, bare.restitution, bare.planes
        )
        tilt = torch.tensor([0.02, 0.03, 0.01, 1.0], dtype=torch.float64)
        begin = start([], like=position)
        moving = torch.tensor([[[1.5, 0.0, -0.4], [0.0, 0.0, -0.5], [0.1, -1.0, -0.6]]], dtype=torch.float64)
        facing = (tilt / tilt.norm()).expand_as(begin.orientation_xyzw)
        path = rollout(heap, RolloutStart(position, facing, moving, begin.angular_velocity), push, 1.0 / 60.0)
        return torch.cat([path.position[-1], path.linear_velocity[-1]], dim=-1)

    arguments = (no_push(4, 3) + 0.1, at, bare.mass_kg.clone(), bare.friction.clone())
    wanted = tuple(x.requires_grad_() for x in arguments)
    assert float(end(*arguments).detach()[0, 1, 3]) > 0.01, "the sphere did not reach the box"
    assert torch.autograd.gradcheck(end, wanted, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_the_rollout_runs_on_a_device_that_is_not_there() -> None:
    with fake_gpu() as device:
        heap = scene("sphere", "capsule", "hull", dtype=torch.float32, device=device)
        at = torch.zeros(7, 3, 3, device=device)
        few = RolloutSettings(iterations=2, first_iterations=2)
        path = rollout(heap, start([], like=at), torch.zeros(2, 3, 6, device=device), DT_S, few)
        assert path.position.device == device
        assert path.position.shape == (2, 7, 3, 3)


def test_the_step_is_one_graph() -> None:
    torch._dynamo.reset()
    roller = Roller(scene("sphere", "box"), RolloutSettings(iterations=2, first_iterations=2))
    plain = roller._step
    roller._step = torch.compile(plain, fullgraph=True, backend="eager")  # traced whole, or it raises
    begin = start([[0.0, 0.0, 0.1], [0.35, 0.0, 0.1]])
    traced = roller(begin, no_push(2, 2), DT_S)
    roller._step = plain
    torch.testing.assert_close(traced.position, roller(begin, no_push(2, 2), DT_S).position)


def test_samples_that_follow_scouts_go_where_they_went_without() -> None:
    row = scene("sphere", "box", "capsule", "sphere", restitution=0.3)
    rng = torch.Generator().manual_seed(2)
    at = torch.tensor([[0.0, 0.0, 0.1], [0.4, 0.02, 0.1], [0.8, 0.0, 0.25], [0.0, 2.0, 0.1]], dtype=torch.float64)
    at = at + 0.003 * torch.randn(40, 4, 3, generator=rng, dtype=torch.float64)
    begin = start([], like=at)
    moving = begin.linear_velocity.clone()
    moving[:, 0, 0] = 2.5
    begin = RolloutStart(at, begin.orientation_xyzw, moving, begin.angular_velocity)
    wanted, push = rollout(row, begin, no_push(24, 4), 1 / 60), no_push(24, 4)
    ahead = scouted(row, begin, push, 1 / 60)
    assert sorted(map(sorted, ahead.chosen_pairs())) == [[0, 1], [1, 2]]
    assert float(wanted.linear_velocity[-1, :, 2].norm(dim=-1).min()) > 0.01, "the blow did not reach the capsule"
    torch.testing.assert_close(rollout(ahead, begin, push, 1 / 60).position, wanted.position, atol=1e-4, rtol=0.0)


def test_far_pairs_are_left_out() -> None:
    at = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [3.0, 0.0, 0.0]])
    assert near_pairs(at, np.full(3, 0.2), np.full(3, 0.1)).tolist() == [[0, 1]]


def test_what_cannot_work_is_named() -> None:
    with pytest.raises(ConfigurationError, match="kind is 'torus'"):
        Solid("torus")
    with pytest.raises(ConfigurationError, match=r"wrench has shape \(4, 2, 6\)"):
        rollout(scene("box"), start([[0.0, 0.0, 1.0]]), no_push(4, 2), DT_S)
