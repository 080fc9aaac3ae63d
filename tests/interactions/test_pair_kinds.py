"""Containment, push, follow and avoid: each says yes to its own picture and no to its neighbours'."""

from __future__ import annotations

import math

import pytest
import torch

from worldsim.contracts import PairFrame
from worldsim.contracts.interaction import Interaction
from worldsim.interactions.avoid import RANGE_M, Avoid
from worldsim.interactions.containment import Containment
from worldsim.interactions.follow import NEAR_M, Follow
from worldsim.interactions.hollow import height_over_underside
from worldsim.interactions.push import Push
from worldsim.types import ObjectStates

DT_S = 0.05
Triple = tuple[float, float, float]


def _body(position: Triple, extent: Triple, velocity: Triple = (0.0, 0.0, 0.0)) -> ObjectStates:
    rest = ObjectStates.at_rest(torch.tensor([position]), torch.tensor([extent]))
    return ObjectStates(
        rest.position, rest.orientation_xyzw, torch.tensor([velocity]), rest.angular_velocity, rest.extent_m
    )


def _evidence(
    kind: Interaction,
    source: ObjectStates,
    target: ObjectStates,
    before: ObjectStates | None = None,
    std_m: float = 1e-3,
) -> float:
    std, quiet = torch.tensor([std_m]), torch.zeros(1)
    frame = PairFrame(source, target, before or source, target, std, std, DT_S, quiet)
    return float(kind.log_evidence(frame))


def test_what_lies_in_a_crate_is_contained_and_what_stands_on_or_beside_it_is_not() -> None:
    crate, edge = _body((0.0, 0.0, 0.3), (0.8, 0.6, 0.6)), 0.2
    ball: Triple = (edge, edge, edge)
    assert _evidence(Containment(), crate, _body((0.1, 0.1, 0.12), ball)) > 1.0
    assert _evidence(Containment(), crate, _body((0.0, 0.0, 0.7), ball)) < -1.0
    assert _evidence(Containment(), crate, _body((0.5, 0.0, 0.1), ball)) < -1.0
    assert _evidence(Containment(), _body((0.1, 0.1, 0.15), ball), crate) < -1.0  # the larger is not in the smaller


def test_a_container_on_its_side_still_holds_its_content() -> None:
    half = 0.5**0.5
    crate = _body((0.0, 0.0, 0.3), (0.8, 0.6, 0.4))
    tipped = ObjectStates(
        crate.position, torch.tensor([[0.0, half, 0.0, half]]), crate.linear_velocity, crate.angular_velocity,
        crate.extent_m,
    )  # fmt: skip
    high = _body((0.0, 0.0, 0.6), (0.1, 0.1, 0.1))  # inside along the long edge, which stands upright now
    assert _evidence(Containment(), tipped, high) > 0.5
    assert _evidence(Containment(), crate, high) < -1.0


def test_what_stands_under_a_bench_is_not_in_it_and_stays_when_the_bench_is_moved() -> None:
    bench, small = _body((0.0, 0.0, 0.25), (1.1, 0.7, 0.5)), (0.12, 0.12, 0.12)
    under = _body((0.2, 0.1, 0.06), small)
    assert _evidence(Containment(), bench, under) < -1.0
    higher = _body((0.2, 0.1, 0.2), small)  # on a floor or on others: it may lie in it
    moved = _body((0.05, 0.0, 0.25), (1.1, 0.7, 0.5), (1.0, 0.0, 0.0))
    assert _evidence(Containment(), bench, higher) > 0.5
    assert _evidence(Containment(), moved, higher, bench) < -1.0


def test_what_lies_on_a_box_and_rides_with_it_is_not_in_it() -> None:
    box: Triple = (0.5, 0.4, 0.3)
    before, after = _body((0.0, 0.0, 0.15), box), _body((0.05, 0.0, 0.15), box, (1.0, 0.0, 0.0))
    rider = _body((0.05, 0.0, 0.35), (0.1, 0.1, 0.1), (1.0, 0.0, 0.0))
    assert _evidence(Containment(), after, rider, before) < -1.0


