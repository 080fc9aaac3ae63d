"""Kinds of smooth pair force: equal and opposite, with the laws their names say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from worldsim.contracts import PairFrame
from worldsim.contracts.radial_basis import POWERS
from worldsim.errors import ConfigurationError
from worldsim.graph.candidates import candidate_pairs
from worldsim.interactions.charge import Charge
from worldsim.interactions.drag import Drag
from worldsim.interactions.force import ForceKind
from worldsim.interactions.medium import Medium
from worldsim.interactions.radial import LearnedRadial, Radial, RadialPower
from worldsim.interactions.spring import Spring
from worldsim.interactions.tether import Tether
from worldsim.types import ObjectStates

KINDS: list[ForceKind] = [
    Spring(), Charge(), Drag(), Radial(), RadialPower(-1), LearnedRadial((0.1, 0.0, 0.0, 2.0)), Tether(0.8),
]  # fmt: skip


def _states(position: torch.Tensor, velocity: torch.Tensor) -> ObjectStates:
    rest = ObjectStates.at_rest(position, torch.ones_like(position))
    return ObjectStates(position, rest.orientation_xyzw, velocity, rest.angular_velocity, rest.extent_m)


def _pair(seed: int) -> tuple[ObjectStates, ObjectStates]:
    rng = torch.Generator().manual_seed(seed)
    parts = [torch.randn(7, 3, generator=rng, dtype=torch.float64) for _ in range(4)]
    return _states(parts[0], parts[1]), _states(parts[2], parts[3])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_forces_are_equal_and_opposite_and_finite(kind: ForceKind) -> None:
    a, b = _pair(0)
    forth, back = kind.features(a, b), kind.features(b, a)
    assert forth.shape[:2] == (7, 6)
    assert torch.allclose(forth, -back)
    assert bool(torch.isfinite(kind.features(a, a)).all())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_turning_the_world_turns_the_force(kind: ForceKind) -> None:
    a, b = _pair(1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    turned = kind.features(
        _states(a.position @ turn.T, a.linear_velocity @ turn.T),
        _states(b.position @ turn.T, b.linear_velocity @ turn.T),
    )
    assert torch.allclose(turned[:, :3], turn @ kind.features(a, b)[:, :3])


def test_the_laws_are_what_their_names_say() -> None:
    zero = torch.zeros(1, 3, dtype=torch.float64)
    a, b = _states(zero, zero), _states(torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64), zero + 1.0)
    assert Spring().features(a, b)[0, 0, 0] == 2.0
    assert Charge().features(a, b)[0, 0, 0] == -0.25
    assert Drag().features(a, b)[0, :3, 0].tolist() == [1.0, 1.0, 1.0]
    assert Radial().features(a, b)[0, 0].tolist() == [2.0**power for power in POWERS]
    assert LearnedRadial((1.0, 0.0, 0.0, 4.0)).features(a, b)[0, 0, 0] == 3.0


@pytest.mark.parametrize(("kind", "core_m"), [(Charge(), 0.01), (RadialPower(-2), 0.05)], ids=["charge", "radial"])
def test_an_inverse_square_law_grows_down_to_its_core_and_no_further(kind: ForceKind, core_m: float) -> None:
    def size(distance_m: float) -> float:
        apart = torch.tensor([[distance_m, 0.0, 0.0]], dtype=torch.float64)
        return float(kind.force_columns(apart, torch.zeros_like(apart)).norm())

    assert size(1.5 * core_m) == pytest.approx((1.5 * core_m) ** -2)
    assert size(0.1 * core_m) == pytest.approx(core_m**-2)


def test_a_tether_pulls_beyond_its_length_and_not_before() -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64)
    there = torch.tensor([[0.9, 0.0, 0.0], [1.5, 0.0, 0.0]], dtype=torch.float64)
    a, b = _states(zero, zero), _states(there, zero)
    rope = Tether(1.0)
    assert rope.taut(a, b).tolist() == [False, True]
    assert rope.features(a, b)[:, 0, 0].tolist() == [0.0, 0.5]
    with pytest.raises(ConfigurationError, match="positive length"):
        Tether(0.0)


def test_a_medium_drags_what_is_inside_it_and_feels_nothing_of_it() -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64)
    centre = torch.tensor([[0.9, 0.0, 0.0], [1.5, 0.0, 0.0]], dtype=torch.float64)
    moving = torch.tensor([[0.0, 2.0, 0.0]], dtype=torch.float64).expand(2, 3)
    water = Medium(1.0)
    assert water.directed
    body, basin = _states(zero, moving), _states(centre, zero)
    assert water.features(body, basin)[:, 1, 0].tolist() == [-2.0, 0.0]
    one = torch.full((2,), 1e-4, dtype=torch.float64)
    slowed = _states(zero, 0.8 * moving)
    frame = PairFrame(slowed, basin, body, basin, one, one, 0.1, 0.0 * one)
    inside, outside = water.log_evidence(frame).tolist()
    assert inside > 1.0
    assert outside == pytest.approx(0.0, abs=1e-9)
    assert float(water.log_evidence(PairFrame(body, basin, body, basin, one, one, 0.1, 0.0 * one))[0]) < -1.0
    with pytest.raises(ConfigurationError, match="positive radius"):
        Medium(math.inf)


def test_what_a_long_rope_or_a_wide_medium_acts_on_is_within_its_reach() -> None:
    place, extent = np.array([[0.0, 0.0, 0.0], [6.5, 0.0, 0.0]]), np.full((2, 3), 0.2)
    upright = np.array([[0.0, 0.0, 0.0, 1.0]]).repeat(2, axis=0)
    for kind in (Tether(6.0), Medium(7.0)):
        pairs, _ = candidate_pairs(place, upright, extent, np.ones(2, dtype=bool), kind.reach_m)
        assert pairs.tolist() == [[0, 1]]
        away = torch.as_tensor(place[1] - place[0])[None]
        assert bool(kind.force_columns(away, torch.ones_like(away)).any())
    assert (Tether().reach_m, Medium().reach_m) == (5.0, 3.0)


def test_a_law_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 4"):
        LearnedRadial((1.0, 2.0))


def test_a_pair_that_pulls_together_speaks_for_a_spring() -> None:
    zero = torch.zeros(1, 3, dtype=torch.float64)
    there = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    before = _states(zero, zero), _states(there, zero)
    pulled = torch.tensor([[0.4, 0.0, 0.0]], dtype=torch.float64)

    def evidence(velocity: torch.Tensor) -> float:
        one = zero[:, 0] + 1e-3
        frame = PairFrame(_states(zero, velocity), _states(there, -velocity), *before, one, one, 0.1, zero[:, 0])
        return float(Spring().log_evidence(frame))

    assert evidence(pulled) > 0.0 > evidence(0.0 * pulled)