def test_who_drives_a_box_before_him_pushes_it_and_who_stands_beside_it_does_not() -> None:
    box: Triple = (0.4, 0.4, 0.4)
    pusher = _body((0.0, 0.0, 0.2), box, (0.3, 0.0, 0.0))
    assert _evidence(Push(), pusher, _body((0.401, 0.0, 0.2), box, (0.3, 0.0, 0.0))) > 1.0
    assert _evidence(Push(), pusher, _body((0.49, 0.0, 0.2), box)) < 0.0
    still = _body((0.0, 0.0, 0.2), box)
    assert _evidence(Push(), still, _body((0.401, 0.0, 0.2), box)) < 0.0
    assert _evidence(Push(), pusher, _body((0.401, 0.0, 0.2), box, (1.0, 0.0, 0.0))) < 0.0  # it leaves by itself


def test_turning_towards_another_speaks_for_following_and_turning_away_for_avoiding() -> None:
    person: Triple = (0.4, 0.4, 1.8)
    before = _body((0.0, 0.0, 0.9), person)
    far, near = _body((4.0, 0.0, 0.9), person), _body((0.8, 0.0, 0.9), person)
    towards, away = (_body((0.0, 0.0, 0.9), person, (v, 0.0, 0.0)) for v in (0.15, -0.15))
    assert _evidence(Follow(), towards, far, before) > 0.5 > _evidence(Follow(), before, far, before)
    assert _evidence(Avoid(), away, near, before) > 0.5 > _evidence(Avoid(), before, near, before)


def test_where_both_are_is_hardly_known_an_agent_s_turn_tells_next_to_nothing() -> None:
    person: Triple = (0.4, 0.4, 1.8)
    before, after = _body((0.0, 0.0, 0.9), person), _body((0.0, 0.0, 0.9), person, (0.15, 0.0, 0.0))
    far = _body((4.0, 0.0, 0.9), person)
    assert abs(_evidence(Follow(), after, far, before, std_m=0.1)) < 0.01 < _evidence(Follow(), after, far, before)


def test_a_follower_slows_near_the_other_and_who_avoids_minds_what_is_near() -> None:
    def along(kind: Follow | Avoid, distance_m: float) -> float:
        apart = torch.tensor([[distance_m, 0.0, 0.0]], dtype=torch.float64)
        return float(kind.force_columns(apart, torch.zeros_like(apart))[0, 0, 0])

    assert along(Follow(), 5.0) == along(Follow(), 2.0 * NEAR_M) == 1.0
    assert along(Follow(), 0.5 * NEAR_M) == pytest.approx(0.5)
    assert along(Avoid(), RANGE_M) == pytest.approx(-math.exp(-1.0))


def test_a_content_in_a_car_that_drives_may_be_believed_a_little_behind() -> None:
    crate, cube = (0.8, 0.6, 0.6), (0.1, 0.1, 0.1)
    behind = (-0.42, 0.0, 0.07)  # 2 cm out of the car; at 2 m/s it goes 10 cm in a frame
    standing = _evidence(Containment(), _body((0.0, 0.0, 0.3), crate), _body(behind, cube))
    fast: Triple = (2.0, 0.0, 0.0)
    driving = _evidence(Containment(), _body((0.0, 0.0, 0.3), crate, fast), _body(behind, cube, fast))
    assert standing < -1.5 < -1.0 < driving


def test_the_underside_of_a_crate_is_below_whichever_of_its_faces_that_is() -> None:
    crate, cube = _body((0.0, 0.0, 0.3), (0.8, 0.6, 0.4)), _body((0.1, 0.0, 0.2), (0.1, 0.1, 0.1))
    half = 0.5**0.5
    for turn, over in (((0.0, 0.0, 0.0, 1.0), 0.05), ((1.0, 0.0, 0.0, 0.0), 0.05), ((0.0, half, 0.0, half), 0.25)):
        stands = ObjectStates(
            crate.position, torch.tensor([turn]), crate.linear_velocity, crate.angular_velocity, crate.extent_m
        )
        assert float(height_over_underside(stands, cube)) == pytest.approx(over, abs=1e-6)
